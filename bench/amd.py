"""How well and how soon detection tells who has answered: `python -m bench.amd`.

The labelled calls of bench.greetings pass through cti.media.detection as the media worker feeds it, with the
thresholds every campaign begins with. They were chosen on the set TUNING; the figures of the last line are of
the set MEASURED, other phrases by other voices. All of it is speech of a synthesizer: people on real lines
are harder, and how much is told by the agents' *voicemail* button.

`decision_ms_p50` is what a person waits: from the beginning of the greeting to the decision, on those calls
where a person speaks. Other medians stand beside it. The last line is one JSON object.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from bench.greetings import MEASURED, TUNING, Call, calls
from bench.processes import note
from cti.media.detection import Decision, Detector
from cti.media.g711 import SAMPLES_PER_PACKET

WRONG_SHOWN_MAX = 20


@dataclass(frozen=True)
class Judged:
    call: Call
    decision: Decision

    @property
    def right(self) -> bool:
        return self.call.kind == self.decision.kind

    @property
    def waited_ms(self) -> int:
        """Since what there is to hear began."""
        return self.decision.ms - self.call.begins_ms


def judge(call: Call) -> Judged:
    detector = Detector()
    for at in range(0, len(call.ulaw), SAMPLES_PER_PACKET):
        decision = detector.feed(call.ulaw[at : at + SAMPLES_PER_PACKET])
        if decision is not None:
            return Judged(call, decision)
    raise AssertionError("a call of six seconds was not decided")


def table(judged: Iterable[Judged]) -> str:
    """What was labelled so, and what it was taken for."""
    counts = Counter((one.call.kind, str(one.decision.kind)) for one in judged)
    kinds = list(dict.fromkeys(label for label, _ in counts))
    columns = [*kinds, *sorted({taken for _, taken in counts} - set(kinds))]
    lines = ["labelled    " + "".join(kind.rjust(10) for kind in columns) + "     right"]
    for kind in kinds:
        row = "".join(str(counts[kind, column] or "·").rjust(10) for column in columns)
        lines.append(kind.ljust(12) + row + f"{right_percent(judged, kind):9.1f}%")
    return "\n".join(lines)


def right_percent(judged: Iterable[Judged], kind: str) -> float:
    of_kind = [one.right for one in judged if one.call.kind == kind]
    return 100 * sum(of_kind) / len(of_kind)


def by_condition(judged: list[Judged]) -> str:
    """People and machines by the noise behind them."""
    lines = []
    for condition in sorted({one.call.condition for one in judged if one.call.kind in ("human", "machine")}):
        here = [one for one in judged if one.call.condition == condition]
        shares = (f"{right_percent(here, kind):5.1f}%" for kind in ("human", "machine"))
        lines.append(f"  {condition:14}" + " ".join(shares) + f"  of {len(here)}")
    return "\n".join(lines)


def report(name: str, judged: list[Judged]) -> None:
    note(f"\n{name}: {len(judged)} calls\n{table(judged)}\n")
    note(f"people and machines right, by noise\n{by_condition(judged)}\n")
    wrong = [one for one in judged if not one.right]
    for one in wrong[:WRONG_SHOWN_MAX]:
        call, taken = one.call, one.decision
        note(f"  {call.kind}, {call.condition}: {call.what} -> {taken.kind}, {taken.why}")
    if len(wrong) > WRONG_SHOWN_MAX:
        note(f"  and {len(wrong) - WRONG_SHOWN_MAX} more")


def main() -> None:
    tuning = [judge(call) for call in calls(TUNING)]
    report("tuning", tuning)
    material = list(calls(MEASURED))
    began = time.process_time()
    measured = [judge(call) for call in material]
    frames = sum(one.decision.ms // 20 for one in measured)
    cost_us = (time.process_time() - began) / frames * 1e6
    report("measured", measured)
    people = [one for one in measured if one.call.kind == "human"]
    machines = [one for one in measured if one.call.kind == "machine"]
    others = [one.right for one in measured if one.call.kind not in ("human", "machine")]
    figures = {
        "human_right_percent": round(right_percent(measured, "human"), 1),
        "machine_right_percent": round(right_percent(measured, "machine"), 1),
        "decision_ms_p50": median(one.waited_ms for one in people),
        "from_answer_ms_p50": median(one.decision.ms for one in people),
        "machine_decision_ms_p50": median(one.waited_ms for one in machines),
        "everything_from_answer_ms_p50": median(one.decision.ms for one in measured),
        "other_right_percent": round(100 * sum(others) / len(others), 1),
        "tuning_human_right_percent": round(right_percent(tuning, "human"), 1),
        "tuning_machine_right_percent": round(right_percent(tuning, "machine"), 1),
        "calls": len(measured),
        "frame_us": round(cost_us, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
