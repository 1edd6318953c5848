"""What two sides say about their audio, and what they agree on (SDP RFC 8866, offer/answer RFC 3264). PURE.

We speak G.711 with RFC 4733 digits over plain RTP. Everything else in an offer is refused in the way RFC 3264
asks for: a stream with port 0, and the whole offer by `NotAcceptable` (488) when no audio is left.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple

G711 = ("PCMA", "PCMU")
TELEPHONE_EVENT = "telephone-event"
_STATIC = {  # RFC 3551 table 4: payload types that need no rtpmap
    0: ("PCMU", 8000), 3: ("GSM", 8000), 4: ("G723", 8000), 5: ("DVI4", 8000), 6: ("DVI4", 16000),
    7: ("LPC", 8000), 8: ("PCMA", 8000), 9: ("G722", 8000), 10: ("L16", 44100), 11: ("L16", 44100),
    12: ("QCELP", 8000), 13: ("CN", 8000), 15: ("G728", 8000), 18: ("G729", 8000),
}  # fmt: skip
_NUMBER_OF = {name: number for number, (name, _) in _STATIC.items()}
_PLAIN_RTP = ("RTP/AVP", "RTP/AVPF")
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_MIRRORED = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}

_ORIGIN = re.compile(r"(\S+) ([0-9]+) ([0-9]+) IN (IP[46]) (\S+)")
_MEDIA = re.compile(r"([A-Za-z0-9\-]+) ([0-9]{1,5})(?:/[0-9]{1,5})? (\S+)((?: \S+)+)")
_CONNECTION = re.compile(r"IN IP[46] ([A-Za-z0-9.:_\-]+)(?:/[0-9/]+)?")
_RTPMAP = re.compile(r"([0-9]{1,3}) +([^\s/]+)/([0-9]{1,7})(?:/[0-9]{1,3})?")
_FMTP = re.compile(r"([0-9]{1,3}) +(.*)")
_TIME = re.compile(r"[0-9]+ [0-9]+")
LENGTH_MAX = 16 * 1024
_MEDIA_MAX = 32


class NotAcceptable(ValueError):
    """No audio both sides can speak: answer 488, or hang up when it came as an answer."""


class BadSdp(NotAcceptable):
    """The text is not SDP."""


@dataclass(frozen=True, slots=True)
class Codec:
    pt: int
    name: str
    rate: int = 8000
    fmtp: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """`version` grows by one with each change of what we say (RFC 3264 section 8)."""

    session_id: str
    version: str
    address: str
    user: str = "-"


@dataclass(frozen=True, slots=True)
class Media:
    """One m= section as it stands. `address` is its own c= line, empty when the session's applies."""

    kind: str
    port: int
    profile: str
    formats: tuple[str, ...]
    address: str = ""
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Audio:
    """One audio stream, told from the side of whoever wrote the SDP.

    `direction` already counts the old way of hold: `c=0.0.0.0` means that the writer does not listen.
    `attributes` are all the section's own, raw (crypto, ice, fingerprint, candidates …).
    """

    address: str
    port: int
    payloads: tuple[Codec, ...]
    direction: str
    ptime: int | None
    telephone_event: int | None
    profile: str
    attributes: tuple[tuple[str, str], ...]

    @property
    def speaks(self) -> bool:
        """The writer may send us audio."""
        return self.direction in ("sendrecv", "sendonly")

    @property
    def listens(self) -> bool:
        """The writer wants audio from us; not while it holds the call."""
        return self.direction in ("sendrecv", "recvonly")

    def attribute(self, name: str) -> str | None:
        return next((value for known, value in self.attributes if known == name), None)

    def codec(self, names: Sequence[str]) -> Codec | None:
        """The first that both sides know, in the writer's order of preference."""
        return next((codec for codec in self.payloads if codec.name in names and codec.rate == 8000), None)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    origin: Origin
    address: str = ""
    media: tuple[Media, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    time: str = "0 0"

    @staticmethod
    def parse(text: str | bytes) -> "SessionDescription":
        """Lines may end in LF alone; lines we have no use for are passed over. Raises BadSdp."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "surrogateescape")
        if len(text) > LENGTH_MAX:
            raise BadSdp("the SDP is too long")
        return _read(text)

    def encode(self) -> str:
        origin = self.origin
        session_address = self.address or origin.address
        lines = [
            "v=0",
            f"o={origin.user} {origin.session_id} {origin.version} {_typed(origin.address)}",
            "s=-",
            *([f"c={_typed(self.address)}"] if self.address else []),
            f"t={self.time}",
            *(_attribute(*attribute) for attribute in self.attributes),
        ]
        for media in self.media:
            lines.append(f"m={media.kind} {media.port} {media.profile} {' '.join(media.formats)}")
            if media.address:
                lines.append(f"c={_typed(media.address)}")
            elif not self.address:
                lines.append(f"c={_typed(session_address)}")  # each stream needs one, RFC 8866 section 5.7
            lines += [_attribute(*attribute) for attribute in media.attributes]
        return "\r\n".join(lines) + "\r\n"

    @property
    def audios(self) -> list[Audio | None]:
        """One for each m= section, None for those that are not audio over RTP."""
        return [self._audio(media) for media in self.media]

    @property
    def audio(self) -> Audio | None:
        """The first plain RTP audio stream that is not refused (port 0)."""
        return next((a for a in self.audios if a and a.port and a.profile in _PLAIN_RTP), None)

    def _audio(self, media: Media) -> Audio | None:
        if media.kind != "audio" or "RTP/" not in media.profile:
            return None
        address = media.address or self.address
        payloads = _payloads(media)
        direction = next(
            (name for name, _ in (*media.attributes, *self.attributes) if name in _DIRECTIONS), "sendrecv"
        )
        if address in ("0.0.0.0", "::"):
            direction = {"sendrecv": "sendonly", "recvonly": "inactive"}.get(direction, direction)
        return Audio(
            address,
            media.port,
            payloads,
            direction,
            _ptime(media),
            next((c.pt for c in payloads if c.name == TELEPHONE_EVENT and c.rate == 8000), None),
            media.profile,
            media.attributes,
        )


class Agreed(NamedTuple):
    """`telephone_event` is the payload type for digits, None when the peer knows none; `peer` its stream."""

    codec: Codec
    telephone_event: int | None
    peer: Audio


class Answer(NamedTuple):
    sdp: str
    codec: Codec
    telephone_event: int | None


def offer(
    address: str,
    port: int,
    session_id: str,
    version: int = 1,
    codecs: Sequence[str] = G711,
    direction: str = "sendrecv",
) -> str:
    """Our offer of one audio stream, best codec first."""
    spoken = [Codec(_NUMBER_OF[name], name, _STATIC[_NUMBER_OF[name]][1]) for name in codecs]
    media = _our_media(port, "RTP/AVP", [*spoken, Codec(101, TELEPHONE_EVENT, 8000, "0-15")], direction)
    return SessionDescription(Origin(session_id, str(version), address), address, (media,)).encode()


def answer(
    offer: str | bytes,
    address: str,
    port: int,
    session_id: str = "1",
    version: int = 1,
    codecs: Sequence[str] = G711,
    direction: str = "sendrecv",
) -> Answer:
    """Our answer: one codec and the digits, in the first stream that we can serve; the others refused.

    A single codec spares us the re-INVITE with which some phones lock one. `direction` is what we would like;
    what is answered also fits the offer. Raises NotAcceptable.
    """
    offered = SessionDescription.parse(offer)
    at, codec, audio = _choose(offered, codecs)
    digits = [c for c in audio.payloads if c.pt == audio.telephone_event]
    sections = [Media(media.kind, 0, media.profile, media.formats) for media in offered.media]
    sections[at] = _our_media(
        port, audio.profile, [codec, *digits], _agreed_direction(audio.direction, direction)
    )
    origin = Origin(session_id, str(version), address)
    text = SessionDescription(origin, address, tuple(sections), time=offered.time).encode()
    return Answer(text, codec, audio.telephone_event)


def agreed(sdp: str | bytes, codecs: Sequence[str] = G711) -> Agreed:
    """What the peer's answer to our offer settles, or its offer once we answer. Raises NotAcceptable."""
    _, codec, audio = _choose(SessionDescription.parse(sdp), codecs)
    return Agreed(codec, audio.telephone_event, audio)


def _choose(described: SessionDescription, codecs: Sequence[str]) -> tuple[int, Codec, Audio]:
    for at, audio in enumerate(described.audios):
        if audio and _reachable(audio) and (codec := audio.codec(codecs)):
            return at, codec, audio
    raise NotAcceptable(f"there is no plain RTP audio in any of {', '.join(codecs)}")


def in_body(content_type: str | None, body: bytes) -> str | None:
    """The SDP in a message's body, also as one part of a multipart (SIP-T trunks), or None."""
    kind, _, params = (content_type or "").partition(";")
    kind = kind.strip().lower()
    if kind == "application/sdp":
        return body.decode("utf-8", "surrogateescape") or None
    if not kind.startswith("multipart/"):
        return None
    boundary = re.search(r'boundary[ \t]*=[ \t]*(?:"([^"]{1,70})"|([^\s;"]{1,70}))', params, re.IGNORECASE)
    if boundary is None:
        return None
    mark = b"\r\n--" + (boundary[1] or boundary[2]).encode("utf-8", "surrogateescape")
    for part in (b"\r\n" + body).split(mark)[1:]:
        head, _, content = part.partition(b"\r\n\r\n")
        if re.search(rb"\r\n(?:content-type|c)[ \t]*:[ \t]*application/sdp\b", head, re.IGNORECASE):
            return content.decode("utf-8", "surrogateescape") or None
    return None


def _our_media(port: int, profile: str, payloads: Sequence[Codec], direction: str) -> Media:
    attributes = [("rtpmap", f"{codec.pt} {codec.name}/{codec.rate}") for codec in payloads]
    attributes += [("fmtp", f"{codec.pt} {codec.fmtp}") for codec in payloads if codec.fmtp]
    attributes += [("ptime", "20"), (direction, "")]
    return Media("audio", port, profile, tuple(str(c.pt) for c in payloads), "", tuple(attributes))


def _agreed_direction(offered: str, wanted: str) -> str:
    mirrored = _MIRRORED[offered]
    sends = mirrored in ("sendrecv", "sendonly") and wanted in ("sendrecv", "sendonly")
    receives = mirrored in ("sendrecv", "recvonly") and wanted in ("sendrecv", "recvonly")
    return {(True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly"}.get(
        (sends, receives), "inactive"
    )


def _reachable(audio: Audio) -> bool:
    if not audio.port or audio.profile not in _PLAIN_RTP or not audio.address:
        return False
    try:
        return not ip_address(audio.address).is_multicast
    except ValueError:
        return True  # a host name: nothing is sent until the peer's first packet shows its address


def _payloads(media: Media) -> tuple[Codec, ...]:
    maps: dict[int, tuple[str, int]] = {}
    fmtps: dict[int, str] = {}
    for name, value in media.attributes:
        if name == "rtpmap" and (found := _RTPMAP.fullmatch(value)):
            maps[int(found[1])] = (_known_name(found[2]), int(found[3]))
        elif name == "fmtp" and (found := _FMTP.fullmatch(value)):
            fmtps[int(found[1])] = found[2].strip()
    payloads = []
    for text in media.formats:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 128
        described = maps.get(number) or _STATIC.get(number)
        if number < 128 and described is not None:
            payloads.append(Codec(number, *described, fmtps.get(number, "")))
    return tuple(payloads)


def _known_name(name: str) -> str:
    """Encoding names are compared without regard to case (RFC 8866 section 6.6)."""
    return TELEPHONE_EVENT if name.lower() == TELEPHONE_EVENT else name.upper()


def _ptime(media: Media) -> int | None:
    value = dict(media.attributes).get("ptime", "")
    return int(value) if re.fullmatch("[0-9]{1,3}", value) else None


def _read(text: str) -> SessionDescription:
    origin: Origin | None = None
    session_address, time = "", "0 0"
    session_attributes: list[tuple[str, str]] = []
    media: list[Media] = []
    address, attributes = "", session_attributes

    def close_section() -> None:
        if media:
            opened = media[-1]
            media[-1] = Media(
                opened.kind, opened.port, opened.profile, opened.formats, address, tuple(attributes)
            )

    lines = [line.strip() for line in text.replace("\r\n", "\n").split("\n")]
    if lines[0] != "v=0":
        raise BadSdp(f"not SDP: {text[:40]!r}")
    for line in lines[1:]:
        kind, value = line[:2], line[2:].strip()
        if kind == "a=":
            name, _, content = value.partition(":")
            attributes.append((name.strip(), content.strip()))
        elif kind == "m=":
            close_section()
            if not media:
                session_address = address
            media.append(_read_media(value))
            address, attributes = "", []
            if len(media) > _MEDIA_MAX:
                raise BadSdp("too many streams")
        elif kind == "c=":
            found = _CONNECTION.fullmatch(value)
            if found is None:
                raise BadSdp(f"c={value[:80]!r}")
            address = address or found[1]
        elif kind == "o=":
            found = _ORIGIN.fullmatch(value)
            if found is None or origin is not None:
                raise BadSdp(f"o={value[:80]!r}")
            origin = Origin(found[2], found[3], found[5], found[1])
        elif kind == "t=" and _TIME.fullmatch(value):
            time = value
        elif line and line[1:2] != "=":
            raise BadSdp(f"not a line of SDP: {line[:40]!r}")
    close_section()
    if origin is None:
        raise BadSdp("the o= line is missing")
    return SessionDescription(
        origin, session_address if media else address, tuple(media), tuple(session_attributes), time
    )


def _read_media(value: str) -> Media:
    found = _MEDIA.fullmatch(value)
    if found is None or int(found[2]) > 65535:
        raise BadSdp(f"m={value[:80]!r}")
    return Media(found[1].lower(), int(found[2]), found[3].upper(), tuple(found[4].split()))


def _typed(address: str) -> str:
    return f"IN {'IP6' if ':' in address else 'IP4'} {address}"


def _attribute(name: str, value: str) -> str:
    return f"a={name}:{value}" if value else f"a={name}"
