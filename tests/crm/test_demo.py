"""The demonstration centre: complete, the same when filled again, topped up as days pass."""

import datetime
import stat
from dataclasses import replace

import pytest

from config import Settings
from crm import calls, centre, contacts, custom_reports, demo, demo_dialing, shifts, tabulation, users
from crm.calls import ZONE
from crm.custom_reports import Asked
from crm.extensions import digests
from crm.form import CATEGORY, check
from crm.routes import permitted
from crm.tabulation import TabulationFilter

PASSWORD = "senha-de-demonstração"
NOW = datetime.datetime(2026, 11, 20, 19, 30, tzinfo=datetime.UTC)  # 16:30 there, a Friday
TODAY = NOW.astimezone(ZONE).date()


@pytest.fixture
def settings(tmp_path):
    return replace(Settings(), data=tmp_path, demo=True, demo_trunk_port=5999)


async def contents(db):
    tables = "user_account extension queue number contact contact_phone call tabulation shift layout".split()
    counts = {table: await db.fetchval(f"SELECT count(*) FROM {table}") for table in tables}
    return counts | {"user_account": counts["user_account"] - 1}  # the dialer was there before


async def test_the_demo_is_what_its_users_are_promised(fresh_db, settings):
    await demo.fill(fresh_db, settings, PASSWORD, NOW)
    picture = await centre.load(fresh_db)
    by_login = {user.login: user for user in picture.users.values()}
    assert by_login.keys() == {"admin", "supervisor", *(f"agent{n}" for n in range(1, 7))}
    names = [by_login[f"agent{n}"].name.split()[0] for n in range(1, 7)]
    assert names == ["Ana", "Bruno", "Carla", "Diego", "Elisa", "Fábio"]
    for n in range(1, 7):
        extension = picture.extensions[f"100{n}"]
        assert extension.user_id == by_login[f"agent{n}"].id
        assert (extension.ha1_md5, extension.ha1_sha256) == digests(f"100{n}", PASSWORD)
        assert all(extension.user_id in queue.members for queue in picture.queues.values())
    assert {n.dialed: n.target for n in picture.numbers.values()} == {"4000": "sales", "4001": "support"}
    assert [(q.label, q.record, q.layout_id in picture.layouts) for q in picture.queues.values()] == [
        ("Suporte", True, True),
        ("Vendas", True, True),
    ]
    (trunk,) = picture.trunks.values()
    assert (trunk.name, trunk.host, trunk.port) == ("demo", "127.0.0.1", 5999)
    (route,) = picture.routes.values()
    assert permitted(route, by_login["agent1"], "+5511987654321") and permitted(
        route, by_login["agent1"], "190"
    )
    assert await users.verify(fresh_db, "agent1", PASSWORD) == by_login["agent1"]


async def test_its_customers_show_one_match_two_candidates_and_none(fresh_db, settings):
    await demo.fill(fresh_db, settings, PASSWORD, NOW)
    everybody = demo.CONTACTS + demo_dialing.PEOPLE
    assert await fresh_db.fetchval("SELECT count(*) FROM contact") == everybody
    counts = [len(await contacts.candidates(fresh_db, number)) for _, _, number in demo.KNOWN[:2]]
    assert counts == [1, 2]
    for number in demo.NOT_CONTACTS:
        assert await contacts.candidates(fresh_db, number) == []
    shown = await contacts.search(fresh_db, "a", limit=500)
    for contact in shown:  # every one would be accepted if somebody typed it
        contacts.checked({**contacts.asdict(contact), "phones": contact.phones}, "11")


async def test_two_weeks_are_there_and_fit_together(fresh_db, settings):
    await demo.fill(fresh_db, settings, PASSWORD, NOW)
    for days in range(15):
        quarters = await calls.by_quarter_hour(fresh_db, TODAY - datetime.timedelta(days=days))
        assert sum(q.offered for q in quarters) > 20 and sum(q.abandoned for q in quarters) > 0
    assert await fresh_db.fetchval("SELECT max(ended) FROM call") <= NOW
    assert (
        await fresh_db.fetchval("SELECT count(*) FROM call WHERE answered < started OR ended < answered") == 0
    )
    overlap = """
        SELECT count(*) FROM shift AS a JOIN shift AS b
            ON a.user_id = b.user_id AND a.started < b.started AND b.started < a.ended
    """
    assert await fresh_db.fetchval(overlap) == 0
    forms = (await centre.load(fresh_db)).layouts
    rows = await tabulation.search(fresh_db, TabulationFilter(), limit=10_000)
    assert len(rows) > 1000 and len({row.category for row in rows}) >= 10
    for row in rows:
        assert check(forms[row.layout_id], {**row.answers, CATEGORY: str(row.category_id)}) == {}
    ana = await users.by_login(fresh_db, "agent1")
    assert await shifts.of_user(fresh_db, ana.id, *calls.day_bounds(TODAY))


async def test_some_calls_of_today_can_be_heard(fresh_db, settings):
    await demo.fill(fresh_db, settings, PASSWORD, NOW)
    start, end = calls.day_bounds(TODAY)
    heard = await calls.recorded(fresh_db, start=start, end=end)
    assert heard
    for call in heard:
        sound = (settings.data / call.recording).read_bytes()
        assert sound[:4] == b"RIFF" and int.from_bytes(sound[4:8], "little") == len(sound) - 8
        assert abs((len(sound) - 58) / 16_000 - call.talk_seconds) < 0.1


async def test_filling_again_changes_nothing(fresh_db, settings):
    await demo.fill(fresh_db, settings, PASSWORD, NOW)
    before = await contents(fresh_db)
    await demo.fill(fresh_db, settings, PASSWORD, NOW)
    assert await contents(fresh_db) == before


async def test_a_later_start_fills_the_days_that_are_missing(fresh_db, settings):
    await demo.fill(fresh_db, settings, PASSWORD, NOW)
    before = await contents(fresh_db)
    await demo.fill(fresh_db, settings, PASSWORD, NOW + datetime.timedelta(days=3))
    after = await contents(fresh_db)
    assert after["call"] > before["call"]
    assert {k: v for k, v in after.items() if k in ("user_account", "contact", "layout")} == {
        k: v for k, v in before.items() if k in ("user_account", "contact", "layout")
    }
    quarters = await calls.by_quarter_hour(fresh_db, TODAY + datetime.timedelta(days=3))
    assert sum(q.offered for q in quarters) > 20


async def test_a_new_password_is_of_everybody_at_the_next_start(fresh_db, settings):
    await demo.fill(fresh_db, settings, PASSWORD, NOW)
    await demo.fill(fresh_db, settings, "another password", NOW)
    assert await users.verify(fresh_db, "supervisor", PASSWORD) is None
    assert await users.verify(fresh_db, "supervisor", "another password")
    extension = (await centre.load(fresh_db)).extensions["1006"]
    assert extension.ha1_md5 == digests("1006", "another password")[0]


async def test_a_fill_that_breaks_leaves_nothing(fresh_db, settings):
    await fresh_db.execute("ALTER TABLE shift ADD CHECK (state <> 'not_ready')")
    with pytest.raises(Exception, match="check"):
        await demo.fill(fresh_db, settings, PASSWORD, NOW)
    assert set((await contents(fresh_db)).values()) == {0}


def test_the_password_is_made_once_kept_private_and_the_settings_wins(settings):
    made = demo.password(settings)
    assert len(made) >= 12 and demo.password(settings) == made
    file = settings.data / "demo.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert demo.password(replace(settings, demo_password="given by hand")) == "given by hand"
    assert demo.password(settings) == "given by hand"


async def test_its_reports_show_what_was_answered(fresh_db, settings):
    for _ in range(2):
        await demo.fill(fresh_db, settings, PASSWORD, NOW)
    supervisor = await users.by_login(fresh_db, "supervisor")
    grouped, listed = reports = await custom_reports.all(fresh_db, supervisor)
    for report in reports:
        kept = await custom_reports.update(fresh_db, supervisor, report.id, name=report.name)
        assert replace(kept, updated=report.updated) == report  # nothing in it that the pages would refuse
        found = await custom_reports.run(
            fresh_db, supervisor, report, Asked(TODAY - datetime.timedelta(29), TODAY)
        )
        assert found.rows and found.missing == () and found.exact
    assert grouped.groups and not listed.groups
