"""E-mail on its way: a row for each recipient, sent by one loop and tried again with growing pauses."""

import asyncio
import datetime
import logging
import mimetypes
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

import aiosmtplib
import asyncpg

from config import Settings
from crm.db import AWAY, Db

log = logging.getLogger(__name__)

PAUSES = tuple(datetime.timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360, 720))
AT_ONCE = 20
SENDING = datetime.timedelta(minutes=10)  # one that a killed server was sending is sent again after this
SECONDS_BETWEEN_LOOKS = 10.0
SMTP_SECONDS_MAX = 30.0
KEPT = datetime.timedelta(days=30)
GONE = "the file is no longer there"


@dataclass(frozen=True, slots=True)
class Mail:
    id: int
    to_address: str
    subject: str
    body: str
    attachment: str | None  # path below the data folder
    attachment_name: str | None
    tries: int


async def put(
    connection: asyncpg.Connection,
    to_addresses: list[str],
    subject: str,
    body: str,
    attachment: str | None = None,
    attachment_name: str | None = None,
) -> None:
    """Call inside the transaction of what the mail tells about."""
    await connection.executemany(
        """
        INSERT INTO outbox (to_address, subject, body, attachment, attachment_name)
        VALUES ($1, $2, $3, $4, $5)
        """,
        [(to, " ".join(subject.split()), body, attachment, attachment_name) for to in to_addresses],
    )


class Outbox:
    """Sends what is due; several servers may do so beside each other."""

    def __init__(self, db: Db, settings: Settings) -> None:
        self.db, self.settings = db, settings

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                if self.settings.smtp_host:
                    await self.send_due()
                await self.clean()
            except AWAY:
                log.warning("the database is away; mail waits")
            except Exception:
                log.exception("mail could not be looked after")
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    async def send_due(self) -> int:
        """Answers how many were sent."""
        sent = 0
        while taken := await self._take():
            for mail in taken:
                sent += await self._send(mail)
        return sent

    async def _take(self) -> list[Mail]:
        """Those that are due, kept from other servers while we send them."""
        rows = await self.db.fetch(
            """
            UPDATE outbox SET tries = tries + 1, next_try = now() + $2::interval
             WHERE id IN (SELECT id FROM outbox WHERE state = 'waiting' AND next_try <= now()
                           ORDER BY next_try LIMIT $1 FOR UPDATE SKIP LOCKED)
            RETURNING id, to_address, subject, body, attachment, attachment_name, tries
            """,
            AT_ONCE,
            SENDING,
        )
        return [Mail(**row) for row in rows]

    async def _send(self, mail: Mail) -> bool:
        try:
            await self._deliver(mail)
        except FileNotFoundError:
            await self._give_up(mail, GONE)
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as e:
            if for_ever(e) or mail.tries > len(PAUSES):
                await self._give_up(mail, words_of(e))
            else:
                await self._try_again(mail, words_of(e))
        else:
            await self.db.execute(
                "UPDATE outbox SET state = 'sent', sent = now(), error = '' WHERE id = $1", mail.id
            )
            return True
        return False

    async def _deliver(self, mail: Mail) -> None:
        settings = self.settings
        await aiosmtplib.send(
            await asyncio.to_thread(message, mail, settings.smtp_from, settings.data),
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_user or None,
            password=settings.smtp_password or None,
            use_tls=settings.smtp_tls == "tls",
            start_tls=settings.smtp_tls == "starttls",
            timeout=SMTP_SECONDS_MAX,
        )

    async def _give_up(self, mail: Mail, error: str) -> None:
        log.warning("mail %d to %s cannot be sent: %s", mail.id, mail.to_address, error)
        await self.db.execute("UPDATE outbox SET state = 'failed', error = $2 WHERE id = $1", mail.id, error)

    async def _try_again(self, mail: Mail, error: str) -> None:
        await self.db.execute(
            "UPDATE outbox SET error = $2, next_try = now() + $3::interval WHERE id = $1",
            mail.id,
            error,
            PAUSES[mail.tries - 1],
        )

    async def clean(self) -> None:
        """What is old goes, and each file that no mail needs any more."""
        await self.db.execute("DELETE FROM outbox WHERE at < now() - $1::interval", KEPT)
        folder = self.settings.data / "outbox"
        if not folder.exists():
            return
        rows = await self.db.fetch(
            "SELECT DISTINCT attachment FROM outbox WHERE attachment IS NOT NULL AND state = 'waiting'"
        )
        needed = {self.settings.data / row["attachment"] for row in rows}
        old = datetime.datetime.now().timestamp() - KEPT.total_seconds()
        for path in folder.iterdir():
            if path not in needed and path.stat().st_mtime < old:
                path.unlink(missing_ok=True)


def message(mail: Mail, sender: str, data: Path) -> EmailMessage:
    """As it travels. Reading the attachment may take a while: not for the event loop."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = sender, mail.to_address, mail.subject
    made["Date"] = formatdate(localtime=True)
    made["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or None)
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence notice answers it
    made.set_content(mail.body)
    if mail.attachment is not None:
        kind, _, subtype = (mimetypes.guess_type(mail.attachment)[0] or "application/octet-stream").partition(
            "/"
        )
        made.add_attachment(
            (data / mail.attachment).read_bytes(),
            maintype=kind,
            subtype=subtype,
            filename=mail.attachment_name or Path(mail.attachment).name,
        )
    return made


def for_ever(error: Exception) -> bool:
    """The server will say the same next time: 5xx of RFC 5321, or an address that is none."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return all(each.code >= 500 for each in error.recipients)
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return False  # a wrong password is mended by us
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return error.code >= 500
    return isinstance(error, ValueError)


def words_of(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return "; ".join(f"{each.code} {each.message}" for each in error.recipients)[:500]
    return (str(error) or type(error).__name__)[:500]
