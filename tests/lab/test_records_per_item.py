"""What was said of each test item: read back from DVC's cache, and two models compared on the same draws of them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scorers
import studies
import trivial
import yaml
from contracts import PLAIN, VISION

from lab.analysis import estimates, per_item
from lab.records import per_item as records
from lab.store import Store

EXAMPLES = scorers.examples({})


def test_metrics_that_items_do_not_tell() -> None:
    items = frame([True, False], ["a", "b"])
    for metric in ("infer.mAP50", "infer.images", "infer_speed.batch_1.latency_ms.p50", "quant.drop.f1_macro"):
        assert per_item.difference([items], [items], metric, EXAMPLES) is None
    study = studies.made("single")
    for metric in ("infer.images", "infer_speed.batch_1.latency_ms.p50", "quant.drop.f1_macro", "quant.size_mb"):
        assert not estimates.is_scored(study, metric)
    assert estimates.is_scored(study, "quant.classes.a.b.f1")


def frame(correct: list[bool], paths: list[str]) -> pd.DataFrame:
    labels = ["ant"] * len(paths)
    predicted = ["ant" if right else "bee" for right in correct]
    return pd.DataFrame({"path": paths, "actual": labels, "predicted": predicted, "correct": correct})


def test_models_are_compared_on_the_same_draws_of_an_image() -> None:
    first, second = frame([True, True, False], list("abc")), frame([True, False, True], list("cab"))  # in another order
    score, n = per_item.difference([first], [second], "infer.accuracy", EXAMPLES)
    assert n == 3
    only = {image: float(score(np.eye(3)[[i]].T)[0]) for i, image in enumerate("abc")}
    assert only == {"a": 1, "b": 0, "c": -1}


def test_seeds_are_averaged_and_other_images_count_for_themselves() -> None:
    here, there = frame([True, False], ["A/1", "A/2"]), frame([False, False], ["B/1", "B/2"])
    score, n = per_item.difference([here, here], [there, there], "infer.accuracy", EXAMPLES)
    assert n == 4 and score(np.ones((4, 1))) == pytest.approx([0.5])
    alone, n = per_item.difference([here], [], "infer.accuracy", EXAMPLES)
    assert n == 2 and alone(np.ones((2, 1))) == pytest.approx([0.5])


@dataclass
class Run:
    """A record, as far as it is asked here."""

    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)


@pytest.mark.parametrize("place", [None, "../shared"])
def test_predictions_are_found_in_dvcs_cache_wherever_it_is(place: str | None, tmp_path: Path) -> None:
    def dvc(*arguments: str) -> None:
        subprocess.run(["dvc", *arguments], cwd=root, env=trivial.environ(), check=True, capture_output=True)

    root = tmp_path / "project"
    path = root / "results" / "infer" / "predictions.parquet"
    path.parent.mkdir(parents=True)
    frame([True, False], ["a", "b"]).assign(boxes=[[0.1], [0.2]]).to_parquet(path)
    dvc("init", "--no-scm", "-q")
    if place:
        dvc("cache", "dir", "-q", place)
    dvc("add", "-q", str(path))
    [entry] = yaml.safe_load(Path(f"{path}.dvc").read_text())["outs"]
    run = Run({"results/infer/predictions.parquet": entry})
    study: Any = SimpleNamespace(contract=VISION, stage="infer", project=SimpleNamespace(store=Store(root)))
    found = records.predictions(study, run)
    assert found is not None and records.table(study, found)["correct"].tolist() == [True, False]
    assert "boxes" not in records.table(study, found) and "boxes" in records.table(study, found, whole=True)
    assert (tmp_path / "shared" if place else root / ".dvc").resolve() in found.resolve().parents
    assert records.predictions(SimpleNamespace(**vars(study) | {"stage": "quant"}), run) is None  # type: ignore[arg-type]
    assert records.predictions(SimpleNamespace(**vars(study) | {"contract": PLAIN}), run) is None  # type: ignore[arg-type]
    found.unlink()
    assert records.predictions(study, run) is None, "a fresh clone"
    fetched: list[str] = []
    study.finished, study.project.store.fetch = [run], fetched.extend
    records.bring(study)
    assert fetched == [entry["md5"]]
