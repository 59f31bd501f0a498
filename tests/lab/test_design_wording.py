"""A project's own words in designs, by `words` of lab.yaml: what they stand for, and what is wrong with them."""

import json
from typing import Any

import pytest
import yaml
from contracts import PROJECT, VISION

from lab.design import design_file, wording
from lab.design.models import digest
from lab.errors import UserError

HEAD = {"type": "train", "title": "t", "task": "classification"}


def parsed(data: dict[str, Any]) -> Any:
    return design_file.parse_text(yaml.safe_dump(data, sort_keys=False), "a.yaml", VISION)


def refused(data: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        parsed(data)
    return str(caught.value)


@pytest.mark.parametrize(
    ("ours", "plain", "said"),
    [
        ({"models": ["a", "b"]}, {"variable": "model", "values": ["a", "b"]}, "variable: model, values: [a, b]"),
        (
            {"datasets": ["digits", "own"], "versus": "digits"},
            {"variable": "data", "values": ["digits", "own"], "versus": "digits"},
            "variable: data",
        ),
        (
            {"run_ids": {"old": "1a2b", "new": "lr_sweep:lr=0.1"}},
            {"variable": "infer.model", "values": {"old": "infer.model='1a2b'", "new": "lr_sweep:lr=0.1"}},
            "variable: infer.model",
        ),
        (
            {"models": ["a", "b"], "quantization_variants": ["x", "y"], "zip": True},
            {"variables": {"model": ["a", "b"], "quant": ["x", "y"]}, "zip": True},
            "variables: model: [a, b], quant: [x, y]",
        ),
    ],
)
def test_they_are_the_same_question_as_in_the_words_of_designs(
    ours: dict[str, Any], plain: dict[str, Any], said: str
) -> None:
    written = {"kind": "comparison", **HEAD, "comparison": ours}
    assert parsed(written) == parsed({"kind": "comparison", **HEAD, "comparison": plain})
    assert digest(parsed(written)) == digest(parsed({"kind": "comparison", **HEAD, "comparison": plain}))
    (sentence,) = wording.plain(written, VISION).said
    assert said in sentence


def test_a_kind_may_bring_its_type() -> None:
    block = {"quantization_variants": ["openvino_fp32", "openvino_int8"]}
    design = parsed({"kind": "quantization_compare", "title": "t", "comparison": block})
    assert (design.kind, design.type, design.comparison.variable) == ("comparison", "quant", "quant")
    stated = parsed({"kind": "quantization_compare", "type": "infer", "title": "t", "comparison": block})
    assert stated.type == "infer"


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ({"models": ["a", 1, {}]}, "line 9: comparison.models.2: {}: expected a single value or a list"),
        ({"models": ["a", "a"]}, "line 6: comparison.models: a is there twice"),
        ({"models": ["a"]}, "line 6: comparison.models: one arm has nothing to be compared with"),
        ({"models": 3}, "line 6: comparison.models: "),
        (
            {"variable": "lr", "models": ["a", "b"]},
            "line 7: comparison.models stands for model with its values, and var",
        ),
        ({"run_ids": ["a"], "model_versions": ["b"]}, "line 8: comparison.model_versions and comparison.run_ids both"),
        ({"modells": ["a", "b"]}, "line 6: comparison.modells: no such key here. Did you mean 'models'?"),
    ],
)
def test_mistakes_are_told_in_the_words_of_the_file(block: dict[str, Any], line: str) -> None:
    assert f"a.yaml, {line}" in refused({"kind": "comparison", **HEAD, "comparison": block})


def test_the_nearest_kind_may_be_one_of_them() -> None:
    assert "Did you mean 'quantization_compare'?" in refused({"kind": "quantisation_compare", "title": "t"})


def test_editors_know_them() -> None:
    schema = json.loads((PROJECT / "designs" / "schema.json").read_text())
    assert {"models", "run_ids", "datasets"} <= schema["$defs"]["ComparisonConfig"]["properties"].keys()
    assert "quantization_compare" in schema["$defs"]["ComparisonDesign"]["properties"]["kind"]["enum"]
