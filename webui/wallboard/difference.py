"""What changed between two pictures of the wall: the smallest message that makes an old one new.

Pure: two pictures in, one message (or none) out.
"""

from collections.abc import Mapping
from typing import Any

Wall = Mapping[str, Any]
"""The picture `floor.wall()` gives: now, queues (by name), agents (by id), waiting (longest first)."""


def difference(before: Wall, after: Wall) -> dict[str, Any] | None:
    """The change from one picture to the next, or None when nobody could see one.

    Rows that stay as they are stay unsaid; the waiting list is short and is sent whole when it changed.
    """
    change: dict[str, Any] = {}
    for kind, key in (("queues", "name"), ("agents", "id")):
        old = {row[key]: row for row in before[kind]}
        new = {row[key]: row for row in after[kind]}
        changed = [row for name, row in new.items() if old.get(name) != row]
        gone = [name for name in old if name not in new]
        if changed:
            change[kind] = changed
        if gone:
            change[f"{kind}_gone"] = gone
    if before["waiting"] != after["waiting"]:
        change["waiting"] = list(after["waiting"])
    return {"kind": "change", "now": after["now"], **change} if change else None
