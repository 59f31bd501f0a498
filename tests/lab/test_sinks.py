"""The sinks that there are do what every sink has to."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import offline
import pytest
import tracked

from lab.tracking.conformance import SinkConformance, Stored
from lab.tracking.mlflow.sink import MlflowSink
from lab.tracking.settings import Settings
from lab.tracking.sink import SINKS, Sink, create
from lab.tracking.wandb.sink import WandbSink


class TestMlflow(SinkConformance):
    """In a file of its own."""

    def open(self, folder: Path) -> Sink:
        if not (folder / "mlflow.db").exists():
            tracked.store(folder)
        return MlflowSink(f"sqlite:///{folder / 'mlflow.db'}", "tests", folder / "mlartifacts")

    def stored(self, folder: Path) -> list[Stored]:
        client = tracked.sink(f"sqlite:///{folder / 'mlflow.db'}").client
        return [self._read(client, folder, run) for run in client.search_runs(["1"], max_results=1000)]

    def _read(self, client: Any, folder: Path, run: Any) -> Stored:
        tags, artifacts = run.data.tags, Path(run.info.artifact_uri.removeprefix("file://"))
        assert artifacts.is_relative_to(folder)
        points = [point for name in run.data.metrics for point in client.get_metric_history(run.info.run_id, name)]
        return Stored(
            key=tags.get("dvc.exp.id") or tags["design.id"],
            name=run.info.run_name,
            has_failed=run.info.status == "FAILED",
            params=run.data.params,
            tags={name: value for name, value in tags.items() if "mirror." not in name},
            points=[(point.key, point.step, point.value) for point in points],
            artifacts=offline.contents(artifacts),
        )


@pytest.mark.slow
@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed: it is an extra of a project")
class TestWandb(SinkConformance):
    """Offline: in files that `wandb sync` would send."""

    @pytest.fixture(autouse=True)
    def without_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WANDB_MODE", "offline")

    def open(self, folder: Path) -> Sink:
        return WandbSink(folder, "tests")

    def stored(self, folder: Path) -> list[Stored]:
        return [self._read(run) for run in offline.runs(folder)]

    def _read(self, content: dict[str, Any]) -> Stored:
        config = {item.key: json.loads(item.value_json) for item in content["run"].config.update}
        is_tag = {name: "." in name or name in ("design", "arm", "seed") for name in config}
        history = [
            (name, row["_step"], value)
            for row in content["history"]
            for name, value in row.items()
            if not name.startswith("_")
        ]
        return Stored(
            key=config.get("dvc.exp.id") or config["design.id"],
            name=content["run"].display_name,
            has_failed=content["exit"] != 0,
            params={name: value for name, value in config.items() if name[:1] == "p" or name == "lr"},
            tags={name: value for name, value in config.items() if is_tag[name]},
            points=history,
            artifacts=offline.contents(content["folder"] / "files"),
        )


@pytest.mark.parametrize("name", SINKS)
def test_a_sink_is_found_by_the_name_that_it_has(name: str, tmp_path: Path) -> None:
    if name == "wandb" and find_spec("wandb") is None:
        pytest.skip("wandb is not installed")
    assert create(name, tmp_path, Settings(experiment="tests")).name == name
