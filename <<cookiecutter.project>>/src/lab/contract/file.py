"""lab.yaml in and out: read with all that is wrong told at once, and its JSON Schema for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from lab import yaml12
from lab.contract.models import Contract
from lab.errors import UserError, nearest

FILE = "lab.yaml"


def read(root: Path) -> Contract:
    """The contract of the project at `root`. Raises UserError, with the file, the keys and what was expected."""
    path = root / FILE
    try:
        return parse(path.read_text(encoding="utf-8"), FILE)
    except FileNotFoundError as error:
        raise UserError(
            f"{root} has no {FILE}, which tells lab what it needs to know of a pipeline: docs/your-own-pipeline.md has one "
            "of a few lines"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file in UTF-8") from error


def parse(text: str, where: str) -> Contract:
    """The contract in a text; `where` is what messages call it. Raises UserError."""
    try:
        content = yaml12.load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{where}, line {line}: not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{where}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{where}: expected a mapping with types, seeds and metrics")
    try:
        return Contract.model_validate(content)
    except ValidationError as error:
        raise UserError("\n".join(f"{where}: {_message(item, content)}" for item in error.errors())) from error


def json_schema() -> dict[str, Any]:
    """The JSON Schema of lab.yaml, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Contract.model_json_schema()}


def _message(error: Any, content: dict[str, Any]) -> str:
    """One error as `key: what is wrong, and what was expected`."""
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        known = _fields(error["loc"][:-1])
        hint = nearest(str(error["loc"][-1]), known) or f" Expected one of {', '.join(known)}."
        return f"{key}: no such key here.{hint}"
    if error["type"] == "missing":
        return f"{key}: is missing"
    if error["type"] == "value_error":
        text = str(error["ctx"]["error"])
        return f"{key}: {text}" if key else text
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, not {error['input']!r}"


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
