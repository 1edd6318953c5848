"""A leg over plain RTP: a pair of sockets, and the party at the other end of them as it is found.

Where a party sends from is often not what its SDP says (NAT). The leg listens to anybody until the first
packets show where the party is, then connects its socket there, and the kernel refuses all others:

* a packet from the announced address decides at once;
* from elsewhere, three packets of one source in order decide, so that a stray packet cannot take a call.
"""

from collections.abc import Callable
from ipaddress import ip_address

from cti.media import rtcp
from cti.media.loop import Loop
from cti.media.packet import HEADER, PACKET, PREFIX, unpack_header
from cti.media.pairs import Address, Pair, disconnect, drain
from cti.media.rtp import Format, Leg

STRAY_PACKETS_MAX = 3


class RtpLeg(Leg):
    __slots__ = ("_announced", "_candidate", "_loop", "_pair", "_recv_into", "_send", "_send_to")

    def __init__(self, name: str, event: Callable[..., None], now: float, loop: Loop, pair: Pair) -> None:
        super().__init__(name, event, now)
        self._loop = loop
        self._pair = pair
        self._recv_into = pair.rtp.recv_into
        self._send = pair.rtp.send
        self._send_to = pair.rtp.sendto
        self._announced: Address | None = None
        self._candidate: tuple[Address, int, int, int] | None = None  # address, SSRC, sequence, packets seen
        drain(pair.rtp)  # late packets of the last call here
        drain(pair.rtcp)
        loop.add(pair.rtp.fileno(), self._latch)

    def agree(self, announced: Address | None, format: Format, hears: bool, sends: bool, now: float) -> None:
        """Take what the party's SDP says. A new address is looked for again, the old one forgotten."""
        self.format = format
        self.hears = hears
        if sends != self.sends:
            self.sends = sends
            self.expected = now
        if announced != self._announced:
            self._announced = announced
            self._candidate = None
            if self.connected:
                self.connected = False
                disconnect(self._pair.rtp)
                self._loop.add(self._pair.rtp.fileno(), self._latch)
        self.wire()
        if self.peer is not None:
            self.peer.wire()

    def connect(self, address: Address) -> None:
        """Talk with this address and no other."""
        self.connected = True
        self._announced = address
        self._pair.rtp.connect(address)
        self._loop.add(self._pair.rtp.fileno(), self._readable)

    def send(self, size: int) -> None:
        try:
            if self.connected:
                self._send(PREFIX[size])
            elif self._announced is not None:
                self._send_to(PREFIX[size], self._announced)
            else:
                return
        except OSError:
            return  # ICMP "nobody there" of an earlier packet, or a full buffer: a lost packet either way
        self.packets_out += 1
        self.octets_out += size - HEADER

    def report(self, now: float) -> None:
        """Send a report to the port next to the party's, and forget what came: packets are counted here."""
        report = rtcp.report(self, now)
        if self._announced is not None:
            host, port, *_ = self._pair.rtp.getpeername() if self.connected else self._announced
            try:
                self._pair.rtcp.sendto(report, (host, port + 1))
            except (OSError, OverflowError):
                pass
        for _ in range(16):
            try:
                self._pair.rtcp.recv(1)
            except OSError:
                break

    def close(self) -> None:
        self._loop.remove(self._pair.rtp.fileno())
        if self.connected:
            self.connected = False
            disconnect(self._pair.rtp)
        self._announced = None

    def _readable(self, now: float) -> None:
        try:
            size = self._recv_into(PACKET)
        except OSError:
            return
        if size >= HEADER:
            self.hear(size, now)

    def _latch(self, now: float) -> None:
        try:
            size, address = self._pair.rtp.recvfrom_into(PACKET)
        except OSError:
            return
        if size < HEADER or PACKET[0] >> 6 != 2:
            return
        if address != self._announced and not self._trusted(address):
            return
        self.connect(address)
        if not self.hidden:
            self.event("connected", self.name)
        self.hear(size, now)

    def _trusted(self, address: Address) -> bool:
        _, _, sequence, _, ssrc = unpack_header(PACKET)
        seen = 1
        if self._candidate is not None:
            known, known_ssrc, last, count = self._candidate
            if (known, known_ssrc) == (address, ssrc) and 0 < (sequence - last) & 0xFFFF < 100:
                seen = count + 1
        self._candidate = (address, ssrc, sequence, seen)
        return seen >= STRAY_PACKETS_MAX


def address_of(host: str, port: int) -> Address | None:
    """Where to send: None for hold in the old style (0.0.0.0), a refused port, or a name."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if not port or address.is_unspecified:
        return None
    return (str(address), port) if address.version == 4 else (str(address), port, 0, 0)
