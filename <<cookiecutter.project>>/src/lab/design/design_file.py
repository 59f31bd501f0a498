"""Designs in and out of files: each mistake is told with its line. What a file may say is in models.py."""

from __future__ import annotations

from collections.abc import Iterable
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
    lines, told = yaml12.lines(text), []
    try:
        places = wording.plain(load(text, path), contract).places
    except MistakesInFile:  # which are what is told
        places = {}
    for keys, message in mistakes:
        own = wording.in_file(keys, places)
        if own != keys:
            message = message.replace(".".join(map(str, keys)), ".".join(map(str, own)), 1)
        told.append(f"{path}, line {yaml12.line_of(lines, own)}: {message}")
    return "\n".join(told)


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
            data = load(read_text(other), other)
        except UserError:
            continue  # its own check says what is wrong with it
        if isinstance(data, dict) and "kind" in data and data.get("name", other.stem) == design.name:
            raise UserError(f"{path}: name: {design.name} is taken by {other}: a design's name is its own")


def json_schema(contract: Contract) -> dict[str, Any]:
    """The JSON Schema of a design file, for editors: with the types, tasks and metrics that lab.yaml has."""
    schema = DESIGN.json_schema()
    metrics = [name for name in contract.metrics if "*" not in name]
    metrics = [name for stage in contract.types.values() for name in contract.main_metrics(stage)] + metrics
    _add_words(schema, contract)
    for model in schema["$defs"].values():
        fields = model.get("properties", {})
        if "type" in fields:
            fields["type"]["enum"] = list(contract.types)
        if contract.task is None:
            fields.pop("task", None)
        if "metric" in fields:
            fields["metric"]["examples"] = list(dict.fromkeys(metrics))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Design", **schema}


def _add_words(schema: dict[str, Any], contract: Contract) -> None:
    """The project's own words, where a design may say them."""
    fields = schema["$defs"]["ComparisonConfig"]["properties"]
    for word, key in contract.words.comparison.items():
        fields[word] = fields["values"] | {"description": f"The values of {key}, in place of variable and values."}
    mapping = schema["discriminator"]["mapping"]
    for word, entry in contract.words.kinds.items():
        name = mapping[entry.kind].rpartition("/")[2]
        mapping[word] = mapping[entry.kind]
        kind, required = schema["$defs"][name]["properties"]["kind"], schema["$defs"][name]["required"]
        kind["enum"] = [*kind.get("enum", [kind.pop("const", entry.kind)]), word]
        if entry.type and "type" in required:
            required.remove("type")


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
