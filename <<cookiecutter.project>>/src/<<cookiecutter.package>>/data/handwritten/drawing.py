"""scikit-learn's 1,797 real handwritten digits, as two cameras would see them: what `digits` and `digits_scenes` share.

The digits are those of E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998; CC BY 4.0).
Sites differ as cameras do: the first has bright ink on a dark, smooth ground and little noise; the second dark ink on
a light, textured ground, less contrast and more noise. A digit is in the same split at every site, and each site's
split is drawn from its own seed, so that a change to one leaves the bytes of the others as they were.
"""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from PIL import Image

from ...shared.errors import UserError
from ..shared.splits import drawn

DIGITS_PER_SCENE = (2, 4)
DIGIT_SIZE = (0.30, 0.46)  # of the scene's side
FINE = 4  # how many times finer than its pixels a digit's outline is traced
INK = 0.25  # a pixel with more ink than this belongs to the digit's box


@dataclass(frozen=True)
class Camera:
    """How a site's images look; brightness from 0 to 1, ranges are drawn from for each image."""

    ink: tuple[float, float]
    ground: tuple[float, float]
    relief: float  # how much brighter the ground is in places
    cells: int  # how many such places there are along a side: two make a slope, more a texture
    noise: float  # standard deviation


CAMERAS = (
    Camera(ink=(0.75, 1.00), ground=(0.10, 0.25), relief=0.15, cells=2, noise=0.03),
    Camera(ink=(0.05, 0.25), ground=(0.50, 0.60), relief=0.25, cells=6, noise=0.07),
)


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 8, 8) float32, ink from 0 to 1, and their numbers (1797,).

    Reads scikit-learn's file without importing scikit-learn, which alone would take longer than the whole stage.
    """
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise UserError("The digits come with scikit-learn, which is not installed: pip install scikit-learn")
    with gzip.open(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    return (table[:, :-1].reshape(-1, 8, 8) / np.float32(16)).astype(np.float32), table[:, -1].astype(int)


def draw_digit(rng: np.random.Generator, camera: Camera, digit: np.ndarray, size: int) -> np.ndarray:
    """One digit that fills the image: (size, size, 3) uint8."""
    mask = _enlarge(digit, size)
    return _photograph(rng, camera, _ground(rng, camera, size) * (1 - mask) + rng.uniform(*camera.ink) * mask)


def draw_scene(
    rng: np.random.Generator, camera: Camera, digits: np.ndarray, labels: Sequence[int], size: int
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Digits side by side on one ground: (size, size, 3) uint8, boxes (n, 5), and how much ink each has in its box.

    One that finds no room is left out.
    """
    scene, ink = _ground(rng, camera, size), rng.uniform(*camera.ink)
    placed: list[tuple[int, int, int, int, int]] = []
    inks: list[np.ndarray] = []
    for digit, label in zip(digits, labels, strict=True):
        mask = _crop(_enlarge(digit, int(size * rng.uniform(*DIGIT_SIZE))))
        height, width = mask.shape
        for _ in range(20):
            top, left = rng.integers(0, size - height, endpoint=True), rng.integers(0, size - width, endpoint=True)
            if all(left + width <= x or x + w <= left or top + height <= y or y + h <= top for _, x, y, w, h in placed):
                area = scene[top : top + height, left : left + width]
                area += (ink - area) * mask
                placed.append((label, int(left), int(top), width, height))
                inks.append(mask)
                break
    boxes = [(label, (x + w / 2) / size, (y + h / 2) / size, w / size, h / size) for label, x, y, w, h in placed]
    return _photograph(rng, camera, scene), np.array(boxes), inks


def outline(ink: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The outline (points, 2) of a digit's largest part, along its pixels' edges, holes filled: x, y as `box` has them.

    Args:
        ink: (height, width), from 0 to 1.
        box: the digit's class, cx, cy, w, h.
    """
    import cv2

    fine = np.pad(np.kron(ink > INK, np.ones((FINE, FINE), np.uint8)), 1)
    contours, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = cv2.approxPolyDP(max(contours, key=cv2.contourArea), FINE / 4, closed=True)[:, 0]
    inside = (points - 0.5) / FINE / [ink.shape[1], ink.shape[0]]
    return (box[1:3] - box[3:5] / 2 + inside.clip(0, 1) * box[3:5]).round(6)


def _enlarge(image: np.ndarray, size: int) -> np.ndarray:
    large = Image.fromarray(image.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(large).clip(0, 1)


def _crop(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero((mask > INK).any(axis=1)), np.flatnonzero((mask > INK).any(axis=0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _ground(rng: np.random.Generator, camera: Camera, size: int) -> np.ndarray:
    return rng.uniform(*camera.ground) + camera.relief * _enlarge(rng.random((camera.cells, camera.cells)), size)


def _photograph(rng: np.random.Generator, camera: Camera, scene: np.ndarray) -> np.ndarray:
    """Adds the sensor's noise and a slight tint."""
    noisy = scene + rng.normal(0, camera.noise, scene.shape)
    tint = 1 + 0.08 * rng.standard_normal(3)
    return (255 * np.clip(noisy[..., None] * tint, 0, 1)).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """An image (H, W, 3) uint8 as the bytes of a PNG file."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def splits_of(images: np.ndarray, numbers: np.ndarray, source: DictConfig) -> list[str]:
    """The split of each digit, the same at every site."""
    digests = [sha256(image.tobytes()).hexdigest() for image in images]
    return drawn(digests, [[str(number)] for number in numbers], source)


def sites_of(source: DictConfig) -> list[str]:
    """The names of the sites, one a camera. Raises UserError where there are more."""
    if not 1 <= len(source.sites) <= len(CAMERAS):
        raise UserError(f"data.source.sites: the digits can be seen by one or two cameras, not {len(source.sites)}.")
    return [str(site) for site in source.sites]
