"""What is refused, and in whose words: every error that pydantic can raise of our models, and designs with mistakes."""

from __future__ import annotations

import re
from typing import Any

import contracts
import pytest
import yaml
from contracts import VISION
from hypothesis import given
from hypothesis import strategies as st

from lab.contract import Contract
from lab.contract.messages import explained
from lab.design import design_file
from lab.design.models import DESIGN
from lab.errors import UserError

SHIPPED = sorted((contracts.tree() / "designs").glob("*.yaml"))
RAISED = {  # by a part of pydantic's schemas the errors that it can raise; ours are told elsewhere
    "bool": ["bool_type"],
    "dict": ["dict_type", "invalid_key"],
    "dict.min_length": ["too_short"],
    "float": ["float_type"],
    "float.allow_inf_nan": ["finite_number"],
    "float.ge": ["greater_than_equal"],
    "float.gt": ["greater_than"],
    "float.le": ["less_than_equal"],
    "int": ["int_type", "int_from_float"],
    "int.ge": ["greater_than_equal"],
    "int.le": ["less_than_equal"],
    "int.lt": ["less_than"],
    "list": ["list_type"],
    "list.max_length": ["too_long"],
    "list.min_length": ["too_short"],
    "literal.expected": ["literal_error"],
    "model": ["model_type", "model_attributes_type"],
    "model-field": ["missing"],
    "str": ["string_type", "string_unicode"],
    "str.max_length": ["string_too_long"],
    "str.min_length": ["string_too_short"],
    "str.pattern": ["string_pattern_mismatch"],
    "function-after": ["value_error"],
}
SILENT = {  # which raise nothing by themselves, or what `shape`, `wrong` and the choice of a kind say
    *("any", "default", "definitions", "definition-ref", "literal", "model-fields", "nullable", "no-info", "with-info"),
    *("tagged-union", "union"),
}
LIMITS = {"gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "expected", "allow_inf_nan"}
LIBRARY = re.compile(
    r"input should|string should|should (be|have|match)|valid (\w+,|integer|number|string|dict)|errors\.pyd"
)
TOLD = dict.fromkeys((*LIMITS, "actual_length"), 1) | {"expected": "'a' or 'b'", "error": "no"}


def parts(schema: Any) -> set[str]:
    """What a schema is made of: `int`, `int.ge`, …"""
    if isinstance(schema, list | tuple):
        return set().union(*map(parts, schema))
    if not isinstance(schema, dict):
        return set()
    own = set()
    if isinstance(kind := schema.get("type"), str):
        own = {kind, *(f"{kind}.{limit}" for limit in LIMITS & schema.keys())}
    return own.union(*(parts(inner) for key, inner in schema.items() if key not in ("metadata", "serialization")))


@pytest.mark.parametrize("schema", [DESIGN.core_schema, Contract.__pydantic_core_schema__], ids=["design", "contract"])
def test_every_error_that_a_model_can_raise_is_told_in_our_words(schema: Any) -> None:
    for part in parts(schema) - SILENT:
        for kind in RAISED[part]:
            error: Any = {"type": kind, "input": [0], "loc": ("a",), "msg": "Library words", "ctx": TOLD}
            assert "ibrary" not in explained(error), f"{kind}, which {part} can raise"


VALUES = st.sampled_from(
    [None, True, "", "x y", "0.1", -1, 0, 10**30, 1e300, -0.5, [], {}, [[]], {"a": 1}, ["lr=1", 3]]
)


def places(content: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The keys that lead to everything in a design."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [*([above] if above else []), *(place for key, inner in items for place in places(inner, (*above, key)))]


def changed(content: Any, place: tuple[Any, ...], how: str, value: Any) -> None:
    """Change something in a design as people do: leave it out, misspell its key, or give it another value."""
    *above, last = place
    for key in above:
        content = content[key]
    if how == "value":
        content[last] = value
        return
    kept = content.pop(last)
    if how == "key" and isinstance(content, dict):
        content[f"{last}"[:-1] if len(f"{last}") > 1 else f"{last}x"] = kept


@given(st.data())
def test_whatever_is_wrong_with_a_design_is_told_with_its_line_in_our_words(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(SHIPPED))
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for _ in range(data.draw(st.integers(1, 3))):
        if there := places(content):
            how = data.draw(st.sampled_from(["left out", "key", "value"]))
            changed(content, data.draw(st.sampled_from(there)), how, data.draw(VALUES))
    text = yaml.safe_dump(content, sort_keys=False)
    try:
        design_file.parse_text(text, "a.yaml", VISION)
    except UserError as error:
        rows = text.splitlines()
        for line in str(error).splitlines():
            place = re.match(r"a\.yaml(, line (\d+))?: ", line)
            assert place, line
            assert place[2] is None or 1 <= int(place[2]) <= len(rows), line
            assert not LIBRARY.search(line.casefold()), line
