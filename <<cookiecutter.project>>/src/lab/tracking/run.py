"""A run as any server shows it: plain data, made by the projection and written by the sinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


class Point(NamedTuple):
    """A metric's value: `time` in milliseconds since the epoch, `step` the epoch, counted from 1."""

    key: str
    value: float
    time: int
    step: int


@dataclass(frozen=True)
class Dataset:
    """What a run read: `digest` is DVC's md5, `source` says where DVC has it."""

    name: str
    digest: str
    source: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A run as a server shows it. `start` and `end` in milliseconds since the epoch; `end` is None while it runs.

    `points` grow at their end and never change, unless it is another run by now. `artifacts` are the files' content by
    path. `commit`, `branch`, `user` and `source`, the repository's address, are git's. `labels` names the tags by which
    people tell runs apart, for sinks with room for few. A design's run names the `metrics` and the params (`factors`)
    that a table of its children should show, whether the first metric is best when small, and the metrics of a table of
    all designs (`overview`).
    """

    key: str
    name: str
    status: str
    start: int
    end: int | None = None
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    note: str = ""
    artifacts: dict[str, bytes | Path] = field(default_factory=dict)
    datasets: list[Dataset] = field(default_factory=list)
    commit: str = ""
    branch: str = ""
    user: str = ""
    source: str = ""
    labels: Sequence[str] = ()
    metrics: Sequence[str] = ()
    factors: Sequence[str] = ()
    ascending: bool = False
    overview: Sequence[str] = ()
