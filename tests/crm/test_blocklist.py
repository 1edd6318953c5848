"""Do-not-call: blocked in one campaign or everywhere, kept current in memory, imported, exported, audited."""

import asyncio
import contextlib
import io
from pathlib import Path

import pytest
import xlsxwriter

from crm import audit, blocklist, campaigns, items, users
from crm.blocklist import ALREADY, NOT_A_PHONE, REPEATED, Blocklist
from crm.refused import Refused
from crm.users import Role
from tests.crm import campaigning
from tests.crm.campaigning import NOON, agents, people, put
from tests.waiting import until

MARIA, JOSE, PEDRO = "+5511987654321", "+5521933334444", "+551133334444"


@pytest.fixture
async def ana(fresh_db):
    return await users.create(
        fresh_db, None, login="ana", name="Ana", role=Role.SUPERVISOR, password="correct horse battery"
    )


@pytest.fixture
async def campaign(fresh_db):
    return await fresh_db.fetchval("INSERT INTO campaign (name, hours) VALUES ('Natal', '{}') RETURNING id")


@contextlib.asynccontextmanager
async def following(db):
    known = Blocklist()
    task = asyncio.create_task(known.follow(db, retry_seconds=0.01))
    try:
        await asyncio.wait_for(known.loaded.wait(), 10)
        yield known
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_number_blocked_everywhere_is_blocked_in_each_campaign(fresh_db, ana, campaign):
    made = await blocklist.block(fresh_db, ana, "(11) 98765-4321", reason="pediu")
    assert (made.number, made.campaign_id, made.by, made.reason) == (MARIA, None, "Ana", "pediu")
    assert await blocklist.is_blocked(fresh_db, MARIA)
    assert await blocklist.is_blocked(fresh_db, MARIA, campaign)
    assert not await blocklist.is_blocked(fresh_db, JOSE, campaign)


async def test_a_number_blocked_in_a_campaign_may_be_called_elsewhere(fresh_db, ana, campaign):
    await blocklist.block(fresh_db, ana, JOSE, campaign, "só esta")
    assert await blocklist.is_blocked(fresh_db, JOSE, campaign)
    assert not await blocklist.is_blocked(fresh_db, JOSE)
    assert not await blocklist.is_blocked(fresh_db, JOSE, campaign + 1)
    why = await blocklist.why(fresh_db, JOSE, campaign)
    assert (why.reason, why.campaign) == ("só esta", "Natal")
    assert await blocklist.why(fresh_db, JOSE) is None


async def test_one_blocked_again_stays_as_it_was(fresh_db, ana):
    first = await blocklist.block(fresh_db, ana, MARIA, reason="primeira")
    assert await blocklist.block(fresh_db, ana, MARIA, reason="segunda") == first
    assert len(await audit.recent(fresh_db, action="blocked_number")) == 1


async def test_unblocking_is_audited_with_who_had_blocked_it(fresh_db, ana):
    await blocklist.block(fresh_db, ana, MARIA, reason="pediu")
    await blocklist.unblock(fresh_db, ana, MARIA, reason="mudou de ideia")
    assert not await blocklist.is_blocked(fresh_db, MARIA)
    told = (await audit.recent(fresh_db))[0]
    assert told.action == "blocked_number.remove" and told.by == "ana"
    with pytest.raises(Refused, match="no such blocked number"):
        await blocklist.unblock(fresh_db, ana, MARIA)


@pytest.mark.parametrize("number", ["", "later", "190", "1001", "+0", "\x00", "9" * 30])
async def test_what_is_no_telephone_number_cannot_be_blocked(fresh_db, ana, number):
    with pytest.raises(Refused) as refused:
        await blocklist.block(fresh_db, ana, number)
    assert "number" in refused.value.details["errors"]


async def test_an_agent_blocks_and_only_a_supervisor_unblocks(fresh_db):
    agent = await users.create(
        fresh_db, None, login="b", name="B", role=Role.AGENT, password="correct horse battery"
    )
    await blocklist.block(fresh_db, agent, MARIA)
    with pytest.raises(Refused, match="run_campaigns"):
        await blocklist.unblock(fresh_db, agent, MARIA)
    with pytest.raises(Refused, match="run_campaigns"):
        await blocklist.import_file(fresh_db, agent, "x.csv", Path("/dev/null"))


async def brought(db, by, folder, data, *more):
    path = folder / "list"
    path.write_bytes(data)
    return await blocklist.import_file(db, by, "lista", path, *more)


# -- In memory ---------------------------------------------------------------------------------------------


async def test_the_memory_follows_every_change_of_the_table(fresh_db, ana, campaign):
    await blocklist.block(fresh_db, ana, MARIA)
    async with following(fresh_db) as known:
        assert known.blocked(MARIA) and known.blocked(MARIA, campaign) and not known.blocked(JOSE)
        await blocklist.block(fresh_db, ana, JOSE, campaign)
        await until(lambda: known.blocked(JOSE, campaign))
        assert not known.blocked(JOSE)
        await blocklist.unblock(fresh_db, ana, MARIA)
        await until(lambda: not known.blocked(MARIA))
        assert len(known) == 1


async def test_a_whole_list_and_another_programs_rows_reach_the_memory(fresh_db, ana, tmp_path):
    async with following(fresh_db) as known:
        data = "\n".join(f"11 9{n:08}" for n in range(500)).encode()
        await brought(fresh_db, ana, tmp_path, data)
        await until(lambda: len(known) == 500)
        await fresh_db.execute("INSERT INTO blocked_number (number) VALUES ($1)", PEDRO)
        await until(lambda: known.blocked(PEDRO))
        await fresh_db.execute("DELETE FROM blocked_number")
        await until(lambda: len(known) == 0)


async def test_the_memory_is_read_again_after_its_connection_broke(fresh_db, ana):
    async with following(fresh_db) as known:
        await fresh_db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await blocklist.block(fresh_db, ana, MARIA)
        await until(lambda: known.blocked(MARIA))
        await blocklist.block(fresh_db, ana, JOSE)
        await until(lambda: known.blocked(JOSE))


# -- Files -------------------------------------------------------------------------------------------------


def sheet(rows):
    kept = io.BytesIO()
    book = xlsxwriter.Workbook(kept, {"in_memory": True})
    page = book.add_worksheet()
    for n, row in enumerate(rows):
        page.write_row(n, 0, row)
    book.close()
    return kept.getvalue()


LISTS = {
    "semicolons": "Nome;Telefone\nMaria;(11) 98765-4321\nJosé;021 93333-4444\n".encode("cp1252"),
    "utf8 with bom": "\ufeffTelefone,Motivo\n11987654321,pediu\n21933334444,pediu\n".encode(),
    "utf16": "11987654321\n21933334444\n".encode("utf-16"),
    "one a line": b"+5511987654321\r\n\r\n+5521933334444",
    "tabs": b"11987654321\tpediu\n21933334444\tpediu",
    "apostrophes": b"'+5511987654321\n'+5521933334444\n",
    "spreadsheet": sheet([["Telefone"], ["(11) 98765-4321"], [21933334444.0]]),
}


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_of_any_habit_is_imported(fresh_db, ana, tmp_path, name):
    result = await brought(fresh_db, ana, tmp_path, LISTS[name])
    assert (result.rows, result.accepted, result.rejected) == (2, 2, 0), result
    assert await blocklist.is_blocked(fresh_db, MARIA) and await blocklist.is_blocked(fresh_db, JOSE)


async def test_an_import_tells_of_each_row_it_did_not_take(fresh_db, ana, tmp_path, campaign):
    await blocklist.block(fresh_db, ana, MARIA, campaign)
    data = b"numero;motivo\n11987654321;antes\n21933334444;pediu\n021 93333-4444;duas vezes\nlater;?\n190;\n"
    result = await brought(fresh_db, ana, tmp_path, data, campaign, "da lista")
    assert (result.rows, result.accepted, result.already, result.repeated, result.rejected) == (5, 1, 1, 1, 2)
    assert [(r.line, r.reason) for r in result.details] == [
        (4, REPEATED), (5, NOT_A_PHONE), (6, NOT_A_PHONE), (2, ALREADY),
    ]  # fmt: skip
    assert (await blocklist.why(fresh_db, JOSE, campaign)).reason == "pediu"
    told = (await audit.recent(fresh_db))[0]
    assert told.action == "blocked_number.import"
    assert (told.after["accepted"], told.after["rejected"]) == (1, 2)


@pytest.mark.parametrize(
    "data", [b"\x7fELF\x00\x00\x01" * 50, b"PK\x03\x04 not really", b'"' + b"x" * 200_000 + b"\n"]
)
async def test_what_is_no_list_is_refused_and_nothing_is_blocked(fresh_db, ana, tmp_path, data):
    with pytest.raises(Refused):
        await brought(fresh_db, ana, tmp_path, data)
    assert await blocklist.count(fresh_db) == 0


async def test_an_exported_list_imports_again(fresh_db, ana, campaign, tmp_path):
    await blocklist.block(fresh_db, ana, MARIA, reason="=HYPERLINK(1)")
    await blocklist.block(fresh_db, ana, JOSE)
    await blocklist.block(fresh_db, ana, "+12025550123")
    await blocklist.block(fresh_db, ana, PEDRO, campaign)
    for format in ("csv", "xlsx"):
        path = tmp_path / f"list.{format}"
        assert await blocklist.export(fresh_db, ana, path, format, everywhere=True) == 3
        rows = await blocklist.search(fresh_db, everywhere=True)
        await blocklist.unblock_all(fresh_db, ana, [row.id for row in rows])
        result = await blocklist.import_file(fresh_db, ana, path.name, path)
        assert (result.accepted, result.rejected) == (3, 0)
        assert "'=HYPERLINK" in path.read_text("utf-8-sig") if format == "csv" else True


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({"text": "4321"}, {MARIA}),
        ({"text": "(11) 98765-4321"}, {MARIA}),
        ({"text": "PEDIU"}, {MARIA}),
        ({"text": "%"}, set()),
        ({"everywhere": True}, {MARIA, JOSE}),
        ({"campaign_id": 1}, {PEDRO}),
        ({"campaign_id": 1, "text": "4444"}, {PEDRO}),
        ({}, {MARIA, JOSE, PEDRO}),
    ],
)
async def test_search_by_digits_reason_and_campaign(fresh_db, ana, campaign, asked, numbers):
    assert campaign == 1
    await blocklist.block(fresh_db, ana, MARIA, reason="Pediu ontem")
    await blocklist.block(fresh_db, ana, JOSE)
    await blocklist.block(fresh_db, ana, PEDRO, campaign)
    assert {row.number for row in await blocklist.search(fresh_db, **asked)} == numbers
    assert await blocklist.count(fresh_db, **asked) == len(numbers)


async def test_whom_a_block_took_off_is_offered_to_come_back_and_nobody_else(fresh_db, ana):
    team = await agents(fresh_db, 1)
    here = await campaigning.campaign(fresh_db, team, name="Here")
    ended = await campaigning.campaign(fresh_db, team, name="Over")
    off, by_hand, other, still = await people(fresh_db, 4)
    number = await fresh_db.fetchval("SELECT number FROM contact_phone WHERE contact_id = $1", off)
    only_here = await fresh_db.fetchval("SELECT number FROM contact_phone WHERE contact_id = $1", still)
    await fresh_db.execute("INSERT INTO contact_phone VALUES ($1, $2, 1)", by_hand, number)
    wanted = await put(fresh_db, here, off, state=6, last_situation="completed", attempts=2)
    await put(fresh_db, here, by_hand, state=6, last_situation="cancelled")
    await put(fresh_db, here, other, state=6, last_situation="blocked")  # of another number
    await put(fresh_db, here, still, state=6, last_situation="blocked")
    await put(fresh_db, ended, off, state=6, last_situation="blocked")
    await campaigns.end(fresh_db, None, ended.id)
    blocked = [
        await blocklist.block(fresh_db, ana, number),
        await blocklist.block(fresh_db, ana, only_here, here.id),
        await blocklist.block(fresh_db, ana, only_here),
    ]
    done = await blocklist.unblock_all(fresh_db, ana, [each.id for each in blocked[:2]], "error")
    assert done.numbers == 2
    assert [(each.item_id, each.campaign, each.number) for each in done.taken_off] == [
        (wanted, "Here", number)
    ]
    agent = team[0]
    with pytest.raises(Refused):
        await blocklist.bring_back(fresh_db, agent, [number], [here.id], NOON)
    assert await blocklist.bring_back(fresh_db, ana, [number, only_here], [here.id, ended.id], NOON) == 1
    assert (await items.claim_next(fresh_db, here, agent, NOON)).id == wanted
    assert await blocklist.bring_back(fresh_db, ana, [number], [here.id], NOON) == 0
