"""`ramal toolbar` as a person uses it: a process, lines typed, lines shown."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from cti.toolbar.client import ToolbarClient
from cti.toolbar.terminal import HELP, form_lines, obey

ROOT = Path(__file__).parents[2]


class Terminal:
    def __init__(self, process):
        self.process, self.shown = process, ""

    @classmethod
    async def open(cls, site, user="agent1", password="secret"):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cti.toolbar.terminal", "--user", user, "--port", str(site.port),
            cwd=ROOT, env=os.environ | {"TOOLBAR_PASSWORD": password},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        return cls(process)

    async def shows(self, text):
        async with asyncio.timeout(120):
            while text not in self.shown:
                more = await self.process.stdout.read(4096)
                assert more, f"ended without {text!r}:\n{self.shown}"
                self.shown += more.decode()

    def type(self, line):
        self.process.stdin.write(line.encode() + b"\n")


async def test_the_desk_is_shown_commands_are_taken_and_events_come_by_themselves(site):
    terminal = await Terminal.open(site)
    await terminal.shows("Agent1 (agent1, agent): not_ready")
    terminal.type("ready")
    await terminal.shows("AgentReady ready")
    terminal.type("answer")
    await terminal.shows("Refused (wrong_state): There is no call to answer.")
    call = {"id": "c", "direction": "inbound", "display": "(11) 98765-4321", "state": "ringing"}
    site.desk().show("Delivered", call=call | {"queue_label": "Sales"}, customer={"state": "searching"})
    await terminal.shows("Delivered inbound (11) 98765-4321 for Sales, ringing")
    terminal.type("quit")
    assert await terminal.process.wait() == 0
    assert ("agent1", "SetAgentState", {"state": "ready"}) in site.commands.asked


async def test_a_wrong_password_is_said_and_is_an_error(site):
    terminal = await Terminal.open(site, password="wrong")
    await terminal.shows("This login and password do not match.")
    assert await terminal.process.wait() == 1


async def test_the_end_of_the_input_ends_it(site):
    terminal = await Terminal.open(site)
    terminal.process.stdin.close()
    assert await terminal.process.wait() == 0


@pytest.mark.parametrize(
    ("typed", "verb", "arguments"),
    [
        ("ready", "SetAgentState", {"state": "ready"}),
        ("pause lunch", "SetAgentState", {"state": "not_ready", "reason": "lunch"}),
        ("off", "SetAgentState", {"state": "logged_off"}),
        ("station 1002", "SetStation", {"kind": "softphone", "extension": "1002"}),
        ("dial 11987654321", "MakeCall", {"number": "11987654321"}),
        ("answer", "AnswerCall", {}),
        ("hold", "HoldCall", {}),
        ("retrieve", "RetrieveCall", {}),
        ("hangup", "ClearConnection", {}),
        ("mute", "MuteCall", {"on": True}),
        ("digits 12#", "GenerateDigits", {"digits": "12#"}),
        ("choose 7", "ChooseContact", {"call": "c", "contact": 7}),
        ("use 2", "ChooseLayout", {"call": "c", "layout": 2}),
        (
            "save category=3 notes='will call back'",
            "SaveTabulation",
            {"call": "c", "answers": {"name": "Ana", "category": "3", "notes": "will call back"}},
        ),
    ],
)
async def test_a_typed_command_is_the_verb_it_names(site, client, typed, verb, arguments):
    await client.connect("agent1", "secret")
    client.snapshot["call"] = {"id": "c"}
    client.snapshot["form"] = {"call": "c", "answers": {"name": "Ana"}}
    await obey(client, typed)
    assert site.commands.asked == [("agent1", verb, arguments)]


@pytest.mark.parametrize(
    "typed", ["dance", "hold now", "save nothing", "save 'open", "station", "choose x", "use x"]
)
async def test_what_cannot_be_read_is_answered_with_where_help_is(typed):
    client = ToolbarClient("127.0.0.1")
    client.snapshot = {"form": {"call": "c", "answers": {}}, "call": {"id": "c"}}
    (line,) = await obey(client, typed)
    assert "help" in line


async def test_help_and_the_pause_reasons_are_lists(site, client):
    await client.connect("agent1", "secret")
    assert await obey(client, "help") == HELP.splitlines()
    assert await obey(client, "pause") == ["  lunch: Lunch"]
    assert await obey(client, "") == []


def test_a_form_says_which_others_may_be_used():
    layout = {"id": 1, "label": "Sales", "fields": [], "types": []}
    several = [{"id": 1, "label": "Sales"}, {"id": 2, "label": "Complaint"}]
    form = {"layout": layout, "layouts": several, "answers": {}, "status": "open"}
    assert form_lines(form) == ["  form Sales (open):", "    use 2: Complaint"]
