"""From designs to runs: counts, names, order, waves, and what is refused."""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import contracts
import pytest
from contracts import PLAIN, PROJECT, VISION
from dulwich.refs import Ref, check_ref_format
from hypothesis import given
from hypothesis import strategies as st

from lab.design import design_file, names, overrides
from lab.design import plan as planning
from lab.design.compose import composer_of
from lab.design.model_refs import Reference
from lab.design.models import digest
from lab.design.pipeline import Pipeline
from lab.errors import UserError

COMPOSER = composer_of(contracts.tree())
PIPELINE = Pipeline.read(contracts.tree() / "dvc.yaml")
SHIPPED = sorted((contracts.tree() / "designs").glob("*.yaml"))
DATE = "2026-11-21"
SITES = {"data.site": ["A", "B"], "infer.site": ["A", "B"]}
PARTS = {
    "augmentation": "augmentation=none",
    "label_smoothing": "training.label_smoothing=0.0",
    "ema": "training.ema=false",
}
ALL = ["augmentation=full", "training.label_smoothing=0.1", "training.ema=true"]


def design(kind: str = "single", type: str = "train", block: dict[str, Any] | None = None, **settings: Any) -> Any:
    said = {"kind": kind, "type": type, "title": "What?", "name": "some", "task": "classification", **settings}
    return design_file.parse(said | ({kind: block} if block else {}), VISION)


def plan(*arguments: Any, **settings: Any) -> Any:
    made = arguments[0] if arguments and not isinstance(arguments[0], str) else design(*arguments, **settings)
    return planning.plan(made, VISION, COMPOSER, PIPELINE, DATE)


def fails(*arguments: Any, **settings: Any) -> str:
    with pytest.raises(UserError) as caught:
        plan(*arguments, **settings)
    return str(caught.value)


def commit_of(name: str, seed: int) -> str:
    return f"{name}@{seed}".encode().hex()


# Counts, by the closed formulas


some_levels = st.lists(st.integers(1, 500), min_size=1, max_size=5, unique=True)
some_seeds = st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True)


@given(some_levels, some_levels, some_levels, some_seeds)
def test_a_grid_has_all_combinations_in_order(a: list[int], b: list[int], c: list[int], seeds: list[int]) -> None:
    parameters = {"training.max_epochs": a, "data.batch_size": b, "data.image_size": c}
    runs = plan("sweep", block={"parameters": parameters}, seeds=seeds).runs
    assert [(tuple(run.levels.values()), run.seed) for run in runs] == list(product(product(a, b, c), seeds))


@given(st.integers(1, 6), some_seeds)
def test_ablations_have_as_many_runs_as_their_method_says(k: int, seeds: list[int]) -> None:
    keys = [f"augmentation.{name}" for name in ("translate", "scale", "rotate", "flip", "brightness", "cutout")][:k]
    block = {"baseline": [f"{key}=0.5" for key in keys], "components": {key[13:]: f"{key}=0.25" for key in keys}}
    for method, arms in {"leave_one_out": k + 1, "add_one_in": k + 1, "factorial": 2**k}.items():
        made = design("ablation", block=block | {"method": method}, seeds=seeds)
        runs = plan(made).runs
        assert len(runs) == arms * len(seeds) == made.size() * len(seeds)
        assert len({run.arm for run in runs}) == arms
        assert made.reference in {run.arm for run in runs}


@given(some_levels.filter(lambda levels: len(levels) > 1), some_seeds)
def test_comparisons(values: list[int], seeds: list[int]) -> None:
    runs = plan("comparison", block={"variable": "data.image_size", "values": values}, seeds=seeds).runs
    assert [run.arm for run in runs] == [str(value) for value in values for _ in seeds]
    tied = {"data.image_size": values, "data.batch_size": values}
    assert len(plan("comparison", block={"variables": tied, "zip": True}, seeds=seeds).runs) == len(values) * len(seeds)
    assert len(plan("comparison", block={"variables": tied}, seeds=seeds).runs) == len(values) ** 2 * len(seeds)


@given(st.integers(1, 12), st.integers(0, 99))
def test_random_sweeps_draw_different_combinations_from_their_space(count: int, sampler_seed: int) -> None:
    parameters = {
        "lr": {"low": 0.0001, "high": 0.1, "log": True},
        "training.weight_decay": {"low": 0.0, "high": 0.3, "step": 0.1},
        "training.max_epochs": {"low": 1, "high": 4, "int": True},
        "augmentation": ["none", "default"],
    }
    block = {"strategy": "random", "max_runs": count, "sampler_seed": sampler_seed, "parameters": parameters}
    runs = plan("sweep", block=block).runs
    assert len(runs) == count == len({run.arm for run in runs})
    for run in runs:
        assert 0.0001 <= run.levels["lr"] <= 0.1
        assert run.levels["training.weight_decay"] in (0.0, 0.1, 0.2, 0.3)
        assert run.levels["training.max_epochs"] in (1, 2, 3, 4)
    assert plan("sweep", block=block).runs == runs


def test_a_bayesian_sweep_has_the_runs_that_were_chosen() -> None:
    block = {"strategy": "bayesian", "max_runs": 5, "parameters": {"lr": {"low": 0.001, "high": 0.1}}}
    made = design("sweep", block=block, seeds=[0, 1])
    assert (plan(made).runs, plan(made).undecided) == ([], 5)
    some = planning.plan(made, VISION, COMPOSER, PIPELINE, DATE, trials=[{"lr": 0.01}, {"lr": 0.02}])
    assert [(run.arm, run.seed) for run in some.runs] == [
        ("lr=0.01", 0),
        ("lr=0.01", 1),
        ("lr=0.02", 0),
        ("lr=0.02", 1),
    ]
    assert some.undecided == 3


def test_ablation_arms_are_called_by_what_they_have() -> None:
    blocks = {
        method: {"baseline": ALL, "components": PARTS, "method": method}
        for method in ("leave_one_out", "add_one_in", "factorial")
    }
    arms = {method: [run.arm for run in plan("ablation", block=block).runs] for method, block in blocks.items()}
    assert arms["leave_one_out"] == ["baseline", "no_augmentation", "no_label_smoothing", "no_ema"]
    assert arms["add_one_in"] == ["bare", "only_augmentation", "only_label_smoothing", "only_ema"]
    assert {"baseline", "bare", "only_augmentation+ema"} < set(arms["factorial"])


def test_a_half_fraction_by_zip() -> None:
    """I = ABCD of 2^4: each level comes four times, each combination once."""
    low, high = [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0, 1, 1]
    variables = {
        "augmentation": [["none", "default"][level] for level in low],
        "training.ema": [bool(level) for level in high],
        "training.label_smoothing": [0.05 * (level % 2) for level in range(8)],
        "training.warmup_epochs": [float((a + b + c) % 2) for a, b, c in zip(low, high, range(8), strict=True)],
    }
    runs = plan("comparison", block={"variables": variables, "zip": True}, seeds=[0, 1]).runs
    assert len(runs) == 16 and len({run.arm for run in runs}) == 8
    twice = {key: [*levels, levels[0]] for key, levels in variables.items()}
    assert "is there twice" in fails("comparison", block={"variables": twice, "zip": True})
    assert "none is there twice" in fails("comparison", block={"variables": variables})


# Which combinations are wanted


def test_exclude_and_constraints() -> None:
    block = {"parameters": {"lr": [0.1, 0.2], "data.batch_size": [1, 2]}}
    assert len(plan("sweep", block=block, exclude=[{"lr": 0.1}]).runs) == 2
    assert len(plan("sweep", block=block, exclude=[{"lr": 0.1, "data.batch_size": 1.0}]).runs) == 3
    kept = plan("sweep", block=block, constraints=[{"require": "lr * data.batch_size <= 0.2", "otherwise": "skip"}])
    assert [run.arm for run in kept.runs] == ["lr=0.1,batch_size=1", "lr=0.1,batch_size=2", "lr=0.2,batch_size=1"]
    by_name = [{"require": "batch_size in [2, 3] and not lr > 0.25", "otherwise": "skip"}]
    left = [run.arm for run in plan("sweep", block=block, constraints=by_name).runs]
    assert left == ["lr=0.1,batch_size=2", "lr=0.2,batch_size=2"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"exclude": [{"lrr": 1}]}, "exclude: lrr is not varied here. Did you mean 'lr'?"),
        ({"exclude": [{"lr": 0.3}]}, "exclude: 0.3 is not a level of lr"),
        ({"exclude": [{"lr": 0.1}, {"lr": 0.2}]}, "leave no combination"),
        ({"constraints": [{"require": "lr < 0.2", "otherwise": "error"}]}, "lr=0.2,"),
        ({"constraints": [{"require": "lrr < 1", "otherwise": "skip"}]}, "lrr is not varied here. Did you mean 'lr'?"),
        (
            {"constraints": [{"require": "lr > 1 and bach_size > 1", "otherwise": "skip"}]},
            "bach_size is not varied here. Did you mean 'batch_size'?",
        ),
        ({"constraints": [{"require": "lr > 1 and lr.real", "otherwise": "skip"}]}, "lr.real is not varied here"),
        ({"constraints": [{"require": "lr > 1 and abs(lr)", "otherwise": "skip"}]}, "more than a condition"),
        ({"constraints": [{"require": "-" * 480 + "1 < lr", "otherwise": "skip"}]}, "can't be computed"),
        ({"constraints": [{"require": "-" * 480 + "1", "otherwise": "skip"}]}, "is no condition"),
        ({"constraints": [{"require": "lr", "otherwise": "skip"}]}, "lr is no condition: compare it with something"),
        (
            {"constraints": [{"require": "lr < 1 and not batch_size", "otherwise": "skip"}]},
            "batch_size is no condition",
        ),
        ({"constraints": [{"require": "lr + 1", "otherwise": "skip"}]}, "lr + 1 is no condition"),
        ({"constraints": [{"require": "1 < 2", "otherwise": "skip"}]}, "names nothing that is varied here: lr, batch"),
        ({"constraints": [{"require": "lr == true", "otherwise": "skip"}]}, "true is written True"),
        (
            {"constraints": [{"require": "lr * batch_size < 0.15", "otherwise": "skip"}]},
            "leave lr=0.1,batch_size=1 alone",
        ),
        ({"constraints": [{"require": "lr <", "otherwise": "skip"}]}, "not a condition"),
        ({"constraints": [{"require": "lr + 'a' == 1", "otherwise": "skip"}]}, "arithmetic is for numbers"),
        ({"constraints": [{"require": "lr / 0 > 1", "otherwise": "skip"}]}, "division by zero"),
        (
            {"constraints": [{"require": "__import__('os').system('touch hacked')", "otherwise": "skip"}]},
            "more than a condition",
        ),
        ({"constraints": [{"require": "lr ** 9 ** 9 ** 9 > 1", "otherwise": "skip"}]}, "more than a condition"),
        ({"constraints": [{"require": "[x for x in (1, 2)]", "otherwise": "skip"}]}, "more than a condition"),
        ({"constraints": [{"require": "(" * 400 + "lr" + ")" * 90, "otherwise": "skip"}]}, "not a condition"),
        ({"constraints": [{"require": "lr < 1 or " * 60 + "lr", "otherwise": "skip"}]}, "at most 500"),
    ],
)
def test_bad_conditions(settings: dict[str, Any], words: str) -> None:
    assert words in fails("sweep", block={"parameters": {"lr": [0.1, 0.2], "data.batch_size": [1, 2]}}, **settings)


def test_more_combinations_than_anyone_meant() -> None:
    hundred = {"lr": [i / 1000 for i in range(1, 101)], "data.batch_size": list(range(1, 101))}
    assert "10,000 combinations" in fails("sweep", block={"parameters": hundred})
    assert "more than sweep.max_runs: 50" in fails("sweep", block={"parameters": hundred, "max_runs": 50})
    huge = {
        f"augmentation.{name}": list(range(1000)) for name in ("scale", "rotate", "flip", "cutout", "mixup", "mosaic")
    }
    assert "1,000,000,000,000,000,000 combinations" in fails("sweep", block={"parameters": huge})
    block = {"parameters": {"lr": [1, 2]}, "strategy": "random", "max_runs": 3}
    assert "there are 2 combinations" in fails("sweep", block=block)
    none = [{"require": "lr > 2", "otherwise": "skip"}]
    assert "only 0 combinations" in fails("sweep", block=block | {"max_runs": 2}, constraints=none)


# What is no experiment, or not this one's


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (
            ("comparison", "train", {"variable": "quant", "values": ["openvino_fp32", "openvino_int8"]}),
            {},
            "nothing reads what they differ in",
        ),
        (
            ("comparison", "train", {"variable": "data.workers", "values": [0, 1]}),
            {},
            "nothing reads what they differ in",
        ),
        (("comparison", "train", {"values": {"a": "lr=0.1", "b": ["lr=0.1"]}}), {}, "a and b are the same experiment"),
        (("comparison", "train", {"variable": "lr", "values": [0.1, "0.1"]}), {}, "two arms are called 0.1"),
        (
            ("comparison", "train", {"variable": "model", "values": ["tiny", "yolo11n"]}),
            {},
            "values.1: model.task: model=yolo11n is for detection, but",
        ),
        (("comparison", "train", {"variable": "model", "values": ["tiny", "tinny"]}), {}, "Did you mean 'tiny'?"),
        (
            ("comparison", "train", {"variable": "modle", "values": {"a": "lr=0.1", "b": "lr=0.2"}}),
            {},
            "comparison.variable: modle is neither a key nor a group of conf/. Did you mean 'model'?",
        ),
        (("comparison", "train", {"variable": "lr", "values": [1, 2], "versus": 3}), {}, "versus: 3 is not an arm"),
        (("sweep", "train", {"parameters": {"lrr": [1]}}), {}, "sweep.parameters.lrr: lrr is neither a key"),
        ((), {"base": ["lr=1,2"]}, "several values at once"),
        ((), {"base": ["lrr=1", "sead=2"]}, "base.1: sead: sead is neither a key nor a group of conf/."),
        ((), {"base": ["training={}"]}, "A key of it is set by training.key=…"),
        (("comparison", "train", {"variable": "lr", "values": [1]}), {}, "one arm has nothing to be compared with"),
        (
            ("comparison", "train", {"variable": "lr", "values": [1, 2, 3]}),
            {"exclude": [{"lr": 1}]},
            "1 is the arm that the others are measured against, and exclude takes it away",
        ),
        (
            ("comparison", "train", {"variable": "lr", "values": [1, 2]}),
            {"exclude": [{"lr": 2}]},
            "exclude leaves 1 alone",
        ),
        (
            ("ablation", "train", {"baseline": ALL, "components": PARTS}),
            {"exclude": [dict.fromkeys(PARTS, True)]},
            "baseline is the arm that the others are measured against",
        ),
        (
            ("comparison", "train", {"variable": "lr", "values": [1, 2], "versus": 2}),
            {"hypothesis": {"claim": "c", "metric": "infer.f1_macro", "arm": 2}},
            "hypothesis.arm: 2 is its own versus",
        ),
        ((), {"run_name": "{modle}"}, "Did you mean 'model'?"),
        (
            (),
            {"hypothesis": {"claim": "c", "metric": "quant.f1_macro"}},
            "written by quant, which the design doesn't run",
        ),
        (
            (),
            {"hypothesis": {"claim": "c", "metric": "infer.f1_macro", "arm": "best"}},
            "hypothesis.arm: best is not an arm",
        ),
        ((), {"base": ["infer.members=[a,b]"]}, "names 2 models: an ensemble needs at least 3"),
    ],
)
def test_refused(arguments: tuple[Any, ...], settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        planning.plan(design(*arguments, **settings), VISION, COMPOSER, PIPELINE, DATE, resolve=commit_of)
    assert words in str(caught.value)


@pytest.mark.parametrize("variable", ["model", "training.ema", "training.new", None])
def test_arms_with_names_differ_in_a_key_a_group_or_what_they_add(variable: str | None) -> None:
    values = {"a": ["lr=0.1", "+training.new=1"], "b": "lr=0.2"}
    block = {"values": values} | ({"variable": variable} if variable else {})
    assert [run.arm for run in plan("comparison", block=block).runs] == ["a", "b"]


# Names


texts = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=300).filter(str.strip)


@given(st.lists(texts, min_size=2, max_size=6, unique=True), some_seeds)
def test_names_are_unique_and_valid_whatever_the_levels(values: list[str], seeds: list[int]) -> None:
    runs = plan("comparison", block={"variable": "model.name", "values": values}, seeds=seeds).runs
    found = [run.name for run in runs]
    assert len({name.casefold() for name in found}) == len(found) == len(values) * len(seeds)
    for name in found:
        assert check_ref_format(Ref(f"refs/exps/ab/{'c' * 38}/{name}".encode()))
        assert len(name) <= names.LONGEST + 10
        assert overrides.quote(name) == name or name[0].isdigit(), "needs no quotes in infer.model=NAME"
        assert overrides.parse(f"infer.model={name}").value == name


def test_the_default_name_says_level_and_seed() -> None:
    runs = plan(
        "sweep",
        block={"parameters": {"lr": [0.001], "data.image_size": [48]}},
        name="lr_sweep",
        seeds=[7],
        base=["augmentation=none"],
    ).runs
    assert runs[0].name == "20261121_tiny_48_none_lr_sweep_lr-0.001_image_size-48_s7"


def test_a_design_may_have_its_own_names_and_date() -> None:
    template = "{date}-{task}-{data.batch_size}-{training.ema}-{seed}"
    runs = plan(run_name=template, date="2026-01-02", base=["data.batch_size=4", "training.ema=true"]).runs
    assert runs[0].name == "20260102-classification-4-true-0"
    same = plan(run_name="x", seeds=[0, 1]).runs
    assert len({run.name for run in same}) == 2


# Params, membership, waves


def test_a_run_carries_what_it_belongs_to() -> None:
    block = {"variable": "quant", "values": ["openvino_fp32", "openvino_int8"]}
    made = design(
        "comparison",
        "quant",
        block,
        seeds=[3, 4],
        hypothesis={"claim": "c", "metric": "quant.f1_macro", "versus": "openvino_fp32"},
    )
    run = plan(made).runs[3]
    assert run.params["experiment"] == {
        "design": "some", "digest": digest(made), "kind": "comparison", "type": "quant", "arm": "openvino_int8",
        "levels": {"quant": "openvino_int8"}, "seed": 4, "replicate": 1, "baseline": "openvino_fp32", "index": 3,
    }  # fmt: skip
    assert run.params["seed"] == 4
    assert run.params["quant"]["precision"] == "int8"
    assert run.overrides == ["task=classification", "quant=openvino_int8", "seed=4"]
    composed = COMPOSER.compose(run.overrides)
    assert {key: value for key, value in run.params.items() if key != "experiment"} == {
        key: value for key, value in composed.items() if key != "experiment"
    }
    assert run.key == planning.run_key(composed)
    json.dumps(run.asdict())


def test_the_first_arm_is_the_one_to_beat_unless_said() -> None:
    block = {"variable": "lr", "values": [0.1, 0.2]}
    assert plan("comparison", block=block).runs[1].params["experiment"]["baseline"] == "0.1"
    assert plan("comparison", block=block | {"versus": 0.2}).runs[0].params["experiment"]["baseline"] == "0.2"
    assert plan("sweep", block={"parameters": {"lr": [0.1]}}).runs[0].params["experiment"]["baseline"] is None


def test_no_stage_reads_the_membership() -> None:
    assert not [key for stage in PIPELINE.stages for key in PIPELINE.reads(stage) if key.startswith("experiment")]
    assert COMPOSER.compose([])["experiment"] is None


def test_runs_that_share_a_training_wait_for_the_first() -> None:
    quant = plan(
        "comparison",
        "quant",
        {"variable": "quant", "values": ["openvino_fp32", "openvino_fp16", "openvino_int8"]},
        seeds=[0, 1],
    )
    assert [(run.arm[9:], run.seed, run.wave) for run in quant.runs] == [
        ("fp32", 0, 0), ("fp32", 1, 0), ("fp16", 0, 1), ("fp16", 1, 1), ("int8", 0, 1), ("int8", 1, 1)
    ]  # fmt: skip
    sites = plan("comparison", "train", {"variables": SITES})
    assert [run.wave for run in sites.runs] == [0, 1, 0, 1]
    assert {run.wave for run in plan("sweep", block={"parameters": {"lr": [0.1, 0.2, 0.3]}}).runs} == {0}
    again = plan("sweep", "quant", {"parameters": {"lr": [0.1, 0.2], "quant.preset": ["mixed", "performance"]}})
    assert [run.wave for run in again.runs] == [0, 1, 0, 1]


def test_stages_are_read_from_dvc_yaml() -> None:
    assert PIPELINE.chain("infer") == ["prepare", "train", "infer"]
    assert PIPELINE.chain("quant") == ["prepare", "train", "quant"]
    assert "task" in PIPELINE.reads("infer"), "its code is chosen by ${task}"
    with pytest.raises(UserError, match="Did you mean 'train'"):
        PIPELINE.chain("trian")


SEVERAL = """
stages:
  split: {cmd: split, outs: [data/train.csv]}
  fit:
    foreach: [small, large]
    do: {cmd: "fit ${item}", deps: [data/train.csv], outs: ["models/${item}.bin"], metrics: ["fit/${item}.json"]}
  grid:
    matrix: {size: [1, 2]}
    cmd: grid ${item.size}
    outs: ["grid/${item.size}"]
  choose: {cmd: choose, deps: [models/small.bin], metrics: [choice.json]}
  look: {cmd: look, deps: [grid], metrics: [seen.json]}
  alone: {cmd: alone, deps: [data/train.csv], metrics: [alone.json]}
"""


def test_stages_that_are_several_are_refused_where_a_design_runs_them() -> None:
    several = Pipeline.parse(SEVERAL, "dvc.yaml")
    assert several.chain("alone") == ["split", "alone"]
    assert several.declared_metrics(PLAIN) == ["choice.json", "seen.json", "alone.json"]
    for target, words in {
        "fit": "fit is several stages by foreach",
        "choose": "fit is several stages by foreach",
        "look": "grid is several stages by matrix",
        "sub/dvc.yaml:fit": "A stage of a dvc.yaml in a folder can't answer a question",
    }.items():
        with pytest.raises(UserError) as caught:
            several.chain(target)
        assert words in str(caught.value)


# Models of other experiments


def test_references() -> None:
    assert Reference.parse("a_design:arm", 3) == Reference("a_design", "arm", 3)
    assert Reference.parse("a-design:lr=0.1,batch_size=2@7", 3) == Reference("a-design", "lr=0.1,batch_size=2", 7)
    for other in ("main", "v1.0", "models:/name/3", "HEAD~1", "exp/branch", "0" * 40):
        assert Reference.parse(other, 0) is None


def test_models_of_other_experiments_become_commits() -> None:
    values = {"old": "infer.model=other:a", "new": "infer.members=[other:a,other:b,v1]", "own": "infer.model=null"}
    made = design("comparison", "infer", {"values": values}, seeds=[0, 1])
    runs = planning.plan(made, VISION, COMPOSER, PIPELINE, DATE, resolve=commit_of).runs
    assert [run.params["infer"]["model"] for run in runs] == [
        commit_of("other:a", 0),
        commit_of("other:a", 1),
        *[None] * 4,
    ]
    assert runs[3].params["infer"]["members"] == [commit_of(name, 1) for name in ("other:a", "other:b", "v1")]
    assert COMPOSER.compose(runs[3].overrides)["infer"] == runs[3].params["infer"]
    assert runs[0].levels == {"arm": "old"}


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("infer.model=some_sweep:lr=0.01,batch_size=16", "some_sweep:lr=0.01,batch_size=16"),
        ("infer.model='some_sweep:lr=0.01,batch_size=16'", "some_sweep:lr=0.01,batch_size=16"),
        ("infer.members=[s:lr=0.1,b=2@3, s:lr=0.2,b=2, v1]", ["s:lr=0.1,b=2@3", "s:lr=0.2,b=2", "v1"]),
    ],
)
def test_a_sweep_s_arm_needs_no_quotes(written: str, names: str | list[str]) -> None:
    resolved: list[str] = []

    def resolve(name: str, seed: int) -> str:
        resolved.append(name)
        return "0" * 40

    made = design("comparison", "infer", {"values": {"old": written, "new": "lr=0.1"}})
    runs = planning.plan(made, VISION, COMPOSER, PIPELINE, DATE, resolve=resolve).runs
    assert resolved == ([names] if isinstance(names, str) else names)
    assert COMPOSER.compose(runs[0].overrides)["infer"] == runs[0].params["infer"]


# The shipped designs, and speed


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_designs_have_a_plan(path: Path) -> None:
    shipped = design_file.read(path, VISION)
    made = planning.plan(shipped, VISION, COMPOSER, PIPELINE, DATE, resolve=commit_of)
    first = shipped.first_seeds
    assert len(made.runs) + made.undecided * first == shipped.size() * first
    assert shipped.hypothesis.expected is not None
    assert made == planning.plan(shipped, VISION, COMPOSER, PIPELINE, DATE, resolve=commit_of)


def test_planning_a_params_yaml_imports_no_hydra(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("train: {seed: 0, lr: 1}\n")
    (tmp_path / "dvc.yaml").write_text(
        "stages: {evaluate: {cmd: c, params: [train], metrics: [evaluate.json: {cache: false}]}}\n"
    )
    (tmp_path / "lab.yaml").write_text(contracts.PLAIN_TEXT)
    (tmp_path / "rates.yaml").write_text(
        "kind: comparison\ntype: train\ntitle: t\nseeds: [3, 4]\n"
        "hypothesis: {claim: c, metric: evaluate.accuracy}\ncomparison: {variable: train.lr, values: [1, 2]}\n"
    )
    code = (
        "import sys; from pathlib import Path; from lab import contract;"
        "from lab.design import compose, design_file, pipeline, plan; K = contract.read(Path('.'));"
        "C = compose.composer_of(Path('.')); P = pipeline.Pipeline.read(Path('dvc.yaml'));"
        "runs = plan.plan(design_file.read('rates.yaml', K), K, C, P, '2026-11-21').runs;"
        "print([(run.name, run.params['train']) for run in runs]);"
        "sys.exit(str({'hydra', 'omegaconf', 'ruamel'} & set(sys.modules)).replace('set()', '') or 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "('20261121_rates_2_s4', {'seed': 4, 'lr': 2})" in done.stdout


def test_planning_imports_no_engine() -> None:
    code = (
        "import sys; from pathlib import Path; import lab.design.scenarios, lab.design.preflight;"
        "from lab import contract; from lab.design import compose, design_file, pipeline, plan;"
        "K = contract.read(Path('.'));"
        "C = compose.composer_of(Path('.')); P = pipeline.Pipeline.read(Path('dvc.yaml'));"
        "plan.plan(design_file.read('designs/classification_lr_sweep.yaml', K), K, C, P, '');"
        "heavy = {'torch', 'ultralytics', 'openvino', 'mlflow', 'dvc', 'scipy', 'pandas', 'optuna'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=contracts.tree(), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
