"""YAML files from elsewhere: what is small on disk stays small in memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from .errors import UserError

MOST_LEVELS = 200  # a thousand would overflow the stack
MOST_VALUES = 100_000  # with each alias written out


class Plain(yaml.SafeLoader):
    """YAML 1.2's plain values, as DVC reads them: 1e-05 is a number; yes, 010 and 2026-11-26 are texts."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}


for _tag, (_pattern, _first) in {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}.items():
    Plain.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)


def read(path: Path, shown: str = "", loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """What a file, which messages call `shown`, holds.

    Raises UserError: not YAML, or aliases of aliases that would fill the memory.
    """
    try:
        text = path.read_text(encoding="utf-8")
        refuse_outsized(text)
        return yaml.load(text, loader)  # noqa: S506, both are safe ones
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{shown or path} is no readable YAML: {' '.join(str(error).split())}") from error


def line_of(text: str, key: str) -> int:
    """The line (from 1) of a dotted key in a YAML text that can be read, or of the last part of it that exists."""
    node, line = yaml.compose(text, Plain), 1
    for part in key.split("."):
        if isinstance(node, yaml.MappingNode):
            places = {name.value: (name, value) for name, value in node.value}
        else:
            places = {str(index): (value, value) for index, value in enumerate(getattr(node, "value", ()))}
        if part not in places:
            break
        name, node = places[part]
        line = name.start_mark.line + 1
    return line


def refuse_outsized(text: str) -> None:
    """Raises yaml.YAMLError before anything is built of a text that stands for much more than it is long."""
    sizes: dict[str, int] = {}  # of what each anchor names, with its aliases written out
    around: list[tuple[str | None, int]] = [(None, 0)]  # the collections that an event is in: anchor, values so far
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            around.append((event.anchor, 1))
            if len(around) > MOST_LEVELS:
                raise Outsized(f"more than {MOST_LEVELS} levels")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = around.pop()
        elif isinstance(event, yaml.AliasEvent):
            anchor, size = None, sizes.get(event.anchor, MOST_VALUES)  # without an end where it is in what it names
        else:
            anchor, size = getattr(event, "anchor", None), 1
        sizes |= {anchor: size} if anchor else {}
        around[-1] = (around[-1][0], around[-1][1] + size)
        if "*" in text and around[-1][1] > MOST_VALUES:
            raise Outsized(f"its aliases stand for more than {MOST_VALUES:,} values")


class Outsized(yaml.YAMLError):
    """A small text that stands for much."""
