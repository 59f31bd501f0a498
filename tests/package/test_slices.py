"""Metrics by the values of a column: what a table says of its images goes all the way."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from workspace import Workspace, load, make

evaluation = load("inference.evaluation")
prepared = load("shared.prepared")
UserError = load("shared.errors").UserError
compose, train = load("shared.config").compose, load("stages.train")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Forty squares, dark and bright ones, by two cameras, prepared from a table."""
    space = make(tmp_path_factory.mktemp("slices") / "space")
    folder = space.root / "datasets" / "squares"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    lines = ["path,label,camera,hour,site"]
    for number in range(40):
        label = ("dark", "bright")[number % 2]
        pixels = generator.integers(0, 90, (24, 24, 3)) + 150 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{label},{'old' if number % 3 else 'v1.5'},{number},hall {number % 2}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    space.run("prepare", "task=classification", "data=own", "data.source.path=datasets/squares")
    return space


def test_columns_of_a_table_become_slices(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(space.root)
    items = pd.read_csv("data/prepared/items.csv", dtype=str)
    assert list(items) == ["path", "site", "split", "label", "group", "sha256", "camera", "hour", "table_site"]
    data = prepared.Prepared(Path("data/prepared"))
    tested = data.items("test", "main")
    said = [np.array([0.9, 0.1]) for _ in tested]  # all bright
    scored = evaluation.score(data, tested, said, ["camera", "table_site"])
    slices = json.loads(json.dumps(scored.metrics))["slices"]
    assert slices["table_site"]["hall 0"]["accuracy"] == 0 and slices["table_site"]["hall 1"]["accuracy"] == 1
    for value, row in slices["camera"].items():
        own = [item.label == "bright" for item in tested if item.columns["camera"] == value]
        assert row == {"accuracy": pytest.approx(np.mean(own)), "f1_macro": row["f1_macro"], "images": len(own)}
        scorer = load("metrics").accuracy(scored.per_image, f"infer.slices.camera.{value}.accuracy")
        assert scorer(np.ones((len(tested), 1))) == pytest.approx(row["accuracy"])


def test_an_empty_cell_is_no_value_whatever_the_values_are() -> None:
    for said in (["", "old"], ["", "none"], ["", "none", "(none)"]):
        found = evaluation.values([SimpleNamespace(columns={"camera": value}) for value in said], "camera")
        assert found[1:] == said[1:] and len(set(found)) == len(said) and found[0]


@pytest.mark.parametrize(
    ("column", "words"),
    [("camra", "no column camra .* Did you mean 'camera'"), ("hour", "hour has .* values"), ("path", "no column path")],
)
def test_what_is_no_slice_is_refused(
    space: Workspace, column: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(space.root)
    monkeypatch.setattr(prepared, "MOST_SLICES", 4)
    data = prepared.Prepared(Path("data/prepared"))
    tested = data.items("test", "main")
    with pytest.raises(UserError, match=words):
        prepared.check_slices(["camera", column], tested)


@pytest.mark.parametrize(
    ("setting", "words"),
    [("infer.slices=[camra]", "no column camra .* Did you mean 'camera'"), ("infer.site=man", "No site 'man' .*main")],
)
def test_training_does_not_begin_where_infer_would_refuse(
    space: Workspace, setting: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(space.root)
    monkeypatch.setattr(train.registry, "training", None)
    with pytest.raises(UserError, match=words):
        train.run(compose(["task=classification", "data=own", setting]), tmp_path)
