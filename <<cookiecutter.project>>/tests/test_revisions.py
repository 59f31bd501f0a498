"""Runs of other designs, by their arm and seed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from project import load

revisions = load("results.revisions")
Reference = load("design.revisions").Reference
UserError = load("errors").UserError


def row(arm: str, seed: int, commit: str, status: str = "finished") -> Any:
    return SimpleNamespace(arm=arm, seed=seed, status=status, record=SimpleNamespace(commit=commit))


ROWS = [row("none", 0, "a"), row("none", 1, "b"), row("mixup", 0, "c", "failed")]


def study(rows: list[Any]) -> Any:
    return SimpleNamespace(rows=rows, path="designs/study.yaml")


def test_the_run_of_the_arm_and_the_seed_is_meant() -> None:
    assert revisions.of_design(study(ROWS), Reference("study", "none", 0)) == "a"
    assert revisions.of_design(study(ROWS), Reference("study", "none", 1)) == "b"


@pytest.mark.parametrize(
    ("rows", "reference", "words"),
    [
        ([], Reference("study", "none", 0), "no run of study has finished: lab run designs/study.yaml first"),
        (ROWS, Reference("study", "non", 0), "no finished run of non with seed 0. Did you mean 'none'?"),
        (ROWS, Reference("study", "none", 2), "no finished run of none with seed 2"),
        (ROWS, Reference("study", "mixup", 0), "no finished run of mixup with seed 0"),
    ],
)
def test_what_has_not_run(rows: list[Any], reference: Any, words: str) -> None:
    with pytest.raises(UserError) as caught:
        revisions.of_design(study(rows), reference)
    assert words in str(caught.value)


def test_names_of_a_tracking_server_are_asked_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(revisions.records, "read", lambda root: [])
    monkeypatch.setattr(revisions, "of_git", lambda root, known, name: f"commit of {name}")
    resolve = revisions.resolver(tmp_path, {"models:/seeds/3": "abc"}.get)
    assert resolve("models:/seeds/3", 0) == "commit of abc"
    assert resolve("main", 0) == "commit of main"


def test_a_model_of_mlflow_is_the_experiment_that_it_stands_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = load("tracking.revisions").find
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert find(tmp_path, "some-branch") is None
    with pytest.raises(UserError, match="lab mirror --all"):
        find(tmp_path, "models:/seeds/1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store.db'}")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'store.db'}")
    run = client.create_run(client.create_experiment("all"), tags={"dvc.exp.rev": "f" * 40})
    bare = client.create_run(run.info.experiment_id)
    client.create_registered_model("seeds")
    client.create_model_version("seeds", f"runs:/{run.info.run_id}/model", run.info.run_id)
    client.set_registered_model_alias("seeds", "champion", "1")
    for name in (run.info.run_id, "models:/seeds/1", "models:/seeds@champion"):
        assert find(tmp_path, name) == "f" * 40
    for name, message in {
        bare.info.run_id: "no tag dvc.exp.rev",
        "0" * 32: "not found",
        "models:/seeds/2": "not found",
        "models:/seeds": "expected models:/name/version",
    }.items():
        with pytest.raises(UserError, match=message):
            find(tmp_path, name)
