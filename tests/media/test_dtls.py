"""A DTLS client and our server in one process: bytes are carried across by hand."""

import pytest
from OpenSSL import SSL

from cti.media import dtls, srtp
from cti.media.packet import PACKET, PREFIX


class Client:
    def __init__(self, identity):
        self.connection = SSL.Connection(identity.context, None)
        self.connection.set_ciphertext_mtu(1200)
        self.connection.set_connect_state()

    def flight(self):
        """Carry on, and give what is to be sent, one record in a datagram."""
        try:
            self.connection.do_handshake()
        except SSL.WantReadError:
            pass
        return self.waiting()

    def waiting(self):
        try:
            data = self.connection.bio_read(65536)
        except SSL.WantReadError:
            return []
        records = []
        while data:
            size = 13 + int.from_bytes(data[11:13], "big")
            records.append(data[:size])
            data = data[size:]
        return records

    def srtp(self):
        """The client's side: keys the other way round."""
        profile = self.connection.get_selected_srtp_profile().decode()
        keying = self.connection.export_keying_material(srtp.KEYING_LABEL, srtp.keying_bytes(profile))
        _, key, salt = srtp.PROFILES[profile]
        keys, salts = keying[: 2 * key], keying[2 * key :]
        return srtp.FASTEST(profile, keys[key:] + keys[:key] + salts[salt:] + salts[:salt])


def shake_hands(client, server):
    for _ in range(5):
        for datagram in client.flight():
            server.receive(datagram)
        for datagram in server.to_send():
            assert len(datagram) <= dtls.DATAGRAM_MAX
            client.connection.bio_write(datagram)
        if server.srtp is not None:
            client.flight()
            return
    raise AssertionError("no end of the handshake")


@pytest.fixture
def theirs():
    return dtls.Identity()


@pytest.mark.parametrize("algorithm", ["sha-256", "SHA-256"])
def test_keys_agree_and_packets_pass_both_ways(theirs, algorithm):
    client = Client(theirs)
    server = dtls.DtlsServer(dtls.Identity(), algorithm, theirs.fingerprint.lower())
    shake_hands(client, server)
    check_packets_pass(client.srtp(), server.srtp)
    check_packets_pass(server.srtp, client.srtp())


@pytest.mark.parametrize("profile", srtp.PROFILES)
def test_with_and_without_copies_the_packets_are_the_same(profile):
    _, key, salt = srtp.PROFILES[profile]
    one, other = bytes(range(key)), bytes(range(100, 100 + key))
    salts = bytes(range(salt)), bytes(range(50, 50 + salt))
    client, server = one + other + salts[0] + salts[1], other + one + salts[1] + salts[0]
    for sender in (srtp.FASTEST, srtp.Srtp):
        for receiver in (srtp.FASTEST, srtp.Srtp):
            check_packets_pass(sender(profile, client), receiver(profile, server))


def check_packets_pass(sender, receiver):
    packet = bytes.fromhex("800800010000000000001234") + b"hello" * 30
    PACKET[: len(packet)] = packet
    size = sender.protect(len(packet))
    protected = bytes(PREFIX[size])
    assert size > len(packet) and b"hello" not in protected
    assert receiver.unprotect(size) == len(packet) and bytes(PREFIX[len(packet)]) == packet

    PACKET[:size] = protected
    assert receiver.unprotect(size) == 0, "a replay"
    PACKET[:size] = protected[:-1] + bytes([protected[-1] ^ 1])
    assert receiver.unprotect(size) == 0, "a forgery"


@pytest.mark.parametrize("algorithm, fingerprint", [("sha-256", ":".join(["00"] * 32)), ("md5", "00")])
def test_a_certificate_other_than_announced_is_refused(theirs, algorithm, fingerprint):
    server = dtls.DtlsServer(dtls.Identity(), algorithm, fingerprint)
    with pytest.raises(dtls.Refused):
        shake_hands(Client(theirs), server)
    assert server.srtp is None


def test_a_lost_flight_is_sent_again(theirs):
    client = Client(theirs)
    server = dtls.DtlsServer(dtls.Identity(), "sha-256", theirs.fingerprint)
    for datagram in client.flight():
        server.receive(datagram)
    assert list(server.to_send()), "lost on the way"
    found = []
    while not found:  # OpenSSL's timer: a second
        server.retransmit()
        found = list(server.to_send())
    for datagram in found:
        client.connection.bio_write(datagram)
    shake_hands(client, server)


def test_goodbye_is_noticed_and_junk_is_not_minded(theirs):
    client = Client(theirs)
    server = dtls.DtlsServer(dtls.Identity(), "sha-256", theirs.fingerprint)
    shake_hands(client, server)
    server.receive(b"\x17" + bytes(40))
    assert not server.closed
    client.connection.shutdown()
    for datagram in client.waiting():
        server.receive(datagram)
    assert server.closed


def test_a_new_connection_is_known_by_its_first_record(theirs):
    first = Client(theirs).flight()[0]
    assert dtls.begins(first)
    assert not dtls.begins(first[:3] + b"\0\1" + first[5:]), "encrypted"
    assert not dtls.begins(first[:13])
