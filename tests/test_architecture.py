"""The tree keeps its promises: imports point left, pure files are pure, features have pages and tests."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = ["config", "crm", "cti", "dialer", "webui"]
REUSABLE = {"cti/sip": set[str](), "cti/media": {"cti.sip.sdp"}}  # folder -> what of ours it may use
WIRING = {"cti/server.py", "cti/ramal.py"}  # build everything, so they may import everything
IMPURE = {"asyncio", "socket", "time", "random", "logging", "asyncpg", "aiohttp", "redis"}
ALWAYS_PURE = [
    "cti/agent.py",
    "cti/queue.py",
    "cti/toolbar/frames.py",
    "crm/form.py",
    "dialer/pacing.py",
    "dialer/retry.py",
    "dialer/windows.py",
]


def sources() -> Iterator[Path]:
    for folder in ORDER:
        yield from sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Every module a file imports at run time, absolute, also from inside its functions."""
    package = list(path.relative_to(ROOT).with_suffix("").parts)[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{name.name}" for name in node.names)


def is_pure(path: Path) -> bool:
    name = path.relative_to(ROOT).as_posix()
    docstring = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]
    in_sip = name.startswith("cti/sip/") and path.name not in {"transport.py", "__init__.py"}
    return in_sip or name in ALWAYS_PURE or bool(re.search(r"\bPURE\b", docstring))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", list(sources()), ids=named)
def test_a_file_imports_only_from_its_own_folder_and_from_the_left(path: Path):
    if named(path) not in WIRING:
        folder = path.relative_to(ROOT).parts[0]
        to_the_right = set(ORDER[ORDER.index(folder) + 1 :])
        wrong = [module for module in imported(path) if module.split(".")[0] in to_the_right]
        assert not wrong, f"{named(path)} reaches to the right: {wrong}"


@pytest.mark.parametrize("folder", REUSABLE)
def test_the_reusable_parts_import_nothing_of_ours(folder: str):
    own = folder.replace("/", ".")
    for path in sorted((ROOT / folder).rglob("*.py")):
        for module in imported(path):
            ours = module.split(".")[0] in ORDER and not module.startswith(own) and module != own
            allowed = any(module == name or module.startswith(name + ".") for name in REUSABLE[folder])
            # `from cti.sip import sdp` names the package first
            package = any(name.startswith(module + ".") for name in REUSABLE[folder])
            assert not ours or allowed or package, f"{named(path)} imports {module}"


@pytest.mark.parametrize("path", [path for path in sources() if is_pure(path)], ids=named)
def test_a_pure_file_is_told_the_time_and_touches_nothing(path: Path):
    wrong = {module.split(".")[0] for module in imported(path)} & IMPURE
    assert not wrong, f"{named(path)} is pure but imports {sorted(wrong)}"


def test_nothing_imports_from_the_tests_or_the_benchmarks():
    for path in sources():
        wrong = [module for module in imported(path) if module.split(".")[0] in {"tests", "bench"}]
        assert not wrong, f"{named(path)} imports {wrong}"


ID = r"[A-Z]{3}-(?:\d\d|R[1-8]|V[1-5])"  # UAU-01; UAU-R1 is a report, UAU-V2 a list of values
ROW = re.compile(rf"^\| (?P<id>{ID}) \|(?P<what>[^|]+)\|(?P<page>[^|]+)\|(?P<tests>[^|]+)\|$")


def feature_rows() -> list[re.Match[str]]:
    lines = (ROOT / "docs/features.md").read_text().splitlines()
    rows = [line for line in lines if re.match(r"^\| [A-Z]{3}-", line)]
    matches = [ROW.match(row) for row in rows]
    assert rows and all(matches), [row for row, match in zip(rows, matches, strict=True) if not match]
    return [match for match in matches if match]


def test_every_feature_names_its_page_and_a_test_that_exists():
    seen: set[str] = set()
    for row in feature_rows():
        assert row["id"] not in seen, f"{row['id']} is listed twice"
        seen.add(row["id"])
        assert row["what"].strip() and row["page"].strip(), f"{row['id']} has no words or no page"
        names = re.findall(r"`(tests/[^`]+?\.py)::(\w+)`", row["tests"])
        assert names, f"{row['id']} names no test as `tests/…/test_x.py::test_y`"
        for file, function in names:
            tree = ast.parse((ROOT / file).read_text()) if (ROOT / file).exists() else ast.parse("")
            defined = {
                node.name
                for node in ast.walk(tree)
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            assert function in defined, f"{row['id']} names {file}::{function}, which does not exist"


def test_ids_named_in_the_code_have_the_shape_of_requirement_ids():
    wrong = [
        f"{named(path)}: {name}"
        for path in sources()
        for name in re.findall(r"\b(?:TAC|EPB|UAU|TEL|JOT)-[A-Z]?\d+\b", path.read_text())
        if not re.fullmatch(ID, name)
    ]
    assert not wrong
