"""Designs in and out of files: each mistake is told with its line. What a file may say is in models.py."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from lab import yaml12
from lab.design import messages, wording
from lab.design.models import DESIGN, Design, content
from lab.errors import Keys, MistakesInFile, UserError, nearest

if TYPE_CHECKING:
    from lab.contract import Contract

FOLDER = Path("designs")
HEADER = "# lab run {path}\n# yaml-language-server: $schema=schema.json\n"
MOST_BYTES = 64 * 1024
DEEPEST = 12
WORD = re.compile(r"[\w./-]+")


def read(path: Path | str, contract: Contract) -> Design:
    """The design in a file, named after it unless it names itself.

    Raises:
        UserError: not a design, with the file and, for each thing that is wrong, its line and key.
    """
    return parse_text(read_text(Path(path)), path, contract)


def parse_text(text: str, path: Path | str, contract: Contract) -> Design:
    """The design in the text of a file. Raises UserError, as `read` does."""
    data = load(text, path)
    if not isinstance(data, dict):
        raise UserError(f"{path}: not a design: expected a mapping with kind, type and title")
    try:
        return _validated({"name": Path(path).stem, **data}, contract)
    except ValidationError as error:
        spoken = wording.plain(data, contract).data
        raise UserError(placed(text, path, messages.told(error.errors(), spoken, contract), contract)) from error
    except MistakesInFile as error:
        raise UserError(placed(text, path, error.mistakes, contract)) from error


def placed(text: str, path: Path | str, mistakes: Iterable[tuple[Keys, str]], contract: Contract) -> str:
    """What is wrong with a design's text, a line each: the keys that lead to a mistake tell its line."""
    lines, rows = yaml12.lines(text), text.splitlines()
    told: dict[tuple[int, str], str] = {}
    try:
        places = wording.plain(load(text, path), contract).places
    except MistakesInFile:  # which are what is told
        places = {}
    for keys, message in mistakes:
        own = wording.in_file(keys, places)
        if own != keys:
            message = message.replace(".".join(map(str, keys)), ".".join(map(str, own)), 1)
        line = yaml12.line_of(lines, own)
        told[line, message] = f"{path}, line {line}: {message}{corrected(rows[line - 1], own, message)}"
    return "\n".join(told[each] for each in sorted(told, key=itemgetter(0)))


def corrected(row: str, keys: Keys, message: str) -> str:
    """` Write strategy: grid`, where a message ends with what a word of a file's line was meant to be.

    What is wrong is what the message has in quotes, or a word that it has as well.
    """
    meant = re.search(r"Did you mean '([^']+)'[^?]*\?$", message)
    if meant is None:
        return ""
    told = message[: meant.start()]
    known = {*WORD.findall(told), *map(str, keys[-1:])} - set(keys[:-1])
    words = [word for word in WORD.findall(row.partition(" #")[0]) if word in known]
    quoted = [text for text in re.findall(r"'([^']+)'", told) if text in row]
    ratio = {word: SequenceMatcher(None, word.casefold(), meant[1].casefold()).ratio() for word in words}
    wrong = next(iter(quoted), None) or max(words, key=lambda word: ratio[word], default="")
    is_alike = wrong in quoted or ratio.get(wrong, 0) > 0
    right = row.strip().replace(wrong, meant[1], 1).replace(f"+{meant[1]}", meant[1])  # which is there: it needs no +
    return f" Write {right}" if is_alike else ""


def words_used(path: Path | str, contract: Contract) -> list[str]:
    """What the project's own words in a design stand for, a sentence each. Raises UserError, as `read` does."""
    return wording.plain(load(read_text(Path(path)), path), contract).said


def parse(data: dict[str, Any], contract: Contract | None) -> Design:
    """A design from a mapping as its file holds it; without a contract, its form alone is checked. Raises UserError."""
    try:
        return _validated(data, contract)
    except ValidationError as error:
        raise UserError("\n".join(said for _, said in messages.told(error.errors(), data, contract))) from error


def write(design: Design, path: Path | str) -> None:
    """Write a design so that `read` gives it back. Comments of a file that was there are lost."""
    path = Path(path)
    fields = content(design)
    if fields.get("name") == path.stem:
        del fields["name"]
    path.write_text(HEADER.format(path=path.as_posix()) + yaml12.dump(fields), encoding="utf-8")


def names_taken(design: Design, path: Path) -> None:
    """Refuse a name that another file in the same folder has. Raises UserError."""
    for other in sorted(path.parent.glob("*.yaml")):
        if other.resolve() == path.resolve():
            continue
        try:
            text = read_text(other)
            if design.name != other.stem and design.name not in text and "\\" not in text:
                continue  # most: YAML writes a name as it is, but for escapes
            data = load(text, other)
        except UserError:
            continue  # its own check says what is wrong with it
        if isinstance(data, dict) and "kind" in data and data.get("name", other.stem) == design.name:
            raise UserError(f"{path}: name: {design.name} is taken by {other}: a design's name is its own")


def read_text(path: Path) -> str:
    """A small text file. Raises UserError."""
    if not path.is_file():
        siblings = [str(path.with_name(other.name)) for other in path.parent.glob("*.yaml")]
        raise UserError(
            f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}.{nearest(str(path), siblings)}"
        )
    if path.stat().st_size > MOST_BYTES:
        raise UserError(
            f"{path} has {path.stat().st_size:,} bytes: more than the {MOST_BYTES:,} that a design may have"
        )
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file in UTF-8") from error


def load(text: str, path: Path | str) -> Any:
    """What a file's text holds. `path` is what messages call it.

    Raises:
        UserError: empty, not YAML, aliases, repeated keys, nested too deep.
    """
    try:
        _check_events(text, path)
        data = yaml12.load(text, strict=True)
    except yaml.MarkedYAMLError as error:
        raise UserError(f"{path}, {yaml12.explained(error)}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: not YAML: {error}") from error
    if data is None:
        raise UserError(f"{path} is empty")
    return data


def _check_events(text: str, path: Path | str) -> None:
    """Refuse what makes small files large, before anything is built of them. Raises UserError."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml12.Loader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise UserError(
                f"{path}, line {line}: *{event.anchor}: aliases are not used in designs, write the value out"
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise UserError(f"{path}, line {line}: nested more than {DEEPEST} deep")


def _validated(data: dict[str, Any], contract: Contract | None) -> Design:
    """A design of which lab.yaml knows the type, the task and the metric. Raises ValidationError."""
    if contract and data.get("run_name") == contract.run_name:  # a default that was written out asks nothing else
        data = {key: value for key, value in data.items() if key != "run_name"}
    data = wording.plain(data, contract).data
    return DESIGN.validate_python(data, context={"contract": contract})
