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


def _source(kind: str):  # type: ignore[no-untyped-def]  # a module of this package
    return import_module(f"..{kind}", __name__)


def _unknown(place: Path) -> str:
    kinds = ", ".join((*LABELLED, BY_FOLDERS))
    held = sorted(path.name for path in place.iterdir() if not path.name.startswith(".")) if place.is_dir() else []
    listed = ", ".join(held[:5]) + (", …" if len(held) > 5 else "") or "nothing"
    return (
        f"What {shown(place)} holds ({listed}) is none of the kinds that can be read: {kinds}. Is the data one folder "
        "deeper, or in an archive other than zip? Converters: CVAT, Label Studio and Roboflow export COCO; "
        "`python -m pip install datumaro && datum convert -i FOLDER -f coco` converts most other kinds."
    )
