"""What predictions are written as: a table with a row an answer, and pictures that show them."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from ..shared.errors import UserError, check_writable
from .inputs import Read

TABLES = ("parquet", "csv", "coco")
FILES = {"parquet": "predictions.parquet", "csv": "predictions.csv", "coco": "predictions.json"}
PICTURES = "pictures"
NONE = {"class": None, "confidence": None}  # the row of an image without an answer
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito's


def check_free(folder: Path) -> None:
    """Raise UserError where `folder` can't be made, or has something that this didn't write: it would be lost."""
    if folder.is_dir():
        others = sorted(path.name for path in folder.iterdir() if path.name not in (PICTURES, *FILES.values()))
        if others:
            raise UserError(f"{folder} has {others[0]} in it, which is no result of predict.py: name another by --out")
    elif folder.exists():
        raise UserError(f"{folder} is a file: name a folder by --out")
    check_writable(next(parent for parent in folder.absolute().parents if parent.exists()), "--out")


class Writer:
    """Collects answers, and puts table and pictures into place together when it is left without an error."""

    def __init__(self, folder: Path, kind: str, pictures: bool, classes: list[str]):
        self.folder, self.kind, self.with_pictures, self.classes = folder, kind, pictures, classes
        self.table, self.pictures = folder / FILES[kind], folder / PICTURES
        self.images: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []

    def __enter__(self) -> Writer:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._staging = tempfile.TemporaryDirectory(prefix=f".{self.folder.name}-", dir=self.folder.parent)
        self.out = Path(self._staging.name)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._write_table()
                if self.folder.exists():
                    shutil.rmtree(self.folder)
                shutil.copytree(self.out, self.folder)
        finally:
            self._staging.cleanup()

    def add(self, image: Read, answers: list[dict[str, Any]]) -> None:
        """An image with its answers. One without any has a row of its own, so that none is missing from the table."""
        height, width = image.pixels.shape[:2]
        frame = {} if image.frame is None else {"frame": image.frame}
        self.images.append({"file_name": image.name, "width": width, "height": height} | frame)
        for answer in answers or [NONE]:
            self.rows.append({"image_id": len(self.images), "image": image.name, "frame": image.frame} | answer)
        if self.with_pictures:
            path = self.out / PICTURES / image.name
            path = path / f"{image.frame:06d}.jpg" if image.frame is not None else path.with_name(f"{path.name}.jpg")
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(image.pixels, answers, self.classes).save(path, quality=90)

    def _write_table(self) -> None:
        path = self.out / self.table.name
        if self.kind == "coco":
            path.write_text(json.dumps(coco(self.images, self.rows, self.classes)), encoding="utf-8")
            return
        table = pd.DataFrame(self.rows).drop(columns="image_id").astype({"frame": "Int64"})
        if self.kind == "parquet":
            table.to_parquet(path, index=False)
        else:
            for column in table.columns[table.map(lambda value: isinstance(value, list)).any()]:
                table[column] = table[column].map(lambda value: json.dumps(value) if isinstance(value, list) else "")
            table.to_csv(path, index=False)


def coco(images: list[dict[str, Any]], rows: list[dict[str, Any]], classes: list[str]) -> dict[str, Any]:
    """COCO's JSON: annotations with a score, and a box where there is one; categories count from 1, as the ids do."""
    annotations: list[dict[str, Any]] = []
    for row in rows:
        if row["class"] is None:
            continue
        annotation = {
            "id": len(annotations) + 1,
            "image_id": row["image_id"],
            "category_id": classes.index(row["class"]) + 1,
            "score": row["confidence"],
        }
        if "x1" in row:
            width, height = row["x2"] - row["x1"], row["y2"] - row["y1"]
            annotation |= {"bbox": [row["x1"], row["y1"], width, height], "area": width * height, "iscrowd": 0}
        if row.get("polygon"):
            annotation["segmentation"] = [row["polygon"]]
        annotations.append(annotation)
    return {
        "images": [{"id": number} | image for number, image in enumerate(images, 1)],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, 1)],
    }


def draw(pixels: np.ndarray, answers: list[dict[str, Any]], classes: list[str]) -> Image.Image:
    """The image (H, W, 3) with its answers: boxes with their classes, or classes alone, in the upper left corner."""
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    size = max(10.0, min(picture.size) / 32)
    font = ImageFont.load_default(size)
    lines = iter(range(len(answers)))  # of classes without a box
    for answer in answers:
        colour = COLOURS[classes.index(answer["class"]) % len(COLOURS)] if answer["class"] in classes else COLOURS[0]
        corner = (answer["x1"], answer["y1"]) if "x1" in answer else (0.0, 1.25 * size * next(lines))
        if "x1" in answer:
            pen.rectangle((*corner, answer["x2"], answer["y2"]), outline=colour, width=max(1, round(size / 8)))
        if len(answer.get("polygon", ())) > 4:
            pen.polygon(answer["polygon"], outline=colour, width=max(1, round(size / 8)))
        text = f"{answer['class']} {answer['confidence']:.2f}"
        pen.rectangle(pen.textbbox(corner, text, font=font), fill=colour)
        pen.text(corner, text, fill="white", font=font)
    return picture
