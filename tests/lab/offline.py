"""Reads what W&B keeps of runs that were written offline."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any


def runs(root: Path) -> list[dict[str, Any]]:
    """What each offline run holds: `run`, `history`, `exit`, and the `folder` that it lies in.

    W&B's own process writes them, and a busy machine lets it take its time.
    """
    deadline = time.monotonic() + 20
    contents = written(root)
    while not all({"run", "exit"} <= content.keys() for content in contents) and time.monotonic() < deadline:
        time.sleep(0.2)
        contents = written(root)
    return contents


def written(root: Path) -> list[dict[str, Any]]:
    """The same, as far as it has been written."""
    protocol: Any = import_module("wandb.proto.wandb_internal_pb2")
    contents = []
    for path in root.glob("wandb/offline-run-*/*.wandb"):
        content: dict[str, Any] = {"history": [], "folder": path.parent}
        for data in records(path.read_bytes()):
            record = protocol.Record()
            record.ParseFromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                content["run"] = record.run
            elif kind == "history":
                items = {(item.key or ".".join(item.nested_key)): item.value_json for item in record.history.item}
                content["history"].append({name: json.loads(value) for name, value in items.items()})
            elif kind == "exit":
                content["exit"] = record.exit.exit_code
        contents.append(content)
    return contents


def stored(root: Path) -> dict[str, dict[str, Any]]:
    """The same by the runs' names."""
    named: dict[str, dict[str, Any]] = {}
    for content in runs(root):
        assert content["run"].display_name not in named, "a run is there twice"
        named[content["run"].display_name] = content
    return named


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


def contents(folder: Path) -> dict[str, bytes]:
    """The files below a folder, by their paths."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
