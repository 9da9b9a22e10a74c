"""Characters that stand in a message for those at which a control token begins or ends.

Whatever a template cuts, joins or changes while they stand there, only what it wrote itself is a
control token. Each is one symbol that neither the template nor any message has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from vatra.formats.special_tokens import SpecialTokens

# Those that str.__repr__ shows as they are, then private ones.
POOL = (range(0x1D800, 0x1DA00), range(0xF0000, 0xFFFFE))
UNKNOWN_EDGES = frozenset("<>[]|\u2581\uff5c")  # where the control tokens are not known
ROLES = ("system", "developer", "user", "assistant", "tool", "function", "ipython", "model")
TAG = r"<[^<>\s'\"]+>"


class Segment(NamedTuple):
    """A piece of a rendered conversation.

    `special`: control tokens written in it are meant. Without it they came from a message, and are
    ordinary text.
    """

    text: str
    special: bool


class Guarded(NamedTuple):
    """A template's variables with stand-ins in their texts, and by character what stands for it."""

    variables: dict[str, Any]
    stand_ins: dict[str, str]
    hostile: bool  # some text has a control token in it as it is

    def restored(self, text: str) -> str:
        """`text` with the characters that were replaced."""
        return text.translate({ord(to): char for char, to in self.stand_ins.items()})


class Guard:
    """Keeps the texts of control tokens out of what a template is given; None: they are unknown."""

    def __init__(self, control: Iterable[str] | None, source: str) -> None:
        known = [text for text in control or () if text]
        self._source, self._known, self._all = source, control is not None, "\n".join(known)
        self._edges = set() if self._known else set(UNKNOWN_EDGES)
        self._inner: set[str] = set()  # what needs only signs around it to be a control token
        words: list[str] = []
        for text in known:
            edges = {char for char in (text[0], text[-1]) if not (char.isalnum() or char.isspace())}
            self._edges |= edges
            words += [] if edges else [text]
            if match := re.fullmatch(r"(\W{1,3})(\w|\w.*\w)(\W{1,3})", text, re.DOTALL):
                ends = range(match.end(2), len(text))
                self._inner |= {text[i:j].lower() for i in range(1, match.end(1) + 1) for j in ends}
        # What the template itself looks for in messages must be there to be found.
        self._inner -= set(re.findall(r"['\".](\w+)", source))
        self._tags = set(re.findall(TAG, source)) if self._known else set()
        self._special = SpecialTokens(dict.fromkeys(known, 0))
        self._words = SpecialTokens(dict.fromkeys(words, 0))
        signs = "".join(map(re.escape, sorted(self._edges)))
        self._places = re.compile(f"{TAG}|[{signs}]" if signs else "(?!)")

    def guard(self, variables: Mapping[str, Any]) -> Guarded:
        """The variables as the template may see them; they are from `copied`."""
        text = json.dumps(variables, ensure_ascii=False)
        used = set(text + self._source)
        stand_ins = _StandIns(chr(i) for pool in POOL for i in pool if chr(i) not in used)

        def place(match: re.Match[str]) -> str:
            if match[0] in self._tags and match[0] not in self._all:
                return match[0]
            return "".join(stand_ins[c] if c in self._edges else c for c in match[0])

        def change(text: str, key: str) -> str:
            bare = text.strip()
            # Templates write a role within a control token: '<|' + role + '|>'.
            if bare.lower() in self._inner and not (key == "role" and bare in ROLES):
                text = text.replace(bare[0], stand_ins[bare[0]], 1)
            for begin, _, _ in self._words.find(text):
                text = text[:begin] + stand_ins[text[begin]] + text[begin + 1 :]
            return self._places.sub(place, text)

        if "from_json" in self._source:  # which makes any sign of an escape sequence
            stand_ins |= {char: stand_ins[char] for char in self._edges}
        changed = {name: copied(value, change, name) for name, value in variables.items()}
        return Guarded(changed, dict(stand_ins), any(self._spans(text)))

    def segments(self, plain: str, safe: str, guarded: Guarded) -> list[Segment]:
        """What was rendered without and with stand-ins, cut where a control token is not one."""
        restored = guarded.restored
        if not self._known:
            parts = re.split(f"([{''.join(guarded.stand_ins.values())}]+)", safe)
            return [Segment(restored(part), i % 2 == 0) for i, part in enumerate(parts) if part]
        meant, found = self._spans(safe), self._spans(plain)
        if plain == restored(safe):
            harmless = meant == found
        else:  # the template looks for something that a stand-in stood for
            harmless = [safe[a:b] for a, b in meant] == [plain[a:b] for a, b in found]
            harmless = harmless and not guarded.hostile
        if harmless:
            return [Segment(plain, True)]
        segments: list[Segment] = []
        before, at, text = 0, 0, ""
        for begin, end in [*meant, (len(safe), len(safe))]:
            # A control token, what follows it, and the next one, as a tokenizer would see them.
            around = [(a - before, b - before) for a, b in ((before, at), (begin, end)) if a < b]
            if self._spans(restored(safe[before:end])) == around:
                text += restored(safe[at:end])
            else:
                segments += [Segment(text, True), Segment(restored(safe[at:begin]), False)]
                text = safe[begin:end]
            before, at = begin, end
        return [segment for segment in (*segments, Segment(text, True)) if segment.text]

    def _spans(self, text: str) -> list[tuple[int, int]]:
        return [(begin, end) for begin, end, _ in self._special.find(text)]


class _StandIns(dict[str, str]):
    def __init__(self, unused: Iterable[str]) -> None:
        self._unused = iter(unused)

    def __missing__(self, char: str) -> str:
        self[char] = next(self._unused)
        return self[char]


def copied(
    value: Any,
    change: Callable[[str, str], str] = lambda text, _: text,
    key: str = "",
    depth: int = 64,
) -> Any:
    """A copy of lists and mappings in which every text is `change(text, its key)`.

    Raises ValueError where they are nested more than `depth` deep, TypeError for anything that is
    no text, number, list or mapping.
    """
    if isinstance(value, str):
        return change(value, key)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth <= 0:
        raise ValueError("nested too deeply")
    if isinstance(value, (list, tuple)):
        return [copied(item, change, key, depth - 1) for item in value]
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {
            change(name, ""): copied(item, change, name, depth - 1) for name, item in value.items()
        }
    raise TypeError(
        f"got {type(value).__name__}, wanted text, a number, a list or a mapping of text"
    )
