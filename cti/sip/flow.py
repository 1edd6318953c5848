"""The path a SIP message came by, and so the path its answer goes back by (RFC 5626 section 3.4)."""

from typing import NamedTuple


class Flow(NamedTuple):
    """A tuple, because every packet makes one. `connection` 0 is a datagram, or one to be opened."""

    transport: str  # UDP, TCP, TLS, WS or WSS, as Via writes it
    host: str
    port: int
    connection: int = 0

    @property
    def is_reliable(self) -> bool:
        return self.transport != "UDP"

    @property
    def is_websocket(self) -> bool:
        """A browser: it can never be connected to, only answered."""
        return self.transport in ("WS", "WSS")
