"""`ramal toolbar`: one user's desk on a terminal, live, with typed commands."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import shlex
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from .client import PORT, ConnectionLost, RequestRefused, ToolbarClient
from .frames import Message

HELP = """\
ready                     take calls
pause [REASON]            take no calls; without a reason lists the reasons
off                       log the agent off
station webrtc|EXTENSION  where this agent hears and speaks
dial NUMBER [ROUTE]       place a call
answer, hold, retrieve, hangup, mute, unmute
digits DIGITS             send digits to the other side
form                      show the tabulation form
use ID                    go on with another form that may be used for this call
draft KEY=VALUE...        keep answers of the form without closing it
save KEY=VALUE...         save the tabulation of the call (category=ID KEY=VALUE ...)
search TEXT               find contacts
choose ID                 this contact is the customer of the call
watch                     the wallboard, each time it changes (supervisors)
state                     show the desk
help, quit"""


def command_line(argv: Sequence[str] | None = None) -> int:
    """`ramal toolbar`: the desk on a terminal. 0 = left by the user, 1 = login refused or nobody there."""
    parser = argparse.ArgumentParser(
        prog="ramal toolbar",
        description="Shows an agent's desk, live, and takes commands. The password is read from the "
        "terminal, from --password-file, or from the environment's TOOLBAR_PASSWORD.",
        epilog="Commands while it runs:\n" + HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--user", required=True, help="the login")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--password-file", help="a file whose first line is the password")
    parser.add_argument("--tls", action="store_true", help="speak TLS")
    parser.add_argument("--ca", help="a file of certificates to trust, instead of the system's")
    options = parser.parse_args(argv)
    tls = ssl.create_default_context(cafile=options.ca) if options.tls or options.ca else None
    if options.password_file:
        with open(options.password_file, encoding="utf-8") as file:
            password = file.readline().rstrip("\n")
    else:
        password = os.environ.get("TOOLBAR_PASSWORD") or getpass.getpass(f"Password of {options.user}: ")
    try:
        return asyncio.run(
            _terminal(ToolbarClient(options.host, options.port, tls=tls), options.user, password)
        )
    except KeyboardInterrupt:
        return 0


async def _terminal(client: ToolbarClient, user: str, password: str) -> int:
    async with client:
        try:
            await client.connect(user, password)
        except (RequestRefused, OSError, EOFError) as no:
            print(f"{client.host}:{client.port}: {no or 'the connection was closed'}", file=sys.stderr)
            return 1
        print("\n".join(desk_lines(client.snapshot)), "Type help for the commands.", sep="\n", flush=True)
        showing = asyncio.create_task(_show_events(client))
        lines = _typed_lines()
        try:
            while (line := await _next_of(lines, showing)) is not None:
                if line.strip() in ("quit", "exit"):
                    break
                for text in await obey(client, line):
                    print(text, flush=True)
        finally:
            showing.cancel()
        if showing.done() and not showing.cancelled() and (error := showing.exception()):
            print(error, file=sys.stderr)
            return 1
    return 0


async def _next_of(lines: asyncio.Queue[str | None], showing: asyncio.Task[None]) -> str | None:
    """The next typed line; None at the end of the input, or when the server refuses this user."""
    line = asyncio.create_task(lines.get())
    await asyncio.wait({line, showing}, return_when=asyncio.FIRST_COMPLETED)
    if line.done():
        return line.result()
    line.cancel()
    return None


async def _show_events(client: ToolbarClient) -> None:
    async for event in client.events():
        print(event_line(event), flush=True)


def _typed_lines() -> asyncio.Queue[str | None]:
    """The lines of stdin, which may be a terminal, a pipe or a file."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str | None]()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    return lines


async def obey(client: ToolbarClient, line: str) -> list[str]:
    """Carries out a typed command; the lines to show."""
    try:
        word, *rest = shlex.split(line) or [""]
        if word in COMMANDS:
            return await COMMANDS[word](client, *rest)
        elif word:
            return [f"There is no command {word!r}; help lists them."]
        else:
            return []
    except RequestRefused as no:
        errors = no.details.get("errors") or {}
        return [f"Refused ({no.code}): {no}", *(f"  {field}: {why}" for field, why in errors.items())]
    except ConnectionLost as lost:
        return [f"Not known whether this was done: {lost}"]
    except (TypeError, ValueError) as wrong:
        return [f"This command cannot be read ({wrong}); help lists them."]


def _verb(verb: str, *names: str, **fixed: Any) -> Callable[..., Any]:
    """A typed command which is a verb: its words are the arguments named, the last may be left out."""

    async def command(client: ToolbarClient, *words: str) -> list[str]:
        if len(words) > len(names):
            raise ValueError(f"at most {len(names)} words after it")
        await client.request(verb, **fixed, **dict(zip(names, words, strict=False)))
        return ["Done."]

    return command


async def _pause(client: ToolbarClient, *reason: str) -> list[str]:
    if reason:
        await client.request("SetAgentState", state="not_ready", reason=reason[0])
        return ["Done."]
    else:
        return [f"  {pause['code']}: {pause['label']}" for pause in client.snapshot["pauses"]]


async def _station(client: ToolbarClient, where: str) -> list[str]:
    if where == "webrtc":
        await client.request("SetStation", kind="webrtc", extension="")
    else:
        await client.request("SetStation", kind="softphone", extension=where)
    return ["Done."]


async def _save(client: ToolbarClient, *answers: str) -> list[str]:
    return await _tabulate(client, "SaveTabulation", answers)


async def _draft(client: ToolbarClient, *answers: str) -> list[str]:
    return await _tabulate(client, "DraftTabulation", answers)


async def _tabulate(client: ToolbarClient, verb: str, answers: Sequence[str]) -> list[str]:
    form = client.snapshot.get("form")
    if form is None:
        return ["No form is open."]
    typed = dict(answer.split("=", 1) for answer in answers)
    await client.request(verb, call=form["call"], answers=form["answers"] | typed)
    return ["Done."]


async def _form(client: ToolbarClient) -> list[str]:
    form = client.snapshot.get("form")
    return form_lines(form) if form else ["No form is open."]


async def _search(client: ToolbarClient, *words: str) -> list[str]:
    found = await client.request("SearchContacts", text=" ".join(words))
    return [f"  {contact['id']}: {contact['name']}" for contact in found.get("contacts", [])] or [
        "None found."
    ]


async def _choose(client: ToolbarClient, contact: str) -> list[str]:
    call = client.snapshot.get("call") or {}
    await client.request("ChooseContact", call=call.get("id"), contact=int(contact))
    return ["Done."]


async def _use(client: ToolbarClient, layout: str) -> list[str]:
    form = client.snapshot.get("form")
    if form is None:
        return ["No form is open."]
    await client.request("ChooseLayout", call=form["call"], layout=int(layout))
    return ["Done."]


async def _watch(client: ToolbarClient) -> list[str]:
    return wall_lines((await client.request("Watch", on=True))["wall"])


async def _state(client: ToolbarClient) -> list[str]:
    return desk_lines(client.snapshot)


async def _help(_client: ToolbarClient) -> list[str]:
    return HELP.splitlines()


COMMANDS: dict[str, Callable[..., Any]] = {
    "ready": _verb("SetAgentState", state="ready"),
    "pause": _pause,
    "off": _verb("SetAgentState", state="logged_off"),
    "station": _station,
    "dial": _verb("MakeCall", "number", "route"),
    "answer": _verb("AnswerCall"),
    "hold": _verb("HoldCall"),
    "retrieve": _verb("RetrieveCall"),
    "hangup": _verb("ClearConnection"),
    "mute": _verb("MuteCall", on=True),
    "unmute": _verb("MuteCall", on=False),
    "digits": _verb("GenerateDigits", "digits"),
    "form": _form,
    "use": _use,
    "draft": _draft,
    "save": _save,
    "search": _search,
    "choose": _choose,
    "watch": _watch,
    "state": _state,
    "help": _help,
}


def desk_lines(snapshot: Message) -> list[str]:
    user, agent, station = snapshot["user"], snapshot["agent"], snapshot.get("station")
    where = station_text(station) if station else "no station"
    lines = [f"{user['name']} ({user['login']}, {user['role']}): {agent_text(agent)}, {where}"]
    if call := snapshot.get("call"):
        lines.append(f"  call: {call_text(call)}")
    if customer := snapshot.get("customer"):
        lines.append(f"  customer: {customer_text(customer)}")
    if form := snapshot.get("form"):
        lines += form_lines(form)
    for queue in snapshot.get("queues") or []:
        lines.append(f"  queue {queue['label']}: {queue['waiting']} waiting")
    return lines


def event_line(event: Message) -> str:
    parts = [str(event.get("time", ""))[11:19], event["event"]]
    match event:
        case {"event": "WallChanged", "wall": wall}:
            parts.append("\n" + "\n".join(wall_lines(wall)))
        case {"event": "Resynchronised", "snapshot": snapshot}:
            parts.append("\n" + "\n".join(desk_lines(snapshot)))
        case _:
            if isinstance(event.get("agent"), dict):
                parts.append(agent_text(event["agent"]))
            if isinstance(event.get("call"), dict):
                parts.append(call_text(event["call"]))
            if isinstance(event.get("customer"), dict):
                parts.append(customer_text(event["customer"]))
            if event.get("cause"):
                parts.append(f"({event['cause']})")
            if isinstance(event.get("station"), dict):
                parts.append(station_text(event["station"]))
            if isinstance(event.get("directory"), list):
                parts.append(", ".join(f"{one['extension']} {one['state']}" for one in event["directory"]))
            if isinstance(event.get("queues"), list):
                parts.append(", ".join(f"{queue['label']} {queue['waiting']}" for queue in event["queues"]))
    return " ".join(parts)


def station_text(station: Message) -> str:
    return f"{station['kind']} {station['extension']} ({station['state']})"


def agent_text(agent: Message) -> str:
    return agent["state"] + (f" ({agent['reason']})" if agent.get("reason") else "")


def call_text(call: Message) -> str:
    queue = f" for {call['queue_label']}" if call.get("queue_label") else ""
    return f"{call['direction']} {call.get('display') or call.get('number')}{queue}, {call['state']}"


def customer_text(customer: Message) -> str:
    match customer:
        case {"contact": {"name": name, **rest}}:
            return f"{name} {rest.get('company') or ''}".strip()
        case {"candidates": [_, *_] as candidates}:
            return "one of " + ", ".join(f"{one['id']}: {one['name']}" for one in candidates)
        case _:
            return str(customer.get("state"))


def form_lines(form: Message) -> list[str]:
    layout = form["layout"]
    lines = [f"  form {layout['label']} ({form['status']}):"]
    for field in layout["fields"]:
        star = "*" if field.get("required") else " "
        options = f" of {field['options']}" if field.get("options") else ""
        lines.append(
            f"  {star} {field['key']} ({field['label']}{options}): {form['answers'].get(field['key'], '')}"
        )
    for kind in layout["types"]:
        for category in kind["categories"]:
            lines.append(f"    category={category['id']}: {kind['name']} / {category['name']}")
    others = [other for other in form.get("layouts", []) if other["id"] != layout["id"]]
    return lines + [f"    use {other['id']}: {other['label']}" for other in others]


def wall_lines(wall: Message) -> list[str]:
    queues = [
        f"  {queue['label']}: {queue['waiting']} waiting, "
        f"{queue['answered']} answered, {queue['abandoned']} abandoned"
        for queue in wall["queues"]
    ]
    return queues + [f"  {agent['name']}: {agent['state']}" for agent in wall["agents"]]


if __name__ == "__main__":
    sys.exit(command_line())
