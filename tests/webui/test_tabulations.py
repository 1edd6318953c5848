import csv
import datetime
import io
import json
import re
import struct
import uuid
import zipfile
from dataclasses import replace

import pytest
import pytest_asyncio
from multidict import MultiDict

from config import Settings
from crm import audit, calls, campaigns, centre, contacts, exports, layouts, queues, tabulation, users
from crm.calls import CallRecord, Direction, Result
from crm.tabulation import TabulationSaved
from crm.users import Role
from tests.fakes.wall import FakeWall
from tests.waiting import until
from tests.webui.site import HTML, serving
from webui.address import Address
from webui.exports.pages import EXPORTS
from webui.page import ZONE
from webui.recordings.listening import SECONDS_BETWEEN, Listenings
from webui.recordings.wav import NotWav, peaks, read_header
from webui.tabulations.asked import asked

TODAY = datetime.date(2026, 11, 21)


def ask(query: str):
    pairs = [pair.split("=") for pair in query.split("&") if pair]
    return asked(Address("/tabulations", MultiDict(pairs)), TODAY, ZONE)


# -- what the address asks for -------------------------------------------------------------------------------


def test_without_a_period_the_last_seven_days_are_meant():
    found = ask("")
    assert (found.start, found.end) == (datetime.date(2026, 11, 15), TODAY)
    assert found.filter.start == datetime.datetime(2026, 11, 15, tzinfo=ZONE)
    assert found.filter.end == datetime.datetime(2026, 11, 22, tzinfo=ZONE)


def test_a_global_id_is_looked_for_at_any_time():
    found = ask("global=ABCDEF12-3456")
    assert found.filter.global_id == "abcdef12-3456"
    assert found.filter.start is None and found.filter.end is None


def test_a_global_id_is_looked_for_in_a_period_that_was_chosen():
    assert ask("global=abcdef12&start=2026-11-01").filter.start == datetime.datetime(2026, 11, 1, tzinfo=ZONE)


@pytest.mark.parametrize(
    "query, field, value",
    [
        ("group=1&group=2", "groups", (1, 2)),
        ("user=7", "users", (7,)),
        ("user=7&user=x&user=-1", "users", (7,)),
        ("queue=sales&queue=support", "queues", ("sales", "support")),
        ("type=3", "types", (3,)),
        ("category=4&category=5", "categories", (4, 5)),
        ("direction=outbound", "direction", "outbound"),
        ("direction=sideways", "direction", None),
        ("campaign=3&campaign=4", "campaigns", (3, 4)),
        ("number=98765", "number", "98765"),
        ("duration=90", "duration_min", 90),
        ("duration=1:30", "duration_min", 90),
        ("duration=999999", "duration_min", 86400),
    ],
)
def test_each_filter_is_read_from_the_address(query, field, value):
    assert getattr(ask(query).filter, field) == value


@pytest.mark.parametrize(
    "query, field",
    [
        ("start=yesterday", "start"),
        ("end=2026-13-40", "end"),
        ("end=9999-12-31", "end"),
        ("start=2026-11-20&end=2026-11-01", "end"),
        ("duration=long", "duration"),
        ("duration=1:2:3", "duration"),
        ("global=xyz", "global"),
    ],
)
def test_what_cannot_be_read_is_said_at_its_field_and_does_not_filter(query, field):
    found = ask(query)
    assert set(found.errors) == {field}
    assert found.filter.duration_min == 0 and found.filter.global_id == ""


def test_the_address_is_kept_through_pages_and_filters_taken_away():
    address = Address("/t", MultiDict([("queue", "a"), ("queue", "b"), ("number", "9 8"), ("page", "3")]))
    assert address.at(4) == "/t?queue=a&queue=b&number=9+8&page=4"
    assert address.without("queue", "a") == "/t?queue=b&number=9+8"
    assert address.without("queue") == "/t?number=9+8"
    assert address.having(sort="-talk") == "/t?queue=a&queue=b&number=9+8&sort=-talk"


@pytest.mark.parametrize("text", ["0", "-4", "x", "", "99999999999999999999", "١"])
def test_a_page_that_is_no_number_is_the_first(text):
    assert Address("/t", MultiDict([("page", text)])).page == 1


# -- recordings ----------------------------------------------------------------------------------------------


def wav(frames: bytes, channels: int = 2, format: int = 7, size: int | None = None) -> bytes:
    width = channels * (1 if format == 7 else 2)
    shape = struct.pack("<HHIIHH", format, channels, 8000, 8000 * width, width, 8 * width // channels)
    shape += b"" if format == 1 else struct.pack("<H", 0)
    body = b"WAVEfmt " + struct.pack("<I", len(shape)) + shape + b"junk" + struct.pack("<I", 3) + b"abc\0"
    body += b"data" + struct.pack("<I", len(frames) if size is None else size) + frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_the_header_tells_where_the_samples_lie(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(b"\xff\x00" * 8000))
    sound = read_header(path)
    assert (sound.channels, sound.rate, sound.size, sound.seconds) == (2, 8000, 16000, 1.0)
    assert path.read_bytes()[sound.start : sound.start + 2] == b"\xff\x00"


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_recording_cut_short_is_as_long_as_its_file(tmp_path, size):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(b"\xff\x00" * 4000, size=size))
    assert read_header(path).seconds == 0.5


def test_loudness_tells_the_two_sides_apart(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(b"\x00\xff" * 4000 + b"\xff\x80" * 4000))  # ulaw: 00 and 80 loudest, ff silence
    customer, agent = peaks(path, 4)
    assert customer == [100, 100, 0, 0] and agent == [0, 0, 100, 100]


def test_loudness_of_an_empty_recording_is_nothing(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(b""))
    assert peaks(path, 3) == [[0, 0, 0], [0, 0, 0]]


def test_loudness_of_sixteen_bit_samples(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(struct.pack("<4h", 0, -32768, 0, 32767), channels=1, format=1))
    assert peaks(path, 2) == [[100, 100]]


@pytest.mark.parametrize("content", [b"", b"RIFF", b"hello world, this is no sound", wav(b"", format=3)])
def test_what_is_no_recording_is_refused(tmp_path, content):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(NotWav):
        peaks(path, 4)


def test_a_listening_is_a_run_of_requests_without_a_long_gap():
    heard = Listenings()
    assert heard.begins(1, "a", 0.0)
    assert not heard.begins(1, "a", SECONDS_BETWEEN)
    assert heard.begins(2, "a", 1.0) and heard.begins(1, "b", 1.0)
    assert heard.begins(1, "a", 2 * SECONDS_BETWEEN + 1)


# -- pages ---------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def site(fresh_db, tmp_path):
    floor = FakeWall()
    async with serving(fresh_db, floor, Settings(data=tmp_path)) as site:
        site.data = tmp_path
        await fill(site)
        yield site


async def fill(site) -> None:
    """Twenty calls of two agents in two queues, each with its tabulation."""
    db = site.db
    kind = await layouts.create_type(db, None, name="Venda")
    sold = await layouts.create_category(db, None, kind.id, name="Vendido", success=True)
    lost = await layouts.create_category(db, None, kind.id, name="Sem interesse", success="")
    fields = [{"key": "notes", "label": "Observações", "kind": "long_text"}]
    layout = await layouts.create(db, None, name="venda", label="Venda", fields=fields, types=[kind.id])
    site.agents = [
        await users.create(db, None, login=f"a{n}", name=name, role=Role.AGENT, password="correct horse")
        for n, name in enumerate(("Ana", "Bruno"))
    ]
    for name in ("sales", "support"):
        await queues.create(db, None, name=name, label=name.title(), layout_id=layout.id)
    customer = await contacts.create(db, None, name="Padaria <b>São</b> Jorge", phones=["+5511987654321"])
    now = datetime.datetime.now(datetime.UTC)
    (site.data / "recordings").mkdir()
    (site.data / "recordings" / "one.wav").write_bytes(wav(b"\x00\xff" * 8000))
    site.calls = [
        CallRecord(
            id=str(uuid.uuid4()),
            direction=Direction.OUTBOUND if n % 5 == 0 else Direction.INBOUND,
            started=now - datetime.timedelta(minutes=10 * n + 5),
            number="+5511987654321" if n < 10 else "+552133334444",
            queue="support" if n % 2 else "sales",
            user_id=site.agents[n % 2].id,
            contact_id=customer.id if n < 10 else None,
            answered=now,
            ended=now,
            wait_seconds=n,
            talk_seconds=10 * n,
            result=Result.ANSWERED,
            recording="recordings/one.wav" if n == 0 else None,
        )
        for n in range(20)
    ]
    saved = [
        TabulationSaved(
            call.id, call.user_id, layout.id, now,
            {"category": str((sold if n % 4 else lost).id), "notes": f"=nota {n}"}, call.contact_id,
        )
        for n, call in enumerate(site.calls)
    ]  # fmt: skip
    async with db.acquire() as connection:
        await calls.write_history(connection, site.calls)
        await tabulation.write_saved(connection, saved)
    site.floor.centre = await centre.load(db)


def shown(page: str, site) -> list[int]:
    """Which of the calls the page lists, in its order."""
    places = [(page.find(f'href="/tabulations/{call.id}"'), n) for n, call in enumerate(site.calls)]
    return [n for place, n in sorted(places) if place >= 0]


@pytest.mark.parametrize(
    "query, expected",
    [
        ("", list(range(20))),
        ("queue=support", list(range(1, 20, 2))),
        ("queue=support&queue=sales", list(range(20))),
        ("direction=outbound", [0, 5, 10, 15]),
        ("number=3333", list(range(10, 20))),
        ("number=(11) 98765-4321", list(range(10))),
        ("duration=2:30", [16, 17, 18, 19]),
        ("sort=talk", list(range(20))),
        ("sort=-talk", list(range(19, -1, -1))),
        ("start=2020-01-01&end=2020-02-01", []),
    ],
)
async def test_the_list_shows_what_its_filters_ask_for(site, query, expected):
    reader = await site.reader(Role.SUPERVISOR)
    status, page = await reader.get(f"/tabulations?{query}")
    assert status == 200
    assert shown(page, site) == expected
    assert f"{len(expected)} tabulation" in page


async def test_the_list_is_filtered_by_agent_category_and_global_id(site):
    reader = await site.reader(Role.SUPERVISOR)
    ana = site.agents[0].id
    assert shown((await reader.get(f"/tabulations?user={ana}"))[1], site) == list(range(0, 20, 2))
    lost = next(c for t in await layouts.types(site.db) for c in t.categories if not c.success).id
    assert shown((await reader.get(f"/tabulations?category={lost}"))[1], site) == list(range(0, 20, 4))
    assert shown((await reader.get(f"/tabulations?global={site.calls[7].id}"))[1], site) == [7]


async def test_the_list_is_filtered_by_the_campaign_a_call_was_made_for(site):
    """EPB-63's campaign code, among its filters in their order; there is no group here to choose."""
    made = await campaigns.create_draft(site.db, None, name="Cobrança", source="leads")
    await listed_for(site, made, site.calls[5], site.calls[10])
    reader = await site.reader(Role.SUPERVISOR)
    page = (await reader.get(f"/tabulations?campaign={made.id}"))[1]
    assert shown(page, site) == [5, 10] and page.count("Cobrança<") >= 4  # offered, in force, on the rows
    assert "Cobrança" in (await reader.get(f"/tabulations/{site.calls[5].id}"))[1]
    fields = dict.fromkeys(re.findall(r' name="(\w+)"', page.partition("<main")[2]))
    asked = "start end user type category direction campaign number duration global".split()
    assert [name for name in fields if name in asked] == asked


async def listed_for(site, made, *called) -> None:
    """One person on the campaign's list, called by these calls."""
    contact = called[0].contact_id
    item = await site.db.fetchval(
        "INSERT INTO list_item (campaign_id, contact_id) VALUES ($1, $2) RETURNING id", made.id, contact
    )
    for n, call in enumerate(called, 1):
        await site.db.execute("SELECT ensure_attempt_partition($1)", call.started.date())
        await site.db.execute(
            """
            INSERT INTO attempt (campaign_id, generation, item_id, contact_id, attempt_number, number,
                                 started, situation, call_id)
            VALUES ($1, 1, $2, $3, $4, $5, $6, 'completed', $7)
            """,
            made.id, item, contact, n, call.number, call.started, call.id,
        )  # fmt: skip


async def test_filters_in_force_are_named_and_each_can_be_taken_away(site):
    page = (await (await site.reader(Role.SUPERVISOR)).get("/tabulations?queue=sales&direction=inbound"))[1]
    assert 'href="/tabulations?direction=inbound" title="Take this filter away">Sales' in page
    assert 'href="/tabulations?queue=sales" title="Take this filter away">Incoming' in page


async def test_a_wrong_filter_keeps_what_was_typed_and_says_what_is_wrong(site):
    status, page = await (await site.reader(Role.SUPERVISOR)).get("/tabulations?duration=long")
    assert status == 200
    assert 'value="long"' in page and "A number of seconds is needed here." in page


@pytest.mark.parametrize(
    "query", ["sort=password", "page=9999", "page=x", "user='", "queue=%00", "number=%25"]
)
async def test_an_odd_address_still_gives_a_page(site, query):
    assert (await (await site.reader(Role.SUPERVISOR)).get(f"/tabulations?{query}"))[0] == 200


async def test_what_customers_are_called_is_never_taken_for_html(site):
    page = (await (await site.reader(Role.SUPERVISOR)).get("/tabulations"))[1]
    assert "<b>São</b>" not in page and "&lt;b&gt;São" in page


async def test_one_tabulation_shows_its_call_its_answers_and_its_recording(site):
    reader = await site.reader(Role.AUDITOR)
    status, page = await reader.get(f"/tabulations/{site.calls[0].id}")
    assert status == 200
    for words in ("Sem interesse", "=nota 0", "Observações", site.calls[0].id, "/sound", "Ana"):
        assert words in page


async def test_the_recording_is_only_played_to_those_who_may_hear_it(site):
    reader = await site.reader(Role.SUPERVISOR)
    page = (await reader.get(f"/tabulations/{site.calls[0].id}"))[1]
    assert "<audio" not in page and "You may not hear recordings" in page
    for path in ("", "/sound", "/loudness"):
        assert (await reader.get(f"/recordings/{site.calls[0].id}{path}"))[0] == 403


async def test_a_tabulation_that_is_not_there_is_a_404(site):
    assert (await (await site.reader(Role.SUPERVISOR)).get(f"/tabulations/{uuid.uuid4()}"))[0] == 404


async def test_agents_see_no_tabulations(site):
    assert (await (await site.reader(Role.AGENT)).get("/tabulations"))[0] == 403


# -- hearing -------------------------------------------------------------------------------------------------


async def heard(site) -> list[str]:
    return [entry.subject for entry in await audit.recent(site.db, action="recording")]


async def test_a_recording_is_served_in_pieces_and_one_listening_is_one_row_of_the_audit(site):
    reader = await site.reader(Role.AUDITOR)
    path = f"/recordings/{site.calls[0].id}/sound"
    whole = (site.data / "recordings" / "one.wav").read_bytes()
    async with reader.http.get(path, headers={"Range": "bytes=100-199"}) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Type"] == "audio/wav"
        assert answer.headers["Content-Range"] == f"bytes 100-199/{len(whole)}"
        assert await answer.read() == whole[100:200]
    async with reader.http.get(path) as answer:
        assert await answer.read() == whole
    assert await heard(site) == [f"call {site.calls[0].id}"]


async def test_an_agent_with_the_right_hears_own_calls_only(site):
    await site.reader(Role.ADMINISTRATOR)  # a centre needs one
    may_hear = [
        await site.reader_of(await users.update(site.db, None, agent.id, may_hear_recordings=True))
        for agent in site.agents
    ]
    path = f"/recordings/{site.calls[0].id}/sound"  # of the first agent
    assert [(await reader.http.get(path)).status for reader in may_hear] == [200, 404]
    assert len(await heard(site)) == 1


@pytest.mark.parametrize("recording", ["../outside.wav", "/etc/passwd", "recordings/gone.wav", "recordings"])
async def test_a_recording_that_is_missing_or_outside_its_folder_is_a_404(site, recording):
    (site.data.parent / "outside.wav").write_bytes(b"secret")
    async with site.db.acquire() as connection:
        await calls.write_history(connection, [replace(site.calls[1], recording=recording)])
    reader = await site.reader(Role.AUDITOR)
    for path in ("sound", "loudness"):
        assert (await reader.get(f"/recordings/{site.calls[1].id}/{path}"))[0] == 404
    assert await heard(site) == []


async def test_loudness_is_given_for_the_picture(site):
    reader = await site.reader(Role.AUDITOR)
    answer = json.loads((await reader.get(f"/recordings/{site.calls[0].id}/loudness"))[1])
    assert answer["peaks"][0][0] == 100 and answer["peaks"][1][0] == 0


async def test_the_list_of_recordings_shows_recorded_calls(site):
    status, page = await (await site.reader(Role.AUDITOR)).get("/recordings")
    assert status == 200 and page.count("/recordings/" + site.calls[0].id) >= 1
    assert site.calls[1].id not in page


# -- exports -------------------------------------------------------------------------------------------------


def file_at(where: str) -> str:
    return where.partition("?")[0] + "/file"


async def test_a_short_export_comes_at_once_as_filtered(site):
    reader = await site.reader(Role.SUPERVISOR)
    status, _page, where = await reader.post("/exports", {"query": "queue=sales", "format": "csv"})
    assert status == 303
    page = (await reader.get(where))[1]
    assert "Ready: 10 rows." in page and "data-fetch-now" in page
    async with reader.http.get(file_at(where)) as answer:
        assert answer.headers["Content-Type"] == "text/csv"
        assert 'filename="tabulations-' in answer.headers["Content-Disposition"]
        text = (await answer.read()).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text), delimiter=";"))
    assert len(rows) == 1 + 10
    assert all(not cell.startswith("=") for row in rows for cell in row)


async def test_an_export_is_in_its_readers_language(site):
    reader = await site.reader(Role.SUPERVISOR, language="pt_BR")
    where = (await reader.post("/exports", {"query": "", "format": "csv"}))[2]
    async with reader.http.get(file_at(where)) as answer:
        text = (await answer.read()).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text), delimiter=";"))
    assert rows[0][:6] == ["Início", "Operador", "Grupo", "Fila", "Campanha", "Direção"]
    assert {row[5] for row in rows[1:]} == {"Recebida", "Realizada"}
    assert {row[14] for row in rows[1:]} == {"Sucesso", "Insucesso"}


async def test_a_spreadsheet_is_a_spreadsheet(site):
    reader = await site.reader(Role.SUPERVISOR)
    _status, _page, where = await reader.post("/exports", {"query": "", "format": "xlsx"})
    async with reader.http.get(file_at(where)) as answer:
        assert "xl/worksheets/sheet1.xml" in zipfile.ZipFile(io.BytesIO(await answer.read())).namelist()


async def test_a_job_shows_its_progress_as_it_goes_on_and_then_the_file(site):
    reader = await site.reader(Role.SUPERVISOR)
    id = await site.db.fetchval(
        "INSERT INTO export (by_user_id, kind, filter, format, state, rows_done, rows_all)"
        " VALUES ($1, 'tabulations', '{}', 'csv', 'running', 500, 2000) RETURNING id",
        reader.user.id,
    )
    page = (await reader.get(f"/exports/{id}"))[1]
    assert 'value="500" max="2000"' in page and "Cancel the export" in page
    async with reader.http.get(f"/exports/{id}/live") as events:
        assert json.loads((await events.content.readline())[6:])["rows_done"] == 500
        await site.db.execute("UPDATE export SET state = 'done', rows_done = 2000 WHERE id = $1", id)
        rest = (await events.content.read()).decode()
        assert '"state": "done"' in rest
    assert "Ready: 2000 rows." in (await reader.get(f"/exports/{id}"))[1]


async def test_a_running_export_can_be_cancelled(site):
    reader = await site.reader(Role.SUPERVISOR)
    id = await site.db.fetchval(
        "INSERT INTO export (by_user_id, kind, filter, format, state)"
        " VALUES ($1, 'tabulations', '{}', 'csv', 'running') RETURNING id",
        reader.user.id,
    )
    assert (await reader.post(f"/exports/{id}/cancel"))[0] == 303
    assert "was cancelled" in (await reader.get(f"/exports/{id}"))[1]


async def test_an_export_belongs_to_who_asked_for_it(site):
    first, second = await site.reader(Role.SUPERVISOR), await site.reader(Role.SUPERVISOR)
    where = file_at((await first.post("/exports", {"query": "", "format": "csv"}))[2])
    for path in (where, where.removesuffix("/file"), where.replace("/file", "/live")):
        assert (await second.get(path))[0] == 404
    assert (await second.post(where.replace("/file", "/cancel")))[0] == 404


async def test_an_export_needs_the_right_and_a_known_format(site):
    back_office, supervisor = await site.reader(Role.BACK_OFFICE), await site.reader(Role.SUPERVISOR)
    assert (await back_office.post("/exports", {"query": "", "format": "csv"}))[0] == 403
    assert (await supervisor.post("/exports", {"query": "", "format": "exe"}))[0] == 422
    assert "CSV" not in (await back_office.get("/tabulations"))[1]


@pytest.mark.parametrize(
    "language, why",
    [
        ("en", "A spreadsheet holds 5 rows; choose CSV or a shorter period."),
        ("pt_BR", "Uma planilha comporta 5 linhas; escolha CSV ou um período menor."),
    ],
)
async def test_why_an_export_failed_is_said_in_its_readers_language(site, monkeypatch, language, why):
    monkeypatch.setattr(exports, "XLSX_ROWS_MAX", 5)
    reader = await site.reader(Role.SUPERVISOR, language=language)
    where = (await reader.post("/exports", {"query": "", "format": "xlsx"}))[2]
    assert why in (await reader.get(where))[1]


async def test_an_export_a_stopped_server_left_says_so_in_its_readers_language(site):
    reader = await site.reader(Role.SUPERVISOR, language="pt_BR")
    id = await site.db.fetchval(
        "INSERT INTO export (by_user_id, kind, filter, format, state)"
        " VALUES ($1, 'tabulations', '{}', 'csv', 'running') RETURNING id",
        reader.user.id,
    )
    await site.app[EXPORTS].clean()
    assert "O servidor foi parado nesse meio-tempo." in (await reader.get(f"/exports/{id}"))[1]


async def test_a_form_without_its_secret_changes_nothing(site):
    reader = await site.reader(Role.SUPERVISOR)
    assert (await reader.post("/exports", {"query": "", "format": "csv"}, csrf="stolen"))[0] == 403
    assert await until(lambda: site.db.fetchval("SELECT count(*) = 0 FROM export"))


async def test_the_login_page_stands_before_everything(site):
    import aiohttp

    async with aiohttp.ClientSession(site.url) as stranger:
        for path in ("/tabulations", "/wallboard", "/users", "/contacts", "/exports"):
            async with stranger.get(path, headers=HTML, allow_redirects=False) as answer:
                assert answer.status == 303 and answer.headers["Location"].startswith("/login?next=")
