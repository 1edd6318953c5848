"""Tables in files: what kind a file is, in which encoding and with which delimiter, and its rows as texts.

Files come from anywhere and say little about themselves, so all of this runs in the import's own process
(crm/import_worker.py), with limits on memory and time.
"""

import codecs
import contextlib
import csv
import datetime
import math
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import python_calamine
from charset_normalizer import from_bytes

from crm.refused import Refused

COLUMNS_MAX = 1000
LINE_LENGTH_MAX = 1_000_000  # characters between two line ends
CELL_LENGTH_MAX = 131_072
RECORD_LINES_MAX = 1000  # a quoted cell may hold line breaks; more than this is a quote nobody closed
SAMPLE_BYTES = 262_144
SAMPLE_ROWS = 200
SAMPLES = 3  # of each column
SAMPLE_LENGTH = 80
CHUNK_BYTES = 1 << 20
INFLATED_BYTES_MAX = 2 << 30
INFLATED_RATIO_MAX = 300  # a sheet of one repeated cell reaches 100; a bomb 1,000
INFLATED_BYTES_FREE = 20 << 20  # below this no ratio matters
ENTRIES_MAX = 5000  # files inside a workbook
CELLS_MAX = 60_000_000  # of one sheet, with the empty ones inside its frame
DELIMITERS = (";", "\t", "|", ",")  # a comma also stands in numbers, names and addresses: it comes last
ENCODINGS = ("utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "cp850", "latin-1", "mac-roman")
LIKELY = ["cp1252", "cp850", "mac_roman", "latin_1"]  # what Brazilian programs of the last decades wrote
SIGNATURES = {
    b"%PDF": "PDF",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"Rar!": "RAR",
    b"7z\xbc\xaf": "7-Zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"MZ": "Windows program",
    b"\x7fELF": "Linux program",
    b"SQLite format 3": "SQLite",
}
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # the old .xls, and workbooks with a password
ZIP = b"PK\x03\x04"
ERROR_CELL = re.compile(r"#(N/A|N/D|REF!|DIV/0!|VALUE!|VALOR!|NAME\?|NOME\?|NULL!|NULO!|NUM!|NÚM!)")
LOOKS_LIKE_DATA = re.compile(r"[+(]?\d[\d\s().,/:\-]*|[^@\s]+@[^@\s]+\.[^@\s]+|R\$.*")
HEADINGS = re.compile(
    r"nome|name|cliente|raz[aã]o|empresa|fantasia|cpf|cnpj|documento|doc|fone|telefone|tel|phone|celular|cel"
    r"|mobile|whats|ddd|e-?mail|c[oó]digo|cod|id|obs|endere[cç]o|rua|logradouro|bairro|cidade|uf|estado|cep"
    r"|data|valor|sexo|idade|contato|contrato|matr[ií]cula|numero|n[uú]mero",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read a file; an empty text means: find out."""

    kind: str = ""  # "csv", or "sheet" for XLSX, XLS and ODS
    encoding: str = ""
    delimiter: str = ""
    header: bool | None = None
    sheet: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    name: str  # its heading, or "Column 3"
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    reading: Reading  # complete
    sheets: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]  # the first ones below the header
    rows_all: int  # an estimate for CSV, whose quoted cells may hold line breaks


def recognise(path: Path, wish: Reading | None = None) -> Preview:
    """Refused, with what to do, when the file is not a table we can read."""
    wish = wish or Reading()
    kind = kind_of(path)
    if kind == "sheet":
        check_inflated(path)
        sheets = sheet_names(path)
        reading = replace(wish, kind=kind, encoding="", delimiter="", sheet=chosen_sheet(sheets, wish.sheet))
        lines = sheet_height(path, reading.sheet)
    else:
        sheets = ()
        encoding, lines = scan(path, wish.encoding)
        delimiter = wish.delimiter or delimiter_of(first_lines(path, encoding))
        reading = replace(wish, kind="csv", encoding=encoding, delimiter=delimiter, sheet="")
    first = [cells for _, cells in islice(every_row(path, reading), SAMPLE_ROWS)]
    if not first:
        raise Refused("There is nothing in this file.")
    if reading.header is None:
        reading = replace(reading, header=has_header(first))
    width = width_of(first, bool(reading.header))
    if width > COLUMNS_MAX:
        raise Refused(
            "This file has {columns} columns; {most} can be read. Is the delimiter right?",
            columns=width,
            most=COLUMNS_MAX,
        )
    body = [padded(row, width) for row in (first[1:] if reading.header else first)]
    names = headings(first[0] if reading.header else (), width)
    columns = tuple(Column(name, samples(row[place] for row in body)) for place, name in enumerate(names))
    rows_all = max(len(body), lines - (1 if reading.header else 0)) if lines > SAMPLE_ROWS else len(body)
    return Preview(reading, sheets, columns, tuple(tuple(row) for row in body[:10]), rows_all)


def rows(path: Path, reading: Reading) -> Iterator[tuple[int, list[str]]]:
    """Every row below the header that is not blank, with the line it begins on."""
    every = every_row(path, reading)
    return islice(every, 1, None) if reading.header else every


def every_row(path: Path, reading: Reading) -> Iterator[tuple[int, list[str]]]:
    return sheet_rows(path, reading.sheet) if reading.kind == "sheet" else csv_rows(path, reading)


# -- What it is --------------------------------------------------------------------------------------------


def kind_of(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(ZIP):
        return kind_of_zip(path)
    if head.startswith(OLE):
        return "sheet"
    for signature, name in SIGNATURES.items():
        if head.startswith(signature):
            raise Refused("This is a {kind} file. Save the table as CSV or XLSX and choose that.", kind=name)
    return "csv"


def kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {info.filename for info in archive.infolist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as e:
        raise Refused("This workbook is damaged: save it again and choose the new file.") from e
    if "xl/workbook.xml" in names or "xl/workbook.bin" in names or "content.xml" in names:
        return "sheet"
    raise Refused("This is a ZIP archive. Take the CSV or XLSX out of it and choose that.")


def check_inflated(path: Path) -> None:
    """Unpacks each part of a workbook once into nothing: what its table of contents says proves little."""
    if not zipfile.is_zipfile(path):
        return
    packed, total = path.stat().st_size, 0
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        entries = archive.infolist()
        if len(entries) > ENTRIES_MAX:
            raise Refused(
                "This workbook is made of {parts} parts; no spreadsheet writes that.", parts=len(entries)
            )
        for info in entries:
            for size in unpacked_sizes(file, info):
                total += size
                if total > INFLATED_BYTES_MAX or (
                    total > INFLATED_BYTES_FREE and total > packed * INFLATED_RATIO_MAX
                ):
                    raise Refused(
                        "This workbook unpacks to far more than a table of its size holds; it is not opened. "
                        "Save the table as CSV."
                    )


def unpacked_sizes(file: Any, info: zipfile.ZipInfo) -> Iterator[int]:
    """The lengths of the pieces one part unpacks to."""
    file.seek(info.header_offset)
    local = file.read(30)
    if len(local) < 30 or not local.startswith(ZIP):
        raise Refused("This workbook is damaged: save it again and choose the new file.")
    if info.flag_bits & 1:
        raise Refused("This workbook has a password: save it without one.")
    file.seek(int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little"), 1)
    left = info.compress_size
    if info.compress_type == zipfile.ZIP_STORED:
        yield left
        return
    if info.compress_type != zipfile.ZIP_DEFLATED:
        raise Refused("This workbook is damaged: save it again and choose the new file.")
    engine = zlib.decompressobj(-15)
    try:
        while left > 0 and not engine.eof and (piece := file.read(min(left, CHUNK_BYTES))):
            left -= len(piece)
            while piece and not engine.eof:
                yield len(engine.decompress(piece, CHUNK_BYTES))
                piece = engine.unconsumed_tail
    except zlib.error as e:
        raise Refused("This workbook is damaged: save it again and choose the new file.") from e


# -- Text --------------------------------------------------------------------------------------------------


def scan(path: Path, wished: str) -> tuple[str, int]:
    """The encoding, and how many lines there are; refused when it is no text, or lines are endless."""
    if wished and wished not in ENCODINGS:
        raise Refused("There is no encoding {encoding}.", encoding=wished)
    with path.open("rb") as file:
        sample = file.read(SAMPLE_BYTES)
    encoding = wished or encoding_of(sample)
    while True:
        lines, bad = walk(path, encoding)
        if bad is None:
            return encoding, lines
        if wished:
            raise Refused(
                "This file is not {encoding}: line {line} cannot be read so. Choose another encoding.",
                encoding=encoding,
                line=lines + 1,
            )
        if encoding != "utf-8-sig":
            return encoding, lines  # such rows are rejected one by one
        encoding = single_byte(bad)


def encoding_of(sample: bytes) -> str:
    if sample.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        raise Refused("This file is UTF-32, which is not read. Save it as CSV in UTF-8.")
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\x00" in sample:
        even, odd = sample[0::2].count(0), sample[1::2].count(0)
        if odd > len(sample) * 0.2 and even < odd / 20:
            return "utf-16-le"
        if even > len(sample) * 0.2 and odd < even / 20:
            return "utf-16-be"
        raise not_text()
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as e:
        if e.start < len(sample) - 4 or e.reason != "unexpected end of data":
            # letters that were right until then are no accident: only this row is of another encoding
            return single_byte(sample) if sample[: e.start].isascii() else "utf-8-sig"
    return "utf-8-sig"


def single_byte(sample: bytes) -> str:
    """Which of the old encodings: Windows' unless the letters speak clearly for another."""
    # only lines with accents say anything
    telling = b"\n".join(line for line in sample.split(b"\n") if not line.isascii())[:65_536]
    found = from_bytes(telling, cp_isolation=LIKELY, threshold=0.5).best()
    name = found.encoding.replace("_", "-") if found else "cp1252"
    if name in ("cp1252", "latin-1") or readable(telling.decode("cp1252", "replace")) >= readable(
        telling.decode(name, "replace")
    ):
        name = "cp1252"
    return name


def readable(text: str) -> float:
    """The share of letters used in Portuguese among those outside ASCII."""
    foreign = [letter for letter in text if letter > "\x7f"]
    return sum(letter in "áàâãéêíóôõúüçÁÀÂÃÉÊÍÓÔÕÚÜÇªºñÑ–—“”’°" for letter in foreign) / (len(foreign) or 1)


def walk(path: Path, encoding: str) -> tuple[int, bytes | None]:
    """Reads the whole file once: its lines, and the bytes about the first place that cannot be decoded."""
    decoder = codecs.getincrementaldecoder(encoding)()
    lines, running, control, length = 0, 0, 0, 0
    ascii_so_far, last = True, ""
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            try:
                text = decoder.decode(piece)
            except UnicodeDecodeError as e:
                if encoding == "utf-8-sig" and not (ascii_so_far and e.object[: e.start].isascii()):
                    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
                    text = decoder.decode(piece)
                else:
                    return lines + piece[: e.start].count(b"\n"), e.object[max(0, e.start - 4096) :][
                        :CHUNK_BYTES
                    ]
            ascii_so_far = ascii_so_far and text.isascii()
            control += text.count("\x00")
            if control:
                raise not_text()
            parts = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            running = max(running + len(parts[0]), 0)
            longest = max(running, *map(len, parts))
            if longest > LINE_LENGTH_MAX:
                raise Refused(
                    "Line {line} has more than {most} characters: this is no table of people. "
                    "Are there line breaks in the file?",
                    line=lines + 1,
                    most=LINE_LENGTH_MAX,
                )
            lines += len(parts) - 1
            running = len(parts[-1]) if len(parts) > 1 else running
            length += len(text)
            last = text[-1:] or last
            if length <= SAMPLE_BYTES * 4 and unprintable(text):
                raise not_text()
    return lines + (last not in ("\n", "\r", "")), None


def unprintable(text: str) -> bool:
    strange = sum(map(text.count, map(chr, (*range(1, 9), *range(14, 27), *range(28, 32), 127))))
    return strange > len(text) * 0.005 + 2


def not_text() -> Refused:
    return Refused("This is neither text nor a spreadsheet. Save the table as CSV or XLSX and choose that.")


def first_lines(path: Path, encoding: str) -> list[str]:
    with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
        return list(islice(file, SAMPLE_ROWS))


def delimiter_of(lines: Sequence[str]) -> str:
    """The one that cuts every line into as many cells; of several the one least used in prose."""
    if lines and (said := re.fullmatch(r"sep=(.)\s*", lines[0])):
        return said[1]
    best, found = 0.0, DELIMITERS[0]
    for delimiter in DELIMITERS:
        widths = [len(row) for row in cut(lines, delimiter) if any(row)]
        width, times = Counter(widths).most_common(1)[0] if widths else (0, 0)
        share = times / (len(widths) or 1)
        if width > 1 and (share >= 0.95 and widths[0] == width):
            return delimiter
        if width > 1 and widths[0] > 1 and share >= 0.6 and share > best:
            best, found = share, delimiter
    return found


def cut(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """The lines as rows, up to the first that cannot be one."""
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):
        rows.extend(csv.reader(lines, delimiter=delimiter))
    return rows


def csv_rows(path: Path, reading: Reading) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(CELL_LENGTH_MAX)
    errors = "replace" if reading.encoding.startswith("utf-16") else "surrogateescape"
    with path.open(encoding=reading.encoding, errors=errors, newline="") as file:
        reader = csv.reader(file, delimiter=reading.delimiter)
        before = 0
        try:
            for row in reader:
                line, before = before + 1, reader.line_num
                if before - line > RECORD_LINES_MAX:
                    raise open_quote(line)
                if "".join(row).strip() and not (line == 1 and len(row) <= 2 and row[0].startswith("sep=")):
                    yield line, row
        except csv.Error as e:
            raise open_quote(before + 1) from e


def open_quote(line: int) -> Refused:
    return Refused(
        "From line {line} on a cell does not end: a quotation mark is opened and never closed. "
        "Mend that line, or remove the mark.",
        line=line,
    )


# -- Workbooks ---------------------------------------------------------------------------------------------


def workbook(path: Path) -> Any:
    try:
        return python_calamine.CalamineWorkbook.from_path(str(path))
    except python_calamine.PasswordError as e:
        raise Refused("This workbook has a password: save it without one.") from e
    except (python_calamine.CalamineError, OSError) as e:
        raise Refused("This workbook cannot be read: save it again as XLSX or CSV.") from e


def sheet_names(path: Path) -> tuple[str, ...]:
    return tuple(workbook(path).sheet_names)


def chosen_sheet(names: Sequence[str], wished: str) -> str:
    if not names:
        raise Refused("There is no sheet in this workbook.")
    if wished and wished not in names:
        raise Refused("There is no sheet {sheet} in this workbook.", sheet=wished)
    return wished or names[0]


def sheet(path: Path, name: str) -> Any:
    try:
        found = workbook(path).get_sheet_by_name(name)
    except (python_calamine.CalamineError, OSError) as e:
        raise Refused("This workbook cannot be read: save it again as XLSX or CSV.") from e
    if found.total_height * found.total_width > CELLS_MAX:
        raise Refused(
            "This sheet has {rows} rows and {columns} columns; that is more than is read from a workbook. "
            "Save it as CSV.",
            rows=found.total_height,
            columns=found.total_width,
        )
    return found


def sheet_height(path: Path, name: str) -> int:
    return int(sheet(path, name).total_height)


def sheet_rows(path: Path, name: str) -> Iterator[tuple[int, list[str]]]:
    for line, row in enumerate(sheet(path, name).iter_rows(), 1):
        cells = [cell if type(cell) is str else text_of(cell) for cell in row]
        if "".join(cells).strip():
            yield line, cells


def text_of(cell: Any) -> str:
    """As somebody would have typed it: whole numbers without a point, others with a comma, dates as ISO."""
    match cell:
        case bool():
            return "1" if cell else "0"
        case float() if math.isfinite(cell) and cell == int(cell) and abs(cell) < 1e18:
            return str(int(cell))
        case float():
            return format(cell, ".15g").replace(".", ",")
        case datetime.datetime() if cell.time() == datetime.time():
            return cell.date().isoformat()
        case datetime.datetime():
            return cell.isoformat(" ", "seconds")
        case None:
            return ""
        case _:
            return str(cell)


# -- Rows and columns --------------------------------------------------------------------------------------


def has_header(first: Sequence[Sequence[str]]) -> bool:
    """Headings are words, all different, and above something else; known words decide a doubt."""
    head = [cell.strip() for cell in first[0] if cell.strip()]
    if not head or any(LOOKS_LIKE_DATA.fullmatch(cell) for cell in head):
        return False
    if any(HEADINGS.match(cell) for cell in head):
        return True
    below = [cell for row in first[1:20] for cell in row]
    return len(first) > 1 and len(set(head)) == len(head) and any(map(LOOKS_LIKE_DATA.fullmatch, below))


def width_of(first: Sequence[Sequence[str]], header: bool) -> int:
    """As many columns as are named, unless most rows have more: one that has is broken."""
    widths = [max((place for place, cell in enumerate(row, 1) if cell.strip()), default=0) for row in first]
    wider = sum(width > len(first[0]) for width in widths)
    return len(first[0]) if header and wider * 2 < len(widths) else max(map(len, first))


def headings(row: Sequence[str], width: int) -> list[str]:
    """A name for each column, no two alike."""
    names: list[str] = []
    for place in range(width):
        given = " ".join(row[place].split())[:SAMPLE_LENGTH] if place < len(row) else ""
        name = clean(given) or f"Column {place + 1}"
        again = sum(1 for other in names if other == name or other.startswith(f"{name} ("))
        names.append(f"{name} ({again + 1})" if name in names else name)
    return names


def padded(row: Sequence[str], width: int) -> list[str]:
    return [clean(cell) for cell in row[:width]] + [""] * (width - len(row))


def clean(text: str) -> str:
    """Fit to be shown: what could not be decoded becomes a question mark."""
    return text.encode("utf-8", "replace").decode()[:CELL_LENGTH_MAX]


def samples(cells: Iterable[str]) -> tuple[str, ...]:
    filled = dict.fromkeys(text[:SAMPLE_LENGTH] for cell in cells if (text := cell.strip()))
    return tuple(islice(filled, SAMPLES))
