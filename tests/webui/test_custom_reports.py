"""Custom reports as a person makes and reads them: nothing typed is lost, each number leads to its rows."""

import csv
import html
import io
import re
from collections import Counter
from html.parser import HTMLParser

import pytest
import pytest_asyncio

from config import Settings
from crm import centre, custom_reports, users
from crm import report_schedules as schedules
from crm.custom_report_columns import SUBJECTS
from crm.users import Role
from tests.crm.test_custom_reports import WRITTEN, history
from tests.fakes.wall import FakeWall
from tests.waiting import until
from tests.webui.site import serving
from webui.custom_reports.asked import seconds
from webui.custom_reports.form import Form, Measure, act, in_order
from webui.custom_reports.models import MODELS
from webui.filters.rows import of_tree
from webui.page import SETTINGS

EVER = "?period=all"


@pytest_asyncio.fixture
async def site(fresh_db, tmp_path):
    settings = Settings(data=tmp_path, smtp_host="127.0.0.1", smtp_port=9, smtp_from="ramal@example.org")
    WRITTEN.pop(await fresh_db.fetchval("SELECT current_database()"), None)  # its rows were taken away
    raw, _boss = await history(fresh_db)
    floor = FakeWall(await centre.load(fresh_db))
    async with serving(fresh_db, floor, settings) as site:
        site.raw = raw
        site.boss = await site.reader(Role.SUPERVISOR)
        yield site


class Sent(HTMLParser):
    """What a browser without script would send of the first form that has a `name` to fill in."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.pairs: list[tuple[str, str]] = []
        self.select = ""
        self.first: tuple[str, str] | None = None
        self.chosen = False
        form = re.search(r"<form[^>]*data-builder.*?</form>", page, re.S)
        assert form, "there is no builder"
        self.feed(form[0])

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        match tag:
            case "input" if known.get("name") and known["name"] != "csrf":
                kind = known.get("type", "text")
                if kind not in ("checkbox", "radio") or "checked" in known:
                    self.pairs.append((known["name"], known.get("value") or ""))
            case "select":
                self.select, self.first, self.chosen = known.get("name", ""), None, False
            case "option" if self.select:
                pair = self.select, known.get("value") or ""
                self.first = self.first or pair
                if "selected" in known:
                    self.chosen = True
                    self.pairs.append(pair)

    def handle_endtag(self, tag):
        if tag == "select":
            if self.first and not self.chosen:
                self.pairs.append(self.first)
            self.select = ""


def typed(page, **changes):
    """The form as drawn, with these fields instead; a list is sent several times, None not at all."""
    pairs = [pair for pair in Sent(page).pairs if pair[0] not in changes]
    for name, value in changes.items():
        values = value if isinstance(value, list) else [] if value is None else [value]
        pairs += [(name, each) for each in values]
    return pairs


async def made(site, model="model=categories", **changes):
    """A report from a model, saved."""
    page = (await site.boss.get(f"/reports/custom/new?{model}"))[1]
    status, page, where = await site.boss.post("/reports/custom/new", typed(page, **changes))
    assert status == 303, re.findall(r'class="wrong">.*?</p>', page, re.S)
    return where.partition("?")[0]


def table(page):
    rows = re.findall(
        r"<tr>(.*?)</tr>", re.search(r"<tbody>.*?</tfoot>|<tbody>.*?</tbody>", page, re.S)[0], re.S
    )
    return [
        [
            html.unescape(re.sub(r"<[^>]+>", "", cell)).strip()
            for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)
        ]
        for row in rows
    ]


async def test_a_report_made_from_a_model_shows_what_was_saved_and_leads_to_its_rows(site):
    where = await made(site, period="all", name="Por categoria", shared="1")
    page = (await site.boss.get(where))[1]
    *rows, total = table(page)
    names = dict(
        await site.db.fetch(
            "SELECT category.id::text, category_type.name || ': ' || category.name"
            "  FROM category JOIN category_type ON category_type.id = type_id"
        )
    )
    assert {row[0]: int(row[1]) for row in rows} == Counter(names[each["category"]] for each in site.raw)
    assert total[1] == str(len(site.raw)) and total[2] == "100 %"
    link = html.unescape(re.search(r'class="behind" href="([^"]+)"', page)[1])
    behind = (await site.boss.get(link))[1]
    assert f"{rows[0][1]} row" in behind and rows[0][0] in behind
    totals = html.unescape(re.search(r'<tfoot>.*?class="behind" href="([^"]+)"', page, re.S)[1])
    assert f"{len(site.raw)} rows" in (await site.boss.get(totals))[1]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("language", ("en", "pt_BR"))
async def test_every_model_is_previewed_saved_and_opened(site, model, language):
    site.boss = await site.reader(Role.SUPERVISOR, language=language)
    where = await made(site, f"model={model}")
    status, page = await site.boss.get(where + EVER)
    assert status == 200 and 'class="wrong"' not in page


@pytest.mark.parametrize("subject", SUBJECTS)
async def test_a_report_of_any_rows_is_made_from_scratch(site, subject):
    where = await made(site, f"subject={subject}", name=subject)
    assert (await site.boss.get(where + EVER))[0] == 200


async def test_the_answers_to_a_question_are_a_model_of_their_own(site):
    start = (await site.boss.get("/reports/custom/new"))[1]
    (question,) = set(re.findall(r"question=(answer\.[a-z]+)", start))
    where = await made(site, f"question={question}", period="all")
    rows = table((await site.boss.get(where))[1])
    recount = Counter(each[question] or "(nothing)" for each in site.raw)
    assert {row[0]: int(row[1]) for row in rows[:-1]} == recount


async def test_what_is_wrong_stands_by_its_field_and_nothing_typed_is_lost(site):
    page = (await site.boss.get("/reports/custom/new?model=success"))[1]
    tree = {"row": "1", "in.1": "0", "join.0": "all", "field.1": "talk_seconds", "was.1": "talk_seconds",
            "test.1": "more", "value.1": "muito"}  # fmt: skip
    sent = typed(page, name="", about="de um dia", **tree)
    status, page, _ = await site.boss.post("/reports/custom/new", sent)
    assert status == 422 and "This has to be filled in." in page and "This has to be a number." in page
    assert 'value="muito"' in page and 'value="de um dia"' in page
    assert re.search(r'<option value="saved:day" selected>', page)
    assert await custom_reports.all(site.db, site.boss.user) == []


async def test_a_change_of_what_rows_are_keeps_what_these_have_too(site):
    page = (await site.boss.get("/reports/custom/new?model=success"))[1]
    status, page, _ = await site.boss.post(
        "/reports/custom/new", typed(page, subject="attempts", do="show", name="Meu")
    )
    assert status == 200 and 'value="Meu"' in page
    again = dict(Sent(page).pairs)
    assert again["was"] == "attempts"
    assert re.search(r"do not have it: ([^<]*)", html.unescape(page))[1] == "Saved at."
    columns = [value for name, value in Sent(page).pairs if name == "columns"]
    assert "agent" in columns and "saved" not in columns


async def test_filters_that_are_asked_for_narrow_the_report_by_its_address(site):
    where = await made(site, "model=answers", period="all", ask=["talk_seconds", "category"])
    everything = (await site.boss.get(where))[1]
    assert f"<strong>{len(site.raw)} rows</strong>" in everything
    ids = re.findall(r'name="ask\.category" value="(\d+)"', everything)
    page = (await site.boss.get(f"{where}?ask.category={ids[0]}"))[1]
    shown = int(re.search(r"<strong>(\d+) row", page)[1])
    assert 0 < shown < len(site.raw)
    page = (await site.boss.get(f"{where}?ask.talk_seconds.from=1:x"))[1]
    assert "minutes and seconds" in page and "1:x" in page
    page = (await site.boss.get(f"{where}?start=2026-12-01&end=2026-11-01"))[1]
    assert "ends before it starts" in page


async def test_a_file_holds_every_row_in_the_readers_language_and_no_formulas(site):
    site.boss = await site.reader(Role.SUPERVISOR, language="pt_BR")
    where = await made(site, "model=answers", period="all", name="=Tudo")
    status, _page, export = await site.boss.post(f"{where}/export", {"query": "", "format": "csv"})
    assert status == 303
    async with site.boss.http.get(export.partition("?")[0] + "/file") as answer:
        rows = list(csv.reader(io.StringIO((await answer.read()).decode("utf-8-sig")), delimiter=";"))
    assert rows[0][:3] == ["Salva em", "Operador", "Cliente"] and len(rows) == len(site.raw) + 1
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@"))]


async def test_a_report_goes_out_by_e_mail_and_is_no_longer_sent_when_it_is_removed(site):
    where = await made(site, period="all", name="Mensal")
    fields = {"name": "Mensal", "recipients": "a@example.org", "every": "day", "at": "07:30", "format": "csv",
              "query": ""}  # fmt: skip
    assert (await site.boss.post(f"{where}/schedule", fields))[::2] == (303, "/reports/schedules?saved=1")
    (made_,) = await schedules.all(site.db, site.boss.user)
    page = (await site.boss.get("/reports/schedules"))[1]
    assert "Mensal" in page and where in page
    assert (await site.boss.post(f"/reports/schedules/{made_.id}", {"do": "send"}))[0] == 303

    async def waiting():
        return await site.db.fetchrow("SELECT body, attachment FROM outbox")

    mail = await until(waiting)
    assert "Mensal" in mail["body"]
    assert "Quantity" in (site.app[SETTINGS].data / mail["attachment"]).read_text("utf-8-sig")
    assert (await site.boss.post(f"{where}/remove"))[::2] == (303, "/reports/custom?removed=1")
    assert await schedules.all(site.db, site.boss.user) == []
    assert (await site.boss.get(where))[0] == 404


async def test_reports_are_for_whom_they_are_for(site):
    where = await made(site, name="Privado")
    other = await site.reader(Role.SUPERVISOR)
    assert (await other.get(where))[0] == 404 and "Privado" not in (await other.get("/reports/custom"))[1]
    page = (await site.boss.get(f"{where}/edit"))[1]
    assert (await site.boss.post(f"{where}/edit", typed(page, shared="1")))[0] == 303
    assert "Privado" in (await other.get("/reports"))[1]
    page = (await other.get(where))[1]
    assert f"{where}/edit" not in page and "copy=" in page
    assert (await other.post(f"{where}/edit", typed((await site.boss.get(f"{where}/edit"))[1])))[0] == 422
    assert (await other.post(f"{where}/remove"))[0] == 422
    agent = await site.reader(Role.AGENT)
    for path in ("/reports/custom", "/reports/custom/new", where, f"{where}/edit", f"{where}/behind"):
        assert (await agent.get(path))[0] == 403, path


async def test_who_may_not_see_contacts_is_offered_nothing_of_them(site, monkeypatch):
    where = await made(site, "model=answers", period="all", shared="1")
    cities = await made(site, "model=cities", shared="1")
    monkeypatch.setitem(users.RIGHTS, Role.AUDITOR, users.RIGHTS[Role.AUDITOR] - {"see_contacts"})
    reader = await site.reader(Role.AUDITOR)
    page = (await reader.get("/reports/custom/new?subject=tabulations"))[1]
    assert 'value="customer"' not in page and 'value="customers"' not in page
    page = (await reader.get(where))[1]
    assert "Pessoa" not in page and "Left out" in page
    assert (await reader.get(cities))[0] == 403


def form(**facts):
    return Form("tabulations", of_tree({"all": []}), **facts)


def test_columns_keep_their_order_while_others_are_ticked():
    known = dict.fromkeys("abcd")
    assert in_order(["c", "a"], ["a", "b", "c"], known) == ["c", "a", "b"]
    assert in_order(["c", "a"], ["a"], known) == ["a"]
    assert in_order(["x"], ["x", "b"], known) == ["b"]


def test_columns_move_by_their_buttons_and_the_keyboard_stays_on_them():
    made = form(columns=["a", "b", "c"])
    assert (act(made, "up:c", {}), made.columns) == ("up-c", ["a", "c", "b"])
    assert (act(made, "up:c", {}), made.columns) == ("down-c", ["c", "a", "b"])
    assert (act(made, "drop:a", {}), made.columns) == ("drop-b", ["c", "b"])
    assert (act(made, "measure", {}), made.measures) == ("of-0", [Measure("count")])
    assert (act(made, "unmeasure:0", {}), made.measures) == ("add-measure", [])


@pytest.mark.parametrize(
    "text, found",
    [
        ("", ""),
        ("90", "90"),
        ("1:30", "90"),
        ("0:01:30", "90"),
        ("1:x", None),
        ("-1", None),
        ("1:2:3:4", None),
    ],
)
def test_a_length_is_typed_as_seconds_or_with_colons(text, found):
    assert seconds(text) == found
