"""YAML 1.2 as DVC, Hydra and people write it: 1e-05 is a number; yes, on, 010 and 1:30 are texts.

PyYAML reads YAML 1.1. Its C parser with other rules for plain values is fifty times as fast as one written in Python, which
counts where a thousand params.yaml are read.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

PLAIN = {  # https://yaml.org/spec/1.2.2, chapter 10.2: the tag's pattern, and the characters that such a value begins with
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}


class Loader(yaml.CSafeLoader):
    """PyYAML's safe loader with YAML 1.2's plain values."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}


class Dumper(yaml.SafeDumper):
    """Writes texts so that `Loader` reads them as such, and short lists and mappings on one line."""

    yaml_implicit_resolvers = Loader.yaml_implicit_resolvers

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _tag, (_pattern, _first) in PLAIN.items():
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)
Dumper.yaml_implicit_resolvers = Loader.yaml_implicit_resolvers


def load(text: str) -> Any:
    """What a text holds. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=Loader)  # noqa: S506, it is a safe loader


def mapping(text: str) -> dict[str, Any]:
    """What a text holds where that is a mapping, else an empty one. Raises yaml.YAMLError."""
    content = load(text)
    return content if isinstance(content, dict) else {}


def dump(content: Any) -> str:
    """YAML text that `load` gives back as it was."""
    return yaml.dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
