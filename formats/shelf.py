"""The shelf: models that lie on this machine, and the names they are asked for by.

Found are GGUF files of the current folder, of the folders in VATRA_MODELS, of the cache of Hugging
Face, and of LM Studio and Ollama. Only names of files are read, and nothing is remembered.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vatra.errors import MissingFile, UsageError, printable
from vatra.formats.variants import Variant, variants

HUB = "Hugging Face"  # the place that `vatra pull` fills and `vatra rm` empties
_DEPTH = 4  # folders within a folder of models
_MOST_FILES = 10_000  # of one folder of models: more is no folder of models
_SHOWN = 8  # names in a message
_COMMIT = re.compile(r"[0-9a-f]{40}")
_UNFINISHED = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})\.incomplete")
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")


@dataclass(frozen=True)
class Entry:
    """A model on the shelf."""

    name: str  # owner/repo:Q4_K_M, or a file's name without its ending
    quant: str  # such as Q4_K_M; empty where no name says it
    place: str  # the program, the variable or the folder that keeps it
    repo: str  # owner/repo, or what stands for it; empty for a file by itself
    files: tuple[Path, ...]  # the parts, in order
    n_parts: int = 1  # that there should be

    @property
    def path(self) -> Path:
        """The file to give to `vatra.load`."""
        return self.files[0]

    @property
    def n_bytes(self) -> int:
        """Bytes of all parts that are there."""
        return sum(file.stat().st_size for file in self.files if file.exists())

    @property
    def aliases(self) -> set[str]:
        """Shorter names that mean this model, where they mean no other; in lower case."""
        repo = self.repo.casefold()
        bare = re.sub(r"[-_.]gguf$", "", repo)
        names = {repo, bare, *(r.rpartition("/")[2] for r in (repo, bare))}
        _, colon, quant = self.name.casefold().partition(":")
        stem = self.path.stem.casefold()
        whole = re.sub(r"-\d{5}-of-\d{5}$", "", stem)
        return (
            names | {name + colon + quant for name in names} | {stem, whole, f"{stem}.gguf"}
        ) - {""}


def find(model: str) -> Path:
    """The file of a model given by its path or by its name on the shelf.

    A path is what exists, or begins like one. Raises as `named` does.
    """
    if is_path(model):
        return Path(model)
    try:
        return named(model).path
    except MissingFile:
        if model.lower().endswith(".gguf") or os.path.isdir(os.path.dirname(model)):
            return Path(model)  # whoever reads it can say what is wrong with the path
        raise


def is_path(model: str) -> bool:
    """True if `model` is there as a file or a folder, or begins as only paths do."""
    begins = os.path.isabs(model) or model.startswith(("./", "../", "~")) or model in (".", "..")
    return begins or os.path.exists(model)


def named(name: str) -> Entry:
    """The model of a name, which may be short as long as it means one; capitals do not matter.

    Raises UsageError where several models are meant, MissingFile with suggestions where none is.
    """
    if not name:
        raise MissingFile("the name of the model is empty")
    wanted = name.removeprefix("hf:").casefold()
    entries = models()
    found = [e for e in entries if e.name.casefold() == wanted]
    found = found or [e for e in entries if wanted in e.aliases]
    meant = list(dict.fromkeys(e.name for e in found))
    if len(meant) > 1:
        raise UsageError(f"{printable(name)}: may be any of {_listed(meant)}: give the full name")
    if not found:
        raise MissingFile(f"{printable(name)}: no such file or model; {_advice(name, entries)}")
    return found[0]


def names() -> list[str]:
    """The names of all models on the shelf, sorted: what a shell may complete."""
    return sorted({entry.name for entry in models()}, key=str.casefold)


def models() -> list[Entry]:
    """Every model that is found, by place; of copies by the same name, the first is meant."""
    return [
        *_files(".", Path(), depth=1),
        *(e for folder in _own_folders() for e in _files("VATRA_MODELS", folder)),
        *_hub_models(),
        *(e for folder in _lm_studio_folders() for e in _repositories("LM Studio", folder)),
        *(e for folder in _ollama_folders() for e in _ollama_models(folder)),
    ]


def hub_cache() -> Path:
    """The folder where programs keep what they got from Hugging Face, as its library finds it."""
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(os.path.expandvars(os.path.expanduser(cache or os.path.join(home, "hub"))))


def interrupted() -> dict[str, list[Path]]:
    """The parts of files in the cache that `vatra pull` would go on with, by owner/repo."""
    found: dict[str, list[Path]] = {}
    for path in sorted(hub_cache().glob("models--*/blobs/*.incomplete")):
        if not _UNFINISHED.fullmatch(path.name):
            continue  # another program's, which only that program can finish
        found.setdefault(_repo_name(path.parents[1].name), []).append(path)
    return found


def places() -> list[str]:
    """Where is looked, in words for a person."""
    folders = [*_own_folders(), hub_cache(), *_lm_studio_folders(), *_ollama_folders()]
    return ["the current folder", *map(str, folders)]


def _advice(name: str, entries: list[Entry]) -> str:
    """What the person who asked for a name that nothing has may have meant, or may do."""
    from difflib import get_close_matches

    name = name.removeprefix("hf:")
    meant = {alias: e.name for e in reversed(entries) for alias in e.aliases}
    meant |= {e.name.casefold(): e.name for e in entries}
    close = dict.fromkeys(meant[alias] for alias in get_close_matches(name.casefold(), meant, 6))
    advice = []
    if close:
        advice.append(f"did you mean {_listed(list(close)[:3], ' or ')}?")
    if re.fullmatch(r"[\w.-]+/[\w.-]+(:[\w.-]+)?", name):
        advice.append(f"`vatra pull hf:{printable(name)}` looks for it at Hugging Face")
    return "; ".join(advice or ["`vatra list` names those on this machine"])


def _listed(names: list[str], between: str = ", ") -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return between.join(map(printable, names[:_SHOWN])) + more


# Folders of files


def _own_folders() -> list[Path]:
    named = os.environ.get("VATRA_MODELS", "")
    return [Path(os.path.expanduser(folder)) for folder in named.split(os.pathsep) if folder]


def _files(place: str, folder: Path, depth: int = _DEPTH) -> Iterator[Entry]:
    """Models by the names of their files."""
    for variant in variants(_paths_in(folder, depth)):
        yield _entry(variant.file_name, "", variant, place, folder)


def _paths_in(folder: Path, depth: int) -> Iterator[str]:
    """Paths of GGUF files in a folder, with / between folders; none where it cannot be read."""
    left = _MOST_FILES
    pending = [("", depth)]
    while pending and left:
        inside, deeper = pending.pop()
        try:
            with os.scandir(folder / inside) as found:
                for item in found:
                    left -= 1
                    if left <= 0:
                        return
                    if item.name.lower().endswith(".gguf"):
                        if item.is_file():
                            yield inside + item.name
                    elif deeper > 1 and not item.name.startswith(".") and item.is_dir():
                        pending.append((f"{inside}{item.name}/", deeper - 1))
        except OSError:
            continue


def _entry(name: str, repo: str, variant: Variant, place: str, folder: Path) -> Entry:
    files = tuple(folder / path for path in variant.paths)
    return Entry(name, variant.quant, place, repo, files, variant.n_parts)


# Folders of repositories


def _named(repo: str, found: Iterable[Variant]) -> Iterator[tuple[str, Variant]]:
    """Each variant of a repository with its name: by its weights, or by its file if that is more.

    The names are what `vatra pull` takes.
    """
    found = list(found)
    count = Counter(variant.quant for variant in found)
    for variant in found:
        alone = variant.quant and count[variant.quant] == 1
        yield f"{repo}:{variant.quant}" if alone else f"{repo}/{variant.stem}", variant


def _lm_studio_folders() -> list[Path]:
    home = Path(os.path.expanduser("~"))
    return [home / ".lmstudio" / "models", home / ".cache" / "lm-studio" / "models"]


def _repositories(place: str, folder: Path) -> Iterator[Entry]:
    """Models of a folder that has a folder for each owner, with one for each repository in it."""
    repos: dict[str, list[str]] = {}
    for path in _paths_in(folder, _DEPTH):
        owner, _, rest = path.partition("/")
        repo, _, file = rest.partition("/")
        if file:
            repos.setdefault(f"{owner}/{repo}", []).append(file)
    for repo, files in sorted(repos.items()):
        for name, variant in _named(repo, variants(files)):
            yield _entry(name, repo, variant, place, folder / repo)


def _hub_models() -> Iterator[Entry]:
    """Models in the cache of Hugging Face; where revisions differ, those of the newest."""
    for folder in sorted(hub_cache().glob("models--*")):
        newest: dict[str, tuple[Variant, Path]] = {}
        for snapshot in _snapshots(folder):
            for variant in variants(_paths_in(snapshot, _DEPTH)):
                newest.setdefault(variant.stem, (variant, snapshot))
        repo = _repo_name(folder.name)
        for name, variant in _named(repo, (v for v, _ in newest.values())):
            yield _entry(name, repo, variant, HUB, newest[variant.stem][1])


def _snapshots(folder: Path) -> list[Path]:
    """The revisions of a cached repository: what `main` is first, then the last changed."""
    try:
        main = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        main = ""
    found = [p for p in (folder / "snapshots").glob("*") if _COMMIT.fullmatch(p.name)]
    return sorted(found, key=lambda p: (p.name == main, p.stat().st_mtime), reverse=True)


def _repo_name(folder: str) -> str:
    """owner/repo of the folder models--owner--repo."""
    return folder.removeprefix("models--").replace("--", "/")


# Ollama


def _ollama_folders() -> list[Path]:
    own = os.environ.get("OLLAMA_MODELS")
    if own:
        return [Path(own)]
    home = Path(os.path.expanduser("~"))
    return [home / ".ollama" / "models", Path("/usr/share/ollama/.ollama/models")]


def _ollama_models(folder: Path) -> Iterator[Entry]:
    """Models by the manifests, each a small JSON file that names a blob."""
    manifests = folder / "manifests"
    for manifest in sorted(manifests.glob("*/*/*/*")):
        try:
            layers = json.loads(manifest.read_text(encoding="utf-8"))["layers"]
            digests = [
                _DIGEST.fullmatch(layer["digest"])
                for layer in layers
                if layer["mediaType"] == "application/vnd.ollama.image.model"
            ]
        except (OSError, ValueError, LookupError, TypeError):
            continue
        files = tuple(folder / "blobs" / f"sha256-{found[1]}" for found in digests if found)
        if files and all(file.is_file() for file in files):
            host, owner, model, tag = manifest.relative_to(manifests).parts
            path = [] if host == "registry.ollama.ai" else [host]
            path += [] if owner == "library" else [owner]
            repo = "/".join([*path, model])
            yield Entry(f"{repo}:{tag}", "", "Ollama", repo, files, len(files))
