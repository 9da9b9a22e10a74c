"""Puts the meter into a template's syntax tree, where jinja2 offers no hook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jinja2 import TemplateSyntaxError, nodes
from jinja2.visitor import NodeTransformer

from vatra.formats.template_filters import CONCAT, MADE, ROUND, WEIGH, WEIGH_LIST


class Metering(NodeTransformer):
    """Puts the meter into a template's syntax tree, where jinja2 offers no hook."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        if node.test is not None:  # counted even where nothing passes
            node.test = nodes.And(
                _insert(ROUND, node, nodes.Const(0)), node.test, lineno=node.lineno
            )
        return self._counted(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        self.generic_visit(node)
        return self._counted(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:
        self.generic_visit(node)
        return self._counted(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _insert(CONCAT, node, *node.nodes)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        searched = [operand for operand in node.ops if operand.op in ("in", "notin")]
        sides = [node.expr, *(operand.expr for operand in node.ops)]
        # Nothing is long to compare with a literal, and a literal key is quick to hash.
        if searched or not any(isinstance(side, nodes.Const) for side in sides):
            if not isinstance(node.expr, nodes.Const):
                node.expr = _insert(WEIGH, node, node.expr)
            for operand in node.ops:
                name = WEIGH_LIST if len(node.ops) == 1 and searched else WEIGH
                operand.expr = _insert(name, node, operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        sliced = isinstance(node.arg, nodes.Slice) and node.ctx == "load"
        return _insert(MADE, node, node) if sliced else node

    def visit_List(self, node: nodes.List) -> nodes.Node:
        self.generic_visit(node)
        return _insert(MADE, node, node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return _insert(MADE, node, node) if node.ctx == "load" else node

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        self.generic_visit(node)
        return _insert(MADE, node, node)

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:
        self.generic_visit(node)
        node.key = _insert(WEIGH, node, node.key)
        return node

    def _refused(self, node: nodes.Node) -> nodes.Node:
        what = _REFUSED[type(node)]
        raise TemplateSyntaxError(f"{what} is not possible in a chat template", node.lineno)

    visit_Include = visit_Import = visit_FromImport = visit_Extends = _refused
    visit_Block = visit_ScopedEvalContextModifier = _refused

    def _counted(self, node: Any) -> nodes.Node:
        n_chars = sum(len(data.data) for part in node.body for data in _literal(part))
        count = _insert(ROUND, node, nodes.Const(n_chars))
        node.body.insert(0, nodes.ExprStmt(count, lineno=node.lineno))
        return node  # type: ignore[no-any-return]


_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
    nodes.Block: "block",
    nodes.ScopedEvalContextModifier: "autoescape",
}


def _literal(node: nodes.Node) -> Iterator[nodes.TemplateData]:
    if isinstance(node, nodes.TemplateData):
        yield node
    yield from node.find_all(nodes.TemplateData)


def _insert(name: str, near: nodes.Node, *values: nodes.Expr) -> nodes.Filter:
    """A call of one of our own filters."""
    return nodes.Filter(values[0], name, list(values[1:]), [], None, None, lineno=near.lineno)
