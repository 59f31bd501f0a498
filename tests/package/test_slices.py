"""Metrics by the values of a column: what a table says of its images goes all the way."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_formats import IMAGES, SPLITS, as_coco, as_cvat, as_voc
from test_prepare import refusal, run
from workspace import PROJECT, Workspace, load, make

from lab import contract
from lab.nested_keys import find, flat
from lab.records import metrics_files

CONTRACT = contract.read(PROJECT)
evaluation = load("inference.evaluation")
metrics = load("metrics")
prepared = load("shared.prepared")
UserError = load("shared.errors").UserError
compose, train = load("shared.config").compose, load("stages.train")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Forty squares, dark and bright ones, by two cameras, prepared from a table."""
    space = make(tmp_path_factory.mktemp("slices") / "space")
    folder = space.root / "datasets" / "squares"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    lines = ["path,label,camera,hour,site"]
    for number in range(40):
        label = ("dark", "bright")[number % 2]
        pixels = generator.integers(0, 90, (24, 24, 3)) + 150 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{label},{'old' if number % 3 else 'v1.5'},{number},hall {number % 2}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    run(space.root, "image_folder", kind="auto", path=str(folder))
    return space


def test_columns_of_a_table_become_slices(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(space.root)
    items = pd.read_csv("data/prepared/items.csv", dtype=str)
    assert list(items) == ["path", "site", "split", "label", "group", "sha256", "camera", "hour", "table_site"]
    data = prepared.Prepared(Path("data/prepared"))
    tested = data.items("test", "main")
    said = [np.array([0.9, 0.1]) for _ in tested]  # all bright
    scored = evaluation.score(data, tested, said, ["camera", "table_site"])
    slices = json.loads(json.dumps(scored.metrics))["slices"]
    assert slices["table_site"]["hall 0"]["accuracy"] == 0 and slices["table_site"]["hall 1"]["accuracy"] == 1
    for value, row in slices["camera"].items():
        own = [item.label == "bright" for item in tested if item.columns["camera"] == value]
        assert row == {"accuracy": pytest.approx(np.mean(own)), "f1_macro": row["f1_macro"], "images": len(own)}
        scorer = load("metrics").accuracy(scored.per_image, f"infer.slices.camera.{value}.accuracy")
        assert scorer(np.ones((len(tested), 1))) == pytest.approx(row["accuracy"])


WEATHER = {image.name: ("rain", "", "sun")[number % 3] for number, image in enumerate(IMAGES)}
COLORS = {image.name: ("red", ("red", "white")[number % 2]) for number, image in enumerate(IMAGES)}
OCCLUDED = {image.name: number % 2 == 0 for number, image in enumerate(IMAGES)}  # one of its objects


def as_labelled(root: Path, nested: bool) -> None:
    """COCO's JSON with what people add: below `attributes`, as CVAT does, or beside the other keys, as FiftyOne."""
    as_coco(root)
    for split in SPLITS:
        file = root / "annotations" / f"instances_{split}2017.json"
        content = json.loads(file.read_text())
        names = {image["id"]: Path(image["file_name"]).stem for image in content["images"]}
        for image in content["images"]:
            said = {
                "weather": WEATHER[names[image["id"]]] or None,
                "crew": ["b", "a"],
                "license": 1,
                "date_captured": "",
            }
            image |= {"extra": said} if nested else said
        for label in content["annotations"]:
            name, index = names[label["image_id"]], label["id"] % 100
            said = {"color": COLORS[name][index], "occluded": OCCLUDED[name] and index == 1, "rotation": 0.0}
            label |= {"attributes": said} if nested else said
        file.write_text(json.dumps(content))


def as_tagged(root: Path) -> None:
    """CVAT's XML: attributes of shapes and of an image's tags."""
    as_cvat(root)
    file = root / "annotations.xml"
    tree = ElementTree.parse(file)
    for entry in tree.iter("image"):
        name = Path(entry.get("name", "")).stem
        for index, box in enumerate(entry.findall("box")):
            box.set("occluded", str(int(OCCLUDED[name] and index == 1)))
            ElementTree.SubElement(box, "attribute", name="color").text = COLORS[name][index]
            ElementTree.SubElement(box, "attribute", name="parked").text = "false"
        for crew in "ab":
            tag = ElementTree.SubElement(entry, "tag", label="scene")
            ElementTree.SubElement(tag, "attribute", name="crew").text = crew
            ElementTree.SubElement(tag, "attribute", name="weather").text = WEATHER[name]
    label = ElementTree.SubElement(next(tree.iter("labels")), "label")
    ElementTree.SubElement(label, "name").text, ElementTree.SubElement(label, "type").text = "scene", "tag"
    tree.write(file)


def as_described(root: Path) -> None:
    """Pascal VOC's XML: the flags of its objects, CVAT's attributes, and elements of one's own below the image."""
    as_voc(root)
    for file in (root / "Annotations").glob("*.xml"):
        tree, name = ElementTree.parse(file), file.stem
        for index, entry in enumerate(tree.iter("object")):
            said = {"pose": "Unspecified", "truncated": "0", "difficult": "0"}
            for key, value in (said | {"occluded": str(int(OCCLUDED[name] and index == 1))}).items():
                ElementTree.SubElement(entry, key).text = value
            ElementTree.SubElement(ElementTree.SubElement(entry, "actions"), "running").text = "0"
            attributes = ElementTree.SubElement(entry, "attributes")
            for key, value in {"color": COLORS[name][index], "parked": "False", "rotation": "0.0"}.items():
                attribute = ElementTree.SubElement(attributes, "attribute")
                ElementTree.SubElement(attribute, "name").text = key
                ElementTree.SubElement(attribute, "value").text = value
        for key, value in {"segmented": "0", "weather": WEATHER[name], "crew": "a and b"}.items():
            ElementTree.SubElement(tree.getroot(), key).text = value
        tree.write(file)


WAYS = {
    "nested": lambda root: as_labelled(root, True),
    "flat": lambda root: as_labelled(root, False),
    "cvat": as_tagged,
    "voc": as_described,
}


@pytest.mark.parametrize("way", WAYS)
def test_attributes_of_labels_become_slices(way: str, tmp_path: Path) -> None:
    """An image's own, and all values that its objects have; of these, what is so of none isn't told."""
    WAYS[way](tmp_path / "data")
    data = run(tmp_path / "out", "yolo", kind="auto", path=str(tmp_path / "data"))
    assert data.classes == ["bolt", "nut", "washer"]
    own = ["color", "crew", "occluded", *(["tag"] if way == "cvat" else ()), "weather"]
    extra = {"license", "date_captured"} if way == "nested" else set()  # not COCO's own inside another mapping
    for split in SPLITS:
        for item in data.items(split, "main"):
            name = item.path.stem
            boxed = bool(next(image for image in IMAGES if image.name == name).boxes)
            assert [column for column in item.columns if column not in extra][6:] == own
            assert item.columns["weather"] == WEATHER[name] and item.columns["crew"] == "a and b"
            assert item.columns["color"] == (" and ".join(sorted(set(COLORS[name]))) if boxed else "")
            assert item.columns["occluded"] == ("true" if boxed and OCCLUDED[name] else "")
    grouped = refusal(tmp_path / "grouped", "yolo", kind="auto", path=str(tmp_path / "data"), group="crew")
    assert "a and b" in grouped, "its images are in all splits"
    tested = data.items("test", "main")
    found = [np.array([[0.1, 0.1, 0.5, 0.6, 0.9, number % 3]]) for number, _ in enumerate(tested)]
    prepared.check_slices(["weather", "occluded"], tested)
    scored = evaluation.score(data, tested, found, ["weather", "occluded"])
    parts = scored.metrics["slices"]["occluded"]
    assert {value: row["images"] for value, row in parts.items()} == {"true": 2, "none": 1}
    for column, values in scored.metrics["slices"].items():
        for value, row in values.items():
            scorer = metrics.average_precision(scored.per_image, f"infer.slices.{column}.{value}.mAP50")
            assert scorer(np.ones((len(tested), 1))) == pytest.approx(row["mAP50"])


NAMES = st.text(st.sampled_from("ab.1–_ {\n·ü:"), min_size=1, max_size=6).filter(str.strip)


@given(
    classes=st.lists(NAMES, min_size=2, max_size=3, unique=True),
    sites=st.lists(NAMES, min_size=2, max_size=2, unique=True),
    tables=st.lists(st.tuples(NAMES, st.lists(NAMES, min_size=2, max_size=2, unique=True)), min_size=1, max_size=2),
)
@settings(max_examples=12, deadline=None)
def test_any_name_is_a_key(classes: list[str], sites: list[str], tables: list[tuple[str, list[str]]]) -> None:
    """What is measured is found, told and computed anew by its key, whatever classes, sites, columns, values are."""
    columns = {f"image.{column}": values for column, values in tables}
    items = [
        prepared.Item(
            Path(f"{number}.png"),
            sites[number % 2],
            "test",
            classes[number % len(classes)],
            columns={column: values[number // 2 % 2] for column, values in columns.items()},
        )
        for number in range(12)
    ]
    if len({prepared.slice_name(column) for column in columns}) < len(columns):
        with pytest.raises(UserError, match="metrics call both"):
            prepared.check_slices([*columns], items)
        return
    data = SimpleNamespace(task="classification", classes=classes)
    said = [np.eye(len(classes))[number // 3 % len(classes)] for number in range(12)]
    scored = evaluation.score(data, items, said, [*columns])
    content = {"infer": metrics_files.parsed("metrics/infer.json", json.dumps(scored.metrics))}
    scorers = {"f1_macro": metrics.f1, "f1": metrics.f1, "accuracy": metrics.accuracy}
    told = set()
    for key, value in flat(content).items():
        assert find(content, key) == value
        name = key.rpartition(".")[2]
        if name in scorers:
            computed = scorers[name](scored.per_image, key)(np.ones((12, 1)))
            assert computed == pytest.approx(value), key
            told.add((metric := CONTRACT.metric(key)).title)
            assert metric.known, key
    wanted = {f"F1 of class {name}" for name in scored.metrics["classes"]}
    wanted |= {f"macro-F1 at site {site}" for site in sites}
    for column, values in columns.items():
        wanted |= {f"macro-F1 of {column.replace('.', '_')} {value}" for value in values}
    assert wanted <= told


def test_an_empty_cell_is_no_value_whatever_the_values_are() -> None:
    for said in (["", "old"], ["", "none"], ["", "none", "(none)"]):
        found = evaluation.values([SimpleNamespace(columns={"camera": value}) for value in said], "camera")
        assert found[1:] == said[1:] and len(set(found)) == len(said) and found[0]


@pytest.mark.parametrize(
    ("column", "words"),
    [("camra", "no column camra .* Did you mean 'camera'"), ("hour", "hour has .* values"), ("path", "no column path")],
)
def test_what_is_no_slice_is_refused(
    space: Workspace, column: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(space.root)
    monkeypatch.setattr(prepared, "MOST_SLICES", 4)
    data = prepared.Prepared(Path("data/prepared"))
    tested = data.items("test", "main")
    with pytest.raises(UserError, match=words):
        prepared.check_slices(["camera", column], tested)


@pytest.mark.parametrize(
    ("setting", "words"),
    [("infer.slices=[camra]", "no column camra .* Did you mean 'camera'"), ("infer.site=man", "No site 'man' .*main")],
)
def test_training_does_not_begin_where_infer_would_refuse(
    space: Workspace, setting: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(space.root)
    monkeypatch.setattr(train.registry, "training", None)
    with pytest.raises(UserError, match=words):
        train.run(compose(["task=classification", "data=own", setting]), tmp_path)
