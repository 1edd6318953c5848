"""Building a custom report: what it can start from, and its form with the first rows beside it."""

from collections.abc import Sequence
from dataclasses import replace

from aiohttp import web

from crm import custom_reports
from crm.custom_reports import (
    COLUMNS_MAX,
    GROUPS_MAX,
    MEASURES_MAX,
    PERIODS,
    SUBJECTS,
    Column,
    CustomReport,
    draft,
    fields_of,
)
from crm.refused import Refused
from webui.auth import require
from webui.custom_reports import models, words
from webui.custom_reports.find import ONE, find, named, sentence, subjects_for
from webui.custom_reports.form import OF_ROWS, Form, about_others, act, of_report, of_sent, orders, used
from webui.filters.pages import tree_errors
from webui.filters.rows import complete, conditions, mark, mark_complete, to_tree
from webui.filters.words import Say, Words, drawn
from webui.page import DB, language, render
from webui.page import words as words_of
from webui.sent import WHOLE, errors

NEW = "/reports/custom/new"

routes = web.RouteTableDef()


@routes.get(NEW)
@require("see_tabulations")
async def new(request: web.Request) -> web.Response:
    """The choice of what to start from, then the form filled in with it."""
    if not request.query:
        return await start(request)
    return await builder(request, None, of_report(await beginning(request)))


async def start(request: web.Request) -> web.Response:
    _, subjects = words_of(request), subjects_for(request)
    return render(
        request,
        "custom_reports/start.html",
        models=[
            (model, _(name), _(about))
            for model, (subject, name, about, _facts) in models.MODELS.items()
            if subject in subjects
        ],
        questions=models.questions(await named(request, "tabulations")),
        subjects=[(subject, _(words.SUBJECTS[subject]), _(words.ABOUT[subject])) for subject in subjects],
    )


async def beginning(request: web.Request) -> CustomReport:
    """From a model, from a question of the forms, as a copy of another, or from nothing but what rows are."""
    _, asked = words_of(request), request.query
    copy, model, question = asked.get("copy", ""), asked.get("model", ""), asked.get("question", "")
    if copy.isascii() and copy.isdigit() and len(copy) < 10:
        report = await find(request, int(copy))
        return replace(report, name=_("%s (copy)") % report.name, shared=False)
    subject = models.MODELS[model][0] if model in models.MODELS else asked.get("subject", "tabulations")
    if subject not in subjects_for(request):
        raise web.HTTPNotFound(text="there are no such rows\n")
    known = await named(request, subject)
    if model in models.MODELS:
        return draft(subject, **models.facts(model, known, _))
    if question in known:
        return draft(subject, **models.of_question(known[question]))
    return draft(subject, columns=[key for key in SUBJECTS[subject].usual if key in known])


@routes.post(NEW)
@require("see_tabulations")
async def create(request: web.Request) -> web.Response:
    return await change(request, None)


@routes.get(ONE + "/edit")
@require("see_tabulations")
async def edit(request: web.Request) -> web.Response:
    """Somebody else's is copied instead."""
    report = await find(request)
    if not custom_reports.may_change(request["user"], report):
        raise web.HTTPSeeOther(f"{NEW}?copy={report.id}")
    return await builder(request, report, of_report(report))


@routes.post(ONE + "/edit")
@require("see_tabulations")
async def update(request: web.Request) -> web.Response:
    return await change(request, await find(request))


async def change(request: web.Request, saved: CustomReport | None) -> web.Response:
    """Save, or draw the form again after what a button does to it."""
    db, user, sent = request.app[DB], request["user"], await request.post()
    before, subject = str(sent.get("was", "")), str(sent.get("subject", ""))
    if {before, subject} - set(subjects_for(request)):
        raise web.HTTPBadRequest(text="there are no such rows\n")
    known = await named(request, before)
    form, lost = of_sent(sent, known, before), []
    if subject != before:
        labels, had = {key: column.label for key, column in known.items()}, used(form)
        known = await named(request, subject)
        form = about_others(form, subject, known)
        lost = [labels[key] for key in had if key not in used(form)]
    do = str(sent.get("do", "save"))
    if do != "save" or subject != before:
        return await builder(request, saved, form, focus=act(form, do, known), lost=lost)
    try:
        if saved is None:
            saved = await custom_reports.create(db, user, **form.facts())
        else:
            await custom_reports.update(db, user, saved.id, **form.facts())
    except Refused as refused:
        mark(form.root, tree_errors(request, refused))
        return await builder(request, saved, form, errors(request, refused))
    raise web.HTTPSeeOther(f"/reports/custom/{saved.id}?saved=1")


async def builder(
    request: web.Request,
    saved: CustomReport | None,
    form: Form,
    wrong: dict[str, str] | None = None,
    focus: str = "",
    lost: Sequence[str] = (),
) -> web.Response:
    if form.subject not in subjects_for(request):
        return render(request, "denied.html", status=403, right="see_contacts")
    _, known = words_of(request), await named(request, form.subject)
    meeting = tuple(_(word) for word in words.MEETING[form.subject])
    asked = complete(form.root)
    now = draft(**{**form.facts(), "tree": to_tree(asked) if asked else {"all": []}})
    found, refused = None, ""
    try:
        found = await custom_reports.preview(request.app[DB], request["user"], now)
    except Refused as e:
        refused = errors(request, e).get(WHOLE, "")
        if not wrong:
            mark_complete(form.root, asked, tree_errors(request, e))
    return render(
        request,
        "custom_reports/builder.html",
        status=422 if wrong else 200,
        report=saved,
        form=form,
        errors=wrong or {},
        focus=focus,
        lost=lost,
        tree=drawn(form.root, fields_of(known), words.GROUP_WORDS, meeting, _, headings=words.GROUP_WORDS),
        subjects=[(subject, _(words.SUBJECTS[subject])) for subject in subjects_for(request)],
        about_subject=_(words.ABOUT[form.subject]),
        columns=known,
        picker_groups=words.grouped(known, _),
        columns_max=COLUMNS_MAX,
        groups=groups_offered(known, _),
        groups_max=GROUPS_MAX,
        measured=words.grouped({key: each for key, each in known.items() if each.measures}, _),
        of_rows=[(of, _(words.MEASURES[of])) for of in OF_ROWS],
        how={key: [(way, _(words.HOW[way])) for way in each.measures] for key, each in known.items()},
        measures_max=MEASURES_MAX,
        orders=[(said, words.heading(said, known, _)) for said in orders(form)],
        periods=[(name, _(words.PERIODS[name])) for name in PERIODS],
        moment=known[SUBJECTS[form.subject].moment_key].label,
        incomplete=conditions(form.root) - conditions(asked),
        sentence=sentence(form.subject, now.tree, known, _),
        found=found,
        refused=refused,
        headings=[
            (said, words.heading(said, known, _), words.is_figure(said, known))
            for said in (found.columns if found else ())
        ],
        missing=[words.heading(said, known, _) for said in (found.missing if found else ())],
        may_see_contacts=False,  # nothing leads away from what is being built
        value=lambda said, row: words.value(said, row[said], known, _, language(request)),
        number=lambda figure: words.number(figure, language(request)),
    )


def groups_offered(known: dict[str, Column], _: Say) -> list[tuple[str, Words]]:
    """What rows can be grouped by, under the headings of the picker."""
    found = []
    for heading, columns in words.grouped(known, _):
        offered = [
            (f"{key}:{part}" if part else key, words.heading(f"{key}:{part}" if part else key, known, _))
            for key, _word in columns
            for part in known[key].parts
        ]
        if offered:
            found.append((heading, offered))
    return found
