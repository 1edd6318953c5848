"""Scripts: written step by step with choices between them, and tried out as an agent will see them."""

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from markupsafe import Markup, escape
from multidict import MultiMapping

from crm import contacts, custom_fields, scripts
from crm.contacts import Contact
from crm.refused import Refused
from crm.scripts import MERGE, Script, ScriptKind, merge, unknown_fields, unreachable
from webui.auth import require
from webui.page import DB, FLOOR, language, render, words
from webui.scripts.words import KINDS, offered
from webui.sent import errors, several

NEW_STEP = "+"  # a choice that leads here makes the step it leads to
STEPS_MAX = 200
EXAMPLE = Contact(
    0,
    "Mariana Albuquerque",
    "Padaria São Jorge",
    "52998224725",
    "mariana@exemplo.com.br",
    "",
    ("+5511987654321",),
    external_code="A-1027",
)

routes = web.RouteTableDef()


@routes.get("/scripts")
@require("run_campaigns")
async def all_scripts(request: web.Request) -> web.Response:
    _ = words(request)
    return render(
        request,
        "scripts/list.html",
        scripts=[(script, len(unreachable(script))) for script in await scripts.all(request.app[DB])],
        kinds={kind: _(word) for kind, word in KINDS.items()},
        removed="removed" in request.query,
    )


@routes.get("/scripts/new")
@require("run_campaigns")
async def new(request: web.Request) -> web.Response:
    _ = words(request)
    first = {"ref": "n1", "title": _("Opening"), "text": "", "fields": [], "choices": []}
    kind = request.query.get("kind", "")
    return await editor(
        request,
        None,
        {"name": "", "kind": kind if kind in list(ScriptKind) else "approach", "steps": [first]},
    )


@routes.post("/scripts/new")
@require("run_campaigns")
async def create(request: web.Request) -> web.Response:
    return await change(request, None)


@routes.get("/scripts/{id:[0-9]{1,9}}")
@require("run_campaigns")
async def one(request: web.Request) -> web.Response:
    script = await find(request)
    return await editor(request, script, scripts.plain(script))


@routes.post("/scripts/{id:[0-9]{1,9}}")
@require("run_campaigns")
async def update(request: web.Request) -> web.Response:
    return await change(request, await find(request))


@routes.post("/scripts/{id:[0-9]{1,9}}/remove")
@require("run_campaigns")
async def remove(request: web.Request) -> web.Response:
    script = await find(request)
    try:
        await scripts.remove(request.app[DB], request["user"], script.id)
    except Refused as refused:
        return await editor(request, script, scripts.plain(script), errors(request, refused))
    raise web.HTTPSeeOther("/scripts?removed=1")


@routes.get("/scripts/{id:[0-9]{1,9}}/preview")
@require("run_campaigns")
async def preview(request: web.Request) -> web.Response:
    """The script as an agent sees it, with a customer of the reader's choice or an example."""
    script = await find(request)
    db, text = request.app[DB], request.query.get("contact", "").strip()
    found = await contacts.search(db, text, 1) if text else []
    trail = [
        step
        for ref in request.query.get("trail", "").split(".")[:50]
        if re.fullmatch(r"[0-9]{1,9}", ref) and (step := script.step(int(ref)))
    ]
    asked = request.query.get("step", "")
    ended = asked == "end"
    step = script.step(int(asked)) if re.fullmatch(r"[0-9]{1,9}", asked) else None
    step = step or script.steps[0]
    contact = found[0] if found else EXAMPLE
    _ = words(request)
    labels = form_fields(request)
    return render(
        request,
        "scripts/preview.html",
        script=script,
        kinds={kind: _(word) for kind, word in KINDS.items()},
        step=step,
        ended=ended,
        trail=trail,
        here_trail=".".join(str(each.id) for each in [*trail, step]),
        said=spoken(step.text, contact, _("(campaign)"), request["user"].name),
        fields=[labels.get(key, key) for key in step.fields],
        contact=contact,
        text=text,
        nobody=bool(text) and not found,
    )


@routes.get("/scripts/{id:[0-9]{1,9}}/versions")
@require("run_campaigns")
async def versions(request: web.Request) -> web.Response:
    """How the script was, version by version; the chosen one is shown whole and can be brought back."""
    return await history(request, await find(request))


@routes.post("/scripts/{id:[0-9]{1,9}}/versions")
@require("run_campaigns")
async def restore(request: web.Request) -> web.Response:
    script, version = await find(request), str((await request.post()).get("version", ""))
    try:
        chosen = int(version) if re.fullmatch(r"[0-9]{1,9}", version) else 0
        await scripts.restore(request.app[DB], request["user"], script.id, chosen)
    except Refused as refused:
        return await history(request, script, errors(request, refused))
    raise web.HTTPSeeOther(f"/scripts/{script.id}?saved=1")


async def history(
    request: web.Request, script: Script, wrong: Mapping[str, str] | None = None
) -> web.Response:
    found = await scripts.versions(request.app[DB], script.id)
    asked = request.query.get("version", "")
    shown = next((each for each in found if str(each.version) == asked), found[0] if found else None)
    steps = shown.body["steps"] if shown else []
    numbers = {step["ref"]: n for n, step in enumerate(steps, start=1)}
    labels = form_fields(request)
    return render(
        request,
        "scripts/versions.html",
        status=422 if wrong else 200,
        script=script,
        versions=found,
        shown=shown,
        numbers=numbers,
        labels=labels,
        errors=wrong or {},
    )


def spoken(text: str, contact: Contact, campaign: str, agent: str) -> Markup:
    """The merged text; a field that means nothing stands out."""
    said = str(escape(merge(text, contact, campaign, agent)))
    return Markup(MERGE.sub(lambda match: f"<mark>{match[0]}</mark>", said))


async def change(request: web.Request, script: Script | None) -> web.Response:
    """Save, or draw the editor again with its shape changed."""
    db, sent = request.app[DB], await request.post()
    values = written(sent)
    added = act(values, str(sent.get("do", "save")))
    if str(sent.get("do", "save")) != "save":
        return await editor(request, script, values, added=added)
    try:
        if script is None:
            script = await scripts.create(db, request["user"], **values)
        else:
            version = str(sent.get("version", ""))
            await scripts.update(
                db,
                request["user"],
                script.id,
                version=int(version) if version.isdigit() else None,
                **values,
            )
    except Refused as refused:
        return await editor(request, script, values, errors(request, refused))
    raise web.HTTPSeeOther(f"/scripts/{script.id}?saved=1")


def written(sent: MultiMapping[Any]) -> dict[str, Any]:
    """The script as typed; a choice without a word and without a step is none."""
    steps: list[dict[str, Any]] = []
    for ref in list(dict.fromkeys(several(sent, "step")))[: STEPS_MAX + 1]:
        choices = [
            {
                "label": str(sent.get(f"label.{ref}.{n}", "")),
                "next": str(sent.get(f"next.{ref}.{n}", "")),
                "n": n,
            }
            for n in several(sent, f"choice.{ref}")
        ]
        steps.append(
            {
                "ref": ref,
                "title": str(sent.get(f"title.{ref}", "")),
                "text": str(sent.get(f"text.{ref}", "")).replace("\r\n", "\n"),
                "fields": several(sent, f"fields.{ref}"),
                "choices": choices,
            }
        )
    return {"name": str(sent.get("name", "")), "kind": str(sent.get("kind", "")), "steps": steps}


def act(values: dict[str, Any], do: str) -> str | None:
    """Carry out a button's wish; the id of the field to go on with. Also makes the steps choices ask for."""
    steps: list[dict[str, Any]] = values["steps"]
    what, _, which = do.partition(":")
    ref, _, n = which.partition(":")
    place = next((i for i, step in enumerate(steps) if step["ref"] == ref), None)
    focus = None
    for step in list(steps):
        for choice in step["choices"]:
            if choice["next"] == NEW_STEP:
                made = blank(steps, choice["label"])
                choice["next"] = made["ref"]
                steps.append(made)
                focus = f"title-{made['ref']}"
    if what == "step" and len(steps) < STEPS_MAX:
        steps.append(blank(steps))
        focus = f"title-{steps[-1]['ref']}"
    elif place is not None and what == "choice":
        numbers = [int(c["n"]) for c in steps[place]["choices"] if str(c["n"]).isdigit()]
        n = str(max(numbers, default=-1) + 1)
        steps[place]["choices"].append({"label": "", "next": "", "n": n})
        focus = f"label-{ref}-{n}"
    elif place is not None and what == "remove":
        del steps[place]
        for step in steps:
            for choice in step["choices"]:
                choice["next"] = "" if choice["next"] == ref else choice["next"]
    elif place is not None and what == "unchoose":
        steps[place]["choices"] = [c for c in steps[place]["choices"] if c["n"] != n]
    elif place is not None and what in ("up", "down"):
        other = place + (-1 if what == "up" else 1)
        if 0 <= other < len(steps):
            steps[place], steps[other] = steps[other], steps[place]
    return focus


def blank(steps: list[dict[str, Any]], title: str = "") -> dict[str, Any]:
    taken = {step["ref"] for step in steps}
    ref = next(f"n{n}" for n in range(1, STEPS_MAX * 2) if f"n{n}" not in taken)
    return {"ref": ref, "title": title, "text": "", "fields": [], "choices": []}


async def editor(
    request: web.Request,
    script: Script | None,
    values: Mapping[str, Any],
    wrong: Mapping[str, str] | None = None,
    added: str | None = None,
) -> web.Response:
    _ = words(request)
    custom = await custom_fields.all(request.app[DB])
    steps = values["steps"]
    for step in steps:
        for n, choice in enumerate(step["choices"]):
            choice.setdefault("n", str(n))
    return render(
        request,
        "scripts/editor.html",
        status=422 if wrong else 200,
        script=script,
        values=values,
        steps=steps,
        version=script.version if script else "",
        kinds=[(kind, _(word)) for kind, word in KINDS.items()],
        offered=offered(custom, language(request), _),
        form_fields=list(form_fields(request).items()),
        unknown={
            step["ref"]: [
                "{{" + name + "}}" for name in unknown_fields(step["text"], [f.key for f in custom])
            ]
            for step in steps
        },
        lost=not_reached(steps) if values["kind"] != ScriptKind.BARRIER else set(),
        new_step=NEW_STEP,
        errors=wrong or {},
        added=added,
        saved="saved" in request.query and request.method == "GET",
    )


def not_reached(steps: list[dict[str, Any]]) -> set[str]:
    """Refs of the steps no choice leads to from the first one."""
    by_ref = {step["ref"]: step for step in steps}
    reached: set[str] = set()
    to_visit = [steps[0]["ref"]] if steps else []
    while to_visit:
        ref = to_visit.pop()
        if ref in by_ref and ref not in reached:
            reached.add(ref)
            to_visit += [choice["next"] for choice in by_ref[ref]["choices"]]
    return set(by_ref) - reached


def form_fields(request: web.Request) -> dict[str, str]:
    """The label of each field of any tabulation form, by its key."""
    layouts = request.app[FLOOR].centre.layouts.values()
    found = {field.key: field.label for layout in layouts for field in layout.fields}
    return dict(sorted(found.items(), key=lambda pair: pair[1].casefold()))


async def find(request: web.Request) -> Script:
    script = await scripts.by_id(request.app[DB], int(request.match_info["id"]))
    if script is None:
        raise web.HTTPNotFound(text="there is no such script\n")
    return script
