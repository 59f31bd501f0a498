"""Source `table`: a table of images and labels: a CSV file, or Hugging Face's metadata.csv and metadata.jsonl in the
images' folder.

Columns: the image's path (`file_name`, `path`, `image`, …), its label (`label`, `class`, …) and, if there are any, its
split and the group that data.source.group names. What other columns say is kept, for metrics by its values
(infer.slices). Without a split, the folder of the table or of the image tells it.
For the task multilabel an image may have any number of labels: a list in JSON, one text with `|`, `;` or `,` between
them, a row each, or a column of 0 and 1 for each class. https://huggingface.co/docs/datasets/image_dataset#imagefolder
"""

from __future__ import annotations

import csv
import json
import re
from ast import literal_eval
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from ....shared.errors import UserError
from ....shared.prepared import FINAL
from ...shared.archives import shown
from ...shared.dataset import Dataset, Sample, labelled
from ...shared.groups import Grouping
from ...shared.names import Images
from ...shared.notes import Notes
from ...shared.sites import Part, read_sites, split_above, split_named
from ...shared.texts import read_lines, read_text

PATHS = ("file_name", "filename", "file", "path", "filepath", "file_path", "image", "image_path", "img", "image_id")
LABELS = ("label", "class", "class_name", "category", "target", "label_name", "labels", "classes", "tags")
SPLITS = ("split", "subset", "set", "partition")
SCORES = ("confidence", "conf", "score", "probability", "prob")  # of predictions
SUFFIXES = (".csv", ".tsv", ".jsonl")
SEPARATORS = ("|", ";")  # between several labels of an image
FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}  # of a class's own column
OF_FINAL = f"{FINAL} is cut by data.source.fractions.{FINAL}, for lab promote alone: write train."
GAPS = ("", "-1", "-1.0", "nan", "none")  # among them, what leaves it open
MISSING = ("nan", "NaN", "<NA>")  # what programs write into a cell that has nothing
Row = dict[str, Any]


def read(source: DictConfig) -> Dataset:
    """Each site's table, for data.source.task. Raises UserError."""
    several = source.get("task") == "multilabel"
    if (task := source.get("task")) in ("detection", "segmentation"):
        raise UserError(
            f"{source.path} has a table, which tells the classes of images: for {task} give COCO's JSON, or the files "
            "of YOLO, Pascal VOC or CVAT. Roboflow, FiftyOne and datumaro convert tables of boxes."
        )
    reading = partial(read_place, group=Grouping.of(source).column, several=several)
    return read_sites("multilabel" if several else "classification", source, reading)


def recognize(place: Path) -> str:
    """What tells that a table in `place` lists its images; empty where nothing does."""
    return next((file.relative_to(place).as_posix() for file in _tables(place)), "")


def read_place(place: Path, notes: Notes, group: str = "", several: bool = False) -> Part:
    """The images that the tables in `place` list; the column `group` is no class's. Raises UserError."""
    tables = _tables(place)
    if not tables:
        raise UserError(
            f"{shown(place)} has no table of images: expected a CSV file or metadata.jsonl with a column of paths "
            f"({', '.join(PATHS)}) and one of labels ({', '.join(LABELS)})."
        )
    read = {file: _rows(file) for file in tables}
    _refuse_others(place, read)
    images = Images(place, notes)
    samples: list[Sample] = []
    classes: set[str] = set()
    for file, rows in read.items():
        path_column, label_column, split_column = (_column(rows, names) for names in (PATHS, LABELS, SPLITS))
        flags = [] if label_column else _flags(rows, {path_column, split_column, group})
        if several and not label_column:
            _refuse_gaps(file, rows, {path_column, split_column, group})
        if flags and not several:
            raise UserError(
                f"{shown(file)} has a column for each class ({', '.join(flags[:3])}), for any number of labels an "
                "image: -S task=multilabel"
            )
        classes |= set(flags)
        _note_columns(file, rows, label_column, notes)
        read_as = {path_column, label_column, split_column, *flags} - {group}
        for number, row in enumerate(rows, start=1 if file.suffix.lower() == ".jsonl" else 2):
            name, at = str(row.get(path_column) or ""), f"{shown(file)}:{number}"
            labels = tuple(flag for flag in flags if _flag(row[flag])) or _labels(row.get(label_column), several)
            said = str(row.get(split_column) or "").strip() if split_column else ""
            stated = split_named(said)
            if said and not stated:
                notes.add("unknown_splits", f"{at} {said}", OF_FINAL if said == FINAL else "")
            image = images.find(name, [file.parent], stated or split_named(file.stem) or "")
            if image is None:
                images.note_missing(f"{at} ", name)
            elif not several and len(labels) > 1:
                raise UserError(
                    f"{at} has several labels ({', '.join(labels)}): classification takes one label an image, and "
                    "-S task=multilabel any number."
                )
            elif not several and not labels:
                notes.add("malformed_labels", f"{at} has no {label_column}")
            else:
                classes |= set(labels)
                split = stated or split_above(image, place) or split_named(file.stem) or "train"
                sample = Sample("", split, image.stem, image, facts=_facts(row, read_as))
                samples.append(labelled(sample, labels) if several else replace(sample, label=next(iter(labels))))
    images.note_unlisted(notes)
    ordered = sorted(_joined(samples) if several else samples, key=lambda sample: (sample.split, str(sample.image)))
    return Part(sorted(classes), ordered, listed=False)


def _refuse_others(place: Path, tables: Mapping[Path, list[Row]]) -> None:
    """Raises UserError where some tables tell their split and others don't: such as Kaggle's sample_submission.csv."""
    without = [
        file
        for file, rows in tables.items()
        if not (split_named(file.stem) or split_above(file, place) or _column(rows, SPLITS))
    ]
    if 0 < len(without) < len(tables):
        named, others = (
            ", ".join(file.name for file in tables if (file in without) == other) for other in (False, True)
        )
        raise UserError(
            f"{shown(place)} has tables of splits ({named}) and others beside them ({others}): take these away, or "
            "give them a column split."
        )


def _note_columns(file: Path, rows: list[Row], label_column: str, notes: Notes) -> None:
    """Note columns that may be labels as well, and those that predictions have."""
    for column in map(str, rows[0] if rows else ()):
        name = re.sub(r"\.\d+$", "", column.strip().lower())  # pandas numbers columns of one name
        if label_column and name in LABELS and column != label_column:
            notes.add("other_labels", f"{shown(file)}: {column}, beside {label_column}")
        elif name in SCORES:
            notes.add("scored", f"{shown(file)}: column {column}")


def _facts(row: Row, read_as: Collection[str | None]) -> dict[str, str]:
    """What the columns of a row say that tell neither image nor label nor split."""
    own = {name: value for name, value in row.items() if name and name not in read_as}
    return {name: str(value).strip() for name, value in own.items() if isinstance(value, str | int | float)}


def _joined(samples: Sequence[Sample]) -> list[Sample]:
    """One sample an image and split, with the labels of all its rows."""
    first: dict[tuple[str, str], Sample] = {}
    labels: dict[tuple[str, str], set[str]] = {}
    for sample in samples:
        key = str(sample.image), sample.split
        first.setdefault(key, sample)
        labels.setdefault(key, set()).update(sample.objects(()))
    return [labelled(sample, labels[key]) for key, sample in first.items()]


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
    path = _column(rows, PATHS)
    return bool(path) and bool(_column(rows, LABELS) or _flags(rows, {path, _column(rows, SPLITS)}))


def _rows(file: Path, limit: int | None = None) -> list[Row]:
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


def _column(rows: list[Row], names: tuple[str, ...]) -> str:
    """The first column that has one of these names; empty where there is none."""
    present = {str(column).strip().lower(): column for column in rows[0]} if rows else {}
    return next((present[name] for name in names if name in present), "")


def _flags(rows: list[Row], others: set[str]) -> list[str]:
    """The columns of 0 and 1 alone; none where that is a single one, or where one of the `others` is missing."""
    columns = [name for name in rows[0] if name not in others] if rows else []
    flags = [name for name in columns if all(_flag(row.get(name)) is not None for row in rows)]
    return flags if len(flags) > 1 else []


def _refuse_gaps(file: Path, rows: list[Row], others: set[str]) -> None:
    """Raises UserError where a class's own column is neither 0 nor 1 somewhere: blank, or -1 for what is uncertain."""
    for name in rows[0] if rows else []:
        values = [str(row.get(name)).strip().lower() for row in rows] if name not in others else []
        gaps = [number for number, value in enumerate(values) if value in GAPS]
        if 0 < len(gaps) < len(values) and all(value in FLAGS or value in GAPS for value in values):
            raise UserError(
                f"{shown(file)}: the column {name} has {values[gaps[0]] or 'nothing'} in line {gaps[0] + 2}, among 0 "
                "and 1: a class is there or not. Decide, or leave these rows out."
            )


def _flag(value: Any) -> bool | None:
    """Whether a class is there, as its own column says; None where that says something else."""
    return FLAGS.get(str(value).strip().lower())


def _labels(value: Any, several: bool) -> tuple[str, ...]:
    """The labels of a cell, as texts, each once."""
    value = _listed(value)
    parts = value if isinstance(value, list) else [value]
    if isinstance(value, str):
        between = (*SEPARATORS, ",") if several else SEPARATORS
        parts = next((value.split(separator) for separator in between if separator in value), parts)
    named = (str(part).strip() for part in parts if part is not None)
    return tuple(dict.fromkeys(name for name in named if name and name not in MISSING))


def _listed(value: Any) -> Any:
    """The list that a text is in JSON, or as Python prints one, as pandas writes lists into cells; else what it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            listed = literal_eval(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return value
        if isinstance(listed, list) and all(isinstance(part, str | int | float) for part in listed):
            return listed
    return value
