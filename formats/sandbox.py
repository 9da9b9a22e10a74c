"""Templates that a stranger wrote: jinja2 without a way out, and with a limit on all it may use.

Every operation that could take long or make much goes through a `Meter`: operators, calls, filters,
tests, loops, literals and output. What is not listed here can not be called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2 import Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import Namespace

from vatra.formats.provenance import joined, plain
from vatra.formats.template_filters import FILTERS, NO_TESTS, weighed_test
from vatra.formats.template_meter import MOST_ITEMS, OBJECT_BYTES, Meter, Refused, TooMuch
from vatra.formats.template_metering import Metering
from vatra.formats.template_methods import MAPPING_METHODS, methods_of
from vatra.formats.template_text import Format, binary, text_of

MOST_TAGS = 3000  # {{ and {% in a template, and
MOST_NODES = 20_000  # of its syntax tree, since compiling takes long too
_STOCK_TESTS: dict[str, Any] = {**TESTS}
_LOOP_ATTRIBUTES = frozenset(
    ("index", "index0", "revindex", "revindex0", "first", "last", "length")
    + ("previtem", "nextitem", "depth", "depth0", "cycle", "changed")
)


def _range(*bounds: int) -> range:
    made = range(*bounds)
    try:
        n = len(made)
    except OverflowError:
        n = MOST_ITEMS + 1
    if n > MOST_ITEMS // 2:
        raise TooMuch(f"asks for a range of more than {MOST_ITEMS // 2} numbers")
    return made


def _raise_exception(message: Any) -> None:
    raise Refused(str(message)[:1000])


def _strftime_now(pattern: str) -> str:
    if len(pattern) > 200 or re.search(r"%[^a-zA-Z%]*[0-9]", pattern):
        raise TooMuch("asks for a date that long")
    return datetime.now().strftime(plain(pattern))


_SCOPES = ("_loop_vars", "_block_vars")  # what compiled templates hand along with every call


class _Generation(Extension):
    """{% generation %} marks what the model wrote, for training; here its body is simply shown."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(
            parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line
        )


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of one template; `meter` is renewed for every rendering."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[LoopControlExtension, _Generation],
            cache_size=0,
        )
        self.meter = Meter()
        self._functions = {"range": _range, "namespace": Namespace, "dict": dict}
        self._functions |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
        self.globals = dict(self._functions)
        self.filters = dict(FILTERS)
        self.tests = {
            name: test if name in ("defined", "undefined") else weighed_test(name, test)
            for name, test in _STOCK_TESTS.items()
            if name not in NO_TESTS
        }
        self.finalize = self._finalize
        self.concat = self._concat  # type: ignore[method-assign,assignment]

    def compiled(self, source: str) -> Any:
        """The template of `source`; what it does is metered."""
        n_tags = source.count("{{") + source.count("{%")
        if n_tags > MOST_TAGS:
            raise TooMuch(f"has {n_tags} tags, wanted at most {MOST_TAGS}")
        tree = self.parse(source)
        n_nodes = sum(1 for _ in tree.find_all(nodes.Node))
        if n_nodes > MOST_NODES:
            raise TooMuch(f"has {n_nodes} parts, wanted at most {MOST_NODES}")
        code = self.compile(Metering().visit(tree))
        return self.template_class.from_code(self, code, self.make_globals(None))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        return binary(self.meter, operator, left, right, self.binop_table[operator])

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Only methods and attributes that are listed here."""
        if attr.startswith("_"):
            return False
        if isinstance(obj, (str, dict, list, tuple)):
            if isinstance(obj, str) and attr == "format":
                return True
            of_group = isinstance(obj, tuple) and attr in ("grouper", "list")
            return of_group or attr in methods_of(obj)
        if isinstance(obj, LoopContext):
            return attr in _LOOP_ATTRIBUTES
        return isinstance(obj, (Namespace, Undefined)) or (
            isinstance(obj, Macro) and attr == "name"
        )

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Internals are an error at once, a method that is not offered is one when it is called."""
        what = f"attribute {attribute!r} of {type(obj).__name__}"
        if attribute.startswith("_"):
            raise SecurityError(what)
        return self.undefined(what, name=attribute, obj=obj, exc=SecurityError)

    def wrap_str_format(self, value: Any) -> None:
        """str.format is handled where it is called, like every other method."""
        return None

    def getattr(self, obj: Any, attribute: str) -> Any:
        # A key that happens to be named like a method that is not allowed is still a key.
        if isinstance(obj, dict) and attribute in obj and attribute not in MAPPING_METHODS:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        self.meter.tick()
        if isinstance(argument, tuple):
            self.meter.weigh(argument)
        return super().getitem(obj, argument)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: B902, N805
        self, meter = __self, __self.meter
        meter.spend(OBJECT_BYTES)
        scopes = {name: kwargs.pop(name) for name in _SCOPES if name in kwargs}
        if isinstance(__obj, (BuiltinMethodType, MethodType)):
            owner, name = __obj.__self__, __obj.__name__
            if isinstance(owner, str) and name == "format":
                return Format(self).formatted(owner, args, kwargs)
            if isinstance(__obj, BuiltinMethodType) and name in methods_of(owner):
                return methods_of(owner)[name](meter, owner, *args, **kwargs)
            if isinstance(owner, LoopContext) and name in ("cycle", "changed"):
                meter.weigh(list(args))
                return __obj(*args)
        elif __obj is dict or __obj is Namespace:
            n = sum(len(a) for a in args if hasattr(a, "__len__")) + len(kwargs)
            meter.items(n + 4, 80)
            meter.weigh([*args])
            return __obj(*args, **kwargs)
        elif (
            isinstance(__obj, (Macro, LoopContext, Undefined)) or __obj in self._functions.values()
        ):
            meter.items(len(args) + len(kwargs))
            return super().call(__context, __obj, *args, **kwargs, **scopes)
        raise SecurityError(f"may not call {getattr(__obj, '__name__', type(__obj).__name__)}")

    def _finalize(self, value: Any) -> str:
        return text_of(self.meter, value)

    def _concat(self, parts: Iterable[str]) -> str:
        found = list(parts)
        self.meter.allow(sum(map(len, found)))
        return self.meter.text(joined(found))
