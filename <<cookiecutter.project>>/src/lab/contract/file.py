"""lab.yaml in and out: read with all that is wrong told at once, and its JSON Schema for editors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError

from lab import nested_keys, yaml12
from lab.contract.base import unbalanced
from lab.contract.messages import KEY, explained, shown
from lab.contract.metrics import MetricEntry
from lab.contract.models import Contract
from lab.errors import UserError, nearest, not_one_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FILE = "lab.yaml"
PAGE = "docs/your-own-pipeline.md"
Location = tuple[str | int, ...]
Mistake = tuple[Location, str]  # the keys that lead to it, and what it is


def read(root: Path) -> Contract:
    """The contract of the project at `root`. Raises UserError, with the file, the keys and what was expected."""
    path = root / FILE
    try:
        return parse(path.read_text(encoding="utf-8"), FILE)
    except FileNotFoundError as error:
        raise UserError(
            f"{root} has no {FILE}, which tells lab what it needs to know of a pipeline: {PAGE} has one of a few lines"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file in UTF-8") from error


def parse(text: str, where: str) -> Contract:
    """The contract in a text; `where` is what messages call it. Raises UserError: all that is wrong with it at once."""
    try:
        content = yaml12.load(text, strict=True)
    except yaml.MarkedYAMLError as error:
        raise UserError(f"{where}, {yaml12.explained(error)}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{where}: not YAML: {error}") from error
    if not isinstance(content, dict):
        found = "is empty" if content is None else f"expected a mapping, not {shown(content)}"
        raise UserError(f"{where}: {found}: {PAGE} has one of a few lines")
    contract, mistakes = None, list(disagreements(content))
    try:
        contract = Contract.model_validate(content)
    except ValidationError as error:
        mistakes = [(_location(item), _message(item)) for item in error.errors()] + mistakes
    if contract is None or mistakes:
        raise _refused(text, where, mistakes)
    return contract


def disagreements(content: dict[str, Any]) -> Iterator[Mistake]:
    """What of a lab.yaml doesn't go together, each with the keys that lead to it: also of one with other mistakes."""
    types = [str(kind) for kind in content["types"]] if isinstance(content.get("types"), dict) else []
    for location, kind in _types_named(content) if types else ():
        if isinstance(kind, str) and kind not in types:
            yield location, not_one_of(kind, types)
    metrics = content.get("metrics")
    for pattern, entry in metrics.items() if isinstance(metrics, dict) else ():
        if isinstance(pattern, str) and isinstance(entry, dict):
            yield from metric_mistakes(pattern, _readable(entry))
    parts = content.get("parts")
    for pattern, title in parts.items() if isinstance(parts, dict) else ():
        if isinstance(pattern, str) and isinstance(title, str):
            if not pattern.startswith("*."):
                yield ("parts", pattern), "expected a pattern that begins with *. for the metrics file"
            elif wrong := misfit(title, pattern, metric=""):
                yield ("parts", pattern), wrong


def _types_named(content: dict[str, Any]) -> Iterator[tuple[Location, Any]]:
    """Each experiment type that is named outside of `types`, with the keys that lead to it."""
    questions = content.get("questions")
    places: list[Location] = [("recipes",), ("speed", "gain_types")]
    places += [("questions", n, "types") for n in range(len(questions) if isinstance(questions, list) else 0)]
    kinds = nested_keys.get(content, "words.kinds")
    for name, entry in kinds.items() if isinstance(kinds, dict) else ():
        if isinstance(entry, dict) and "type" in entry:
            yield ("words", "kinds", str(name), "type"), entry["type"]
    for place in places:
        named = nested_keys.get(content, ".".join(map(str, place)))
        yield from (((*place, i), kind) for i, kind in enumerate(named if isinstance(named, list) else ()))


def _readable(entry: dict[str, Any]) -> MetricEntry:
    """What of a metric's entry can be read."""
    try:
        return MetricEntry.model_validate(entry)
    except ValidationError as error:
        wrong = {item["loc"][0] for item in error.errors()}
        return MetricEntry.model_validate({key: value for key, value in entry.items() if key not in wrong})


def metric_mistakes(pattern: str, entry: MetricEntry) -> Iterator[Mistake]:
    """Bounds the wrong way round, and `{0}` for which the pattern has no `*`."""
    low, high = entry.bounds or (None, None)
    if low is not None and high is not None and low >= high:
        yield ("metrics", pattern, "bounds"), f"[{low:g}, {high:g}]: expected the smaller one first"
    for field, text in entry.templates():
        if wrong := misfit(text, pattern):
            yield ("metrics", pattern, field), wrong


def misfit(text: str, pattern: str, **named: str) -> str:
    """What of a text's braces stands for nothing: neither for a `*` of the pattern, nor for a name; empty if all do."""
    stars = pattern.count("*")
    try:
        text.format(*[""] * stars, **named)
    except (LookupError, ValueError, AttributeError):
        known = ", ".join(f"{{{name}}}" for name in [*range(stars), *named]) or "nothing in braces"
        return unbalanced(text) or f"{text!r}: by the * of the pattern there is {known}"
    return ""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of lab.yaml, for editors."""
    from lab.descriptions import Described

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Contract.model_json_schema(schema_generator=Described),
    }


def _refused(text: str, where: str, mistakes: Iterable[Mistake]) -> UserError:
    """What is raised of a lab.yaml: a line for each mistake."""
    places = yaml12.lines(text)
    return UserError(
        "\n".join(
            f"{where}, line {yaml12.line_of(places, location)}: {'.'.join(map(str, location))}: {message}"
            for location, message in mistakes
        )
    )


def _location(error: ErrorDetails) -> Location:
    """The keys that lead to a mistake."""
    return tuple(part for part in error["loc"] if part != KEY)


def _message(error: ErrorDetails) -> str:
    """What is wrong, and what was expected."""
    kind, location = error["type"], _location(error)
    if kind == "extra_forbidden":
        known = _fields(location[:-1])
        hint = nearest(str(location[-1]), known) or f" Expected one of {', '.join(known)}."
        return f"no such key here.{hint}"
    if location == ("types",) and kind in ("missing", "too_short", "dict_type"):
        found = "is missing" if kind == "missing" else "is empty" if not error["input"] else shown(error["input"])
        return f"{found}: expected a name for a kind of experiment, and the stage that answers it: {{train: evaluate}}"
    if kind == "string_pattern_mismatch":
        return f"{error['input']!r}: expected a key of the settings, such as model.name"
    return explained(error)


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
