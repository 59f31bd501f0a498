"""Users' data in the formats that they have: the same data in each is prepared alike, byte for byte."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from test_prepare import bytes_below, draw, problems, refusal, run, write_yaml
from workspace import load

auto = load("data.sources.auto")
names = load("data.shared.names")
registry = load("shared.registry")

CLASSES = ["bolt", "nut", "washer"]
SPLITS = {"train": 5, "val": 3, "test": 3}


class Image(NamedTuple):
    """An image of the same data set in every format: boxes are class, left, top, right, bottom in pixels."""

    split: str
    name: str
    size: tuple[int, int]
    boxes: list[tuple[int, int, int, int, int]]


IMAGES = [
    Image(
        split,
        f"{split} no. {index}",
        (40 + index, 30),
        [] if (split, index) == ("train", 3) else [(index % 3, 3 + index, 4, 17, 19), ((index + 1) % 3, 20, 5, 36, 28)],
    )
    for split, number in SPLITS.items()
    for index in range(number)
]


def picture(file: Path, image: Image) -> None:
    draw(file, IMAGES.index(image), size=image.size)


def rows(image: Image) -> str:
    """The label file that YOLO has: fractions of six decimals."""
    width, height = image.size
    return "".join(
        f"{label} {(x0 + x1) / 2 / width:.6f} {(y0 + y1) / 2 / height:.6f} "
        f"{(x1 - x0) / width:.6f} {(y1 - y0) / height:.6f}\n"
        for label, x0, y0, x1, y1 in image.boxes
    )


# ---- writers: the data set in each format, below `root` ----------------------------------------------------------


def write_text(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def as_ultralytics(root: Path) -> None:
    for image in IMAGES:
        picture(root / "images" / image.split / f"{image.name}.png", image)
        write_text(root / "labels" / image.split / f"{image.name}.txt", rows(image))
    write_yaml(root / "data.yaml", {split: f"images/{split}" for split in SPLITS} | {"names": CLASSES})


def as_roboflow(root: Path) -> None:
    folders = {"train": "train", "val": "valid", "test": "test"}
    for image in IMAGES:
        picture(root / folders[image.split] / "images" / f"{image.name}.png", image)
        write_text(root / folders[image.split] / "labels" / f"{image.name}.txt", rows(image))
    splits = {split: f"../{folder}/images" for split, folder in folders.items()}
    write_yaml(root / "data.yaml", splits | {"nc": 3, "names": dict(enumerate(CLASSES))})


def as_cvat_yolo(root: Path) -> None:
    """CVAT's "YOLO 1.1": lists with `data/` before each path, labels beside the images."""
    folders = {"train": "obj_train_data", "val": "obj_valid_data", "test": "obj_test_data"}
    lists = {"train": "train", "val": "valid", "test": "test"}
    for split, name in lists.items():
        mine = [image for image in IMAGES if image.split == split]
        for image in mine:
            picture(root / folders[split] / f"{image.name}.png", image)
            write_text(root / folders[split] / f"{image.name}.txt", rows(image))
        write_text(root / f"{name}.txt", "".join(f"data/{folders[split]}/{image.name}.png\n" for image in mine))
    write_text(root / "obj.names", "\n".join(CLASSES) + "\n")
    described = "".join(f"{name} = data/{name}.txt\n" for name in lists.values())
    write_text(root / "obj.data", f"classes = 3\n{described}names = data/obj.names\nbackup = backup/\n")


def as_labelimg(root: Path) -> None:
    """LabelImg's: labels beside the images, and the classes in a list; folders of splits are a person's."""
    for image in IMAGES:
        picture(root / image.split / f"{image.name}.png", image)
        write_text(root / image.split / f"{image.name}.txt", rows(image))
    write_text(root / "classes.txt", "\n".join(CLASSES) + "\n")


def as_capitals(root: Path) -> None:
    for image in IMAGES:
        picture(root / "Images" / image.split.title() / f"{image.name}.png", image)
        write_text(root / "Labels" / image.split.title() / f"{image.name}.txt", rows(image))
    write_text(root / "classes.txt", "\n".join(CLASSES) + "\n")


def coco(images: list[Image], names: Callable[[Image], str]) -> dict[str, Any]:
    annotations = [
        {"id": 100 * number + index, "image_id": number, "category_id": label + 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for number, image in enumerate(images)
        for index, (label, x0, y0, x1, y1) in enumerate(image.boxes)
    ]
    return {
        "images": [
            {"id": number, "file_name": names(image), "width": image.size[0], "height": image.size[1]}
            for number, image in enumerate(images)
        ],
        "annotations": annotations,
        "categories": [{"id": index + 1, "name": name, "supercategory": "part"} for index, name in enumerate(CLASSES)],
    }


def as_coco(root: Path) -> None:
    for split in SPLITS:
        mine = [image for image in IMAGES if image.split == split]
        for image in mine:
            picture(root / f"{split}2017" / f"{image.name}.png", image)
        content = coco(mine, lambda image: f"{image.name}.png")
        write_text(root / "annotations" / f"instances_{split}2017.json", json.dumps(content))


def as_roboflow_coco(root: Path) -> None:
    """Each split has its JSON beside the images, and a first category that stands for all."""
    for split, folder in {"train": "train", "val": "valid", "test": "test"}.items():
        mine = [image for image in IMAGES if image.split == split]
        for image in mine:
            picture(root / folder / f"{image.name}.png", image)
        content = coco(mine, lambda image: f"{image.name}.png")
        content["categories"] = [{"id": 0, "name": "part", "supercategory": "none"}, *content["categories"]]
        write_text(root / folder / "_annotations.coco.json", json.dumps(content))


def as_voc(root: Path) -> None:
    for image in IMAGES:
        picture(root / "JPEGImages" / f"{image.name}.png", image)
        annotation = ElementTree.Element("annotation")
        ElementTree.SubElement(annotation, "filename").text = f"{image.name}.png"
        size = ElementTree.SubElement(annotation, "size")
        for key, value in zip(("width", "height", "depth"), (*image.size, 3), strict=True):
            ElementTree.SubElement(size, key).text = str(value)
        for label, *corners in image.boxes:
            entry = ElementTree.SubElement(annotation, "object")
            ElementTree.SubElement(entry, "name").text = CLASSES[label]
            box = ElementTree.SubElement(entry, "bndbox")
            for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
                ElementTree.SubElement(box, key).text = str(value)
        write_text(root / "Annotations" / f"{image.name}.xml", ElementTree.tostring(annotation, encoding="unicode"))
    for split in SPLITS:
        here = "  1" if split == "train" else ""  # as lists of a class have it
        names = "".join(f"{image.name}{here}\n" for image in IMAGES if image.split == split)
        write_text(root / "ImageSets" / "Main" / f"{split}.txt", names)


def as_cvat(root: Path) -> None:
    annotations = ElementTree.Element("annotations")
    ElementTree.SubElement(annotations, "version").text = "1.1"
    labels = ElementTree.SubElement(
        ElementTree.SubElement(ElementTree.SubElement(annotations, "meta"), "task"), "labels"
    )
    for name in CLASSES:
        ElementTree.SubElement(ElementTree.SubElement(labels, "label"), "name").text = name
    for number, image in enumerate(IMAGES):
        picture(root / "images" / f"{image.name}.png", image)
        width, height = map(str, image.size)
        subset = {"train": "Train", "val": "Validation", "test": "Test"}[image.split]
        entry = ElementTree.SubElement(
            annotations, "image", id=str(number), name=f"{image.name}.png", subset=subset, width=width, height=height
        )
        for label, *corners in image.boxes:
            sides = dict(zip(("xtl", "ytl", "xbr", "ybr"), (f"{value:.2f}" for value in corners), strict=True))
            ElementTree.SubElement(entry, "box", label=CLASSES[label], occluded="0", z_order="0", **sides)
    write_text(root / "annotations.xml", ElementTree.tostring(annotations, encoding="unicode"))


def zipped(write: Callable[[Path], None]) -> Callable[[Path], None]:
    def write_archive(root: Path) -> None:
        write(root / "unpacked")
        with zipfile.ZipFile(root / "export.zip", "w") as archive:
            for path in sorted((root / "unpacked").rglob("*")):
                archive.write(path, path.relative_to(root / "unpacked"))
        shutil.rmtree(root / "unpacked")

    return write_archive


BOXES = {
    "ultralytics": ("yolo", as_ultralytics),
    "roboflow": ("yolo", as_roboflow),
    "cvat-yolo": ("yolo", as_cvat_yolo),
    "labelimg": ("yolo", as_labelimg),
    "capitals": ("yolo", as_capitals),
    "coco": ("coco", as_coco),
    "roboflow-coco": ("coco", as_roboflow_coco),
    "voc": ("voc", as_voc),
    "cvat": ("cvat", as_cvat),
    "zip": ("coco", zipped(as_coco)),
}


@pytest.fixture(scope="module")
def as_ultralytics_has_it(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("reference")
    as_ultralytics(folder / "data")
    return bytes_below(run(folder / "out", "yolo", path=str(folder / "data")).root)


@pytest.mark.parametrize("name", BOXES)
def test_boxes_in_any_format_are_the_same_bytes(
    name: str, tmp_path: Path, as_ultralytics_has_it: dict[str, str], capsys: Any
) -> None:
    kind, write = BOXES[name]
    write(tmp_path / "data")
    prepared = run(tmp_path / "out", "yolo", kind="auto", path=str(tmp_path / "data"))
    assert f"data.source.kind=auto: {kind}, by " in capsys.readouterr().out
    assert problems(prepared) == {}
    assert bytes_below(prepared.root) == as_ultralytics_has_it


# ---- classes ------------------------------------------------------------------------------------------------------

LABELS = {split: [("cat", 3), ("dog", 2)] for split in ("train", "val", "test")}


def labelled(root: Path, place: Callable[[str, str, int], str]) -> list[dict[str, str]]:
    """Draws the images where `place` says, from split, class and number; their rows."""
    table = []
    seed = 0
    for split, classes in LABELS.items():
        for label, number in classes:
            for index in range(number):
                seed += 1
                name = place(split, label, index)
                draw(root / name, seed)
                table.append({"split": split, "label": label, "path": name})
    return table


def as_folders(root: Path) -> None:
    names = {"train": "Training", "val": "Validation", "test": "holdout"}
    labelled(root, lambda split, label, index: f"{names[split]}/{label}/{label}{index}.png")


def as_table(root: Path) -> None:
    table = labelled(root, lambda split, label, index: f"images/{split}/{label}{index}.png")
    pd.DataFrame(table).to_csv(root / "labels.csv", index=False, sep=";")


def as_stems(root: Path) -> None:
    """A table of each split, as Kaggle has them: names without their suffix."""
    table = labelled(root, lambda split, label, index: f"{split}/{label}{index}.png")
    for split in LABELS:
        mine = [{"image_id": Path(row["path"]).stem, "label": row["label"]} for row in table if row["split"] == split]
        pd.DataFrame(mine).to_csv(root / f"{split}.tsv", index=False, sep="\t")


def as_metadata_csv(root: Path) -> None:
    """Hugging Face's imagefolder: a metadata.csv in each split's folder."""
    table = labelled(root, lambda split, label, index: f"{split}/{label}{index}.png")
    for split in LABELS:
        mine = [
            {"file_name": row["path"].split("/")[1], "label": row["label"]} for row in table if row["split"] == split
        ]
        pd.DataFrame(mine).to_csv(root / split / "metadata.csv", index=False)


def as_metadata_jsonl(root: Path) -> None:
    table = labelled(root, lambda split, label, index: f"{split}/{label}{index}.png")
    for split in LABELS:
        mine = [
            {"file_name": row["path"].split("/")[1], "label": row["label"]} for row in table if row["split"] == split
        ]
        (root / split / "metadata.jsonl").write_text("\n".join(map(json.dumps, mine)))


CLASSED = {
    "folders": ("image_folder", as_folders),
    "table": ("table", as_table),
    "stems": ("table", as_stems),
    "metadata.csv": ("table", as_metadata_csv),
    "metadata.jsonl": ("table", as_metadata_jsonl),
    "zip": ("image_folder", zipped(as_folders)),
}


def test_classes_in_any_format_are_the_same_bytes(tmp_path: Path, capsys: Any) -> None:
    found = {}
    for name, (kind, write) in CLASSED.items():
        write(tmp_path / name / "data")
        prepared = run(tmp_path / name / "out", "image_folder", kind="auto", path=str(tmp_path / name / "data"))
        assert f"data.source.kind=auto: {kind}, by " in capsys.readouterr().out
        assert problems(prepared) == {}
        found[name] = bytes_below(prepared.root)
    assert all(files == found["folders"] for files in found.values())
    assert sum(path.endswith(".png") for path in found["folders"]) == 15


# ---- what is none of them -----------------------------------------------------------------------------------------


def test_an_unknown_format_names_those_that_can_be_read(tmp_path: Path) -> None:
    draw(tmp_path / "data" / "one.png", 0)
    (tmp_path / "data" / "labels.parquet").write_bytes(b"")
    found = refusal(tmp_path / "out", "yolo", kind="auto", path=str(tmp_path / "data"))
    for kind in (*auto.LABELLED, auto.BY_FOLDERS):
        assert kind in found
    assert "labels.parquet" in found
    assert set(registry.sources()) >= {*auto.LABELLED, auto.BY_FOLDERS}


def test_two_formats_in_one_folder_are_asked_about(tmp_path: Path) -> None:
    as_ultralytics(tmp_path / "data")
    as_coco(tmp_path / "data")
    found = refusal(tmp_path / "out", "yolo", kind="auto", path=str(tmp_path / "data"))
    assert "yolo by data.yaml, coco by instances_test2017.json" in found
    assert "-S data.source.kind=yolo" in found


@pytest.mark.parametrize(
    ("name", "damage", "expected"),
    [
        ("coco", lambda content: content["annotations"][0].update(bbox=[1, 2, "x", 4]), "has no bbox of four numbers"),
        ("coco", lambda content: content["annotations"][0].update(bbox=[0, 0, 0, 4]), "box without width or height"),
        ("coco", lambda content: content["annotations"][0].update(bbox=[90, 2, 5, 4]), "lies outside its image"),
        ("coco", lambda content: content["annotations"][0].update(category_id=77), "the class 'category 77'"),
        ("coco", lambda content: content["annotations"][0].update(image_id=77), "an image 77 that is not listed"),
        (
            "coco",
            lambda content: content["images"][0].update(file_name="gone.png"),
            "Images that are listed but absent: 1",
        ),
        ("coco", lambda content: content["images"][0].update(width=400), "says 400x30, test no. 0.png has 40x30"),
        ("coco", lambda content: content["categories"].append({"id": 9, "name": "bolt"}), "names bolt more than once"),
        ("coco", lambda content: content["categories"].append({"id": 9, "name": ""}), "a class without a name"),
    ],
)
def test_wrong_labels_are_named(name: str, damage: Callable[[dict], None], expected: str, tmp_path: Path) -> None:
    as_coco(tmp_path / "data")
    file = tmp_path / "data" / "annotations" / "instances_test2017.json"
    content = json.loads(file.read_text())
    damage(content)
    file.write_text(json.dumps(content))
    assert expected in refusal(tmp_path / "out", "yolo", kind="auto", path=str(tmp_path / "data"))


def test_crowds_shapes_and_polygons_are_counted(tmp_path: Path) -> None:
    as_coco(tmp_path / "coco")
    file = tmp_path / "coco" / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    content["annotations"][0] |= {"iscrowd": 1, "segmentation": {"counts": [1], "size": [1, 1]}}
    content["annotations"][1] |= {"bbox": [], "segmentation": [[20, 5, 36, 5, 36, 28]]}
    file.write_text(json.dumps(content))
    prepared = run(tmp_path / "one", "yolo", kind="auto", path=str(tmp_path / "coco"))
    assert problems(prepared) == {"crowds": 1, "polygons": 1}
    as_cvat(tmp_path / "cvat")
    file = tmp_path / "cvat" / "annotations.xml"
    shapes = '<polygon label="nut" points="3,4;17,4;17,19"/><points label="nut" points="1,1"/></image>'
    file.write_text(file.read_text().replace("</image>", shapes, 1))
    prepared = run(tmp_path / "two", "yolo", kind="auto", path=str(tmp_path / "cvat"))
    assert problems(prepared) == {"other_shapes": 1, "polygons": 1}


def test_videos_of_cvat_say_how_to_export_them(tmp_path: Path) -> None:
    as_cvat(tmp_path / "data")
    file = tmp_path / "data" / "annotations.xml"
    file.write_text(file.read_text().replace("</annotations>", "<track/></annotations>"))
    assert "CVAT for images 1.1" in refusal(tmp_path / "out", "yolo", kind="auto", path=str(tmp_path / "data"))


@pytest.mark.parametrize("labels", ["cat|dog", "cat;dog"])
def test_several_labels_an_image_are_refused(labels: str, tmp_path: Path) -> None:
    as_table(tmp_path / "data")
    table = pd.read_csv(tmp_path / "data" / "labels.csv", sep=";")
    table.loc[4, "label"] = labels
    table.to_csv(tmp_path / "data" / "labels.csv", index=False)
    found = refusal(tmp_path / "out", "image_folder", kind="auto", path=str(tmp_path / "data"))
    assert "labels.csv:6 has several labels (cat, dog)" in found


def test_archives_that_cannot_be_unpacked(tmp_path: Path) -> None:
    zipped(as_folders)(tmp_path / "data")
    archive = tmp_path / "data" / "export.zip"
    content = bytearray(archive.read_bytes())
    content[60:200] = bytes(140)
    archive.write_bytes(content)
    assert "export.zip can't be unpacked" in refusal(tmp_path / "out", "image_folder", kind="auto", path=str(archive))


def test_yaml_is_read_as_text_or_refused(tmp_path: Path) -> None:
    for names, expected in [
        ("[a, a]", "names a more than once"),
        ("['', b]", "a class without a name"),
        ("[null, NA]", "YAML reads None among"),
        ("[yes, no]", "YAML reads True, False among"),
        ("[[a], b]", "YAML reads ['a'] among"),
    ]:
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        as_ultralytics(tmp_path / "data")
        content = yaml.safe_load((tmp_path / "data" / "data.yaml").read_text())
        del content["names"]
        (tmp_path / "data" / "data.yaml").write_text(yaml.safe_dump(content) + f"names: {names}\n")
        assert expected in refusal(tmp_path / "out", "yolo", path=str(tmp_path / "data"))
    (tmp_path / "data" / "data.yaml").write_text(
        yaml.safe_dump(content) + "names: {'0': bolt, '1': nut, '2': washer}\n"
    )
    assert run(tmp_path / "out", "yolo", path=str(tmp_path / "data")).classes == CLASSES


def test_files_that_seem_to_be_labels_are_not_passed_over(tmp_path: Path) -> None:
    """Folders beside a table of unknown columns, broken JSON or YAML are not taken for classes."""
    for name, text in {
        "labels.csv": "Bild;Klasse\na/0.png;good\n",
        "instances.json": "",
        "list.json": "[1, 2]",
        "data.yaml": "names: [a, b\ntrain: x\n",
    }.items():
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        labelled(tmp_path / "data", lambda split, label, index: f"{label}/{split}{index}.png")
        (tmp_path / "data" / name).write_text(text)
        found = refusal(tmp_path / "out", "image_folder", kind="auto", path=str(tmp_path / "data"))
        assert name in found
    (tmp_path / "data" / name).unlink()
    (tmp_path / "data" / "labels").mkdir()
    (tmp_path / "data" / "labels" / "one.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    found = refusal(tmp_path / "out", "image_folder", kind="auto", path=str(tmp_path / "data"))
    assert "labels/*.txt without a data.yaml" in found


def test_boxes_of_coco_in_fractions_are_refused(tmp_path: Path) -> None:
    as_coco(tmp_path / "data")
    file = tmp_path / "data" / "annotations" / "instances_test2017.json"
    content = json.loads(file.read_text())
    for annotation in content["annotations"]:
        annotation["bbox"] = [value / 64 for value in annotation["bbox"]]
    file.write_text(json.dumps(content))
    assert "in fractions" in refusal(tmp_path / "out", "yolo", kind="auto", path=str(tmp_path / "data"))


def test_archives_hold_one_folder_or_all(tmp_path: Path) -> None:
    as_coco(tmp_path / "content" / "my export")
    (tmp_path / "data").mkdir()
    archive = shutil.make_archive(str(tmp_path / "data" / "task 1 (2)"), "zip", tmp_path / "content")
    prepared = run(tmp_path / "out", "yolo", kind="auto", path=str(tmp_path / "data"))
    assert problems(prepared) == {}
    shutil.copy(archive, tmp_path / "data" / "more.zip")
    assert "has 2 archives" in refusal(tmp_path / "two", "yolo", kind="auto", path=str(tmp_path / "data"))
    (tmp_path / "data" / "more.zip").unlink()
    whole = Path(archive).read_bytes()
    (tmp_path / "data" / "task 1 (2).zip").write_bytes(whole[: len(whole) // 2])
    assert "or damaged" in refusal(tmp_path / "three", "yolo", kind="auto", path=str(tmp_path / "data"))


def test_a_folder_is_a_split_by_its_whole_name(tmp_path: Path) -> None:
    rows = [
        {"path": f"{rig}/{label}{index}.png", "label": label}
        for rig in ("test_rig", "dev board")
        for label in ("cat", "dog")
        for index in range(5)
    ]
    for seed, row in enumerate(rows):
        draw(tmp_path / "data" / row["path"], seed)
    pd.DataFrame(rows).to_csv(tmp_path / "data" / "labels.csv", index=False)
    prepared = run(tmp_path / "out", "image_folder", kind="auto", path=str(tmp_path / "data"))
    assert prepared.manifest["splits"]["main"] == {"train": 12, "val": 4, "test": 4}, "cut from all of them"


ODD = 'a.Z/\\:*?% é漢\t"<|>~-_'
odd_labels = st.text(st.sampled_from(ODD), min_size=1, max_size=8).map(str.strip).filter(bool)


@given(odd_labels | st.sampled_from(["..", ".", "../../x", "/etc/x", "CON", "aux.b", "a" * 300, "é" * 200, "C:\\x"]))
def test_whatever_a_class_is_called_it_is_one_folder(label: str) -> None:
    name = names.folder_name(label)
    assert Path("site", "train", name).parts == ("site", "train", name) and Path(name).name == name != ""
    assert name not in {".", ".."} and len(name.encode()) <= 200 and not set('/\\:*?"<>|\t') & set(name)
    assert names.folder_name("bolt 7.5 é") == "bolt 7.5 é", "what is a name stays as it is"


def table(root: Path, rows: list[str], head: str = "path,label") -> None:
    write_text(root / "labels.csv", "\n".join([head, *rows]) + "\n")


def test_labels_lead_nowhere(tmp_path: Path) -> None:
    """They are what a table says, and become folders."""
    root, outside = tmp_path / "data", tmp_path / "outside"
    names = ["ok", "../../../../outside", "..", str(outside), "a/b"]
    for index in range(40):
        draw(root / f"{index}.png", index)
    table(root, [f"{index}.png,{names[index % 5]}" for index in range(40)])
    run(tmp_path / "out", "image_folder", kind="auto", path=str(root))
    out = tmp_path / "out"
    items = pd.read_csv(out / "data" / "prepared" / "items.csv")
    assert set(items["label"]) == set(names) and not outside.exists()
    below = (out / "data" / "prepared").resolve()
    for path in items["path"]:
        assert (below / path).resolve().is_relative_to(below / "main") and (below / path).is_file()
        assert len(Path(path).parts) == 4


@pytest.mark.parametrize("word", ["final", "banana", "tran"])
def test_a_split_that_nobody_knows_is_told(tmp_path: Path, word: str) -> None:
    for index in range(12):
        draw(tmp_path / "data" / f"{index}.png", index)
    table(tmp_path / "data", [f"{i}.png,{'ab'[i % 2]},{word if i == 7 else ''}" for i in range(12)], "path,label,split")
    told = refusal(tmp_path / "out", "image_folder", kind="auto", path=str(tmp_path / "data"))
    assert f"labels.csv:9 {word}" in told
    assert ("data.source.fractions.final" in told) == (word == "final")


def test_a_path_is_no_other_file_of_its_name(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for index in range(12):
        draw(root / "A" / f"{index}.png", index)
    draw(tmp_path / "outside" / "3.png", 99)
    table(root, [f"{'B' if i == 5 else 'A'}/{i}.png,{'ab'[i % 2]}" for i in range(12)])
    assert problems(run(tmp_path / "out", "image_folder", kind="auto", path=str(root)))["found_by_name"] == 1
    table(root, [f"{'../outside' if i == 3 else 'A'}/{i}.png,{'ab'[i % 2]}" for i in range(12)])
    assert " ../outside/3.png " in refusal(tmp_path / "refused", "image_folder", kind="auto", path=str(root))
