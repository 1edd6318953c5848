"""Messages that people hear who meet no agent, and machines: sent in as WAV files, kept below data/messages,
listened to on the page of the campaign's dialing."""

import asyncio
import re
import unicodedata
from pathlib import Path
from typing import Any

from aiohttp import web

from crm import audit
from crm.db import Db
from crm.dialing import FILE, using
from crm.refused import Refused
from crm.users import User
from crm.users import require as require_permission
from cti.media import message, tones
from cti.media.message import Fault, Unfit
from webui.auth import require
from webui.i18n import N_
from webui.imports.pages import pieces
from webui.page import SETTINGS

FOLDER = "messages"  # below the data folder; dialer.drive plays from there
BUILT_IN = "~built-in.wav"  # no name of a recording
FAULTS = {
    Fault.NO_WAV: N_("This is not a WAV file with sound in it. Save the recording as WAV and send it again."),
    Fault.ENCODING: N_(
        "This WAV file is written in a way that cannot be read: save it as PCM, mono or stereo."
    ),
    Fault.TOO_SHORT: N_("This is too short for a message: it lasts less than half a second."),
    Fault.TOO_LONG: N_("A message lasts two minutes at most."),
    Fault.QUIET: N_("Nothing can be heard in this recording. Check the microphone and record it again."),
}

routes = web.RouteTableDef()


def folder_of(data: Path) -> Path:
    return data / FOLDER


def all(data: Path) -> list[str]:
    """The messages there are, by name."""
    folder = folder_of(data)
    return sorted((path.name for path in folder.glob("*.wav")), key=str.casefold) if folder.is_dir() else []


async def received(part: Any) -> bytes:
    """The file, or as much of it as shows that it is too long."""
    content = bytearray()
    async for piece in pieces(part):
        content += piece
        if len(content) > message.BYTES_MAX:
            break
    async for _ in pieces(part):
        pass
    return bytes(content)


async def keep(data: Path, sent_as: str, content: bytes) -> str:
    """The name it is kept under; another recording of that name stays. Refused when it is no message."""
    if not sent_as or not content:
        raise Refused("Choose a file.")
    try:
        made = await asyncio.to_thread(message.parse, content)
    except Unfit as unfit:
        raise Refused(FAULTS[unfit.fault]) from unfit
    folder, stem, file = folder_of(data), stem_of(sent_as), made.file()
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(1, 1000):
        path = folder / (f"{stem}.wav" if n == 1 else f"{stem}-{n}.wav")
        try:
            with path.open("xb") as kept:
                kept.write(file)
        except FileExistsError:
            if path.read_bytes() != file:
                continue
        return path.name
    raise Refused("There are too many recordings of this name. Rename the file and send it again.")


async def remove(db: Db, by: User, data: Path, name: str) -> None:
    """One that no campaign uses. Refused with the names of those that do."""
    require_permission(by, "run_campaigns")
    if name not in all(data):
        raise Refused("This recording is not there any more.")
    if users := await using(db, name):
        raise Refused(
            "{file} is used by {campaigns}: choose another message there first.",
            file=name,
            campaigns=", ".join(users),
        )
    async with db.acquire() as connection:
        await audit.note(connection, by, "message.remove", f"message {name}", {"file": name}, None)
    (folder_of(data) / name).unlink(missing_ok=True)


def stem_of(sent_as: str) -> str:
    """A file's name without its folder and ending, as crm.dialing takes it."""
    plain = unicodedata.normalize("NFKD", sent_as.replace("\\", "/").rpartition("/")[2])
    ascii = plain.encode("ascii", "ignore").decode().removesuffix(".wav").removesuffix(".WAV")
    return re.sub(r"[^A-Za-z0-9_-]+", "-", ascii).strip("-")[:80] or "message"


@routes.get("/campaigns/messages/{name}")
@require("run_campaigns")
async def listen(request: web.Request) -> web.StreamResponse:
    """A message as people hear it; the built-in one under its own name."""
    name = request.match_info["name"]
    path = folder_of(request.app[SETTINGS].data) / name
    if name == BUILT_IN:
        path = tones.ABANDONED
    elif not FILE.fullmatch(name) or not path.is_file():
        raise web.HTTPNotFound(text="there is no such message\n")
    return web.FileResponse(path, headers={"Content-Type": "audio/wav", "Cache-Control": "private, no-store"})
