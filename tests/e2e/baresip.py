"""baresip as an agent's softphone: registers with digest, speaks a tone, records what it hears."""

import asyncio
import contextlib
import json
import re
from pathlib import Path

import numpy as np

from tests.e2e.product import free_ports, until

MODULES = ["g711", "ausine", "sndfile", "aubridge", "ctrl_tcp"]
CONFIG = """
poll_method epoll
sip_listen 127.0.0.1:{sip}
net_interface 127.0.0.1
audio_source ausine,{hertz}
audio_player aubridge,{name}
audio_alert aubridge,nil
ausrc_srate 48000
auplay_srate 48000
ausrc_channels 2
auplay_channels 2
audio_buffer 20-160
rtp_ports {rtp}-{rtp_last}
snd_path {folder}
module_path /usr/lib/baresip/modules
{modules}
module_tmp uuid.so
module_tmp account.so
module_app menu.so
ctrl_tcp_listen 127.0.0.1:{control}
"""


class Baresip:
    """`async with Baresip(folder, product, "1002", password, 880) as phone:`"""

    def __init__(
        self,
        folder: Path,
        sip_port: int,
        extension: str,
        password: str,
        hertz: int,
        transport: str = "udp",
        answers_itself: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        sip, control, rtp = free_ports(3)
        self._folder, self._control, self._extension = folder, control, extension
        self._process: asyncio.subprocess.Process | None = None
        self.events: list[dict[str, str]] = []
        self.output = folder / "output"
        modules = "\n".join(f"module {name}.so" for name in MODULES)
        config = CONFIG.format(
            sip=sip,
            hertz=hertz,
            name=f"out-{extension}",
            rtp=rtp // 2 * 2,
            rtp_last=rtp // 2 * 2 + 40,
            folder=folder,
            modules=modules,
            control=control,
        )
        (folder / "config").write_text(config)
        (folder / "contacts").write_text("")
        mode = "auto" if answers_itself else "manual"
        (folder / "accounts").write_text(
            f"<sip:{extension}@127.0.0.1:{sip_port};transport={transport}>;auth_user={extension}"
            f';auth_pass="{password}";answermode={mode};audio_codecs=pcma,pcmu;regint=60;ptime=20\n'
        )

    async def __aenter__(self) -> "Baresip":
        with self.output.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                "baresip",
                "-f",
                str(self._folder),
                "-s",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
            )
        reader, self._writer = await until(self._connect)
        self._listening = asyncio.create_task(self._listen(reader))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        with contextlib.suppress(OSError):
            await self.command("quit")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._process.wait()
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        self._listening.cancel()
        self._writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        try:
            return await asyncio.open_connection("127.0.0.1", self._control)
        except OSError:
            assert self._process is not None and self._process.returncode is None, self.output.read_text()
            return None

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                length = int((await reader.readuntil(b":"))[:-1])
                message = json.loads(await reader.readexactly(length))
                await reader.readexactly(1)
                self.events.append(message)

    async def command(self, name: str, parameters: str = "") -> None:
        message = json.dumps({"command": name, "params": parameters, "token": name}).encode()
        self._writer.write(b"%d:%s," % (len(message), message))
        await self._writer.drain()

    async def until_registered(self) -> None:
        try:
            await until(lambda: re.search(r"200 OK .*bindings?\]", self.said()))
        except AssertionError:
            raise AssertionError(f"not registered:\n{self.said()[-3000:]}") from None

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def saw(self, kind: str) -> bool:
        """Whether baresip told of such an event: CALL_INCOMING, CALL_CLOSED, CALL_ESTABLISHED…"""
        return any(event.get("type") == kind for event in self.events)

    def count(self, kind: str) -> int:
        return sum(event.get("type") == kind for event in self.events)

    def heard(self) -> np.ndarray:
        """Everything its last call heard so far, mono at 8 kHz (the file grows as the call goes on)."""
        files = sorted(self._folder.glob("dump-*-dec.wav"), key=lambda path: path.stat().st_mtime)
        if not files:
            return np.zeros(0, np.int16)
        return grown(files[-1])


def grown(path: Path) -> np.ndarray:
    """The samples of a 16-bit WAV still being written, whose header does not know its length yet."""
    data = path.read_bytes()
    if len(data) < 44:
        return np.zeros(0, np.int16)
    channels = int.from_bytes(data[22:24], "little")
    rate = int.from_bytes(data[24:28], "little")
    start = data.find(b"data") + 8
    body = data[start : start + (len(data) - start) // (2 * channels) * 2 * channels]
    samples = np.frombuffer(body, "<i2").reshape(-1, channels)[:, 0]
    return samples[:: max(1, rate // 8000)]
