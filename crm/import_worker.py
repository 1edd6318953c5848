"""An import's own process: it reads one file, so that neither its size nor its faults reach the calls.

`python -m crm.import_worker TASK` reads one JSON object from stdin and writes frames to stdout: a letter,
four bytes of length, the content. Letters: P progress, R rows for COPY, E a refusal, D the end's figures.
"""

import csv
import io
import json
import os
import resource
import struct
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crm import sheets
from crm.form import Field, Kind
from crm.import_rows import Converter, Customer, Rejected, plan_of
from crm.refused import Refused
from crm.sheets import Reading

HEAD = struct.Struct(">cI")
ROWS_A_FRAME = 2000
MEMORY_BYTES_MAX = 3 << 30
NICE = 5  # calls come first
NULL = "\\N"
NO_TEXTS = "{}"


def main() -> None:
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asked = json.load(sys.stdin)
    try:
        send(b"D", TASKS[sys.argv[1]](asked))
    except Refused as e:
        send(b"E", {"template": e.template, "values": e.values})
    except MemoryError:
        send(b"E", {"template": TOO_LARGE, "values": {}})
    except BrokenPipeError:
        os._exit(1)  # the import was cancelled


TOO_LARGE = "This file is too large to be opened as a workbook: save it as CSV."


def recognise(asked: dict[str, Any]) -> dict[str, Any]:
    return asdict(sheets.recognise(Path(asked["path"]), Reading(**asked["reading"])))


def convert(asked: dict[str, Any]) -> dict[str, Any]:
    """Sends every good row; the others go into the report's file with what is wrong."""
    fields = [Field(**{**each, "kind": Kind(each["kind"])}) for each in asked["fields"]]
    work = Converter(plan_of(asked, fields))
    names = [column["name"] for column in asked["columns"]]
    figures = {"read": 0, "rejected": 0, "notes": 0, "phones": 0}
    with Path(asked["report"]).open("w", encoding="utf-8", errors="replace", newline="") as file:
        report = csv.writer(file)
        report.writerow(["line", "reason", "column", "value", *names])
        text = io.StringIO(newline="")
        rows = csv.writer(text, delimiter="\t", lineterminator="\n")
        for line, cells in sheets.rows(Path(asked["path"]), Reading(**asked["reading"])):
            figures["read"] += 1
            try:
                customer = work.row(cells)
                rows.writerow(staged(line, customer, cells))
                figures["phones"] += len(customer.phones) + sum(len(each.phones) for each in customer.people)
                for note in work.notes:
                    figures["notes"] += 1
                    report.writerow(
                        [line, "~" + note.reason, name_of(names, note.column), note.value, *cells]
                    )
            except Rejected as no:
                figures["rejected"] += 1
                report.writerow([line, no.reason, name_of(names, no.column), no.value, *cells])
            if figures["read"] % ROWS_A_FRAME == 0:
                flush(text, figures)
        flush(text, figures)
    return figures


def staged(line: int, customer: Customer, cells: list[str]) -> list[object]:
    """As a row of the staging table; what cannot be decoded is no text to keep."""
    joined = "".join(cells)
    if "\x00" in joined or not joined.isascii():
        readable(joined)
    emails, custom, address, people = customer.emails, customer.custom, customer.address, customer.people
    return [
        line,
        *customer[:8],
        "{" + ",".join(customer.phones) + "}",
        array(emails) if emails else NO_TEXTS,
        json.dumps(custom, ensure_ascii=False) if custom else NO_TEXTS,
        json.dumps(address, ensure_ascii=False) if address else NULL,
        json.dumps([each._asdict() for each in people], ensure_ascii=False) if people else NULL,
    ]


def readable(text: str) -> None:
    if "\x00" in text or "\ufffd" in text:
        raise Rejected("not_readable")
    try:
        text.encode()
    except UnicodeEncodeError as e:
        raise Rejected("not_readable") from e


def array(texts: tuple[str, ...]) -> str:
    """A PostgreSQL array's text."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


def flush(text: io.StringIO, figures: dict[str, int]) -> None:
    if content := text.getvalue():
        frame(b"R", content.encode())
        text.seek(0)
        text.truncate()
    send(b"P", figures)


def report(asked: dict[str, Any]) -> dict[str, Any]:
    """Adds the rows the database found out about: `lines` is a file of line, reason and value."""
    with Path(asked["lines"]).open(encoding="utf-8", newline="") as file:
        wanted = {int(line): (reason, value) for line, reason, value in csv.reader(file)}
    with Path(asked["report"]).open("a", encoding="utf-8", errors="replace", newline="") as file:
        for line, cells in found(asked, wanted):
            reason, value = wanted[line]
            csv.writer(file).writerow([line, reason, "", value, *cells])
    return {"rows": len(wanted)}


def found(asked: dict[str, Any], wanted: dict[int, Any]) -> Iterator[tuple[int, list[str]]]:
    for line, cells in sheets.rows(Path(asked["path"]), Reading(**asked["reading"])):
        if line in wanted:
            yield line, cells


def name_of(names: list[str], column: int) -> str:
    return names[column] if 0 <= column < len(names) else ""


def send(letter: bytes, content: object) -> None:
    frame(letter, json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))


def frame(letter: bytes, content: bytes) -> None:
    sys.stdout.buffer.write(HEAD.pack(letter, len(content)) + content)
    sys.stdout.buffer.flush()


TASKS = {"recognise": recognise, "convert": convert, "report": report}

if __name__ == "__main__":
    main()
