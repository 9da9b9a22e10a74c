"""Templates that a stranger wrote, in a jinja2 without a way out: what the helper process runs.

jinja2 refuses what leads out of it; the process refuses what takes too long or too much. Here are
only the few operations that neither would stop in time to say in which line they are.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_CHARS = 4 * 2**20  # that a template writes, on top of what it is given
MOST_BITS = 2**16  # of an integer
FILTERS = {
    *("abs", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape"),
    *("first", "float", "format", "groupby", "indent", "int", "items", "join", "last", "length"),
    *("list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round"),
    *("safe", "select", "selectattr", "slice", "sort", "string", "sum", "title", "trim"),
    *("truncate", "unique", "upper", "wordcount"),
}


class TooMuch(TemplateError):
    """A template asks for more than it may use."""


class Refused(TemplateError):
    """A template says, by raise_exception, that it can not show these messages."""


class _Generation(Extension):
    """{% generation %} marks what the model wrote, for training; here its body is simply shown."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class Sandbox(ImmutableSandboxedEnvironment):
    """Hugging Face's environment for chat templates, with less in it.

    `stand_ins` are the characters that stand for others in what is rendered now: see `Guard`.
    """

    intercepted_binops = frozenset(("*", "**", "%"))
    stand_ins: dict[str, str]

    def __init__(self) -> None:
        extensions = [LoopControlExtension, _Generation]
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
        self.stand_ins = {}
        self.globals = {name: self.globals[name] for name in ("range", "namespace", "dict")}
        self.globals |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
        self.filters = {name: f for name, f in self.filters.items() if name in FILTERS}
        self.filters |= {"tojson": self._to_json, "from_json": self._from_json}

    def unsafe_undefined(self, obj: Any, attribute: str) -> Any:
        if attribute.startswith("_"):
            raise SecurityError(f"{attribute!r} of {type(obj).__name__} is not allowed")
        return super().unsafe_undefined(obj, attribute)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str) and re.search(r"%[^%a-zA-Z]*(\*|\d{6})", left):
            raise TooMuch("asks for a field that wide")
        if isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * abs(right) if operator == "**" else 0
            if max(bits, left.bit_length() + right.bit_length()) > MOST_BITS:
                raise TooMuch(f"makes an integer of more than {MOST_BITS} bits")
        elif operator == "*":
            for sequence, n in ((left, right), (right, left)):
                long = hasattr(sequence, "__len__") and isinstance(n, int)
                if long and len(sequence) * n > MOST_CHARS:
                    raise TooMuch(f"makes something of more than {MOST_CHARS} parts")
        return super().call_binop(context, operator, left, right)

    def _to_json(self, value: Any, ensure_ascii: bool = False, **how: Any) -> str:
        text = json.dumps(value, ensure_ascii=ensure_ascii, **how)
        for stand_in in self.stand_ins.values() if ensure_ascii else ():
            text = text.replace(json.dumps(stand_in)[1:-1], stand_in)
        return text

    def _from_json(self, text: str) -> Any:
        """The value of a JSON text, its strings as those of messages are."""
        back = str.maketrans({stand_in: char for char, stand_in in self.stand_ins.items()})
        there = str.maketrans(self.stand_ins)

        def protected(value: Any) -> Any:
            if isinstance(value, dict):
                return {key.translate(there): protected(item) for key, item in value.items()}
            if isinstance(value, list):
                return [protected(item) for item in value]
            return value.translate(there) if isinstance(value, str) else value

        return protected(json.loads(text.translate(back)))

    @lru_cache(maxsize=8)  # noqa: B019 - there is one, which lives as long as its process
    def compiled(self, source: str) -> Template:
        return self.from_string(source)

    def line_of(self, error: BaseException, source: str) -> int | None:
        """The line of the template where this error was raised, if that is known."""
        found, trace = getattr(error, "lineno", None), error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == "<template>" and trace.tb_lineno:
                found = self.compiled(source).get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        return found

    def rendered(self, source: str, variables: dict[str, Any], most_chars: int) -> str:
        """What the template writes; TooMuch if that is more than `most_chars`."""
        parts: list[str] = []
        template = self.compiled(source)
        writing: Any = template.root_render_func(template.new_context(variables))
        for part in writing:
            parts.append(part)
            most_chars -= len(part)
            if most_chars < 0:
                writing.throw(TooMuch("writes too much text"))  # there, so that its line is known
        return "".join(parts)


def _raise_exception(message: Any) -> None:
    raise Refused(str(message)[:1000])


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)
