"""The model hub at Hugging Face: what a repository holds, and which of it is asked for.

Only `vatra pull` uses the network. The library of Hugging Face gives connections, the token and the
meaning of refusals; HF_TOKEN, HF_ENDPOINT and its other variables are heeded.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, unquote, urlsplit

import vatra
from vatra.cli.table import byte_size
from vatra.errors import Unavailable, UsageError, printable
from vatra.formats.variants import Variant, variants

if TYPE_CHECKING:
    from hashlib import _Hash

DEFAULT = "Q4_K_M"
LEAST_BITS = 4  # with fewer a model loses much
TIMEOUT_S = 20.0  # without a byte
_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_SHOWN = 8  # alternatives in a message
_NAME = r"[A-Za-z0-9][\w.-]{0,95}"
_REFERENCE = re.compile(rf"({_NAME}/{_NAME})(?::([\w.-]+))?(?:/(.+))?", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Interruption(Unavailable):
    """What may go well when it is tried again at once."""


@dataclass(frozen=True)
class Reference:
    """What a person asks for: a repository, and perhaps how its weights are kept, or a file."""

    repo: str  # owner/repo
    quant: str = ""
    file: str = ""
    revision: str = "main"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: its path, its bytes, and what they hash to."""

    path: str
    n_bytes: int
    digest: str  # of SHA-256, or where it has 40 digits git's SHA-1 of a blob

    def new_hash(self) -> _Hash:
        """What is to be fed with the file's bytes, to give `digest`."""
        if _SHA256.fullmatch(self.digest):
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.n_bytes, usedforsecurity=False)


@dataclass(frozen=True)
class Repository:
    """What the hub says of a repository at one commit."""

    name: str  # owner/repo
    revision: str
    commit: str
    files: Mapping[str, RemoteFile] = field(default_factory=dict)  # the GGUF files, by path
    architecture: str = ""  # empty if the hub does not say

    def n_bytes(self, variant: Variant) -> int:
        """Bytes of all parts."""
        return sum(self.files[path].n_bytes for path in variant.paths)


def endpoint() -> str:
    """The address of the hub; UsageError if HF_ENDPOINT is none."""
    address = (os.environ.get("HF_ENDPOINT") or f"https://{_HOSTS[0]}").rstrip("/")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"HF_ENDPOINT: got {printable(address)!r}, wanted an address like https://"
        )
    return address


def parse(text: str) -> Reference:
    """What `owner/repo[:quant][/file]`, with `hf:` or an address of the hub before it, asks for."""
    if re.match("https?://", text):
        parts = urlsplit(text)
        hosts = (*_HOSTS, urlsplit(endpoint()).hostname)
        if parts.hostname not in hosts:
            raise UsageError(f"{printable(text)}: models are fetched from {_HOSTS[0]} alone")
        path = unquote(parts.path).strip("/").split("/")
        if path[2:3] and path[2] in ("blob", "resolve", "tree") and len(path) > 3:
            file = "/".join(path[4:]) if path[2] != "tree" else ""
            return _checked(text, "/".join(path[:2]), "", file, path[3])
        text = "/".join(path)
    for start in ("hf://", "hf:", *(f"{host}/" for host in _HOSTS)):
        text = text.removeprefix(start)
    found = _REFERENCE.fullmatch(text)
    if not found:
        raise _no_reference(text)
    return _checked(text, found[1], found[2] or "", found[3] or "", "main")


def _checked(text: str, repo: str, quant: str, file: str, revision: str) -> Reference:
    if not re.fullmatch(f"{_NAME}/{_NAME}", repo, re.ASCII) or re.search(r"--|\.\.", repo):
        raise _no_reference(text)
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise UsageError(f"{printable(text)}: {printable(revision)} is no name of a revision")
    return Reference(repo, quant, file, revision)


def _no_reference(text: str) -> UsageError:
    wanted = "owner/repo or owner/repo:quant, as in hf:ggml-org/gemma-3-270m-it-GGUF:Q8_0"
    return UsageError(f"{printable(text)}: wanted {wanted}")


# What is there


def look_up(reference: Reference) -> Repository:
    """The GGUF files of a repository; Unavailable with the reason where the hub does not tell."""
    from huggingface_hub import get_session, hf_raise_for_status

    address = f"{endpoint()}/api/models/{reference.repo}/revision/"
    with explained(reference.repo):
        response = get_session().get(
            address + quote(reference.revision, safe=""),
            params={"blobs": True},
            headers=request_headers(),
            timeout=TIMEOUT_S,
        )
        hf_raise_for_status(response)
    try:
        return _repository(reference, response.json())
    except (ValueError, LookupError, TypeError, AttributeError):
        what = f"{urlsplit(endpoint()).netloc} gives an answer that is none of a model hub"
        raise Unavailable(f"{reference.repo}: {what}; is HF_ENDPOINT right?") from None


def _repository(reference: Reference, answer: Mapping[str, Any]) -> Repository:
    """What the hub's JSON says; Unavailable for names that would leave the model's folder."""
    commit = answer["sha"]
    if not _COMMIT.fullmatch(commit):
        raise ValueError
    files = {}
    for item in answer["siblings"]:
        path = item["rfilename"]
        if not path.lower().endswith(".gguf"):
            continue
        if not _stays_inside(path):
            raise Unavailable(
                f"{reference.repo}: the hub names a file {printable(path)!r}, "
                "which would leave the model's folder: nothing was fetched"
            )
        large = item.get("lfs")
        digest = large["sha256"] if large else item["blobId"]
        if not (_SHA256 if large else _COMMIT).fullmatch(digest):
            raise ValueError
        files[path] = RemoteFile(path, int((large or item)["size"]), digest)
    told = (answer.get("gguf") or {}).get("architecture")
    architecture = told if isinstance(told, str) else ""
    return Repository(reference.repo, reference.revision, commit, files, architecture)


def _stays_inside(path: str) -> bool:
    """True if every part of a path is a plain name on any system."""
    parts = path.split("/")
    return path.isprintable() and not any(
        p in ("", ".", "..") or set(p) & set("\\:") for p in parts
    )


def choose(repository: Repository, reference: Reference) -> tuple[Variant, list[Variant]]:
    """The model that is asked for, and the others; UsageError where it is not there, or not clear.

    Where nothing is asked for it is Q4_K_M, else the smallest of at least 4 bits, else the largest.
    """
    there = variants(repository.files)
    if not there:
        raise UsageError(
            f"{repository.name}: holds no GGUF model; look for a repository of that model "
            "with GGUF in its name"
        )
    found = there
    if reference.file:
        found = [v for v in found if _is_file(v, reference.file)]
    if reference.quant:
        found = [v for v in found if v.quant.casefold() == reference.quant.casefold()]
    if not found:
        asked = printable(reference.file or reference.quant)
        raise UsageError(f"{repository.name}: has no {asked}; it has {listed(repository, there)}")
    if not reference.file and not reference.quant:
        found = _by_default(repository, found)
    if len(found) > 1:
        raise UsageError(
            f"{repository.name}: name one of its models, as in "
            f"`vatra pull hf:{repository.name}/{printable(found[0].stem)}`: "
            f"it has {listed(repository, found, by_file=True)}"
        )
    return found[0], [v for v in there if v is not found[0]]


def _is_file(variant: Variant, file: str) -> bool:
    """True if `file` names the model, or one of its parts, with or without folders and ending."""
    names = {variant.stem, f"{variant.stem}.gguf", *variant.paths}
    return file in names | {name.rpartition("/")[2] for name in names}


def _by_default(repository: Repository, found: list[Variant]) -> list[Variant]:
    """The models that share the weight format to take where none is named."""
    quants = {v.quant: v for v in found if v.quant}
    if not quants:
        return found
    if DEFAULT not in quants:
        by_size = sorted(quants, key=lambda q: repository.n_bytes(quants[q]))
        enough = [q for q in by_size if int(re.findall(r"\d+", q)[0]) >= LEAST_BITS]
        chosen = enough[0] if enough else by_size[-1]
    else:
        chosen = DEFAULT
    return [v for v in found if v.quant == chosen]


def listed(repository: Repository, found: list[Variant], by_file: bool = False) -> str:
    """Models with their sizes, for a message."""
    by_size = sorted(found, key=repository.n_bytes)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (
        ", ".join(
            f"{printable(v.stem if by_file or not v.quant else v.quant)} "
            f"({byte_size(repository.n_bytes(v))})"
            for v in by_size[:_SHOWN]
        )
        + more
    )


# Requests


def file_address(repository: Repository, path: str) -> str:
    """Where a file's bytes are asked for, at the very commit that was looked up."""
    return f"{endpoint()}/{repository.name}/resolve/{repository.commit}/{quote(path)}"


def request_headers() -> dict[str, str]:
    """The headers of a request to the hub; nothing else about this machine is told.

    A redirect to another host does not take the token along.
    """
    from huggingface_hub import constants, get_token

    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    headers = {"user-agent": f"vatra/{vatra.__version__}", "accept-encoding": "identity"}
    return headers | ({"authorization": f"Bearer {token}"} if token else {})


@contextmanager
def explained(repo: str) -> Iterator[None]:
    """Within the block, the refusals of the hub and of the network become Unavailable."""
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as error:
        _explain(repo, error)
    except errors.OfflineModeIsEnabled:
        why = "HF_HUB_OFFLINE is set, so nothing is fetched"
        raise Unavailable(f"{repo}: {why}; unset it to go on") from None
    except errors.HTTPError as error:  # type: ignore[attr-defined] # of any HTTP library it uses
        why = str(error) or type(error).__name__
        raise Interruption(
            f"{repo}: {urlsplit(endpoint()).netloc} cannot be reached ({printable(why)}); "
            "check the network, and HTTPS_PROXY if there is a proxy, and try again"
        ) from None


def _explain(repo: str, error: Any) -> NoReturn:
    """Say in one line what a refusal means, and what to do."""
    from huggingface_hub import errors

    status = error.response.status_code
    at_hub = f"{endpoint()}/{repo}"
    settings = f"{endpoint()}/settings/tokens"
    if isinstance(error, errors.GatedRepoError):
        why = f"its owner wants terms accepted at {at_hub}; do so, and set HF_TOKEN to your token"
    elif isinstance(error, errors.RepositoryNotFoundError):
        why = f"no such repository, or a private one ({status}); check the name at {at_hub}"
        why += ", and for a private one set HF_TOKEN to a token that may read it"
    elif isinstance(error, errors.RevisionNotFoundError):
        why = f"no such revision ({status}); see {at_hub}"
    elif status == 401:
        why = f"the hub does not know the token (401); set HF_TOKEN to one of {settings}"
    elif status == 403:
        why = f"the token may not read it (403); give it the right to at {settings}"
    elif status == 404:
        why = f"no such file there (404); see {at_hub}"
    elif status == 429:
        wait = error.response.headers.get("retry-after", "")
        wait = f"{wait} seconds" if wait.isdecimal() else "some minutes"
        why = f"too many requests (429); try again in {wait}, or set HF_TOKEN: it allows more"
    else:
        why = f"the hub has trouble of its own ({status}); try again later"
        raise Interruption(f"{repo}: {why}") from None
    raise Unavailable(f"{repo}: {why}") from None
