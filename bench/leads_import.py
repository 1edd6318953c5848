"""How fast a file of people becomes customers, beside the bare COPY of the same rows into the same tables.

Each person has a name, a CPF, one to four telephones (2.2 on average) in the ways people write them, now and
then an e-mail; one in a hundred stands there twice, one in a hundred has a wrong CPF. The import validates,
looks for each among the customers and in the file, and keeps every index and constraint. The COPY writes what
the import wrote into the emptied tables with the same indexes and constraints, from a file in binary form.
"""

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import uvloop

from bench.processes import cpu_seconds, note, tree
from config import Settings
from crm import embedded, imports, users
from crm.db import Db, connect, migrate
from crm.imports import Imports
from crm.users import Role

ROWS = 200_000
SEED = 3
FIRST = (
    "Ana Bruno Carla Daniel Elisa Fábio Gabriela Heitor Inês João Karina Luís Márcia Nélson Olívia".split()
)
LAST = "Albuquerque Barros Conceição Duarte Esteves Fagundes Gonçalves Henriques Inácio Junqueira".split()
AREAS = "11 12 13 19 21 27 31 41 47 48 51 61 62 71 81 85 91".split()
COPIED = {
    "contact": "id name company document email notes created updated kind external_code custom".split(),
    "contact_phone": "contact_id number position".split(),
}


def write(path: Path, rows: int) -> None:
    """The file, as a company's system would export it."""
    chance = random.Random(SEED)
    lines = ["nome;cpf;fone1;fone2;fone3;fone4;e-mail;codigo"]
    before = ""
    for number in range(rows):
        if before and chance.random() < 0.01:
            lines.append(before)
            continue
        cpf = cpf_of(chance, wrong=chance.random() < 0.01)
        name = f"{chance.choice(FIRST)} {chance.choice(LAST)} {chance.choice(LAST)} {number}"
        phones = [phone_of(chance) for _ in range(chance.choice((1, 2, 2, 2, 3, 3)))]
        email = f"cliente{number}@example.com" if number % 3 == 0 else ""
        before = ";".join([name, cpf, *phones, *[""] * (4 - len(phones)), email, str(number)])
        lines.append(before)
    path.write_text("\n".join(lines) + "\n", encoding="cp1252")


def cpf_of(chance: random.Random, wrong: bool) -> str:
    digits = [chance.randrange(10) for _ in range(9)]
    for _ in range(2):
        weights = range(len(digits) + 1, 1, -1)
        digits.append(sum(w * d for w, d in zip(weights, digits, strict=True)) * 10 % 11 % 10)
    digits[10] = (digits[10] + wrong) % 10
    text = "".join(map(str, digits))
    return f"{text[:3]}.{text[3:6]}.{text[6:9]}-{text[9:]}" if chance.random() < 0.5 else text


def phone_of(chance: random.Random) -> str:
    area = chance.choice(AREAS)
    match chance.randrange(4):
        case 0:
            return f"({area}) 9{chance.randrange(6000, 10_000)}-{chance.randrange(10_000):04d}"
        case 1:
            return f"{area}9{chance.randrange(60_000_000, 100_000_000)}"
        case 2:
            return (
                f"({area}) {chance.randrange(6000, 10_000)}-{chance.randrange(10_000):04d}"  # of before 2016
            )
        case _:
            return f"0{area} {chance.randrange(2000, 6000)}.{chance.randrange(10_000):04d}"


async def measure(rows: int, folder: Path) -> dict[str, float | int]:
    path = folder / "people.csv"
    note(f"writing {rows} people")
    write(path, rows)
    async with embedded.postgres(replace(Settings(), data=folder)) as url:
        db = await connect(url)
        try:
            await migrate(db)
            imported = await run_import(db, folder, path)
            note(f"imported: {imported}")
            copied = await run_copy(db, folder)
            note(f"copied: {copied}")
        finally:
            await db.close()
    assert imported["contacts"] == copied["contacts"] and imported["numbers"] == copied["numbers"]
    return {
        "rows": rows,
        "contacts": int(imported["contacts"]),
        "phones": int(imported["numbers"]),
        "import_seconds": round(imported["seconds"], 2),
        "copy_seconds": round(copied["seconds"], 2),
        "import_rows_per_second": round(rows / imported["seconds"]),
        "import_ratio_to_copy": round(imported["seconds"] / copied["seconds"], 2),
        "import_cpu_seconds": round(imported["cpu"], 2),  # of the server, the reader and ourselves
        "copy_cpu_seconds": round(copied["cpu"], 2),
    }


async def run_import(db: Db, folder: Path, path: Path) -> dict[str, float]:
    by = await users.create(
        db, None, login="bench", name="Bench", role=Role.ADMINISTRATOR, password="not a secret", language="en"
    )

    async def pieces() -> AsyncIterator[bytes]:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece

    jobs = Imports(db, folder)
    import_id = await jobs.receive(by, path.name, pieces())
    one = await imports.found(db, import_id)
    await jobs.choose(by, import_id, [column["target"] for column in one.columns], one.options, None)
    await db.execute("CHECKPOINT")
    phases: dict[str, float] = {}
    began, cpu = time.perf_counter(), cpu_so_far()
    await jobs.start(by, import_id)
    async with aclosing(jobs.follow(import_id)) as news:
        async for progress in news:
            phases.setdefault(progress.phase or "end", round(time.perf_counter() - began, 2))
    seconds, cpu = time.perf_counter() - began, cpu_so_far() - cpu
    one = await imports.found(db, import_id)
    assert one.state == "done", one.error
    note(f"phases began at {phases}; {one.added} added, {one.duplicates} twice, {one.rejected} rejected")
    return {"seconds": seconds, "cpu": cpu, **await counts(db)}


async def run_copy(db: Db, folder: Path) -> dict[str, float]:
    for table, columns in COPIED.items():
        order = "id" if table == "contact" else "contact_id, position"
        query = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}"
        async with db.acquire() as connection:
            await connection.copy_from_query(query, output=folder / table, format="binary", timeout=600)
    await db.execute("TRUNCATE contact, contact_phone CASCADE")
    await db.execute("CHECKPOINT")
    began, cpu = time.perf_counter(), cpu_so_far()
    async with db.acquire() as connection, connection.transaction():
        for table, columns in COPIED.items():
            await connection.copy_to_table(
                table, source=folder / table, columns=columns, format="binary", timeout=600
            )
    seconds, cpu = time.perf_counter() - began, cpu_so_far() - cpu
    return {"seconds": seconds, "cpu": cpu, **await counts(db)}


def cpu_so_far() -> float:
    """Of this process, its children and theirs, also of those that have ended; wall time says little beside
    others on the same cores."""
    return sum(map(cpu_seconds, tree(os.getpid()))) + os.times().children_user + os.times().children_system


async def counts(db: Db) -> dict[str, float]:
    return dict(
        await db.fetchrow(
            """
            SELECT (SELECT count(*) FROM contact) AS contacts, (SELECT count(*) FROM contact_phone) AS numbers
            """,
            timeout=600,
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--json", action="store_true", help="what bench.run passes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ramal-bench-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)  # as root the server runs as somebody else
        figures = uvloop.run(measure(options.rows, Path(folder)))
    print(json.dumps({"bench": "leads_import"} | figures))


if __name__ == "__main__":
    main()
