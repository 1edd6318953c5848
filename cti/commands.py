"""What may be asked of a desk: the verbs of the CTI protocol, the same for browser and port 44900."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from crm import contacts
from crm.db import AWAY
from crm.refused import Refused
from crm.users import can
from cti import outbound, talk
from cti.agent import LOGGED_OFF, NOT_READY, READY, WORKING, WRAP_UP, AgentState
from cti.call import Call, CallState
from cti.desk import Desk, contact_view
from cti.reach import desk_at
from cti.station import MEDIA_STATES, SoftphoneStation, WebStation

if TYPE_CHECKING:
    from cti.floor import Floor

Arguments = Mapping[str, Any]
Verb = Callable[["Floor", Desk, Arguments], Awaitable[dict[str, Any]]]

DIGITS = frozenset("0123456789*#ABCD")
TEXT_MAX = 10_000
ANSWER_SECONDS_MAX = 10.0
SECONDS_MAX = {"DialItem": 45.0}  # a campaign's own procedure may be asked first


async def perform(floor: "Floor", desk: Desk, verb: str, arguments: Arguments) -> dict[str, Any]:
    """Do what a screen asks; raises Refused with words for a person, and then nothing has changed."""
    do = VERBS.get(verb) or floor.verbs.get(verb)
    if do is None:
        raise Refused("There is no verb {verb}.", code="unknown_verb", verb=verb)
    if verb not in FOR_ALL and not can(desk.user, "take_calls"):
        raise Refused("Your role does not take calls.", code="not_allowed")
    try:
        async with asyncio.timeout(SECONDS_MAX.get(verb, ANSWER_SECONDS_MAX)):
            return await do(floor, desk, arguments)
    except AWAY as error:
        raise Refused(
            "This needs the database, which is away; the call goes on. Try again in a moment.",
            code="database",
        ) from error


# -- arguments: parsed once, here --


def text(arguments: Arguments, name: str, default: str | None = None) -> str:
    value = arguments.get(name, default)
    if not isinstance(value, str) or len(value) > TEXT_MAX:
        raise Refused("{name} must be a text.", code="bad_argument", name=name)
    return value


def whole(arguments: Arguments, name: str) -> int | None:
    value = arguments.get(name)
    if value is None or value == "":
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        raise Refused("{name} must be a whole number.", code="bad_argument", name=name) from None


def answers(arguments: Arguments) -> dict[str, str]:
    value = arguments.get("answers")
    if not isinstance(value, dict):
        raise Refused("answers must be a map of texts.", code="bad_argument")
    if sum(len(str(k)) + len(str(v)) for k, v in value.items()) > 10 * TEXT_MAX:
        raise Refused("The answers are too long.", code="bad_argument")
    return {str(key): str(answer) for key, answer in value.items() if answer is not None}


def live_call(desk: Desk, *states: CallState) -> Call:
    """The desk's call, if it is in one of these states."""
    call = desk.call
    if call is None or call.state == CallState.ENDED:
        raise Refused("There is no call at your desk.", code="wrong_state")
    seen = CallState(call.view(desk.user.id)["state"])
    if states and seen not in states:
        raise Refused("The call is {state}; this cannot be done now.", code="wrong_state", state=str(seen))
    return call


# -- station and state --


async def set_station(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    """Log on where the agent hears and speaks (EPB-06, UAU-40, UAU-41)."""
    kind = text(arguments, "kind")
    extension = text(arguments, "extension", desk.user.extension or "").strip()
    agent = floor.agent(desk.user.id)
    if kind not in ("webrtc", "softphone"):
        raise Refused("A station is webrtc or softphone.", code="bad_argument")
    if extension not in floor.centre.extensions:
        raise Refused("There is no extension {number}.", code="not_found", number=extension)
    if agent.state in WORKING:
        raise Refused("Finish the call you are in first.", code="wrong_state")
    other = desk_at(floor, extension)
    if other and other is not desk:
        raise Refused(
            "{name} is already at extension {number}.",
            code="taken",
            details={"by": other.user.name},
            name=other.user.name,
            number=extension,
        )
    before = desk.station
    if before is None or (before.kind, before.extension) != (kind, extension):
        if before:
            await before.leave()
        station = WebStation if kind == "webrtc" else SoftphoneStation
        desk.station = station(floor.phones, desk.user, extension)
    if agent.state == LOGGED_OFF:
        await desk.remember()
        floor.move(desk.user.id, "log_on", reason="logged_on")
    assert desk.station is not None
    desk.show("StationChanged", station=desk.station.view())
    floor.changed()
    return {"station": desk.station.view()}


async def set_agent_state(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    """Available, on a break with its reason, or gone; asked during a call it is kept for afterwards."""
    wanted = text(arguments, "state")
    reason = arguments.get("reason")
    if wanted not in (READY, NOT_READY, LOGGED_OFF):
        raise Refused("An agent is ready, not_ready or logged_off.", code="bad_argument")
    state = AgentState(wanted)
    if state == NOT_READY:
        codes = {p.code for p in floor.centre.pauses}
        if reason not in codes:
            raise Refused(
                "Choose the reason of the pause.", code="bad_argument", details={"reasons": sorted(codes)}
            )
    else:
        reason = None
    agent = floor.agent(desk.user.id)
    if state == READY and agent.state not in WORKING and desk.station and desk.station.state != "ok":
        raise Refused("Your station is not ready: {state}.", code="station", state=desk.station.state)
    floor.choose(desk.user.id, state, reason)
    if agent.state == WRAP_UP and desk.form and not desk.form.mandatory and state == READY:
        desk.end_wrap_up()
    return {"agent": desk.agent_view()}


# -- the call --


async def make_call(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    internal = arguments.get("internal")
    number, route = text(arguments, "number"), whole(arguments, "route")
    call = outbound.dial(
        floor, floor.phones, desk, number, route, internal if isinstance(internal, bool) else None
    )
    return {"call": call.view(desk.user.id)}


async def answer_call(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    live_call(desk, CallState.RINGING).answer_asked.set()
    return {}


async def clear_connection(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    live_call(desk).hang_up_asked.set()
    return {}


async def hold_call(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    await talk.hold(floor.phones, desk, live_call(desk, CallState.CONNECTED))
    return {}


async def retrieve_call(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    await talk.retrieve(floor.phones, desk, live_call(desk, CallState.HELD))
    return {}


async def mute_call(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    call = live_call(desk, CallState.CONNECTED, CallState.RECONNECTING)
    await talk.mute(floor.phones, desk, call, arguments.get("on") is True)
    return {}


async def generate_digits(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    digits = text(arguments, "digits")
    if not digits or len(digits) > 64 or not set(digits) <= DIGITS:
        raise Refused("Digits are 0 to 9, * and #.", code="bad_argument")
    other = live_call(desk, CallState.CONNECTED).other_leg(desk.user.id)
    if other:
        await floor.phones.engine.dtmf(other.name, digits)
    return {}


# -- what was said --


async def draft_tabulation(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    desk.draft(text(arguments, "call"), answers(arguments))
    return {}


async def choose_layout(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    layout = whole(arguments, "layout")
    if layout is None:
        raise Refused("Choose a form.", code="bad_argument")
    typed = answers(arguments) if "answers" in arguments else None
    desk.choose_layout(text(arguments, "call"), layout, typed)
    return {}


async def save_tabulation(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    desk.save(text(arguments, "call"), answers(arguments))
    return {}


async def open_tabulation(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    desk.open_pending(text(arguments, "call"))
    return {}


async def choose_contact(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    contact = whole(arguments, "contact")
    if contact is None:
        raise Refused("Choose a contact.", code="bad_argument")
    await desk.choose_contact(text(arguments, "call"), contact)
    return {}


async def create_contact(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    phones = arguments.get("phones")
    if isinstance(phones, str):
        phones = [phones]
    if not isinstance(phones, list) or not all(isinstance(p, str) for p in phones):
        raise Refused("phones must be a list of numbers.", code="bad_argument")
    contact = await desk.create_contact(
        text(arguments, "call"),
        name=text(arguments, "name"),
        phones=phones,
        company=text(arguments, "company", ""),
        document=text(arguments, "document", ""),
        email=text(arguments, "email", ""),
        notes=text(arguments, "notes", ""),
    )
    return {"contact": contact_view(contact)}


async def search_contacts(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    found = await contacts.search(floor.db, text(arguments, "text"))
    return {"contacts": [contact_view(c) for c in found]}


# -- the desk itself --


async def snapshot_device(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    return {"snapshot": desk.snapshot()}


async def media_offer(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    """The page's WebRTC connection; a later offer takes the place of the earlier one."""
    if not isinstance(desk.station, WebStation):
        raise Refused("Log on with WebRTC in this browser first.", code="wrong_state")
    try:
        return {"sdp": await desk.station.offer(text(arguments, "sdp"))}
    except ValueError as error:
        raise Refused(
            "The browser's audio offer cannot be used: {error}.", code="media", error=error
        ) from error


async def media_report(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    """What the page found missing: microphone, permission, path; "ok" when it misses nothing any more."""
    state, station = text(arguments, "state"), desk.station
    if state not in MEDIA_STATES:
        raise Refused("Unknown media state.", code="bad_argument")
    if isinstance(station, WebStation) and (state != "ok" or (station.connected and station.state != "ok")):
        station.state = "no_media_path" if state == "closed" else state
        station.detail = text(arguments, "detail", "")[:200]
        desk.show("StationChanged", station=station.view())
    if isinstance(station, WebStation) and state != "ok":
        agent = floor.agent(desk.user.id)
        if agent.state == READY:
            floor.choose(desk.user.id, NOT_READY, "station_lost")
    return {}


async def log_out(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    if floor.agent(desk.user.id).state != LOGGED_OFF:
        floor.choose(desk.user.id, LOGGED_OFF)
    return {}


async def ping(floor: "Floor", desk: Desk, arguments: Arguments) -> dict[str, Any]:
    return {}


VERBS: dict[str, Verb] = {
    "SetStation": set_station,
    "SetAgentState": set_agent_state,
    "MakeCall": make_call,
    "AnswerCall": answer_call,
    "ClearConnection": clear_connection,
    "HoldCall": hold_call,
    "RetrieveCall": retrieve_call,
    "MuteCall": mute_call,
    "GenerateDigits": generate_digits,
    "ChooseLayout": choose_layout,
    "DraftTabulation": draft_tabulation,
    "SaveTabulation": save_tabulation,
    "OpenTabulation": open_tabulation,
    "ChooseContact": choose_contact,
    "CreateContact": create_contact,
    "SearchContacts": search_contacts,
    "SnapshotDevice": snapshot_device,
    "MediaOffer": media_offer,
    "MediaReport": media_report,
    "Logout": log_out,
    "Ping": ping,
}
FOR_ALL = {"Ping", "SnapshotDevice", "Logout", "SearchContacts"}
