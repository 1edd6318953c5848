"""The product's pacing under the referee: python ../shared/dialer/judge.py bench.pacing_policy:Policy"""

from dialer.pacing import Pacing


class Policy(Pacing):
    tick = 1.0
    on_events = True
