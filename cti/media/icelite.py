"""The one UDP port of a worker's WebRTC legs, and ICE as far as a server needs it (ICE-lite, RFC 8445 2.5).

The browser checks; we answer those who know the password of a leg, and remember from where they asked. What
arrives from there is told apart by its first byte (RFC 7983): STUN, DTLS, or SRTP.
"""

import logging
import socket
import struct
from typing import Protocol

from aioice import stun

from cti.media.loop import Loop
from cti.media.packet import HEADER, PACKET, PREFIX
from cti.media.pairs import Address, bound

DRAINED_AT_ONCE = 64  # datagrams for one wake-up
BUFFER_BYTES = 4 << 20
ADDRESSES_MAX = 16  # from which one leg may be reached

log = logging.getLogger(__name__)


class Peer(Protocol):
    """A leg, as the port knows it."""

    password: str
    addresses: list[Address]

    def checked(self, address: Address, nominated: bool, now: float) -> None: ...
    def take_dtls(self, datagram: bytes, address: Address) -> None: ...
    def take_rtp(self, size: int, now: float) -> None: ...


class IcePort:
    def __init__(self, loop: Loop, address: str, low: int, high: int) -> None:
        """Binds the first free port of the range. Raises OSError when none is."""
        self._socket = _first_free(address, low, high)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self._socket.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        self.port: int = self._socket.getsockname()[1]
        self._recvfrom_into = self._socket.recvfrom_into
        self._sendto = self._socket.sendto
        self._by_name: dict[str, Peer] = {}
        self._by_address: dict[Address, Peer] = {}
        loop.add(self._socket.fileno(), self._readable)

    def add(self, ufrag: str, peer: Peer) -> None:
        """From now on checks that name this user fragment are the peer's."""
        self._by_name[ufrag] = peer

    def forget(self, ufrag: str, peer: Peer) -> None:
        """Neither its name nor its addresses are known any more."""
        self._by_name.pop(ufrag, None)
        for address in peer.addresses:
            if self._by_address.get(address) is peer:
                del self._by_address[address]
        peer.addresses.clear()

    def forget_name(self, ufrag: str) -> None:
        self._by_name.pop(ufrag, None)

    def send(self, size: int, address: Address) -> None:
        """Send the packet in the buffer. A full buffer or an unreachable peer: it is lost."""
        self.put(PREFIX[size], address)

    def put(self, datagram: bytes | memoryview, address: Address) -> None:
        try:
            self._sendto(datagram, address)
        except OSError:
            pass

    def _readable(self, now: float) -> None:
        receive, peers = self._recvfrom_into, self._by_address
        for _ in range(DRAINED_AT_ONCE):
            try:
                size, address = receive(PACKET)
            except OSError:
                return
            first = PACKET[0]
            if 127 < first < 192:
                peer = peers.get(address)
                if peer is not None and size >= HEADER:
                    peer.take_rtp(size, now)
            elif first < 4:
                self._check(bytes(PREFIX[size]), address, now)
            elif 19 < first < 64:
                peer = peers.get(address)
                if peer is not None:
                    peer.take_dtls(bytes(PREFIX[size]), address)
                    return  # it took as long as fifty packets of speech: others first

    def _check(self, data: bytes, address: Address, now: float) -> None:
        """Answer a connectivity check of somebody who knows the password, RFC 8445 section 7.3."""
        try:
            request = stun.parse_message(data)
        except (ValueError, struct.error):  # the latter of an attribute cut short
            return
        if request.message_method != stun.Method.BINDING or request.message_class != stun.Class.REQUEST:
            return
        peer = self._by_name.get(request.attributes.get("USERNAME", "").partition(":")[0])
        if peer is None or not request.check_message_integrity(peer.password.encode()):
            return
        response = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)
        response.attributes["XOR-MAPPED-ADDRESS"] = address
        response.add_message_integrity(peer.password.encode())
        response.add_fingerprint()
        self.put(bytes(response), address)
        if self._by_address.get(address) is not peer:
            self._by_address[address] = peer
            peer.addresses.append(address)
            if len(peer.addresses) > ADDRESSES_MAX:
                oldest = peer.addresses.pop(0)
                if self._by_address.get(oldest) is peer:
                    del self._by_address[oldest]
        peer.checked(address, "USE-CANDIDATE" in request.attributes, now)


def _first_free(address: str, low: int, high: int) -> socket.socket:
    for port in range(low, high):
        try:
            return bound(address, port)
        except OSError:
            continue
    raise OSError(f"no port from {low} to {high} is free on {address}")
