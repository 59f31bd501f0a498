"""What prepare must see in users' data: what is stale, left out or wrong is refused, or counted and named."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_prepare import config, draw, make_folders, make_yolo, message, number_of_images, problems, refusal, run
from workspace import load

checks, dataset = load("data.shared.checks"), load("data.shared.dataset")
detection, yolo = load("tasks.detection"), load("data.sources.yolo")
layout = load("shared.prepared")


def images_of(prepared: Any) -> int:
    return sum(sum(splits.values()) for splits in prepared.manifest["splits"].values())


def places(out: Path, check: str) -> list[str]:
    with (out / "data" / "findings.csv").open(newline="") as file:
        return [row["place"] for row in csv.DictReader(file) if row["check"] == check]


# ---- stale: what DVC doesn't watch --------------------------------------------------------------------------------


def test_a_file_of_the_data_is_not_its_path(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 8})
    found = refusal(tmp_path / "out", "yolo", path=str(root / "data.yaml"))
    assert f"-S data.source.path={root}" in found


@pytest.mark.parametrize("linked", ["images", "labels", "images/train"])
def test_linked_folders_outside_are_refused(linked: str, tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 8})
    (root / linked).rename(tmp_path / "elsewhere")
    (root / linked).symlink_to(tmp_path / "elsewhere")
    found = refusal(tmp_path / "out", "yolo", path=str(root))
    assert "Linked folders outside data.source.path: " in found
    assert f"-> {tmp_path / 'elsewhere'}" in found


def test_a_data_yaml_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    make_yolo(tmp_path / "other", {"train": 8})
    root = make_yolo(tmp_path / "mine", {"train": 8}, path=str(tmp_path / "other"))
    assert "outside data.source.path" in refusal(tmp_path / "out", "yolo", path=str(root))


# ---- left out -----------------------------------------------------------------------------------------------------


def test_links_inside_the_data_are_followed_and_dangling_ones_named(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 15})
    make_yolo(root / "more", {"extra": 5}, seed=500)
    (root / "images" / "train" / "linked").symlink_to(root / "more" / "images" / "extra")
    (root / "images" / "train" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (root / "images" / "train" / "loop").symlink_to(root / "images" / "train")
    prepared = run(tmp_path / "out", "yolo", path=str(root))
    assert images_of(prepared) == 20
    assert problems(prepared)["dangling_links"] == 1
    assert places(tmp_path / "out", "dangling_links") == [str(root / "images" / "train" / "gone.png")]


def test_a_link_to_a_folder_above_adds_nothing(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "mine", {"cat": 8, "dog": 8})
    (root / "cat" / "all").symlink_to(root)
    prepared = run(tmp_path / "out", "image_folder", path=str(root))
    assert (images_of(prepared), problems(prepared)) == (16, {})


def test_classes_that_a_person_reads_as_one_are_named(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "mine", {"Cat": 8, "cat ": 8, "dog": 8})
    prepared = run(tmp_path / "out", "image_folder", path=str(root))
    assert problems(prepared) == {"names_alike": 1}
    assert "'Cat' ~ 'cat '" in message(prepared, "names_alike")


def test_files_that_dvc_has_linked_to_its_cache_are_read(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "mine", {"cat": 8, "dog": 8})
    for file in sorted(root.rglob("*.png")):
        kept = tmp_path / "cache" / file.parent.name / file.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(file, kept)
        file.symlink_to(kept)
    prepared = run(tmp_path / "out", "image_folder", path=str(root))
    assert (images_of(prepared), problems(prepared)) == (16, {})


def test_images_beside_class_folders_and_empty_folders_are_named(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "mine", {"cat": 8, "dog": 8, "notes": 0, ".": 2})
    prepared = run(tmp_path / "out", "image_folder", path=str(root))
    assert prepared.classes == ["cat", "dog"]
    assert problems(prepared) == {"stray_images": 2, "empty_folders": 1}


@pytest.mark.parametrize("junk", ["@eaDir", "__MACOSX", ".ipynb_checkpoints", "lost+found"])
@pytest.mark.parametrize("where", ["", "cat"])
def test_what_programs_leave_is_no_data(junk: str, where: str, tmp_path: Path) -> None:
    root = make_folders(tmp_path / "mine", {"cat": 8, "dog": 8})
    draw(root / where / junk / "thumbnail.png", 900)
    prepared = run(tmp_path / "out", "image_folder", path=str(root))
    assert (prepared.classes, images_of(prepared)) == (["cat", "dog"], 16)
    assert problems(prepared) == {"junk": 1}


# ---- wrong: folders that are something else -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("Train", "Valid", "Test"),
        ("Training", "validation", "Testing"),
        ("TRAIN", "dev", "holdout"),
        ("seg_train", "seg_val", "seg_test"),
        ("train_set", "val_set", "test_set"),
    ],
)
def test_splits_by_any_usual_name(train: str, val: str, test: str, tmp_path: Path) -> None:
    classes = {f"{split}/{label}": 2 for split in (train, val, test) for label in ("cat", "dog")}
    prepared = run(tmp_path / "out", "image_folder", path=str(make_folders(tmp_path / "mine", classes)))
    assert (prepared.classes, number_of_images(prepared)) == (["cat", "dog"], (4, 4, 4))


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ({"images/cat": 6, "images/dog": 6}, "-S data.source.path="),
        ({"north/cat": 6, "north/dog": 6, "south/cat": 6, "south/dog": 6}, "-S 'data.source.sites=[north,south]'"),
        ({"north/Training/cat": 6, "south/Testing/cat": 6}, "-S 'data.source.sites=[north,south]'"),
        ({"cat": 9}, "A single class"),
    ],
)
def test_other_structures_are_refused_with_what_they_seem(
    folders: dict[str, int], expected: str, tmp_path: Path
) -> None:
    root = make_folders(tmp_path / "mine", folders)
    assert expected in refusal(tmp_path / "out", "image_folder", path=str(root))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "mine", {"bus": 8, "car": 8, "train": 8})
    assert run(tmp_path / "out", "image_folder", path=str(root)).classes == ["bus", "car", "train"]


def test_one_image_in_two_classes_is_refused(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "mine", {"cat": 8, "dog": 8})
    shutil.copy(root / "cat" / "3.png", root / "dog" / "copy.png")
    assert "Images in more than one class: 1" in refusal(tmp_path / "out", "image_folder", path=str(root))


def test_what_is_told_of_places_is_short_and_names_each_once() -> None:
    """Ten near-duplicates with long names are cut; the same row of a table twice is one path."""

    def told(check: str, images: list[Any]) -> Any:
        found = checks.check(dataset.Dataset("classification", [], images))
        return next(finding for finding in found if finding.check == check)

    def image(name: str, digest: object) -> Any:
        return dataset.Sample("main", "train", "", Path(name), digest=str(digest), alike="0")

    alike = told("near_duplicates", [image(f"{'x' * 60}{n}.png", n) for n in range(10)])
    assert len(alike.message) < 260 and " …" in alike.message and "x9.png" in alike.places[0]
    assert told("duplicates_within_split", 2 * [image("a.png", 0)]).places == ("a.png = a.png",)


@given(st.integers(1, 300), st.integers(1, 300))
def test_what_is_wrong_is_named_however_long_the_paths_around_it_are(before: int, behind: int) -> None:
    place = f"/{'x' * before}/labels.csv:7 ../outside/3.png (there is /{'y' * behind}/A/3.png)"
    told = dataset.in_short(place)
    assert "/labels.csv:7 ../outside/3.png (there is /" in told and told.endswith("/A/3.png)") and len(told) < 260


def test_three_images_a_class_are_enough_to_divide(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "mine", {"cat": 3, "dog": 3})
    assert number_of_images(run(tmp_path / "out", "image_folder", path=str(root))) == (2, 2, 2)


# ---- wrong: labels ------------------------------------------------------------------------------------------------


def test_the_same_row_counts_once(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 8, "val": 2, "test": 2})
    for file in root.glob("labels/*/*.txt"):
        file.write_text(3 * file.read_text())
    prepared = run(tmp_path / "out", "yolo", path=str(root))
    assert all(len(detection.boxes(item)) == 1 for item in prepared.items("train", "main"))
    assert problems(prepared) == {"repeated_labels": 24}


@given(
    corners=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=8).filter(
        lambda points: all(max(axis) - min(axis) > 0.01 for axis in zip(*points, strict=True))
    )
)
@settings(max_examples=15, deadline=None)
def test_polygons_become_the_boxes_around_them(
    corners: list[tuple[float, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("polygons")
    root = make_yolo(folder / "mine", {"train": 2, "val": 2, "test": 2})
    flat = " ".join(f"{value:.8f}" for corner in corners for value in corner)
    (root / "labels" / "train" / "train0.txt").write_text(f"0 {flat}\n")
    found = yolo.read(config("yolo", path=str(root)).data.source)
    xs, ys = zip(*corners, strict=True)
    expected = [0, (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2, max(xs) - min(xs), max(ys) - min(ys)]
    (sample,) = [sample for sample in found.samples if sample.name == "train0"]
    np.testing.assert_allclose(sample.boxes, [expected], atol=2e-6)
    assert [finding.check for finding in found.findings if finding.count] == ["polygons"]


def test_a_hair_beyond_the_edge_is_clipped(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 2, "val": 2, "test": 2})
    (root / "labels" / "train" / "train0.txt").write_text("0 -0.0000001 0.5 0.5 1.0000001\n1 1.009 0.5 0.2 0.2\n")
    prepared = run(tmp_path / "out", "yolo", path=str(root))
    (item,) = [item for item in prepared.items("train", "main") if item.path.stem == "train0"]
    found = detection.boxes(item)
    assert (found[:, 1:3] - found[:, 3:] / 2).min() >= -1e-6
    assert (found[:, 1:3] + found[:, 3:] / 2).max() <= 1 + 1e-6


def test_a_validation_split_without_objects_is_refused_before_training(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 4, "val": 2, "test": 2})
    for file in (root / "labels" / "val").iterdir():
        file.write_text("")
    assert "on which nothing can be measured: 1 (main/val)" in refusal(tmp_path / "out", "yolo", path=str(root))


def test_every_place_is_written_also_on_refusal(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 9, "val": 2, "test": 2})
    for index in range(7):
        (root / "labels" / "train" / f"train{index}.txt").write_text("9 0.5 0.5 0.1 0.1\n")
    assert "Malformed label rows: 7 (" in refusal(tmp_path / "out", "yolo", path=str(root))
    assert len(places(tmp_path / "out", "malformed_labels")) == 7


# ---- wrong: pixels ------------------------------------------------------------------------------------------------

GREY = np.linspace(0, 1, 12 * 16).reshape(12, 16)


def write_deep(root: Path, scale: float, kind: Any, suffix: str = "tif") -> Path:
    for number, name in enumerate(("cat", "dog")):
        for index in range(4):
            file = root / name / f"{index}.{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((np.roll(GREY, 4 * number + index) * scale).astype(kind)).save(file)
    return root


@pytest.mark.parametrize(
    ("scale", "kind"), [(1, np.float32), (255, np.float32), (65535, np.uint16), (4095, np.uint16), (1023, np.int32)]
)
def test_deep_images_become_8_bits_of_their_whole_range(scale: float, kind: Any, tmp_path: Path) -> None:
    root = write_deep(tmp_path / "mine", scale, kind)
    prepared = run(tmp_path / "out", "image_folder", path=str(root), near_duplicates=False)
    assert problems(prepared) == {"converted_images": 8}
    for item in (item for split in layout.SPLITS for item in prepared.items(split, "main")):
        pixels = layout.read_image(item)
        expected = np.roll(GREY, 4 * ["cat", "dog"].index(item.label) + int(item.path.stem)) * 255
        assert np.abs(pixels[..., 0] - expected).max() <= 1 + 255 / max(scale, 255)
        with Image.open(item.path) as written:
            assert (written.mode, written.format) == ("RGB", "PNG")


@pytest.mark.parametrize("values", [(-1.0, 1.0), (0.0, 1e9), (float("nan"), 1.0)])
def test_pixels_that_are_no_brightness_are_refused(values: tuple[float, float], tmp_path: Path) -> None:
    root = make_folders(tmp_path / "mine", {"cat": 8, "dog": 8})
    pixels = np.full((12, 16), values[1], dtype=np.float32)
    pixels[0] = values[0]
    Image.fromarray(pixels).save(root / "cat" / "odd.tif")
    assert "Images whose pixels are no brightnesses" in refusal(tmp_path / "out", "image_folder", path=str(root))


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "mine", {"cat": 8, "dog": 8})
    pixels = np.zeros((12, 16, 4), dtype=np.uint8)
    pixels[:6, :, 3] = 255  # opaque black above, transparent black below
    Image.fromarray(pixels).save(root / "cat" / "cut.png")
    prepared = run(tmp_path / "out", "image_folder", path=str(root))
    assert problems(prepared) == {"converted_images": 1}
    (file,) = prepared.root.rglob("cut.png")
    assert np.asarray(Image.open(file))[[0, 11], 0].tolist() == [[0, 0, 0], [255, 255, 255]]
    assert message(prepared, "converted_images").endswith("cut.png (transparent)).")


# ---- the page -----------------------------------------------------------------------------------------------------


def test_the_page_shows_what_there_is_and_nothing_from_outside_is_markup(tmp_path: Path) -> None:
    root = make_yolo(
        tmp_path / "mine", {"train": 6, "val": 2, "test": 2}, names=["<script>alert(1)</script>", "dog & co"]
    )
    (root / "labels" / "train" / "gone<b>.txt").write_text("")
    run(tmp_path / "out", "yolo", path=str(root))
    page = (tmp_path / "out" / "data" / "report.html").read_text()
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
    for title in ("Findings", "Classes", "Sizes of images", "Sizes of boxes", "Samples"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("<img ") == 5 + 5


# ---- small files that stand for much ------------------------------------------------------------------------------


def test_a_huge_image_is_told_as_what_it_is(tmp_path: Path) -> None:
    """Not as a corrupt one, and without decoding it; whoever has the memory raises the limit."""
    root = make_yolo(tmp_path / "mine", {"train": 8})
    huge = root / "images" / "train" / "train0.png"
    assert huge.exists()
    Image.new("1", (14000, 14000)).save(huge)
    found = refusal(tmp_path / "out", "yolo", path=str(root))
    assert f"Images of more than 178 megapixels: 1 ({huge} (196)" in found and "data.source.max_megapixels=" in found
    assert "orrupt" not in found
    assert places(tmp_path / "out", "large_images") == [f"{huge} (196)"]
    Image.new("L", (40, 30), 9).save(huge)
    assert "more than 0.001 megapixels" in refusal(tmp_path / "less", "yolo", path=str(root), max_megapixels=0.001)
    assert images_of(run(tmp_path / "more", "yolo", path=str(root), max_megapixels=500)) == 8


def test_aliases_in_a_data_yaml_fill_no_memory(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 8})
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 10)}]" for n in range(9)]
    (root / "data.yaml").write_text("\n".join([*lines, "names: *a8", "train: images/train"]))
    found = refusal(tmp_path / "out", "yolo", path=str(root))
    assert "data.yaml is no readable YAML: its aliases stand for more than 100,000 values" in found
