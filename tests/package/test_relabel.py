"""Suspected label errors, of each task by hand; and relabel.py on a project's experiments."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from workspace import load

command = load("relabelling.command")
tested = load("relabelling.tested")
registry = load("shared.registry")
UserError = load("shared.errors").UserError


def frame(**columns: list) -> pd.DataFrame:
    """Images by their digests, of one site and experiment."""
    count = len(next(iter(columns.values())))
    names = [f"{number}.png" for number in range(count)]
    return pd.DataFrame({"path": names, "site": "A", "sha256": names, "experiment": "e"} | columns)


def test_a_label_is_suspicious_by_its_margin() -> None:
    """By cleanlab 2.9's numbers: get_label_quality_scores, normalized_margin, adjust_pred_probs."""
    probabilities = [[0.1, 0.9], [0.35, 0.65], [0.9, 0.1], [0.7, 0.3], [0.1, 0.9], [0.05, 0.95]]
    images = frame(actual=["cat", "cat", "cat", "dog", "dog", "dog"], probabilities=probabilities)
    found = registry.suspects("classification").suspects(images, ["cat", "dog"])
    rows = found[["path", "given", "suggested"]].to_numpy().tolist()
    assert rows == [["0.png", "cat", "dog"], ["1.png", "cat", "dog"], ["3.png", "dog", "cat"]]
    assert found["suspicion"].tolist() == pytest.approx([0.710526, 0.513158, 0.763158], abs=1e-6)
    again = images.assign(
        probabilities=[[0.99, 0.01]] * 3 + [[0.01, 0.99]] * 3, experiment="f"
    )  # is sure of all labels
    assert registry.suspects("classification").suspects(pd.concat([images, again, again]), ["cat", "dog"]).empty


def test_labels_to_take_away_and_to_add() -> None:
    images = frame(actual=[["cat"], []], confidence=[[0.2, 0.4], [0.1, 0.9]])
    found = registry.suspects("multilabel").suspects(images, ["cat", "dog"])
    rows = found[["path", "given", "suggested", "suspicion"]].to_numpy().tolist()
    assert rows == [["0.png", "cat", "", pytest.approx(0.8)], ["1.png", "", "dog", pytest.approx(0.9)]]


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_objects_of_another_class_or_place_and_such_without_a_label(task: str) -> None:
    kinds = ["class", "background", "localisation", "class", "background", "duplicate", ""]
    images = frame(
        error=[kinds, []],
        right_as=[["cat", "", "dog", "", "", "", ""], []],
        predicted=[["dog", "dog", "dog", "dog", "cat", "cat", "cat"], []],
        confidence=[[0.9, 0.8, 0.7, 0.9, 0.3, 0.9, 0.9], []],
        boxes=[[[0, 0, 0.5, 1]] * 7, []],
    )
    found = registry.suspects(task).suspects(images, ["cat", "dog"])
    rows = found[["kind", "given", "suggested", "suspicion", "x2"]].to_numpy().tolist()
    assert rows == [
        ["class", "cat", "dog", 0.9, 0.5],
        ["not labelled", "", "dog", 0.8, 0.5],
        ["place", "dog", "dog", 0.7, 0.5],
    ]
    assert list(registry.suspects(task).suspects(images.loc[1:], ["cat"])) == list(found), "none has the same columns"


def run_of(name: str, classes: list[str], digests: list[str], **columns: list) -> object:
    return tested.Tested(name, "classification", classes, frame(**columns), digests)


def test_the_list_is_ranked_and_tells_what_nobody_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    digests = ["0.png", "1.png", "2.png"]
    run = run_of("e", ["cat", "dog"], digests, actual=["cat", "dog"], probabilities=[[0.4, 0.6], [0.9, 0.1]])
    monkeypatch.setattr(command, "named", list)
    monkeypatch.setattr(command, "read", lambda name: run)
    command.run(command.options().parse_args(["e"]))
    table = pd.read_csv("relabel.csv")
    assert table[["rank", "suspicion", "given", "suggested", "path"]].to_numpy().tolist() == [
        [1, 0.6923, "cat", "dog", "0.png"],
        [2, 0.6923, "dog", "cat", "1.png"],
    ]
    said = capsys.readouterr().out
    assert (
        "2 suspected labels, the most suspicious first, of 2 of 3 images" in said
        and "1 image was tested by none of these" in said
    )
    with pytest.raises(UserError, match=r"relabel.csv is there already"):
        command.run(command.options().parse_args(["e"]))
    monkeypatch.setattr(command, "read", None)  # nothing is read before
    with pytest.raises(UserError, match="the folder nowhere is not there: .* --out"):
        command.run(command.options().parse_args(["e", "--out", "nowhere/x.csv"]))
    with pytest.raises(UserError, match="the folder relabel.csv is a file"):
        command.run(command.options().parse_args(["e", "--out", "relabel.csv/x.csv"]))
    with pytest.raises(UserError, match="is a folder: name a file by --out"):
        command.run(command.options().parse_args(["e", "--out", str(tmp_path)]))
    other = run_of("f", ["cat"], digests, actual=["cat"], probabilities=[[1.0]])
    with pytest.raises(UserError, match="f is of the task classification with 1 classes"):
        command.check_alike([run, other])


def test_patterns_name_experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "experiments", lambda: ["a_folds_s1", "a_folds_s2", "b"])
    assert tested.named(["main", "*_folds_*", "a_folds_s1"]) == ["main", "a_folds_s1", "a_folds_s2"]
    with pytest.raises(UserError, match="no experiment is called x"):
        tested.named(["x*"])


def test_a_name_that_is_none_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dvc.repo import Repo

    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    Repo.init(str(tmp_path))
    monkeypatch.setattr(tested, "project_root", lambda: tmp_path)
    with pytest.raises(UserError, match="no test images of nobody: .* Expected an experiment"):
        tested.read("nobody")


def test_data_prepared_anew_are_not_those_of_the_predictions() -> None:
    def locked(md5: str) -> dict:
        return {
            "stages": {
                name: {part: [{"path": "data/prepared", "md5": md5}]}
                for name, part, md5 in (("prepare", "outs", md5), ("infer", "deps", "1.dir"))
            }
        }

    tested.check_together("HEAD", locked("1.dir"))
    with pytest.raises(UserError, match="of HEAD don't belong together: prepare .* anew .* dvc exp run"):
        tested.check_together("HEAD", locked("2.dir"))


def test_planted_errors_come_first() -> None:
    """Five percent, of a model that is right in nine of ten images."""
    generator = np.random.default_rng(0)
    true = generator.integers(0, 5, 1000)
    scores = generator.dirichlet(np.ones(5), 1000) + 1.5 * np.eye(5)[true]
    planted = generator.choice(1000, 50, replace=False)
    given = true.copy()
    given[planted] = (given[planted] + generator.integers(1, 5, 50)) % 5
    names = list("abcde")
    images = frame(actual=[names[label] for label in given], probabilities=list(scores / scores.sum(1, keepdims=True)))
    found = registry.suspects("classification").suspects(images, names).sort_values("suspicion", ascending=False)
    first = [int(name.removesuffix(".png")) for name in found["path"].head(50)]
    assert len(set(first) & set(planted)) >= 45
