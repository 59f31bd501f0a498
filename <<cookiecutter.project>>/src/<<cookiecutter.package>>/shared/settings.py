"""What each key of the config may be, as conf/schema.json says it: types and ranges, held against a composed config.

A JSON Schema (https://json-schema.org/draft/2020-12), so that editors show it, too; of its words those in `KNOWN`. It
is data and no dependency of a stage: a key that is given a type leaves every result as it is.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .errors import UserError, nearest

SCHEMA = Path(__file__).parents[3] / "conf" / "schema.json"
KNOWN = {"$ref", "anyOf", "enum", "type", "properties", "additionalProperties", "required", "items"} | {
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "minLength", "minProperties",
    "uniqueItems", "pattern", "description",
}  # fmt: skip
INTERPOLATION = "#/$defs/interpolation"  # what files of conf/ may say besides: in a composed config it is resolved
TYPES = {
    "null": "null",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "array": "a list",
    "object": "a mapping",
}
MEANT = {"yes": True, "on": True, "y": True, "true": True, "no": False, "off": False, "n": False, "false": False}
NONE = ("null", "none", "~", "")
Schema = Mapping[str, Any]
Mistake = tuple[str, str]  # a dotted key, and what is wrong with its value


def mistakes(config: Mapping[str, Any]) -> list[Mistake]:
    """Everything in a composed config that conf/schema.json refuses. Keys that it doesn't name may be anything."""
    return list(_mistakes(config, {"$ref": "#"}, ""))


@cache
def schema() -> Schema:
    """What conf/schema.json holds. Raises UserError."""
    try:
        return json.loads(SCHEMA.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"conf/{SCHEMA.name}, which says what each key may be, can't be read: {error}") from error


def untyped(config: Mapping[str, Any], part: Schema | None = None, above: str = "") -> Iterator[str]:
    """The keys of a config, or of a `part` of it, of which the schema says nothing."""
    part = resolved(schema() if part is None else part)
    for name, value in config.items():
        known = part.get("properties", {}).get(name, part.get("additionalProperties"))
        if not isinstance(known, Mapping):
            yield f"{above}{name}"
        elif isinstance(value, Mapping) and "properties" in resolved(known):
            yield from untyped(value, known, f"{above}{name}.")


def at(key: str) -> Schema | None:
    """What the schema says of a dotted key; None where it says nothing."""
    found: Schema = {"$ref": "#"}
    for part in key.split("."):
        known = resolved(found)
        inside = known.get("properties", {}).get(part, known.get("additionalProperties"))
        if not isinstance(inside, Mapping):
            return None
        found = inside
    return found


def resolved(part: Schema) -> Schema:
    """A part of the schema with what its `$ref` stands for in its place; what is written beside that counts as well."""
    while "$ref" in part:
        target: Any = schema()
        for name in part["$ref"].split("/")[1:]:
            target = target[name]
        part = {**target, **{word: value for word, value in part.items() if word != "$ref"}}
    return part


def _mistakes(value: Any, part: Schema, key: str) -> Iterator[Mistake]:
    part = resolved(part)
    if "anyOf" in part:
        ways = [resolved(way) for way in alternatives(part)]
        if any(not list(_mistakes(value, way, key)) for way in ways):
            return
        inside = [way for way in ways if fits(value, way) and isinstance(value, Mapping | list)]
        if inside:  # of the right form, with something wrong in it
            yield from _mistakes(value, inside[0], key)
            return
    if not fits(value, part):
        yield key, f"{shown(value)}: expected {expected(part)}{hint(value, part)}"
        return
    above = f"{key}." if key else ""
    if isinstance(value, Mapping):
        for name in part.get("required", ()):
            if name not in value:
                yield f"{above}{name}", "is missing"
        for name, inner in value.items():
            known = part.get("properties", {}).get(name, part.get("additionalProperties"))
            if isinstance(known, Mapping):
                yield from _mistakes(inner, known, f"{above}{name}")
    if isinstance(value, list) and "items" in part:
        for index, inner in enumerate(value):
            if part.get("uniqueItems") and inner in value[:index]:
                yield f"{above}{index}", f"{shown(inner)} is named twice"
            yield from _mistakes(inner, part["items"], f"{above}{index}")


def alternatives(part: Schema) -> list[Schema]:
    """The ways in which a value may be right, without those that only a file of conf/ may use."""
    return [way for way in part.get("anyOf", ()) if way.get("$ref") != INTERPOLATION]


def fits(value: Any, part: Schema) -> bool:
    """Whether a value itself is as a part of the schema says, whatever is in it where it is a list or a mapping."""
    part = resolved(part)
    if "anyOf" in part:
        return any(fits(value, way) for way in alternatives(part))
    if "enum" in part:
        return any(type(value) is type(choice) and value == choice for choice in part["enum"])
    kind = part.get("type")
    if kind is None:
        return True
    if not is_a(kind, value):
        return False
    if kind in ("integer", "number"):
        low, high = part.get("minimum", -math.inf), part.get("maximum", math.inf)
        above, below = part.get("exclusiveMinimum", -math.inf), part.get("exclusiveMaximum", math.inf)
        return low <= value <= high and above < value < below
    if kind in ("string", "array", "object"):
        least = part.get("minLength", part.get("minItems", part.get("minProperties", 0)))
        like = not isinstance(value, str) or re.search(part.get("pattern", ""), value) is not None
        return like and least <= len(value) <= part.get("maxItems", math.inf)
    return True


def is_a(kind: str, value: Any) -> bool:
    """Whether a value is of a type. Numbers are finite; unlike in JSON Schema, 5.0 is no whole one: code tells them
    apart."""
    if kind in ("integer", "number"):
        number = isinstance(value, int) or (kind == "number" and isinstance(value, float) and math.isfinite(value))
        return number and not isinstance(value, bool)
    python = {"null": type(None), "boolean": bool, "string": str, "array": list, "object": Mapping}[kind]
    return isinstance(value, python)


# In words


def expected(part: Schema) -> str:
    """What a value may be: `a whole number from 1 to 16384`, `one of adamw, adam, sgd`, `null or a text`."""
    part = resolved(part)
    if "anyOf" in part:
        return " or ".join(dict.fromkeys(map(expected, alternatives(part))))
    if "enum" in part:
        return f"one of {', '.join(dict.fromkeys(map(str, part['enum'])))}"
    if "pattern" in part:
        return part.get("description", f"a text like {part['pattern']}")
    kind = part["type"]
    if kind == "array" and "items" in part:
        several = part.get("minItems", 0) and "one or more"
        return f"a list of {several or 'none or more'}, each {expected(part['items'])}"
    return TYPES[kind] + bounds(part)


def bounds(part: Schema) -> str:
    """The range of a number, in words; empty where it has none."""
    low = f" from {part['minimum']:g}" if "minimum" in part else ""
    low = f" above {part['exclusiveMinimum']:g}" if "exclusiveMinimum" in part else low
    high = f" up to {part['maximum']:,}" if "maximum" in part else ""
    return low + (f" to less than {part['exclusiveMaximum']:g}" if "exclusiveMaximum" in part else high)


def hint(value: Any, part: Schema) -> str:
    """The nearest value that would be right; where none is near, one that is."""
    for near in candidates(value, part):
        if fits(near, part) and not list(_mistakes(near, part, "")):
            return f". Did you mean {written(near)}?"
    choices = [choice for way in ways(part) for choice in way.get("enum", ()) if isinstance(choice, str)]
    if isinstance(value, str) and (close := nearest(value, choices)):
        return f".{close}"
    some = next((example(way) for way in ways(part) if "enum" in way or way.get("type") in ("number", "integer")), "")
    return f", such as {some}" if some and not choices else ""


def ways(part: Schema) -> list[Schema]:
    """The ways in which a value may be right, each by itself."""
    part = resolved(part)
    return [each for way in alternatives(part) for each in ways(way)] if "anyOf" in part else [part]


def candidates(value: Any, part: Schema) -> Iterator[Any]:
    """What a wrong value may have been meant to be."""
    if isinstance(value, str):
        text = value.strip()
        if text.casefold() in MEANT:
            yield MEANT[text.casefold()]
        if text.casefold() in NONE:
            yield None
        if re.fullmatch(r"[-+]?\d+", text):
            value = int(text[:20])
        elif re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text):
            value = float(text)
        yield value if not isinstance(value, str) else text.lower()
    if isinstance(value, float) and value.is_integer():
        yield int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield abs(value)
        yield from (way["minimum"] for way in ways(part) if value < way.get("minimum", -math.inf))
        yield from (way["maximum"] for way in ways(part) if value > way.get("maximum", math.inf))
    if not isinstance(value, list | Mapping):
        yield [value]


def example(way: Schema) -> str:
    """A value that is right."""
    if "enum" in way:
        return written(way["enum"][0])
    low = max(way.get("minimum", 0), way.get("exclusiveMinimum", 0))
    return str(max(low, 1)) if way["type"] == "integer" else "0.001" if way.get("minimum", 0) <= 0.001 else f"{low:g}"


def shown(value: Any) -> str:
    """A wrong value, shortened: texts in quotes, everything else as YAML has it."""
    if isinstance(value, Mapping):
        return "a mapping" if value else "{}"
    return reprlib.repr(value) if isinstance(value, str | list) else written(value)


def written(value: Any) -> str:
    """A value as YAML has it."""
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return reprlib.repr(value) if isinstance(value, int) else str(value)
