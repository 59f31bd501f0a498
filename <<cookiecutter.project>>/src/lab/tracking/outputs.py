"""The files of a run that go along: small ones out of git, pictures of them, and models out of DVC's cache where wanted."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pygit2

from lab.analysis import per_image
from lab.records import commit as checkout
from lab.records.record import Record

FOLDERS = ("results/", "effective/")
MODELS = ("models/model.pt", "models/quant")


def small(record: Record) -> dict[str, bytes | Path]:
    """What git has of the run's results: tables, what each stage was run with, and pictures made of the tables."""
    commit = checkout.commit(record.root, record.commit)
    blobs = {path: commit.object(path) for path in record.outputs if path.startswith(FOLDERS)}
    files: dict[str, bytes | Path] = {p: blob.data for p, blob in blobs.items() if isinstance(blob, pygit2.Blob)}
    for table, draw in {"results/infer/confusion.csv": confusion, "results/infer/curve.csv": curve}.items():
        content = files.get(table)
        if isinstance(content, bytes):
            picture = draw(list(csv.DictReader(io.StringIO(content.decode()))))
            files |= {f"plots/{Path(table).stem}.png": picture} if picture else {}
    return files


def models(record: Record) -> dict[str, bytes | Path]:
    """The models as files of DVC's cache, by their paths; without those that the cache lacks."""
    cache = per_image.cache(record.root) / "files" / "md5"
    files: dict[str, bytes | Path] = {}
    for path in MODELS:
        md5 = str(record.outputs.get(path, {}).get("md5") or "")
        place = cache / md5[:2] / md5[2:]
        if not md5 or not place.is_file():
            continue
        if not md5.endswith(".dir"):
            files[path] = place
            continue
        for entry in json.loads(place.read_text()):
            part = cache / entry["md5"][:2] / entry["md5"][2:]
            files |= {f"{path}/{entry['relpath']}": part} if part.is_file() else {}
    return files


def confusion(rows: list[dict[str, Any]]) -> bytes:
    """A confusion matrix, from a row for each image: `actual` and `predicted`. Empty without rows."""
    pairs = Counter((row["actual"], row["predicted"]) for row in rows)
    names = sorted({name for pair in pairs for name in pair})
    if not names:
        return b""
    counts = [[pairs[actual, predicted] for predicted in names] for actual in names]
    figure, axes = _figure()
    axes.imshow(counts, cmap="Blues")
    axes.set(xlabel="predicted", ylabel="actual", xticks=range(len(names)), yticks=range(len(names)))
    axes.set_xticklabels(names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticklabels(names)
    most = max(map(max, counts))
    for i, line in enumerate(counts):
        for j, count in enumerate(line):
            if count and len(names) <= 30:
                axes.text(j, i, str(count), ha="center", va="center", color="white" if count > most / 2 else "black")
    return _png(figure)


def curve(rows: list[dict[str, Any]]) -> bytes:
    """Precision over recall, a line for each class where the rows tell them apart. Empty without rows."""
    if not rows:
        return b""
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        lines[row["class"]].append((float(row["recall"]), float(row["precision"])))
    figure, axes = _figure()
    for name, points in lines.items():
        axes.plot(*zip(*points, strict=True), label=name)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    if len(lines) > 1:
        axes.legend()
    return _png(figure)


def _figure() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), layout="constrained")
    return figure, figure.subplots()


def _png(figure: Any) -> bytes:
    place = io.BytesIO()
    figure.savefig(place, format="png", dpi=110)
    return place.getvalue()
