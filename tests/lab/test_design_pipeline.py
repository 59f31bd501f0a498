"""What dvc.yaml files of other people hold: read as DVC reads it, or refused in a sentence."""

import json

import contracts
import pytest

from lab.design.pipeline import Pipeline
from lab.errors import UserError

CONTRACT = contracts.contract("types: {fit: fit}\nseeds: []\n")
CHAIN = """
stages:
  fit:
    cmd: python fit.py
    deps: [fit.py, "https://localhost/data.csv"]
    params: [lr]
    metrics: [{"scores.json": {cache: false}}]
"""
PARAMS = {"lr": 0.1, "lang": "en", "depth": 3}


def parsed(text: str) -> Pipeline:
    return Pipeline.parse(text, "dvc.yaml")


@pytest.mark.parametrize("stage", ["null", "[a]", "text", "3"])
def test_a_stage_that_is_none_is_named(stage: str) -> None:
    with pytest.raises(UserError, match="dvc.yaml: the stage fit is .*expected its cmd, deps and outs"):
        parsed(f"stages: {{fit: {stage}}}")


@pytest.mark.parametrize("params", ["[params.yaml: ]", "[{params.yaml: null}]", "[{params.yaml: []}, lr]"])
def test_a_stage_may_read_all_of_the_params(params: str) -> None:
    pipeline = parsed(CHAIN.replace("[lr]", params))
    ours, same, other = (pipeline.signatures("fit", p) for p in (PARAMS, dict(PARAMS), {**PARAMS, "depth": 4}))
    assert ours == same != other
    assert "params.yaml" not in pipeline.deps("fit")


def test_variables_stand_in_paths() -> None:
    text = "vars: [{out: {dir: made}}, other.yaml]\n" + CHAIN.replace("scores.json", "${out.dir}/${lang}.json")
    pipeline = parsed(text)
    assert pipeline.outputs("fit", PARAMS) == ["made/en.json"]
    assert "other.yaml" in pipeline.deps("fit", PARAMS), "a change of it is one of the stage"
    pipeline.check_paths("fit", PARAMS)
    pipeline.check_metric("hypothesis.metric", "en.accuracy", "fit", CONTRACT, PARAMS)
    assert pipeline.definition("fit", PARAMS) != parsed(text.replace("made", "built")).definition("fit", PARAMS)


def test_a_path_of_what_nobody_reads_is_refused() -> None:
    pipeline = parsed("vars: [other.yaml]\n" + CHAIN.replace("scores.json", "${where}/scores.json"))
    with pytest.raises(UserError, match="the stage fit names .*where is neither in params.yaml nor among the vars"):
        pipeline.check_paths("fit", PARAMS)


@pytest.mark.parametrize("place", ["top.json", "folder/top.json"])
def test_metrics_that_no_stage_writes_can_t_be_asked_for(place: str) -> None:
    pipeline = parsed(CHAIN + f"metrics: [{place}]\n")
    pipeline.check_metric("hypothesis.metric", "scores.accuracy", "fit", CONTRACT, PARAMS)
    with pytest.raises(UserError, match=f"top.accuracy is in {place}, which no stage of dvc.yaml names"):
        pipeline.check_metric("hypothesis.metric", "top.accuracy", "fit", CONTRACT, PARAMS)
    inside = parsed(CHAIN + f"    outs: [folder, top.json]\nmetrics: [{place}]\n")
    inside.check_metric("hypothesis.metric", "top.accuracy", "fit", CONTRACT, PARAMS)


def test_the_key_of_a_metric_may_hold_spaces() -> None:
    from pydantic import TypeAdapter, ValidationError

    from lab.design.forms import Metric

    adapter: TypeAdapter[str] = TypeAdapter(Metric)
    for good in ("scores.weighted avg.f1-score", "a.b", "scores.size mb"):
        assert adapter.validate_json(json.dumps(good)) == good
    for bad in ("scores", "scores. a", "scores.a ", "scores..a", " scores.a", "scores.a\n"):
        with pytest.raises(ValidationError):
            adapter.validate_json(json.dumps(bad))


def test_a_stage_of_several_is_told_by_what_dvc_calls_it() -> None:
    pipeline = parsed("stages:\n  evaluate:\n    foreach: [en, de]\n    do: {cmd: x}\n")
    with pytest.raises(UserError, match="no stage evaluate@en.* evaluate is several stages by foreach, and lab takes"):
        pipeline.chain("evaluate@en")
