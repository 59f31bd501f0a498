"""Settings that no stage could use: told with the line of the design, or of the config, that sets them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import contracts
import pytest
from contracts import VISION

from lab.contract import hooks
from lab.design import design_file, folds
from lab.errors import UserError
from lab.records.planning import Planner

HEAD = "kind: {kind}\ntype: train\ntask: classification\ntitle: t\n"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it is generated, as far as designs are planned in it."""
    return contracts.tree()


def told(tree: Path, path: Path, text: str, check: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is wrong with the settings of a design, a line each."""
    path.write_text(text)
    monkeypatch.setattr(hooks, "load", lambda root, name, tells: hooks.for_people(check, name, tells))
    project: Any = SimpleNamespace(root=tree, head=None, contract=VISION, composed=lambda key, work_out: work_out())
    planner = Planner(project, path, lambda name, seed: name)
    return planner.unusable(planner.plan()).splitlines()


def numbers(settings: dict[str, Any]) -> list[tuple[str, str]]:
    """A check of two keys, of which training.lr is made of the other by conf/."""
    lr = {"lr": settings["lr"], "training.lr": settings["training"]["lr"]}
    wrong = [(key, f"{value!r}: expected a number") for key, value in lr.items() if not isinstance(value, float)]
    many = settings["training"]["max_epochs"]
    return wrong + ([("training.max_epochs", f"{many}: expected fewer")] if many > 10 else [])


@pytest.mark.parametrize(
    ("kind", "rest", "lines"),
    [
        (
            "sweep",
            "sweep:\n  parameters:\n    lr:\n      - 0.1\n      - small\n",
            ["line 9: sweep.parameters.lr.1: 'small': expected a number"],
        ),
        ("single", "base:\n  - lr=small\n", ["line 6: base.0: lr: 'small': expected a number"]),
        ("comparison", "comparison:\n  variable: lr\n  values: [0.1, a]\n", ["line 7: comparison.values.1: lr: 'a'"]),
        (
            "comparison",
            "comparison:\n  values:\n    a: lr=0.1\n    b:\n      - data.image_size=32\n      - lr=b\n",
            ["line 10: comparison.values.b.1: lr: 'b': expected a number"],
        ),
        (
            "ablation",
            "ablation:\n  baseline: [training.max_epochs=20]\n  components:\n    a: lr=c\n",
            [
                "line 6: ablation.baseline.0: training.max_epochs: 20: expected fewer",
                "line 8: ablation.components.a: lr: 'c'",
            ],
        ),
        (
            "sweep",
            "sweep:\n  strategy: bayesian\n  max_runs: 3\n  parameters:\n"
            "    lr: {low: 0.1, high: 0.2}\n    training.max_epochs: {low: 2, high: 40, int: true}\n",
            ["line 10: sweep.parameters.training.max_epochs: 40: expected fewer"],
        ),
    ],
)
def test_each_mistake_has_its_line_and_is_told_once(
    tree: Path, tmp_path: Path, kind: str, rest: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "some.yaml"
    found = told(tree, path, HEAD.format(kind=kind) + rest + "seeds: [0, 1]\n", numbers, monkeypatch)
    assert len(found) == len(lines), found
    for line, start in zip(sorted(found), sorted(lines), strict=True):
        assert line.startswith(f"{path}, {start}")


def test_what_the_config_sets_has_its_file(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(settings: dict[str, Any]) -> list[tuple[str, str]]:
        return [("training.optimizer", "is out of fashion")]

    (line,) = told(tree, tmp_path / "a.yaml", HEAD.format(kind="single"), check, monkeypatch)
    place = next(
        number
        for number, text in enumerate((tree / "conf/training/default.yaml").read_text().splitlines(), 1)
        if text.startswith("optimizer:")
    )
    assert line == f"conf/training/default.yaml, line {place}: training.optimizer: is out of fashion"


def test_a_check_may_raise_instead(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(settings: dict[str, Any]) -> None:
        raise ValueError("these two don't go together")

    found = told(tree, tmp_path / "a.yaml", HEAD.format(kind="single"), check, monkeypatch)
    assert found == ["baseline: these two don't go together"]


def test_what_a_design_names_and_is_not_there_is_told_at_once_with_lines(tree: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(HEAD.format(kind="sweep") + "base: [sead=1]\nsweep:\n  parameters:\n    lrr: [0.1]\n")
    project: Any = SimpleNamespace(root=tree, head=None, contract=VISION, composed=lambda key, work_out: work_out())
    with pytest.raises(UserError) as caught:
        Planner(project, path, lambda name, seed: name).plan()
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{path}, line 5: base.0: sead: sead is neither a key")
    assert second.startswith(f"{path}, line 8: sweep.parameters.lrr: lrr is neither a key")


@pytest.mark.parametrize("value", ["1e400", ".nan", "-.inf"])
def test_a_number_that_is_none_is_told_in_one_sentence(value: str) -> None:
    text = HEAD.format(kind="comparison") + f"comparison: {{variable: lr, values: [0.1, {value}]}}\n"
    with pytest.raises(UserError) as caught:
        design_file.parse_text(text, "a.yaml", VISION)
    assert str(caught.value).count("\n") == 0 and "expected a finite number" in str(caught.value)


def test_the_nearest_metric_comes_first() -> None:
    text = HEAD.format(kind="single") + "hypothesis: {claim: c, metric: infer.f1_marco}\n"
    with pytest.raises(
        UserError, match=r"hypothesis.metric: lab.yaml doesn't know infer.f1_marco. Did you mean"
    ) as said:
        design_file.parse_text(text, "a.yaml", VISION)
    assert "'infer.f1_macro'" in str(said.value)


def test_a_cross_validation_has_no_more_parts_than_it_says(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = HEAD.format(kind="single") + "seeds: [3]\nbase:\n  - data.source.fold='${seed} of 2'\n"
    [problem] = told(tree, tmp_path / "a.yaml", text, lambda settings: [], monkeypatch)
    expected = "expected k of n with k from 1 to n, here from 1 to 2"
    assert problem.endswith(f"line 7: base.0: data.source.fold: '3 of 2': {expected}")
    for value, wrong in (("0 of 2", True), ("3 of 2", True), ("2 of 2", False), (None, False), ("half", False)):
        assert bool(list(folds.checked(None, "fold")({"fold": value}) or ())) == wrong
    own = folds.checked(lambda settings: [("fold", "no such part")], "fold")
    assert list(own({"fold": "3 of 2"}) or ()) == [("fold", "no such part")], "what the project says is told once"
