"""Pairs of UDP sockets, RTP on an even port and RTCP on the next, opened before they are needed.

A pair is used again after its call, oldest first, without closing it: a disconnect costs a tenth of a new
socket and a late packet of the last call finds nobody.
"""

import ctypes
import os
import socket
from collections.abc import Iterator

Address = tuple[str, int] | tuple[str, int, int, int]  # of IPv4, of IPv6: as sockets tell them

EXPEDITED = 46 << 2  # DSCP EF, RFC 3246

_libc = ctypes.CDLL(None, use_errno=True)
_UNSPECIFIED = bytes(16)  # a sockaddr of family AF_UNSPEC: connect(2) dissolves the association


class Pair:
    __slots__ = ("port", "rtcp", "rtp")

    def __init__(self, rtp: socket.socket, rtcp: socket.socket) -> None:
        self.rtp = rtp
        self.rtcp = rtcp
        self.port: int = rtp.getsockname()[1]

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


class Pairs:
    """The pairs of one worker's slice of the port range."""

    def __init__(self, address: str, low: int, high: int) -> None:
        self._address = address
        self._untried: Iterator[int] = iter(range(low + low % 2, high, 2))
        self._pairs: dict[int, Pair] = {}

    def open(self, count: int) -> list[int]:
        """Open up to so many pairs. Returns their RTP ports: fewer when the range has come to its end."""
        opened: list[int] = []
        for port in self._untried:
            try:
                pair = Pair(bound(self._address, port), bound(self._address, port + 1))
            except OSError:
                continue  # somebody else's port
            self._pairs[port] = pair
            opened.append(port)
            if len(opened) == count:
                break
        return opened

    def __getitem__(self, port: int) -> Pair:
        return self._pairs[port]


def bound(address: str, port: int) -> socket.socket:
    """A UDP socket at this address, IPv4 or IPv6 as it is. Raises OSError when the port is taken."""
    is_six = ":" in address
    family = socket.AF_INET6 if is_six else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if is_six:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    if is_six:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, EXPEDITED)
    else:
        made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, EXPEDITED)
    return made


def disconnect(connected: socket.socket) -> None:
    if _libc.connect(connected.fileno(), _UNSPECIFIED, len(_UNSPECIFIED)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def drain(full: socket.socket) -> None:
    for _ in range(1000):
        try:
            full.recv(1)
        except BlockingIOError:
            return
        except OSError:
            continue  # an ICMP error of the last call
