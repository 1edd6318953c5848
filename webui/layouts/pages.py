"""Layouts: the forms agents fill about calls (EPB-64 to EPB-69), their categories, and a trial of each."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from crm import campaign_choices, layouts
from crm.entry import MESSAGES
from crm.form import CATEGORY, CHOICES, Layout, Permission, check, key_of
from crm.refused import Refused
from webui.address import Address, is_id
from webui.auth import require
from webui.effect import take_effect
from webui.layouts.words import KINDS, SCENARIOS
from webui.page import DB, FLOOR, render, words
from webui.sent import errors, several, typed

BLANK_ROWS = 3
FACTS = ("key", "label", "kind", "required", "options", "length_max")
WHO = ("group_id", "campaign_id")

Row = dict[str, str]
Permitted = dict[str, Any]

routes = web.RouteTableDef()


@routes.get("/layouts")
@require("administer")
async def all_layouts(request: web.Request) -> web.Response:
    address = Address("/layouts", request.query)
    text = address.text("text").casefold()
    _, db = words(request), request.app[DB]
    found = await layouts.all(db)
    return render(
        request,
        "layouts/list.html",
        address=address,
        layouts=[each for each in found if text in each.label.casefold() or text in each.name],
        count=len(found),
        asking=await layouts.asked_by(db),
        groups=request.app[FLOOR].centre.groups,
        campaigns=await campaign_choices.names(db),
        scenarios={scenario: _(word) for scenario, word in SCENARIOS.items()},
    )


@routes.get("/layouts/new")
@require("administer")
async def new(request: web.Request) -> web.Response:
    return await form(request, None, {}, [], [], [])


@routes.post("/layouts/new")
@require("administer")
async def create(request: web.Request) -> web.Response:
    sent = await request.post()
    rows, permitted = rows_of(sent), permitted_of(sent)
    try:
        made = await layouts.create(request.app[DB], request["user"], **facts(sent, rows, permitted))
    except Refused as refused:
        wrong = errors(request, refused)
        return await form(request, None, typed(sent), rows, several(sent, "types"), permitted, wrong)
    await take_effect(request)
    raise web.HTTPSeeOther(f"/layouts/{made.id}?saved=1")


@routes.get("/layouts/{id:[0-9]{1,9}}")
@require("administer")
async def one(request: web.Request) -> web.Response:
    return await as_it_is(request, await find(request))


@routes.post("/layouts/{id:[0-9]{1,9}}")
@require("administer")
async def update(request: web.Request) -> web.Response:
    layout, sent = await find(request), await request.post()
    rows, permitted = rows_of(sent), permitted_of(sent)
    try:
        await layouts.update(request.app[DB], request["user"], layout.id, **facts(sent, rows, permitted))
    except Refused as refused:
        wrong = errors(request, refused)
        return await form(request, layout, typed(sent), rows, several(sent, "types"), permitted, wrong)
    await take_effect(request)
    raise web.HTTPSeeOther(f"/layouts/{layout.id}?saved=1")


@routes.post("/layouts/{id:[0-9]{1,9}}/remove")
@require("administer")
async def remove(request: web.Request) -> web.Response:
    layout = await find(request)
    try:
        await layouts.remove(request.app[DB], request["user"], layout.id)
    except Refused as refused:
        return await as_it_is(request, layout, errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther("/layouts")


@routes.get("/layouts/{id:[0-9]{1,9}}/simulate")
@routes.post("/layouts/{id:[0-9]{1,9}}/simulate")
@require("administer")
async def simulate(request: web.Request) -> web.Response:
    """The form as an agent sees it (EPB-68). What is filled in is checked, and kept nowhere."""
    _ = words(request)
    layout, sent = await find(request), await request.post()
    answers = {name: value for name, value in typed(sent).items() if name != "csrf"}
    wrong = check(layout, answers) if request.method == "POST" else {}
    return render(
        request,
        "layouts/simulate.html",
        status=422 if wrong else 200,
        layout=layout,
        answers=answers,
        errors={name: _(MESSAGES[key]) for name, key in wrong.items()},
        would_be_saved=request.method == "POST" and not wrong,
        category=CATEGORY,
        choices=CHOICES,
    )


@routes.get("/layouts/categories")
@require("administer")
async def categories(request: web.Request) -> web.Response:
    return await category_page(request)


@routes.post("/layouts/categories")
@require("administer")
async def change_categories(request: web.Request) -> web.Response:
    """One change to the types and categories: `do` says which."""
    db, by, sent = request.app[DB], request["user"], await request.post()
    mark, id = str(sent.get("mark", "")), str(sent.get("id", ""))
    if not is_id(id or "0"):
        raise web.HTTPUnprocessableEntity(text="no such type or category\n")
    name, success = str(sent.get(f"name-{mark}", "")), sent.get(f"success-{mark}", "")
    try:
        match "remove" if "remove" in sent else sent.get("do"):
            case "create_type":
                await layouts.create_type(db, by, name=name)
            case "rename_type":
                await layouts.rename_type(db, by, int(id), name=name)
            case "create":
                await layouts.create_category(db, by, int(id), name=name, success=success)
            case "update":
                await layouts.update_category(db, by, int(id), name=name, success=success)
            case "remove":
                await layouts.remove_category(db, by, int(id))
    except Refused as refused:
        return await category_page(request, typed(sent), errors(request, refused))
    await take_effect(request)
    raise web.HTTPSeeOther("/layouts/categories?saved=1")


async def category_page(
    request: web.Request, values: Mapping[str, str] | None = None, wrong: Mapping[str, str] | None = None
) -> web.Response:
    return render(
        request,
        "layouts/categories.html",
        status=422 if wrong else 200,
        types=await layouts.types(request.app[DB]),
        values=values or {},
        errors=wrong or {},
        saved="saved" in request.query,
    )


async def as_it_is(
    request: web.Request, layout: Layout, wrong: Mapping[str, str] | None = None
) -> web.Response:
    return await form(
        request,
        layout,
        {"name": layout.name, "label": layout.label},
        [row_of(asdict(field)) for field in layout.fields],
        [str(type.id) for type in layout.types],
        [shown(permission) for permission in layout.permissions],
        wrong,
    )


async def form(
    request: web.Request,
    layout: Layout | None,
    values: Mapping[str, str],
    rows: Sequence[Row],
    types: Sequence[str],
    permitted: Sequence[Permitted],
    wrong: Mapping[str, str] | None = None,
) -> web.Response:
    _, db = words(request), request.app[DB]
    return render(
        request,
        "layouts/form.html",
        status=422 if wrong else 200,
        layout=layout,
        values=values,
        rows=[*rows, *(row_of({}) for _row in range(BLANK_ROWS))],
        chosen=set(types),
        types=await layouts.types(db),
        kinds=[(kind, _(word)) for kind, word in KINDS.items()],
        permitted=permitted,
        groups=sorted((each.id, each.name) for each in request.app[FLOOR].centre.groups.values()),
        campaigns=list((await campaign_choices.names(db)).items()),
        scenarios=[(scenario, _(word)) for scenario, word in SCENARIOS.items()],
        errors=wrong or {},
        saved="saved" in request.query,
    )


def facts(sent: MultiMapping[Any], rows: Sequence[Row], permitted: Sequence[Permitted]) -> dict[str, Any]:
    return {
        "name": str(sent.get("name", "")) or key_of(str(sent.get("label", ""))),
        "label": sent.get("label", ""),
        "fields": rows,
        "types": several(sent, "types"),
        "permissions": permitted,
    }


def permitted_of(sent: MultiMapping[Any]) -> list[Permitted]:
    """The permissions as chosen; a row in which nothing is chosen is none."""
    every = [
        {who: str(sent.get(f"{who}.{n}", "")) for who in WHO} | {"scenarios": several(sent, f"scenarios.{n}")}
        for n in several(sent, "permission")
        if f"revoke.{n}" not in sent
    ]
    return [each for each in every if any(each.values())]


def shown(permission: Permission) -> Permitted:
    return {
        "group_id": permission.group_id or "",
        "campaign_id": permission.campaign_id or "",
        "scenarios": permission.scenarios,
    }


def rows_of(sent: MultiMapping[Any]) -> list[Row]:
    """The fields as typed, in the order of their position; a row without label and key is none."""
    rows = []
    for n in several(sent, "row"):
        row = {name: str(sent.get(f"{name}.{n}", "")) for name in FACTS}
        if (row["label"] or row["key"]) and f"remove.{n}" not in sent:
            row["key"] = row["key"] or key_of(row["label"])
            rows.append((as_position(str(sent.get(f"position.{n}", ""))), row))
    return [row for _position, row in sorted(rows, key=lambda pair: pair[0])]


def row_of(field: Mapping[str, Any]) -> Row:
    row = {name: str(field.get(name) or "") for name in FACTS}
    return row | {
        "options": "\n".join(field.get("options", ())),
        "required": "1" if field.get("required") else "",
    }


def as_position(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return float("inf")


async def find(request: web.Request) -> Layout:
    layout = await layouts.by_id(request.app[DB], int(request.match_info["id"]))
    if layout is None:
        raise web.HTTPNotFound(text="there is no such layout\n")
    return layout
