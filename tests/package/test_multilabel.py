"""Any number of labels an image: read in every form that tables have, trained, measured as scikit-learn does, used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score
from test_prepare import bytes_below, config, draw, refusal
from workspace import SMALL, Workspace, load

Get = Callable[[str], Workspace]
evaluation = load("inference.evaluation")
metrics = load("metrics")
scoring = load("tasks.multilabel.evaluation.scoring")
task = load("tasks.multilabel")
voting = load("tasks.multilabel.evaluation.voting")
training = load("tasks.multilabel.training.lightning")
UserError = load("shared.errors").UserError

CLASSES = ["cat", "dog", "owl"]
SPLITS = {"train": 6, "val": 3, "test": 3}
HELD = {  # the labels of each image: one of each split has none, one has several
    (split, index): [name for place, name in enumerate(CLASSES) if index and (index >> place) % 2]
    for split, number in SPLITS.items()
    for index in range(number)
}
SMALL_SCENES = "data.source.scenes={train: 96, val: 32, test: 32}"


# ---- tables -------------------------------------------------------------------------------------------------------


def images(root: Path) -> None:
    for number, (split, index) in enumerate(HELD):
        draw(root / "images" / split / f"{index}.png", number)


def rows(label: Callable[[list[str]], dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"path": f"images/{split}/{i}.png", "split": split} | label(held) for (split, i), held in HELD.items()]


def as_lists(root: Path) -> None:
    lines = [json.dumps(row) for row in rows(lambda held: {"labels": held})]
    (root / "metadata.jsonl").write_text("\n".join(lines).replace('"path"', '"file_name"'))


def as_texts(separator: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        table = rows(lambda held: {"tags": f"{separator} ".join(held)})
        pd.DataFrame(table).to_csv(root / "labels.csv", index=False)

    return write


def as_printed_lists(root: Path) -> None:
    """What pandas writes of a column of lists, and JSON."""
    for_row = [str, json.dumps]
    table = [
        {**row, "labels": for_row[n % 2](row["labels"])} for n, row in enumerate(rows(lambda held: {"labels": held}))
    ]
    pd.DataFrame(table).to_csv(root / "labels.csv", index=False)


def as_columns(root: Path) -> None:
    table = rows(lambda held: {name: int(name in held) for name in reversed(CLASSES)})
    pd.DataFrame(table).to_csv(root / "labels.csv", index=False)


def as_rows(root: Path) -> None:
    """A row a label, the usual way out of a database; an image without any has one that is empty."""
    table = pd.DataFrame(rows(lambda held: {"label": held or [""]})).explode("label")
    table.to_csv(root / "labels.csv", index=False)


def prepare(out: Path, data: Path) -> Any:
    """Prepare what lies in `data` as `-S task=multilabel -S data=own` does."""
    cfg = config("image_folder", kind="auto", task="multilabel", path=str(data))
    cfg.data.task = "multilabel"
    load("stages.prepare").run(cfg, out)
    return load("shared.prepared").Prepared(out / "data" / "prepared")


FORMS = [as_lists, as_printed_lists, as_texts("|"), as_texts(","), as_columns, as_rows]


def test_the_same_labels_in_every_form_are_prepared_alike(tmp_path: Path) -> None:
    found = []
    for number, write in enumerate(FORMS):
        root = tmp_path / str(number)
        images(root)
        write(root)
        prepared = prepare(tmp_path / f"out{number}", root)
        assert prepared.task == "multilabel" and prepared.classes == CLASSES
        found.append(bytes_below(prepared.root))
    assert all(each == found[0] for each in found)
    held = {split: task.present(prepared.items(split, "all"), CLASSES) for split in SPLITS}
    for (split, index), labels in HELD.items():
        assert [name for name, there in zip(CLASSES, held[split][index], strict=True) if there] == labels
    assert [item.label for item in prepared.items("train", "all")] == [str(len(HELD["train", i])) for i in range(6)]


@pytest.mark.parametrize(("write", "said"), [(as_texts("|"), "several labels (cat, dog)"), (as_columns, "cat")])
def test_one_label_an_image_says_what_takes_more(write: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    images(tmp_path / "data")
    write(tmp_path / "data")
    found = refusal(tmp_path / "out", "image_folder", kind="auto", path=str(tmp_path / "data"))
    assert said in found and "-S task=multilabel" in found


# ---- metrics ------------------------------------------------------------------------------------------------------


def frame(there: np.ndarray, probabilities: np.ndarray, threshold: float) -> pd.DataFrame:
    """What the stage writes of images."""
    names, said = np.array(CLASSES), probabilities >= threshold
    return pd.DataFrame(
        {
            "site": "main",
            "actual": [list(names[row]) for row in there],
            "predicted": [list(names[row]) for row in said],
            "exact": (there == said).all(1),
            "confidence": list(probabilities),
            "correct": list(there.astype(int)),
        }
    )


@given(st.integers(0, 10_000), st.integers(2, 30), st.sampled_from([1, 8, 1000]))
def test_metrics_are_scikit_learns_however_often_an_image_counts(seed: int, number: int, steps: int) -> None:
    """With few `steps` many probabilities are equal."""
    rng = np.random.default_rng(seed)
    there = rng.random((number, 3)) < 0.4
    there[0, 0] = True
    probabilities = rng.integers(0, steps, (number, 3), endpoint=True) / steps
    weights = rng.integers(0, 3, (number, 2)).astype(float)
    weights[:, 0] = 1
    weights[0] += 1
    table = frame(there, probabilities, 0.5)

    def expected(draw: int, average: str | None) -> np.ndarray:
        return f1_score(there, probabilities >= 0.5, average=average, sample_weight=weights[:, draw], zero_division=0)

    for draw_ in (0, 1):
        seen = (there * weights[:, [draw_]]).any(0)
        precision = [
            average_precision_score(there[:, c], probabilities[:, c], sample_weight=weights[:, draw_]) if seen[c] else 0
            for c in range(3)
        ]
        for key, function, value in (
            ("infer.mAP", metrics.label_precision, np.mean(np.array(precision)[seen])),
            ("classes.cat.AP", metrics.label_precision, precision[0]),
            ("f1_micro", metrics.f1, expected(draw_, "micro")),
            ("quant.f1_macro", metrics.f1, expected(draw_, None)[seen].mean()),
            ("classes.cat.f1", metrics.f1, expected(draw_, None)[0]),
            ("exact_match", metrics.accuracy, np.average(table["exact"], weights=weights[:, draw_])),
        ):
            assert function(table, key)(weights)[draw_] == pytest.approx(value), key


def test_what_is_given_where_another_label_is_missed() -> None:
    there = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 0], [0, 0, 0]], bool)
    given = np.array([[1, 0, 1], [0, 1, 1], [0, 1, 0], [1, 1, 1], [0, 1, 0], [0, 0, 0]], bool)
    table = frame(there, given.astype(float), 0.5)
    expected = {"cat as dog": 1 / 6, "cat as owl": 1 / 6, "dog as owl": 1 / 6}
    assert evaluation.most_confused(table) == pytest.approx(expected)
    weights = np.array([[1, 3], [1, 0], [1, 1], [1, 0], [1, 0], [1, 0]], float)
    for pair, share in expected.items():
        assert metrics.confused(table, f"infer.confused.{pair}")(weights)[0] == pytest.approx(share)
    assert metrics.confused(table, "confused.dog as owl")(weights)[1] == 3 / 4
    for names, nothing in ((CLASSES, "no label"), (["cat", "dog", "no label"], "(no label)")):
        cat, dog, owl = names
        assert scoring.confusion(there, given, names).to_numpy().tolist() == [
            *([cat, cat], [dog, owl]),
            *([cat, dog], [cat, owl]),
            *([dog, dog], [owl, nothing]),
            *([cat, cat], [dog, dog], [nothing, owl]),
            [nothing, dog],
        ]


def test_calibration_is_over_every_label() -> None:
    there = np.array([[True, False, False], [True, True, False]])
    probabilities = np.array([[0.95, 0.15, 0.15], [0.95, 0.15, 0.95]])
    scorer = metrics.calibration_error(frame(there, probabilities, 0.5), "ece")
    # 0.95: two of three are there; 0.15: one of three
    assert scorer(np.ones((2, 1)))[0] == pytest.approx((3 * (0.95 - 2 / 3) + 3 * (1 / 3 - 0.15)) / 6)


@pytest.mark.parametrize("key", ["mAP50", "accuracy", "f1", "classes.cat.AP50", "AP", "loss"])
def test_what_labels_do_not_tell(key: str) -> None:
    table = frame(np.eye(3, dtype=bool), np.eye(3), 0.5)
    functions = (metrics.accuracy, metrics.f1, metrics.average_precision, metrics.label_precision)
    assert not [function for function in functions if function(table, key)]


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_the_threshold_is_the_best_that_there_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    there, probabilities = rng.random((40, 3)) < 0.5, rng.random((40, 3))
    there[0] = True
    found = training.best_threshold(probabilities, there)
    scores = [f1_score(there, probabilities >= each, average="macro") for each in training.CANDIDATES]
    assert f1_score(there, probabilities >= found, average="macro") == pytest.approx(max(scores))


def test_voting() -> None:
    """Of three members two give the first label, one the second; the third is over its own low threshold alone."""
    members = np.array(
        [[[[0.9, 0.4], [0.5, 0.5]]], [[[0.6, 0.45], [0.5, 0.5]]], [[[0.02, 0.2], [0.1, 0.1]]]]
    )  # (members, images, 2, classes)
    said = {name: task.said(voting.vote(members, name)[0]).tolist() for name in voting.VOTING}
    assert said == {"hard": [True, False], "soft": [True, False], "rank": [True, True]}
    with pytest.raises(UserError, match="at least 3"):
        voting.vote(members[:2], "soft")
    with pytest.raises(UserError, match="Did you mean 'soft'"):
        voting.vote(members, "sofd")


# ---- the stages ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def used(trained: Get, once: Callable[[str, Callable[[Path], None]], Workspace]) -> Workspace:
    """A small training, evaluated and quantized."""

    def make(root: Path) -> None:
        space = trained("multilabel").copy(root)
        space.run("infer", *SMALL["multilabel"], "infer.site=all")
        space.run("quant", *SMALL["multilabel"], "quant.calibration_images=32")

    return once("used-multilabel", make)


def read(space: Workspace, name: str) -> dict[str, Any]:
    return json.loads((space.root / "metrics" / f"{name}.json").read_text())


@pytest.mark.slow
def test_it_learns_and_its_threshold_is_the_models(used: Workspace) -> None:
    trained, inferred, images = read(used, "train"), read(used, "infer"), read_images(used)
    assert trained["val_mAP"] > 0.6, "half of the images have a class: 0.5 is chance"
    at = trained["val_threshold"]
    for confidence, predicted in zip(images["confidence"], images["predicted"], strict=True):
        assert [str(index) for index, each in enumerate(confidence) if each >= at] == list(predicted)
    model = load("shared.model_file").ModelFile.load(used.root / "models" / "model.pt")
    variant = load("inference.variants").load_variant(used.root / "models" / "quant")
    assert {(each.resize, each.interpolation) for each in (model, variant.model)} == {("letterbox", "bicubic")}
    assert set(inferred["sites"]) == {"A", "B"} and inferred["sites"]["A"]["mAP"] > inferred["sites"]["B"]["mAP"]


def read_images(space: Workspace) -> pd.DataFrame:
    return pd.read_parquet(space.root / "results" / "infer" / "predictions.parquet")


@pytest.mark.slow
def test_a_quantized_model_says_much_the_same(used: Workspace) -> None:
    quantized = read(used, "quant")
    assert abs(quantized["drop"]["mAP"]) < 0.05 and quantized["parity"]["agreement"] > 0.8
    assert quantized["size_mb"] < quantized["torch_size_mb"]


@pytest.mark.slow
def test_predicting_gives_a_row_a_label(used: Workspace) -> None:
    told = read_images(used).head(6).set_index("path")["predicted"]
    used.run("predict", *told.index)
    table = pd.read_parquet(used.root / "predictions" / "predictions.parquet")
    for path, labels in told.items():
        assert sorted(table[table["image"] == Path(str(path)).name]["class"].dropna()) == sorted(labels)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_and_settings_take_effect(prepared: Get, tmp_path: Path) -> None:
    space = prepared("multilabel").copy(tmp_path / "seeds")
    space.run("prepare", "task=multilabel", SMALL_SCENES)
    small = ["task=multilabel", SMALL_SCENES, "data.image_size=32", "data.batch_size=32", "training.max_epochs=1"]
    changes = ["seed=0", "seed=0", "seed=1", "augmentation=full", "training.class_weights=true"]
    first, again, *others = space.run_each("train", *([*small, setting] for setting in changes))
    assert first == again and len({first, *others}) == len(changes) - 1
    assert "training.layer_decay" in space.message("train", *small, "training.freeze=2")
    assert "training.class_weights" in space.message("train", *small, "training.balanced=true")
