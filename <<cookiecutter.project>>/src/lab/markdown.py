"""Markdown: texts from outside in which nothing is markup, and tables.

Tables are without padding, so that one changed number changes one line and no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MARKUP = re.compile(
    r"""
    \\(?=[!-/:-@\[-`{-~]|$)      # an escape
    | [`*]                       # code, emphasis
    | (?<![^\W_])_ | _(?![^\W_])  # …which _ is but within a word
    | ~(?=~)                     # struck through
    | <(?=[A-Za-z/!?])           # HTML, an address
    | &(?=\#?\w+;)               # an entity
    | \](?=[(\[:])               # a link, an image, where one leads
    | ^(?: > | \#{1,6}(?=\s|$) | [-+](?=\s|$) | (?=-{2}|=) )  # a quotation, a heading, a list, a line
    | (?<=^\d)[.)](?=\s|$) | (?<=^\d\d)[.)](?=\s|$)
    """,
    re.VERBOSE,
)


def plain(text: object) -> str:
    """A text from outside, such as a title or a name, in one line: what looks like markup in it is shown as it is."""
    line = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", str(text)).split())
    return _MARKUP.sub(lambda found: "\\" + found[0], line)


def code(text: object) -> str:
    """A text in the type of a program, whatever backticks it has."""
    line = " ".join(str(text).split())
    marks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{marks} {line} {marks}" if "`" in line else f"{marks}{line}{marks}"


def fenced(text: str, language: str) -> str:
    """Lines of a program; a text of many ends with a line break."""
    marks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{marks}{language}\n{text}{marks}"


def table(head: Sequence[object], rows: Iterable[Sequence[object]], texts: Sequence[int]) -> str:
    """A table whose columns hold numbers, but for those at the places `texts`."""
    from tabulate import DataRow, TableFormat, tabulate

    rule = " | ".join("---" if place in texts else "---:" for place in range(len(head)))
    line = DataRow("| ", " | ", " |")
    compact = TableFormat(None, lambda widths, aligns: f"| {rule} |", None, None, line, line, 0, None)
    cells = [[cell(text) for text in row] for row in rows]
    return tabulate(cells, [cell(text) for text in head], compact, stralign=None, numalign=None, disable_numparse=True)


def cell(text: object) -> str:
    """A text that does not end a table's cell."""
    return plain(text).replace("|", "\\|")
