"""The DTLS server of a WebRTC leg, which only agrees on keys (RFC 5764). Bytes in, datagrams out."""

import binascii
import datetime
import os
from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from cti.media.srtp import FASTEST, KEYING_LABEL, PROFILES, Srtp, keying_bytes

DATAGRAM_MAX = 1200
CERTIFICATE_DAYS = 365
CIPHERS = b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384"

HANDSHAKE = 22
CLIENT_HELLO = 1


class Refused(Exception):
    """The peer is not who its SDP said, or speaks no DTLS that we do."""


class Identity:
    """This worker's certificate and what follows from it, shared by all of its legs."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _self_signed(key)
        self.fingerprint = _fingerprint(certificate, "sha-256")
        self.context = SSL.Context(SSL.DTLS_METHOD)
        self.context.set_options(SSL.OP_NO_TICKET)
        self.context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        self.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _any_certificate)
        self.context.use_certificate(certificate)
        self.context.use_privatekey(key)
        self.context.set_cipher_list(CIPHERS)
        self.context.set_tlsext_use_srtp(b":".join(name.encode() for name in PROFILES))


class DtlsServer:
    """One connection. `srtp` has the keys once the peer has proved its fingerprint in the handshake."""

    def __init__(self, identity: Identity, algorithm: str, fingerprint: str) -> None:
        self.srtp: Srtp | None = None
        self.closed = False  # the peer has said goodbye
        self._algorithm = algorithm.lower()
        self._fingerprint = fingerprint.upper()
        self._connection = SSL.Connection(identity.context, None)
        self._connection.set_ciphertext_mtu(DATAGRAM_MAX)
        self._connection.set_accept_state()

    def receive(self, datagram: bytes) -> None:
        """Take a datagram of the peer. Raises Refused."""
        self._connection.bio_write(datagram)
        try:
            if self.srtp is None:
                self._connection.do_handshake()
                self.srtp = self._agreed()
            else:
                self._connection.recv(2048)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.closed = True
        except SSL.Error as error:
            if self.srtp is None:
                raise Refused(f"the DTLS handshake failed: {error}") from error

    def retransmit(self) -> None:
        """Prepare the last flight again if its time has come. To be called about each second."""
        if self.srtp is None:
            self._connection.DTLSv1_handle_timeout()

    def to_send(self) -> Iterator[bytes]:
        """The datagrams for the peer. OpenSSL hands out a string of records; none may be torn apart."""
        waiting = b""
        try:
            waiting = self._connection.bio_read(65536)
        except SSL.WantReadError:
            return
        start = end = 0
        while end + 13 <= len(waiting):
            size = 13 + int.from_bytes(waiting[end + 11 : end + 13], "big")
            if end > start and end + size - start > DATAGRAM_MAX:
                yield waiting[start:end]
                start = end
            end += size
        yield waiting[start:]

    def _agreed(self) -> Srtp:
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        if certificate is None or _fingerprint(certificate, self._algorithm) != self._fingerprint:
            raise Refused("the peer's certificate is not the one its SDP announced")
        profile = self._connection.get_selected_srtp_profile().decode()
        if profile not in PROFILES:
            raise Refused("the peer offers no SRTP profile that we speak")
        keying = self._connection.export_keying_material(KEYING_LABEL, keying_bytes(profile))
        return FASTEST(profile, keying)


def begins(datagram: bytes | memoryview) -> bool:
    """Whether this is the first flight of a new connection: an unencrypted ClientHello."""
    return (
        len(datagram) > 13
        and datagram[0] == HANDSHAKE
        and not any(datagram[3:5])
        and datagram[13] == CLIENT_HELLO
    )


def _any_certificate(*_: object) -> bool:
    return True  # it is self-signed; its fingerprint is compared when the handshake is done


def _fingerprint(certificate: x509.Certificate, algorithm: str) -> str:
    known = {"sha-256": hashes.SHA256(), "sha-384": hashes.SHA384(), "sha-512": hashes.SHA512()}
    if algorithm not in known:
        raise Refused(f"fingerprints by {algorithm} are not accepted")
    return certificate.fingerprint(known[algorithm]).hex(":").upper()


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, binascii.hexlify(os.urandom(8)).decode())])
    now = datetime.datetime.now(tz=datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=CERTIFICATE_DAYS))
        .sign(key, hashes.SHA256())
    )
