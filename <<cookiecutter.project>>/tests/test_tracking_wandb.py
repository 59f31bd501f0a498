"""Runs in W&B, offline: what its own files hold."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import tracked
from project import load
from tracked import START, Experiment, Question, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed: it is an extra of this project"),
]
KEY = "0123456789planted-key-0123456789abcdef01"


@pytest.fixture
def sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    return load("tracking.wandb_sink").WandbSink(tmp_path, "tests")


def send(sink: Any, design: Question) -> Any:
    sink.begin()
    return load("tracking.mlflow_sink").Report() if sink.has(design) else sink.send(design)


def stored(root: Path) -> dict[str, dict[str, Any]]:
    """What each offline run holds, by its name."""
    protocol: Any = import_module("wandb.proto.wandb_internal_pb2")
    found = {}
    for path in root.glob("wandb/offline-run-*/*.wandb"):
        content: dict[str, Any] = {"history": []}
        for data in records(path.read_bytes()):
            record = protocol.Record()
            record.ParseFromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                content["run"] = record.run
            elif kind == "history":
                items = {(item.key or item.nested_key[0]): item.value_json for item in record.history.item}
                content["history"].append({name: json.loads(value) for name, value in items.items()})
            elif kind == "exit":
                content["exit"] = record.exit.exit_code
        assert content["run"].display_name not in found, "a run is there twice"
        found[content["run"].display_name] = content
    return found


def records(content: bytes) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format: blocks of 32 KiB, each record in one piece or several."""
    position, pieces = 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, size, kind = struct.unpack("<IHB", content[position : position + 7])
        pieces += content[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (1, 4):  # whole, or the last piece
            yield pieces
            pieces = b""


def test_offline(sink: Any, tmp_path: Path) -> None:
    tags = {"role": "baseline", "model": "tiny", "arm": "a" * 90, "seed": "0", "design.type": "train"}
    made = run("0123456789ab/one", {"val/loss": [3.0, 2.0, 1.0]}, tags=tags, artifacts={"run.md": b"# It"})
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


def test_nobody_is_logged_in(sink: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(load("tracking.mlflow_sink").Trouble, match="WANDB_API_KEY"):
        sink.begin()
