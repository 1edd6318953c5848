"""Languages of the pages: gettext catalogues compiled in memory at start, and who reads which.

The source words are English; `locale/<language>/LC_MESSAGES/ramal.po` translates them (that of English only
the names of states, which programs see as they are). `python -m webui.i18n` extracts every `_()` under
webui/, and every constant `Refused("...")` of the floor and the records, into the catalogues, keeping what is
translated.
"""

import gettext
import io
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from babel.messages import extract, mofile, pofile
from babel.messages.catalog import Catalog

from crm import entry, import_worker

HERE = Path(__file__).parent
LOCALE = HERE / "locale"
LANGUAGES = {"pt_BR": "Português", "en": "English"}  # shown to the reader in their own language
METHODS = {".py": "python", ".html": "jinja2.ext:babel_extract"}
KEYWORDS = {
    "_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
    "N_": None,
    "Refused": None,
    "Said": (2,),
    "Closed": None,
}
OPTIONS = {"extensions": "jinja2.ext.i18n,jinja2.ext.do", "silent": "false", "newstyle_gettext": "true"}
UNSEEN = ("cti/media/", "cti/sip/", "crm/embedded.py", "crm/child.py", "crm/db.py")  # no page says these


def N_(text: str) -> str:
    """Mark a word for the catalogues where it is written; it is translated where it is shown."""
    return text


@cache
def catalogues() -> Mapping[str, gettext.NullTranslations]:
    """Every language's words, compiled from the .po files once."""
    return {language: _compiled(language) for language in LANGUAGES}


def language_of(cookie: str | None, accept: str, default: str) -> str:
    """For somebody not logged in: the one chosen before, else the browser's, else the house's."""
    if cookie in LANGUAGES:
        return cookie
    wanted = sorted(
        (
            (float(quality or 1), name)
            for name, quality in re.findall(r"([a-zA-Z-]+)(?:\s*;\s*q=([0-9.]+))?", accept[:200])
            if not quality or re.fullmatch(r"[01](\.\d*)?", quality)
        ),
        key=lambda pair: -pair[0],
    )
    for _quality, name in wanted:
        for language in LANGUAGES:
            if language.partition("_")[0] == name.partition("-")[0].lower():
                return language
    return default if default in LANGUAGES else "pt_BR"


def read(language: str) -> Catalog:
    """The language's catalogue as written in its .po file; an empty one when there is none yet."""
    path = LOCALE / language / "LC_MESSAGES" / "ramal.po"
    if not path.exists():
        return Catalog(locale=language, domain="ramal")
    with path.open("rb") as file:
        return pofile.read_po(file, locale=language, domain="ramal")


def _compiled(language: str) -> gettext.NullTranslations:
    compiled = io.BytesIO()
    mofile.write_mo(compiled, read(language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def extracted() -> Catalog:
    """Every translatable word of the pages, and every constant refusal of the folders to the left."""
    found = Catalog(project="Ramal", charset="utf-8")
    for folder in ("webui", "dialer", "cti", "crm"):
        root = HERE.parent / folder
        for path in sorted(root.rglob("*")):
            method = METHODS.get(path.suffix)
            inside = path.relative_to(HERE.parent).as_posix()
            if method and (folder == "webui" or path.suffix == ".py") and not inside.startswith(UNSEEN):
                with path.open("rb") as file:
                    for line, message, comments, context in extract.extract(
                        method, file, KEYWORDS, ["i18n:"], OPTIONS
                    ):
                        place = (inside, line)
                        found.add(message, None, [place], auto_comments=comments, context=context)
    for message in (*entry.MESSAGES.values(), import_worker.TOO_LARGE):
        found.add(message, None, [("crm/entry.py", 1)])
    return found


def main() -> None:
    """Bring every language's .po file up to what the pages say now; print what has no translation."""
    words = extracted()
    for language in LANGUAGES:
        if language != "en":
            catalogue = read(language)
            catalogue.update(words, no_fuzzy_matching=True)
            catalogue.obsolete.clear()
            path = LOCALE / language / "LC_MESSAGES" / "ramal.po"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                pofile.write_po(file, catalogue, width=110, sort_output=True, include_lineno=False)
            for message in untranslated(catalogue):
                print(f"{language}: {message}")


def untranslated(catalogue: Catalog) -> list[str]:
    """The words of a catalogue that still have no translation, or one that is only guessed."""
    missing = []
    for message in catalogue:
        said = [message.string] if isinstance(message.string, str) else list(message.string or ())
        if message.id and (message.fuzzy or not (said and all(said))):
            missing.append(message.id if isinstance(message.id, str) else message.id[0])
    return missing


if __name__ == "__main__":
    main()
