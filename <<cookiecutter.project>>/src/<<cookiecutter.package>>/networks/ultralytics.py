"""Ultralytics' networks of objects in images: what tasks share of building, feeding, reading and converting them."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from ..shared.errors import UserError
from ..shared.model_file import ModelFile
from ..shared.quiet_ultralytics import quiet_ultralytics
from .squares import GREY, in_image, preprocess

if TYPE_CHECKING:
    import numpy as np

__all__ = ["preprocess"]  # the same for every engine

CONFIDENCE, IOU, MAX_DETECTIONS = 0.001, 0.7, 300  # what Ultralytics' own validation uses


def build_as(
    kind: str, architecture: str | dict[str, Any], classes: list[str], task: str, heads: tuple[str, ...], example: str
) -> Any:
    """An untrained network for `classes`, of a `kind` in ultralytics.nn.tasks, for one of our tasks.

    Args:
        kind: such as `DetectionModel`.
        architecture: as in ModelFile.
        classes: their names.
        task: ours, for messages.
        heads: the layers that it may end in.
        example: names of such networks, for messages.

    Raises:
        UserError: an unknown name, or a network for something else.
    """
    quiet_ultralytics()
    from ultralytics.nn import tasks

    cfg: Any = deepcopy(architecture)  # they take a mapping as well, and writes into it
    if isinstance(cfg, str) and "://" in cfg:  # it would be fetched
        raise UserError(f"model.architecture={cfg} is an address: expected a name such as yolo11n.yaml, or a mapping")
    if isinstance(cfg, str) and not cfg.endswith((".yaml", ".yml")):
        cfg = f"{cfg}.yaml"
    try:
        network = getattr(tasks, kind)(cfg, ch=3, nc=len(classes), verbose=False)
    except FileNotFoundError as error:
        raise UserError(
            f"model.architecture={architecture} is unknown to Ultralytics: expected a name such as yolo11n"
        ) from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"model.architecture can't be built: {' '.join(str(error).split())}") from error
    head = type(network.model[-1]).__name__  # type: ignore[index]
    if head not in heads:
        raise UserError(
            f"model.architecture={architecture if isinstance(architecture, str) else 'a mapping'} ends in {head}: the "
            f"task {task} trains networks that end in {' or '.join(heads)}, such as {example}"
        )
    network.names = dict(enumerate(classes))
    return network


def detections(model: ModelFile, output: np.ndarray, shape: tuple[int, int], classes: int) -> np.ndarray:
    """An image's raw output (4 + classes + more, anchors) as rows (k, 6 + more), best first.

    The output has centre x, centre y, width, height in pixels of the S x S image, then a score in [0, 1] a class; a
    detection is x1, y1, x2, y2 as fractions of the original image of `shape` (height, width), confidence, class.
    Non-maximum suppression by class, as in Ultralytics' validation.
    """
    import numpy as np
    import torch
    from ultralytics.utils.nms import non_max_suppression

    kept: Any = non_max_suppression(
        torch.from_numpy(np.array(output[None])),
        CONFIDENCE,
        IOU,
        multi_label=True,
        max_det=MAX_DETECTIONS,
        max_time_img=1e6,  # a busy machine must not change the result
        nc=classes,
    )
    rows = np.asarray(kept[0], dtype=np.float64)
    rows[:, :4] = in_image(rows[:, :4], shape, model.image_size)
    return rows


def fuse(network: Any) -> Any:
    """The network with its batch norms fused into the convolutions, and without the raw feature maps as an output."""
    network = network.fuse(verbose=False)
    network.model[-1].export = True
    return network


def described(model: ModelFile, task: str, network: Any) -> dict[str, Any]:
    """What Ultralytics' own `val` and `predict` read, of a `network` for one of its tasks, such as `detect`."""
    return {
        "task": task,
        "stride": int(network.stride.max()),
        "batch": 1,
        "imgsz": [model.image_size, model.image_size],
        "channels": 3,
        "names": dict(enumerate(model.classes)),
        "args": {},
    }


def for_images(model: ModelFile, network: Any) -> Any:
    """What `preprocess` does is a part of the network then. Its boxes stay in pixels of the S x S image."""
    from ..inference import embedding  # no part of training

    return embedding.letterboxed(network, model.image_size, GREY)


def ignored_scope(network: Any) -> Any:
    """The decoding of boxes and every sigmoid of an `openvino.Model`, not the head's convolutions.

    Box coordinates and scores share one output, and 8 bits for both ranges lose the boxes: mAP50-95 drops by a tenth
    (ultralytics#25306).
    """
    import nncf

    operations = network.get_ordered_ops()
    sigmoids = [operation.get_friendly_name() for operation in operations if operation.get_type_name() == "Sigmoid"]
    head = sigmoids[-1].split("/")[0]  # such as __module.model.23; the scores' sigmoid is the last one
    names = (operation.get_friendly_name() for operation in operations)
    decoding = [name for name in names if name.startswith((f"{head}/", f"{head}.dfl"))]
    return nncf.IgnoredScope(names=sorted({*sigmoids, *decoding}))
