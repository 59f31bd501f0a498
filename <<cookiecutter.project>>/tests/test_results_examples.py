"""Per-image results: read back from DVC's cache, and scored as the stages score them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import trivial
from project import load

examples = load("results.examples")
evaluation = load("vision.evaluation")

CLASSES = ["ant", "bee", "cat"]


@dataclass
class Picture:
    """A test image as `evaluation` knows it."""

    path: Path
    site: str = "A"
    label: str = ""


def guesses(n: int, seed: int) -> tuple[list[Picture], list[np.ndarray]]:
    """Images with a class each, and the probabilities that a middling model gives."""
    generator = np.random.default_rng(seed)
    actual = generator.integers(0, 3, n)
    scores = generator.dirichlet(np.ones(3), n) + np.eye(3)[actual] * 0.3
    items = [Picture(Path(f"{i}.png"), label=CLASSES[label]) for i, label in enumerate(actual)]
    return items, list(scores / scores.sum(1, keepdims=True))


def detections(n: int, seed: int) -> tuple[list[Picture], list[np.ndarray], list[np.ndarray]]:
    """Images, the boxes in them, and what a middling detector finds: duplicates, misses and phantoms."""
    generator = np.random.default_rng(seed)
    truths, found = [], []
    for _ in range(n):
        k = generator.integers(0, 5)
        truth = np.column_stack(
            [generator.integers(0, 3, k), generator.uniform(0.2, 0.8, (k, 2)), generator.uniform(0.1, 0.3, (k, 2))]
        )
        seen = np.repeat(truth, generator.integers(0, 3, k), axis=0)
        boxes = evaluation.corners(seen) + generator.normal(0, 0.012, (len(seen), 4))
        true = np.column_stack([boxes, generator.random(len(seen)), seen[:, 0]])
        at = generator.uniform(0, 0.7, (generator.integers(0, 9), 2))
        kinds = generator.integers(0, 3, len(at))
        phantoms = np.column_stack([at, at + 0.2, generator.random(len(at)) ** 2, kinds])
        rows = np.concatenate([true, phantoms])
        truths.append(truth)
        found.append(rows[np.argsort(-rows[:, 4])])
    return [Picture(Path(f"{i}.png")) for i in range(n)], truths, found


METRICS = {
    "classification": ["f1_macro", "accuracy", "classes.bee.f1", "classes.bee.precision", "classes.bee.recall"],
    "detection": ["mAP50", "mAP50_95", "classes.bee.AP50", "classes.bee.AP50_95"],
}


@pytest.mark.parametrize("task", METRICS)
def test_any_sample_of_images_scores_as_the_stage_would_score_it(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after the way through a file."""
    if task == "detection":
        pytest.importorskip("ultralytics")
        items, truths, results = detections(60, seed=0)
        monkeypatch.setattr(evaluation, "boxes", lambda item: truths[int(item.path.stem)])
        score = evaluation.score_detection
    else:
        items, results = guesses(60, seed=0)
        score = evaluation.score_classification
    score(items, results, CLASSES).per_image.to_parquet(tmp_path / "predictions.parquet", index=False)
    images = examples.frame(tmp_path / "predictions.parquet")
    assert not {"boxes", "probabilities"} & set(images.columns)
    generator = np.random.default_rng(1)
    samples = [np.ones(60, int), *generator.multinomial(60, np.full(60, 1 / 60), 5), np.arange(60) < 2]
    for name in METRICS[task]:
        scorer = examples.scorer(images, f"infer.{name}")
        together = scorer(np.array(samples, float).T)
        for weights, value in zip(samples, together, strict=True):
            drawn = np.repeat(np.arange(60), weights)
            expected = score([items[i] for i in drawn], [results[i] for i in drawn], CLASSES).metrics
            for part in name.split("."):
                expected = expected.get(part, {}) if isinstance(expected, dict) else expected
            assert value == pytest.approx(expected if isinstance(expected, float) else 0, abs=1e-9), name


def test_metrics_that_images_do_not_tell() -> None:
    items, results = guesses(10, seed=0)
    images = evaluation.score_classification(items, results, CLASSES).per_image
    for metric in ("infer.mAP50", "infer.images", "infer_speed.batch_1.latency_ms.p50", "quant.drop.f1_macro"):
        assert examples.scorer(images, metric) is None
        assert examples.difference([images], [images], metric) is None
    assert examples.is_scored("quant.classes.a.b.f1") and not examples.is_scored("quant.size_mb")


def frame(correct: list[bool], paths: list[str]) -> pd.DataFrame:
    labels = ["ant"] * len(paths)
    predicted = ["ant" if right else "bee" for right in correct]
    return pd.DataFrame({"path": paths, "actual": labels, "predicted": predicted, "correct": correct})


def test_models_are_compared_on_the_same_draws_of_an_image() -> None:
    first, second = frame([True, True, False], list("abc")), frame([True, False, True], list("cab"))  # in another order
    score, n = examples.difference([first], [second], "infer.accuracy")
    assert n == 3
    only = {image: float(score(np.eye(3)[[i]].T)[0]) for i, image in enumerate("abc")}
    assert only == {"a": 1, "b": 0, "c": -1}


def test_seeds_are_averaged_and_other_images_count_for_themselves() -> None:
    here, there = frame([True, False], ["A/1", "A/2"]), frame([False, False], ["B/1", "B/2"])
    score, n = examples.difference([here, here], [there, there], "infer.accuracy")
    assert n == 4 and score(np.ones((4, 1))) == pytest.approx([0.5])
    alone, n = examples.difference([here], [], "infer.accuracy")
    assert n == 2 and alone(np.ones((2, 1))) == pytest.approx([0.5])


@dataclass
class Run:
    """A record, as far as it is asked here."""

    root: Path
    outputs: dict[str, dict[str, Any]]


@pytest.mark.parametrize("place", [None, "../shared"])
def test_predictions_are_found_in_dvcs_cache_wherever_it_is(place: str | None, tmp_path: Path) -> None:
    def dvc(*arguments: str) -> None:
        subprocess.run(["dvc", *arguments], cwd=root, env=trivial.environ(), check=True, capture_output=True)

    root = tmp_path / "project"
    path = root / "results" / "infer" / "predictions.parquet"
    path.parent.mkdir(parents=True)
    frame([True, False], ["a", "b"]).to_parquet(path)
    dvc("init", "--no-scm", "-q")
    if place:
        dvc("cache", "dir", "-q", place)
    dvc("add", "-q", str(path))
    [entry] = yaml.safe_load(Path(f"{path}.dvc").read_text())["outs"]
    run = Run(root, {"results/infer/predictions.parquet": entry})
    found = examples.predictions(run, "infer")
    assert found is not None and examples.frame(found)["correct"].tolist() == [True, False]
    assert (tmp_path / "shared" if place else root / ".dvc") in found.parents
    assert examples.predictions(run, "quant") is None
    found.unlink()
    assert examples.predictions(run, "infer") is None  # a fresh clone
