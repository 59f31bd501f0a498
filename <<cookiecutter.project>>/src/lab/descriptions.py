"""What the fields of models mean: the text below each in the source, which is read only when somebody asks.

Pydantic's use_attribute_docstrings reads it whenever a model is imported: a tenth of what `lab plan` costs.
"""

from __future__ import annotations

import ast
import inspect
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Each field by its name with what it means, or an empty text; what its Field(description=…) says goes first."""
    texts: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, BaseModel) and each is not BaseModel:
            texts |= _of_file(inspect.getfile(each)).get(each.__qualname__, {})
    return {name: field.description or texts.get(name, "") for name, field in model.model_fields.items()}


class Described(GenerateJsonSchema):
    """Makes JSON Schemas in which properties have descriptions."""

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        """The schema of a model."""
        made, model = super().model_schema(schema), schema["cls"]
        for name, text in descriptions(model).items():
            if text:
                made["properties"][model.model_fields[name].alias or name].setdefault("description", text)
        return made


@cache
def _of_file(path: str) -> dict[str, dict[str, str]]:
    """The texts below annotated names, by class and name."""
    tree = ast.parse(Path(path).read_bytes())
    return {each.name: _below(each.body) for each in tree.body if isinstance(each, ast.ClassDef)}


def _below(body: list[ast.stmt]) -> dict[str, str]:
    texts = {
        each.target.id: "" for each in body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    for above, each in pairwise(body):
        match above, each:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                texts[name] = inspect.cleandoc(text)
    return texts
