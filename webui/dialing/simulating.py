"""A simulation's own process, so that no call waits for it: `python -m webui.dialing.simulating`.

It reads one JSON object from stdin, {"history": …, "plans": [Plan, …]}, and writes a Forecast a line.
"""

import json
import os
import sys
from dataclasses import asdict

from dialer.simulation import History, Plan, simulate

NICE = 10  # calls come first


def main() -> None:
    os.nice(NICE)
    asked = json.load(sys.stdin)
    history = History(**asked["history"])
    for plan in asked["plans"]:
        print(json.dumps(asdict(simulate(history, Plan(**plan)))), flush=True)


if __name__ == "__main__":
    main()
