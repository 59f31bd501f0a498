"""The checklist, and whether a design can decide anything."""

from types import SimpleNamespace
from typing import Any

import pytest
from contracts import VISION

from lab.design import design_file, power, preflight
from lab.design import plan as planning
from lab.design.preflight import Inputs
from lab.execution import preflight_inputs

READY = {"path": "designs/some.yaml", "contract": VISION, "tracking": "MLflow", "measured": True}
HYPOTHESIS = {"claim": "It is better", "metric": "infer.f1_macro", "min_effect": 0.01, "expected": 0.9}


def design(kind: str = "comparison", /, **settings: Any) -> Any:
    blocks = {
        "single": {},
        "comparison": {"comparison": {"variable": "model", "values": ["a", "b", "c"]}},
        "sweep": {"sweep": {"parameters": {"lr": [0.1, 0.2]}}},
    }
    return design_file.parse(
        {"kind": kind, "type": "train", "title": "What?", "name": "some", **blocks[kind], **settings}, VISION
    )


def plan(made: Any, arms: tuple[str, ...] = ("a", "b", "c")) -> Any:
    runs = [
        planning.Run(f"{arm}{seed}", arm, {}, seed, i, 0, [], {}, "infer", "")
        for arm in arms
        for i, seed in enumerate(made.seeds)
    ]
    return planning.Plan(made, "", runs)


def line(name: str, made: Any, inputs: Any, planned: Any = None) -> Any:
    found = preflight.checks(made, planned or plan(made), inputs)
    return next(check for check in found if check.name == name)


@pytest.mark.parametrize(("effect", "seeds"), [(0.5, 34), (0.8, 15), (1.0, 10), (1.5, 6), (2.0, 5)])
def test_seeds_for_80_percent_power(effect: float, seeds: int) -> None:
    assert power.seeds_needed(effect, 1.0) == seeds


@pytest.mark.parametrize(("effect", "n"), [(0.3, 5), (1.0, 2), (1.2, 8), (4.0, 30)])
def test_power_is_that_of_statsmodels(effect: float, n: int) -> None:
    from statsmodels.stats.power import TTestPower

    expected = TTestPower().power(effect, n, alpha=0.05 / 3)
    assert power.paired_power(effect, 1.0, n, comparisons=3) == pytest.approx(expected, abs=1e-4)


def test_the_detectable_effect_is_the_one_that_so_many_seeds_suffice_for() -> None:
    for n in (2, 3, 5, 12):
        effect = power.supportable(0.01, 0.02, n, comparisons=2, shared=1e-6)
        assert power.supported_chance(effect, 0.01, 0.02, n, 2, 1e-6) == pytest.approx(power.POWER, abs=1e-3)
    assert power.supportable(0.0, 0.02, 1) is None
    assert power.supportable(0.01, 0.0, 5) == 0.01
    assert power.supporting_seeds(0.01, 0.01, 1.0) is None, "an effect of min_effect looks smaller in half of the cases"
    assert power.supported_chance(0.01, 0.01, 0.02, 900) == pytest.approx(0.5, abs=1e-3)
    assert power.supported_chance(1.0, 0.0, 1.0, 10) == pytest.approx(power.paired_power(1.0, 1.0, 10), abs=1e-3)
    assert power.seeds_needed(0.0, 1.0) is None
    assert power.seeds_needed(1e-6, 1.0) is None
    assert power.seeds_needed(0.01, 0.0) == 2


@pytest.mark.parametrize(("n", "p"), [(1, 1.0), (3, 0.25), (4, 0.125), (5, 0.0625), (6, 0.03125), (8, 0.0078125)])
def test_the_smallest_attainable_p(n: int, p: float) -> None:
    assert power.smallest_p(n) == p
    assert power.smallest_p(n, comparisons=3) == min(1, 3 * p)


def test_noise_floor() -> None:
    assert power.noise_floor([0.5]) is None
    assert power.noise_floor([1, 2, 3, 4]) == pytest.approx(1.29099, abs=1e-5)


def test_a_design_that_is_ready() -> None:
    made = design(hypothesis=HYPOTHESIS, seeds=list(range(8)))
    found = preflight.checks(made, plan(made), Inputs(**READY, baseline=[0.90, 0.901, 0.899, 0.9], seconds=60, jobs=2))
    assert all(check.ok for check in found), found
    assert not preflight.blocked(found)
    text = {check.name: check.message for check in found}
    assert text["runs"] == "3 arms × 8 seeds = 24"
    assert text["duration"] == "about 12 min (60 s a run, 2 at a time)"
    assert text["baseline"] == "measured by the design: a"


@pytest.mark.parametrize(
    ("task", "metric"), [("classification", "train.val_f1_macro"), ("segmentation", "train.val_mAP50_95")]
)
def test_a_sweep_of_no_stated_task_is_chosen_by_the_metric_of_the_projects(task: str, metric: str) -> None:
    assert f"by {metric}, after" in line("choice", design("sweep"), Inputs(**READY, task=task)).message


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({"git": "not committed: src/train.py"}, "code committed"),
        ({"committed": False}, "design committed"),
        ({"secrets": ".env is tracked by git"}, ".env"),
        ({"data": "datasets/x is not there"}, "data"),
        ({"mismatch": "lab.yaml: types.train: dvc.yaml has no stage fti"}, "contract"),
        ({"packages": "src/fit.py, line 2: timm is not installed"}, "packages"),
        ({"lock": "dvc.lock is as DVC 1 wrote it"}, "dvc.lock"),
        ({"measured": False}, "baseline"),
        ({"metrics": {"infer.mAP50", "infer.images"}}, "metric"),
        ({"settings": "b: training.optimizer=adamm is not one of adamw, adam, sgd."}, "configs"),
    ],
)
def test_what_blocks(inputs: dict[str, Any], name: str) -> None:
    made = design("sweep", hypothesis=HYPOTHESIS)
    found = preflight.checks(made, plan(made), Inputs(**(READY | inputs)))
    assert [check.name for check in found if not check.ok and check.blocks] == [name]
    assert preflight.blocked(found)


def test_what_warns() -> None:
    made = design("sweep", hypothesis=HYPOTHESIS, seeds=list(range(8)))
    known = Inputs(**READY, baseline=[0.9, 0.9], untold="lab.yaml: tags.a: no setting", remote="s3://b wants dvc-s3")
    found = preflight.checks(made, plan(made), known)
    assert [check.name for check in found if not check.ok] == ["contract", "remote"]
    assert not preflight.blocked(found)


def test_a_question_without_an_expectation_blocks() -> None:
    silent = HYPOTHESIS | {"expected": None}
    for hypothesis, names in ((None, ["hypothesis", "expected result"]), (silent, ["expected result"])):
        made = design(hypothesis=hypothesis)
        found = preflight.checks(made, plan(made), Inputs(**READY))
        assert [check.name for check in found if not check.ok and check.blocks] == names


def test_a_share_lies_between_0_and_1() -> None:
    made = design(hypothesis=HYPOTHESIS | {"expected": 95, "min_effect": 2}, targets={"target": 0.9, "stretch": 1.5})
    found = preflight.checks(made, plan(made), Inputs(**READY))
    objections = [(check.name, check.message) for check in found if not check.ok and check.blocks]
    assert [name for name, _ in objections] == ["expected", "min_effect", "targets.stretch"]
    assert objections[0][1] == "95, but infer.f1_macro lies between 0 and 1"
    seconds = {"claim": "c", "metric": "seconds.train", "expected": 95}
    made = design(hypothesis=seconds)
    assert not preflight.blocked(preflight.checks(made, plan(made), Inputs(**READY))), "of seconds, 95 is a good number"
    made = design(hypothesis=seconds | {"expected": -1})
    assert "-1, but seconds.train lies above 0" in line("expected", made, Inputs(**READY)).message


@pytest.mark.parametrize(("basis", "words"), [("images", "over test images"), ("counted", "is counted")])
def test_where_seeds_decide_nothing_none_are_asked_for(basis: str, words: str) -> None:
    made = design(type="infer", hypothesis=HYPOTHESIS)
    found = preflight.checks(made, plan(made), Inputs(**READY, baseline=[0.88, 0.90, 0.92], basis=basis))
    told = {check.name: check.message for check in found}
    assert "seeds" not in told
    assert words in told["power"]
    assert "paired t" not in told["power"]


def test_a_missing_baseline_is_named_after_the_task() -> None:
    made = design("sweep", hypothesis=HYPOTHESIS)
    inputs = Inputs(**(READY | {"measured": False, "task": "detection"}))
    assert "lab run designs/detection_baseline.yaml" in line("baseline", made, inputs).message


def test_a_plan_that_can_not_be_made_blocks() -> None:
    found = preflight.checks(design(hypothesis=HYPOTHESIS), "lrr is no key", Inputs(**READY))
    assert [(c.name, c.message) for c in found if not c.ok and c.blocks] == [("runs", "lrr is no key")]
    assert "baseline" not in {check.name for check in found}, "the arm that it names may be misspelt"


def test_one_seed_gets_a_warning_that_says_what_it_cannot_tell() -> None:
    check = line("seeds", design(hypothesis=HYPOTHESIS), Inputs(**READY))
    assert (check.ok, check.blocks) == (False, False)
    assert "luck of a seed" in check.message


def test_power_is_judged_by_the_baselines_replicates() -> None:
    made = design(hypothesis=HYPOTHESIS, seeds=[0, 1, 2])
    weak = line("power", made, Inputs(**READY, baseline=[0.88, 0.90, 0.92], replicates="some_baseline"))
    assert not weak.ok
    assert "3 seeds decide an effect of 0.13 with 80 %; an effect of 0.02 takes 22 seeds, or 11 to 183" in weak.message
    assert "spread by 0.028, as 3 runs of some_baseline have it" in weak.message
    strong = line("power", made, Inputs(**READY, baseline=[0.9, 0.9001, 0.8999]))
    assert strong.ok, strong
    assert "unknown" in line("power", made, Inputs(**READY)).message


def test_the_noise_is_that_of_the_designs_reference_and_before_that_of_one_baseline() -> None:
    def answer(value: float | None, epochs: int, seed: int = 0) -> Any:
        lr = 0.1 if epochs == 4 else 0.2
        params = {"seed": seed, "training": {"lr": lr, "max_epochs": epochs, "ema": True}, "lr": lr}
        return SimpleNamespace(value=lambda _: value, params=params)

    def standing(arm: str, value: float | None) -> Any:
        record = None if value is None else answer(value, 4)
        params = {**answer(None, 4).params, "experiment": {"arm": arm, "baseline": "a"}}
        return SimpleNamespace(arm=arm, run=SimpleNamespace(params=params), record=record)

    measured = {"full": [answer(0.7, 30, 0), answer(0.8, 30, 1)], "other": [answer(0.1, 4, 0)]}
    own = [standing("b", 0.3), standing("b", 0.4), standing("a", 0.5), standing("a", 0.6)]
    assert preflight_inputs.noise(VISION, own, measured, "infer.f1_macro") == ([0.5, 0.6], "this design's arm a")
    begun = [*own[:3], standing("a", None)]
    values, whose = preflight_inputs.noise(VISION, begun, measured, "infer.f1_macro")
    assert (values, whose) == ([0.7, 0.8], "full (which, unlike this design, has training.max_epochs=30, lr=0.2)")
    del measured["full"]
    assert preflight_inputs.noise(VISION, begun, measured, "infer.f1_macro") == ([0.1], "other")
    assert preflight_inputs.noise(VISION, [], {}, "infer.f1_macro") == ([], "")


def test_an_arm_of_its_own_needs_no_correction() -> None:
    seeds = list(range(8))
    all_arms = line("seeds", design(hypothesis=HYPOTHESIS, seeds=seeds), Inputs(**READY)).message
    one_arm = line("seeds", design(hypothesis=HYPOTHESIS | {"arm": "b"}, seeds=seeds), Inputs(**READY)).message
    assert "p = 0.016 at best over 2 arms by Holm" in all_arms
    assert "p = 0.0078 at best" in one_arm


def test_what_is_done_is_not_waited_for() -> None:
    made = design(hypothesis=HYPOTHESIS, seeds=[0, 1])
    inputs = Inputs(**READY, done=4, seconds=3600)
    assert line("runs", made, inputs).message.endswith("= 6, 4 of them done")
    assert line("duration", made, inputs).message.startswith("about 2.0 h")


@pytest.mark.parametrize(
    ("installed", "is_old"), [("3.49.0", True), ("3.50.0", False), ("3.67.1", False), ("2.58.2", True)]
)
def test_a_dvc_that_is_too_old_is_told(installed: str, is_old: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_inputs, "version", lambda package: installed)
    said = preflight_inputs.old_dvc()
    assert (installed in said and "3.50" in said) == bool(said) == is_old
    found = preflight.checks(design(), plan(design()), Inputs(**READY, old_dvc=said))
    assert ("dvc" in {check.name for check in found}) == is_old
    unfit = Inputs(**(READY | {"tracking": ""}), old_server="MLflow 2.8 there")
    assert line("tracking", design(), unfit).message == "MLflow 2.8 there"


def test_no_effect_is_promised_that_the_metric_cannot_have() -> None:
    made = design(hypothesis=HYPOTHESIS, seeds=[0, 1])
    text = line("power", made, Inputs(**READY, baseline=[0.3, 0.9], replicates="some_baseline")).message
    assert text.startswith("no effect that infer.f1_macro can have, 1 at most, is decided by 2 seeds; "), text
    large = line("power", design(hypothesis={**HYPOTHESIS, "min_effect": 0.7}), Inputs(**READY, baseline=[0.8, 0.9]))
    assert "an effect of 1 takes" in large.message, "twice 0.7 would be beyond"
