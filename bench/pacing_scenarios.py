"""The referee's scenarios (../shared/dialer/public.json) as worlds of dialer.simulated_day."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dialer.simulated_day import Course, Detection, Draw, Movement, World

COURSE_SECONDS = 5.0


def world_of(scenario: Mapping[str, Any], seed: int) -> World:
    limits, rings, amd = scenario["limits"], scenario["ring"], scenario.get("amd") or {}
    rng = np.random.default_rng([scenario.get("seed", 1), seed])
    seconds = float(scenario["duration_s"])
    detects = bool(amd.get("enabled"))
    handled = scenario.get("machine_handle") or {
        "talk": {"dist": "exp", "mean": 8},
        "wrap": {"dist": "exp", "mean": 4},
    }
    return World(
        agents=scenario["agents"],
        seconds=seconds,
        answer=course(scenario["answer"], seconds, rng),
        talk=draw(scenario["talk"]),
        wrap=draw(scenario["wrap"]),
        ring_person=draw(rings["human"]),
        ring_machine=draw(rings["machine"]),
        ring_failed=draw(rings["fail"]),
        ring_unanswered=draw(rings["noanswer"]) if "noanswer" in rings else None,
        failed=scenario.get("fail", 0.1),
        machines=scenario.get("machine_share", 0.3),
        talk_scale=course(scenario.get("talk_scale", 1.0), seconds, rng),
        machine_talk=draw(handled["talk"]),
        machine_wrap=draw(handled["wrap"]),
        detection=Detection(
            draw(amd["delay"]), amd.get("fp", 0.0), amd.get("fn", 0.0), bool(amd.get("count_fp"))
        )
        if detects
        else None,
        movements=lambda staff: movements(scenario, staff),
        limit=limits["abandon_rate"],
        patience=limits["abandon_after_s"],
        ring_seconds=limits["ring_timeout_s"],
        message_seconds=limits.get("abandon_msg_s", 8.0),
        channels=limits["channels"],
        calls_per_second=limits.get("cps", 1e9),
        known={
            "duration_s": seconds,
            "agents": scenario["agents"],
            "limits": limits,
            "prior": scenario.get("prior", {}),
            "amd": {
                "enabled": detects,
                "count_fp": bool(amd.get("count_fp")),
                "fp_est": amd.get("fp", 0.0),
                "delay_mean": amd["delay"]["mean"] if detects else 0.0,
            },
        },
    )


def draw(law: Mapping[str, Any]) -> Draw:
    mean, cv = law.get("mean", 0.0), law.get("cv", 1.0)
    match law["dist"]:
        case "const":
            return lambda rng, n: np.full(n, float(mean))
        case "exp":
            return lambda rng, n: rng.exponential(mean, n)
        case "gamma":
            return lambda rng, n: rng.gamma(1 / cv**2, mean * cv**2, n)
        case "lognormal":
            variance = math.log(1 + cv * cv)
            return lambda rng, n: rng.lognormal(math.log(mean) - variance / 2, math.sqrt(variance), n)
        case "uniform":
            return lambda rng, n: rng.uniform(law["lo"], law["hi"], n)
        case "mix":
            weights = np.array([weight for weight, _ in law["parts"]])
            parts = [draw(part) for _, part in law["parts"]]

            def mixed(rng: np.random.Generator, n: int) -> Any:
                which = rng.choice(len(parts), n, p=weights / weights.sum())
                return np.choose(which, [part(rng, n) for part in parts])

            return mixed
        case other:
            raise ValueError(f"no distribution {other}")


def course(law: Any, seconds: float, rng: np.random.Generator) -> Course:
    """A number, or points joined by steps or lines, times a noise that wanders (Ornstein-Uhlenbeck)."""
    if isinstance(law, int | float):
        return lambda _: float(law)
    at = np.arange(int(seconds / COURSE_SECONDS) + 2) * COURSE_SECONDS
    points = np.array(law["points"], float)
    if law.get("interp", "linear") == "linear":
        values = np.interp(at, points[:, 0], points[:, 1])
    else:
        values = points[np.clip(np.searchsorted(points[:, 0], at, side="right") - 1, 0, None), 1]
    if "ou" in law:
        deviation, keep = law["ou"]["sd"], math.exp(-COURSE_SECONDS / law["ou"]["tau_s"])
        noise = [rng.normal(0, deviation)]
        for step in rng.normal(0, deviation * math.sqrt(1 - keep * keep), len(at) - 1):
            noise.append(keep * noise[-1] + step)
        values = values * np.exp(np.array(noise) - deviation * deviation / 2)
    table = np.clip(values, law.get("min", 0.0), law.get("max", 1e9)).tolist()
    return lambda t: float(table[int(t / COURSE_SECONDS)])


def movements(scenario: Mapping[str, Any], rng: np.random.Generator) -> Iterator[Movement]:
    staff, agents, seconds = scenario.get("staff", {}), scenario["agents"], scenario["duration_s"]
    every, length = staff.get("pause_every_s", 0.0), staff.get("pause_len_s", 300.0)
    for agent in range(agents):
        at = float(rng.uniform(0, staff.get("login_stagger_s", 0.0)))
        yield Movement(at, agent, "login")
        while every and (at := at + float(rng.exponential(every))) < seconds:
            pause = float(rng.gamma(4, length / 4))
            yield Movement(at, agent, "rest", pause)
            at += pause
    for at, share in staff.get("logout", []):
        for agent in rng.permutation(agents)[: round(share * agents)].tolist():
            yield Movement(at + float(rng.uniform(0, 120)), agent, "logout")
    for since, until, share in staff.get("away", []):
        for agent in rng.permutation(agents)[: round(share * agents)].tolist():
            yield Movement(since + float(rng.uniform(0, 60)), agent, "rest", float(until - since))
