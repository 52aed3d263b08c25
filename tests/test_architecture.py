"""The rules that keep the code one thing: arrows run one way, and each outside library stays behind its door."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "models": {"models", "settings"},
    "auth": {"auth", "models", "settings"},
    "delivery": {"delivery", "models", "settings"},
    "resolvers": {"resolvers", "auth", "delivery", "models", "settings"},
    "schema": {"schema", "resolvers", "auth", "delivery", "models", "settings"},
    "wire": {"wire", "schema", "resolvers", "auth", "delivery", "models", "settings"},
    "settings.py": set(),
}
OURS = {"auth", "bench", "delivery", "demo", "models", "operators", "resolvers", "schema", "server", "settings", "tests", "wire"}
ONLY_IN = {
    "strawberry": ("schema/", "wire/"),
    "graphql": ("schema/", "wire/"),
    "starlette": ("server.py", "wire/", "auth/"),
    "uvicorn": ("server.py", "wire/"),
    "limits": ("auth/traffic.py",),
}
NAMES = {"utils", "helpers", "common", "base_service", "manager"}
SOURCES = sorted(path for path in ROOT.glob("*.py")) + sorted(
    path for folder in ("auth", "bench", "delivery", "demo", "models", "resolvers", "schema", "wire") for path in (ROOT / folder).rglob("*.py")
)
SERVICE = [path for path in SOURCES if path.name != "run.py" and path.parts[len(ROOT.parts)] not in ("bench", "demo")]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The modules that are imported, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or "", node.lineno


@pytest.mark.parametrize("path", SERVICE, ids=name_of)
def test_arrows_run_one_way_and_libraries_stay_behind_their_doors(path: Path) -> None:
    place = name_of(path)
    allowed = MAY_IMPORT.get(place.split("/")[0])
    wrong = []
    for module, line in imported(ast.parse(path.read_text())):
        top = module.split(".")[0]
        if top in OURS and allowed is not None and top not in allowed:
            wrong.append(f"{place}:{line} imports {module}")
        if top in ONLY_IN and not place.startswith(ONLY_IN[top]):
            wrong.append(f"{place}:{line} imports {module}, which belongs to {', '.join(ONLY_IN[top])}")
    assert not wrong, "\n".join(wrong)


def test_every_way_in_goes_through_the_second_factor() -> None:
    """`enter` opens a session at once: that is for the gate, for new accounts, and for passkeys, which are both factors."""
    past_it = {
        name_of(path)
        for path in SERVICE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "resolvers.entry" and "enter" in {alias.name for alias in node.names}
    }
    assert "resolvers/second_factor.py" in past_it
    assert past_it <= {"resolvers/second_factor.py", "resolvers/sign_up.py", "resolvers/passkeys.py"}
    opens = {name_of(path) for path in SERVICE if "open_session(" in path.read_text()}
    assert opens == {"auth/sessions.py", "resolvers/entry.py"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_stand_at_the_top(path: Path) -> None:
    tree = ast.parse(path.read_text())
    inside = [
        f"{name_of(path)}:{line}"
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for _, line in imported(function)
    ]
    assert not inside, f"imports inside functions: {', '.join(inside)}"


@pytest.mark.parametrize("path", SERVICE, ids=name_of)
def test_the_environment_is_read_by_settings_alone(path: Path) -> None:
    if name_of(path) == "settings.py":
        return
    reads = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and isinstance(node.value, ast.Name) and node.value.id == "os"
    ]
    assert not reads, f"{name_of(path)} reads the environment in lines {reads}"


def test_no_file_is_named_after_nothing() -> None:
    named = [name_of(path) for path in [*SOURCES, *(ROOT / "tests").rglob("*.py")] if path.stem.removeprefix("test_") in NAMES]
    assert not named


def test_a_domain_has_one_name_in_every_folder() -> None:
    """`grep` finds an operation by changing the folder: a domain of the schema has resolvers and tables of its name."""
    kit = {"__init__", "bulk", "context", "edges", "errors", "fields", "in_standing", "inputs", "money", "node", "paging", "root", "scalars"}
    resolvers = {path.stem for path in (ROOT / "resolvers").glob("*.py")}
    shown_only = {"clock"}
    missing = {path.stem for path in (ROOT / "schema").glob("*.py")} - kit - shown_only - resolvers
    assert not missing, f"in schema/ and not in resolvers/: {', '.join(sorted(missing))}"
