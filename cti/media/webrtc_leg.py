"""A leg to a browser: its ICE consent, its DTLS connection, its SRTP.

The connection may be replaced under the leg (a page reload) or moved (an ICE restart, another network) while
the leg keeps its bridge, its recording and its line.
"""

import logging
import random
from collections.abc import Callable

from cti.media import dtls, rtcp
from cti.media.icelite import Address, IcePort
from cti.media.packet import HEADER, PACKET
from cti.media.rtp import Format, Leg
from cti.media.srtp import Srtp

NOBODY = ("", "")  # a fingerprint not known yet
CONSENT_SECONDS = 15  # browsers check each 2 or 3 s; RFC 7675 would wait 30

log = logging.getLogger(__name__)


class WebRtcLeg(Leg):
    __slots__ = (
        "_address",
        "_checked_at",
        "_dtls",
        "_early",
        "_identity",
        "_offered",
        "_port",
        "_renewed",
        "_srtp",
        "_ufrag",
        "addresses",
        "password",
    )

    def __init__(
        self, name: str, event: Callable[..., None], now: float, port: IcePort, identity: dtls.Identity
    ) -> None:
        super().__init__(name, event, now)
        self._port = port
        self._identity = identity
        self._ufrag = ""
        self.password = ""
        self.addresses: list[Address] = []
        self._address: Address | None = None  # where packets go
        self._checked_at = now
        self._dtls: dtls.DtlsServer | None = None
        self._early: tuple[bytes, Address] | None = None  # the browser began before its answer was here
        self._offered = NOBODY  # fingerprint of the newest offer
        self._renewed = False  # an offer came since the last handshake
        self._srtp: Srtp | None = None

    def agree(
        self,
        ufrag: str,
        password: str,
        fingerprint: tuple[str, str],
        format: Format,
        hears: bool,
        sends: bool,
    ) -> None:
        """Take what a browser's SDP says.

        `ufrag` is ours, a new one where a connection begins: then, if its fingerprint is the old one, only
        ICE starts again. Else the connection stays; its fingerprint may be new to us when we offered.
        """
        if ufrag == self._ufrag:
            if fingerprint != self._offered:
                self._dtls = self._srtp = None
                self._offered = fingerprint
        else:
            if fingerprint == self._offered and self._srtp is not None:
                self._port.forget_name(self._ufrag)
            else:
                self._port.forget(self._ufrag, self)
                self._drop()
                self._offered = fingerprint
            self._renewed = True
            self.expect(ufrag, password)
        self.format = format
        self.hears = hears
        self.sends = sends
        self.wire()
        if self.peer is not None:
            self.peer.wire()
        if self._early is not None:
            (datagram, address), self._early = self._early, None
            self.take_dtls(datagram, address)

    def expect(self, ufrag: str, password: str) -> None:
        """From now on a browser that knows these may reach the leg."""
        self._ufrag, self.password = ufrag, password
        self._port.add(ufrag, self)

    def send(self, size: int) -> None:
        srtp, address = self._srtp, self._address
        if srtp is not None and address is not None:
            protected = srtp.protect(size)
            if protected:
                self._port.send(protected, address)
                self.packets_out += 1
                self.octets_out += size - HEADER

    def report(self, now: float) -> None:
        if self._srtp is not None and self._address is not None:
            self._port.put(self._srtp.protect_rtcp(rtcp.report(self, now)), self._address)

    def close(self) -> None:
        self._port.forget(self._ufrag, self)
        self._drop()

    def watch(self, now: float) -> None:
        """Notice that the browser is gone, and repeat a lost DTLS flight. To be called each second."""
        if self.connected and now - self._checked_at > CONSENT_SECONDS:
            self.connected = False
            self.event("disconnected", self.name)
        if self._dtls is not None and self._srtp is None and self._address is not None:
            self._dtls.retransmit()
            self._send_dtls(self._address)

    # -- from the port -------------------------------------------------------------------------------

    def checked(self, address: Address, nominated: bool, now: float) -> None:
        """The browser has shown that it is there and knows our password."""
        self._checked_at = now
        if nominated or self._address is None:
            self._address = address
        if self._srtp is not None and not self.connected:
            self.connected = True
            self.event("connected", self.name)

    def take_rtp(self, size: int, now: float) -> None:
        if self._srtp is not None and not 64 <= PACKET[1] & 0x7F <= 95:  # RTCP otherwise, RFC 5761
            size = self._srtp.unprotect(size)
            if size >= HEADER:
                self.hear(size, now)

    def take_dtls(self, datagram: bytes, address: Address) -> None:
        if self._offered == NOBODY:
            self._early = datagram, address
            return
        again = self._renewed and self._srtp is not None and dtls.begins(datagram)
        if self._dtls is None or again:  # again: another page with the same certificate
            self._srtp = None
            self._dtls = dtls.DtlsServer(self._identity, *self._offered)
            self._address = address
        try:
            self._dtls.receive(datagram)
        except dtls.Refused as refusal:
            log.warning("leg %s: %s", self.name, refusal)
            self._drop()
            return
        self._send_dtls(address)
        if self._srtp is None and self._dtls.srtp is not None:
            self._srtp = self._dtls.srtp
            self._renewed = False
            self.sequence = random.getrandbits(15)  # new keys begin a new roll-over count
            self._fresh = True
            self.connected = True
            self.event("connected", self.name)
        elif self._dtls.closed and self._srtp is not None:
            self._drop()
            self.event("disconnected", self.name)

    def _send_dtls(self, address: Address) -> None:
        assert self._dtls is not None
        for datagram in self._dtls.to_send():
            self._port.put(datagram, address)

    def _drop(self) -> None:
        self.connected = False
        self._dtls = None
        self._srtp = None
        self._address = None
