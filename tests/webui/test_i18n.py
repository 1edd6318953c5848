import ast
import re

import jinja2
import pytest
from babel.messages.catalog import Catalog

from crm import entry, import_worker, users
from webui import i18n, page


@pytest.fixture(scope="module")
def extracted():
    return i18n.extracted()


def test_everything_the_pages_say_is_translated(extracted):
    told = i18n.read("pt_BR")
    missing = [
        message.id
        for message in extracted
        if message.id and not (told.get(message.id, message.context) or message).string
    ]
    assert missing == []


def test_a_translation_has_the_places_of_its_source():
    """A name left out or misspelt would break the page that says it."""
    wrong = []
    for message in i18n.read("pt_BR"):
        if message.id and message.string:
            sources = [message.id] if isinstance(message.id, str) else list(message.id)
            strings = [message.string] if isinstance(message.string, str) else list(message.string)
            wanted = places(" ".join(sources))
            wrong += [(message.id, said) for said in strings if said and places(said) != wanted]
    assert wrong == []


def places(text):
    return set(re.findall(r"%\(\w+\)[sd]|\{\w+\}|%[sd1-9%]", text))


def test_only_words_that_are_said_are_in_the_catalogue(extracted):
    said = {m.id if isinstance(m.id, str) else m.id[0] for m in extracted if m.id}
    kept = {m.id if isinstance(m.id, str) else m.id[0] for m in i18n.read("pt_BR") if m.id}
    assert kept - said == set()


@pytest.mark.parametrize(
    ("cookie", "accept", "language"),
    [
        ("en", "pt-BR", "en"),
        (None, "en-US,en;q=0.9", "en"),
        (None, "fr;q=1, pt;q=0.5, en;q=0.4", "pt_BR"),
        (None, "fr", "pt_BR"),
        (None, "", "pt_BR"),
        ("klingon", "*;q=x,,;", "pt_BR"),
    ],
)
def test_the_language_is_the_chosen_one_else_the_browsers_else_the_houses(cookie, accept, language):
    assert i18n.language_of(cookie, accept, "pt_BR") == language


def test_words_without_translation_are_listed():
    catalogue = Catalog()
    catalogue.add("one", "um")
    catalogue.add("two", "")
    catalogue.add(("%(num)s call", "%(num)s calls"), ("", ""))
    assert i18n.untranslated(catalogue) == ["two", "%(num)s call"]


@pytest.mark.parametrize(
    "path", sorted(p.relative_to(page.HERE).as_posix() for p in page.HERE.rglob("*.html"))
)
def test_every_template_can_be_read(path):
    environment = page.environment("en", i18n.catalogues()["en"])
    assert isinstance(environment.get_template(path), jinja2.Template)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0:00"), (48, "0:48"), (725, "12:05"), (3753, "1:02:33"), (None, "–")]
)
def test_lengths_are_said_as_clocks_show_them(seconds, said):
    assert page.duration(seconds) == said


def test_documents_get_their_punctuation():
    assert page.document("52998224725") == "529.982.247-25"
    assert page.document("12ABC34501DE35") == "12.ABC.345/01DE-35"
    assert page.document("123") == "123"


def test_a_number_is_shown_as_people_write_it_and_copied_as_e164():
    assert page.phone("+5511987654321") == (
        '<span class="phone" data-copy="+5511987654321">(11) 98765-4321</span>'
    )


def test_what_others_typed_cannot_become_markup():
    assert "<b>" not in page.phone("<b>x</b>")


def refusals():
    """(file:line, template) of each Refused of the folders to the left; a name is read from its module."""
    root = page.HERE.parent
    for folder in ("crm", "cti", "dialer"):
        for path in sorted((root / folder).rglob("*.py")):
            if path.relative_to(root).as_posix().startswith(i18n.UNSEEN):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "Refused" and node.args:
                    place = f"{path.relative_to(root)}:{node.lineno}"
                    yield place, node.args[0]


NAMED = {"TOO_LARGE": import_worker.TOO_LARGE}
ELSEWHERE = ("closed.template", "template")  # extracted where they are written


def test_every_refusal_can_be_said_in_another_language(extracted):
    told = {m.id for m in extracted}
    found, unsaid = 0, []
    for place, given in refusals():
        found += 1
        text = given.value if isinstance(given, ast.Constant) else NAMED.get(ast.unparse(given))
        if text not in told and ast.unparse(given) not in ELSEWHERE:
            unsaid.append((place, ast.unparse(given)))
    assert found > 150 and unsaid == []


def test_every_message_of_a_form_is_translated():
    pt = i18n.catalogues()["pt_BR"]
    assert [text for text in entry.MESSAGES.values() if pt.gettext(text) == text] == []


def test_what_is_missing_is_named_in_words_of_the_catalogue():
    root = page.HERE.parent
    named = set()
    for folder in ("crm", "cti", "dialer", "webui"):
        for path in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in ("missing", "entry.missing"):
                    named.add(ast.literal_eval(node.args[0]))
    assert {"campaign", "script", "user"} <= named and named <= set(page.NOUNS)


def test_every_right_has_words():
    assert frozenset().union(*users.RIGHTS.values()) <= page.RIGHTS.keys()


def test_portuguese_says_one_word_for_one_thing():
    """The glossary's word for an agent, and for a ticket (*atendimento* is what happens during a call)."""
    pt = i18n.catalogues()["pt_BR"]
    every = [
        text for m in i18n.read("pt_BR") for text in ([m.string] if isinstance(m.string, str) else m.string)
    ]
    assert [text for text in every if re.search(r"\b(agente|atendente)s?\b", text, re.IGNORECASE)] == []
    assert pt.gettext("Agent") == "Operador" and pt.gettext("Ticket") == "Ocorrência"
