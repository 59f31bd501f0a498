"""Runs in W&B, offline: what its own files hold."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest
import tracked
from offline import stored
from PIL import Image

from lab.tracking.conformance import START, Experiment, Question, run
from lab.tracking.run import Run
from lab.tracking.sink import Report, Trouble
from lab.tracking.wandb.sink import WandbSink

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed: it is an extra of this project"),
]
LABELS = ("model", "size", "arm", "seed", "comparison.value")
KEY = "0123456789planted-key-0123456789abcdef01"


@dataclass(frozen=True)
class Reported(Question):
    """A design with a report."""

    files: Mapping[str, bytes] = field(default_factory=dict)

    def parent(self, ids: Mapping[str, str]) -> Run:
        return replace(super().parent(ids), artifacts=dict(self.files))


@pytest.fixture
def sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WandbSink:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    return WandbSink(tmp_path, "tests")


def send(sink: WandbSink, design: Question) -> Report:
    sink.begin()
    return Report() if sink.has(design) else sink.send(design)


def test_offline(sink: WandbSink, tmp_path: Path) -> None:
    tags = {"role": "baseline", "model": "tiny", "arm": "a" * 90, "seed": "0", "design.type": "train"}
    made = run(
        "0123456789ab/one", {"val/loss": [3.0, 2.0, 1.0]}, tags=tags, labels=LABELS, artifacts={"run.md": b"# It"}
    )
    failed = run("0123456789ab/two", {"val/loss": [3.0]}, status="FAILED")
    design = Question("grid", [Experiment(made), Experiment(failed)])
    assert send(sink, design).created == 3
    found = stored(tmp_path)
    assert set(found) == {"one", "two", "grid"}
    one = found["one"]["run"]
    assert (one.project, one.run_group, one.job_type) == ("tests", "grid", "train")
    assert list(one.tags) == ["baseline", "model:tiny", f"arm:{'a' * 59}…", "seed:0"]
    config = {item.key: json.loads(item.value_json) for item in one.config.update}
    assert config["lr"] == "0.1"
    assert config["started"] == datetime.fromtimestamp(START / 1000, UTC).isoformat()
    assert found["grid"]["run"].job_type == "design"
    assert [row["val/loss"] for row in found["one"]["history"]] == [3.0, 2.0, 1.0]
    assert [row["_timestamp"] for row in found["one"]["history"]] == [START / 1000 + step for step in (1, 2, 3)]
    assert (found["one"]["exit"], found["two"]["exit"]) == (0, 1)
    (page,) = tmp_path.glob("wandb/offline-run-*/files/run.md")
    assert page.read_text() == "# It"
    assert tracked.planted(tmp_path, KEY) == []

    assert send(sink, design).updated == 0
    grown = replace(made, points=made.points[:2])
    assert send(sink, Question("grid", [Experiment(grown), Experiment(failed)])).updated == 2
    found = stored(tmp_path)
    assert len(found["one"]["history"]) == 2
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 3, "the older one is gone"

    sink.delete(sink.gone([Question("grid", [Experiment(grown)])]))
    assert set(stored(tmp_path)) == {"one", "grid"}


def test_a_designs_answer_and_its_report_are_seen(sink: WandbSink, tmp_path: Path) -> None:
    """Its notes begin with the answer, its page has the report and the pictures; its runs are its group."""
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), (8, 48, 107)).save(picture, format="png")
    files = {"report.html": b"<!doctype html><p>The answer", "report/arms.png": picture.getvalue()}
    made = run("0123456789ab/one", {"val/loss": [3.0, 2.0]}, artifacts={"plots/it.png": picture.getvalue()})
    member = "cutout, seed 0 (one)"
    send(sink, Reported("grid", [Experiment(replace(made, name=member))], files))
    found = stored(tmp_path)
    assert {name: content["run"].run_group for name, content in found.items()} == {"grid": "grid", member: "grid"}
    assert found["grid"]["run"].notes.startswith("**Best: it**")
    for name, shown in (("grid", {"report": b"The answer", "report/arms": b"PNG"}), (member, {"plots/it": b"PNG"})):
        row = found[name]["history"][-1]
        paths = {key: found[name]["folder"] / "files" / row[f"{key}.path"] for key in shown}
        assert row["_timestamp"] < START / 1000 + 10, "what is shown is of the run's own time"
        assert all(shown[key] in path.read_bytes() for key, path in paths.items())


def test_nobody_is_logged_in(sink: WandbSink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(Trouble, match="WANDB_API_KEY"):
        sink.begin()
