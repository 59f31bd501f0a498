"""Levels: the values that a design varies, how they are written in names, and which of them are the same setting."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag


def shape(value: object) -> str:
    """What a union of lists, mappings and single values is told apart by, so that an error names one of them."""
    if isinstance(value, list):
        return "list"
    return "mapping" if isinstance(value, dict | BaseModel) else "value"


def by_shape(expected: str) -> Discriminator:
    """Choose the member of a union by `shape`; `expected` is what a person is told where none fits."""
    return Discriminator(shape, custom_error_type="shape", custom_error_message=f"expected {expected}")


def printable(text: str) -> str:
    """Refuse line breaks and other control characters: texts become parts of command lines, names and tables."""
    if not text.isprintable():
        raise ValueError(f"{text[:40]!r} has a line break or another character that can't be printed")
    return text


Finite = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, AfterValidator(printable)]
Scalar = bool | int | Finite | Text | None
Level = Annotated[
    Annotated[Scalar, Tag("value")] | Annotated[list[Scalar], Tag("list")],
    by_shape("a single value or a list of them"),
]


def label(level: Level) -> str:
    """A level as it is written in an arm's name: `0.001`, `true`, `null`, `[a,b]`."""
    if isinstance(level, list):
        return f"[{','.join(map(label, level))}]"
    return level if isinstance(level, str) else json.dumps(level)


def identity(level: Level) -> str:
    """Equal for levels that are the same setting: 16 and 16.0, but neither 1 and true nor 1 and '1'."""
    if isinstance(level, list):
        return f"[{','.join(map(identity, level))}]"
    if isinstance(level, float) and level.is_integer():
        level = int(level)
    return json.dumps(level)


def short_names(factors: list[str]) -> dict[str, str]:
    """Factor -> its last part, or the whole where two would be called the same."""
    last = Counter(factor.rpartition(".")[2] for factor in factors)
    return {factor: part if last[part := factor.rpartition(".")[2]] == 1 else factor for factor in factors}


def without_repeats(levels: list[Level]) -> list[Level]:
    """Refuse a level that is there twice."""
    seen: set[str] = set()
    for level in levels:
        if identity(level) in seen:
            raise ValueError(f"{label(level)} is there twice")
        seen.add(identity(level))
    return levels


LevelsInOrder = Annotated[list[Level], Field(min_length=1)]
Levels = Annotated[LevelsInOrder, AfterValidator(without_repeats)]
