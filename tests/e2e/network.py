"""The network between a browser and the product, as a relay that can be cut without privileges.

The page's HTTP and WebSocket pass a TCP relay. Its media pass a UDP relay, whose port a script in the page
writes into the SDP answer; the server is ICE-lite and just sees another source address.
"""

import asyncio
import contextlib
import socket

# Runs before the page's own scripts: sends every candidate through the relay (window.relayMedia is ours).
REWRITE_CANDIDATES = """
(() => {
  const real = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = async function (description) {
    const lines = [];
    for (const line of description.sdp.split("\\r\\n")) {
      const words = line.split(" ");
      if (line.startsWith("a=candidate:") && words[2].toLowerCase() === "udp")
        words[5] = String(await window.relayMedia(words[4], Number(words[5])));
      lines.push(words.join(" "));
    }
    return real.call(this, { type: description.type, sdp: lines.join("\\r\\n") });
  };
})();
"""


class Network:
    """`async with Network(product.http_port) as network:` the page opens `network.url`."""

    def __init__(self, http_port: int) -> None:
        self._http_port = http_port
        self._up = asyncio.Event()
        self._up.set()
        self._media: dict[tuple[str, int], _MediaRelay] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> "Network":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for relay in self._media.values():
            relay.close()

    async def media(self, host: str, port: int) -> int:
        """The relay's port that leads to this address of the product."""
        if (host, port) not in self._media:
            self._media[host, port] = _MediaRelay(host, port, self._up)
        return self._media[host, port].port

    def cut(self) -> None:
        """From now on nothing arrives, and nobody is told."""
        self._up.clear()

    def mend(self) -> None:
        self._up.set()

    def reset(self) -> None:
        """Every connection breaks at once, as when a laptop changes its network."""
        for writer in list(self._writers):
            writer.transport.abort()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_writer: asyncio.StreamWriter | None = None
        self._writers.add(writer)
        try:
            await self._up.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._http_port)
            self._writers.add(far_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, far_writer))
                both.create_task(self._carry(far_reader, writer))
        except* OSError:
            pass
        finally:
            for end in (writer, far_writer):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._up.wait()
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()


class _MediaRelay:
    """One UDP port before one address of the product; each browser port gets a socket of its own behind."""

    def __init__(self, host: str, port: int, up: asyncio.Event) -> None:
        self._far, self._up = (host, port), up
        self._near = self._open()
        self._near.bind(("127.0.0.1", 0))
        self.port = self._near.getsockname()[1]
        self._behind: dict[tuple[str, int], socket.socket] = {}
        asyncio.get_running_loop().add_reader(self._near, self._from_browser)

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        for each in [self._near, *self._behind.values()]:
            loop.remove_reader(each)
            each.close()

    @staticmethod
    def _open() -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.setblocking(False)
        return opened

    def _from_browser(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, browser = self._near.recvfrom(4096)
                if browser not in self._behind:
                    self._behind[browser] = behind = self._open()
                    behind.connect(self._far)
                    asyncio.get_running_loop().add_reader(behind, self._to_browser, behind, browser)
                if self._up.is_set():
                    with contextlib.suppress(OSError):
                        self._behind[browser].send(packet)

    def _to_browser(self, behind: socket.socket, browser: tuple[str, int]) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                packet = behind.recv(4096)
                if self._up.is_set():
                    with contextlib.suppress(OSError):
                        self._near.sendto(packet, browser)
