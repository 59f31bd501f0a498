"""Instance segmentation: outlines in every format that has them, masks measured as COCO does, trained and used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_prepare import bytes_below, config, draw
from workspace import SMALL, Workspace, load

pytest.importorskip("ultralytics")
Get = Callable[[str], Workspace]
boxes = load("data.shared.boxes")
rle = load("data.shared.rle")
masks = load("tasks.segmentation.networks.masks")
task = load("tasks.segmentation")
scoring = load("tasks.segmentation.evaluation.scoring")
fusion = load("tasks.segmentation.evaluation.fusion")
prepared_data = load("shared.prepared")
UserError = load("shared.errors").UserError

CLASSES = ["bolt", "nut"]
SIZE = 40, 30  # width, height
SPLITS = {"train": 4, "val": 2, "test": 2}
OUTLINES = [[2, 3, 18, 3, 18, 20, 10, 12, 2, 20], [22, 5, 36, 5, 36, 28]]  # x, y, … in pixels, an object each


# ---- formats ------------------------------------------------------------------------------------------------------


def images(root: Path) -> list[tuple[str, str]]:
    """The images of a data set: split and name."""
    named = [(split, f"{split}{index}") for split, number in SPLITS.items() for index in range(number)]
    for number, (split, name) in enumerate(named):
        draw(root / split / "images" / f"{name}.png", number, SIZE)
    return named


def as_yolo(root: Path) -> None:
    for split, name in images(root):
        rows = [
            " ".join([str(label), *(f"{value / SIZE[place % 2]:.6f}" for place, value in enumerate(outline))])
            for label, outline in enumerate(OUTLINES)
        ]
        (root / split / "labels").mkdir(exist_ok=True)
        (root / split / "labels" / f"{name}.txt").write_text("\n".join(rows))
    places = {split: f"{split}/images" for split in SPLITS}
    (root / "data.yaml").write_text(json.dumps(places | {"names": CLASSES}))


def as_coco(root: Path) -> None:
    named = images(root)
    for split in SPLITS:
        own = [name for where, name in named if where == split]
        content = {
            "images": [
                {"id": n, "file_name": f"{name}.png", "width": SIZE[0], "height": SIZE[1]} for n, name in enumerate(own)
            ],
            "annotations": [
                {"id": n * 2 + label, "image_id": n, "category_id": label, "segmentation": [outline], "bbox": bbox}
                for n in range(len(own))
                for label, (outline, bbox) in enumerate(zip(OUTLINES, ([2, 3, 16, 17], [22, 5, 14, 23]), strict=True))
            ],
            "categories": [{"id": label, "name": name} for label, name in enumerate(CLASSES)],
        }
        (root / split / "_annotations.coco.json").write_text(json.dumps(content))


def points(outline: list[int]) -> str:
    """As CVAT writes them."""
    return ";".join(f"{x},{y}" for x, y in np.reshape(outline, (-1, 2)))


def as_cvat(root: Path) -> None:
    entries = []
    for number, (split, name) in enumerate(images(root)):
        shapes = "".join(
            f'<polygon label="{name_of}" points="{points(outline)}"/>'
            for name_of, outline in zip(CLASSES, OUTLINES, strict=True)
        )
        entries.append(
            f'<image id="{number}" name="{name}.png" subset="{split}" width="{SIZE[0]}" height="{SIZE[1]}">{shapes}'
            "</image>"
        )
    labels = "".join(f"<label><name>{name}</name></label>" for name in CLASSES)
    meta = f"<meta><job><labels>{labels}</labels></job></meta>"
    (root / "annotations.xml").write_text(f"<annotations>{meta}{''.join(entries)}</annotations>")


def prepare(out: Path, data: Path, name: str = "segmentation") -> Any:
    """Prepare what lies in `data` as `-S task=… -S data=own` does."""
    cfg = config("yolo", kind="auto", task=name, path=str(data))
    cfg.data.task = name
    load("stages.prepare").run(cfg, out)
    return prepared_data.Prepared(out / "data" / "prepared")


def test_the_same_outlines_in_every_format_are_prepared_alike(tmp_path: Path) -> None:
    found = []
    for write in (as_yolo, as_coco, as_cvat):
        root = tmp_path / write.__name__
        root.mkdir()
        write(root)
        prepared = prepare(tmp_path / f"out-{write.__name__}", root)
        labels, polygons = task.outlines(prepared.items("train", "all")[0])
        assert labels.tolist() == [0, 1]
        for polygon, outline in zip(polygons, OUTLINES, strict=True):
            assert (polygon * SIZE).ravel() == pytest.approx(outline, abs=1e-3)
        assert prepared.manifest["counts"]["main"]["train"] == {"bolt": 4, "nut": 4}
        found.append(bytes_below(prepared.root))
    assert found[0] == found[1] == found[2]
    assert prepare(tmp_path / "as boxes", tmp_path / "as_coco", "detection").task == "detection"
    (tmp_path / "labels only").mkdir()
    assert prepare(tmp_path / "labels only", tmp_path / "as_cvat", "multilabel").classes == CLASSES


def test_boxes_among_outlines_are_named_and_outlined(tmp_path: Path) -> None:
    as_yolo(tmp_path)
    file = tmp_path / "train" / "labels" / "train0.txt"
    file.write_text(file.read_text() + "\n1 0.5 0.5 0.2 0.2")
    prepared = prepare(tmp_path / "out", tmp_path)
    checks = {check["check"]: check["count"] for check in prepared.manifest["checks"]}
    assert checks["boxes_as_outlines"] == 1 and checks["polygons"] == 0
    _, polygons = task.outlines(prepared.items("train", "all")[0])
    assert polygons[-1].ravel() == pytest.approx([0.4, 0.4, 0.6, 0.4, 0.6, 0.6, 0.4, 0.6])


# ---- masks in run lengths -----------------------------------------------------------------------------------------


def runs(whole: np.ndarray) -> list[int]:
    """A mask's run lengths, column by column, beginning with what is not in it."""
    flat = np.concatenate([[0], whole.T.ravel(), [2]])
    borders = np.flatnonzero(np.diff(flat))
    lengths = np.diff(np.concatenate([[0], borders])).tolist()
    return lengths if sum(lengths) == whole.size else [*lengths, whole.size - sum(lengths)]


def as_text(lengths: list[int]) -> str:
    """As pycocotools' rleToString writes them."""
    text = ""
    for number, length in enumerate(lengths):
        value, more = length - (lengths[number - 2] if number > 2 else 0), True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr((bits | 32 * more) + 48)
    return text


WHOLE = np.zeros((30, 40), int)  # two parts, one with a hole
WHOLE[3:20, 2:18], WHOLE[10:14, 6:9], WHOLE[22:28, 30:38] = 1, 0, 1
BY_PYCOCOTOOLS = "o1a0=000000FGO91GO91GO9;0000000000000000k;E`D0000000000000V1"


def test_masks_are_read_as_pycocotools_reads_them() -> None:
    assert as_text(runs(WHOLE)) == BY_PYCOCOTOOLS
    for counts in (BY_PYCOCOTOOLS, runs(WHOLE)):
        assert (rle.mask({"size": [30, 40], "counts": counts}, (40, 30)) == WHOLE).all()


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), height=st.integers(1, 24), width=st.integers(1, 24), share=st.floats(0.05, 1))
def test_a_masks_outline_is_around_the_same_pixels(seed: int, height: int, width: int, share: float) -> None:
    whole = (np.random.default_rng(seed).random((height, width)) < share).astype(int)
    segmentation = {"size": [height, width], "counts": as_text(runs(whole))}
    assume(whole.any())
    rings = rle.outlines(segmentation, (width, height))
    found = masks.Mask.inside(boxes.joined(rings) / [width, height], (height, width))
    again = np.zeros((height, width), int)
    again[found.top : found.top + len(found.pixels), found.left : found.left + found.pixels.shape[1]] = found.pixels
    assert (again == whole).all()


@pytest.mark.parametrize("compressed", [True, False])
def test_masks_of_coco_are_outlines(compressed: bool, tmp_path: Path) -> None:
    as_coco(tmp_path)
    counts = BY_PYCOCOTOOLS if compressed else runs(WHOLE)
    file = tmp_path / "train" / "_annotations.coco.json"
    content = json.loads(file.read_text())
    content["annotations"][0] |= {"segmentation": {"size": [30, 40], "counts": counts}, "bbox": [2, 3, 36, 25]}
    file.write_text(json.dumps(content))
    prepared = prepare(tmp_path / "out", tmp_path)
    assert {check["check"]: check["count"] for check in prepared.manifest["checks"]}["boxes_as_outlines"] == 0
    item = next(item for item in prepared.items("train", "all") if item.path.stem == "train0")
    labels, polygons = task.outlines(item)
    mask = masks.Mask.inside(polygons[labels.tolist().index(0)], (30, 40))
    assert mask.area == WHOLE.sum() and (mask.top, mask.left) == (3, 2)


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        ({"size": [30, 40], "counts": "o1a0=0"}, "of 110 pixels, for an image of 1200"),
        ({"size": [40, 30], "counts": [1200]}, "for an image of [30, 40]"),
        ({"size": [30, 40], "counts": [1200]}, "without a pixel"),
        ({"size": [30, 40], "counts": [-1, 1201]}, "neither numbers from 0"),
        ({"size": [30, 40], "counts": "o1a0=0~"}, "'~' in its counts"),
        ({}, "a mask of the size None"),
    ],
)
def test_damaged_masks_are_named(segmentation: dict, said: str, tmp_path: Path) -> None:
    as_coco(tmp_path)
    file = tmp_path / "train" / "_annotations.coco.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["segmentation"] = segmentation
    file.write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        prepare(tmp_path / "out", tmp_path)
    assert "Malformed label rows: 1" in str(error.value) and said in str(error.value)


def test_an_object_in_parts_is_one_outline_around_both() -> None:
    points = boxes.joined([[0, 0, 4, 0, 4, 4, 0, 4], [6, 7, 8, 7, 8, 9, 6, 9], [0, 8, 2, 8, 2, 10, 0, 10]])
    mask = masks.Mask.inside(points / 10, (10, 10))
    whole = np.zeros((10, 10), bool)
    whole[:4, :4] = whole[7:9, 6:8] = whole[8:, :2] = True
    assert mask.iou(masks.Mask.of(whole)) == 1


# ---- masks --------------------------------------------------------------------------------------------------------

drawn = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).random((7, 9)) < np.random.default_rng(seed + 1).random()
)


@given(drawn, drawn)
def test_masks_overlap_as_their_pixels_do(one: np.ndarray, other: np.ndarray) -> None:
    both, either = (one & other).sum(), (one | other).sum()
    assert masks.overlaps([masks.Mask.of(one)], [masks.Mask.of(other)])[0, 0] == (both / either if both else 0)
    assert masks.Mask.of(one).area == one.sum()


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 4), st.integers(0, 5))
def test_an_outline_and_its_mask_are_one_another(height: int, width: int, top: int, left: int) -> None:
    corners = np.array([[left, top], [left + width, top], [left + width, top + height], [left, top + height]])
    mask = masks.Mask.inside(corners / [12, 10], (10, 12))
    assert mask.area == height * width and (mask.top, mask.left) == (top, left)
    traced = np.reshape(mask.outline(), (-1, 2)) * [12, 10]
    assert traced.min(0) == pytest.approx([left + 0.5, top + 0.5], abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_of_masks_is_cocos_own(seed: int, tmp_path: Path) -> None:
    """As faster-coco-eval counts it, pycocotools' successor: to 1e-6, on masks that are no boxes."""
    library = pytest.importorskip("faster_coco_eval")
    from faster_coco_eval.core import mask as coding

    rng = np.random.default_rng(seed)
    items, predictions, truth, results = [], [], [], []
    for image in range(12):
        item = prepared_data.Item(tmp_path / "images" / f"{image}.png", "main", "test", "2")
        item.path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (80, 60)).save(item.path)
        polygons = [triangle(rng) for _ in range(3)]
        (tmp_path / "labels").mkdir(exist_ok=True)
        labels = rng.integers(0, 2, 3)
        lines = [
            f"{label} {' '.join(map(str, points.ravel()))}" for label, points in zip(labels, polygons, strict=True)
        ]
        (tmp_path / "labels" / f"{image}.txt").write_text("\n".join(lines))
        there = [masks.Mask.inside(points.astype(np.float32), (60, 80)) for points in polygons]
        truth += [annotation(coding, image, label, mask) for label, mask in zip(labels, there, strict=True)]
        moved = [masks.Mask.inside(points + rng.normal(0, 0.03, 2), (60, 80)) for points in polygons]
        said = [*moved, masks.Mask.inside(triangle(rng), (60, 80))]
        objects = np.empty(4, masks.OBJECT)
        scores = np.sort(rng.random(4))[::-1]
        order = rng.permutation(4)
        kinds = np.append(labels, 0)[order]
        objects["box"] = np.column_stack([np.tile([0.1, 0.1, 0.5, 0.5], (4, 1)), scores, kinds])
        for place, index in enumerate(order):
            objects["mask"][place] = said[index]
            row = annotation(coding, image, kinds[place], said[index])
            del row["bbox"]  # else its area would count, not the mask's
            results.append(row | {"score": float(scores[place])})
        items.append(item)
        predictions.append(objects)
    ours = scoring.score(items, predictions, CLASSES).metrics
    ground = library.COCO(
        {
            "images": [{"id": image, "width": 80, "height": 60} for image in range(12)],
            "annotations": [row | {"id": number} for number, row in enumerate(truth, 1)],
            "categories": [{"id": index, "name": name} for index, name in enumerate(CLASSES)],
        }
    )
    theirs = library.COCOeval_faster(ground, ground.loadRes(results), "segm", print_function=lambda *_: None)
    theirs.run()
    assert (ours["mAP50_95"], ours["mAP50"]) == pytest.approx(tuple(theirs.stats[:2]), abs=1e-6)
    sizes = dict(zip(("small", "medium", "large"), theirs.stats[3:6], strict=True))
    assert {f"AP_{name}": value for name, value in sizes.items() if value >= 0} == pytest.approx(
        {key: value for key, value in ours.items() if key.startswith("AP_")}, abs=1e-6
    )


def triangle(rng: np.random.Generator) -> np.ndarray:
    """An outline that is seldom small: (3, 2), as fractions."""
    return (rng.random((3, 2)) * 0.6 + rng.random(2) * 0.4).round(4)


def annotation(coding: Any, image: int, label: Any, mask: Any) -> dict[str, Any]:
    whole = np.zeros((60, 80), np.uint8)
    height, width = mask.pixels.shape
    whole[mask.top : mask.top + height, mask.left : mask.left + width] = mask.pixels
    coded = coding.encode(np.asfortranarray(whole))
    where = np.argwhere(whole) if whole.any() else np.zeros((1, 2), int)
    (top, left), (bottom, right) = where.min(0).tolist(), (where.max(0) + 1).tolist()
    box = {"bbox": [left, top, right - left, bottom - top]}
    return {"image_id": image, "category_id": int(label), "segmentation": coded, "area": mask.area, "iscrowd": 0} | box


def test_fused_objects_have_the_mask_of_the_surest_member() -> None:
    members = []
    for sure in (0.5, 0.9, 0.7):
        objects = np.empty(1, masks.OBJECT)
        objects["box"] = [[0.1, 0.1, 0.5, 0.5, sure, 1]]
        objects["mask"][0] = masks.Mask.of(np.full((4, 4), True) * (np.arange(4) < 10 * sure - 4))
        members.append(objects)
    (fused,) = fusion.fuse(members)
    assert fused["box"][4] == pytest.approx(0.7) and fused["mask"] is members[1]["mask"][0]
    with pytest.raises(UserError, match="at least 3"):
        fusion.fuse(members[:2])


# ---- the stages ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def used(trained: Get, once: Callable[[str, Callable[[Path], None]], Workspace]) -> Workspace:
    """A small training, evaluated and quantized."""

    def make(root: Path) -> None:
        space = trained("segmentation").copy(root)
        space.run("infer", *SMALL["segmentation"])
        space.run("quant", *SMALL["segmentation"], "quant.calibration_images=16")

    return once("used-segmentation", make)


def read(space: Workspace, name: str) -> dict[str, Any]:
    return json.loads((space.root / "metrics" / f"{name}.json").read_text())


@pytest.mark.slow
def test_it_learns_and_the_best_epoch_is_that_of_the_best_masks(used: Workspace) -> None:
    trained, inferred = read(used, "train"), read(used, "infer")
    assert inferred["mAP50"] > 0.1 and inferred["objects"] == 300
    rows = (used.root / "dvclive" / "plots" / "metrics" / "val" / "mAP50_95.tsv").read_text().splitlines()[1:]
    values = [float(row.split("\t")[1]) for row in rows]
    assert trained["best_epoch"] == 1 + values.index(max(values))


@pytest.mark.slow
def test_a_quantized_model_sees_much_the_same(used: Workspace) -> None:
    quantized = read(used, "quant")
    assert abs(quantized["drop"]["mAP50"]) < 0.1 and quantized["parity"]["agreement"] > 0.8
    assert quantized["size_mb"] < quantized["torch_size_mb"]


@pytest.mark.slow
def test_predictions_have_outlines(used: Workspace) -> None:
    images = pd.read_parquet(used.root / "results" / "infer" / "predictions.parquet").head(4)
    used.run("predict", *images["path"], "--confidence", "0.25", "--table", "coco")
    found = json.loads((used.root / "predictions" / "predictions.json").read_text())
    shown = [outline for row in images["outlines"] for outline in row if len(outline)]
    assert [len(each["segmentation"][0]) for each in found["annotations"]] == [len(outline) for outline in shown]
    for each, outline in zip(found["annotations"], shown, strict=True):
        assert each["segmentation"][0] == pytest.approx(64 * np.asarray(outline), abs=0.01)


@pytest.mark.nightly
@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits(prepared: Get, tmp_path: Path) -> None:
    space = prepared("segmentation").copy(tmp_path / "seeds")
    scenes = "data.source.scenes={train: 24, val: 8, test: 8}"
    space.run("prepare", "task=segmentation", scenes)
    small = [*SMALL["segmentation"], scenes, "training.max_epochs=1"]
    first, again, other = space.run_each("train", *([*small, change] for change in ("seed=0", "seed=0", "seed=1")))
    assert first == again != other
    assert "training.label_smoothing" in space.message("train", *small, "training.label_smoothing=0.1")
