"""PURE. One row of somebody's list, turned into a customer with checked numbers, or rejected with a reason.

The reasons are keys; webui/imports/said.py has their words.
"""

import datetime
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from crm.e164 import display, normalise
from crm.form import CHECKED, UNCHECKED, Field, Kind, problem

NAME_LENGTH_MAX, COMPANY_LENGTH_MAX, DOCUMENT_LENGTH_MAX = 120, 120, 40
CODE_LENGTH_MAX, EMAIL_LENGTH_MAX, NOTES_LENGTH_MAX = 60, 200, 4000
PLACE_LENGTH_MAX = 120
PHONES_MAX = 20
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
SEVERAL_EMAILS = re.compile(r"[;,/|\s]+")
SEVERAL_PHONES = re.compile(r"[/;,|\n\r]+|\s+(?:e|ou)\s+", re.IGNORECASE)
SCIENTIFIC = re.compile(r"(\d)(?:[.,](\d+))?[Ee]\+?(\d{1,2})")  # 1,1988E+10: a spreadsheet's narrow column
POINT_ZERO = re.compile(r"(?<=\d)[.,]0$")
NOT_COMPACT = str.maketrans("", "", " \t\u00a0.-/")
CNPJ = re.compile(r"[0-9A-Z]{12}\d\d", re.ASCII)
DATE = re.compile(r"(\d{1,2})[/.\-](\d{1,2})[/.\-](\d{4}|\d{2})(?:[ T].*)?", re.ASCII)
ISO_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[ T].*)?", re.ASCII)
BRAZILIAN_NUMBER = re.compile(r"(?:R\$\s*)?([+-]?\d{1,3}(?:\.\d{3})+(?:,\d+)?|[+-]?\d+(?:[.,]\d+)?)\s*%?")
PLACES = ("street", "number", "complement", "district", "city", "state", "postal_code")
TEXTS = ("name", "company", "kind", "document", "external_code", "email", "notes")
PEOPLE = ("main.name", "main.phone", "main.email", "other.type", "other.name", "other.phone", "other.email")
TARGETS = (*TEXTS, "area", "phone", *(f"address.{place}" for place in PLACES), *PEOPLE)
CUSTOM = "custom:"  # before a custom field's key
PHONES = frozenset(("phone", "main.phone", "other.phone"))
SEVERAL = frozenset(("area", "email", "notes", "name", *PEOPLE)) - {"other.type"} | PHONES
ONCE = frozenset(TARGETS) - SEVERAL  # no two columns may fill these
MATCHES = ("document", "external_code", "phone")  # by what two rows, or a row and a customer, are the same
STATES = {
    "acre": "AC", "alagoas": "AL", "amapa": "AP", "amazonas": "AM", "bahia": "BA", "ceara": "CE",
    "distrito federal": "DF", "espirito santo": "ES", "goias": "GO", "maranhao": "MA", "mato grosso": "MT",
    "mato grosso do sul": "MS", "minas gerais": "MG", "para": "PA", "paraiba": "PB", "parana": "PR",
    "pernambuco": "PE", "piaui": "PI", "rio de janeiro": "RJ", "rio grande do norte": "RN",
    "rio grande do sul": "RS", "rondonia": "RO", "roraima": "RR", "santa catarina": "SC",
    "sao paulo": "SP", "sergipe": "SE", "tocantins": "TO",
}  # fmt: skip
COMPANY_WORDS = frozenset("j pj juridica empresa company c cnpj".split())
MAIN = "main"  # the type of the person a company is spoken with first
MAIN_WORDS = frozenset("main principal titular".split())
OTHER = "Outro"  # the type of another person there when nobody says it
TYPE_LENGTH_MAX = 60


@dataclass(frozen=True, slots=True)
class Plan:
    """What each column becomes, and what is done with what is wrong."""

    targets: tuple[str, ...]  # by column; an empty one is left out
    fields: tuple[Field, ...] = ()  # the custom fields there are
    area_code: str = "11"  # completes local numbers
    phone_required: bool = True
    wrong_document: str = "reject"  # or "leave_out": the customer without it
    other_type: str = OTHER  # of a company's contact whose type no column says


class Person(NamedTuple):
    """Somebody to speak with at a company."""

    type: str
    name: str
    phones: tuple[str, ...]
    email: str


class Customer(NamedTuple):
    name: str
    named: bool  # false: nobody said a name, something else stands for it
    company: str
    kind: str
    document: str
    external_code: str
    email: str
    notes: str
    phones: tuple[str, ...]
    emails: tuple[str, ...]  # besides the first
    custom: dict[str, str]
    address: dict[str, str]
    people: tuple[Person, ...]


class Rejected(Exception):
    def __init__(self, reason: str, column: int = -1, value: str = "") -> None:
        super().__init__(reason)
        self.reason, self.column, self.value = reason, column, value


class Note(NamedTuple):
    """A cell left out of a row that was taken."""

    reason: str
    column: int
    value: str


class Converter:
    """Rows in the plan's columns become customers; `notes` tells what was left out of the last one."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.notes: list[Note] = []
        places = [(column, target) for column, target in enumerate(plan.targets) if target]
        self._width = len(plan.targets)
        self._columns: dict[str, list[int]] = {}
        for column, target in places:
            self._columns.setdefault(target, []).append(column)
        fields = {CUSTOM + field.key: field for field in plan.fields}
        self._custom = [(column, fields[target]) for column, target in places if target in fields]
        self._required = [field for field in plan.fields if field.required]
        self._address = [(column, target[8:]) for column, target in places if target.startswith("address.")]
        self._phones = self._places_of("phone")
        self._people = [
            (whose, self._places_of(f"{whose}.phone"))
            for whose in ("main", "other")
            if any(target.startswith(f"{whose}.") for target in self._columns)
        ]

    def _places_of(self, target: str) -> list[tuple[int, int]]:
        """Of telephones: each column, and the one that holds its area code."""
        return [(column, self._area_of(column)) for column in self._columns.get(target, ())]

    def _area_of(self, phone: int) -> int:
        """The column that holds a telephone column's area code: the nearest before it, else the first."""
        areas = self._columns.get("area", ())
        before = [column for column in areas if column < phone]
        return before[-1] if before else next(iter(areas), -1)

    def row(self, cells: Sequence[str]) -> Customer:
        """Raises Rejected. Missing cells at the end are empty ones."""
        if len(cells) < self._width:
            cells = [*cells, *[""] * (self._width - len(cells))]
        elif len(cells) > self._width and any(cell.strip() for cell in cells[self._width :]):
            raise Rejected("too_many_cells")
        self.notes = []
        document = self._document(cells)
        phones = self._numbers(cells, self._phones) if self._phones else ()
        emails = self._emails(cells, "email") if "email" in self._columns else ()
        people = self._persons(cells) if self._people else ()
        kind = self._kind(cells, document, bool(people))
        if people and kind != "company":
            self.notes.append(Note("not_a_company", -1, people[0].name))
            people = ()
        company = self._text(cells, "company", COMPANY_LENGTH_MAX)
        said = self._text(cells, "name", NAME_LENGTH_MAX)
        if self.plan.phone_required and not phones and not any(person.phones for person in people):
            wrong = next((n for n in self.notes if n.reason in ("not_a_phone", "digits_lost")), None)
            raise Rejected("no_phone", *wrong[1:]) if wrong else Rejected("no_phone")
        name = said or company or (display(phones[0]) if phones else "") or document or (emails or ("",))[0]
        name = name or (people[0].name if people else "")
        if not name:
            raise Rejected("empty")
        return Customer(
            name,
            bool(said),
            company,
            kind,
            document,
            self._text(cells, "external_code", CODE_LENGTH_MAX),
            emails[0] if emails else "",
            self._text(cells, "notes", NOTES_LENGTH_MAX),
            phones,
            emails[1:],
            self._answers(cells) if self._custom or self._required else {},
            self._place(cells) if self._address else {},
            people,
        )

    def _text(self, cells: Sequence[str], target: str, length_max: int) -> str:
        columns = self._columns.get(target)
        if not columns:
            return ""
        text = cells[columns[0]].strip()
        if len(columns) > 1:  # first name and family name, two columns of remarks
            text = " ".join(part for column in columns if (part := cells[column].strip()))
        if len(text) > length_max:
            raise Rejected("too_long", columns[0], text)
        return text

    def _kind(self, cells: Sequence[str], document: str, has_people: bool) -> str:
        """Whoever has people to speak with is a company, unless a column or a CPF says otherwise."""
        columns = self._columns.get("kind")
        if columns and (said := plain(cells[columns[0]])):
            return "company" if not COMPANY_WORDS.isdisjoint(said.split()) else "person"
        if len(document) == 14 and valid_cnpj(document):
            return "company"
        cpf = len(document) == 11 and document.isdigit()
        return "company" if has_people and not cpf else "person"

    def _document(self, cells: Sequence[str]) -> str:
        columns = self._columns.get("document")
        text = cells[columns[0]].strip() if columns else ""
        if not columns or not text:
            return ""
        try:
            return document_of(text)
        except ValueError:
            if self.plan.wrong_document != "leave_out":
                raise Rejected("not_a_document", columns[0], text) from None
        self.notes.append(Note("not_a_document", columns[0], text))
        return ""

    def _numbers(self, cells: Sequence[str], places: Iterable[tuple[int, int]]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for column, area_column in places:
            text = cells[column].strip()
            if text:
                area = (cells[area_column].strip() if area_column >= 0 else "") or self.plan.area_code
                number = normalise(text, area)
                if number is not None and number[0] == "+" and text[-2:] not in (".0", ",0"):
                    found[number] = None
                else:
                    self._several(found, column, text, area_of(area))
        if len(found) > PHONES_MAX:
            raise Rejected("too_many_phones")
        return tuple(found)

    def _several(self, found: dict[str, None], column: int, cell: str, area: str) -> None:
        """A cell with more than a number in it: two numbers, or what a spreadsheet made of one."""
        one = SCIENTIFIC.fullmatch(cell)
        for text in [cell] if one else SEVERAL_PHONES.split(POINT_ZERO.sub("", cell)):
            number = phone_of(text.strip(), area)
            if number is not None:
                found[number] = None
                area = number[3:5] if number.startswith("+55") else area
            elif text.strip():
                self.notes.append(Note("digits_lost" if one else "not_a_phone", column, cell))
                return

    def _emails(self, cells: Sequence[str], target: str) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for column in self._columns.get(target, ()):
            for text in SEVERAL_EMAILS.split(cells[column].strip()):
                if text and EMAIL.fullmatch(text) and len(text) <= EMAIL_LENGTH_MAX:
                    found[text] = None
                elif text:
                    self.notes.append(Note("not_an_email", column, text))
        return tuple(found)

    def _persons(self, cells: Sequence[str]) -> tuple[Person, ...]:
        """The main contact and another one; without a name its type, number or e-mail stands for it."""
        found = []
        for whose, places in self._people:
            name = self._text(cells, f"{whose}.name", NAME_LENGTH_MAX)
            phones = self._numbers(cells, places)
            email = next(iter(self._emails(cells, f"{whose}.email")), "")
            said = self._text(cells, f"{whose}.type", TYPE_LENGTH_MAX)
            if name or phones or email:
                type = MAIN if whose == "main" or plain(said) in MAIN_WORDS else said or self.plan.other_type
                name = name or said or (display(phones[0]) if phones else email)
                found.append(Person(type, name, phones, email))
        return tuple(found)

    def _answers(self, cells: Sequence[str]) -> dict[str, str]:
        answers: dict[str, str] = {}
        for column, field in self._custom:
            given = cells[column].strip()
            text = answer_of(field, given, self.plan.area_code) if given else ""
            if text and (wrong := problem(field, text)):
                self.notes.append(Note(wrong, column, given))
            elif text:
                answers[field.key] = text
        return answers

    def _place(self, cells: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for column, place in self._address:
            given = cells[column].strip()
            text = place_of(place, given)
            if text and len(text) <= PLACE_LENGTH_MAX:
                found[place] = text
            elif given:
                self.notes.append(Note(f"not_a_{place}" if not text else "too_long", column, given))
        return found


# -- Cells -------------------------------------------------------------------------------------------------


def phone_of(text: str, area: str) -> str | None:
    """E.164; services and extensions are nobody's number."""
    exact = SCIENTIFIC.fullmatch(text)
    if exact:
        digits = exact[1] + (exact[2] or "")
        if len(digits) - 1 > int(exact[3]) or int(exact[3]) + 1 - len(digits) > 1:
            return None  # its last digits are gone; a single nought at the end is not kept in this form
        text = digits.ljust(int(exact[3]) + 1, "0")
    number = normalise(text, area)
    return number if number is not None and number.startswith("+") else None


def area_of(text: str) -> str:
    return POINT_ZERO.sub("", text.strip("() ")).lstrip("0")


def document_of(text: str) -> str:
    """CPF or CNPJ without punctuation, with the noughts a spreadsheet took; others as typed.

    ValueError when check digits are wrong.
    """
    if text[-2:] in (".0", ",0"):
        text = POINT_ZERO.sub("", text)
    compact = text if text.isdigit() else text.translate(NOT_COMPACT).upper()
    if not compact.strip("0"):
        return ""
    if compact.isascii() and compact.isdigit():
        if len(compact) == 11 and valid_cpf(compact):
            return compact
        if 8 <= len(compact) < 11 and "." not in text and valid_cpf(compact.zfill(11)):
            return compact.zfill(11)
        if 11 <= len(compact) < 14 and valid_cnpj(compact.zfill(14)):
            return compact.zfill(14)
    if len(compact) == 14 and CNPJ.fullmatch(compact):
        if valid_cnpj(compact):
            return compact
        raise ValueError(text)
    if len(compact) in (11, 12, 13) and compact.isdigit():
        raise ValueError(text)
    if len(text) > DOCUMENT_LENGTH_MAX:
        raise ValueError(text)
    return text


def valid_cpf(digits: str) -> bool:
    """Eleven digits, two of them check digits; the same digit eleven times has right ones and is nobody's."""
    a, b, c, d, e, f, g, h, i, first, second = digits.encode()  # each 48 more than the digit
    check = (a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i - 48 * 45) % 11 % 10
    again = (b + 2 * c + 3 * d + 4 * e + 5 * f + 6 * g + 7 * h + 8 * i + 9 * check - 48 * 36) % 11 % 10
    return first == check + 48 and second == again + 48 and digits != digits[0] * 11


WEIGHTS = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)


def valid_cnpj(text: str) -> bool:
    """Fourteen characters; since 2026 the first twelve may be letters, which count as their ASCII less 48."""
    values = [ord(letter) - 48 for letter in text]
    for place in (12, 13):
        rest = sum(
            value * weight for value, weight in zip(values[:place], WEIGHTS[13 - place :], strict=True)
        )
        if values[place] != (11 - rest % 11 if rest % 11 > 1 else 0):
            return False
    return text != text[0] * 14


def answer_of(field: Field, text: str, area_code: str) -> str:
    """A custom field's answer in the one form it is kept in; what cannot be so stays, to be refused."""
    match field.kind:
        case Kind.NUMBER:
            return number_of(text)
        case Kind.DATE:
            return date_of(text)
        case Kind.PHONE:
            return phone_of(text, area_code) or text
        case Kind.CHECKBOX:
            said = plain(text)
            yes = said in (*CHECKED, "sim", "s", "x", "yes", "y", "verdadeiro", "v")
            return "1" if yes else "" if said in (*UNCHECKED, "nao", "n", "no", "falso", "f") else text
        case Kind.CHOICE | Kind.MOTIVE | Kind.SEGMENT:
            return next((option for option in field.options if plain(option) == plain(text)), text)
        case _:
            return text


def number_of(text: str) -> str:
    """1.234,56 and R$ 12,50 as Brazilians write them, and 1234.56 as programs do: with a point."""
    found = BRAZILIAN_NUMBER.fullmatch(text)
    if found is None:
        return text
    digits = found[1]
    whole = digits.replace(".", "").replace(",", ".") if "," in digits or grouped(digits) else digits
    sign = "-" if whole.startswith("-") else ""
    left, point, right = whole.lstrip("+-").partition(".")
    right = right[:10].rstrip("0")
    return sign + (left.lstrip("0") or "0") + (point + right if right else "")


def grouped(digits: str) -> bool:
    return re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+", digits) is not None


def date_of(text: str) -> str:
    """2026-11-21 of 21/11/2026, 21.11.26 and of ISO; years of two digits begin with 1930."""
    if iso := ISO_DATE.fullmatch(text):
        return iso[1]
    if not (found := DATE.fullmatch(text)):
        return text
    day, month, year = (int(part) for part in found.groups()[:3])
    if len(found[3]) == 2:
        year += 1900 if year >= 30 else 2000
    try:
        return datetime.date(year, month, day).isoformat()
    except ValueError:
        return text


def place_of(place: str, text: str) -> str:
    """One part of an address; empty when it cannot be one."""
    if place == "state":
        short = text.upper()
        return short if short in STATES.values() else STATES.get(plain(text), "")
    if place == "postal_code":
        digits = re.sub(r"\D", "", POINT_ZERO.sub("", text))
        return digits.zfill(8) if 7 <= len(digits) <= 8 else ""
    return text


def plain(text: str) -> str:
    """Without accents, capitals and punctuation."""
    letters = unicodedata.normalize("NFD", text.lower())
    return re.sub(r"[^a-z0-9]+", " ", "".join(c for c in letters if not unicodedata.combining(c))).strip()


# -- What a column may be ----------------------------------------------------------------------------------

GUESSES: tuple[tuple[str, str], ...] = (
    (r"(e ?)?mails?( \d+)?|(e ?)?mail .*|correio eletronico", "email"),
    (r"ddd( .*)?|area code|cod(igo)? (de )?area", "area"),
    (r"(.* )?(fones?|telefones?|tel|celular|cel|phone|whats|whatsapp|zap|mobile)\d*( .*)?", "phone"),
    (r"contato \d", "phone"),
    (r"(.* )?(cpf|cnpj|cgc)( .*)?|documento|doc|document", "document"),
    (r"(cod|codigo|code|id|matricula|contrato|external code|chave)( .*)?|cliente id", "external_code"),
    (r"(.* )?(razao social|empresa|fantasia|company)( .*)?", "company"),
    (r"(.* )?(nome|name|cliente|titular|devedor|sobrenome|customer)( .*)?|contato", "name"),
    (r"(tipo|kind)( (de )?(pessoa|cliente))?|pf pj|natureza", "kind"),
    (r"obs|observac(ao|oes)|nota|notas|notes|comentario|comentarios", "notes"),
    (r"logradouro|rua|endereco|avenida|street|address", "address.street"),
    (r"numero|num|nro|no|n", "address.number"),
    (r"complemento|compl", "address.complement"),
    (r"bairro|district", "address.district"),
    (r"cidade|municipio|city", "address.city"),
    (r"uf|estado|state", "address.state"),
    (r"cep|codigo postal|postal code|zip", "address.postal_code"),
)  # fmt: skip
WHO = r"(contato|responsavel|representante|contact)( principal)?"
AT_COMPANIES: tuple[tuple[str, str], ...] = (  # in files of companies, before the others
    (rf"(tipo|setor|departamento|cargo|type) (d[oe] |of )?{WHO}|setor|departamento", "other.type"),
    (rf"(nome (d[oe] )?)?{WHO}( name| person)?|pessoa (de|para) contato", "main.name"),
    (rf"((e ?)?mail) (d[oe] )?{WHO}|{WHO} (e ?)?mail", "main.email"),
    (rf"(fone|telefone|tel|celular|cel|whats|whatsapp) (d[oe] )?{WHO}|{WHO} (phone|fone)", "main.phone"),
)
ALONE = frozenset(("name", "main.name", "main.email"))  # of several such columns only one is guessed
COMPANY_HEADING = re.compile(r"(.* )?(razao social|cnpj|nome fantasia|empresa|company)( .*)?")
SURE: tuple[str, ...] = ("document", "email", "phone")  # what cells alone can tell


def guess(names: Sequence[str], samples: Sequence[Sequence[str]], fields: Iterable[Field]) -> list[str]:
    """A target for each column by its heading, else by what its cells look like."""
    custom = {plain(word): CUSTOM + field.key for field in fields for word in (field.key, field.label)}
    companies = any(COMPANY_HEADING.fullmatch(plain(name)) for name in names)
    taken: set[str] = set()
    targets: list[str] = []
    for name, cells in zip(names, samples, strict=True):
        words = plain(re.sub(r" \(\d+\)$", "", name))
        target = custom.get(words) or by_heading(words, companies) or by_cells(cells)
        if target in taken and (target in ONCE or target.startswith(CUSTOM) or target in ALONE):
            target = ""
        taken.add(target)
        targets.append(target)
    if "other.type" in taken and "main.name" in taken:  # a contact in each row, of the type beside it
        return [target.replace("main.", "other.") for target in targets]
    return ["" if target == "other.type" else target for target in targets]


def by_heading(words: str, companies: bool = False) -> str:
    guesses = (*AT_COMPANIES, *GUESSES) if companies else GUESSES
    return next((target for pattern, target in guesses if re.fullmatch(pattern, words)), "")


def by_cells(cells: Sequence[str]) -> str:
    filled = [cell for cell in cells if cell]
    looks: tuple[Callable[[str], bool], ...] = (is_document, is_email, is_phone)
    pairs = zip(SURE, looks, strict=True)
    return next((target for target, fits in pairs if filled and all(map(fits, filled))), "")


def is_document(text: str) -> bool:
    compact = text.translate(NOT_COMPACT).upper()
    cpf = len(compact) == 11 and compact.isdigit() and valid_cpf(compact)
    return cpf or (CNPJ.fullmatch(compact) is not None and valid_cnpj(compact))


def is_email(text: str) -> bool:
    return EMAIL.fullmatch(text) is not None


def is_phone(text: str) -> bool:
    return sum(letter.isdigit() for letter in text) >= 8 and phone_of(text, "11") is not None


def wrong_plan(targets: Sequence[str], fields: Iterable[Field], phone_required: bool) -> str:
    """What keeps these columns from being an import, as a key; empty when nothing does."""
    known = {*TARGETS, *(CUSTOM + field.key for field in fields)}
    chosen = [target for target in targets if target]
    once = [target for target in chosen if target in ONCE or target.startswith(CUSTOM)]
    if any(target not in known for target in chosen):
        return "unknown_target"
    if len(set(once)) < len(once):
        return "target_twice"
    if phone_required and PHONES.isdisjoint(chosen):
        return "phone_not_mapped"
    return "" if {"name", "company", "phone", "document", "email"} & set(chosen) else "nothing_mapped"


def plan_of(values: Mapping[str, Any], fields: Iterable[Field]) -> Plan:
    """From what an import keeps as its columns and options."""
    return Plan(
        tuple(column["target"] for column in values["columns"]),
        tuple(fields),
        values["area_code"],
        values["phone_required"],
        values["wrong_document"],
        values.get("other_type") or OTHER,
    )
