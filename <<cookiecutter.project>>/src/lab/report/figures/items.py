"""Single test items: what a model said of them, and their pictures where DVC's cache has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lab.contract import hooks
from lab.errors import UserError
from lab.records import per_item
from lab.report.figures.drawing import canvas

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lab.contract import Contract
    from lab.store import Store
    from lab.study import Record, Study

SHOWN = 8  # items of a figure
COLUMNS = 4


@dataclass(frozen=True)
class Items:
    """What a run's model said of the test items, and the items themselves.

    `frame` has a row an item: `score` (0 to 1: how right it was), `surety`, and the columns of the predictions. `files`
    are those of the dataset, by their paths in it.
    """

    frame: pd.DataFrame
    files: Mapping[str, Path]
    contract: Contract
    root: Path

    @classmethod
    def of(cls, study: Study, record: Record) -> Items | None:
        """None where DVC's cache lacks the predictions."""
        path = per_item.predictions(study, record)
        if path is None:
            return None
        contract, project = study.contract, study.project
        dataset = contract.dataset.output if contract.dataset else ""
        files = _files(project.store, record.outputs.get(dataset, {}).get("md5"))
        items = cls(per_item.table(study, path, whole=True), files, contract, project.root)
        scored = items.hook("score")(items.frame)
        if not {items.column, "score", "surety"} <= set(getattr(scored, "columns", ())):
            raise UserError(
                f"lab.yaml: {contract.item_pictures.score if contract.item_pictures else ''}: expected the table that "
                f"it was given with the columns score and surety, not {type(scored).__name__}"
            )
        return cls(in_order(scored), files, contract, project.root)

    def hook(self, name: str) -> Callable[..., Any]:
        """The project's function for this part of a picture."""
        return hooks.load(self.root, getattr(self.contract.item_pictures, name))

    @property
    def column(self) -> str:
        """The one that tells items apart."""
        return self.contract.predictions.item if self.contract.predictions else "path"

    def row(self, path: str) -> Any:
        """An item's row."""
        return self.frame.loc[self.frame[self.column] == path].iloc[0]

    def compared(self, other: Items) -> pd.DataFrame:
        """`other` minus this one: the item, `change` of the score, and `margin`, how sure both are together."""
        columns = [self.column, "score", "surety"]
        both = other.frame[columns].merge(self.frame[columns], on=self.column, suffixes=("", "_old"))
        return both.assign(change=both["score"] - both["score_old"], margin=both["surety"] + both["surety_old"])

    def image(self, path: str) -> Any:
        """The pixels; None where DVC's cache lacks the file."""
        from matplotlib.image import imread

        folder = f"{self.contract.dataset.output}/" if self.contract.dataset else ""
        file = self.files.get(path.removeprefix(folder))
        return imread(file, format=Path(path).suffix.lstrip(".")) if file else None

    def describe(self, path: str) -> str:
        """What the model said of an item."""
        return self._words("describe", self.row(path))

    def truth(self, path: str) -> str:
        """What is in an item; empty where a few words don't say it."""
        return self._words("truth", self.row(path))

    def title(self, path: str) -> str:
        """What stands above an item that is shown alone."""
        return self._words("title", self.row(path))

    def draw(self, axes: Axes, path: str, colour: str, side: Literal["left", "right"] = "left") -> None:
        """What the model said, on the item's picture: in `colour`, with its words on a `side`; and the truth."""

        def read(name: str) -> bytes | None:
            return self.files[name].read_bytes() if name in self.files else None

        self.hook("draw")(axes, self.row(path), colour, side, read)

    def legend(self, colours: Mapping[str, str] | None = None) -> str:
        """What is drawn, in a sentence; `colours` are those of several models by their names."""
        return self._words("legend", self.frame, colours)

    def _words(self, name: str, *arguments: Any) -> str:
        words = self.hook(name)(*arguments)
        if not isinstance(words, str | None):
            called = getattr(self.contract.item_pictures, name)
            raise UserError(f"lab.yaml: item_pictures.{name}: {called} gave {words!r:.60}: expected a text")
        return words or ""


def in_order(scored: pd.DataFrame) -> pd.DataFrame:
    """The table, in which items can be put in order. Raises UserError."""
    for name in ("score", "surety"):
        values: Any = scored[name]
        if values.dtype.kind not in per_item.NUMBERS or values.isna().any():
            raise UserError(f"lab.yaml: item_pictures.score: its column {name} should be a number for each item")
    return scored


def missing(study: Study, whose: str = "the model") -> str:
    """Why there are no pictures of single items."""
    contract = study.contract
    if contract.predictions is None or contract.item_pictures is None:
        return "lab.yaml has no predictions, or no functions that draw them (item_pictures)"
    return f"what {whose} said of each test {contract.item} is not in DVC's cache here (dvc pull brings it)"


def without_images(study: Study) -> str:
    """Why the items themselves are not shown."""
    if study.contract.dataset is None:
        return f"lab.yaml names no dataset, in which the {study.contract.item}s would lie"
    output = study.contract.dataset.output
    return f"the prepared {study.contract.item}s are not in DVC's cache here (dvc pull {output} brings them)"


@lru_cache(maxsize=2)
def _files(store: Store, md5: str | None) -> dict[str, Path]:
    """Those of a dataset, which a study's records mostly share."""
    return store.files(md5)


def items_of(study: Study, record: Record) -> Items | None:
    """As `Items.of`; None also where the contract has no functions for it."""
    return Items.of(study, record) if study.contract.item_pictures else None


def gallery(paths: Sequence[str], draw: Callable[[Axes, str], None], lines: int) -> Figure:
    """Pictures in rows, each with a title of so many lines."""
    rows = -(-len(paths) // COLUMNS)
    figure, grid = canvas(rows * (1.85 + 0.16 * lines), rows, COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, path in zip(grid.flat, paths, strict=False):
        draw(axes, path)
    return figure
