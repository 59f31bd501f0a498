"""Texts from outside are texts, in Markdown, in the page, and on the terminal."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import studies
from contracts import PLAIN_TEXT, contract
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import lab
from lab import markdown
from lab.analysis.verdict import judge
from lab.report import figures, report
from lab.report.html import hashed, html, policy
from lab.study import Study

PIECES = ["<script>", "</td>", "[x](javascript:alert(1))", "![x](http://127.0.0.1/x.png)", "<a href='javascript:1'>"]
PIECES += ["# ", "- ", "1. ", "> ", "---", "===", "&lt;", "&#60;", "<http://x.y>", "<!--", "-->", "~~", "[a]: /b"]
PIECES += ["$", "{{ x }}", "]", "[", "(", ")", " ", "a", "é", "0.5", "!", ":", "*", "\t", "~~~", "\n", "]("]
PIECES += ["**", "_", "`", "``", "|", "\\"]
PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
hostile = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


def shown(text: str) -> str:
    """What a reader of this Markdown sees. Fails where there is more than text."""
    tokens = [token for block in PARSER.parse(text) for token in block.children or []]
    assert {token.type for token in tokens} <= {"text", "text_special"}, tokens
    return "".join(token.content for token in tokens)


@given(hostile)
@example("[x]: javascript:alert(1)")
@example("12) ")
def test_a_plain_text_is_shown_as_it_is(text: str) -> None:
    assert shown(f"# t {markdown.plain(text)} t").split() == ["t", *text.split(), "t"]
    assert shown(markdown.plain(text)).split() == text.split()
    items = [token.type for token in PARSER.parse(f"- {markdown.plain(text)}") if token.nesting == 1]
    assert items in (["bullet_list_open", "list_item_open", "paragraph_open"], ["bullet_list_open", "list_item_open"])


@given(st.lists(st.lists(hostile, min_size=2, max_size=2), max_size=3), st.lists(hostile, min_size=2, max_size=2))
def test_no_cell_breaks_its_table(rows: list[list[str]], head: list[str]) -> None:
    tokens = PARSER.parse(markdown.table(head, rows, texts=(0, 1)))
    cells = [" ".join("".join(c.content for c in token.children or []).split()) for token in tokens if token.children]
    assert [token.type for token in tokens].count("tr_open") == 1 + len(rows)
    assert cells == [" ".join(text.split()) for row in [head, *rows] for text in row if text.split()]


@given(hostile)
def test_programs_stay_in_their_place(text: str) -> None:
    if text.strip():
        (paragraph,) = [token for token in PARSER.parse(f"a {markdown.code(text)} b") if token.children]
        inside = [token for token in paragraph.children or [] if token.type == "code_inline"]
        assert [token.content.strip() for token in inside] == [" ".join(text.split()).strip()]
    (block,) = PARSER.parse(markdown.fenced(text + "\n", "yaml"))
    assert (block.type, block.content) == ("fence", text + "\n")


class Page(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


HEAD = {"html", "head", "meta", "title", "style", "body", "main", "script"}
TEXT = {"h1", "h2", "p", "ul", "li", "strong", "em", "code", "pre", "img", "a", "details", "summary", "br"}
FIGURE = {"div", "svg", "g", "path", "defs", "use", "text", "rect", "clippath", "image", "tspan"}
TABLE = {"table", "thead", "tbody", "tr", "th", "td"}
BAD = "<script>x</script> [x](javascript:alert(1)) ![x](http://127.0.0.1/x.png) **b** | `c` <img src=x onerror=y>"


def bad_study() -> Study:
    """A study in which everything that a person may write is hostile."""
    design: dict[str, Any] = {
        "kind": "comparison",
        "type": "train",
        "title": BAD,
        "hypothesis": {"claim": BAD, "metric": "evaluate.accuracy", "arm": BAD, "versus": "plain", "min_effect": 0.01},
        "targets": {BAD: 0.2},
        "comparison": {"variable": "train.depth", "values": {"plain": ["train.depth=2"], BAD: ["train.depth=4"]}},
    }
    study = studies.made("bad", lambda arm, seed: {"evaluate": {"accuracy": 0.9}}, design, contract(PLAIN_TEXT))
    return replace(study, baseline=replace(study.baseline, author=BAD))


@pytest.mark.slow
def test_a_report_of_hostile_texts_is_a_report(tmp_path: Path) -> None:
    study = bad_study()
    verdict = judge(study)
    text = report.markdown(study, verdict, figures.pictures(study, verdict))
    assert PARSER.render(text).count("<h2>") == text.count("\n## ") > 8
    assert not re.findall(r"<script|<img src=x|href=.javascript", PARSER.render(text)), "also where HTML is let through"
    path = report.write(study, verdict, tmp_path)
    page = Page(path.with_suffix(".html").read_text())
    assert {tag for tag, _ in page.elements} <= HEAD | TEXT | TABLE | FIGURE
    drawn = [attributes for tag, attributes in page.elements if tag in FIGURE]
    assert not [name for attributes in drawn for name in attributes if name == "style" or name.startswith("on")]
    assert {name for tag, attributes in page.elements if tag not in FIGURE for name in attributes} <= {
        *("lang", "charset", "name", "content", "http-equiv", "src", "alt", "class", "href")
    }
    addresses = [attributes.get("href") or attributes.get("src") or "" for _, attributes in page.elements]
    assert all(re.match(r"$|data:image/png;base64,|[\w-]+/[\w-]+\.csv$", address) for address in addresses), addresses


def test_the_page_lets_nothing_in(tmp_path: Path) -> None:
    """Also what a person wrote by hand into the report is text."""
    (tmp_path.parent / "other.png").write_bytes(b"secret")
    text = "<b onclick=x>\n\n![a](../other.png)\n\n![b](http://127.0.0.1/b.png)\n\n[c](javascript:1)"
    page = html(text, BAD, tmp_path)
    elements = Page(page).elements
    assert [tag for tag, _ in elements if tag not in HEAD | {"p"}] == ["img"] * 2
    assert "data:image" not in page.partition("</head>")[2]
    (rule,) = [attributes["content"] for _, attributes in elements if "http-equiv" in attributes]
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script and rule == policy([script[1]]) and page.count("<script>") == 1
    assert "default-src 'none'" in policy() and "script-src 'none'" in policy() and "unsafe" not in policy()
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style and hashed(style[1]) in policy(), "the browser compares what is inside of the element"
    assert " style=" not in page, "which the policy would not let in"
    assert hashed("draw()") in policy(["draw()"]) and "'none'" not in policy(["draw()"]).partition("script-src")[2][:20]


def test_terminals_print_texts_as_they_are() -> None:
    """rich takes [x] and :x: for markup, unless its console is told not to."""
    made = []
    for root in (Path(lab.__file__).parent, *Path(lab.__file__).parents[1].glob("<<*")):
        for path in root.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
                if isinstance(node, ast.Call) and name in ("Console", "Progress") and "rich" in path.read_text():
                    made.append((path.name, {word.arg: ast.unparse(word.value) for word in node.keywords}))
    assert len(made) == 3
    for name, words in made:
        plain = words.get("markup") == words.get("emoji") == "False"
        assert plain or words.get("console") == "console()", name


def test_a_table_of_odd_names(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    from lab.cli.terminal import console

    table = Table("class")
    for name in ("[e]", "[/x] y", ":smile:", "[red]r[/red]"):
        table.add_row(name)
    console().print(table)
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("[e]", "[/x] y", ":smile:", "[red]r[/red]"))
