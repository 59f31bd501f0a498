"""Source `table`: classification by a table of images and labels: a CSV file, or Hugging Face's metadata.csv and
metadata.jsonl in the images' folder.

Columns: the image's path (`file_name`, `path`, `image`, …), its label (`label`, `class`, …) and, if there are any, its
split and the group that data.source.group names. Without a split, the folder of the table or of the image tells it.
https://huggingface.co/docs/datasets/image_dataset#imagefolder
"""

from __future__ import annotations

import csv
import json
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from ....shared.errors import UserError
from ...shared.archives import shown
from ...shared.dataset import Dataset, Sample
from ...shared.groups import Grouping
from ...shared.names import Images
from ...shared.notes import Notes
from ...shared.sites import Part, read_sites, split_above, split_named
from ...shared.texts import read_lines, read_text

PATHS = ("file_name", "filename", "file", "path", "filepath", "file_path", "image", "image_path", "img", "image_id")
LABELS = ("label", "class", "class_name", "category", "target", "label_name", "labels", "classes", "tags")
SPLITS = ("split", "subset", "set", "partition")
SUFFIXES = (".csv", ".tsv", ".jsonl")
SEPARATORS = ("|", ";")  # between several labels of an image


def read(source: DictConfig) -> Dataset:
    """Each site's table. Raises UserError."""
    return read_sites("classification", source, partial(read_place, group=Grouping.of(source).column))


def recognize(place: Path) -> str:
    """What tells that a table in `place` lists its images; empty where nothing does."""
    return next((file.relative_to(place).as_posix() for file in _tables(place)), "")


def read_place(place: Path, notes: Notes, group: str = "") -> Part:
    """The images that the tables in `place` list, with what the column `group` says of each. Raises UserError."""
    tables = _tables(place)
    if not tables:
        raise UserError(
            f"{shown(place)} has no table of images: expected a CSV file with columns such as `path` and `label`, or "
            "metadata.jsonl with `file_name` and `label`."
        )
    images = Images(place, notes)
    samples = []
    for file in tables:
        rows = _rows(file)
        path_column, label_column, split_column = (_column(rows, names) for names in (PATHS, LABELS, SPLITS))
        for number, row in enumerate(rows, start=1 if file.suffix.lower() == ".jsonl" else 2):
            name = str(row.get(path_column) or "")
            label = _label(row.get(label_column), f"{shown(file)}:{number}")
            stated = split_named(str(row.get(split_column) or "")) if split_column else None
            image = images.find(name, [file.parent], stated or split_named(file.stem) or "")
            if image is None:
                notes.add("missing_images", f"{shown(file)}:{number} {name}")
            elif not label:
                notes.add("malformed_labels", f"{shown(file)}:{number} has no {label_column}")
            else:
                split = stated or split_above(image, place) or split_named(file.stem) or "train"
                samples.append(
                    Sample("", split, image.stem, image, label=label, group=str(row.get(group) or "").strip())
                )
    images.note_unlisted(notes)
    classes = sorted({sample.label for sample in samples})
    return Part(classes, sorted(samples, key=lambda sample: (sample.split, str(sample.image))), listed=False)


def _tables(place: Path) -> list[Path]:
    """The tables that list images: metadata files, or else CSV files with columns of paths and labels."""
    if not place.is_dir():
        return []
    files = [
        file for pattern in ("*", "*/*") for file in sorted(place.glob(pattern)) if file.suffix.lower() in SUFFIXES
    ]
    listed = [file for file in files if _lists_images(file)]
    return [file for file in listed if file.stem == "metadata"] or listed


def _lists_images(file: Path) -> bool:
    rows = _rows(file, limit=1)
    return bool(rows) and bool(_column(rows, PATHS)) and bool(_column(rows, LABELS))


def _rows(file: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """The rows of a table, as texts, or as JSON has them. Raises UserError where it can't be read."""
    try:
        if file.suffix.lower() == ".jsonl":
            rows = [json.loads(line) for line in read_lines(file)[:limit]]
            return [row for row in rows if isinstance(row, dict)]
        text = StringIO(read_text(file))
        frame = pd.read_csv(text, sep=None, engine="python", dtype=str, keep_default_na=False, nrows=limit)
    except (ValueError, RecursionError, csv.Error, pd.errors.ParserError) as error:
        raise UserError(f"{shown(file)} can't be read as a table: {error}") from error
    return frame.to_dict("records")  # type: ignore[return-value]


def _column(rows: list[dict[str, Any]], names: tuple[str, ...]) -> str:
    """The first column that has one of these names; empty where there is none."""
    present = {str(column).strip().lower(): column for column in rows[0]} if rows else {}
    return next((present[name] for name in names if name in present), "")


def _label(value: Any, place: str) -> str:
    """The one label of a row, as a text. Raises UserError for several."""
    several = value if isinstance(value, list) else [value]
    if isinstance(value, str):
        several = next((value.split(separator) for separator in SEPARATORS if separator in value), [value])
    if len(several) > 1:
        shown_labels = ", ".join(map(str, several))
        raise UserError(f"{place} has several labels ({shown_labels}): classification takes one label an image.")
    label = several[0] if several else None
    return "" if label is None else str(label).strip()
