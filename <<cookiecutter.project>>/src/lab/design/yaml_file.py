"""YAML as designs use it: YAML 1.2's plain values, no aliases, no repeated keys, and the lines of everything."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from lab.errors import UserError, nearest

MOST_BYTES = 64 * 1024
DEEPEST = 12


class Loader(yaml.SafeLoader):
    """YAML 1.1, which PyYAML reads, takes 1e-3 for a text, `on` for true, 010 for 8 and 1:30 for 90. This one doesn't."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


PLAIN = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    "float": (r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?", list("-+.0123456789")),
}
for tag, (pattern, first) in PLAIN.items():
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"(?:{pattern})$"), first)


def read(path: Path) -> tuple[Any, yaml.Node]:
    """A file's content, and its nodes for `line_of`. Raises UserError: absent, too large, not YAML, aliases, repeated keys."""
    text = read_text(path)
    try:
        check_events(path, text)
        loader = Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise UserError(f"{path} is empty")
        check_keys(path, node)
        return loader.construct_document(node), node
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}, line {line}: not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: not YAML: {error}") from error


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


def check_events(path: Path, text: str) -> None:
    """Refuse what makes small files large, before anything is built of them. Raises UserError."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
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


def check_keys(path: Path, node: yaml.Node) -> None:
    """Refuse a key that is there twice: YAML would keep the last. Raises UserError."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen if isinstance(key, yaml.ScalarNode) else True:
                what = f"{key.value} is there twice" if isinstance(key, yaml.ScalarNode) else "a key is a text"
                raise UserError(f"{path}, line {key.start_mark.line + 1}: {what}")
            seen.add(key.value)
            check_keys(path, value)
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            check_keys(path, value)


def line_of(node: yaml.Node, keys: Iterable[str | int]) -> int:
    """The line (from 1) of the value at `keys`, or of the last of them that exists."""
    line = node.start_mark.line
    for key in keys:
        found = None
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(key)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            found = (node.value[key], node.value[key])
        if found is None:
            break
        line, node = found[0].start_mark.line, found[1]
    return line + 1


class Dumper(yaml.SafeDumper):
    """Writes texts so that `Loader` reads them as such, and short lists and mappings on one line."""

    yaml_implicit_resolvers = Loader.yaml_implicit_resolvers

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump(content: Any) -> str:
    """YAML text that `read` gives back as it was."""
    return yaml.dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
