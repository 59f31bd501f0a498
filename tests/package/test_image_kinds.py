"""Images in every kind of file that people have: the same picture in all stages, or refused as what they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms
from test_findings import images_of, places
from test_prepare import draw, make_folders, message, problems, refusal, run
from workspace import PACKAGE, PROJECT, Workspace, forks, load

images = load("data.shared.images")
layout = load("shared.prepared")
prediction = load("prediction.inputs")
prepare = load("stages.prepare")
Sample = load("data.shared.dataset").Sample

ROWS, COLUMNS = np.mgrid[0:48, 0:64]
PICTURE = Image.fromarray(np.stack([4 * COLUMNS, 5 * ROWS, 2 * (ROWS + COLUMNS)], -1).astype(np.uint8))
GREY = PICTURE.convert("L")
RED_GREEN_BLUE = np.asarray(PICTURE)
Write = Callable[[Path], Any]


def several(file: Path, kind: str | None = None, **options: Any) -> None:
    """The picture, and two others."""
    others = [PICTURE.rotate(90 * quarters) for quarters in (1, 2)]
    PICTURE.copy().save(file, kind, save_all=True, append_images=others, **options)


def turned(file: Path) -> None:
    """Stored as a camera that was turned by a quarter does."""
    exif = Image.Exif()
    exif[layout.ORIENTATION] = 6
    PICTURE.rotate(90, expand=True).save(file, exif=exif, lossless=True)


def lab(file: Path) -> None:
    profiles = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
    transform = ImageCms.buildTransform(*profiles, "RGB", "LAB")
    converted = ImageCms.applyTransform(PICTURE, transform)
    assert converted is not None
    converted.save(file)


def deep(file: Path, brightest: int, kind: type = np.uint16, opacity: bool = False) -> None:
    """Colours of more than 8 bits, by OpenCV, as Pillow writes none."""
    pixels = (RED_GREEN_BLUE[..., ::-1] / 255 * brightest).round().astype(kind)
    pixels[0, 0] = brightest
    cv2.imwrite(str(file), np.dstack([pixels, np.full(pixels.shape[:2], 65535, kind)]) if opacity else pixels)


def without_end(file: Path) -> None:
    content = BytesIO()
    PICTURE.save(content, "PNG")
    file.write_bytes(content.getvalue()[:-12])


KINDS: dict[str, tuple[Write, str]] = {  # how a file is written, and what prepare says of it
    "plain.png": (PICTURE.save, ""),
    "plain.bmp": (PICTURE.save, ""),
    "plain.tif": (PICTURE.save, ""),
    "plain.webp": (lambda file: PICTURE.save(file, lossless=True), ""),
    "plain.jpg": (lambda file: PICTURE.save(file, quality=95), ""),
    "progressive.jpg": (lambda file: PICTURE.save(file, progressive=True, quality=95), ""),
    "by_camera.jpg": (lambda file: several(file, "MPO", quality=95), ""),
    "a.jfif": (lambda file: PICTURE.save(file, "JPEG", quality=95), ""),
    "named_wrongly.png": (lambda file: PICTURE.save(file, "JPEG", quality=95), ""),
    "grey.png": (GREY.save, ""),
    "palette.png": (PICTURE.quantize(256).save, ""),
    "one_bit.tif": (GREY.convert("1").save, ""),
    "opaque.png": (PICTURE.convert("RGBA").save, ""),
    "without_end.png": (without_end, ""),
    "zstd.tif": (lambda file: PICTURE.save(file, compression="zstd"), ""),
    "turned.jpg": (turned, ""),
    "turned.png": (turned, ""),
    "turned.tif": (turned, ""),
    "turned.webp": (turned, ""),
    "pages.tif": (several, "the first of 3 pictures"),
    "moving.png": (several, "the first of"),
    "moving.gif": (several, "GIF"),
    "moving.webp": (lambda file: several(file, lossless=True), "the first of"),
    "a.avif": (lambda file: PICTURE.save(file, quality=95), "AVIF"),
    "a.jp2": (PICTURE.save, "JPEG2000"),
    "print.jpg": (lambda file: PICTURE.convert("CMYK").save(file, quality=95), "mode CMYK"),
    "print.tif": (PICTURE.convert("CMYK").save, "mode CMYK"),
    "ycbcr.tif": (PICTURE.convert("YCbCr").save, "mode YCbCr"),
    "lab.tif": (lab, "mode LAB"),
    "grey16.png": (Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257).save, "pixels of mode I;16"),
    "float.tif": (Image.fromarray(np.asarray(GREY).astype(np.float32) / 255).save, "pixels of mode F"),
    "colours16.png": (lambda file: deep(file, 65535), "colours of 16 bits"),
    "colours12.png": (lambda file: deep(file, 4095), "colours of 16 bits"),
    "colours12.tif": (lambda file: deep(file, 4095), "colours of 16 bits"),
    "colours12_opaque.png": (lambda file: deep(file, 4095, opacity=True), "colours of 16 bits"),
}
LOSSY = {".jpg": 4.0, ".jfif": 4.0, ".avif": 4.0, ".gif": 6.0}  # mean error in grey values


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_is_the_same_picture_in_every_stage(name: str, tmp_path: Path) -> None:
    write, said = KINDS[name]
    write(tmp_path / name)
    sample = Sample("main", "train", "image", tmp_path / name)
    [read], findings = images.read_images([sample], most_megapixels=1, thumbnails=True)
    found = {finding.check: finding.places[0] for finding in findings if finding.count}
    assert said in found.pop("converted_images", "")
    assert set(found) <= ({"several_pictures"} if "the first" in said or said == "GIF" else set())
    prepared = tmp_path / f"prepared{read.suffix}"
    prepare._write_image(prepared, read)
    pixels = layout.read_image(prepared)
    wanted = RED_GREEN_BLUE if name not in GREYS else np.asarray(GREY.convert(GREYS[name]).convert("RGB"))
    error = np.abs(pixels.astype(float) - wanted)
    assert error.mean() <= (LOSSY.get(Path(name).suffix, 2.0) if name != "palette.png" else 6)
    assert read.size == PICTURE.size
    white, _ = prediction.white([prediction.Found(tmp_path / name, name)], None)
    if not said.startswith("the first"):
        assert np.abs(layout.read_image(tmp_path / name, white).astype(float) - pixels).max() <= 1


GREYS = {"grey.png": "L", "grey16.png": "L", "float.tif": "L", "one_bit.tif": "1"}


@pytest.mark.skipif(not (PROJECT / "src" / PACKAGE / "engines" / "ultralytics").is_dir(), reason="has no YOLO")
def test_ultralytics_trains_on_the_same_pictures(tmp_path: Path) -> None:
    for name in (copied := [name for name, (_, said) in KINDS.items() if not said]):
        KINDS[name][0](tmp_path / name)
    (tmp_path / "read.py").write_text(f"""
import sys
sys.path.insert(0, {str(PROJECT / "src")!r})
import cv2, numpy
from {PACKAGE}.engines.ultralytics.images import base
numpy.savez("seen.npz", *[base.imread(name, cv2.IMREAD_COLOR) for name in {copied!r}])
""")
    result = forks().run(tmp_path, ["read.py"], Workspace(tmp_path).environment())
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "seen.npz") as seen:
        for name, pixels in zip(copied, seen.values(), strict=True):
            assert np.abs(pixels[..., ::-1].astype(float) - layout.read_image(tmp_path / name)).max() <= 1, name


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(300)
JPEG = BytesIO()
PICTURE.save(JPEG, "JPEG")


@pytest.mark.parametrize(
    ("name", "content", "check", "said"),
    [
        ("a.heic", HEIC, "unread_images", "HEIC"),
        ("phone.jpg", HEIC, "unread_images", "HEIC"),
        ("empty.jpg", b"", "unread_images", "an empty file"),
        ("zeros.png", bytes(300), "unread_images", "zeros alone"),
        ("page.jpg", b"\n<!DOCTYPE html><html>404", "unread_images", "a web page"),
        ("lfs.png", b"version https://git-lfs.github.com/spec/v1\n", "unread_images", "git lfs pull"),
        ("cut.jpg", JPEG.getvalue()[:-200], "corrupt_images", "cut short"),
        ("broken.png", b"\x89PNG\r\n", "corrupt_images", ""),
    ],
)
def test_what_cannot_be_read_is_refused_as_what_it_is(
    name: str, content: bytes, check: str, said: str, tmp_path: Path
) -> None:
    (make_folders(tmp_path / "mine", {"cat": 4, "dog": 4}) / "cat" / name).write_bytes(content)
    found = refusal(tmp_path / "out", "image_folder", path=str(tmp_path / "mine"))
    assert name in found and said in found
    [place] = places(tmp_path / "out", check)
    assert name in place and place.endswith(f"({said})" if said and "git" not in said else place)


def test_float_colours_are_told_as_a_kind_of_tiff(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "mine", {"cat": 4, "dog": 4})
    deep(root / "cat" / "float.tif", 1, np.float32)
    assert "float.tif (TIFF of another kind" in refusal(tmp_path / "out", "image_folder", path=str(root))


# ---- turned images with boxes -------------------------------------------------------------------------------------


def coco(folder: Path, width: int, height: int) -> None:
    """Six turned photographs, a box in the upper left quarter of each as it is shown."""
    for number in range(6):
        with Image.open(draw(folder / f"{number}.jpg", number, size=(64, 48))) as image:
            exif = image.getexif()
            exif[layout.ORIENTATION] = 6
            image.save(folder / f"{number}.jpg", exif=exif)
    labels = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": width, "height": height} for n in range(6)],
        "annotations": [{"id": n, "image_id": n, "category_id": 1, "bbox": [0, 0, 24, 32]} for n in range(6)],
        "categories": [{"id": 1, "name": "part"}],
    }
    (folder / "labels.json").write_text(json.dumps(labels))


def test_boxes_are_taken_as_drawn_on_the_turned_picture_and_said(tmp_path: Path) -> None:
    coco(tmp_path / "mine", width=48, height=64)
    prepared = run(tmp_path / "out", "yolo", kind="coco", path=str(tmp_path / "mine"))
    assert problems(prepared)["turned_images"] == 6
    item = prepared.items("train", "main")[0]
    assert layout.read_image(item).shape == (64, 48, 3)
    row = load("tasks.detection").boxes(item)[0]
    assert row == pytest.approx([0, 0.25, 0.25, 0.5, 0.5])


def test_boxes_drawn_on_the_picture_as_it_is_stored_are_refused(tmp_path: Path) -> None:
    coco(tmp_path / "mine", width=64, height=48)
    assert "another size" in refusal(tmp_path / "out", "yolo", kind="coco", path=str(tmp_path / "mine"))


# ---- folders inside class folders ---------------------------------------------------------------------------------


PATIENTS = {f"{kind}/patient{n}": 3 for kind in ("cat", "dog") for n in range(6)}


def test_folders_inside_class_folders_are_told_and_their_group_offered(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "mine", PATIENTS | {"cat": 1})
    prepared = run(tmp_path / "first", "image_folder", path=str(root), near_duplicates=False)
    assert (prepared.classes, images_of(prepared)) == (["cat", "dog"], 37)
    assert places(tmp_path / "first", "nested_folders")[0] == f"{root / 'cat' / 'patient0'} (3 images)"
    offered = message(prepared, "nested_folders").split("data.source.group='")[1].split("'")[0]
    again = run(tmp_path / "again", "image_folder", path=str(root), group=offered, near_duplicates=False)
    assert problems(again) == {"ungrouped_images": 1}
    sides = {(item.group, item.split) for split in layout.SPLITS for item in again.items(split, "main")}
    assert len({group for group, _ in sides}) == len(sides) == 7


def test_patients_in_every_class_are_groups_where_they_are_said_to_be(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "mine", PATIENTS)
    found = refusal(tmp_path / "out", "image_folder", path=str(root))
    assert "Are these sites?" in found
    offered = found.split("data.source.group='")[1].split("'")[0]
    prepared = run(tmp_path / "out", "image_folder", path=str(root), group=offered, near_duplicates=False)
    assert (prepared.classes, images_of(prepared)) == (["cat", "dog"], 36)
    assert {item.group for item in prepared.items("train", "main")} < {f"patient{n}" for n in range(6)}
