"""Markdown on a terminal while it is written: what stands there at the end, whatever the pieces."""

from __future__ import annotations

import random
import re

import pytest
from rich.cells import cell_len

from vatra.cli import tail, terminal
from vatra.cli.markdown import MOST_CODE_LINES, Line, Writer
from vatra.cli.tail import Tail

STYLES = re.compile(r"\x1b\[[0-9;]*m")
DOCUMENT = """\
# Sorting *things*

There are **two** ways: `sorted` makes a *new* list, and a [link](https://example.org/a) is told.
A line end is kept. <b>HTML</b> is text; so is

<div>a block</div>

- one
- two
  1. nested
  2. more

     ```sh
     ls -l
     ```

  of two paragraphs
- three

1) first
2) second

> quoted **loudly**

```python
def shortest(words):
    return min(words, key=len)  # a comment


print(shortest(["漢字", "fig"]))
```

| name | value |
|------|------:|
| 漢字かな | 1 |
| averyveryverylongwordthatfitsnowhere | 2 |

Heading below
-------------

    indented code

***

[1]: https://example.org/reference

The end 🎉
"""


def drawn(text: str, width: int = 60) -> list[str]:
    """The lines of a whole text, without styles."""
    return [STYLES.sub("", line.text) for line in final_lines(text, width, [text])]


def final_lines(text: str, width: int, pieces: list[str]) -> list[Line]:
    assert "".join(pieces) == text
    writer = Writer()
    lines = [line for piece in pieces for line in writer.push(piece, width)]
    return lines + writer.finish(width)


def cut(text: str, seed: int) -> list[str]:
    """`text` in pieces of random length."""
    chance = random.Random(seed)
    at, pieces = 0, []
    while at < len(text):
        size = chance.choice((1, 2, 3, 5, 40))
        pieces.append(text[at : at + size])
        at += size
    return pieces


def test_elements() -> None:
    lines = drawn(DOCUMENT)
    assert lines[0] == "Sorting things"
    text = "\n".join(lines)
    for part in (
        "There are two ways: sorted makes a new list, and a link\n(https://example.org/a) is told.",
        "<b>HTML</b> is text",
        "<div>a block</div>",
        " • one\n • two\n    1 nested\n    2 more\n      ls -l\n   of two paragraphs\n • three\n",
        " 1 first\n 2 second\n",
        "▌ quoted loudly",
        "```python\ndef shortest(words):\n    return min(words, key=len)  # a comment\n\n\nprint(",
        "Heading below\n\nindented code\n\n" + "-" * 60,
        "[1]: https://example.org/reference\n\nThe end 🎉",
    ):
        assert part in text
    assert "averyveryverylongwordthatfitsnowhere" in text


@pytest.mark.parametrize("width", [20, 39, 79, 199])
def test_lines_fit_and_nothing_is_cut(width: int) -> None:
    lines = final_lines(DOCUMENT, width, [DOCUMENT])
    for line in lines:
        assert line.cells == cell_len(STYLES.sub("", line.text)) <= width
    letters = re.sub(r"[\s▌•─-]", "", "".join(STYLES.sub("", line.text) for line in lines))
    assert "min(words,key=len)#acomment" in letters
    if width >= 79:  # else other cells stand beside its parts
        assert "averyveryverylongwordthatfitsnowhere" in letters


@pytest.mark.parametrize("seed", range(12))
def test_pieces_make_no_difference(seed: int) -> None:
    whole = final_lines(DOCUMENT, 50, [DOCUMENT])
    assert final_lines(DOCUMENT, 50, cut(DOCUMENT, seed)) == whole


def test_finished_blocks_are_final_at_once() -> None:
    writer = Writer()
    assert writer.push("One.\n\nTw", 40) == []
    assert [line.text for line in writer.push("o words", 40)] == ["One."]
    assert [line.text for line in writer.draft(40)] == ["", "Two words"]
    assert [line.text for line in writer.draft(40)] == ["", "Two words"]


def test_a_long_block_of_code_is_drawn_in_parts() -> None:
    code = [f"x{i} = {i}" for i in range(5 * MOST_CODE_LINES)]
    code[MOST_CODE_LINES - 1] = code[MOST_CODE_LINES] = ""
    writer, lines = Writer(), []
    for i, row in enumerate(("Look:", "", "```python", *code)):
        lines += writer.push(f"{row}\n", 40)
        if i % 9 == 0:
            assert len(writer.draft(40)) <= 2 * MOST_CODE_LINES
    lines += writer.push("```\nAfter\n", 40) + writer.finish(40)
    shown = [STYLES.sub("", line.text) for line in lines]
    assert shown == ["Look:", "", "```python", *code, "```", "", "After"]


HOSTILE = (
    "\x1b]0;owned\x07",
    "a\x1b[31mb",
    "`\x1b[2J`",
    "```\n\x1b[2J\n```",
    "```\x1b[1m\nx\n```",
    "```py\n'\x1b[31m' # \x9b2J\n```",
    "[text\x1b[1m](http://a\x1b[2m)",
    "[t](<http://a\x1b[2m> 'ti\x1btle')",
    "![a\x1b[1m](b\x07)",
    "<a href='\x1b'>\x1b</a>",
    "<!-- \x1b -->",
    "&#27;[31m &#x9b;2J &#8238; &NewLine;",
    "| \x1b[1m |\n|---|\n| \x07 |",
    "# \x1b[1m",
    "> \x1b",
    "- \x1b\n  - \x9b",
    "\u202eevil",
    "a\rb\r\nc",
    "[red]x[/red] [link=http://x]y[/link] :smile:",
    "http://x.org/\x1b[31m <http://x.org/\x1b>",
    "\x00\x7f\u2028\ud800",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_model_sends_no_escape_sequence(text: str) -> None:
    for pieces in ([text], list(text)):
        writer, lines = Writer(), []
        for piece in pieces:
            lines += [*writer.push(piece, 30), *writer.draft(30)]
        for line in [*lines, *writer.finish(30)]:
            shown = STYLES.sub("", line.text)
            assert terminal.plain(shown) == shown and "\n" not in shown
            assert not re.search(r"\x1b\[[0-9;]*[^0-9;m]|\x1b[^\[]", line.text)


def test_markup_of_rich_and_addresses_are_shown() -> None:
    assert drawn("[red]x[/red] :smile:") == ["[red]x[/red] :smile:"]
    assert drawn("[a](http://b.org) <http://c.org>") == ["a (http://b.org) http://c.org"]
    assert drawn("![alt](http://b.org/c.png)") == ["[image: alt] (http://b.org/c.png)"]
    assert drawn("a\x1b[1m") == [r"a\x1b[1m"]


# ---- on a terminal -------------------------------------------------------------------------------


class Screen:
    """A terminal that knows what `Tail` sends; `rows` are those on it, `above` those that left."""

    def __init__(self, columns: int, rows: int) -> None:
        self.size, self.above = (columns, rows), list[str]()
        self.rows, self.row, self.column = [""], 0, 0

    def send(self, text: str) -> None:
        for found in re.finditer(r"\x1b\[(?P<n>[0-9;]*)(?P<what>[AKJm])|(?P<sign>[^\x1b])", text):
            self._do(found["what"], found["n"], found["sign"])

    def _do(self, what: str | None, n: str, sign: str) -> None:
        if what == "A":
            assert self.row - int(n) >= 0, "above the screen"
            self.row -= int(n)
        elif what == "K":
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif what == "J":
            self.rows[self.row] = self.rows[self.row][: self.column]
            del self.rows[self.row + 1 :]
        elif sign == "\r":
            self.column = 0
        elif sign == "\n":
            self.row, self.column = self.row + 1, 0
            if self.row == len(self.rows):
                self.rows.append("")
            if len(self.rows) > self.size[1]:
                self.above.append(self.rows.pop(0))
                self.row -= 1
        elif sign is not None:
            line = self.rows[self.row]
            self.rows[self.row] = line[: self.column] + sign + line[self.column + 1 :]
            self.column += 1

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in (*self.above, *self.rows)]


@pytest.mark.parametrize("rows", [8, 24])
@pytest.mark.parametrize("seed", range(6))
def test_the_screen_holds_every_line_once(
    rows: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = "".join(f"{i}. an item that is a little longer than a line is\n" for i in range(1, 20))
    text = f"{DOCUMENT}\n{items}\n" + "A long paragraph of some words. " * 12
    screen, writer = Screen(40, rows), Writer()
    monkeypatch.setattr(terminal, "send", screen.send)
    drawing = Tail(lambda: screen.size)
    for piece in cut(text, seed):
        drawing.draw(writer.push(piece, 39), writer.draft(39))
    drawing.draw(writer.finish(39), [])
    whole = [STYLES.sub("", line.text).rstrip() for line in final_lines(text, 39, [text])]
    shown = screen.lines
    assert shown[-1] == "" and (screen.row, screen.column) == (len(screen.rows) - 1, 0)
    if rows == 24:
        assert shown[:-1] == whole
    else:  # a table taller than the screen keeps the look it had when its upper rows left
        assert [line for line in whole if line not in shown] == []


def test_only_what_differs_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(terminal, "send", sent.append)
    drawing = Tail(lambda: (40, 10))
    a, b, c = (Line(x * 3, 3) for x in "abc")
    drawing.draw([], [a, b])
    drawing.draw([], [a, b])
    drawing.draw([], [a, c])
    drawing.draw([a], [c, b])
    drawing.draw([], [])
    assert sent == [
        "aaa\x1b[K\nbbb\x1b[K",
        "",
        "\rccc\x1b[K\x1b[J",
        "\nbbb\x1b[K",
        "\x1b[1A\r\x1b[J",
    ]


def test_a_narrower_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(terminal, "send", sent.append)
    size = [80, 10]
    drawing = Tail(lambda: (size[0], size[1]))
    drawing.draw([], [Line("x" * 70, 70), Line("y", 1)])
    size[0] = 30  # the first line takes three rows now
    drawing.draw([], [Line("x" * 29, 29), Line("x" * 29, 29), Line("x" * 12, 12), Line("y", 1)])
    assert sent[1].startswith("\x1b[3A\r")
    assert tail._rows(Line("", 0), 30) == 1
