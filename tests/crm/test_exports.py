"""Exports: files that hold what the page showed, with progress, cancelled and cleaned, harmless to open."""

import asyncio
import csv
import datetime
import uuid
import zipfile

import pytest

from crm import calls, exports, layouts, queues, tabulation, users
from crm.calls import CallRecord, Direction, Result
from crm.exports import Exports, harmless
from crm.form import CATEGORY
from crm.refused import Refused
from crm.tabulation import TabulationFilter, TabulationSaved
from crm.users import Role
from tests.waiting import until
from webui.tabulations.source import COLUMNS, TabulationSource

START = datetime.datetime(2026, 11, 20, 12, 0, tzinfo=datetime.UTC)
EVIL = '=HYPERLINK("http://x";"clique")'


async def user(db, login, role):
    return await users.create(db, None, login=login, name=login, role=role, password="correct horse battery")


@pytest.fixture
async def boss(fresh_db):
    return await user(fresh_db, "boss", Role.SUPERVISOR)


@pytest.fixture
async def jobs(fresh_db, tmp_path):
    jobs = Exports(fresh_db, tmp_path)
    yield jobs
    await jobs.close()


async def fill(db, count):
    """So many saved tabulations of one agent."""
    ana = await user(db, "ana", Role.AGENT)
    sale = await layouts.create_type(db, None, name="Venda")
    won = await layouts.create_category(db, None, sale.id, name="Ganha", success=True)
    notes = {"key": "notes", "label": "Notas", "kind": "long_text"}
    layout = await layouts.create(db, None, name="sales", label="Vendas", types=[sale.id], fields=[notes])
    await queues.create(db, None, name="sales", label="Vendas", layout_id=layout.id)
    records = [
        CallRecord(
            str(uuid.UUID(int=n + 1)), Direction.INBOUND, START + datetime.timedelta(seconds=n),
            number="+5511987654321", queue="sales", user_id=ana.id, talk_seconds=1.5, result=Result.ANSWERED,
        )
        for n in range(count)
    ]  # fmt: skip
    saved = [
        TabulationSaved(r.id, ana.id, layout.id, r.started, {CATEGORY: str(won.id), "notes": EVIL})
        for r in records
    ]
    async with db.acquire() as connection:
        await calls.write_history(connection, records)
        await tabulation.write_saved(connection, saved)
    return records


async def ended(db, by, export_id):
    async def over():
        export = await exports.by_id(db, by, export_id)
        return export if export.state != "running" else None

    return await until(over, "the export ends")


def csv_rows(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


async def test_a_csv_holds_every_row_and_no_formula(fresh_db, jobs, boss):
    records = await fill(fresh_db, 1203)
    export_id = await jobs.start(boss, TabulationSource(TabulationFilter(), str), "csv")
    done = await ended(fresh_db, boss, export_id)
    assert (done.state, done.rows_done, done.rows_all) == ("done", 1203, 1203)
    rows = csv_rows(await jobs.file(boss, export_id))
    assert [row["Global id"] for row in rows] == [record.id for record in records]
    assert rows[0] == {
        "Started": "2026-11-20 09:00:00",
        "Agent": "ana",
        "Group": "",
        "Queue": "Vendas",
        "Campaign": "",
        "Direction": "Incoming",
        "Number": "(11) 98765-4321",
        "Contact": "",
        "Result": "answered",
        "Wait (s)": "0,0",
        "Talk (s)": "1,5",
        "Hold (s)": "0,0",
        "Type": "Venda",
        "Category": "Ganha",
        "Outcome": "Success",
        "Form": "Vendas",
        "Saved at": "2026-11-20 09:00:00",
        "Global id": records[0].id,
        "Notas": "'" + EVIL,
    }


async def test_a_spreadsheet_holds_text_as_text_and_no_formula(fresh_db, jobs, boss):
    records = await fill(fresh_db, 7)
    export_id = await jobs.start(boss, TabulationSource(TabulationFilter(), str), "xlsx")
    assert (await ended(fresh_db, boss, export_id)).state == "done"
    with zipfile.ZipFile(await jobs.file(boss, export_id)) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert sheet.count("<row ") == 1 + len(records)
    assert "<f>" not in sheet and "HYPERLINK" in sheet and records[0].id in sheet


async def test_the_filter_and_the_rights_hold(fresh_db, jobs, boss):
    records = await fill(fresh_db, 3)
    only = TabulationFilter(global_id=records[1].id)
    export_id = await jobs.start(boss, TabulationSource(only, str), "csv")
    await ended(fresh_db, boss, export_id)
    assert [row["Global id"] for row in csv_rows(await jobs.file(boss, export_id))] == [records[1].id]
    other = await user(fresh_db, "other", Role.SUPERVISOR)
    assert await exports.by_id(fresh_db, other, export_id) is None
    for act in (jobs.file(other, export_id), jobs.cancel(other, export_id)):
        with pytest.raises(Refused, match="no such export"):
            await act
    agent = await user(fresh_db, "agent", Role.AGENT)
    with pytest.raises(Refused) as refused:
        await jobs.start(agent, TabulationSource(only, str), "csv")
    assert refused.value.code == "not_allowed"
    with pytest.raises(Refused):
        await jobs.start(boss, TabulationSource(only, str), "pdf")


async def test_an_export_can_be_cancelled_and_leaves_no_file(fresh_db, jobs, boss):
    await fill(fresh_db, 5000)
    export_id = await jobs.start(boss, TabulationSource(TabulationFilter(), str), "xlsx")

    async def begun():
        return (await exports.by_id(fresh_db, boss, export_id)).rows_done

    await until(begun, "some rows are written")
    await jobs.cancel(boss, export_id)
    assert (await exports.by_id(fresh_db, boss, export_id)).state == "cancelled"
    assert list(jobs.folder.iterdir()) == []
    with pytest.raises(Refused):
        await jobs.file(boss, export_id)


async def test_only_so_many_run_at_once(fresh_db, jobs, boss):
    await fill(fresh_db, 3000)
    for _ in range(exports.RUNNING_MAX):
        await jobs.start(boss, TabulationSource(TabulationFilter(), str), "xlsx")
    with pytest.raises(Refused, match="still running"):
        await jobs.start(boss, TabulationSource(TabulationFilter(), str), "csv")


async def test_what_a_stopped_server_left_has_failed_and_old_files_go(fresh_db, jobs, boss):
    await fill(fresh_db, 3)
    left = await jobs.start(boss, TabulationSource(TabulationFilter(), str), "csv")
    old = await jobs.start(boss, TabulationSource(TabulationFilter(), str), "csv")
    await ended(fresh_db, boss, left)
    await ended(fresh_db, boss, old)
    await fresh_db.execute("UPDATE export SET state = 'running' WHERE id = $1", left)
    await fresh_db.execute("UPDATE export SET started = now() - interval '8 days' WHERE id = $1", old)
    (jobs.folder / "half.csv.part").touch()
    await jobs.clean()
    assert [(e.id, e.state) for e in await exports.of_user(fresh_db, boss)] == [(left, "failed")]
    assert [path.name for path in jobs.folder.iterdir()] == [f"tabulations-{left}.csv"]


async def test_a_folder_that_cannot_be_written_fails_the_export_and_nothing_else(fresh_db, tmp_path, boss):
    await fill(fresh_db, 1)
    (tmp_path / "exports").write_text("in the way")
    jobs = Exports(fresh_db, tmp_path)
    export_id = await jobs.start(boss, TabulationSource(TabulationFilter(), str), "csv")
    failed = await ended(fresh_db, boss, export_id)
    assert failed.state == "failed" and failed.error
    await jobs.close()


@pytest.mark.parametrize("cell", ["=1+1", "+5511", "-1", "@x", "\t=1", " =1", "\r=1"])
def test_what_a_spreadsheet_would_calculate_is_made_text(cell):
    assert harmless(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["", "Ana", "a=b", "(11) 98765-4321", -1, 1.5, True, None])
def test_what_it_would_not_stays(cell):
    assert harmless(cell) == cell


def test_every_column_is_a_field_of_a_tabulation():
    assert set(COLUMNS) <= set(tabulation.Tabulation.__dataclass_fields__)


async def test_closing_ends_what_runs(fresh_db, jobs, boss):
    await fill(fresh_db, 3000)
    await jobs.start(boss, TabulationSource(TabulationFilter(), str), "xlsx")
    await jobs.close()
    assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("export")]
