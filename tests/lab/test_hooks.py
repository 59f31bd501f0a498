"""The project's own functions: whatever they do, a person reads a sentence that names them."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import contracts
import numpy as np
import pandas as pd
import pytest

from lab.contract import hooks
from lab.design import folds
from lab.design.contract_check import column_mistakes, mistakes, task_mistakes
from lab.design.pipeline import Pipeline
from lab.errors import UserError
from lab.records import per_item
from lab.report.figures.items import Items, in_order

CODES = {
    "raises": "raise KeyError('lr')",
    "divides": "1 / 0",
    "names": "nothing",
    "exits": "import sys; sys.exit(3)",
    "asserts": "assert False, 'never'",
    "converts": "int('seven')",  # a ValueError that tells a person nothing by itself
    "reads": "import pathlib; pathlib.Path('no file').read_text()",  # which Python's own code raises
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


def test_no_line_of_ours_is_told(root: Path) -> None:
    (root / "no_arguments.py").write_text("def f(): ...\n")
    with pytest.raises(UserError, match=r"lab.yaml: no_arguments:f: TypeError: .*given$"):
        hooks.load(root, "no_arguments:f")({})


@pytest.mark.parametrize("name", CODES)
def test_what_goes_wrong_in_a_call(root: Path, name: str) -> None:
    (root / f"call_{name}.py").write_text(f"def f(params):\n    {CODES[name]}\n")
    with pytest.raises(UserError, match=rf"lab.yaml: call_{name}:f: .*line 2"):
        hooks.load(root, f"call_{name}:f")({})


def test_each_project_has_its_own_code(root: Path) -> None:
    """Though another copy of the project is linked with the environment, or has been read before."""
    copies = [root / "one", root / "two"]
    for copy in copies:
        (copy / "src" / "own_package").mkdir(parents=True)
        (copy / "src" / "own_package" / "__init__.py").touch()
        (copy / "src" / "own_package" / "part.py").write_text(f"def name():\n    return {copy.name!r}\n")
        (copy / "src" / "own_package" / "hooks.py").write_text("from own_package.part import name\n")
    sys.path.insert(0, str(copies[0] / "src"))
    for copy in reversed(copies):
        assert hooks.load(copy, "own_package.hooks:name")() == copy.name


def test_a_module_that_is_no_python_and_a_name_that_is_no_function(root: Path) -> None:
    (root / "broken_syntax.py").write_text("def f(:\n")
    with pytest.raises(UserError, match="broken_syntax:f: its module can't be imported: SyntaxError: .*") as caught:
        hooks.load(root, "broken_syntax:f")
    assert f"({root / 'broken_syntax.py'}, line 1)" in str(caught.value)
    (root / "not_callable.py").write_text("f = 3\n")
    with pytest.raises(UserError, match="not_callable:f: expected a function, not 3"):
        hooks.load(root, "not_callable:f")
    with pytest.raises(UserError, match="has no such function. Did you mean 'f'"):
        hooks.load(root, "not_callable:ff")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("return 3", "it gave 3: expected a function of weights, or None"),
        ("return lambda weights: 0.5", "its function gave float: expected an array with a number for each column"),
        ("return lambda weights: weights", "its function gave ndarray"),
        ("return lambda weights: weights[0].astype(str)", "its function gave an array of <U"),
        ("return lambda weights: weights[0].astype(object)", "its function gave an array of object"),
        ("return lambda weights: weights[0] * 1j", "its function gave an array of complex128"),
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
        assert list(mistakes(contracts.VISION, pipeline, [params])) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("curves: {output: models, stage: fitt}", "curves.stage: dvc.yaml has no stage fitt. Did you mean 'fit'?"),
        ("neutral: {fti: [model.name]}", "neutral: dvc.yaml has no stage fti"),
        ("models: [{output: models/modle.pt, champion: a.pt}]", "models.0.output: no stage of dvc.yaml writes models/"),
        ("predictions: {output: result/it.csv}", "predictions.output: no stage of dvc.yaml writes result/it.csv"),
        ("metrics: {scorse.accuracy: {}}", "metrics: scorse.accuracy is in no metrics file of dvc.yaml: scores. Did"),
        ("main: [nofile.accuracy]", "main: nofile.accuracy is in no metrics file"),
        ("tags: {model: model.nmae}", "tags.model: there is no setting model.nmae. Did you mean 'model.name'?"),
        ("raw_data: model.path", "raw_data: there is no setting model.path"),
        ("test_split: [model.site]", "test_split.0: there is no setting model.site"),
        ("task: {key: model.task}", "task.key: there is no setting model.task"),
        ("neutral: {fit: [model.name, theads]}", "neutral.fit.1: there is no setting theads"),
        ("data_facts: [{text: 'on {}', key: data}]", "data_facts.0.key: there is no setting data"),
        ("models: [{output: models, champion: a, when: {mode: 1}}]", "models.0.when: there is no setting mode"),
        ("questions: [{name: a, varies: [modle]}]", "questions.0.varies.0: there is no setting modle"),
        ("questions: [{name: a, beside: [x.y]}]", "questions.0.beside: x.y is in no metrics file"),
        ("single: {name: a, figures: [{draw: confusion, output: a.csv}]}", "single.figures.0.output: no stage of dvc"),
        ("speed: {latency: {fit: time.ms}}", "speed.latency.fit: time.ms is in no metrics file"),
        ("metrics_in: ['metrcs/*']", "metrics_in: dvc.yaml has no metrics file that matches metrcs/*"),
        ("names: {model: model.nmae}", "names.model: there is no setting model.nmae. Did you mean 'model.name'?"),
    ],
)  # fmt: skip
def test_what_lab_yaml_names_and_is_not_there(line: str, said: str) -> None:
    contract = contracts.contract(f"types: {{fit: fit}}\n{line}\n")
    told = list(mistakes(contract, Pipeline.parse(PIPELINE, "dvc.yaml"), [{"model": {"name": "a"}}]))
    assert len(told) == 1 and told[0].text.startswith("lab.yaml: ") and said in told[0].text, told


def test_what_a_verdict_depends_on_blocks_and_what_is_only_told_does_not() -> None:
    """A setting that a run of another arm has is there; a group of conf/ may be varied as a whole."""
    text = "types: {fit: fit}\nraw_data: path\ntags: {a: path}\nquestions: [{name: a, varies: [model]}]\n"
    pipeline = Pipeline.parse(PIPELINE, "dvc.yaml")
    told = list(mistakes(contracts.contract(text), pipeline, [{}], ["model"]))
    assert [(mistake.text.split(": ")[1], mistake.blocks) for mistake in told] == [
        ("raw_data", True),
        ("tags.a", False),
    ]
    assert not list(mistakes(contracts.contract(text), pipeline, [{}, {"path": "a", "model": 1}]))


def test_columns_and_tasks_that_are_not_there() -> None:
    text = "types: {fit: fit}\npredictions: {output: '{stage}/said', slices: [stie, path], cluster: patient, skip: [x]}"
    contract = contracts.contract(text + "\ntask: {key: task, unused_packages: {a: [torch], c: [timm]}}\n")
    told = list(column_mistakes(contract, ["path", "site"]))
    assert [mistake.blocks for mistake in told] == [False, True], "what is skipped may be another task's"
    assert "predictions.slices: {stage}/said has no column stie. Did you mean 'site'?" in told[1].text
    assert [mistake.text for mistake in task_mistakes(contract, ["a", "b"])] == [
        "lab.yaml: task.unused_packages.c: task is never c."
    ]


@pytest.mark.parametrize(("code", "said"), [("return 'blue'", "blue"), ("...", ""), ("return 3", None)])
def test_words_on_a_picture_are_a_text(root: Path, code: str, said: str | None) -> None:
    name = f"wordy_{abs(hash(code))}"
    (root / f"{name}.py").write_text(f"def f(frame, colours):\n    {code}\n")
    contract: Any = SimpleNamespace(item_pictures=SimpleNamespace(legend=f"{name}:f"))
    items = Items(pd.DataFrame(), {}, contract, root)
    if said is not None:
        assert items.legend() == said
    else:
        with pytest.raises(UserError, match=f"lab.yaml: item_pictures.legend: {name}:f gave 3: expected a text"):
            items.legend()


@pytest.mark.parametrize("code", ["return 'text'", "return ['a', 'b']", "return 3", "return [('lr', 3)]", "yield 'lr'"])
def test_what_a_check_says_are_pairs(root: Path, code: str) -> None:
    name = f"says_{abs(hash(code))}"
    (root / f"{name}.py").write_text(f"def f(settings):\n    {code}\n")
    with pytest.raises(UserError, match=r"lab.yaml: check: its function gave .*: expected pairs of a key"):
        list(folds.checked(hooks.load(root, f"{name}:f"), None)({}))


def test_only_a_check_tells_of_mistakes_in_its_own_words(root: Path) -> None:
    (root / "tells.py").write_text(
        "def f(settings):\n    yield 'lr', 'too large'\n    raise ValueError('no such lr')\n"
    )
    with pytest.raises(UserError, match="^no such lr$"):
        hooks.load(root, "tells:f", tells=True)({})
    with pytest.raises(UserError, match=r"^lab.yaml: tells:f: ValueError: no such lr \(.*tells.py, line 3\)$"):
        hooks.load(root, "tells:f")({})


@pytest.mark.parametrize("values", [["bad"], [None], [float("nan")], [1j]])
def test_what_orders_pictures_is_a_number_for_each(values: list[Any], root: Path) -> None:
    scored = pd.DataFrame({"path": ["a.png"], "surety": [0.5], "score": values})
    with pytest.raises(UserError, match="lab.yaml: item_pictures.score: its column score should be a number"):
        in_order(scored)
