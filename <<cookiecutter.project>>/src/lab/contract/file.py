"""lab.yaml in and out: read with all that is wrong told at once, and its JSON Schema for editors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from lab import yaml12
from lab.contract.metrics import MetricEntry
from lab.contract.models import Contract
from lab.errors import UserError, nearest, not_one_of

FILE = "lab.yaml"
Location = tuple[str | int, ...]
Mistake = tuple[Location, str]  # the keys that lead to it, and what it is


def read(root: Path) -> Contract:
    """The contract of the project at `root`. Raises UserError, with the file, the keys and what was expected."""
    path = root / FILE
    try:
        return parse(path.read_text(encoding="utf-8"), FILE)
    except FileNotFoundError as error:
        raise UserError(
            f"{root} has no {FILE}, which tells lab what it needs to know of a pipeline: docs/your-own-pipeline.md has "
            "one of a few lines"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file in UTF-8") from error


def parse(text: str, where: str) -> Contract:
    """The contract in a text; `where` is what messages call it. Raises UserError."""
    try:
        content = yaml12.load(text, strict=True)
    except yaml.MarkedYAMLError as error:
        raise UserError(f"{where}, {yaml12.explained(error)}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{where}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{where}: expected a mapping with types, seeds and metrics")
    try:
        contract = Contract.model_validate(content)
    except ValidationError as error:
        mistakes = [(item["loc"], _message(item)) for item in error.errors()]
        raise _refused(text, where, mistakes) from error
    if mistakes := list(disagreements(contract)):
        raise _refused(text, where, mistakes)
    return contract


def disagreements(contract: Contract) -> Iterator[Mistake]:
    """What of a contract doesn't go together, each with the keys that lead to it."""
    types: list[tuple[Location, str]] = [(("recipes", i), kind) for i, kind in enumerate(contract.recipes or [])]
    types += [(("speed", "gain_types", i), kind) for i, kind in enumerate(contract.speed.gain_types)]
    for n, question in enumerate(contract.questions):
        types += [(("questions", n, "types", i), kind) for i, kind in enumerate(question.types)]
    for location, kind in types:
        if kind not in contract.types:
            yield location, not_one_of(kind, contract.types)
    for pattern, entry in contract.metrics.items():
        yield from metric_mistakes(pattern, entry)


def metric_mistakes(pattern: str, entry: MetricEntry) -> Iterator[Mistake]:
    """Bounds the wrong way round, and `{0}` for which the pattern has no `*`."""
    low, high = entry.bounds or (None, None)
    if low is not None and high is not None and low >= high:
        yield ("metrics", pattern, "bounds"), f"[{low:g}, {high:g}]: expected the smaller one first"
    stars = pattern.count("*")
    for field, text in entry.templates():
        try:
            text.format(*[""] * stars)
        except (LookupError, ValueError):
            known = ", ".join(f"{{{i}}}" for i in range(stars)) or "nothing in braces"
            yield ("metrics", pattern, field), f"{text!r}: by the * of the pattern there is {known}"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of lab.yaml, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Contract.model_json_schema()}


def _refused(text: str, where: str, mistakes: Iterable[Mistake]) -> UserError:
    """What is raised of a lab.yaml: a line for each mistake."""
    places = yaml12.lines(text)
    return UserError(
        "\n".join(
            f"{where}, line {yaml12.line_of(places, location)}: {'.'.join(map(str, location))}: {message}"
            for location, message in mistakes
        )
    )


def _message(error: Any) -> str:
    """What is wrong, and what was expected."""
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        known = _fields(error["loc"][:-1])
        hint = nearest(str(error["loc"][-1]), known) or f" Expected one of {', '.join(known)}."
        return f"no such key here.{hint}"
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "literal_error":
        return not_one_of(value, error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", "))
    if kind == "string_pattern_mismatch":
        return f"{value!r}: expected a key of the settings, such as model.name"
    return f"{error['msg'][0].lower()}{error['msg'][1:]}, not {value!r}"


def _fields(location: tuple[Any, ...]) -> list[str]:
    """The keys that exist at a place of the contract."""
    model: Any = Contract
    for part in location:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is not None:
            model = _model_in(field.annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field's type holds: itself, or in a list, a mapping or a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in getattr(annotation, "__args__", ()) if (model := _model_in(part))), None)
