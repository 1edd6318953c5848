"""What docs/cti-protocol.md says is so: its example runs, its lists are complete."""

import asyncio
import re
import sys
from pathlib import Path

from cti.toolbar.frames import encode

from .conftest import until

DOCUMENT = (Path(__file__).parents[2] / "docs/cti-protocol.md").read_text()


async def test_the_example_client_logs_in_becomes_ready_and_answers(site, tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    assert len(example.splitlines()) <= 36
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
