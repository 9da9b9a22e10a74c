"""The folders, the symlinks, the guards, the dependencies and pyproject.toml must agree."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONFIG = PROJECT["tool"]["setuptools"]
PACKAGES = {k.removeprefix("vatra."): v for k, v in CONFIG["package-dir"].items() if "." in k}
FOLDERS = [name for name in PACKAGES if "." not in name]
SCRIPTS = sorted(set((ROOT / "spark").rglob("*.py")) - {ROOT / "spark" / "__init__.py"})
SOURCES = sorted({p for name in FOLDERS for p in (ROOT / name).rglob("*.py")} - set(SCRIPTS))
SERVER = [*(ROOT / "server").rglob("*.py"), ROOT / "cli" / "serve.py"]
CLUSTER = [ROOT / "cli" / "batch_ray.py"]
OFFLOAD = list((ROOT / "engine" / "offload").rglob("*.py"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
DISTRIBUTION_OF = {"markdown_it": "markdown-it-py", "prompt_toolkit": "prompt-toolkit"}


def packages_on_disk() -> set[str]:
    found = {"vatra"}
    for name in FOLDERS:
        for init in (ROOT / name).rglob("__init__.py"):
            found.add(".".join(["vatra", *init.parent.relative_to(ROOT).parts]))
    return found


def imports(source: Path) -> set[str]:
    """Every absolute module name that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def third_party(sources: list[Path]) -> set[str]:
    """The distributions that files import."""
    used = {m.split(".")[0] for source in sources for m in imports(source)}
    ours = set(sys.stdlib_module_names) | {"vatra"}
    return {normal(DISTRIBUTION_OF.get(name, name)) for name in used - ours}


def declared(requirements: list[str]) -> set[str]:
    names = {normal(re.split(r"[<>=!~ \[;]", line)[0]) for line in requirements}
    return names - {"vatra"}  # the extras that another one holds


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_is_shipped() -> None:
    assert set(CONFIG["packages"]) == packages_on_disk()
    assert set(CONFIG["package-dir"]) == set(CONFIG["packages"])
    assert all(folder == name.replace(".", "/") for name, folder in PACKAGES.items())


def test_the_toy_is_shipped(spark: Path) -> None:
    assert CONFIG["package-data"]["vatra.spark"] == [spark.name]
    assert spark.resolve() == ROOT / "spark" / spark.name
    assert f"!/spark/{spark.name}" in (ROOT / ".gitignore").read_text().split()


@pytest.mark.parametrize("name", FOLDERS)
def test_link(name: str) -> None:
    link = ROOT / "vatra" / name
    if not link.is_symlink():
        pytest.skip("no symlinks here (sdist, or git without symlink support)")
    assert link.readlink() == Path("..") / name


@pytest.mark.parametrize("name", FOLDERS)
def test_wrong_name_is_impossible(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True
    )
    assert f"import this package as vatra.{name}" in done.stderr


def test_dependencies_are_exactly_the_imports() -> None:
    extra = declared(EXTRAS["serve"] + EXTRAS["ray"] + EXTRAS["gpu"])
    assert third_party(SOURCES) - extra == declared(PROJECT["project"]["dependencies"])


EXTRA_SOURCES = [("spark", SCRIPTS), ("serve", SERVER), ("ray", CLUSTER), ("gpu", OFFLOAD)]


@pytest.mark.parametrize(("extra", "sources"), EXTRA_SOURCES)
def test_what_few_need_is_an_extra(extra: str, sources: list[Path]) -> None:
    runtime = declared(PROJECT["project"]["dependencies"])
    declared_there = declared(EXTRAS[extra])
    assert third_party(sources) - runtime == declared_there
    assert not declared_there & runtime


def test_every_dependency_has_its_reason() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    lines = [*PROJECT["project"]["dependencies"], *(x for extra in EXTRAS.values() for x in extra)]
    for line in lines:
        if line.startswith("vatra["):
            continue
        name = re.split(r"[<>=!~ \[;]", line)[0]
        assert re.search(rf"^- {name}: .+\.$", text, re.M), f"say in CONTRIBUTING.md why {name}"


@pytest.mark.parametrize(
    ("arguments", "forbidden"),
    [
        (["--help"], {"numpy", "numba", "llvmlite", "gguf", "rich", "prompt_toolkit"}),
        (["--version"], {"numpy", "numba", "llvmlite", "gguf", "rich", "prompt_toolkit"}),
        (["run", "--help"], {"numpy", "numba", "llvmlite", "gguf"}),
    ],
)
def test_help_does_not_load_the_engine(arguments: list[str], forbidden: set[str]) -> None:
    assert not loaded_after(arguments) & forbidden


def test_inspect_loads_no_compiler() -> None:
    loaded = loaded_after(["inspect"])
    assert "vatra.formats.gguf" in loaded
    assert not loaded & {"numba", "llvmlite", "gguf"}


def loaded_after(arguments: list[str]) -> set[str]:
    code = (
        "import sys, vatra.cli.app\n"
        f"status = vatra.cli.app.main({arguments!r})\n"
        "print('modules', *sys.modules)\n"
        "raise SystemExit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={k: v for k, v in os.environ.items() if k != "VATRA_MODEL"},
    )  # fmt: skip
    return set(done.stdout.splitlines()[-1].split())
