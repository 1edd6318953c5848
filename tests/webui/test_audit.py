"""The audit's words: whatever is written down anywhere has them, and the page says it to a reader."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import pytest_asyncio

from config import Settings
from crm import audit, centre, custom_fields
from crm.audit import AuditEntry
from tests.fakes.wall import FakeWall
from tests.webui.site import serving
from webui.audit import said
from webui.campaigns.said import KINDS as LISTS

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("crm", "cti", "dialer", "webui") for path in (ROOT / folder).rglob("*.py")]
SUBJECT = re.compile(r"([a-z_]+(?: [a-z_]+)?) ?")


@cache
def written() -> list[tuple[str, str]]:
    """(action, subject's beginning) of each call of audit.note and of each AuditEntry in the sources."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("audit.note", "AuditEntry"):
                given = dict(zip(("", "", "action", "subject"), node.args, strict=False))
                given |= {keyword.arg or "": keyword.value for keyword in node.keywords}
                if "action" in given:
                    found.append((beginning(given["action"]), beginning(given["subject"])))
    return found


def beginning(node: ast.expr) -> str:
    """What an argument begins with; of a name nothing."""
    if isinstance(node, ast.JoinedStr):
        first = node.values[0]
        return str(first.value) if isinstance(first, ast.Constant) else ""
    return str(node.value) if isinstance(node, ast.Constant) else ""


@cache
def actions() -> set[str]:
    """Every action that is written out: given to a function called note, or assigned to `action`."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("note") and len(node.args) > 3:
                found.add(beginning(node.args[2]))
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "action":
                found.add(beginning(node.value))
    return {action for action in found if re.fullmatch(r"[a-z_]+\.[a-z_]+", action)}


def test_the_sources_are_read():
    assert len(written()) > 60
    assert {"campaign.status", "callback.move", "item.cancel", "recording.hear"} <= actions()


def test_every_kind_of_entry_has_words():
    kinds = {action.partition(".")[0] for action in actions()}
    assert {kind for kind in kinds if not any(kind.startswith(known) for known in said.KINDS)} == set()


def test_every_deed_has_words():
    named = actions() - {"campaign.list_"} | {f"campaign.list_{kind}" for kind in LISTS}
    assert {each for each in named if not {each, each.rpartition(".")[2]} & said.DEEDS.keys()} == set()


def test_every_subject_begins_with_a_thing_that_has_words():
    unknown = []
    for _, subject in written():
        words = SUBJECT.match(subject)
        if words and not {words[1], words[1].split()[0]} & said.THINGS.keys():
            unknown.append(subject)
    assert unknown == []


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("campaign Renovação", "Campaign Renovação"),
        ("ticket type Venda nova", "Type of tickets Venda nova"),
        ("custom fields", "Custom fields"),
        ("number +5511987654321", "Number (11) 98765-4321"),
        ("item 7 of campaign Renovação", "Person on the list 7: Renovação"),
        ("item 7 of Ana Lima", "Person on the list 7: Ana Lima"),
    ],
)
def test_a_subject_is_said(subject, shown):
    assert said.subject(AuditEntry(None, None, "x.update", subject), str) == shown


@pytest.mark.parametrize(
    ("key", "thing", "shown"),
    [
        ("agents", [3, 4], "Ana, 4"),
        ("active", False, "no"),
        ("callback_mode", "free", "Free"),
        ("due_at", "2026-11-21 13:00:00+00:00", "21/11/2026 10:00"),
        ("valid_from", "2026-11-21", "21/11/2026"),
        ("hours", {"0": [[480, 720]]}, "Mon 08:00–12:00"),
        ("retry", {"busy": 15}, "Busy 15 min"),
        ("columns", [{"name": "FONE", "target": "phone"}], "FONE → Telephone"),
        ("steps", [{"ref": "1", "title": "Abertura", "text": "Olá"}], "Abertura"),
        ("tree", {"all": []}, "every customer"),
        ("note", "", "–"),
    ],
)
def test_a_fact_is_said(key, thing, shown):
    assert said.value(key, thing, str, {"agents": {3: "Ana"}}, {}) == shown


@pytest_asyncio.fixture
async def site(db, tmp_path):
    async with serving(db, FakeWall(await centre.load(db)), Settings(data=tmp_path)) as site:
        yield site


async def test_the_page_shows_facts_that_were_not_there_before(site):
    admin = await site.reader("administrator")
    field = await custom_fields.create(site.db, admin.user, key="renda", label="Renda", kind="number")
    await audit.note(
        site.db, admin.user, "item.cancel", "item 7 of campaign Natal",
        {"state": "not_worked"}, {"state": "cancelled", "reason": "pediu", "contact": "Ana"},
    )  # fmt: skip
    status, text = await admin.get("/audit")
    assert status == 200
    assert "taken off the list" in text and "pediu" in text and "Cancelled" in text
    assert "Custom field renda" in text and field.label in text
