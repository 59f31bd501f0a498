"""YAML files from elsewhere: what is small on disk stays small in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .errors import UserError

MOST_LEVELS = 200  # a thousand would overflow the stack
MOST_VALUES = 100_000  # with each alias written out


def read(path: Path, shown: str = "") -> Any:
    """What a file, which messages call `shown`, holds.

    Raises UserError: not YAML, or aliases of aliases that would fill the memory.
    """
    try:
        text = path.read_text(encoding="utf-8")
        refuse_outsized(text)
        return yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{shown or path} is no readable YAML: {' '.join(str(error).split())}") from error


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
