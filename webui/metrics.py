"""Figures for Prometheus: the floor as it is at the moment of the question, and the process itself."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cti.agent import AgentState
from cti.floor import Floor

FIGURES = web.AppKey("figures", CollectorRegistry)


class FloorFigures(Collector):
    def __init__(self, floor: Floor, history: Any) -> None:
        self._floor, self._history = floor, history

    def collect(self) -> Iterable[GaugeMetricFamily]:
        floor = self._floor
        yield GaugeMetricFamily("ramal_calls", "Calls going on", len(floor.calls))
        agents = GaugeMetricFamily("ramal_agents", "Agents by state", labels=["state"])
        states = Counter(str(agent.state) for agent in floor.agents.values())
        for state in AgentState:
            agents.add_metric([str(state)], states[str(state)])
        yield agents
        waiting = GaugeMetricFamily("ramal_calls_waiting", "Calls waiting in each queue", labels=["queue"])
        for queue in floor.centre.queues:
            waiting.add_metric([queue], floor.waiting_calls(queue))
        yield waiting
        yield GaugeMetricFamily(
            "ramal_history_waiting", "Records not yet in the database", len(self._history)
        )
        yield GaugeMetricFamily(
            "ramal_history_lost", "Records refused because too many waited", self._history.lost
        )


def figures(floor: Floor, history: Any) -> CollectorRegistry:
    """One application's own registry, so that two in one process do not mix."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    if floor is not None and history is not None:
        registry.register(FloorFigures(floor, history))
    return registry
