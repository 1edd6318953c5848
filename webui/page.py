"""How a page is drawn: the templates in each language, and what every one of them is told."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cache
from gettext import NullTranslations
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
from aiohttp import web
from markupsafe import Markup, escape

from config import Settings
from crm import numbers, users
from crm.db import Db
from crm.refused import Refused
from crm.users import User
from cti.floor import Floor
from webui import i18n
from webui.i18n import N_
from webui.icons import icon

HERE = Path(__file__).parent
ZONE = ZoneInfo("America/Sao_Paulo")  # until the browser rewrites a <time> in its own zone

SETTINGS = web.AppKey("settings", Settings)
DB = web.AppKey("db", Db)
FLOOR = web.AppKey("floor", Floor)
HISTORY: web.AppKey[Any] = web.AppKey("history")
DRIVES: web.AppKey[Any] = web.AppKey("drives")
SIP: web.AppKey[Any] = web.AppKey("sip")
SOCKETS: web.AppKey[dict[str, set[web.WebSocketResponse]]] = web.AppKey("sockets")  # by session
TOKEN: web.AppKey[str] = web.AppKey("token")  # of programs: /metrics and /api
PERFORM: web.AppKey[Callable[..., Awaitable[dict]]] = web.AppKey("perform")
TEMPLATES = web.AppKey("templates", Mapping[str, jinja2.Environment])
WORDS = web.AppKey("words", Mapping[str, NullTranslations])


@dataclass(frozen=True)
class Place:
    """One entry of the navigation: where it leads, what it is called, and who may go there.

    A section has the pages within it; its own path and right are those of the first the reader may see.
    """

    path: str
    name: str
    icon: str
    right: str = ""
    within: tuple["Place", ...] = ()

    def has(self, path: str) -> bool:
        return (
            any(each.has(path) for each in self.within)
            or path == self.path
            or path.startswith(f"{self.path}/")
        )


PLACES = (
    Place("/desk", N_("Desk"), "headset", "take_calls"),
    Place("/work", N_("My campaigns"), "phone", "take_calls"),
    Place("/wallboard", N_("Wallboard"), "wall", "watch_wall"),
    Place("/tabulations", N_("Tabulations"), "form", "see_tabulations"),
    Place("/recordings", N_("Recordings"), "wave", "hear_recordings"),
    Place("/contacts", N_("Contacts"), "card", "see_contacts"),
    Place("/tickets", N_("Tickets"), "note", "see_contacts"),
    Place(
        "/campaigns",
        N_("Campaigns"),
        "outbound",
        within=(
            Place("/campaigns", N_("Campaigns"), "outbound", "run_campaigns"),
            Place("/dialing", N_("Dialing now"), "phone", "run_campaigns"),
            Place("/campaigns/callbacks", N_("Callbacks"), "clock", "run_campaigns"),
            Place("/campaigns/in-use", N_("Items in use"), "link", "run_campaigns"),
            Place("/imports", N_("Imports"), "download", "run_campaigns"),
            Place("/filters", N_("Filters"), "filter", "run_campaigns"),
            Place("/scripts", N_("Scripts"), "note", "run_campaigns"),
            Place("/actions", N_("Action types"), "check", "run_campaigns"),
            Place("/blocklist", N_("Blocked numbers"), "denied", "run_campaigns"),
        ),
    ),
    Place("/reports", N_("Reports"), "signal", "see_tabulations"),
    Place(
        "/queues",
        N_("Administration"),
        "settings",
        within=(
            Place("/queues", N_("Queues"), "queue", "administer"),
            Place("/trunks", N_("Trunks"), "signal", "administer"),
            Place("/routes", N_("Routes"), "outbound", "administer"),
            Place("/layouts", N_("Layouts"), "edit", "administer"),
            Place("/custom_fields", N_("Custom fields"), "form", "administer"),
            Place("/users", N_("Users"), "user", "administer"),
            Place("/groups", N_("Groups"), "users", "administer"),
            Place("/pauses", N_("Pauses"), "pause", "administer"),
            Place("/audit", N_("Audit"), "history", "audit"),
        ),
    ),
)
STATES = (  # of calls and stations, as refusals name them
    N_("connected"),
    N_("held"),
    N_("dialing"),
    N_("ringing"),
    N_("reconnecting"),
    N_("ended"),
    N_("logged_off"),  # agents, from here
    N_("not_ready"),
    N_("ready"),
    N_("reserved"),
    N_("busy"),
    N_("wrap_up"),
    N_("no_media"),  # stations
    N_("no_microphone"),
    N_("no_permission"),
    N_("no_media_path"),
    N_("not_registered"),
    N_("taken"),
    N_("draft"),
    N_("active"),
    N_("paused"),
)
NOUNS = (  # what is missing, as crm.entry.missing names it
    N_("blocked number"),
    N_("campaign"),
    N_("category"),
    N_("contact"),
    N_("export"),
    N_("extension"),
    N_("field"),
    N_("filter"),
    N_("group"),
    N_("import"),
    N_("item"),
    N_("layout"),
    N_("load"),
    N_("number"),
    N_("pause"),
    N_("queue"),
    N_("recording"),
    N_("report"),
    N_("route"),
    N_("schedule"),
    N_("script"),
    N_("status"),
    N_("step"),
    N_("ticket"),
    N_("trunk"),
    N_("type"),
    N_("user"),
    N_("version"),
)
RIGHTS = {
    "administer": N_("administer"),
    "audit": N_("see who changed what"),
    "dial_external": N_("dial external numbers"),
    "edit_contacts": N_("change customers"),
    "export": N_("export lists"),
    "hear_recordings": N_("hear recordings"),
    "run_campaigns": N_("run campaigns"),
    "see_contacts": N_("see customers"),
    "see_tabulations": N_("see tabulations"),
    "take_calls": N_("take calls"),
    "watch_wall": N_("watch the wallboard"),
}
ROLES = {
    "administrator": N_("Administrator"),
    "supervisor": N_("Supervisor"),
    "agent": N_("Agent"),
    "back_office": N_("Back office"),
    "auditor": N_("Auditor"),
}


def render(request: web.Request, template: str, *, status: int = 200, **context: Any) -> web.Response:
    """The whole page for this reader, in their language; never kept by a cache on the way."""
    return web.Response(text=fragment(request, template, **context), content_type="text/html", status=status)


def fragment(request: web.Request, template: str, **context: Any) -> str:
    """The HTML of one template for this reader, as `render` sends it and as a live region is replaced by."""
    pages = request.app[TEMPLATES][language(request)]
    return pages.get_template(template).render(
        request=request,
        user=request.get("user"),
        csrf=request.get("csrf", ""),
        language=language(request),
        theme=theme(request),
        here=request.path,
        places=(mine := places(request.get("user"))),
        section=next((place.within for place in mine if place.has(request.path)), ()),
        **context,
    )


def language(request: web.Request) -> str:
    """Which language this reader reads: their own when logged in, else chosen, else the browser's."""
    user = request.get("user")
    if user is not None and user.language in i18n.LANGUAGES:
        return user.language
    accept = request.headers.get("Accept-Language", "")
    return i18n.language_of(request.cookies.get("ramal_language"), accept, request.app[SETTINGS].language)


def words(request: web.Request) -> Callable[[str], str]:
    """gettext of this reader: `_ = words(request)`."""
    return request.app[WORDS][language(request)].gettext


def said(request: web.Request, refused: Refused) -> str:
    """A refusal in this reader's language."""
    _ = words(request)
    values = {name: value_said(name, value, _) for name, value in refused.values.items()}
    return _(refused.template).format(**values) if values else _(refused.template)


def value_said(name: str, value: object, _: Callable[[str], str]) -> object:
    """A state, a kind of thing, a right or a reason within a refusal; else it is somebody's own word."""
    if isinstance(value, Refused):
        return _(value.template).format(**value.values)
    if name == "right" and value in RIGHTS:
        return _(RIGHTS[str(value)])
    return _(str(value)) if value in (NOUNS if name == "what" else STATES) else value


def theme(request: web.Request) -> str:
    chosen = request.cookies.get("ramal_theme", "")
    return chosen if chosen in ("light", "dark") else "auto"


def places(user: User | None) -> list[Place]:
    """What this reader may open; a section of one page is that page."""
    if user is None:
        return []
    found = []
    for place in PLACES:
        within = tuple(each for each in place.within if users.can(user, each.right))
        if len(within) > 1:
            found.append(replace(place, path=within[0].path, within=within))
        elif within or (place.right and users.can(user, place.right)):
            found.extend(within or (place,))
    return found


def home(user: User) -> str:
    """Where this person starts: agents at the desk, supervisors at the wall, others at the tabulations."""
    mine = [place.path for place in places(user)]
    if user.role == "agent" and "/desk" in mine:
        return "/desk"
    return next((path for path in mine if path not in ("/desk", "/work")), mine[0] if mine else "/profile")


@cache
def environment(language: str, catalogue: NullTranslations) -> jinja2.Environment:
    """One language's templates, compiled once: autoescaped, undefined names are errors, the filters below."""
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.install_gettext_translations(catalogue, newstyle=True)  # type: ignore[attr-defined]
    pages.globals.update(
        icon=icon,
        asset=asset,
        roles=ROLES,
        rights=RIGHTS,
        languages=i18n.LANGUAGES,
        clock_now=lambda: datetime.now(UTC),
    )
    pages.filters.update(
        phone=phone,
        duration=duration,
        seconds=spoken_seconds,
        moment=moment,
        clock=clock,
        day=day,
        since=since,
        initials=initials,
        document=document,
    )
    return pages


_assets: dict[str, str] = {}


def asset(path: str) -> str:
    """Address of a file under static/ with its checksum, so that browsers keep it for good."""
    if path not in _assets:
        _assets[path] = sha256((HERE / "static" / path).read_bytes()).hexdigest()[:12]
    return f"/static/{path}?v={_assets[path]}"


def phone(number: str | None) -> Markup:
    """A number in national format that is copied as E.164; extensions stay as they are."""
    if not number:
        return Markup("")
    shown = numbers.display(number)
    return Markup('<span class="phone" data-copy="{}">{}</span>').format(number, shown)


def document(digits: str) -> str:
    """CPF or CNPJ with its punctuation; anything else as it is."""
    if len(digits) == 11:
        shown = f"{digits[:3]}.{digits[3:6]}.{digits[6:9]}-{digits[9:]}"
    elif len(digits) == 14:
        shown = f"{digits[:2]}.{digits[2:5]}.{digits[5:8]}/{digits[8:12]}-{digits[12:]}"
    else:
        shown = digits
    return shown


def initials(name: str) -> str:
    """First letters of the first and the last name."""
    parts = name.split()
    return "".join(part[0] for part in (parts[:1] + parts[1:][-1:])).upper()


def duration(seconds: float | None) -> str:
    """0:48, 12:05 or 1:02:33 of a length in seconds; a dash when there is none."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def spoken_seconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{int(seconds)} s"


def moment(at: datetime | str | None) -> Markup:
    """Date and time; the browser shows it in its own zone, and relative when it is recent."""
    return _time(at, "moment", "%d/%m/%Y %H:%M")


def clock(at: datetime | str | None) -> Markup:
    """Time of day, hours and minutes."""
    return _time(at, "clock", "%H:%M")


def day(at: datetime | date | str | None) -> Markup:
    return _time(at, "day", "%d/%m/%Y")


def since(at: datetime | str | None) -> Markup:
    """A counter of the time passed since then, moved by the browser each second."""
    if not at:
        return Markup('<span class="number">–</span>')
    then = _when(at)
    passed = duration(max(0, (datetime.now(UTC) - then).total_seconds()))
    return Markup('<time class="number" data-since="{}" datetime="{}">{}</time>').format(
        then.isoformat(), then.isoformat(), passed
    )


def _time(at: datetime | date | str | None, kind: str, form: str) -> Markup:
    if not at:
        return Markup("–")
    if isinstance(at, date) and not isinstance(at, datetime):
        return escape(at.strftime(form))
    then = _when(at)
    return Markup('<time class="number" data-time="{}" datetime="{}">{}</time>').format(
        kind, then.isoformat(), then.astimezone(ZONE).strftime(form)
    )


def _when(at: Any) -> datetime:
    then = at if isinstance(at, datetime) else datetime.fromisoformat(at)
    return then if then.tzinfo else then.replace(tzinfo=UTC)
