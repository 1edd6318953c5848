"""SRTP in both directions of one leg, on the packet buffer (RFC 3711, RFC 7714).

pylibsrtp's public calls copy a packet four times; its libsrtp can work where the packet lies, which makes one
packet about 1.5 microseconds cheaper. Where a later pylibsrtp hides that, the public calls serve.
"""

from typing import Any

import pylibsrtp

from cti.media.packet import PACKET, PREFIX

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

    def protect(self, size: int) -> int:
        """Encrypt the packet in the buffer. Returns its new size, 0 if it may not be sent (sent before)."""
        return _copied(self._sending.protect, size)

    def unprotect(self, size: int) -> int:
        """Decrypt the packet in the buffer. Returns its new size, 0 if it is forged or a replay."""
        return _copied(self._receiving.unprotect, size)

    def protect_rtcp(self, packet: bytes) -> bytes:
        return self._sending.protect_rtcp(packet)


def _copied(function: Any, size: int) -> int:
    try:
        changed = function(bytes(PREFIX[size]))
    except (pylibsrtp.Error, ValueError):  # ValueError: longer than any packet of speech
        return 0
    PACKET[: len(changed)] = changed
    return len(changed)


def _in_place() -> type[Srtp]:
    """The same without the copies. Raises ImportError, AttributeError when pylibsrtp has changed inside."""
    from pylibsrtp._binding import ffi, lib

    buffer = ffi.from_buffer("char[]", PACKET)
    length = ffi.new("int *")
    protect, unprotect = lib.srtp_protect, lib.srtp_unprotect

    class InPlaceSrtp(Srtp):
        def __init__(self, profile: str, keying: bytes) -> None:
            super().__init__(profile, keying)
            self._receive_context = self._receiving._srtp[0]
            self._send_context = self._sending._srtp[0]

        def protect(self, size: int) -> int:
            length[0] = size
            return length[0] if protect(self._send_context, buffer, length) == 0 else 0

        def unprotect(self, size: int) -> int:
            length[0] = size
            return length[0] if unprotect(self._receive_context, buffer, length) == 0 else 0

    return InPlaceSrtp


try:
    FASTEST = _in_place()
except (ImportError, AttributeError):
    FASTEST = Srtp


def keying_bytes(profile: str) -> int:
    """How much DTLS must export."""
    _, key, salt = PROFILES[profile]
    return 2 * (key + salt)
