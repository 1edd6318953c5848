"""How far each campaign's list has been worked, whatever its size: from the counts that reports keep."""

from collections.abc import Iterable
from dataclasses import dataclass

import asyncpg

from crm.db import Db
from crm.item_states import State

NAMES = {  # as report_state numbers them
    State.NOT_WORKED: "not_worked",
    State.TO_CALL_BACK: "to_call_back",
    State.TRYING: "trying",
    State.TRYING_CALLBACK: "trying_callback",
    State.CONCLUDED: "success",
    State.HIT_LIMIT: "hit_limit",
    State.CANCELLED: "cancelled",
    7: "failure",
    8: "concluded",
}
TO_WORK = ("not_worked", "to_call_back", "trying", "trying_callback")


@dataclass(frozen=True, slots=True)
class Counts:
    of_state: dict[str, int]  # by the names above; what is not there is none

    @property
    def states(self) -> dict[State, int]:
        """Of each state; the concluded ones together."""
        answer = dict.fromkeys(State, 0)
        for state, name in NAMES.items():
            answer[State.CONCLUDED if state > max(State) else State(state)] += self.of_state.get(name, 0)
        return answer

    @property
    def all(self) -> int:
        return sum(self.of_state.values())

    @property
    def promised(self) -> int:
        """Callbacks agreed and not kept yet."""
        return self.of_state.get("to_call_back", 0) + self.of_state.get("trying_callback", 0)

    @property
    def left(self) -> int:
        """Whom somebody may still be given."""
        return sum(self.of_state.get(name, 0) for name in TO_WORK)

    @property
    def worked(self) -> int:
        """Tried at least once, or ended."""
        return self.all - self.of_state.get("not_worked", 0)


async def by_campaign(db: Db | asyncpg.Connection, ids: Iterable[int]) -> dict[int, Counts]:
    """Of the lists as they are now; a campaign without a list counts nothing."""
    rows = await db.fetch(
        """
        SELECT campaign_id, state, sum(n)::bigint AS n
          FROM (SELECT campaign_id, generation, state, n FROM report_list
                 UNION ALL
                SELECT campaign_id, generation, state, n FROM report_list_change) AS counted
          JOIN campaign ON campaign.id = campaign_id AND campaign.generation = counted.generation
         WHERE campaign_id = ANY($1)
         GROUP BY campaign_id, state
        HAVING sum(n) > 0
        """,
        wanted := list(ids),
    )
    found: dict[int, dict[str, int]] = {campaign_id: {} for campaign_id in wanted}
    for row in rows:
        found[row["campaign_id"]][NAMES[row["state"]]] = row["n"]
    return {campaign_id: Counts(of_state) for campaign_id, of_state in found.items()}
