"""The picture of samples: a few images of every site and split, with their boxes or classes."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...shared.prepared import SPLITS, to_rgb
from .dataset import Dataset, OutlinedSample, Sample

COLUMNS, ROWS = 3, 2  # images of each site and split
TILE, GAP, MARGIN, HEADER, CAPTION = 192, 6, 28, 34, 22  # pixels
PAPER, INK, FAINT = "#ffffff", "#1b1f24", "#6b7280"
# Okabe and Ito's colours, which colour-blind people can tell apart, less the two that vanish on light grounds
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def draw_samples(dataset: Dataset, file: Path) -> None:
    """Writes a PNG file with a row for each site and a column for each split."""
    caption = CAPTION if any(sample.caption for sample in dataset.samples) else 0
    width, height = COLUMNS * (TILE + GAP) - GAP, HEADER + ROWS * (TILE + caption + GAP) - GAP
    picture = Image.new(
        "RGB",
        (MARGIN + len(SPLITS) * (width + MARGIN), MARGIN + len(dataset.sites) * (height + MARGIN)),
        PAPER,
    )
    for row, site in enumerate(dataset.sites):
        for column, split in enumerate(SPLITS):
            samples = [sample for sample in dataset.samples if (sample.site, sample.split) == (site, split)]
            left, top = MARGIN + column * (width + MARGIN), MARGIN + row * (height + MARGIN)
            _draw_header(picture, left, top, f"{site} / {split}", f"{len(samples)} image{'s' * (len(samples) != 1)}")
            for index, sample in enumerate(_spread(samples, COLUMNS * ROWS)):
                x = left + index % COLUMNS * (TILE + GAP)
                y = top + HEADER + index // COLUMNS * (TILE + caption + GAP)
                picture.paste(tile(sample, dataset.classes), (x, y))
                if caption:
                    _text(ImageDraw.Draw(picture), (x + TILE / 2, y + TILE + 3), sample.caption, 15, INK, anchor="mt")
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file)


def _spread(samples: Sequence[Sample], number: int) -> list[Sample]:
    """Some samples, evenly spaced over all of them in the order of their classes and names."""
    ordered = sorted(samples, key=lambda sample: (sample.caption, sample.name))
    return [ordered[index] for index in np.unique(np.linspace(0, len(ordered) - 1, number).astype(int)) if ordered]


def tile(sample: Sample, classes: Sequence[str]) -> Image.Image:
    """The image, as large as the tile allows, with its boxes, outlines and their classes."""
    with Image.open(BytesIO(sample.content)) as opened:
        image = Image.fromarray(to_rgb(opened, sample.brightest or 65535))
    scale = TILE / max(image.size)
    way = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), way)
    pen = ImageDraw.Draw(image)
    for index, points in enumerate(sample.outlines if isinstance(sample, OutlinedSample) else ()):
        colour = COLOURS[int(sample.boxes[index, 0]) % len(COLOURS)]
        pen.polygon([(x * image.width, y * image.height) for x, y in points], outline=colour, width=2)
    for label, cx, cy, w, h in sample.boxes:
        left, top = (cx - w / 2) * image.width, (cy - h / 2) * image.height
        corners = (left - 1, top - 1, left + w * image.width, top + h * image.height)
        _draw_box(pen, corners, classes[int(label)], COLOURS[int(label) % len(COLOURS)])
    tile = Image.new("RGB", (TILE, TILE), "#e5e7eb")
    tile.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
    return tile


def _draw_box(pen: ImageDraw.ImageDraw, corners: tuple[float, float, float, float], name: str, colour: str) -> None:
    """A frame with the class's name on its upper edge, or under that edge where there is no room above."""
    left, top = corners[:2]
    above = top - 16 if top >= 16 else top
    pen.rectangle(corners, outline=colour, width=2)
    pen.rectangle((left, above, left + 7 + _font(13).getlength(name), above + 16), fill=colour)
    _text(pen, (left + 4, above + 3), name, 13, PAPER)


def _draw_header(picture: Image.Image, left: int, top: int, title: str, remark: str) -> None:
    pen = ImageDraw.Draw(picture)
    _text(pen, (left, top + 2), title, 22, INK)
    _text(pen, (left + _font(22).getlength(title) + 12, top + 8), remark, 15, FAINT)


def _text(
    pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, colour: str, anchor: str = "lt"
) -> None:
    pen.text(place, text, fill=colour, font=_font(size), anchor=anchor)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
