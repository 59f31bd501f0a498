"""The project's own functions: whatever they do, a person reads a sentence that names them."""

import sys
from pathlib import Path

import contracts
import numpy as np
import pandas as pd
import pytest

from lab.contract import hooks
from lab.design.contract_check import mistakes
from lab.design.pipeline import Pipeline
from lab.errors import UserError
from lab.records import per_item

CODES = {
    "raises": "raise KeyError('lr')",
    "divides": "1 / 0",
    "names": "nothing",
    "exits": "import sys; sys.exit(3)",
    "asserts": "assert False, 'never'",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.mark.parametrize("name", CODES)
def test_what_goes_wrong_at_import(root: Path, name: str) -> None:
    (root / f"import_{name}.py").write_text(CODES[name])
    with pytest.raises(UserError, match=rf"lab.yaml: import_{name}:f: its module can't be imported: .*line 1"):
        hooks.load(root, f"import_{name}:f")


@pytest.mark.parametrize("name", CODES)
def test_what_goes_wrong_in_a_call(root: Path, name: str) -> None:
    (root / f"call_{name}.py").write_text(f"def f(params):\n    {CODES[name]}\n")
    with pytest.raises(UserError, match=rf"lab.yaml: call_{name}:f: .*line 2"):
        hooks.load(root, f"call_{name}:f")({})


def test_a_module_that_is_no_python_and_a_name_that_is_no_function(root: Path) -> None:
    (root / "broken_syntax.py").write_text("def f(:\n")
    with pytest.raises(UserError, match="broken_syntax:f: its module can't be imported: SyntaxError"):
        hooks.load(root, "broken_syntax:f")
    (root / "not_callable.py").write_text("f = 3\n")
    with pytest.raises(UserError, match="not_callable:f: expected a function, not 3"):
        hooks.load(root, "not_callable:f")
    with pytest.raises(UserError, match="has no such function. Did you mean 'f'"):
        hooks.load(root, "not_callable:ff")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("return 3", "it gave 3: expected a function of weights, or None"),
        ("return lambda weights: 0.5", "its function gave float: expected an array with a value for each column"),
        ("return lambda weights: weights", "its function gave ndarray"),
        ("return lambda weights: {}['lr']", "KeyError: 'lr'"),
    ],
)
def test_a_metric_of_single_items_is_an_array(root: Path, code: str, said: str) -> None:
    name = f"scorer_{abs(hash(code))}"
    (root / f"{name}.py").write_text(f"def f(items, metric):\n    {code}\n")

    class Study:
        class project:
            pass

        @staticmethod
        def metric(name: str) -> object:
            return contracts.contract(f"types: {{fit: fit}}\nmetrics: {{x.a: {{per_item: '{hook}'}}}}\n").metric(name)

    hook = f"{name}:f"
    Study.project.root = root  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="lab.yaml: .*x.a.*") as caught:
        per_item._scorer(Study, pd.DataFrame(), "x.a")(np.ones((4, 3)))  # type: ignore[arg-type]
    assert said in str(caught.value)


PIPELINE = """
stages:
  fit:
    cmd: python fit.py
    outs: [models/model.pt, results/fit]
    metrics: [scores.json]
"""


def test_a_true_contract_has_no_mistake() -> None:
    shipped = contracts.tree()
    pipeline = Pipeline.read(shipped / "dvc.yaml")
    from lab.design.compose import composer_of

    for task in ("detection", "classification"):
        params = composer_of(shipped).compose([f"task={task}"])
        assert list(mistakes(contracts.VISION, pipeline, params)) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("curves: {output: models, stage: fitt}", "curves.stage: dvc.yaml has no stage fitt. Did you mean 'fit'?"),
        ("neutral: {fti: [a]}", "neutral: dvc.yaml has no stage fti"),
        ("models: [{output: models/modle.pt, champion: a.pt}]", "models.output: no stage of dvc.yaml writes models/"),
        ("predictions: {output: result/it.csv}", "predictions.output: no stage of dvc.yaml writes result/it.csv"),
        ("metrics: {scorse.accuracy: {}}", "metrics: scorse.accuracy is in no metrics file of dvc.yaml: scores. Did"),
        ("main: [nofile.accuracy]", "main: nofile.accuracy is in no metrics file"),
        ("metrics_in: ['metrcs/*']", "metrics_in: dvc.yaml has no metrics file that matches metrcs/*"),
        ("names: {model: model.nmae}", "names.model: there is no setting model.nmae. Did you mean 'model.name'?"),
    ],
)  # fmt: skip
def test_what_lab_yaml_names_and_is_not_there(line: str, said: str) -> None:
    contract = contracts.contract(f"types: {{fit: fit}}\n{line}\n")
    told = list(mistakes(contract, Pipeline.parse(PIPELINE, "dvc.yaml"), {"model": {"name": "a"}}))
    assert len(told) == 1 and told[0].startswith("lab.yaml: ") and said in told[0], told
