"""Labels that may be read, and mean something else: each is read as it was meant, or refused in words."""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pandas as pd
import pytest
from test_formats import CLASSES, IMAGES, as_coco, as_cvat, as_ultralytics, as_voc, coco
from test_prepare import config, draw, make_folders, make_yolo
from workspace import load

auto, checks, errors = load("data.sources.auto"), load("data.shared.checks"), load("shared.errors")

BOXES = sum(len(image.boxes) for image in IMAGES)


def read(root: Path, task: str = "detection") -> Any:
    """What a source makes of the data, before any image is decoded."""
    name = "yolo" if task in ("detection", "segmentation") else "image_folder"
    return auto.read(config(name, kind="auto", task=task, path=str(root)).data.source)


def found(dataset: Any) -> dict[str, int]:
    return {finding.check: finding.count for finding in dataset.findings if finding.count}


def refused(root: Path, task: str = "detection") -> str:
    """The words of the refusal, by the reading or by what it found."""
    with pytest.raises(errors.UserError) as error:
        checks.refuse(read(root, task).findings, str(root))
    return str(error.value)


# ---- one image, several labels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["coco", "voc"])
def test_labels_that_are_there_again_count_once(written: str, tmp_path: Path) -> None:
    """A backup beside the file, or the folder of an export copied."""
    if written == "coco":
        as_coco(tmp_path)
        shutil.copy(tmp_path / "annotations/instances_train2017.json", tmp_path / "annotations/old_train.json")
    else:
        as_voc(tmp_path)
        shutil.copytree(tmp_path / "Annotations", tmp_path / "Annotations (copy)")
    dataset = read(tmp_path)
    assert sum(len(sample.boxes) for sample in dataset.samples) == BOXES
    assert len(dataset.samples) == len(IMAGES)
    assert found(dataset) == {"listed_again": 5 if written == "coco" else len(IMAGES)}


@pytest.mark.parametrize("task", ["detection", "segmentation", "multilabel"])
def test_an_image_whose_boxes_are_divided_between_entries_is_refused(task: str, tmp_path: Path) -> None:
    as_coco(tmp_path)
    file = tmp_path / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    content["images"].append(content["images"][0] | {"id": 99})
    content["annotations"][0]["image_id"] = 99
    file.write_text(json.dumps(content))
    assert "with other labels each time: 1 (" in refused(tmp_path, task)


def test_two_label_files_of_one_image_that_differ_are_refused(tmp_path: Path) -> None:
    as_voc(tmp_path)
    old = tmp_path / "old" / "train no. 0.xml"
    old.parent.mkdir()
    old.write_text((tmp_path / "Annotations" / old.name).read_text().replace("<xmin>3<", "<xmin>9<"))
    assert "with other labels each time: 1 (" in refused(tmp_path)


# ---- boxes that are something else --------------------------------------------------------------------------------


def test_corners_where_sides_belong_are_refused_and_a_few_sloppy_boxes_are_not(tmp_path: Path) -> None:
    content = coco(IMAGES, lambda image: f"{image.name}.png")
    for image in IMAGES:
        draw(tmp_path / f"{image.name}.png", 0, size=image.size)

    def write(boxes: Callable[[int, list[int]], list[int]]) -> None:
        changed = [
            label | {"bbox": boxes(number, label["bbox"])} for number, label in enumerate(content["annotations"])
        ]
        (tmp_path / "labels.json").write_text(json.dumps(content | {"annotations": changed}))

    write(lambda _, box: [*box[:2], box[0] + box[2], box[1] + box[3]])
    assert f"All {BOXES} boxes read as if they were corners" in refused(tmp_path)
    write(lambda number, box: [*box[:2], 60, box[3]] if number % 2 else [20, 20, 5, 5])  # as tiles of a picture have
    sloppy = read(tmp_path)
    checks.refuse(sloppy.findings, "data")
    assert found(sloppy) == {"clipped": BOXES // 2}


@pytest.mark.parametrize("shape", [[4, 2], [5, 3]])
def test_keypoints_are_no_corners_of_a_polygon(shape: list[int], tmp_path: Path) -> None:
    root = make_yolo(tmp_path, {"train": 3}, kpt_shape=shape)
    plain = [sample.boxes.tolist() for sample in read(root).samples]
    for file in root.glob("labels/*/*.txt"):
        file.write_text("".join(f"{row} {'0.1 ' * shape[0] * shape[1]}\n" for row in file.read_text().splitlines()))
    dataset = read(root)
    assert [sample.boxes.tolist() for sample in dataset.samples] == plain
    assert found(dataset) == {"keypoints": 3}


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_a_turned_box_of_cvat_is_the_box_around_it(task: str, tmp_path: Path) -> None:
    as_cvat(tmp_path)
    file = tmp_path / "annotations.xml"
    box = '<box label="bolt" xtl="10.0" ytl="12.0" xbr="22.0" ybr="18.0" rotation="90.0" /></image>'
    file.write_text(file.read_text().replace("</image>", box, 1))
    sample = next(sample for sample in read(tmp_path, task).samples if sample.name == "train no. 0")
    width, height = IMAGES[0].size
    np.testing.assert_allclose(sample.boxes[-1], [0, 16 / width, 15 / height, 6 / width, 12 / height], atol=1e-6)
    if task == "segmentation":
        upper_left = [19 / width, 9 / height]  # turned clockwise, as CVAT shows it
        np.testing.assert_allclose(sample.outlines[-1][0], upper_left, atol=1e-6)


def test_a_number_of_classes_that_is_not_theirs_is_refused(tmp_path: Path) -> None:
    root = make_yolo(tmp_path, {"train": 3}, nc=3)
    assert "has nc: 3, and 2 `names`" in refused(root)
    root = make_yolo(tmp_path / "right", {"train": 3}, nc=2)
    assert read(root).classes == ["cat", "dog"]
    (root / "classes.txt").write_text("dog\ncat\n")
    assert "number the same classes otherwise" in refused(root)
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("cat\n\ndog\n")
    assert "has a class without a name" in refused(root)


# ---- images that are something else -------------------------------------------------------------------------------


def test_masks_of_voc_are_not_taken_for_its_images(tmp_path: Path) -> None:
    as_voc(tmp_path)
    for image in IMAGES[:3]:
        draw(tmp_path / "SegmentationClass" / f"{image.name}.png", 1, size=image.size)
    dataset = read(tmp_path)
    assert (len(dataset.samples), found(dataset)) == (len(IMAGES), {"masks": 3})


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_a_folder_of_images_is_no_class(task: str, tmp_path: Path) -> None:
    make_folders(tmp_path, {"images": 3, "masks": 3})
    assert "images is no class" in refused(tmp_path, task)


def test_a_split_that_lies_in_itself_is_one_and_others_beside_it_are_no_classes(tmp_path: Path) -> None:
    make_folders(tmp_path / "seg_train" / "seg_train", {"cat": 3, "dog": 3})
    make_folders(tmp_path / "seg_test" / "seg_test", {"cat": 2, "dog": 2}, seed=50)
    dataset = read(tmp_path, "classification")
    assert (dataset.classes, {sample.split for sample in dataset.samples}) == (["cat", "dog"], {"train", "test"})
    make_folders(tmp_path / "seg_pred", {"seg_pred": 3})
    assert "holds split folders (seg_test, seg_train) and others beside them (seg_pred)" in refused(
        tmp_path, "classification"
    )


@pytest.mark.parametrize("written", ["coco", "cvat"])
def test_folders_tell_the_splits_that_one_list_of_labels_leaves_out(written: str, tmp_path: Path) -> None:
    for image in IMAGES:
        draw(tmp_path / image.split / f"{image.name}.png", 0, size=image.size)
    if written == "coco":
        content = coco(IMAGES, lambda image: f"{image.split}/{image.name}.png")
        (tmp_path / "labels.json").write_text(json.dumps(content))
    else:
        as_cvat(tmp_path)
        shutil.rmtree(tmp_path / "images")
        file = tmp_path / "annotations.xml"
        file.write_text(re.sub(' subset="[^"]*"', "", file.read_text()))
    dataset = read(tmp_path)
    assert {(sample.split, sample.name) for sample in dataset.samples} == {
        (image.split, image.name) for image in IMAGES
    }
    assert found(dataset) == {}


def test_labels_with_a_score_are_told(tmp_path: Path) -> None:
    content = coco(IMAGES, lambda image: f"{image.name}.png")
    content["annotations"][0]["score"] = 0.4
    for image in IMAGES:
        draw(tmp_path / f"{image.name}.png", 0, size=image.size)
    (tmp_path / "labels.json").write_text(json.dumps(content))
    assert found(read(tmp_path)) == {"scored": 1}


@pytest.mark.parametrize("name", ["data.tar.gz", "data.zip"])
def test_an_archive_that_is_not_read_is_to_be_unpacked(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("cat/0.png", b"")
    content = bytearray(file.read_bytes())
    content[6] |= 1  # the flag of an encrypted entry, in its own head and in the list of all
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(content)
    assert re.search("unpack it, or make a zip" if name.endswith("gz") else "is encrypted: unpack it", refused(file))


# ---- names --------------------------------------------------------------------------------------------------------


def test_an_accent_apart_from_its_letter_is_the_same_name(tmp_path: Path) -> None:
    """As macOS writes it into archives."""
    together, apart = (normalize(form, "Käse") for form in ("NFC", "NFD"))
    make_folders(tmp_path / "folders" / "train", {together: 3, "Brot": 3})
    make_folders(tmp_path / "folders" / "test", {apart: 2, "Brot": 2}, seed=50)
    assert read(tmp_path / "folders", "classification").classes == ["Brot", together]
    draw(tmp_path / "table" / f"{apart}.png", 0)
    draw(tmp_path / "table" / "Brot.png", 1)
    (tmp_path / "table" / "labels.csv").write_text(f"path,label\n{together}.png,a\nBrot.png,b\n")
    dataset = read(tmp_path / "table", "classification")
    assert (len(dataset.samples), found(dataset)) == (2, {})


@pytest.mark.parametrize("write", [as_ultralytics, lambda root: make_folders(root, {"cat": 3, "dog": 3})])
def test_a_name_in_no_encoding_is_told(write: Callable[[Path], object], tmp_path: Path) -> None:
    write(tmp_path)
    file = next(tmp_path.rglob("*.png"))
    file.rename(file.parent / os.fsdecode(b"k\xe4t.png"))
    words = refused(tmp_path, "detection" if write is as_ultralytics else "classification")
    assert f"names are not in UTF-8: 1 ({file.parent}/k\ufffdt.png). Rename them." in words
    words.encode()


# ---- tables -------------------------------------------------------------------------------------------------------


def write_table(root: Path, name: str, **columns: list) -> None:
    table = pd.DataFrame(columns)
    for number, path in enumerate(table["path"]):
        draw(root / path, number)
    table.to_csv(root / name, index=False)


def test_a_table_of_answers_beside_those_of_splits_is_no_data(tmp_path: Path) -> None:
    """Kaggle's sample_submission.csv has a made-up label for each image that is to be predicted."""
    write_table(tmp_path, "train.csv", path=["a.png", "b.png"], label=["cat", "dog"])
    write_table(tmp_path, "sample_submission.csv", path=["c.png", "d.png"], label=["cat", "cat"])
    assert "tables of splits (train.csv) and others beside them (sample_submission.csv)" in refused(
        tmp_path, "classification"
    )


def test_a_class_that_is_left_open_is_no_other_column(tmp_path: Path) -> None:
    """CheXpert's -1 and blanks: the class was dropped without a word."""
    write_table(
        tmp_path, "labels.csv", path=["a.png", "b.png", "c.png"], Edema=["1.0", "", "-1.0"], x=[1, 0, 1], y=[0, 1, 0]
    )
    assert "the column Edema has nothing in line 3, among 0 and 1" in refused(tmp_path, "multilabel")


def test_what_stands_for_nothing_is_no_class(tmp_path: Path) -> None:
    write_table(tmp_path, "labels.csv", path=["a.png", "b.png", "c.png"], label=["cat", "nan ", "none"])
    assert "Malformed label rows: 1 (" in refused(tmp_path, "classification")


def test_a_table_is_no_list_of_boxes(tmp_path: Path) -> None:
    write_table(tmp_path, "labels.csv", path=["a.png", "b.png"], label=CLASSES[:2], xmin=[1, 2], xmax=[3, 4])
    assert "has a table, which tells the classes of images: for detection give COCO's JSON" in refused(tmp_path)


def test_classes_of_the_same_number_are_named() -> None:
    dataset = load("data.shared.dataset").Dataset("classification", ["0", "0.0", "1", "10", "v1", "v1.0"], [])
    (alike,) = [finding for finding in checks.check(dataset) if finding.check == "names_alike"]
    assert alike.places == ("'0' ~ '0.0'",)


# ---- what was taken without a word --------------------------------------------------------------------------------


def test_two_images_of_one_name_have_no_label_file_in_common(tmp_path: Path) -> None:
    as_ultralytics(tmp_path)
    image = next(path for path in tmp_path.rglob("*.png") if "train" in path.parts)
    shutil.copy(image, image.with_suffix(".bmp"))
    assert f"{image.stem}.txt: {image.stem}.bmp and {image.name}" in refused(tmp_path)


def test_columns_that_may_be_labels_are_told(tmp_path: Path) -> None:
    for name in "ab":
        draw(tmp_path / f"{name}.png", seed=ord(name))
    (tmp_path / "all.csv").write_text("path,label,class,Confidence\na.png,0,cat,0.9\nb.png,1,dog,0.8\n")
    dataset = read(tmp_path, "classification")
    assert found(dataset) == {"other_labels": 1, "scored": 1}
    assert dataset.classes == ["0", "1"]


def test_an_absent_image_is_told_with_the_one_that_may_be_meant(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    draw(tmp_path / "data/a.png", seed=0)
    draw(tmp_path / "b.png", seed=1)
    (tmp_path / "data/all.csv").write_text(f"path,label\nA.PNG,x\n{tmp_path / 'b.png'},y\na.png,x\n")
    words = refused(tmp_path / "data", "classification")
    assert "A.PNG (there is" in words and "b.png (it lies outside data.source.path)" in words
