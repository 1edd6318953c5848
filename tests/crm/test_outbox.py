"""Mail through a real SMTP server, and reports that are due going into the outbox."""

import asyncio
import datetime
from contextlib import asynccontextmanager
from dataclasses import replace
from email import message_from_bytes, policy

import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from config import Settings, WrongSetting, load
from crm import outbox, users
from crm import report_schedules as schedules
from crm.calls import ZONE
from crm.outbox import PAUSES, Outbox
from crm.refused import Refused
from crm.report_schedules import Letter, Schedules, next_due, period
from crm.users import Role

MONDAY = datetime.datetime(2026, 11, 23, 9, 0, tzinfo=ZONE)


class Postman:
    """Takes mail, and refuses as told."""

    def __init__(self) -> None:
        self.mails, self.no = [], {}

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.no:
            return self.no[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=policy.default)))
        return "250 OK"


@asynccontextmanager
async def server(**more):
    postman = Postman()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: SMTP(postman, loop=loop, **more), "127.0.0.1", 0)
    postman.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield postman


@pytest_asyncio.fixture
async def postman():
    async with server() as postman:
        yield postman


@pytest.fixture
def settings(tmp_path, postman):
    return Settings(
        data=tmp_path,
        smtp_host="127.0.0.1",
        smtp_port=postman.port,
        smtp_from="ramal@example.org",
        smtp_tls="none",
    )


@pytest_asyncio.fixture
async def clean(db):
    await db.execute("TRUNCATE outbox, report_schedule RESTART IDENTITY")
    return db


async def state(db, *columns: str):
    return [tuple(row) for row in await db.fetch(f"SELECT {', '.join(columns)} FROM outbox ORDER BY id")]


async def put(db, *addresses: str, **more) -> None:
    async with db.acquire() as connection, connection.transaction():
        await outbox.put(connection, list(addresses), "Relatório de ontem", "Segue o relatório.\n", **more)


async def test_mail_arrives_with_its_attachment(clean, postman, settings):
    (settings.data / "outbox").mkdir()
    (settings.data / "outbox" / "r1.csv").write_bytes("Campanha;Itens\n=1;2\n".encode("utf-8-sig"))
    await put(clean, "ana@example.org", attachment="outbox/r1.csv", attachment_name="relatório.csv")
    assert await Outbox(clean, settings).send_due() == 1
    ((to, mail),) = postman.mails
    assert (
        to == ["ana@example.org"] and mail["To"] == "ana@example.org" and mail["From"] == "ramal@example.org"
    )
    assert mail["Subject"] == "Relatório de ontem" and mail["Message-ID"] and mail["Auto-Submitted"]
    assert mail.get_body().get_content().strip() == "Segue o relatório."
    (attachment,) = mail.iter_attachments()
    assert attachment.get_filename() == "relatório.csv" and attachment.get_content_type() == "text/csv"
    assert "=1;2" in attachment.get_content()
    assert await state(clean, "state", "tries", "error") == [("sent", 1, "")]
    assert await Outbox(clean, settings).send_due() == 0


async def test_what_is_refused_for_now_is_tried_again_later_and_holds_up_nobody(clean, postman, settings):
    postman.no["full@example.org"] = "452 mailbox full"
    await put(clean, "full@example.org", "ana@example.org")
    sender = Outbox(clean, settings)
    assert await sender.send_due() == 1
    assert await state(clean, "state", "tries", "error") == [
        ("waiting", 1, "452 mailbox full"),
        ("sent", 1, ""),
    ]
    pause = await clean.fetchval("SELECT next_try - now() FROM outbox WHERE id = 1")
    assert datetime.timedelta() < pause <= PAUSES[0]
    postman.no.clear()
    assert await sender.send_due() == 0  # not due yet
    await clean.execute("UPDATE outbox SET next_try = now()")
    assert await sender.send_due() == 1
    assert [to for to, _ in postman.mails] == [["ana@example.org"], ["full@example.org"]]


async def test_what_is_refused_for_good_is_given_up_at_once(clean, postman, settings):
    postman.no["nobody@example.org"] = "550 no such user"
    await put(clean, "nobody@example.org")
    await Outbox(clean, settings).send_due()
    assert await state(clean, "state", "tries", "error") == [("failed", 1, "550 no such user")]


async def test_a_server_that_is_away_is_tried_again_until_hope_is_lost(clean, settings):
    sender = Outbox(clean, replace(settings, smtp_port=9))
    await put(clean, "ana@example.org")
    for tries in range(1, len(PAUSES) + 1):
        await sender.send_due()
        ((now, done, error),) = await state(clean, "state", "tries", "error")
        assert (now, done) == ("waiting", tries) and error
        await clean.execute("UPDATE outbox SET next_try = now()")
    await sender.send_due()
    assert await state(clean, "state") == [("failed",)]


async def test_mail_whose_file_is_gone_is_given_up(clean, settings):
    await put(clean, "ana@example.org", attachment="outbox/gone.csv")
    await Outbox(clean, settings).send_due()
    assert await state(clean, "state", "error") == [("failed", outbox.GONE)]


async def test_two_servers_send_each_mail_once(clean, postman, settings):
    await put(clean, *(f"a{n}@example.org" for n in range(30)))
    sent = await asyncio.gather(*(Outbox(clean, settings).send_due() for _ in range(2)))
    assert sum(sent) == 30
    assert sorted(to[0] for to, _ in postman.mails) == sorted(f"a{n}@example.org" for n in range(30))


async def test_mail_a_killed_server_was_sending_is_sent_later(clean, postman, settings):
    await put(clean, "ana@example.org")
    await Outbox(clean, settings)._take()
    assert await Outbox(clean, settings).send_due() == 0
    await clean.execute("UPDATE outbox SET next_try = next_try - interval '10 minutes'")
    assert await Outbox(clean, settings).send_due() == 1


async def test_a_server_that_asks_who_we_are_is_told(clean, settings):
    def right(server, session, envelope, mechanism, data):
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"ramal", b"secret")
        return AuthResult(success=good, handled=False)

    async with server(authenticator=right, auth_required=True, auth_require_tls=False) as postman:
        ours = replace(settings, smtp_port=postman.port, smtp_user="ramal", smtp_password="wrong")
        await put(clean, "ana@example.org")
        await Outbox(clean, ours).send_due()
        assert (await state(clean, "state", "tries"))[0] == ("waiting", 1)  # mended by us: tried again
        await clean.execute("UPDATE outbox SET next_try = now()")
        assert await Outbox(clean, replace(ours, smtp_password="secret")).send_due() == 1


async def test_nothing_is_sent_in_clear_when_the_server_cannot_encrypt(clean, postman, settings):
    await put(clean, "ana@example.org")
    await Outbox(clean, replace(settings, smtp_tls="starttls")).send_due()
    ((now, error),) = await state(clean, "state", "error")
    assert now == "waiting" and "STARTTLS" in error and postman.mails == []


async def test_a_subject_cannot_bring_headers_of_its_own(clean, postman, settings):
    async with clean.acquire() as connection:
        await outbox.put(connection, ["ana@example.org"], "Vendas\r\nBcc: eve@example.org", "")
    await Outbox(clean, settings).send_due()
    ((to, mail),) = postman.mails
    assert to == ["ana@example.org"] and mail["Bcc"] is None


def test_a_mail_server_needs_an_address_to_send_from():
    with pytest.raises(WrongSetting, match="smtp_from"):
        load(None, {"RAMAL_SMTP_HOST": "mail.example.org"})
    assert (
        load(None, {"RAMAL_SMTP_HOST": "mail.example.org", "RAMAL_SMTP_FROM": "a@example.org"}).smtp_port
        == 587
    )
    with pytest.raises(WrongSetting, match="starttls, tls"):
        load(None, {"RAMAL_SMTP_TLS": "maybe"})


# -- when, and of which days -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "every, at, after, due",
    [
        ("day", "09:30", MONDAY, "2026-11-23 09:30"),
        ("day", "09:00", MONDAY, "2026-11-24 09:00"),
        ("week", "09:30", MONDAY, "2026-11-23 09:30"),
        ("week", "08:00", MONDAY, "2026-11-30 08:00"),
        ("month", "08:00", MONDAY, "2026-12-01 08:00"),
        ("month", "08:00", MONDAY.replace(month=12, day=31), "2027-01-01 08:00"),
    ],
)
def test_the_next_time_is_where_the_centre_is(every, at, after, due):
    found = next_due(every, datetime.time.fromisoformat(at), after.astimezone(datetime.UTC))
    assert f"{found.astimezone(ZONE):%Y-%m-%d %H:%M}" == due


@pytest.mark.parametrize(
    "every, today, days",
    [
        ("day", "2026-11-01", ("2026-10-31", "2026-10-31")),
        ("week", "2026-11-23", ("2026-11-16", "2026-11-22")),
        ("week", "2026-11-29", ("2026-11-16", "2026-11-22")),
        ("month", "2027-03-01", ("2027-02-01", "2027-02-28")),
        ("month", "2027-01-31", ("2026-12-01", "2026-12-31")),
    ],
)
def test_a_report_is_of_the_whole_period_before(every, today, days):
    assert tuple(map(str, period(every, datetime.date.fromisoformat(today)))) == days


# -- scheduled reports -------------------------------------------------------------------------------------


class Two:
    """A source of two rows."""

    kind = "report-r6"

    def asked(self):
        return {}

    async def count(self, db):
        return 2

    async def titles(self, db):
        return ["Campaign", "Quantity"]

    async def rows(self, db):
        yield ["Vendas", 1]
        yield ["Cobrança", 2]


@pytest_asyncio.fixture
async def owner(clean):
    await clean.execute("DELETE FROM audit")
    await clean.execute("DELETE FROM user_account")
    await users.create(
        clean, None, login="adm", name="Adm", role=Role.ADMINISTRATOR, password="correct horse"
    )
    return await users.create(
        clean, None, login="sup", name="Sup", role=Role.SUPERVISOR, password="correct horse"
    )


VALUES = {
    "report": "r6",
    "name": "Diário",
    "recipients": "a@x.org, b@x.org",
    "format": "csv",
    "every": "day",
    "at": "09:30",
}


def runner(db, settings, periods=None):
    async def write(schedule, owner, start, end):
        if periods is not None:
            periods.append((start, end))
        return Letter(Two(), f"{schedule.name} de {owner.name}", "Segue.\n", "r6.csv")

    return Schedules(db, settings.data, write)


async def test_a_report_that_is_due_goes_to_everyone_once(clean, owner, postman, settings):
    await schedules.create(clean, owner, VALUES, [("campaign", "1"), ("start", "2026-01-01")], MONDAY)
    periods = []
    runs = [runner(clean, settings, periods) for _ in range(2)]
    assert await runs[0].send_due(MONDAY) == 0
    due = MONDAY + datetime.timedelta(hours=1)
    assert sum(await asyncio.gather(*(each.send_due(due) for each in runs))) == 1
    assert set(periods) == {(datetime.date(2026, 11, 22), datetime.date(2026, 11, 22))}
    assert await state(clean, "to_address", "subject") == [
        ("a@x.org", "Diário de Sup"),
        ("b@x.org", "Diário de Sup"),
    ]
    (made,) = await schedules.all(clean, owner)
    assert made.filter == [["campaign", "1"]] and made.last_sent == due
    assert f"{made.next_due.astimezone(ZONE):%d %H:%M}" == "24 09:30"
    assert len(list((settings.data / "outbox").iterdir())) == 1  # the slower server's file is gone
    await Outbox(clean, settings).send_due()
    (attachment,) = postman.mails[0][1].iter_attachments()
    assert "Cobrança;2" in attachment.get_payload(decode=True).decode("utf-8-sig")


async def test_days_missed_are_not_made_up_for(clean, owner, settings):
    await schedules.create(clean, owner, VALUES, [], MONDAY)
    late = MONDAY + datetime.timedelta(days=5)
    assert await runner(clean, settings).send_due(late) == 1
    assert await runner(clean, settings).send_due(late) == 0


async def test_a_report_that_fails_says_so_is_tried_again_and_holds_up_no_other(clean, owner, settings):
    await schedules.create(clean, owner, VALUES | {"name": "A"}, [], MONDAY)
    await schedules.create(clean, owner, VALUES | {"name": "B"}, [], MONDAY)

    async def write(schedule, owner, start, end):
        if schedule.name == "A":
            raise Refused("The disk is full.")
        return Letter(Two(), "B", "", "b.csv")

    due = MONDAY + datetime.timedelta(hours=1)
    assert await Schedules(clean, settings.data, write).send_due(due) == 1
    failed, sent = await schedules.all(clean, owner)
    assert failed.last_error == "The disk is full." and failed.next_due == due + schedules.AFTER_A_FAILURE
    assert sent.last_error == ""


async def test_the_reports_of_one_who_left_are_not_sent(clean, owner, settings):
    await schedules.create(clean, owner, VALUES, [], MONDAY)
    await users.update(clean, None, owner.id, active=False)
    assert await runner(clean, settings).send_due(MONDAY + datetime.timedelta(days=1)) == 0
    assert await clean.fetchval("SELECT active FROM report_schedule") is False
    assert await state(clean, "id") == []


async def test_a_paused_report_is_not_sent_for_the_time_it_was_paused(clean, owner, settings):
    id = await schedules.create(clean, owner, VALUES, [], MONDAY)
    await schedules.switch(clean, owner, id, False, MONDAY)
    later = MONDAY + datetime.timedelta(days=3)
    assert await runner(clean, settings).send_due(later) == 0
    await schedules.switch(clean, owner, id, True, later)
    assert await runner(clean, settings).send_due(later) == 0
    assert await runner(clean, settings).send_due(later + datetime.timedelta(days=1)) == 1


async def test_anothers_schedule_is_not_there(clean, owner):
    id = await schedules.create(clean, owner, VALUES, [], MONDAY)
    other = await users.create(
        clean, None, login="o", name="O", role=Role.SUPERVISOR, password="correct horse"
    )
    for change in (schedules.remove(clean, other, id), schedules.send_now(clean, other, id)):
        with pytest.raises(Refused, match="no such schedule"):
            await change
    assert await schedules.all(clean, other) == []
