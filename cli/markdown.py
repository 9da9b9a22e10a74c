"""Markdown as lines of a terminal, block by block, while it is still being written.

What a model writes is text: HTML, control characters and entities that stand for them are shown as
they are, links and images with their addresses, and nothing of it becomes an escape sequence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich import markdown as elements
from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from vatra.cli.terminal import plain

THEME = Theme(
    {
        # Named colours of the person's own terminal, so that dark and light ones are both readable.
        "markdown.code": "cyan",
        "markdown.block_quote": "italic",
        "markdown.item.bullet": "bold",
        "markdown.item.number": "bold",
        "markdown.hr": "dim",
        "markdown.table.border": "dim",
        "markdown.table.header": "bold",
        **{f"markdown.h{level}": "bold" for level in range(3, 7)},
        "markdown.h1": "bold underline",
        "markdown.h2": "bold underline",
    }
)
CODE_COLOURS = "ansi_dark"  # of the terminal's own 16 colours
MOST_CODE_LINES = 48  # of a block that is still written: what is above is not coloured again
BEGUN = 4  # characters that tell what a line begins: "---", "1.", "```"


class Line(NamedTuple):
    """A line of a terminal: its text with escape sequences of ours, and the cells it takes."""

    text: str
    cells: int


@dataclass(frozen=True)
class Block:
    """A block that is not part of another, or an item of a list that is not."""

    kind: str  # the type of its first token, or "item"
    tokens: Sequence[Token]
    begin: int  # its lines of the source, from 0
    end: int


class Writer:
    """Makes lines of a Markdown text that grows.

    `push` and `finish` return lines that are final, `draft` those of what may still change.
    """

    def __init__(self) -> None:
        self._parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
        # A definition of a link's address would not be shown at all.
        self._parser.disable("reference")
        self._source = ""  # what is not final, escaped
        self._held = ""
        self._before = ""  # the kind of the last final block
        self._code_above = False  # the block of code that the source begins with goes on

    def push(self, text: str, width: int) -> list[Line]:
        """The lines that are final now that `text` was written."""
        text, self._held = self._held + text, ""
        if text.endswith("\r"):  # perhaps half a line end
            text, self._held = text[:-1], "\r"
        self._source += plain(text)
        blocks = self._blocks()
        if not blocks:
            return []
        *done, last = blocks
        lines = self._source.splitlines(keepends=True)
        if len("".join(lines[last.begin :]).strip()) < BEGUN:
            done = done[:-1]  # what begins here may still belong to the block before
        final = self._lines(done, width)
        if done:
            self._drop(lines, done[-1].end)
        return final + self._code_lines(width)

    def draft(self, width: int) -> list[Line]:
        """The lines of what may still change."""
        before, above = self._before, self._code_above
        lines = self._lines(self._blocks(), width)
        self._before, self._code_above = before, above
        return lines

    def finish(self, width: int) -> list[Line]:
        """The lines of the rest, now that nothing follows."""
        self._source += plain(self._held)
        lines = self._lines(self._blocks(), width)
        self._source = self._held = self._before = ""
        return lines

    def _drop(self, lines: Sequence[str], n_lines: int) -> None:
        self._source = "".join(lines[n_lines:]).lstrip("\n")

    def _code_lines(self, width: int) -> list[Line]:
        """Lines that are final of a long block of code, which the source then begins without."""
        lines = self._source.splitlines(keepends=True)
        if len(lines) < 2 * MOST_CODE_LINES:
            return []
        blocks = self._blocks()
        if len(blocks) != 1 or blocks[0].kind != "fence" or _is_closed(blocks[0], lines):
            return []
        first = blocks[0].begin
        cut = first + 1 + MOST_CODE_LINES
        whole, self._source = self._source, "".join(lines[:cut])
        final = self._lines(self._blocks(), width)
        self._source = lines[first] + whole[len(self._source) :]
        self._code_above = True
        return final

    def _blocks(self) -> list[Block]:
        return list(_blocks(self._parser.parse(self._source)))

    def _lines(self, blocks: Iterable[Block], width: int) -> list[Line]:
        """The lines of `blocks`, with an empty one between two that are not items of a list."""
        lines: list[Line] = []
        source = self._source.splitlines()
        for block in blocks:
            together = block.kind == "item" == self._before or self._code_above
            if self._before and not together:
                lines.append(Line("", 0))
            if block.kind == "fence":
                info, mark = block.tokens[0].info, block.tokens[0].markup
                if not self._code_above:
                    lines += _lines_of(Text(f"{mark}{info}", style="dim"), width)
                if block.tokens[0].content:
                    language = info.partition(" ")[0]
                    code = _coloured(plain(block.tokens[0].content), language)
                    lines += _lines_of(code, width)
                if _is_closed(block, source):
                    lines += _lines_of(Text(mark, style="dim"), width)
            else:
                lines += _trimmed(_lines_of(_Markdown(block.tokens), width))
            self._before, self._code_above = block.kind, False
        return lines


def _blocks(tokens: Sequence[Token]) -> Iterator[Block]:
    """The outermost blocks, and the items of outermost lists apart."""
    begin = 0
    for i, token in enumerate(tokens):
        if token.level == 0 and token.nesting == 1:
            begin = i
        if token.level != 0 or token.nesting == 1:
            continue
        opening = tokens[begin] if token.nesting == -1 else token
        lines = opening.map or [0, 0]
        if opening.type in ("bullet_list_open", "ordered_list_open"):
            yield from _items(tokens[begin : i + 1])
        else:
            inner = tokens[begin : i + 1] if token.nesting == -1 else [token]
            yield Block(opening.type, inner, lines[0], lines[1])


def _items(tokens: Sequence[Token]) -> Iterator[Block]:
    """Each item of a list as a list of its own."""
    number, begin = int(tokens[0].attrs.get("start", 1)), 0
    for i, token in enumerate(tokens):
        if token.level != 1 or token.type not in ("list_item_open", "list_item_close"):
            continue
        if token.nesting == 1:
            begin = i
            continue
        opening = tokens[0].copy(attrs={"start": number})
        lines = tokens[begin].map or [0, 0]
        yield Block("item", [opening, *tokens[begin : i + 1], tokens[-1]], lines[0], lines[1])
        number += 1


def _is_closed(block: Block, source: Sequence[str]) -> bool:
    """Whether a block of code has its closing line."""
    mark = block.tokens[0].markup
    last = source[block.end - 1].strip() if block.end <= len(source) else ""
    return block.end - block.begin > 1 and last.startswith(mark) and not last.strip(mark[0])


# ---- elements ------------------------------------------------------------------------------------


class _Heading(elements.Heading):
    LEVEL_ALIGN = dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "left")  # type: ignore[assignment]


class _Code(elements.CodeBlock):
    """A block of code inside another block."""

    @classmethod
    def create(cls, _markdown: elements.Markdown, token: Token) -> _Code:
        return cls(token.info.partition(" ")[0], CODE_COLOURS)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield _coloured(str(self.text), self.lexer_name)


class _Table(elements.TableElement):
    """A table whose cells are never cut."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in super().__rich_console__(console, options):
            if isinstance(table, Table):
                for column in table.columns:
                    column.overflow = "fold"
            yield table


class _Markdown(elements.Markdown):
    """Some tokens of a text, with our elements."""

    elements = elements.Markdown.elements | {
        "heading_open": _Heading,
        "fence": _Code,
        "code_block": _Code,
        "table_open": _Table,
    }

    def __init__(self, tokens: Sequence[Token]) -> None:
        super().__init__("", code_theme=CODE_COLOURS, hyperlinks=False)
        self.parsed = [_tamed(token) for token in tokens]


def _tamed(token: Token) -> Token:
    """A token whose text cannot steer, links and images with their addresses as text."""
    if token.type == "inline":
        return token.copy(children=list(_inline(token.children or [])))
    return token.copy(content=plain(token.content), info=plain(token.info))


def _inline(tokens: Sequence[Token]) -> Iterator[Token]:
    label, address = "", ""
    for token in tokens:
        if token.type == "link_open":
            label, address = "", str(token.attrs.get("href", ""))
        elif token.type == "link_close":
            if address and address not in (label, f"mailto:{label}"):
                yield Token("text", "", 0, content=plain(f" ({address})"))
        elif token.type == "image":
            said = f"[image: {token.content}] ({token.attrs.get('src', '')})"
            yield Token("text", "", 0, content=plain(said))
        else:
            label += token.content
            # Line ends are kept: models mean them, as in a poem or an address.
            kind = "hardbreak" if token.type == "softbreak" else token.type
            yield token.copy(type=kind, content=plain(token.content))


def _coloured(code: str, language: str) -> Text:
    """A block of code in colours, if its language is known."""
    syntax = Syntax("", language or "text", theme=CODE_COLOURS, background_color="default")
    text = syntax.highlight(code)
    text.remove_suffix("\n")
    text.no_wrap = False
    return text


# ---- lines ---------------------------------------------------------------------------------------


def _lines_of(part: RenderableType, width: int) -> list[Line]:
    """`part` as lines of at most `width` cells."""
    console = Console(
        width=width,
        theme=THEME,
        force_terminal=True,
        legacy_windows=False,
        highlight=False,
        emoji=False,
        markup=False,
        file=StringIO(),
    )
    return [_line(line) for line in console.render_lines(part, pad=False)]


def _trimmed(lines: list[Line]) -> list[Line]:
    """`lines` without empty ones at their beginning and end."""
    full = [i for i, line in enumerate(lines) if line.cells]
    return lines[full[0] : full[-1] + 1] if full else []


def _line(segments: Sequence[Segment]) -> Line:
    """Escape sequences are made of styles alone: a text has none, whatever it came from."""
    kept = [s for s in segments if not s.control]
    while kept and not kept[-1].text.strip():  # blanks up to the right edge
        kept.pop()
    if kept:
        kept[-1] = Segment(kept[-1].text.rstrip(), kept[-1].style)
    texts = [(plain(segment.text), segment.style) for segment in kept]
    written = "".join(_styled(text, style) for text, style in texts)
    return Line(written, sum(cell_len(text) for text, _ in texts))


def _styled(text: str, style: Style | None) -> str:
    if style is None:
        return text
    return style.update_link(None).render(text, color_system=ColorSystem.STANDARD)
