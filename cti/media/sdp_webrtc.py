"""What we say to browsers: one G.711 stream on our ICE-lite port, DTLS passive, digits by RFC 4733. PURE.

What is left out counts as much: no header extensions, so the browser sends bare 12-byte headers; no a=ssrc,
so it takes the line as it comes; none of its candidates are read, so it need not gather any.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cti.sip.sdp import G711, Audio, Media, NotAcceptable, Origin, SessionDescription

PROFILES = ("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP")
CANDIDATE = "1 1 udp 2130706431 {address} {port} typ host"  # RFC 8839: the highest priority, our only one

OFFERED = {"PCMA": 8, "PCMU": 0}
OFFERED_DIGITS = 101

_MIRRORED = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


@dataclass(frozen=True)
class Browser:
    """What its offer or its answer says that ours and the media need."""

    section: int  # which m= line
    audio: Audio
    sections: tuple[Media, ...]
    mid: str
    ufrag: str  # changes when it begins ICE again
    algorithm: str
    fingerprint: str
    payload_type: int
    law: str

    @property
    def direction(self) -> str:
        """As it stands: c=0.0.0.0 says "no candidate yet" here, and not hold."""
        return next((name for name in _MIRRORED if self.audio.attribute(name) is not None), "sendrecv")

    @property
    def listens(self) -> bool:
        return self.direction in ("sendrecv", "recvonly")

    @property
    def speaks(self) -> bool:
        return self.direction in ("sendrecv", "sendonly")

    @property
    def digits(self) -> int | None:
        return self.audio.telephone_event


def is_web(text: str) -> bool:
    """Whether this SDP wants its audio as browsers do, and not as plain RTP."""
    return re.search(r"^m=audio [0-9]+ UDP/TLS/RTP/SAVPF? ", text, re.MULTILINE) is not None


def read(offer: str) -> Browser:
    """Raises NotAcceptable when there is no G.711 over DTLS-SRTP with us as the DTLS server in it."""
    described = SessionDescription.parse(offer)
    everywhere = dict(described.attributes)
    for section, audio in enumerate(described.audios):
        if audio is None or audio.profile not in PROFILES:
            continue
        codec = next((codec for name in G711 for codec in audio.payloads if codec.name == name), None)
        algorithm, _, fingerprint = (
            audio.attribute("fingerprint") or everywhere.get("fingerprint", "")
        ).partition(" ")
        setup = audio.attribute("setup") or everywhere.get("setup", "actpass")
        if codec is None or not fingerprint or setup == "passive" or audio.attribute("rtcp-mux") is None:
            continue
        return Browser(
            section, audio, described.media, audio.attribute("mid") or "",
            audio.attribute("ice-ufrag") or everywhere.get("ice-ufrag", ""),
            algorithm, fingerprint.strip(), codec.pt, codec.name,
        )  # fmt: skip
    raise NotAcceptable(f"there is no DTLS-SRTP audio in any of {', '.join(G711)}")


@dataclass(frozen=True)
class Ours:
    """Our end of the transport."""

    address: str
    port: int
    ufrag: str
    password: str
    fingerprint: str  # sha-256


def answer(browser: Browser, ours: Ours, session: str, version: int) -> str:
    sections = [
        Media(media.kind, 0, media.profile, media.formats, attributes=_only_mid(media))
        for media in browser.sections
    ]
    sections[browser.section] = _our_media(
        ours, browser.audio.profile, browser.mid, [(browser.payload_type, browser.law)], browser.digits,
        _MIRRORED[browser.direction], "passive",
    )  # fmt: skip
    return _description(ours, session, version, browser.mid, sections)


def offer(ours: Ours, session: str, version: int) -> str:
    """The browser will be the DTLS client: we offer either role, as RFC 8842 wants, and it takes that one."""
    spoken = [(OFFERED[law], law) for law in G711]
    media = _our_media(ours, PROFILES[0], "0", spoken, OFFERED_DIGITS, "sendrecv", "actpass")
    return _description(ours, session, version, "0", [media])


def _our_media(
    ours: Ours,
    profile: str,
    mid: str,
    spoken: Sequence[tuple[int, str]],
    digits: int | None,
    direction: str,
    setup: str,
) -> Media:
    attributes = [
        *([("mid", mid)] if mid else []),
        ("rtcp-mux", ""),
        *[("rtpmap", f"{number} {law}/8000") for number, law in spoken],
        *([("rtpmap", f"{digits} telephone-event/8000"), ("fmtp", f"{digits} 0-15")] if digits else []),
        ("ptime", "20"),
        (direction, ""),
        ("msid", "ramal audio"),
        ("ice-ufrag", ours.ufrag),
        ("ice-pwd", ours.password),
        ("fingerprint", f"sha-256 {ours.fingerprint}"),
        ("setup", setup),
        ("candidate", CANDIDATE.format(address=ours.address, port=ours.port)),
        ("end-of-candidates", ""),
    ]
    formats = [str(number) for number, _ in spoken] + ([str(digits)] if digits else [])
    return Media("audio", ours.port, profile, tuple(formats), ours.address, tuple(attributes))


def _description(ours: Ours, session: str, version: int, mid: str, sections: Sequence[Media]) -> str:
    everywhere = (("ice-lite", ""), *([("group", f"BUNDLE {mid}")] if mid else []))
    return SessionDescription(
        Origin(session, str(version), ours.address), "", tuple(sections), everywhere
    ).encode()


def _only_mid(media: Media) -> tuple[tuple[str, str], ...]:
    return tuple(attribute for attribute in media.attributes if attribute[0] == "mid")
