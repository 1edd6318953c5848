"""A custom report as the builder's form: what was sent, what a button does to it, what it becomes. Pure.

Besides the rows of the tree (webui.filters.rows): `columns` and `asks` in order, `pick` and `ask` as ticked
in the lists; `group` up to three times; `of` and `how` once for each measure; `order` with `way`.
A button is `do`: what, and with which.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multidict import MultiMapping

from crm import custom_reports, filters
from crm.custom_reports import GROUPS_MAX, MEASURES_MAX, SUBJECTS, Column, CustomReport, fields_of
from webui.filters import rows
from webui.filters.rows import Row, of_form, of_tree, to_tree
from webui.sent import moved, several

OF_ROWS = ("count", "share")  # what is measured of rows as such


@dataclass
class Measure:
    of: str  # count, share, or a column's key
    how: str = ""

    @property
    def said(self) -> str:
        return self.of if self.of in OF_ROWS else f"{self.how}:{self.of}"


@dataclass
class Form:
    subject: str
    root: Row
    name: str = ""
    about: str = ""
    columns: list[str] = dataclasses.field(default_factory=list)
    groups: list[str] = dataclasses.field(default_factory=list)
    measures: list[Measure] = dataclasses.field(default_factory=list)
    order: str = ""
    descending: bool = False
    period: str = "last_30"
    asks: list[str] = dataclasses.field(default_factory=list)
    shared: bool = False

    def facts(self) -> dict[str, Any]:
        """As crm.custom_reports keeps them."""
        return {
            "name": self.name,
            "about": self.about,
            "subject": self.subject,
            "columns": self.columns,
            "tree": to_tree(self.root),
            "order": ("-" if self.descending else "") + self.order if self.order else "",
            "groups": self.groups,
            "measures": [each.said for each in self.measures] if self.groups else [],
            "period": self.period,
            "asks": self.asks,
            "shared": self.shared,
        }


def of_report(report: CustomReport) -> Form:
    measures = [Measure(said) if said in OF_ROWS else split(said) for said in report.measures]
    return Form(
        report.subject,
        of_tree(report.tree),
        report.name,
        report.about,
        list(report.columns),
        list(report.groups),
        measures,
        report.order.removeprefix("-"),
        report.order.startswith("-"),
        report.period,
        list(report.asks),
        report.shared,
    )


def split(said: str) -> Measure:
    how, _, of = said.partition(":")
    return Measure(of, how)


def of_sent(sent: MultiMapping[Any], known: Mapping[str, Column], subject: str) -> Form:
    """`known` are the columns of the subject the form was drawn for."""
    fields = fields_of(known)
    groups = [each for each in dict.fromkeys(several(sent, "group")) if each][:GROUPS_MAX]
    measures = [
        measured(of, how, known)
        for of, how in zip(several(sent, "of"), several(sent, "how"), strict=False)
        if of in OF_ROWS or of in known
    ]
    form = Form(
        subject,
        of_form(sent, fields, first(known)),
        str(sent.get("name", "")),
        str(sent.get("about", "")),
        in_order(several(sent, "columns"), several(sent, "pick"), known),
        [each for each in groups if exists(each, known)],
        measures[:MEASURES_MAX],
        period=str(sent.get("period", "")),
        asks=in_order(several(sent, "asks"), several(sent, "ask"), known),
        shared=sent.get("shared") == "1",
    )
    if form.groups and not form.measures:
        form.measures = [Measure("count")]
    form.order = str(sent.get("order", ""))
    form.descending = sent.get("way") == "down"
    if form.order not in orders(form):
        form.order = ""
    return form


def first(known: Mapping[str, Column]) -> str:
    """The field of a condition just added."""
    return next(iter(known))


def in_order(chosen: Sequence[str], ticked: Iterable[str], known: Mapping[str, Column]) -> list[str]:
    """Those ticked: first as they were in order, then the ones ticked since, as the list has them."""
    wanted = set(ticked)
    kept = [key for key in dict.fromkeys(chosen) if key in wanted and key in known]
    return kept + [key for key in known if key in wanted and key not in kept]


def measured(of: str, how: str, known: Mapping[str, Column]) -> Measure:
    """Another column than before may not be measured like that; then its first way is taken."""
    if of in OF_ROWS:
        return Measure(of)
    ways = known[of].measures
    return Measure(of, how if how in ways else ways[0])


def exists(group: str, known: Mapping[str, Column]) -> bool:
    key, _, part = group.partition(":")
    return key in known and part in known[key].parts


def orders(form: Form) -> list[str]:
    """What the rows can be sorted by."""
    return [*form.groups, *(each.said for each in form.measures)] if form.groups else form.columns


def used(form: Form) -> list[str]:
    """The keys of the columns that the report says anything about, each once."""
    keys = [*form.columns, *(each.partition(":")[0] for each in form.groups)]
    keys += [each.of for each in form.measures if each.of not in OF_ROWS]
    return list(dict.fromkeys([*keys, *form.asks, *filters.fields_of(to_tree(form.root))]))


def about_others(form: Form, subject: str, known: Mapping[str, Column]) -> Form:
    """The same about other rows: without what these do not have."""
    fields = fields_of(known)
    tree, _ = custom_reports.pruned(to_tree(form.root), fields)
    new = dataclasses.replace(
        form,
        subject=subject,
        root=of_tree(tree),
        columns=[key for key in form.columns if key in known],
        groups=[each for each in form.groups if exists(each, known)],
        measures=[each for each in form.measures if each.of in OF_ROWS or each.of in known],
        asks=[key for key in form.asks if key in known],
    )
    new.columns = new.columns or [key for key in SUBJECTS[subject].usual if key in known]
    if new.order not in orders(new):
        new.order = ""
    return new


def act(form: Form, do: str, known: Mapping[str, Column]) -> str:
    """Carry out a button's wish; the id of what to go on with, such as the row just added."""
    what, _, which = do.partition(":")
    match what:
        case "up" | "down" | "drop":
            return move(form.columns, what, which)
        case "measure" if len(form.measures) < MEASURES_MAX:
            form.measures.append(Measure("count"))
            return f"of-{len(form.measures) - 1}"
        case "unmeasure" if which.isdigit() and int(which) < len(form.measures):
            del form.measures[int(which)]
            return "add-measure"
    fields = fields_of(known)
    added = rows.act(form.root, do, fields, first(known))
    return f"c-{added}" if added is not None else ""


def move(keys: list[str], verb: str, key: str) -> str:
    """Up, down or out; the button to go on with is the same one, or the other where there is no further."""
    if key not in keys:
        return ""
    if verb == "drop":
        at = keys.index(key)
        keys.remove(key)
        return f"drop-{keys[min(at, len(keys) - 1)]}" if keys else ""
    moved(keys, key, verb)
    ends = {0: "down", len(keys) - 1: "up"}
    return f"{ends.get(keys.index(key), verb)}-{key}"
