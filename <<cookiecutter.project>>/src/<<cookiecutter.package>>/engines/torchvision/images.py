"""The prepared images as torchvision's detectors learn them: squares with boxes, altered as conf/augmentation says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes, Image

from ...shared.prepared import Item, read_image
from ...training import augmentation

LEAST_SIDE, LEAST_SHARE = 1.0, 0.1  # of a box at the edge, in pixels and of what it was: what is less is no object
BLEND = 32.0  # of mixup's Beta distribution: near one half, since both images' boxes stay

Sample = tuple[Tensor, Tensor, Tensor]  # image (3, S, S) uint8; boxes (n, 4), x1, y1, x2, y2 in pixels; labels (n,)


class BoxedImages(Dataset):
    """(image (3, S, S) float32 in [0, 1], {`boxes` (n, 4) in pixels, `labels` (n,) from 1}) of each item."""

    def __init__(
        self,
        items: list[Item],
        size: int,
        boxes: Callable[[Item], np.ndarray],
        fit: Callable[[np.ndarray, int], np.ndarray],
        place: Callable[[np.ndarray, tuple[int, int], int], np.ndarray],
        policy: DictConfig | None = None,
    ):
        """`boxes`, `fit` and `place` are the task's: its labels, its square, and its boxes in there.

        Args:
            items: of one split.
            size: S, in pixels.
            boxes: an item's rows (n, 5) of class, cx, cy, w, h as fractions of the image.
            fit: an image (H, W, 3) uint8 as a square (S, S, 3) uint8.
            place: corners (n, 4) as fractions of an image of (height, width), in pixels of the square.
            policy: the augmentation; None leaves images as they are.
        """
        self.items, self.size, self.boxes, self.fit, self.place, self.policy = items, size, boxes, fit, place, policy
        self.moves = v2.Compose(augmentation.moves(policy)) if policy and augmentation.moves(policy) else None
        colours = [*augmentation.colours(policy), *augmentation.pixels(policy, boxes=True)] if policy else []
        self.colours = v2.Compose(colours) if colours else None

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        image, boxes, labels = self.altered(number) if self.policy else self.square(number)
        return image.float() / 255, {"boxes": boxes, "labels": labels}

    def square(self, number: int) -> Sample:
        """An item in its square."""
        pixels, rows = read_image(self.items[number], needed=self.size), self.boxes(self.items[number])
        corners = np.concatenate([rows[:, 1:3] - rows[:, 3:] / 2, rows[:, 1:3] + rows[:, 3:] / 2], 1)
        placed = self.place(corners, pixels.shape[:2], self.size)
        image = torch.from_numpy(self.fit(pixels, self.size).transpose(2, 0, 1).copy())
        labels = torch.from_numpy(rows[:, 0].astype(np.int64)) + 1
        return inside(image, torch.from_numpy(placed.astype(np.float32)), labels, self.size)

    def altered(self, number: int) -> Sample:
        """An item altered, with a second one over it where mixup says so."""
        assert self.policy is not None
        image, boxes, labels = self.moved(number)
        if chance(self.policy.mixup):
            other = self.moved(self.any())
            share = float(torch.distributions.Beta(BLEND, BLEND).sample())
            image = (image * share + other[0] * (1 - share)).to(torch.uint8)
            boxes, labels = torch.cat([boxes, other[1]]), torch.cat([labels, other[2]])
        return (self.colours(image) if self.colours else image), boxes, labels

    def moved(self, number: int) -> Sample:
        """An item, or a window of four, shifted, turned and scaled."""
        assert self.policy is not None
        image, boxes, labels = self.mosaic(number) if chance(self.policy.mosaic) else self.square(number)
        if self.moves is None:
            return image, boxes, labels
        size: Any = (self.size, self.size)
        whole = BoundingBoxes(boxes, format="XYXY", canvas_size=size, clamping_mode=None)  # type: ignore[call-overload]
        image, placed = self.moves(Image(image), whole)
        return inside(image.as_subclass(Tensor), placed.as_subclass(Tensor), labels, self.size)

    def mosaic(self, number: int) -> Sample:
        """Four images side by side, two by two, and a random window of them; Bochkovskiy et al., arXiv:2004.10934."""
        four = [self.square(n) for n in (number, self.any(), self.any(), self.any())]
        rows = [torch.cat([four[row][0], four[row + 1][0]], 2) for row in (0, 2)]
        left, top = (int(torch.randint(self.size + 1, ())) for _ in range(2))
        window = torch.cat(rows, 1)[:, top : top + self.size, left : left + self.size]
        corners = [(0, 0), (self.size, 0), (0, self.size), (self.size, self.size)]
        shifts = [torch.tensor([x - left, y - top] * 2) for x, y in corners]
        boxes = torch.cat([boxes + shift for (_, boxes, _), shift in zip(four, shifts, strict=True)])
        return inside(window, boxes, torch.cat([labels for _, _, labels in four]), self.size)

    def any(self) -> int:
        """The number of an item drawn at random."""
        return int(torch.randint(len(self), ()))


def inside(image: Tensor, boxes: Tensor, labels: Tensor, size: int) -> Sample:
    """The boxes cut at the image's edge, without those of which too little is left."""
    cut = boxes.clamp(0, size)
    sides = cut[:, 2:] - cut[:, :2]
    kept = (sides >= LEAST_SIDE).all(1) & (areas(cut) >= LEAST_SHARE * areas(boxes))
    return image, cut[kept], labels[kept]


def areas(boxes: Tensor) -> Tensor:
    """(n,) of boxes (n, 4)."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)


def chance(probability: float) -> bool:
    """Whether something of this probability happens; nothing is drawn where it can't."""
    return probability > 0 and float(torch.rand(())) < probability


def collate(samples: list[tuple[Tensor, dict[str, Tensor]]]) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """A batch: images (N, 3, S, S), and a dict an image, as their numbers of boxes differ."""
    return torch.stack([image for image, _ in samples]), [target for _, target in samples]
