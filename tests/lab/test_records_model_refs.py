"""Runs of other designs, by their arm and seed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.design.model_refs import Reference
from lab.errors import UserError
from lab.records import model_refs
from lab.study import FAILED, FINISHED, Replicate
from lab.tracking.mlflow.model_refs import find


def replicate(arm: str, seed: int, commit: str, status: str = FINISHED) -> Replicate:
    return Replicate(arm, {}, seed, SimpleNamespace(commit=commit, status=status))


REPLICATES = [replicate("none", 0, "a"), replicate("none", 1, "b"), replicate("mixup", 0, "c", FAILED)]


def study(replicates: list[Replicate]) -> Any:
    return SimpleNamespace(replicates=replicates, path="designs/study.yaml")


def test_the_run_of_the_arm_and_the_seed_is_meant() -> None:
    assert model_refs.of_design(study(REPLICATES), Reference("study", "none", 0)) == "a"
    assert model_refs.of_design(study(REPLICATES), Reference("study", "none", 1)) == "b"


@pytest.mark.parametrize(
    ("replicates", "reference", "words"),
    [
        ([], Reference("study", "none", 0), "no run of study has finished: lab run designs/study.yaml first"),
        (REPLICATES, Reference("study", "non", 0), "no finished run of non with seed 0. Did you mean 'none'?"),
        (REPLICATES, Reference("study", "none", 2), "no finished run of none with seed 2"),
        (REPLICATES, Reference("study", "mixup", 0), "no finished run of mixup with seed 0"),
    ],
)
def test_what_has_not_run(replicates: list[Replicate], reference: Any, words: str) -> None:
    with pytest.raises(UserError) as caught:
        model_refs.of_design(study(replicates), reference)
    assert words in str(caught.value)


def test_names_of_a_tracking_server_are_asked_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(model_refs, "of_git", lambda project, name: f"commit of {name}")
    project: Any = SimpleNamespace(root=tmp_path, tracked={"models:/seeds/3": "abc"}.get)
    resolve = model_refs.resolver(project, lambda name: study([]))
    assert resolve("models:/seeds/3", 0) == "commit of abc"
    assert resolve("main", 0) == "commit of main"


def test_a_model_of_mlflow_is_the_experiment_that_it_stands_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
