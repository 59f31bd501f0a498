"""What tasks, engines and data sources offer: stages know them by these Protocols alone, and find them by their place.

    tasks/<task>/__init__.py              a Task: its labels, its metrics, its ensembles
    tasks/<task>/networks/<engine>.py     a Network: what predicting and quantizing need of an engine
    tasks/<task>/training/<engine>.py     a Training: how the engine learns the task
    tasks/<task>/drawing.py               a Drawing: what a report shows of single test images
    tasks/<task>/answers.py               Answers: what predict.py writes of an image
    tasks/<task>/suspects.py              Suspects: which labels relabel.py takes for wrong
    engines/<engine>/                     what an engine's trainings share, whatever the task
    networks/<engine>.py                  what its networks share
    data/sources/<kind>/                  a Source

Each of them is a module with the names below. A Network's may have one more, `unusable(architecture)`: why there is no
such network, told before anything runs and without importing what is heavy; empty where there is one. A Task's may have
`FIXED`, the keys of conf/data in which it leaves no choice, with their values. An engine comes
in two, so that evaluating a model doesn't depend on the code that trains one. Modules import what is heavy (torch and
all above it) in the functions that need it, and what `mistakes` of shared/config.py asks before anything runs, numpy
as well: a plan shows at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from omegaconf import DictConfig

    from ..data.shared.dataset import Dataset, Sample
    from ..inference.evaluation import Evaluation
    from .model_file import ModelFile
    from .prepared import Item, Prepared

# Of one image: what a task's networks agree on, such as class probabilities (classes,).
Prediction: TypeAlias = "np.ndarray"


@runtime_checkable
class Task(Protocol):
    """What is learned: its labels on disk, and how good a prediction is."""

    OBJECTS: str  # what prepare counts, such as `boxes a class`
    MAIN_METRICS: tuple[str, ...]  # keys of `score`'s metrics that a quantized model is judged by; the first decides
    MINIMIZED: tuple[str, ...]  # those of `score`'s and of training's metrics of which less is better
    DEFAULT_ENGINE: str  # of model files that name none

    def write_labels(self, image: Path, sample: Sample) -> None:
        """Write the labels of a prepared `image` beside it, unless its folder says it all."""
        ...

    def score(self, items: list[Item], predictions: list[Prediction], classes: list[str]) -> Evaluation:
        """Compare one prediction an item with the labels. Raises UserError where there is nothing to measure."""
        ...

    def agreement(self, one: Prediction, other: Prediction) -> float:
        """How far two predictions of an image say the same, from 0 to 1."""
        ...

    def combine(self, members: Sequence[list[Prediction]], voting: str) -> list[Prediction]:
        """The predictions of an ensemble's members, (members, images), as those of one. Raises UserError."""
        ...


@runtime_checkable
class Network(Protocol):
    """How an engine's networks for a task are built, fed and read. `Any` is a torch module."""

    def build(self, architecture: str | dict[str, Any], classes: list[str]) -> Any:
        """An untrained network. Raises UserError for an unknown architecture."""
        ...

    def preprocess(self, model: ModelFile, image: np.ndarray) -> np.ndarray:
        """An RGB image (H, W, 3) uint8 as the network wants it: (3, S, S) float32."""
        ...

    def postprocess(self, model: ModelFile, output: np.ndarray, shapes: list[tuple[int, int]]) -> list[Prediction]:
        """A batch's raw output as predictions. `shapes` are the original images' (height, width) in pixels."""
        ...

    def fuse(self, network: Any) -> Any:
        """The same network with fewer layers, for predicting and converting: one input, a tensor or several."""
        ...

    def joined(self, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """A batch's outputs as the one that `postprocess` takes."""
        ...

    def for_images(self, model: ModelFile, network: Any) -> Any:
        """A converted `openvino.Model` that takes images, (1, H, W, 3) uint8 RGB, as they are."""
        ...

    def ignored_scope(self, network: Any) -> Any:
        """What of a converted `openvino.Model` quantization leaves in FP32: an `nncf.IgnoredScope`, or None."""
        ...

    def metadata(self, model: ModelFile) -> dict[str, Any]:
        """What other programs expect at the top of a converted network's metadata.yaml."""
        ...


@dataclass
class Trained:
    """What a training hands back: the best and the last model, the epoch log's rows, and the metric that decided."""

    best: ModelFile
    last: ModelFile
    history: list[dict[str, Any]]
    metric: str
    devices: list[str]


@runtime_checkable
class Training(Protocol):
    """How an engine learns a task."""

    SUFFIX: str  # of checkpoints, such as `.pt`

    def train(self, cfg: DictConfig, prepared: Prepared, work: Path) -> Trained:
        """Train cfg.model on the site cfg.data.site; `work` keeps the state of a killed run. Raises UserError."""
        ...


@runtime_checkable
class Source(Protocol):
    """Where images and labels come from."""

    def read(self, source: DictConfig) -> Dataset:
        """The images that cfg.data.source names, with their labels. Raises UserError."""
        ...


@runtime_checkable
class Drawing(Protocol):
    """What a report shows of single test images; rows and frames are those of predictions.parquet."""

    COLUMNS: frozenset[str]  # what tells the task's frames from those of others

    def score(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with `score` (0 to 1: how right) and `surety` (how much it counts among equals)."""
        ...

    def describe(self, row: Any) -> str:
        """What the model said of an image."""
        ...

    def truth(self, row: Any) -> str:
        """What is in an image, where a few words say it."""
        ...

    def title(self, row: Any) -> str:
        """What stands above an image that is shown alone."""
        ...

    def draw(self, axes: Any, row: Any, colour: str, side: str, read: Callable[[str], bytes | None]) -> None:
        """Draw prediction and truth on the image in `axes`. `read` gives a file of data/prepared by its path there."""
        ...

    def legend(self, colours: Mapping[str, str]) -> str:
        """What the drawing's colours mean; `colours` by model where several are drawn."""
        ...


@runtime_checkable
class Answers(Protocol):
    """What predict.py writes of an image."""

    def rows(
        self, prediction: Prediction, classes: list[str], shape: tuple[int, int], confidence: float
    ) -> list[dict[str, Any]]:
        """Its answers: `class` and `confidence`; `x1`, `y1`, `x2`, `y2` in pixels of an object; and what else there is.

        `shape` is the image's (height, width); objects below `confidence` are left out.
        """
        ...


@runtime_checkable
class Suspects(Protocol):
    """Which labels relabel.py takes for wrong."""

    def suspects(self, images: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
        """A row a suspected label: `path`, `given`, `suggested`, `suspicion` (0 to 1), and what else there is to say.

        `images` are rows of predictions.parquet with `sha256` and `experiment`; one that several runs were tested on is
        there as often.
        """
        ...
