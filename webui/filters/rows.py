"""A filter's tree as the rows of a form, there and back. Pure.

Each row has a number `n`, and says in which group it stands: `in.n`. A group has `join.n`; a condition
`field.n`, `test.n` and `value.n`, the last any number of times. A button is `do`: what, and with which row.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from multidict import MultiMapping

from crm.filters import SEVERAL, TESTS, TWO, WITHOUT_VALUE, Field, Sort, Tree

ROWS_MAX = 300
NEW = "name"  # the field of a condition just added


@dataclass
class Row:
    n: int
    group: bool
    join: str = "all"
    field: str = NEW
    test: str = ""
    values: list[str] = dataclasses.field(default_factory=list)
    rows: list["Row"] = dataclasses.field(default_factory=list)
    wrong: str = ""

    def everything(self) -> Iterator["Row"]:
        yield self
        for row in self.rows:
            yield from row.everything()


def of_tree(tree: Tree) -> Row:
    """The root is always a group."""
    root = of_node(tree, iter(range(1, ROWS_MAX * 10)))
    return dataclasses.replace(root, n=0) if root.group else Row(0, True, "all", rows=[root])


def of_node(tree: Tree, numbers: Iterator[int]) -> Row:
    n = next(numbers)
    match tree:
        case {"all": nodes} | {"any": nodes}:
            return Row(n, True, next(iter(tree)), rows=[of_node(each, numbers) for each in nodes])
        case {"not": {"not": inner}}:
            return of_node(inner, numbers)
        case {"not": {"all": nodes}}:
            return Row(n, True, "not_all", rows=[of_node(each, numbers) for each in nodes])
        case {"not": {"any": nodes}}:
            return Row(n, True, "none", rows=[of_node(each, numbers) for each in nodes])
        case {"not": inner}:
            return Row(n, True, "none", rows=[of_node(inner, numbers)])
    value = tree.get("value")
    values = [str(each) for each in value] if isinstance(value, list) else [str(value)] if value else []
    return Row(n, False, field=str(tree.get("field")), test=str(tree.get("test")), values=values)


def of_form(sent: MultiMapping[Any], fields: Mapping[str, Field], new: str = NEW) -> Row:
    """The rows as sent; what does not hang on the root is passed over, an unknown field becomes `new`."""
    found: dict[int, Row] = {}
    root = Row(0, True, join_of(sent, 0))
    found[0] = root
    for text in sent.getall("row", [])[:ROWS_MAX]:
        if not re.fullmatch(r"[1-9][0-9]{0,4}", str(text)) or int(text) in found:
            continue
        n = int(text)
        above = found.get(int(str(sent.get(f"in.{n}", "0")) or 0) if is_number(sent, f"in.{n}") else 0)
        if above is None or not above.group:
            continue
        if f"join.{n}" in sent:
            row = Row(n, True, join_of(sent, n))
        else:
            row = condition_of(sent, n, fields, new)
        found[n] = row
        above.rows.append(row)
    return root


def is_number(sent: MultiMapping[Any], name: str) -> bool:
    return re.fullmatch(r"[0-9]{1,5}", str(sent.get(name, ""))) is not None


def join_of(sent: MultiMapping[Any], n: int) -> str:
    join = str(sent.get(f"join.{n}", "all"))
    return join if join in ("all", "any", "none", "not_all") else "all"


def condition_of(sent: MultiMapping[Any], n: int, fields: Mapping[str, Field], new: str) -> Row:
    """Another field than before may not know the test that stands beside it; then its first is taken."""
    key = str(sent.get(f"field.{n}", new))
    test = str(sent.get(f"test.{n}", ""))
    values = [str(value) for value in sent.getall(f"value.{n}", [])]
    known = fields.get(key)
    if known is None:
        key, known = new, fields[new]
    if key != str(sent.get(f"was.{n}", key)):
        values = []
    if test not in TESTS[known.sort]:
        test = TESTS[known.sort][0]
    if test in SEVERAL and len(values) == 1:
        between = r"[\n;]" if known.sort is Sort.PHONE else r"\n"  # as the form asks for them
        values = [word.strip() for word in re.split(between, values[0]) if word.strip()]
    return Row(n, False, field=key, test=test, values=values)


def act(root: Row, do: str, fields: Mapping[str, Field], new: str = NEW) -> int | None:
    """Carry out a button's wish: "condition:3", "group:3" or "remove:3"; the number of what was added."""
    test = TESTS[fields[new].sort][0]
    what, _, which = do.partition(":")
    if not re.fullmatch(r"[0-9]{1,5}", which):
        return None
    rows = {row.n: row for row in root.everything()}
    n = max(rows) + 1
    target = rows.get(int(which))
    if target is not None and what == "remove":
        for row in rows.values():
            row.rows = [each for each in row.rows if each is not target]
    elif target is not None and target.group and len(rows) < ROWS_MAX:
        if what == "condition":
            target.rows.append(Row(n, False, field=new, test=test))
            return n
        if what == "group":
            join = "any" if target.join == "all" else "all"
            target.rows.append(Row(n, True, join, rows=[Row(n + 1, False, field=new, test=test)]))
            return n + 1
    return None


def to_tree(row: Row) -> dict[str, Any]:
    if row.group:
        nodes = [to_tree(each) for each in row.rows]
        match row.join:
            case "none":
                return {"not": {"any": nodes}}
            case "not_all":
                return {"not": {"all": nodes}}
            case join:
                return {join: nodes}
    leaf: dict[str, Any] = {"field": row.field, "test": row.test}
    if row.test in SEVERAL | TWO:
        leaf["value"] = row.values
    elif row.test not in WITHOUT_VALUE:
        leaf["value"] = row.values[0] if row.values else ""
    return leaf


def mark(root: Row, errors: Mapping[str, str]) -> None:
    """Put what is wrong, named by its path in the tree, beside its row."""
    for path, word in errors.items():
        row = root
        for step in path.split(".")[1:]:
            if step.isdigit() and int(step) < len(row.rows):
                row = row.rows[int(step)]
        row.wrong = row.wrong or word


def mark_complete(root: Row, asked: Row | None, errors: Mapping[str, str]) -> None:
    """The same where only the complete conditions were asked, `asked` of `root`."""
    numbered = {row.n: row for row in root.everything()}
    if asked is not None:
        mark(asked, errors)
        for row in asked.everything():
            numbered[row.n].wrong = row.wrong


def conditions(root: Row | None) -> int:
    """How many there are."""
    return sum(1 for row in root.everything() if not row.group) if root else 0


def complete(row: Row) -> Row | None:
    """Without the conditions that still want a value, and without groups left empty by that."""
    if not row.group:
        wanted = 0 if row.test in WITHOUT_VALUE else 2 if row.test in TWO else 1
        return row if len([value for value in row.values if value.strip()]) >= wanted else None
    kept = [each for each in map(complete, row.rows) if each is not None]
    return Row(row.n, True, row.join, rows=kept) if kept else None
