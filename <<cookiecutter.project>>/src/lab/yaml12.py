"""YAML 1.2 as DVC, Hydra and people write it: 1e-05 is a number; yes, on, 010 and 1:30 are texts.

PyYAML reads YAML 1.1. Its C parser with other rules for plain values is fifty times as fast as one written in Python,
which counts where a thousand params.yaml are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from lab.errors import UserError

PLAIN = {  # https://yaml.org/spec/1.2.2, chapter 10.2: the tag's pattern, and what such a value begins with
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}


MOST_CHARACTERS = 2 * 2**20  # which take two seconds and 200 MB
MOST_LEVELS = 200  # a thousand would overflow the stack
MOST_VALUES = 100_000  # with each alias written out
DEEP = re.compile(rf"^[ ?:-]{{{MOST_LEVELS},}}", re.MULTILINE)


REASONS = {  # libyaml's, and what people look for then
    "did not find expected key": "expected a key: see how far the line is indented, and the brackets and quotes above",
    "expected <block end>": "expected a key: see how far the line is indented, and the brackets and quotes above",
    "did not find expected '-' indicator": "expected an item, which begins with -: see how far the line is indented",
    "did not find expected <document start>": "expected a key at the margin: see how far the line above is indented",
    "mapping values are not allowed": "a key can't be here: see how far the line is indented, or quote the text",
    "could not find expected ':'": "expected a colon and a space after a key",
    "did not find expected ','": "expected a comma, or the bracket that closes the one before",
    "did not find expected node content": "expected a value: see the brackets and commas before",
    "cannot start any token": "a value can't begin so, nor a line with a tab: put it in quotes",
    "unexpected end of stream": "a quotation mark has no other",
    "unexpected document indicator": "a quotation mark has no other",
}


class Loader(yaml.CSafeLoader):
    """PyYAML's safe loader with YAML 1.2's plain values."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}


class RepeatedKey(yaml.constructor.ConstructorError):
    """A mapping has a key twice."""


class StrictLoader(Loader):
    """For files that people write: a repeated key is refused, where YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise RepeatedKey(None, None, f"{key.value} is there twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class Outsized(yaml.constructor.ConstructorError):
    """A text that stands for much: aliases of aliases, a thousand levels, or megabytes."""


class Misnamed(yaml.constructor.ConstructorError):
    """A value that is not of the kind that its tag says, or a number that is too long."""


class Dumper(yaml.SafeDumper):
    """Writes texts so that `Loader` reads them as such, and short lists and mappings on one line."""

    yaml_implicit_resolvers = Loader.yaml_implicit_resolvers

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _tag, (_pattern, _first) in PLAIN.items():
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)
# Merge keys are of YAML 1.1, and DVC's parser, which reads dvc.yaml and params.yaml as well, knows them.
Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile("<{2}$"), ["<"])
Dumper.yaml_implicit_resolvers = Loader.yaml_implicit_resolvers


def load(text: str, strict: bool = False) -> Any:
    """What a text holds. Raises yaml.YAMLError, with Outsized and, where it is `strict`, RepeatedKey among them."""
    refuse_outsized(text)
    try:
        return yaml.load(text, Loader=StrictLoader if strict else Loader)  # noqa: S506, they are safe loaders
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # PyYAML's own conversions
        raise Misnamed(None, None, f"a value is not what its tag says: {error}", None) from error


def refuse_outsized(text: str) -> None:
    """Raises Outsized before anything is built of a text that stands for much. Looks closely only where it might."""
    if len(text) > MOST_CHARACTERS:
        raise Outsized(None, None, f"more than {MOST_CHARACTERS // 2**20} million characters", None)
    if ("&" in text and "*" in text) or text.count("[") + text.count("{") > MOST_LEVELS or DEEP.search(text):
        _measure(text)


def _measure(text: str) -> None:
    sizes: dict[str, int] = {}  # of what each anchor names, with its aliases written out
    around: list[tuple[str | None, int]] = [(None, 0)]  # the collections that an event is in: anchor, values so far
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            around.append((event.anchor, 1))
            if len(around) > MOST_LEVELS:
                raise Outsized(None, None, f"more than {MOST_LEVELS} levels", event.start_mark)
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
            raise Outsized(None, None, f"its aliases stand for more than {MOST_VALUES:,} values", event.start_mark)


def mapping(text: str) -> dict[str, Any]:
    """What a text holds where that is a mapping, else an empty one. Raises yaml.YAMLError."""
    content = load(text)
    return content if isinstance(content, dict) else {}


def read(path: Path, where: str = "") -> Any:
    """What a file holds; `where` is what messages call it. Raises UserError, with the line, and OSError."""
    try:
        return load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{where or path} is not a text file in UTF-8") from error
    except yaml.MarkedYAMLError as error:
        raise UserError(f"{where or path}, {explained(error)}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{where or path}: not YAML: {' '.join(str(error).split())}") from error


def lines(text: str) -> yaml.Node | None:
    """The places of everything in a text that can be loaded, for `line_of`."""
    return yaml.compose(text, Loader=Loader)


def line_of(node: yaml.Node | None, keys: Iterable[object]) -> int:
    """The line (from 1) of the value at `keys` in what `lines` gave, or of the last of them that exists."""
    line = node.start_mark.line if node else 0
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode | yaml.SequenceNode) else []
        if isinstance(node, yaml.SequenceNode):
            pairs = [(item, item) for item in pairs]
            found = pairs[key : key + 1] if isinstance(key, int) else []
        else:
            found = [pair for pair in pairs if _is_key(pair[0], key)]
        if not found:
            break
        (first, node), *_ = found
        line = first.start_mark.line
    return line + 1


def _is_key(node: yaml.Node, key: object) -> bool:
    """Whether a mapping's key is this one: a text, or what else YAML takes a word for."""
    if isinstance(key, str) and node.value == key:
        return True
    return isinstance(node, yaml.ScalarNode) and yaml.constructor.SafeConstructor().construct_object(node) == key


def explained(error: yaml.MarkedYAMLError) -> str:
    """What is wrong with a text, with the line."""
    line = error.problem_mark.line + 1 if error.problem_mark else 1
    reason = error.problem or error.context
    reason = next((words for said, words in REASONS.items() if reason and said in reason), reason)
    return f"line {line}: {reason if isinstance(error, RepeatedKey | Outsized | Misnamed) else f'not YAML: {reason}'}"


def dump(content: Any) -> str:
    """YAML text that `load` gives back as it was."""
    return yaml.dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def dump_line(content: Any, flow: bool = False) -> str:
    """The same on one line: a mapping of one key to a single value or, with `flow`, anything in brackets."""
    text = yaml.dump(
        content, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=float("inf")
    )
    return text.rstrip("\n")
