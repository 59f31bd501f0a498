"""Source `auto`: whichever kind the data is, told by what lies in the folder."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from omegaconf import DictConfig

from ....shared.errors import UserError
from ...shared.archives import shown
from ...shared.dataset import Dataset
from ...shared.sites import data_root, site_paths

LABELLED = ("yolo", "coco", "voc", "cvat", "table")  # told by files of labels
BY_FOLDERS = "image_folder"  # what is left: folders alone
_LABEL_SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".xml", ".yaml", ".yml")
_EXPECTED = (
    "a table has columns such as path and label, COCO's JSON has images, annotations and categories, a data.yaml has "
    "train and names."
)


def read(source: DictConfig) -> Dataset:
    """The data by the one kind that it is of; says which.

    Raises:
        UserError: no kind fits, or several; whatever the kind's own reading refuses.
    """
    kind, sign = recognized(source)
    print(f"data.source.kind=auto: {kind}, by {sign}", flush=True)
    return _source(kind).read(source)


def recognized(source: DictConfig) -> tuple[str, str]:
    """The kind of the data, and what tells it. Raises UserError."""
    root = data_root(source)
    place = next(iter(site_paths(root, source).values()))
    signs = {kind: sign for kind in LABELLED if (sign := _source(kind).recognize(place))}
    if not signs and (sign := _source(BY_FOLDERS).recognize(place)):
        if unread := _labels_unread(place):
            raise UserError(
                f"{shown(place)} has folders of images, and {', '.join(unread[:3])}, which can't be read as labels: "
                f"{_EXPECTED} If the folders are the classes: -S data.source.kind={BY_FOLDERS}"
            )
        signs = {BY_FOLDERS: sign}
    if len(signs) == 1:
        return next(iter(signs.items()))
    if signs:
        found = ", ".join(f"{kind} by {sign}" for kind, sign in signs.items())
        raise UserError(
            f"{shown(place)} may be read in several ways ({found}): say which, such as "
            f"-S data.source.kind={next(iter(signs))}"
        )
    raise UserError(_unknown(place))


def _labels_unread(place: Path) -> list[str]:
    """Files that look like labels of a kind that was not recognized, or like those of YOLO without a data.yaml."""
    files = [*place.iterdir(), *place.glob("annotations/*")] if place.is_dir() else []
    found = sorted(file.name for file in files if file.is_file() and file.suffix.lower() in _LABEL_SUFFIXES)
    return found or (["labels/*.txt without a data.yaml"] if any(place.glob("labels/**/*.txt")) else [])


def _source(kind: str):  # type: ignore[no-untyped-def]  # a module of this package
    return import_module(f"..{kind}", __name__)


def _unknown(place: Path) -> str:
    kinds = ", ".join((*LABELLED, BY_FOLDERS))
    held = sorted(path.name for path in place.iterdir() if not path.name.startswith(".")) if place.is_dir() else []
    listed = ", ".join(held[:5]) + (", …" if len(held) > 5 else "") or "nothing"
    labels = (
        f" As labels {', '.join(unread[:3])} can't be read: {_EXPECTED}" if (unread := _labels_unread(place)) else ""
    )
    return (
        f"What {shown(place)} holds ({listed}) is none of the kinds that can be read: {kinds}.{labels} Is the data one "
        "folder deeper, or in an archive other than zip? Converters: CVAT, Label Studio and Roboflow export COCO; "
        "`python -m pip install datumaro && datum convert -i FOLDER -f coco` converts most other kinds."
    )
