"""Images as detectors of every engine see them, fitted into a square with grey around; and boxes back out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..shared.model_file import ModelFile

if TYPE_CHECKING:
    import numpy as np

GREY = 114  # of the padding


def letterbox(height: int, width: int, size: int) -> tuple[float, int, int]:
    """How an image fits into a `size` x `size` square: its scale, and the padding left and on top, in pixels."""
    scale = size / max(height, width)
    return scale, round((size - round(width * scale)) / 2 - 0.1), round((size - round(height * scale)) / 2 - 0.1)


def fitted(image: np.ndarray, size: int) -> np.ndarray:
    """An RGB image (H, W, 3) uint8, scaled to fit and padded with grey: (`size`, `size`, 3) uint8."""
    import cv2
    import numpy as np

    height, width = image.shape[:2]
    scale, left, top = letterbox(height, width, size)
    square = np.full((size, size, 3), GREY, np.uint8)
    resized = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_LINEAR)
    square[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
    return square


def preprocess(model: ModelFile, image: np.ndarray) -> np.ndarray:
    """An RGB image (H, W, 3) uint8 in its square: (3, S, S) float32 in [0, 1]."""
    import numpy as np

    return np.ascontiguousarray(fitted(image, model.image_size).transpose(2, 0, 1), dtype=np.float32) / 255


def in_image(boxes: np.ndarray, shape: tuple[int, int], size: int) -> np.ndarray:
    """Boxes (k, 4), x1, y1, x2, y2 in pixels of the square, as fractions of the image of `shape` (height, width)."""
    height, width = shape
    scale, left, top = letterbox(height, width, size)
    return (boxes - [left, top, left, top]) / ([scale * width, scale * height] * 2)


def in_square(boxes: np.ndarray, shape: tuple[int, int], size: int) -> np.ndarray:
    """The other way round: boxes (k, 4) as fractions of the image, in pixels of the square."""
    height, width = shape
    scale, left, top = letterbox(height, width, size)
    return boxes * ([scale * width, scale * height] * 2) + [left, top, left, top]
