"""SRTP in both directions of one leg, on the packet buffer (RFC 3711, RFC 7714).

pylibsrtp's public calls copy a packet four times; its libsrtp can work where the packet lies, which makes one
packet about 1.5 microseconds cheaper. Where a later pylibsrtp hides that, the public calls serve.
"""

from typing import Any

import pylibsrtp

from cti.media.packet import PACKET, PREFIX

try:
    from pylibsrtp._binding import ffi as _ffi
    from pylibsrtp._binding import lib as _lib

    _BUFFER: Any = _ffi.from_buffer("char[]", PACKET)
    _SIZE: Any = _ffi.new("int *")
    _PROTECT, _UNPROTECT = _lib.srtp_protect, _lib.srtp_unprotect
    _IN_PLACE = True
except (ImportError, AttributeError):
    _IN_PLACE = False

TRAILER_MAX = 16  # an authentication tag: GCM's

# OpenSSL's name: libsrtp's profile, bytes of key and salt. GCM first: half the cost of AES-CM with HMAC.
PROFILES = {
    "SRTP_AEAD_AES_128_GCM": (pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
    "SRTP_AEAD_AES_256_GCM": (pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12),
    "SRTP_AES128_CM_SHA1_80": (pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
}

KEYING_LABEL = b"EXTRACTOR-dtls_srtp"  # RFC 5764 section 4.2


class Srtp:
    """The keys of one DTLS connection, ours to send with and the peer's to receive with."""

    def __init__(self, profile: str, keying: bytes) -> None:
        """`keying` is what DTLS exported; we are the DTLS server."""
        number, key, salt = PROFILES[profile]
        client = keying[:key] + keying[2 * key : 2 * key + salt]
        server = keying[key : 2 * key] + keying[2 * key + salt : 2 * (key + salt)]
        policy = pylibsrtp.Policy
        self._receiving = pylibsrtp.Session(policy(client, policy.SSRC_ANY_INBOUND, 0, number))
        self._sending = pylibsrtp.Session(policy(server, policy.SSRC_ANY_OUTBOUND, 0, number))
        if _IN_PLACE:
            self._receive_context = self._receiving._srtp[0]
            self._send_context = self._sending._srtp[0]
        else:
            self.protect, self.unprotect = self._protect_copy, self._unprotect_copy  # type: ignore[method-assign]

    def protect(self, size: int) -> int:
        """Encrypt the packet in the buffer. Returns its new size, 0 if it may not be sent (sent before)."""
        _SIZE[0] = size
        return _SIZE[0] if _PROTECT(self._send_context, _BUFFER, _SIZE) == 0 else 0

    def unprotect(self, size: int) -> int:
        """Decrypt the packet in the buffer. Returns its new size, 0 if it is forged or a replay."""
        _SIZE[0] = size
        return _SIZE[0] if _UNPROTECT(self._receive_context, _BUFFER, _SIZE) == 0 else 0

    def protect_rtcp(self, packet: bytes) -> bytes:
        return self._sending.protect_rtcp(packet)

    def _protect_copy(self, size: int) -> int:
        return _copied(self._sending.protect, size)

    def _unprotect_copy(self, size: int) -> int:
        return _copied(self._receiving.unprotect, size)


def keying_bytes(profile: str) -> int:
    """How much DTLS must export."""
    _, key, salt = PROFILES[profile]
    return 2 * (key + salt)


def _copied(function: Any, size: int) -> int:
    try:
        changed = function(bytes(PREFIX[size]))
    except pylibsrtp.Error:
        return 0
    PACKET[: len(changed)] = changed
    return len(changed)
