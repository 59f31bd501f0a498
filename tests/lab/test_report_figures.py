"""The table and the figures of a design have the shape of its question, and read well."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import contracts
import pytest
import studies
from contracts import VISION
from matplotlib.colors import to_rgba

from lab.analysis import verdict
from lab.contract.reports import Figure, Way
from lab.design import design_file
from lab.design.questions import question_of
from lab.report import figures, tables
from lab.report.figures import colours, drawing, members
from lab.store import Store
from lab.study import Study

SHIPPED = sorted((contracts.tree() / "designs").glob("*.yaml"))

F1, LATENCY = "infer.f1_macro", "infer_speed.batch_1.latency_ms.p50"
SHAPES = {
    "ab_benchmark": "A/B",
    "ablation": "ablation",
    "architecture": "comparison",
    "augmentation": "augmentation",
    "baseline": "single",
    "bayesian_sweep": "sweep",
    "cross_site": "cross-site",
    "ensemble": "ensemble",
    "lr_sweep": "sweep",
    "multi_scale": "multi-scale",
    "quantization": "quantization",
    "random_sweep": "sweep",
}
DRAWN = {
    "single": ["arms", "curves", "confusion"],
    "sweep": ["response", "parallel", "importance", "interaction", "curves"],
    "random": ["response", "history", "parallel", "curves"],
    "comparison": ["arms", "curves"],
    "augmentation": ["arms", "curves"],
    "ablation": ["arms", "curves"],
    "factorial": ["arms", "effects", "interactions", "ranking", "curves"],
    "quantization": ["arms", "pareto", "loss"],
    "cross_site": ["sites", "gap", "arms", "interaction", "curves"],
    "multi_scale": ["sizes", "arms", "curves"],
    "ensemble": ["arms"],
    "ab": ["arms", "classes"],
}
LABELS = {
    "single": {"macro-F1", "epoch", "actual", "predicted"},
    "sweep": {"lr", "batch_size", "macro-F1", "share of the importance (PED-ANOVA)"},
    "random": {"lr", "batch_size", "weight_decay", "macro-F1 on the validation split"},
    "comparison": {"macro-F1", "change in macro-F1", "median latency, ms", "change in median latency, ms"},
    "augmentation": {"macro-F1", "change in macro-F1"},
    "ablation": {"macro-F1", "change in macro-F1"},
    "factorial": {"change in macro-F1, with its 95 % interval", "macro-F1"},
    "quantization": {
        "size, MB",
        "median latency, ms",
        "loss of macro-F1",
        "speed-up over PyTorch",
        "change in size, MB",
    },
    "cross_site": {"trained on site", "tested on site", "macro-F1 at home minus elsewhere"},
    "multi_scale": {"image size, pixels", "macro-F1", "training time, s", "median latency, ms"},
    "ensemble": {"macro-F1", "change in macro-F1"},
    "ab": {"class", "change in F1, new minus old"},
}


@pytest.fixture
def canvases(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The matplotlib figures behind the files."""
    from matplotlib.figure import Figure

    kept, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (kept.append(self), save(self, *a, **k))[1])
    return kept


def pictures(study: Any) -> dict[str, Any]:
    """By their names, each as a file already."""
    drawn = figures.pictures(study, verdict.judge(study))
    assert all(picture.png for picture in drawn if picture.figure)
    return {picture.name: picture for picture in drawn}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_design_has_its_shape(path: Path) -> None:
    question = question_of(design_file.read(path, VISION), VISION)
    assert question.name == SHAPES[path.stem.partition("_")[2]]


def test_every_way_of_drawing_is_there() -> None:
    assert set(figures.WAYS) == set(get_args(Way))


@pytest.mark.parametrize("name", studies.DESIGNS)
def test_every_shape_is_drawn_so_that_it_can_be_read(name: str, canvases: list[Any]) -> None:
    found = pictures(studies.made(name))
    drawn = [picture for picture in found.values() if picture.png]
    assert [picture.name for picture in drawn] == DRAWN[name]
    for picture in drawn:
        assert picture.png.startswith(b"\x89PNG") and len(picture.png) > 10_000
        assert len(picture.data) and picture.caption.endswith(".")
    assert all(picture.caption for picture in found.values())
    labels = {text for canvas in canvases for axes in canvas.axes for text in (axes.get_xlabel(), axes.get_ylabel())}
    assert labels >= LABELS[name]
    for canvas in canvases:
        for axes in canvas.axes:
            assert not list(overlapping(axes)), f"{name}: {list(overlapping(axes))}"
            assert axes.get_title(loc="left") or axes.get_xlabel() or axes.get_ylabel() or not axes.get_visible()
        outer = canvas.get_tightbbox().padded(-0.02)
        assert (
            outer.x0 >= 0 and outer.y0 >= 0 and outer.x1 <= canvas.get_figwidth() and outer.y1 <= canvas.get_figheight()
        )


def overlapping(axes: Any) -> Iterator[tuple[str, str]]:
    """Pairs of names on an axis that run into each other."""
    for axis in (axes.xaxis, axes.yaxis) if axes.get_visible() else ():
        shown = [label for label in axis.get_ticklabels() if label.get_visible() and label.get_text()]
        boxes = [(label.get_text(), label.get_window_extent()) for label in shown]
        yield from ((a, b) for (a, one), (b, other) in combinations(boxes, 2) if one.overlaps(other))


@pytest.mark.parametrize("name", ["comparison", "random", "single"])
def test_the_same_records_give_the_same_files(name: str) -> None:
    first, second = pictures(studies.made(name)), pictures(studies.made(name))
    assert {name: picture.png for name, picture in first.items()} == {n: p.png for n, p in second.items()}


def test_a_table_has_means_changes_and_what_an_arm_costs() -> None:
    values = {("efficientnet_b0", 0): 0.80, ("efficientnet_b0", 1): 0.82, ("efficientnet_b1", 0): 0.83}
    values |= {("efficientnet_b1", 1): 0.87, ("efficientnet_b3", 0): 0.81}

    def run(arm: str, seed: int) -> dict[str, Any] | None:
        if (arm, seed) not in values:
            return None
        return {"infer": {"f1_macro": values[arm, seed]}, "infer_speed": {"batch_1": {"latency_ms": {"p50": 2.0}}}}

    study = studies.made("comparison", run, studies.DESIGNS["comparison"] | {"seeds": [0, 1]})
    table = tables.table(study, verdict.judge(study)).set_index("arm")
    assert list(table.index) == ["efficientnet_b0", "efficientnet_b1", "efficientnet_b3"]
    assert list(table["seeds"]) == [2, 2, 1]
    assert table[F1].round(6).tolist() == [0.81, 0.85, 0.81]
    assert table["change"].round(6).tolist()[1:] == [0.04, 0.01] and table["change"].isna().tolist()[0]
    # t(0.975, 1) = 12.706; the differences 0.03 and 0.05 have a standard error of 0.01
    assert table["change_low"].round(4)["efficientnet_b1"] == round(0.04 - 12.7062 * 0.01, 4)
    assert table[LATENCY].tolist() == [2.0, 2.0, 2.0]
    assert table["seconds.train"].tolist() == [60.5, 60.5, 60.0]
    ends = [round(60.5 + sign * 12.7062 * 0.5, 3) for sign in (-1, 1)]
    assert table[["seconds.train_low", "seconds.train_high"]].round(3).values.tolist()[:2] == [ends, ends]
    assert table["seconds.train_low"].isna().tolist() == [False, False, True], "one seed has no interval"
    assert f"{LATENCY}_low" not in table, "nor have seeds that all say the same"
    assert "d" not in table, "two pairs don't tell a spread"
    values |= {(arm, 2): value + 0.01 for (arm, seed), value in values.items() if seed == 0}
    three = studies.made("comparison", run, studies.DESIGNS["comparison"] | {"seeds": [0, 1, 2]})
    table = tables.table(three, verdict.judge(three)).set_index("arm")
    effect = next(each.effect for each in verdict.judge(three).comparisons if each.arm == "efficientnet_b1")
    assert table.loc["efficientnet_b1", ["d", "d_low", "d_high"]].tolist() == [effect.value, effect.low, effect.high]
    assert table["d"].isna().tolist() == [True, False, True], "two pairs of b3 have finished"


INTERVALS = {
    "cross_site": ("sites", F1, "mean"),
    "multi_scale": ("sizes", F1, "mean"),
    "sweep": ("response", F1, "mean"),
    "random": ("response", F1, "mean"),
    "ablation": ("arms", F1, "mean"),
    "quantization": ("pareto", "quant.f1_macro", "quant.f1_macro"),
}


@pytest.mark.parametrize("name", INTERVALS)
def test_every_figure_tells_the_interval_of_the_table(name: str) -> None:
    """Seeds that differ by less than one of 300 test images: t(0.975, 1) = 12.706 times 1 / 300 / √2."""
    picture, metric, column = INTERVALS[name]

    def run(arm: str, seed: int) -> dict[str, Any]:
        speed = {"latency_ms": {"p50": 1.0 + seed / 10}, "speedup": 2.0}
        found = {"f1_macro": 0.5 + seed / 1e6, "images": 300, "size_mb": 1.0, "drop": {"f1_macro": 0.0}}
        return {metric.partition(".")[0]: found, "infer_speed": {"batch_1": speed}, "quant_speed": speed}

    study = studies.made(name, run, studies.DESIGNS[name] | {"seeds": [0, 1]})
    table, data = tables.table(study, verdict.judge(study)), pictures(study)[picture].data
    side = metric if metric in table and f"{metric}_low" in table else ""
    data = data[data["metric"] == metric] if "metric" in data else data
    drawn = {
        (row[f"{column}_low"], row[f"{column}_high"]) if side else (row["low"], row["high"])
        for _, row in data.iterrows()
    }
    told = {tuple(row) for row in table[[f"{side}_low", f"{side}_high"] if side else ["low", "high"]].values.tolist()}
    assert drawn == told
    assert [(high - low) / 2 for low, high in told] == [pytest.approx(12.7062 / 300 / 2**0.5, rel=1e-5)]


def bars(axes: Any) -> list[list[float]]:
    """The ends of the bars along x."""
    return [
        list(line.get_xdata()) for line in axes.lines if len(set(line.get_ydata())) == 1 and len(line.get_xdata()) == 2
    ]


def test_the_classes_of_two_models_have_their_intervals(canvases: list[Any]) -> None:
    data = pictures(studies.made("ab"))["classes"].data
    axes = next(axes for canvas in canvases for axes in canvas.axes if axes.get_ylabel() == "class")
    assert len(data) == 10 and sorted(bars(axes)) == sorted(data[["low", "high"]].values.tolist())
    assert (data["low"] < data["change"]).all() and (data["change"] < data["high"]).all()


def test_a_heat_map_has_half_of_each_interval_below_the_mean(canvases: list[Any]) -> None:
    data = pictures(studies.made("sweep"))["response"].data
    texts = [text.get_text() for text in canvases[0].axes[0].texts]
    halves = [f"± {half:.3f}" for half in (data["high"] - data["low"]) / 2]
    assert len(halves) == 6 and sorted(text for text in texts if text.startswith("±")) == sorted(halves)
    one = pictures(studies.made("sweep", design=studies.DESIGNS["sweep"] | {"seeds": [0]}))["response"]
    assert "interval" not in one.caption and not any("±" in text.get_text() for text in canvases[5].axes[0].texts)


def test_an_interval_that_is_cut_off_is_told_by_its_ends(canvases: list[Any]) -> None:
    spread = drawing.spread
    assert spread(0.9, 0.88, 0.92) == "± 0.020" and spread(0.9, 0.8, 1.0) == "± 0.100"
    assert spread(0.51, 0.0, 1.0) == "[0, 1]" and spread(0.1, 0.0, 0.25) == "[0, 0.25]"
    assert spread(0.9, None, None) == spread(0.9, 0.9, 0.9) == ""
    far = studies.made("sweep", lambda arm, seed: {"infer": {"f1_macro": 0.02 + 0.49 * seed}})
    caption = pictures(far)["response"].caption
    assert "the ends of one that is cut off at 0 or 1" in caption
    assert [text.get_text() for text in canvases[0].axes[0].texts].count("[0, 1]") == 6


def swept(lr: list[float], seeds: int, value: Any) -> dict[str, Any]:
    """The figures of a grid of learning rates and two batch sizes."""
    grid = {"parameters": {"lr": lr, "data.batch_size": [16, 32]}}
    design = studies.DESIGNS["sweep"] | {"sweep": grid, "seeds": list(range(seeds))}
    return pictures(studies.made("sweep", lambda arm, seed: {"infer": {"f1_macro": value(arm, seed)}}, design))


@pytest.mark.parametrize("lr", [[0.1, 0.2], [0.1, 0.2, 0.3]])
def test_the_parameter_that_alone_matters_has_the_larger_share(lr: list[float]) -> None:
    def value(arm: str, seed: int) -> float:
        return (0.5 + 0.1 * ("lr=0.2" in arm)) + random.Random(f"{arm} {seed}").gauss(0, 0.01)

    found = swept(lr, 3, value)["importance"]
    assert found.data["parameter"].tolist()[0] == "lr" and found.data["importance"].tolist()[0] > 0.75
    assert f"From {6 * len(lr)} runs of {2 * len(lr)} settings" in found.caption


def test_an_importance_of_too_few_or_too_equal_runs_is_not_drawn() -> None:
    few = swept([0.1, 0.2], 2, lambda arm, seed: 0.5 + 0.1 * ("lr=0.2" in arm) + seed / 100)["importance"]
    assert few.png is None and "9 runs that have finished, here are 8" in few.caption
    same = swept([0.1, 0.2], 3, lambda arm, seed: 0.5 if arm == "lr=0.1,batch_size=16" else 0.0)["importance"]
    assert same.png is None and "half of the runs came out the same, and none worse" in same.caption


def test_the_word_reference_keeps_clear_of_the_dashed_lines(canvases: list[Any]) -> None:
    def run(arm: str, seed: int) -> dict[str, Any]:
        better = 0.05 * (arm == "efficientnet_b3") - 0.03 * (arm == "efficientnet_b1")
        return {"infer": {"f1_macro": 0.8 + better + seed / 1000}}

    pictures(studies.made("comparison", run))
    axes = canvases[0].axes[1]
    word = next(text for text in axes.texts if text.get_text() == "reference").get_window_extent()
    dashed = [line for line in axes.lines if line.is_dashed()]
    places = [axes.transData.transform((line.get_xdata()[0], 0))[0] for line in dashed]
    assert places and not any(word.x0 - 2 < place < word.x1 + 2 for place in places)


def test_an_interaction_has_intervals_over_the_seeds() -> None:
    def run(arm: str, seed: int) -> dict[str, Any]:
        return {"infer": {"f1_macro": 0.5 + 0.01 * seed}}

    data = pictures(studies.made("factorial", run))["interactions"].data
    # t(0.975, 2) = 4.3027; three seeds with a standard deviation of 0.01
    half = 4.3027 * 0.01 / 3**0.5
    assert data["mean"].round(6).eq(0.51).all() and ((data["high"] - data["mean"]) / half).round(4).eq(1).all()


def test_the_generalization_gap_is_at_home_minus_elsewhere() -> None:
    def run(arm: str, seed: int) -> dict[str, Any]:
        value = {"A": {"A": 0.9, "B": 0.4}, "B": {"A": 0.7, "B": 0.8}}[arm[10]][arm[-1]]
        return {"infer": {"f1_macro": value + seed / 100}}

    gap = pictures(studies.made("cross_site", run))["gap"].data
    assert gap[["train", "test", "gap"]].round(6).values.tolist() == [["A", "B", 0.5], ["B", "A", 0.1]]


def test_one_seed_has_no_interval_and_says_so(canvases: list[Any]) -> None:
    study = studies.made("augmentation", design=studies.DESIGNS["augmentation"] | {"seeds": [0]})
    picture = pictures(study)["arms"]
    assert "one seed" in picture.caption and picture.data["low"].isna().all()
    assert "interval" not in " ".join(text.get_text() for text in canvases[0].legends[0].get_texts())


def test_what_can_not_be_drawn_is_told() -> None:
    def without(arm: str, seed: int) -> dict[str, Any] | None:
        return None if arm == "bare" else {"infer": {"f1_macro": 0.9}}

    assert "not every arm" in pictures(studies.made("factorial", without))["effects"].caption
    few = {"parameters": {"lr": [0.1, 0.2], "data.batch_size": [16]}}
    assert (
        "4 settings"
        in pictures(studies.made("sweep", design=studies.DESIGNS["sweep"] | {"sweep": few}))["importance"].caption
    )
    single = pictures(studies.made("single", curves={}, texts={}))
    assert "no run has any" in single["curves"].caption and "no run has recorded" in single["confusion"].caption
    assert "dvc pull" in single["samples"].caption and single["samples"].local
    assert "dvc pull" in pictures(studies.made("ab"))["per_image"].caption
    assert pictures(studies.made("comparison", lambda arm, seed: None)) == {}


@pytest.mark.parametrize("name", ["single", "comparison"])
def test_a_curve_that_is_always_nought_is_told_and_not_drawn(name: str) -> None:
    learnt = studies.curves(0)
    zeros = {key: [point._replace(value=0.0) for point in learnt["lr"]] for key in ("train/sem_loss", "val/sem_loss")}
    drawn = []
    for each in (learnt | zeros, zeros):
        study = studies.made(name, curves=each)
        drawn += figures.WAYS["curves"](Figure(draw="curves"), study, verdict.judge(study))
    some, nothing = drawn
    assert some.caption.endswith("Not drawn: sem loss (0 at each epoch).")
    assert some.figure.axes and "sem" not in "".join(axes.get_title(loc="left") for axes in some.figure.axes)
    assert "val/sem_loss" in set(some.data["metric"]), "in its table it is"
    assert nothing.figure is None and "all are 0" in nothing.caption


def test_an_arm_has_one_colour_in_all_figures() -> None:
    """The best is blue, and what it is measured against is as black as the text."""
    study = studies.made("comparison")
    judged = verdict.judge(study)
    expected = colours.coloured(study, judged)
    assert expected[judged.winner or judged.best] == drawing.BLUE and expected[study.reference] == drawing.INK
    assert len({*expected.values()}) == len(study.arms) == len(expected)
    drawn = pictures(study)
    inks = [line.get_color() for line in drawn["arms"].figure.axes[0].lines if line.get_marker() == "D"]
    assert inks == [*expected.values()]
    trained = {line.get_label(): line.get_color() for line in drawn["curves"].figure.axes[0].lines}
    assert trained == expected


def test_an_ensemble_is_held_against_its_best_member() -> None:
    class Member:
        def __init__(self, name: str):
            arm, value = {"a": ("none", 0.90), "b": ("cutout", 0.93), "c": ("default", 0.91), "d": ("elsewhere", 0.99)}[
                name
            ]
            self.params = {"experiment": {"design": "aug", "arm": arm}, "infer": {"site": "B" if name == "d" else None}}
            self.metrics, self.outputs = {"infer": {"f1_macro": value}}, {}

    git = SimpleNamespace(resolve=lambda name: name)
    project = SimpleNamespace(git=git, commit=lambda rev: Member(rev[0]))
    votes = {"single": ["infer.members=[]"], "all": "infer.members=[a,b,c,d]", "without_d": "infer.members=[a,b,c]"}
    study = studies.made("ensemble", design=studies.comparison("infer.members", votes, "infer"))
    study = replace(study, project=project)
    teams = {"all": ["a", "b", "c", "d"], "without_d": ["a", "b", "c"], "single": []}
    for replicate in study.replicates:
        content = replicate.record.content
        team = [f"{member}{replicate.seed}" for member in teams[replicate.arm]]
        content["params"]["infer"] = {"members": team, "voting": "soft"}
        value = {"all": 0.95, "without_d": 0.94, "single": 0.9}[replicate.arm]
        content["metrics"]["infer"] |= {"f1_macro": value, "images": 300}
    found = pictures(study)
    # t(0.975, 2) = 4.3027 times 1 / 300 / √3 = 0.00828
    assert "The best member is aug:cutout with 0.93 ± 0.008; against it, over the seeds: " in found["arms"].caption
    assert "all +0.0200 [+0.0117, +0.0283], without_d +0.0100 [+0.0017, +0.0183]" in found["arms"].caption
    alone = found["arms"].data.query("arm == 'aug:cutout alone'")
    assert alone[["mean", "low", "high"]].round(4).values.tolist() == [[0.93, 0.9217, 0.9383]] * 3
    assert set(found["arms"].data["arm"]) == {
        "single",
        "all",
        "without_d",
        "aug:none alone",
        "aug:cutout alone",
        "aug:default alone",
    }
    changes = found["members"].data[["member", "change", "mean", "low", "high"]].round(4).drop_duplicates()
    assert changes.values.tolist() == [["without_d", -0.01, -0.01, -0.0183, -0.0017]]


def test_an_ensemble_whose_best_member_is_the_reference_leaves_the_differences_to_the_table() -> None:
    study = studies.made("ensemble")
    single = {replicate.seed: replicate.value(F1) for replicate in study.arms["single"]}
    for replicate in study.replicates:
        team = [] if replicate.arm == "single" else ["a", "b", "c"]
        replicate.record.content["params"]["infer"] = {"members": team}
    same = members.best_member(study, F1, {"aug:none": single})
    assert same.endswith(", the same as single.") and same.startswith("The best member is aug:none with 0.8")
    other = members.best_member(study, F1, {"aug:cutout": {seed: value + 0.1 for seed, value in single.items()}})
    assert "; against it, over the seeds: hard -0.0" in other


CLAIMED_TO_FALL = studies.hypothesis(direction="minimize", arm="no_ema", versus="baseline")


def test_captions_tell_what_makes_a_better_model_and_not_which_way_the_claim_goes() -> None:
    ablation = studies.made("ablation", design=studies.DESIGNS["ablation"] | {"hypothesis": CLAIMED_TO_FALL})
    assert pictures(ablation)["arms"].caption == "More is better in macro-F1."
    assert pictures(studies.made("quantization"))["arms"].caption == "More is better in macro-F1, less in size."
    latency = pictures(studies.made("comparison"))["arms"].caption
    assert latency == "More is better in macro-F1, less in median latency."


def test_the_best_setting_is_the_best_model_whichever_way_the_claim_goes() -> None:
    lower = studies.hypothesis(direction="minimize", arm="lr=0.003,batch_size=16", versus="lr=0.01,batch_size=16")
    study = studies.made("sweep", design=studies.DESIGNS["sweep"] | {"hypothesis": lower})
    ordered = pictures(study)["parallel"].data["mean"]  # the best is drawn last
    assert ordered.is_monotonic_increasing and ordered.nunique() > 1


@pytest.mark.parametrize(
    ("latencies", "words"),
    [((0.24, 0.25, 0.40), "none is beaten"), ((0.24, 0.25, 0.20), "than openvino_fp32 or openvino_fp16.")],
)
def test_a_variant_is_beaten_where_another_is_no_worse_in_all_three(latencies: tuple[float, ...], words: str) -> None:
    """FP16 of the first: INT8 is smaller and as accurate, but slower; FP32 is faster, but larger."""

    def run(arm: str, seed: int) -> dict[str, Any]:
        i = studies.VARIANTS.index(arm)
        found = {"f1_macro": (0.983, 0.983, 0.985)[i], "size_mb": studies.SIZES[i], "drop": {"f1_macro": 0.0}}
        return {"quant": found, "quant_speed": {"latency_ms": {"p50": latencies[i]}, "speedup": 2.0}}

    assert words in pictures(studies.made("quantization", run))["pareto"].caption


def test_only_a_class_that_changed_for_certain_has_a_colour(canvases: list[Any]) -> None:
    changes = {"better": (0.10, 0.11, 0.10), "worse": (-0.1, -0.11, -0.1), "perhaps": (-0.1, 0.05, 0.0)}

    def run(arm: str, seed: int) -> dict[str, Any]:
        f1 = {name: {"f1": 0.5 + (change[seed] if arm == "new" else 0)} for name, change in changes.items()}
        return {"infer": {"f1_macro": 0.5 + seed / 100, "classes": f1}}

    picture = pictures(studies.made("ab", run))["classes"]
    axes = next(axes for canvas in canvases for axes in canvas.axes if axes.get_ylabel() == "class")
    names = [label.get_text() for label in axes.get_yticklabels()]
    colours = {names[round(line.get_ydata()[0])]: line.get_color() for line in axes.lines if line.get_marker() == "D"}
    assert colours == {"better": drawing.BLUE, "worse": drawing.VERMILION, "perhaps": drawing.GREY}
    assert "orange: worse" in picture.caption


def test_a_spread_below_one_test_image_is_told() -> None:
    def run(step: float) -> Any:
        def values(arm: str, seed: int) -> dict[str, Any]:
            return {"infer": {"f1_macro": 0.5 + step * seed * len(arm), "images": 300}}

        study = studies.made("augmentation", values)
        return tables.floor(study, verdict.judge(study))

    assert run(1e-4) == 1 / 300 and run(0.01) == 0


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_the_images_of_most_disagreement_are_shown(task: str, tmp_path: Path) -> None:
    found = pictures(with_items("ab", task, tmp_path))
    counts = found["per_image"].data
    assert counts[["new better", "alike", "old better"]].values.tolist() == [[3, 8, 1]] * 3
    shown = found["disagreements"]
    assert shown.png and shown.local
    assert sorted(Path(path).stem for path in shown.data["path"]) == ["0", "1", "2", "3"]
    assert shown.data["change"].gt(0).tolist() == [True, True, True, False]
    if task == "classification":
        assert "p = 0.62" in found["per_image"].caption  # 3 against 1 of 4: 2 · (1 + 4) / 16


def test_samples_have_the_classes_at_their_boxes(tmp_path: Path, canvases: list[Any]) -> None:
    study = with_items("single", "detection", tmp_path)
    picture = pictures(study)["samples"]
    texts = canvases[-1].axes[0].texts
    names = [(text.get_text(), text.get_bbox_patch().get_facecolor()) for text in texts]
    assert names == [("8", to_rgba(drawing.BLUE)), ("3", to_rgba(drawing.GREEN))], "the truth is 3"
    assert picture.png and picture.caption.startswith("The model with seed 0.")


def with_items(name: str, task: str, root: Path) -> Study:
    """A study in a project at `root` whose cache has the predictions, with the template's functions that draw them."""
    contracts.render(root, ("src/<<cookiecutter.package>>",))
    (root / ".dvc").mkdir()
    study = studies.made(name)
    for replicate in study.replicates:
        content = replicate.record.content
        content["params"]["task"] = task
        content["outputs"] = cached(root, predictions(task, replicate.arm if name == "ab" else "new"), task)
    return replace(study, project=SimpleNamespace(root=root, store=Store(root)))


def predictions(task: str, arm: str) -> Any:
    """What a model says of twelve images: the new one is right on three more, and wrong on one that the old one had."""
    import pandas as pd

    right = [i in ((0, 1, 2) if arm == "new" else (3,)) or i > 7 for i in range(12)]
    frame = pd.DataFrame({"path": [f"data/prepared/A/test/images/{i}.png" for i in range(12)], "site": "A"})
    if task == "classification":
        labels = ["3" if is_right else "8" for is_right in right]
        chances = [[0.9, 0.1]] * 12
        return frame.assign(actual="3", predicted=labels, correct=right, confidence=0.9, probabilities=chances)
    boxes = [[[0.1, 0.1, 0.5, 0.5]]] * 12
    frame = frame.assign(actual=[["3"]] * 12, predicted=[["3" if is_right else "8"] for is_right in right])
    return frame.assign(objects=1, f1=[float(r) for r in right], confidence=[[0.8]] * 12, boxes=boxes)


def cached(root: Path, frame: Any, task: str) -> dict[str, Any]:
    """Lay predictions and prepared images into DVC's cache of a project; the outputs that dvc.lock would name."""
    import numpy as np
    from matplotlib.image import imsave

    def put(content: bytes, end: str = "") -> str:
        md5 = hashlib.md5(content).hexdigest() + end
        place = root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return md5

    file = root / "file"
    frame.to_parquet(file)
    outputs = {"results/infer/predictions.parquet": {"md5": put(file.read_bytes())}}
    listing = [{"relpath": "manifest.json", "md5": put(json.dumps({"classes": ["3", "8"], "task": task}).encode())}]
    for i in range(12):
        imsave(file, np.full((8, 8), i / 12), format="png", cmap="gray", vmin=0, vmax=1)
        listing.append({"relpath": f"A/test/images/{i}.png", "md5": put(file.read_bytes())})
        listing.append({"relpath": f"A/test/labels/{i}.txt", "md5": put(b"0 0.3 0.3 0.4 0.4\n")})
    return outputs | {"data/prepared": {"md5": put(json.dumps(listing).encode(), ".dir")}}


def test_a_title_stands_above_the_power_of_ten_of_its_axis() -> None:
    with drawing.style():
        figure, axes = drawing.canvas(3.0)
        axes.plot([1, 2], [1e-6, 7e-5])
        axes.set_title("learning rate")
        drawing.lay_out(figure)
        figure.canvas.draw()
    power = axes.yaxis.offsetText
    assert power.get_text() and not axes._left_title.get_window_extent().overlaps(power.get_window_extent())
