"""What docs/cti-protocol.md says is so: its example runs, its lists are complete."""

import asyncio
import re
import sys
from pathlib import Path

from cti.commands import VERBS
from cti.floor import EVENTS
from cti.toolbar.frames import encode
from dialer import lists, one_to_one

from .conftest import until

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/cti-protocol.md").read_text()
SOURCES = [*ROOT.glob("cti/*.py"), ROOT / "cti/toolbar/server.py", *ROOT.glob("dialer/*.py")]
CORE = "".join(path.read_text() for path in SOURCES)


async def test_the_example_client_logs_in_becomes_ready_and_answers(site, tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    assert len(example.splitlines()) <= 40
    (tmp_path / "example.py").write_text(example)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "example.py", "127.0.0.1", str(site.port), "agent1", "secret",
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert await process.stdout.readline() == b"logged in\n"
        await until(lambda: ("agent1", "SetAgentState", {"state": "ready"}) in site.commands.asked)
        site.desk().show("SomethingNew", of="a later version")
        site.desk().show("Delivered", call={"id": "c", "display": "(11) 98765-4321"}, customer=None)
        assert await process.stdout.readline() == b"call from (11) 98765-4321\n"
        assert await process.stdout.readline() == b"refused: There is no call to answer.\n"
    finally:
        process.kill()
        await process.wait()


def test_the_frame_in_hexadecimal_is_a_ping():
    (block,) = re.findall(r"```\n(00 00 00 0f.*?)```", DOCUMENT, re.DOTALL)
    digits = "".join(
        re.findall(r"\b[0-9a-f]{2}\b(?= |\n)", re.sub(r"  +\S*\".*|  +length.*|  +a map.*", "", block))
    )
    assert bytes.fromhex(digits) == encode({"id": 1, "verb": "Ping"})


def rows(title: str) -> str:
    """The tables of one section."""
    (section,) = re.findall(rf"^##+ {title}$(.*?)(?=^##|\Z)", DOCUMENT, re.DOTALL | re.MULTILINE)
    return "\n".join(line for line in section.splitlines() if line.startswith("| `"))


def test_every_verb_is_described_and_no_other():
    described = set(re.findall(r"`(\w+) \{", rows("Verbs") + rows("Campaigns")))
    assert described == set(VERBS) | set(one_to_one.VERBS) | set(lists.VERBS) | {"Watch"}


def test_every_event_is_described_and_no_other():
    shown = set(re.findall(r"""show\(\s*"(\w+)\"""", CORE)) | set(EVENTS.values()) | {"WallChanged"}
    names = {
        name for row in rows("Events").splitlines() for name in re.findall(r"`([A-Z]\w+)`", row.split("|")[1])
    }
    assert names == shown


def test_every_error_code_is_described():
    used = set(re.findall(r"""code="(\w+)\"""", CORE)) | set(re.findall(r"failure\(\w+, \"(\w+)\"", CORE))
    first = [row.split("|")[1] for row in rows("Error codes").splitlines()]
    codes = {code for cell in first for code in re.findall(r"`(\w+)`", cell)}
    assert used <= codes
    assert {"bad_frame", "idle", "full", "locked", "wrong_login"} <= codes
