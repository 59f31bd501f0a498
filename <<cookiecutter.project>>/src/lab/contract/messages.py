"""What pydantic finds wrong with a file, in words for people: of lab.yaml and of designs."""

from __future__ import annotations

import json
import reprlib
from typing import TYPE_CHECKING, Any

from lab.errors import not_one_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

EXPECTED = {  # what pydantic calls an error -> what was expected; {…} is what it tells beside
    "string_type": "a text",
    "string_unicode": "a text of whole characters",
    "string_too_short": "{min_length} characters or more",
    "string_too_long": "{max_length} characters at most",
    "string_pattern_mismatch": "a text of the form {pattern}",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} at most",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "too_short": "{min_length} or more, not {actual_length}",
    "too_long": "{max_length} at most, not {actual_length}",
}
KEY = "[key]"  # what pydantic calls the place of a key of a mapping, where the key itself is wrong


def explained(error: ErrorDetails) -> str:
    """What is wrong, and what was expected."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return not_one_of(value, context["expected"].replace("'", "").replace(" or ", ", ").split(", "))
    if kind == "invalid_key" or (kind == "string_type" and KEY in error["loc"]):
        return f"a key has to be a text: write '{as_written(value)}' in quotes"
    if kind in ("too_short", "string_too_short") and not value:
        return "is empty"
    if kind in EXPECTED:
        told = {name: f"{limit:.12g}" if isinstance(limit, float) else limit for name, limit in context.items()}
        return f"{shown(value)}: expected {EXPECTED[kind].format(**told)}"
    return f"{shown(value)}: {error['msg'][0].lower()}{error['msg'][1:]}"  # of errors that are our own


def as_written(key: object) -> str:
    """A key that is no text, as YAML has it."""
    return json.dumps(key) if isinstance(key, bool | int | float | None) else str(key)


def shown(value: Any) -> str:
    """A value, shortened, as YAML has it."""
    return as_written(value) if value is None or isinstance(value, bool) else reprlib.repr(value)
