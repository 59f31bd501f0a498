"""The JSON Schema of design files, by which editors complete, explain and check them as they are written.

What the models and lab.yaml say is strict there; keys of the config, files of its groups and metrics are offered, since
they change without the schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from lab.descriptions import Described
from lab.design.forms import Key, Metric, Override
from lab.design.models import DESIGN, KINDS

if TYPE_CHECKING:
    from lab.contract import Contract

A_KEY, A_METRIC = (TypeAdapter(each).json_schema()["pattern"] for each in (Key, Metric))
AN_OVERRIDE = TypeAdapter(Override).json_schema()["description"]


def json_schema(contract: Contract, settable: Mapping[str, list[str]]) -> dict[str, Any]:
    """The schema of a project's designs: with its types and its words, and what it has to offer.

    Args:
        contract: lab.yaml.
        settable: the keys of the config, and its groups with their files (`Composer.settable`).
    """
    closed = contract.final.closed if contract.final else []
    settable = {key: names for key, names in settable.items() if key not in closed}
    schema = DESIGN.json_schema(schema_generator=Described)
    _add_words(schema, contract)
    for model in schema["$defs"].values():
        fields = model.get("properties", {})
        if "type" in fields:
            fields["type"]["enum"] = list(contract.types)
        if "kind" in fields:
            fields["kind"]["description"] = kinds()
        if contract.task is None:
            fields.pop("task", None)
        elif "task" in fields:
            fields["task"]["examples"] = settable.get(contract.task.key, [])
    overrides = [f"{key}={name}" for key, names in settable.items() for name in names or [""]]
    metrics = [name for name in contract.metric_names if re.fullmatch(A_METRIC, name)]
    for node in list(_nodes(schema)):
        if node.get("pattern") == A_METRIC:
            node["examples"] = metrics
        elif node.get("pattern") == A_KEY:
            node["examples"] = list(settable)
        elif node.get("description") == AN_OVERRIDE:
            node |= {"$ref": "#/$defs/Override"}
        elif A_KEY in node.get("patternProperties", {}):
            _offer(schema, node, settable)
    schema["$defs"]["Override"] = {"type": "string", "examples": overrides}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Design", **schema}


def kinds() -> str:
    """Which kinds there are, and what each asks."""
    asked = [f"{name} ({_lower(model.__doc__ or '')})" for name, model in KINDS.items()]
    return f"How runs are laid out: {', '.join(asked)}."


def _lower(sentence: str) -> str:
    return f"{sentence[0].lower()}{sentence[1:].rstrip('.')}"


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Each mapping in it, the inner ones first."""
    if isinstance(schema, dict | list):
        for inner in schema.values() if isinstance(schema, dict) else schema:
            yield from _nodes(inner)
    if isinstance(schema, dict):
        yield schema


def _offer(schema: dict[str, Any], node: dict[str, Any], settable: Mapping[str, list[str]]) -> None:
    """Name the keys of a mapping whose keys are those of the config, and the files that a group has."""
    name = f"Of{node.get('title', 'Keys').replace(' ', '')}"
    schema["$defs"][name] = node["patternProperties"][A_KEY]
    of_key = {"$ref": f"#/$defs/{name}"}
    node["patternProperties"] = {A_KEY: of_key}
    node["properties"] = {
        key: {**of_key, "items": {"examples": names}} if names else of_key for key, names in settable.items()
    }


def _add_words(schema: dict[str, Any], contract: Contract) -> None:
    """The project's own words, where a design may say them."""
    fields = schema["$defs"]["ComparisonConfig"]["properties"]
    for word, key in contract.words.comparison.items():
        fields[word] = fields["values"] | {"description": f"The values of {key}, in place of variable and values."}
    mapping = schema["discriminator"]["mapping"]
    for word, entry in contract.words.kinds.items():
        name = mapping[entry.kind].rpartition("/")[2]
        mapping[word] = mapping[entry.kind]
        kind, required = schema["$defs"][name]["properties"]["kind"], schema["$defs"][name]["required"]
        kind["enum"] = [*kind.get("enum", [kind.pop("const", entry.kind)]), word]
        if entry.type and "type" in required:
            required.remove("type")
