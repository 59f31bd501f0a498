"""MLflow servers older than our own client: of 2.9, the oldest that is supported, to an early 3."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import contracts
import mlflow
import pytest
import tracked
from tracked import dump, export, send

from lab.execution import preflight_inputs
from lab.records.champion import Champion
from lab.tracking.conformance import one, question
from lab.tracking.mlflow import registry

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(shutil.which("uv") is None, reason="uv, which makes environments of older versions, is missing"),
]

SERVERS = {"2.9.2": "2.9.2", "2.22.0": "2.22.0", "3.1.0": "3.1.0"}
BESIDE = ("sqlalchemy<2.1", "setuptools<80", "pathspec<1")  # newer ones are unknown to them
DESIGN = one(question("grid", 4, 20), artifacts={"run.md": b"text"}, params={"lr": "0.3"}, name="n" * 250)


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server's version and its address. LAB_MLFLOW_2_9_2 and so on may name a Python that has it."""
    version, folder = request.param, tmp_path_factory.mktemp("server")
    known = os.environ.get(f"LAB_MLFLOW_{version.replace('.', '_')}")
    python = known or tracked.installed(folder / "venv", f"mlflow=={version}", *BESIDE)
    store = f"sqlite:///{folder / 'mlflow.db'}"
    with tracked.server(folder, store, tracked.free_port(), python=python) as address:
        yield version, address


def test_runs_are_what_they_are_in_a_store_of_ours(server: tuple[str, str], tmp_path: Path) -> None:
    _, address = server
    assert send(address, DESIGN).problems == []
    assert send(address, DESIGN).updated == 0
    store = tracked.store(tmp_path)
    send(store, DESIGN, artifacts=tmp_path / "artifacts")
    assert dump(export(address)) == dump(export(store))


def test_what_was_deleted_is_restored(server: tuple[str, str]) -> None:
    _, address = server
    send(address, DESIGN)
    target = tracked.sink(address)
    target.begin()
    client, experiment, before = target.client, target.experiment, export(address)
    known = {run.info.run_id for run in client.search_runs([experiment])}
    target.delete(list(known)[:3])
    send(address, DESIGN)
    assert {run.info.run_id for run in client.search_runs([experiment])} == known
    assert dump(export(address)) == dump(before)


def test_the_documented_table_has_what_counts(server: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run of the design once, and none that another has taken the place of."""
    _, address = server
    for superseded in ({}, {"superseded.by": "grid-1"}):
        made = DESIGN.members[0].made
        send(address, one(DESIGN, tags=made.tags | superseded))
        runs = documented_runs(address, monkeypatch)
        assert len(runs) == len(DESIGN.members) - len(superseded)


def test_the_champion_is_registered(server: tuple[str, str]) -> None:
    _, address = server
    send(address, DESIGN)
    target = tracked.sink(address)
    target.begin()
    for number, revision in enumerate(["c0ffee", "decade", "c0ffee"]):
        champion = Champion.model_construct(revision=revision, experiment="grid-0", design="grid", data=None)
        assert registry._register(target, "model", champion) == str(1 + number % 2)
        assert target.client.get_model_version_by_alias("model", "champion").tags["dvc.exp.rev"] == revision


def test_the_checklist_tells_the_version(server: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    version, address = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert preflight_inputs.tracking(Path("/nonexistent")) == (f"MLflow {version}, http://127.0.0.1", "")


def documented_runs(address: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the Python in docs/tracking.md finds, up to what it makes of it."""
    page = contracts.rendered((contracts.PROJECT / "docs" / "tracking.md").read_text())
    (code,) = [each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "mlflow.search_runs" in each]
    code = re.sub(r"experiment_names=\[.*?\]", 'experiment_names=["tests"]', code)
    code = re.sub(r"'[a-z_]+_lr_sweep'", "'grid'", code)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    mlflow.set_tracking_uri(address)
    names: dict[str, Any] = {}
    exec(code[: code.index("runs.groupby")], names)
    return names["runs"]
