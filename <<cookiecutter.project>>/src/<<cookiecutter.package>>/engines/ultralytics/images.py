"""The prepared images as Ultralytics' datasets have them, so that no label cache is written beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2
from ultralytics.data import base
from ultralytics.data.augment import Albumentations
from ultralytics.data.dataset import YOLODataset
from ultralytics.utils.patches import imread

from ...shared.prepared import ORIENTATION, Item, read_image
from ...training.augmentation import pixels


def read(filename: str, flags: int) -> np.ndarray:
    """A prepared image (height, width, 3) uint8, BGR: by OpenCV, twice as fast, where it reads the file at all."""
    pixels = imread(filename, flags)
    return pixels if pixels is not None else cv2.cvtColor(read_image(Path(filename)), cv2.COLOR_RGB2BGR)


base.imread = read  # so that training sees all that prepare has let pass, such as a PNG file without its end


class PreparedImages(YOLODataset):
    """The prepared images of a split; a task says by `objects` what is in each."""

    TASK = "detect"  # Ultralytics' word for what is in the labels

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, task=self.TASK, **kwargs)

    def objects(self, item: Item) -> tuple[np.ndarray, list[np.ndarray]]:
        """An item's rows of class, cx, cy, w, h (n, 5), and its outlines (points, 2), as fractions of the image."""
        raise NotImplementedError

    def get_img_files(self, img_path: list[Item]) -> list[str]:  # type: ignore[override]
        return [str(item.path) for item in img_path]

    def get_labels(self) -> list[dict[str, Any]]:
        return [self._label(item) for item in self.img_path]  # type: ignore[arg-type]

    def _label(self, item: Item) -> dict[str, Any]:
        rows, outlines = self.objects(item)
        with Image.open(item.path) as image:  # reads the header only
            shape = (image.height, image.width) if image.getexif().get(ORIENTATION, 1) < 5 else image.size
        return {
            "im_file": str(item.path),
            "shape": shape,
            "cls": rows[:, :1],
            "bboxes": rows[:, 1:],
            "segments": outlines,
            "keypoints": None,
            "normalized": True,
            "bbox_format": "xywh",
        }

    def build_transforms(self, hyp: Any = None) -> Any:
        transforms = super().build_transforms(hyp)
        if self.augment:
            # Ultralytics applies albumentations wherever it happens to be installed: results would depend on that.
            steps = [step for step in transforms.transforms if not isinstance(step, Albumentations)]
            if extra := pixels(self.data["augmentation"], boxes=True):
                steps.insert(len(steps) - 1, PixelTransform(v2.Compose(extra)))  # before the last, which makes tensors
            transforms.transforms = steps
        return transforms


class PixelTransform:
    """Transforms of the pixels alone, for the (H, W, 3) BGR uint8 images of Ultralytics' datasets."""

    def __init__(self, transform: v2.Transform):
        self.transform = transform

    def __call__(self, labels: dict[str, Any]) -> dict[str, Any]:
        image = torch.from_numpy(np.ascontiguousarray(labels["img"][..., ::-1].transpose(2, 0, 1)))
        labels["img"] = np.ascontiguousarray(self.transform(image).numpy().transpose(1, 2, 0)[..., ::-1])
        return labels
