"""What pydantic finds wrong with a file, in words for people: of lab.yaml and of designs."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any

from lab.errors import not_one_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
COUNTED = {"too_short": ("min_length", "or more"), "too_long": ("max_length", "at most")}
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
        return f"a key has to be a text: write '{value}' in quotes"
    if kind in ("too_short", "string_too_short") and not value:
        return "is empty"
    if kind in COUNTED:
        limit, words = COUNTED[kind]
        return f"{shown(value)}: expected {context[limit]} {words}"
    if kind in EXPECTED:
        return f"{shown(value)}: expected {EXPECTED[kind]}"
    return f"{shown(value)}: {error['msg'][0].lower()}{error['msg'][1:]}"


def shown(value: Any) -> str:
    """A value, shortened."""
    return reprlib.repr(value)
