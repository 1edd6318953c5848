"""PURE. Which of a campaign's numbers the person called sees."""

import re
from collections import Counter
from collections.abc import Sequence


class CallerIds:
    """Those of the called area code are shown first, in turn; where there is none, all of them in turn."""

    def __init__(self) -> None:
        self._turns: Counter[str] = Counter()  # by area code; "" where the whole pool was used

    def choose(self, pool: Sequence[str], number: str) -> str:
        """For a call to `number` in E.164; empty when the pool is."""
        area = number[3:5] if number.startswith("+55") else ""
        near = [each for each in pool if area and area_code(each) == area]
        of, turn = (near, area) if near else (pool, "")
        self._turns[turn] += 1
        return of[(self._turns[turn] - 1) % len(of)] if of else ""


def area_code(number: str) -> str:
    """Of a Brazilian number written in any way; empty for one of another country."""
    digits = re.sub(r"\D", "", number)
    if number.strip().startswith("+") and not digits.startswith("55"):
        return ""
    digits = digits[2:] if digits.startswith("55") and len(digits) > 11 else digits
    return digits.lstrip("0")[:2]
