"""What the pages of a project, and the comments of its files, tell people to type and to look at is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from lab.cli.app import app

TEMPLATE = Path(__file__).parents[2]
PROJECT = TEMPLATE / "<<cookiecutter.project>>"
PAGES = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), TEMPLATE / "README.md"]
COMMENTED = [*PROJECT.glob("*.yaml"), *PROJECT.glob("conf/**/*.yaml"), *PROJECT.glob("designs/*.yaml")]
FOLDERS = "conf|designs|docs|src|tests"
# Kept by nobody but the person who reads the page: what it says to write, or shows as an example.
OF_THE_READER = {"designs/rates.yaml", "designs/value.yaml", "tests/test_my_sink.py", "tests/test_my_backend.py"}


def name(path: Path) -> str:
    return str(path.relative_to(TEMPLATE)).removeprefix(f"{PROJECT.name}/")


def read(file: Path) -> str:
    """As a project has it whose default task is detection."""
    text = file.read_text(encoding="utf-8").replace("<< cookiecutter.task >>", "detection")
    text = re.sub("<< ' ' .*?>>", "", text)  # what lets comments begin in one column
    return text.replace("<< cookiecutter.package >>", "<<cookiecutter.package>>")


def typed(text: str, is_page: bool) -> Iterator[str]:
    """The commands of `lab` in a page's shell blocks and between its backticks, or in a file's comments."""
    if not is_page:
        yield from re.findall(r"#.*?\b(lab [a-z]+ designs/\S+(?: -\S+(?: \d+)?)*)", text)
        return
    for block in re.findall(r"^```(?:sh|bash)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines = (re.split(r"\s+#\s", line)[0] for line in block.replace("\\\n", "").splitlines())
        yield from (part.strip() for line in lines for part in line.split("&&") if part.strip().startswith("lab "))
    yield from re.findall(r"`(lab [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def test_commands_and_their_options_are_lab_s() -> None:
    known: dict[str, Any] = typer.main.get_group(app).commands
    wrong = []
    for file in (*PAGES, *COMMENTED):
        for line in typed(read(file), file.suffix == ".md"):
            command, *words = shlex.split(line)[1:]
            if command.startswith("-") or command == "COMMAND":  # of lab itself
                continue
            parameters = known[command].params if command in known else []
            options = {option for each in parameters for option in (*each.opts, *each.secondary_opts)} | {"--help"}
            asked = {word.partition("=")[0] for word in words if re.match("--?[a-z]", word)}
            designs = [word for word in words if word.startswith("designs/") and word not in OF_THE_READER]
            if command not in known or asked - options or not all((PROJECT / design).exists() for design in designs):
                wrong.append(f"{file.name}: {line}")
    assert wrong == []


def test_help_has_every_command_in_a_line_of_80_columns() -> None:
    group = typer.main.get_group(app)
    told = group.get_help(typer.Context(group, info_name="lab", terminal_width=80))
    lines = {line.split()[0]: line for line in told.splitlines() if re.match("  [a-z]", line)}
    assert lines.keys() == group.commands.keys()
    assert [line for line in lines.values() if not line.endswith(".") or line.endswith("...")] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    """In the project, or in what the page itself says to write: a file's name above its content."""
    text = re.sub(r"^( *)```.*?^\1```", "```", read(page), flags=re.MULTILINE | re.DOTALL)
    written = OF_THE_READER | set(re.findall(rf"`((?:{FOLDERS})/[\w/.<>-]+)`[^\n]*\n+```", text))
    found = set(re.findall(rf"`((?:{FOLDERS})/[\w/.<>-]+)`", text.replace("<name>", "dvc"))) - written
    places = (PROJECT, TEMPLATE, *PROJECT.glob("src/<<*>>"))
    assert sorted(path for path in found if not any((place / path).exists() for place in places)) == []
