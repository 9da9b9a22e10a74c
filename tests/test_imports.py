"""Imports point one way, and the folders that need no compiler do not load one."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = ("quant", "formats", "models", "engine", "server", "cli")
BELOW_ALL = {"errors", "choices"}  # modules of vatra/ that any folder may use
TOY = {"vatra.spark", "vatra.spark.path"}  # all that the program knows of its toy model
HEAVY = {"numba", "llvmlite", "gguf"}

FILES = sorted(p for folder in ORDER for p in (ROOT / folder).rglob("*.py"))
IDS = [str(p.relative_to(ROOT)) for p in FILES]


def imported(tree: ast.AST) -> Iterator[str]:
    """The dotted name of everything imported below `tree`, one for each name of a `from`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide the order"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_module_level(tree: ast.Module) -> Iterator[str]:
    """What is imported as soon as the module is: everything outside functions and type checks."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from imported(node)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            pending += node.orelse if isinstance(node, ast.If) and typing_only else _children(node)


def _children(node: ast.AST) -> list[ast.AST]:
    return list(ast.iter_child_nodes(node))


def test_there_is_something_to_check() -> None:
    assert {p.relative_to(ROOT).parts[0] for p in FILES} == set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_order(path: Path) -> None:
    own = ORDER.index(path.relative_to(ROOT).parts[0])
    for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
        package, _, rest = name.partition(".")
        assert package not in (*ORDER, "spark"), f"{name}: import it as vatra.{name}"
        folder = rest.split(".")[0]
        if folder == "spark":
            assert name in TOY and own >= ORDER.index("engine"), f"{path.name} imports {name}"
        elif package == "vatra" and folder in ORDER:
            assert ORDER.index(folder) <= own, f"{path.name} imports {name}"
        elif package == "vatra" and own < ORDER.index("cli"):
            assert folder in BELOW_ALL, f"{path.name} imports {name}, which is above it"


def test_the_toy_s_path_needs_nothing() -> None:
    tree = ast.parse((ROOT / "spark" / "__init__.py").read_text(encoding="utf-8"))
    found = {name for name in imported(tree) if name.split(".")[0] not in sys.stdlib_module_names}
    assert found == {"vatra.errors.MissingFile"}


@pytest.mark.parametrize("module", sorted(BELOW_ALL))
def test_what_is_below_all_imports_nothing_of_ours(module: str) -> None:
    tree = ast.parse((ROOT / "vatra" / f"{module}.py").read_text(encoding="utf-8"))
    assert {name.split(".")[0] for name in imported(tree)} <= sys.stdlib_module_names


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_heavy_packages(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    early = {name.split(".")[0] for name in at_module_level(tree)}
    assert "gguf" not in early
    if folder != "engine":
        assert not HEAVY & early
    if ORDER.index(folder) < ORDER.index("engine"):
        assert "numba" not in {name.split(".")[0] for name in imported(tree)}


@pytest.mark.parametrize("module", ["quant", "formats.gguf", "models", "engine.reference"])
def test_loading_needs_no_compiler(module: str) -> None:
    code = f"import sys, vatra.{module}; print(*{HEAVY!r} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not done.stdout.split()


def test_the_checks_can_fail() -> None:
    tree = ast.parse("import numba.core\ndef f():\n    from gguf import GGUFReader\n")
    assert list(at_module_level(tree)) == ["numba.core"]
    assert set(imported(tree)) == {"numba.core", "gguf.GGUFReader"}
