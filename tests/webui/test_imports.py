import asyncio
import csv
import io
import json
import zipfile

import aiohttp
import pytest
import pytest_asyncio

from config import Settings
from crm import campaigns, centre, contacts, import_layouts, imports
from crm.users import Role
from tests.fakes.wall import FakeWall
from tests.webui.site import HTML, serving
from webui.imports.pages import IMPORTS

PEOPLE = "nome;cpf;celular\nAna Souza;529.982.247-25;(11) 98765-4321\n=1+1;529.982.247-24;11 98765-4322\n"


@pytest_asyncio.fixture
async def site(fresh_db, tmp_path):
    floor = FakeWall(await centre.load(fresh_db))
    async with serving(fresh_db, floor, Settings(data=tmp_path)) as site:
        site.boss = await site.reader(Role.SUPERVISOR)
        yield site


async def sent(reader, content, name="people.csv", csrf=None, campaign_id="", secret_last=False):
    """Status, page, and where it leads."""
    form = aiohttp.FormData(default_to_multipart=True, quote_fields=False)
    fields = [("csrf", reader.csrf if csrf is None else csrf), ("campaign_id", str(campaign_id))]
    for field, value in () if secret_last else fields:
        form.add_field(field, value)
    data = content if isinstance(content, bytes) else content.encode()
    form.add_field("file", io.BytesIO(data), filename=name, content_type="text/csv")
    for field, value in fields if secret_last else ():
        form.add_field(field, value)
    async with reader.http.post("/imports", data=form, headers=HTML, allow_redirects=False) as answer:
        return answer.status, await answer.text(), answer.headers.get("Location", "")


async def previewed(site, content=PEOPLE, **more) -> str:
    status, page, where = await sent(site.boss, content, **more)
    assert status == 303, page
    return where


CHOSEN = {
    "column0": "name",
    "column1": "document",
    "column2": "phone",
    "area_code": "11",
    "told_by": "document",
    "on_known": "update",
    "wrong_document": "reject",
    "phone_required": "1",
    "campaign_id": "",
    "layout_name": "",
}


async def followed(site, where) -> list[dict]:
    """Every event the import's page is sent."""
    events = []
    async with site.boss.http.get(where + "/live") as answer:
        assert answer.content_type == "text/event-stream"
        async for line in answer.content:
            if line.startswith(b"data: "):
                events.append(json.loads(line[6:]))
    return events


async def test_a_file_is_sent_seen_and_imported(site):
    where = await previewed(site)
    page = (await site.boss.get(where))[1]
    for words in ("celular", "(11) 98765-4321", "3 columns", "about 2 rows"):
        assert words in page
    assert (
        "the check digits of this CPF or CNPJ are wrong" in page
    )  # of the second row, before anything starts
    status, page, to = await site.boss.post(where, CHOSEN | {"act": "start"})
    assert (status, to) == (303, where), page
    events = await followed(site, where)
    assert events[-1]["state"] == "done"
    page = (await site.boss.get(where))[1]
    assert "2 rows were read" in page and f"{where}/report" in page
    assert [one.name for one in await contacts.search(site.db, "souza")] == ["Ana Souza"]


async def test_the_report_says_why_in_the_readers_language_and_holds_no_formula(site):
    where = await previewed(site)
    await site.boss.post(where, CHOSEN | {"act": "start"})
    await followed(site, where)
    async with site.boss.http.get(where + "/report") as answer:
        assert answer.headers["Content-Disposition"].startswith("attachment")
        rows = list(csv.reader(io.StringIO((await answer.read()).decode("utf-8-sig")), delimiter=";"))
    assert rows[0] == ["Line", "Reason", "Column", "Value", "nome", "cpf", "celular"]
    assert rows[1][:4] == ["3", "the check digits of this CPF or CNPJ are wrong", "cpf", "529.982.247-24"]
    assert rows[1][4] == "'=1+1" and len(rows) == 2


async def test_a_file_larger_than_any_other_form_is_taken(site):
    many = "nome;celular\n" + "".join(f"Pessoa {n};119{80_000_000 + n}\n" for n in range(60_000))
    assert len(many) > 1 << 20
    where = await previewed(site, many)
    assert "about 60000 rows" in (await site.boss.get(where))[1]


def bomb():
    """A workbook of forty megabytes in forty kilobytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
        archive.writestr("xl/worksheets/sheet1.xml", b" " * (40 << 20))
    return content.getvalue()


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "There is nothing in this file."),
        (b"%PDF-1.7 and so on", "This is a PDF file."),
        (bytes(range(256)) * 100, "neither text nor a spreadsheet"),
        (b"nome;fone\n" + b"x" * 1_000_100, "more than 1000000 characters"),
        (";".join("abcd" for _ in range(10_000)), "10000 columns; 1000 can be read"),
        (b"nome\n" * 9 + b"\xff\xfe\x00\x00", "neither text nor a spreadsheet"),
        (b"PK\x03\x04 no workbook", "This workbook is damaged"),
        (bomb(), "unpacks to far more than a table of its size holds"),
    ],
)
async def test_a_file_that_is_no_table_is_refused_in_words_and_nothing_is_kept(site, content, words):
    status, page, _ = await sent(site.boss, content)
    assert status == 422 and words in page
    assert await imports.recent(site.db) == []
    assert [path for path in site.app[IMPORTS].folder.iterdir() if path.is_file()] == []


async def test_a_form_without_a_file_says_so(site):
    form = aiohttp.FormData({"csrf": site.boss.csrf}, default_to_multipart=True)
    async with site.boss.http.post("/imports", data=form, headers=HTML) as answer:
        assert answer.status == 422 and "Choose a file." in await answer.text()


@pytest.mark.parametrize("secret_last", [False, True])
async def test_a_file_that_another_site_sends_is_not_taken(site, secret_last):
    csrf = site.boss.csrf if secret_last else "wrong"
    status, _, _ = await sent(site.boss, PEOPLE, csrf=csrf, secret_last=secret_last)
    assert status == 403 and await imports.recent(site.db) == []


@pytest.mark.parametrize("role", [Role.AGENT, Role.BACK_OFFICE, Role.AUDITOR])
async def test_importing_is_for_those_who_run_campaigns(site, role):
    reader = await site.reader(role)
    where = await previewed(site)
    assert (await reader.get("/imports"))[0] == 403
    assert (await sent(reader, PEOPLE))[0] == 403
    for path in (where, where + "/cancel", where + "/remove", "/imports/folder"):
        assert (await reader.post(path))[0] == 403
    for path in (where, where + "/report", where + "/live"):
        assert (await reader.get(path))[0] == 403


async def test_read_another_way_the_columns_are_others(site):
    where = await previewed(site, "a|b;c|d\n1|2;3|4\n")
    act = {"act": "read", "delimiter": "|", "encoding": "utf-8-sig", "header": "1"}
    assert (await site.boss.post(where, act))[0] == 303
    one = await imports.found(site.db, int(where.rpartition("/")[2]))
    assert [column.name for column in one.preview.columns] == ["a", "b;c", "d"]


async def test_what_is_wrong_is_said_and_what_was_chosen_is_not_lost(site):
    where = await previewed(site)
    twice = CHOSEN | {"column0": "document", "act": "start", "layout_name": "Banco A"}
    status, page, _ = await site.boss.post(where, twice)
    assert status == 422 and "Two columns are given to the same field." in page
    assert 'value="Banco A"' in page
    assert (await imports.found(site.db, int(where.rpartition("/")[2]))).state == "previewed"
    status, page, _ = await site.boss.post(where, CHOSEN | {"column2": "", "act": "start"})
    assert status == 422 and "Say which column has the telephone" in page


async def test_a_layout_is_remembered_recognised_and_forgotten(site):
    where = await previewed(site, PEOPLE.replace("celular", "X1"))
    assert (await site.boss.post(where, CHOSEN | {"act": "check", "layout_name": "Banco A"}))[0] == 303
    again = await previewed(site, "cpf;X1;outra;nome\n;11987654321;;Ana\n")
    one = await imports.found(site.db, int(again.rpartition("/")[2]))
    assert [column["target"] for column in one.columns] == ["document", "phone", "", "name"]
    assert "This file was recognised by its columns." in (await site.boss.get(again))[1]
    [layout] = await import_layouts.all(site.db)
    assert (await site.boss.post(f"/imports/layouts/{layout.id}/remove"))[0] == 303
    assert await import_layouts.all(site.db) == []


async def test_a_layout_a_campaign_expects_is_not_forgotten(site):
    where = await previewed(site)
    await site.boss.post(where, CHOSEN | {"act": "check", "layout_name": "Banco A"})
    [layout] = await import_layouts.all(site.db)
    await campaigns.create_draft(site.db, None, name="Cobrança", source="layout", import_layout_id=layout.id)
    status, page, _ = await site.boss.post(f"/imports/layouts/{layout.id}/remove")
    assert status == 422 and "A campaign expects its files in this layout." in page


async def test_a_file_of_the_folder_is_taken_and_stays_there(site):
    inbox = site.app[IMPORTS].inbox
    inbox.mkdir(parents=True)
    (inbox / "mailing.csv").write_text(PEOPLE)
    assert "mailing.csv" in (await site.boss.get("/imports"))[1]
    status, _, where = await site.boss.post("/imports/folder", {"name": "mailing.csv"})
    assert status == 303 and (inbox / "mailing.csv").exists()
    assert "celular" in (await site.boss.get(where))[1]
    status, page, _ = await site.boss.post("/imports/folder", {"name": "../../api.token"})
    assert status == 422 and "There is no file ../../api.token" in page


async def test_a_folder_for_imports_that_cannot_be_used_is_named(site):
    inbox = site.app[IMPORTS].inbox
    page = (await site.boss.get("/imports"))[1]
    assert str(inbox) in page and "import_folder" in page and "cannot be used" not in page
    inbox.parent.mkdir(parents=True, exist_ok=True)
    inbox.write_text("no folder")
    page = (await site.boss.get("/imports"))[1]
    assert f"The folder for bulk imports cannot be used: {inbox}" in page
    assert (await site.boss.post("/imports/folder", {"name": "mailing.csv"}))[0] == 422


async def test_the_list_shows_what_became_of_each_file(site):
    where = await previewed(site, name="C:\\lists\\<b>people.csv")
    page = (await site.boss.get("/imports"))[1]
    assert "&lt;b&gt;people.csv" in page and "not started" in page and "<b>people" not in page
    assert (await site.boss.post(where + "/remove"))[2] == "/imports"
    assert (await site.boss.get(where))[0] == 404


async def test_a_running_import_moves_its_bar_and_can_be_cancelled(site):
    many = "nome;celular\n" + "".join(f"Pessoa {n};119{80_000_000 + n}\n" for n in range(150_000))
    where = await previewed(site, many)
    chosen = CHOSEN | {"column1": "phone", "told_by": "phone", "act": "start"}
    assert (await site.boss.post(where, chosen))[0] == 303
    page = (await site.boss.get(where))[1]
    assert f'data-import="{where}/live"' in page and where + "/cancel" in page
    following = asyncio.create_task(followed(site, where))
    async with site.boss.http.get(where + "/live") as answer:
        async for line in answer.content:
            if line.startswith(b"data: ") and json.loads(line[6:])["read"] > 0:
                break
    assert (await site.boss.post(where + "/cancel"))[0] == 303
    events = await following
    assert events[-1]["state"] == "cancelled"
    shares = [event["share"] for event in events[:-1]]
    assert shares == sorted(shares)
    assert await contacts.search(site.db, "pessoa") == []
    assert "It can be started again." in (await site.boss.get(where))[1]
