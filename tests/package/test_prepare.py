"""The prepare stage: every data source, its splits, its checks, and what it says when something is wrong."""

import csv
import json
import re
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from workspace import PROJECT, load

detection = load("tasks.detection")
digits = load("data.handwritten.drawing")
digits_scenes = load("data.sources.digits_scenes")
layout = load("shared.prepared")
notes = load("data.shared.notes")
prepare = load("stages.prepare")
splits = load("data.shared.splits")
yolo = load("data.sources.yolo")
UserError = load("shared.errors").UserError

CONF = PROJECT / "conf" / "data"
KINDS = ("digits_scenes", "digits", "yolo", "image_folder", "own")
FEW_SCENES = {"train": 12, "val": 5, "test": 6}


def config(name: str, **source: Any) -> DictConfig:
    """The project's own config of a data source, with changes below `data.source`."""
    data = OmegaConf.load(CONF / f"{name}.yaml")
    for key, value in source.items():
        OmegaConf.update(data, f"source.{key}", value, merge=False)
    return OmegaConf.create({"data": data})


def run(out: Path, name: str, **source: Any) -> Any:
    """Runs prepare; the Prepared that later stages read."""
    out.mkdir(parents=True, exist_ok=True)
    prepare.run(config(name, **source), out)
    return layout.Prepared(out / "data" / "prepared")


def refusal(out: Path, name: str, **source: Any) -> str:
    """Runs prepare on data that it refuses; its message. Nothing may have been written but what was found."""
    out.mkdir(parents=True, exist_ok=True)
    with pytest.raises(UserError) as error:
        prepare.run(config(name, **source), out)
    assert {path.name for path in out.rglob("*") if path.is_file()} <= {"findings.csv"}
    return str(error.value)


def problems(prepared: Any) -> dict[str, int]:
    return {check["check"]: check["count"] for check in prepared.manifest["checks"] if check["count"]}


def message(prepared: Any, check: str) -> str:
    return next(found["message"] for found in prepared.manifest["checks"] if found["check"] == check)


def number_of_images(prepared: Any, site: str = "main") -> tuple[int, ...]:
    return tuple(prepared.manifest["splits"][site][split] for split in ("train", "val", "test"))


def bytes_below(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def draw(file: Path, seed: int, size: tuple[int, int] = (16, 12)) -> Path:
    """An image that is like no other, in the format that its suffix names."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return file


def make_yolo(root: Path, images: dict[str, int], seed: int = 0, names: Any = ("cat", "dog"), **keys: Any) -> Path:
    """A folder in Ultralytics' format, one box of either class in turn in each image."""
    for split, number in images.items():
        for index in range(number):
            seed += 1
            draw(root / "images" / split / f"{split}{index}.png", seed)
            label = root / "labels" / split / f"{split}{index}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(f"{index % 2} 0.5 0.5 0.25 0.5\n")
    data = {split: f"images/{split}" for split in images} | {"names": names if isinstance(names, dict) else list(names)}
    write_yaml(root / "data.yaml", data | keys)
    return root


def write_yaml(file: Path, content: dict) -> None:
    file.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))


def make_folders(root: Path, images: dict[str, int], seed: int = 0) -> Path:
    """Class folders: `{"cat": 4}` or, with splits, `{"train/cat": 4}`."""
    for folder, number in images.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(number):
            seed += 1
            draw(root / folder / f"{index}.png", seed)
    return root


# ---- the configs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_config_opens_with_its_command_and_has_every_key(kind: str) -> None:
    text = (CONF / f"{kind}.yaml").read_text()
    data = OmegaConf.merge({"task": "detection"}, config(kind)).data
    task = r"\w+" if kind == "own" else data.task
    assert re.search(f"dvc exp run -S task={task} -S data={kind}", "".join(text.splitlines(True)[:2]))
    keys = {"name", "task", "image_size", "resize", "interpolation", "batch_size", "workers", "site", "source"}
    assert set(data) - {"usual", "recipe"} == keys
    assert data.name == kind
    assert data.source.kind == ("auto" if kind == "own" else kind)
    assert {"path", "sites", "split_seed", "fractions"} <= set(data.source)


def test_unknown_source_names_the_nearest(tmp_path: Path) -> None:
    assert "Did you mean 'digits_scenes'?" in refusal(tmp_path, "digits_scenes", kind="digit_scenes")


def test_source_of_another_task_is_refused(tmp_path: Path) -> None:
    assert "data for classification, but data.task=detection" in refusal(
        tmp_path, "digits_scenes", kind="digits", size=16
    )


# ---- digits in scenes ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run(tmp_path_factory.mktemp("scenes"), "digits_scenes", scenes=FEW_SCENES)


def test_scenes_have_the_layout_that_later_stages_read(scenes: Any) -> None:
    assert (scenes.task, scenes.classes, scenes.sites) == ("detection", ["0", "1", "2"], ["A", "B"])
    for site in scenes.sites:
        for split, number in FEW_SCENES.items():
            items = scenes.items(split, site)
            assert len(items) == number == scenes.manifest["splits"][site][split]
            boxes = np.concatenate([detection.boxes(item) for item in items])
            assert boxes.dtype == np.float32
            assert boxes.shape == (sum(int(item.label) for item in items), 5)
            counts = scenes.manifest["counts"][site][split]
            assert [counts[name] for name in "012"] == np.bincount(boxes[:, 0].astype(int), minlength=3).tolist()
            for item in items:
                assert layout.read_image(item).shape == (64, 64, 3)
                assert item.path.parent == scenes.root / site / split / "images"
                assert 1 <= int(item.label) <= 4
    assert problems(scenes) == {}


def test_items_name_every_image_with_its_checksum(scenes: Any) -> None:
    rows = list(csv.DictReader((scenes.root / "items.csv").open()))
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    assert {row["path"] for row in rows} == {
        path.relative_to(scenes.root).as_posix() for path in scenes.root.rglob("*.png")
    }
    for row in rows:
        assert row["sha256"] == sha256((scenes.root / row["path"]).read_bytes()).hexdigest()


def test_metrics_and_picture_are_written(scenes: Any) -> None:
    out = scenes.root.parents[1]
    metrics = json.loads((out / "metrics" / "prepare.json").read_text())
    sites = scenes.manifest["splits"].values()
    assert metrics["images"] == {split: sum(site[split] for site in sites) for split in ("train", "val", "test")}
    found = {check["check"]: check["count"] for check in scenes.manifest["checks"] if check["count"]}
    assert metrics["problems"] == found
    with Image.open(out / "data" / "samples.png") as picture:
        assert picture.width > picture.height > 300


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path, scenes: Any) -> None:
    run(tmp_path / "again", "digits_scenes", scenes=FEW_SCENES)
    assert bytes_below(tmp_path / "again") == bytes_below(scenes.root.parents[1])
    other = run(tmp_path / "other", "digits_scenes", scenes=FEW_SCENES, split_seed=1)
    assert not set(bytes_below(other.root / "A").values()) & set(bytes_below(scenes.root / "A").values())


def test_more_training_scenes_leave_the_test_scenes_as_they_were(tmp_path: Path, scenes: Any) -> None:
    more = run(tmp_path, "digits_scenes", scenes=FEW_SCENES | {"train": 20}, sites=["A"])
    assert bytes_below(more.root / "A" / "test") == bytes_below(scenes.root / "A" / "test")


def test_no_digit_is_in_the_scenes_of_two_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[set[bytes]] = []
    real = digits.draw_scene

    def spy(rng: Any, camera: Any, images: np.ndarray, *rest: Any) -> Any:
        drawn.append({image.tobytes() for image in images})
        return real(rng, camera, images, *rest)

    monkeypatch.setattr(digits_scenes, "draw_scene", spy)
    run(tmp_path, "digits_scenes", scenes={"train": 100, "val": 50, "test": 50}, sites=["A"])
    train, val, test = (set().union(*part) for part in (drawn[:100], drawn[100:150], drawn[150:]))
    assert not train & val
    assert not train & test
    assert not val & test


@given(st.integers(0, 10**6), st.sampled_from([32, 64, 100]), st.sampled_from(digits.CAMERAS), st.integers(1, 6))
def test_boxes_are_inside_the_scene_and_do_not_overlap(seed: int, size: int, camera: Any, number: int) -> None:
    rng = np.random.default_rng(seed)
    images, numbers = DIGITS
    chosen = rng.choice(len(images), number)
    scene, boxes, _ = digits.draw_scene(rng, camera, images[chosen], numbers[chosen].tolist(), size)
    assert scene.shape == (size, size, 3)
    assert 1 <= len(boxes) <= number
    corners = np.rint(size * np.stack([boxes[:, 1:3] - boxes[:, 3:] / 2, boxes[:, 1:3] + boxes[:, 3:] / 2], axis=1))
    assert corners.min() >= 0
    assert corners.max() <= size
    covered = np.zeros((size, size), int)
    for (left, top), (right, bottom) in corners.astype(int):
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sites": ["A", "B", "C"]}, "one or two cameras, not 3"),
        ({"sites": ["all"]}, "'all' cannot name a site"),
        ({"sites": ["../A"]}, "'../A' cannot name a site"),
        ({"sites": [".."]}, "'..' cannot name a site"),
        ({"classes": [1, 11]}, "different digits from 0 to 9, not [1, 11]"),
        ({"classes": [1, 1]}, "different digits"),
        ({"fractions": {"val": 0.5, "test": 0.5}}, "leave something for train"),
        ({"scenes": {"train": 5, "val": 0, "test": 5}}, "each split a scene or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, change: dict, expected: str) -> None:
    assert expected in refusal(tmp_path, "digits_scenes", **({"scenes": FEW_SCENES} | change))


# ---- digits alone -------------------------------------------------------------------------------------------------

DIGITS = digits.load_digits()


@pytest.fixture(scope="module")
def single_digits(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run(tmp_path_factory.mktemp("digits"), "digits")


def test_every_digit_is_in_one_split_and_in_the_same_at_both_sites(single_digits: Any) -> None:
    assert single_digits.task == "classification"
    for site in ("A", "B"):
        assert number_of_images(single_digits, site) == (1197, 300, 300)
        for split in ("val", "test"):
            assert set(single_digits.manifest["counts"][site][split].values()) <= {29, 30, 31}
    where = {
        site: {
            item.path.stem: (item.split, item.label)
            for split in layout.SPLITS
            for item in single_digits.items(split, site)
        }
        for site in ("A", "B")
    }
    assert len(where["A"]) == len(DIGITS[0])
    assert where["A"] == where["B"]


def test_labels_are_the_folders_and_the_true_numbers(single_digits: Any) -> None:
    for item in single_digits.items("test", "all"):
        assert item.label == item.path.parent.name == str(DIGITS[1][int(item.path.stem)])
        assert layout.read_image(item).shape == (32, 32, 3)


def test_sites_differ_as_cameras_do(single_digits: Any) -> None:
    """By the images' left edges, where there is hardly any ink."""
    ground = {
        site: np.mean([layout.read_image(item)[:, 0].mean() for item in single_digits.items("val", site)])
        for site in ("A", "B")
    }
    assert ground["A"] < 90 < 150 < ground["B"]


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    images, numbers = DIGITS
    assert images.dtype == np.float32
    pixels, targets = load_digits(return_X_y=True)
    np.testing.assert_array_equal(16 * images.reshape(-1, 64), np.asarray(pixels))
    np.testing.assert_array_equal(numbers, np.asarray(targets))


# ---- dividing into splits -----------------------------------------------------------------------------------------

CONTENTS = st.lists(st.tuples(st.text("abcdef", min_size=1, max_size=3), st.sampled_from("xy")), max_size=60)
FRACTIONS = st.fixed_dictionaries({"val": st.floats(0, 0.45), "test": st.floats(0, 0.45)})


@given(CONTENTS, FRACTIONS, st.integers(0, 9), st.randoms())
def test_splits_are_complete_disjoint_and_blind_to_order(
    contents: list[tuple[str, str]], fractions: dict[str, float], seed: int, random: Any
) -> None:
    stratum_of = dict(contents)  # one stratum for each content, as equal images are one
    images = [content for content, _ in contents]

    def assigned(images: list[str]) -> dict[str, str]:
        found = splits.assign(images, [[stratum_of[image]] for image in images], fractions, seed)
        split_of = dict(zip(images, found, strict=True))
        assert [split_of[image] for image in images] == found, "equal images stay together"
        return split_of

    split_of = assigned(list(stratum_of))
    for stratum in "xy":
        members = {image for image in stratum_of if stratum_of[image] == stratum}
        for split, fraction in fractions.items():
            least = 1 if fraction > 0 and len(members) > len(fractions) else 0
            assert sum(split_of[image] == split for image in members) == max(least, round(fraction * len(members)))
    assert assigned(random.sample(images, len(images))) == assigned(images)


def test_images_added_later_move_few_of_the_others() -> None:
    fractions, images = {"val": 0.15, "test": 0.15}, [f"image {index}" for index in range(1000)]
    before = splits.assign(images[:950], [[""]] * 950, fractions, 0)
    after = splits.assign(images, [[""]] * 1000, fractions, 0)[:950]
    assert sum(a != b for a, b in zip(before, after, strict=True)) < 30


# ---- yolo ---------------------------------------------------------------------------------------------------------


def test_yolo_folder_with_all_splits(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 6, "val": 2, "test": 4})
    prepared = run(tmp_path / "out", "yolo", path=str(root))
    assert (prepared.classes, prepared.sites, number_of_images(prepared)) == (["cat", "dog"], ["main"], (6, 2, 4))
    item = prepared.items("train", "main")[1]
    assert item.path == prepared.root / "main" / "train" / "images" / "train1.png"
    np.testing.assert_array_equal(detection.boxes(item), [[1, 0.5, 0.5, 0.25, 0.5]])
    assert problems(prepared) == {}


def test_yolo_splits_as_lists_of_folders_and_text_files(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"one": 3, "two": 3, "three": 2, "four": 2})
    (root / "val.txt").write_text("./images/three/three0.png\nimages/three/three1.png\n\n")
    absolute = [str(path) for path in sorted((root / "images" / "four").iterdir())]
    (root / "test.txt").write_text("\n".join(absolute), encoding="utf-8-sig")
    names = {0: "cat", 1: "dog"}
    write_yaml(
        root / "data.yaml",
        {"train": ["images/one", "images/two"], "val": "val.txt", "test": "test.txt", "names": names},
    )
    prepared = run(tmp_path / "out", "yolo", path=str(root))
    assert number_of_images(prepared) == (6, 2, 2)
    assert prepared.classes == ["cat", "dog"]


@pytest.mark.parametrize("path", ["absolute", "mine", "."])
def test_yolo_path_key(tmp_path: Path, path: str) -> None:
    """Absolute, or as Ultralytics' own files have it (the folder's name, seen from the folder above), or beside it."""
    root = tmp_path / "mine"
    make_yolo(root, {"train": 10}, path=str(root) if path == "absolute" else path)
    assert sum(number_of_images(run(tmp_path / "out", "yolo", path=str(root)))) == 10


def test_yolo_as_roboflow_writes_it(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    for index, split in enumerate(("train", "valid", "test")):
        draw(root / split / "images" / "a.jpg", index)
        (root / split / "labels").mkdir()
        (root / split / "labels" / "a.txt").write_bytes(b"\xef\xbb\xbf0 0.5 0.5 0.5 0.5\r\n")
    write_yaml(
        root / "data.yaml",
        {"train": "../train/images", "val": "../valid/images", "test": "../test/images", "nc": 1, "names": ["cat"]},
    )
    prepared = run(tmp_path / "out", "yolo", path=str(root))
    assert number_of_images(prepared) == (1, 1, 1)
    assert problems(prepared) == {}


def test_yolo_cuts_missing_splits_from_train(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 20, "test": 4})
    prepared = run(tmp_path / "out", "yolo", path=str(root), fractions={"val": 0.25, "test": 0.5})
    assert number_of_images(prepared) == (16, 4, 4)  # of ten images with a cat, and of ten with a dog, two each
    names = [item.path.name for split in layout.SPLITS for item in prepared.items(split, "main")]
    assert sorted(names) == sorted(path.name for path in root.rglob("*.png"))


@pytest.mark.parametrize("sites", [["north", "south"], {"north": "north/data.yaml", "south": "south"}])
def test_yolo_sites(tmp_path: Path, sites: Any) -> None:
    make_yolo(tmp_path / "mine" / "north", {"train": 4, "val": 2, "test": 2})
    make_yolo(tmp_path / "mine" / "south", {"train": 3, "val": 2, "test": 3}, seed=100)
    prepared = run(tmp_path / "out", "yolo", path=str(tmp_path / "mine"), sites=sites)
    assert prepared.sites == ["north", "south"]
    assert number_of_images(prepared, "south") == (3, 2, 3)
    assert len(prepared.items("train", "all")) == len(prepared.items("train", ["north", "south"])) == 7


def test_a_site_may_have_test_images_alone(tmp_path: Path) -> None:
    make_folders(tmp_path / "mine" / "north", {"cat": 10, "dog": 10})
    make_folders(tmp_path / "mine" / "south", {"test/cat": 2, "test/dog": 2}, seed=100)
    prepared = run(tmp_path / "out", "image_folder", path=str(tmp_path / "mine"), sites=["north", "south"])
    assert number_of_images(prepared, "south") == (0, 0, 4)
    with pytest.raises(UserError, match="No images in split 'train' of site south"):
        prepared.items("train", "south")


def test_images_keep_their_format_and_equal_names_get_a_number(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 1, "val": 1, "test": 1})
    files = ["a.jpg", "a.bmp", "b.webp", "c.TIF", "deep/A.jpeg", "d é,'.png"]
    for seed, name in enumerate(files, start=50):
        draw(root / "images" / "train" / name, seed)
    prepared = run(tmp_path / "out", "yolo", path=str(root))
    items = prepared.items("train", "main")
    originals = {path.read_bytes() for path in (root / "images" / "train").rglob("*") if path.is_file()}
    assert {item.path.read_bytes() for item in items} == originals
    assert len({item.path.stem.casefold() for item in items}) == len(items) == 7
    assert {item.path.suffix for item in items} == {".png", ".jpg", ".bmp", ".webp", ".TIF", ".jpeg"}
    assert all(len(detection.boxes(item)) == int(item.label) for item in items)


def test_files_are_copied_so_that_dvc_cannot_lock_the_originals(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 1, "val": 1, "test": 1})
    prepared = run(tmp_path / "out", "yolo", path=str(root))
    copy = prepared.items("train", "main")[0].path
    original = root / "images" / "train" / "train0.png"
    assert not copy.is_symlink()
    assert not copy.samefile(original)


def test_images_without_label_are_background_and_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 6, "val": 2, "test": 2})
    for index in range(4):
        (root / "labels" / "train" / f"train{index}.txt").unlink()
    (root / "labels" / "train" / "train4.txt").write_text("")  # known to be empty, so no problem
    prepared = run(tmp_path / "out", "yolo", path=str(root))
    assert [item.label for item in prepared.items("train", "main")] == ["0", "0", "0", "0", "0", "1"]
    assert problems(prepared) == {"missing_labels": 4, "absent_classes": 1}
    assert "train0.png" in message(prepared, "missing_labels")
    assert "and 1 more" in message(prepared, "missing_labels")
    assert message(prepared, "absent_classes") == "Classes absent from a split: 1 ('cat' in main/train)."
    printed = " ".join(capsys.readouterr().out.split())
    assert "Warning: Images without a label file, taken as background: 4 (" in printed
    metrics = json.loads((tmp_path / "out" / "metrics" / "prepare.json").read_text())
    assert metrics["problems"]["missing_labels"] == 4


def test_labels_without_image_and_strange_files_are_counted(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 4, "val": 2, "test": 2})
    (root / "labels" / "val" / "gone.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (root / "labels" / "val" / "classes.txt").write_text("cat\ndog\n")
    (root / "images" / "val" / "film.mp4").write_bytes(b"")
    (root / "images" / "val" / ".DS_Store").write_bytes(b"")
    prepared = run(tmp_path / "out", "yolo", path=str(root))
    assert problems(prepared) == {"labels_without_image": 1, "other_files": 1}
    assert "gone.txt" in message(prepared, "labels_without_image")
    assert "film.mp4" in message(prepared, "other_files")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("0 0.5 0.5 0.5", "train0.txt:2 has 4 values instead of 5"),
        ("0 .1 .1 .2 .1 .2 .2 .1", "has 8 values instead of 5"),
        ("cat 0.5 0.5 0.5 0.5", "is not numeric"),
        ("2 0.5 0.5 0.5 0.5", "has class 2, but data.yaml has 0 to 1"),
        ("-1 0.5 0.5 0.5 0.5", "has class -1"),
        ("0.5 0.5 0.5 0.5 0.5", "has class 0.5"),
        ("0 0.5 1.2 0.5 0.5", "leaves the image"),
        ("0 320 240 100 50", "leaves the image"),
        ("0 nan 0.5 0.5 0.5", "leaves the image"),
        ("0 0.5 0.5 0 0.5", "is a box without width or height"),
    ],
)
def test_malformed_labels_are_refused(tmp_path: Path, row: str, expected: str) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 2, "val": 2, "test": 2})
    (root / "labels" / "train" / "train0.txt").write_text(f"0 0.5 0.5 0.5 0.5\n{row}\n")
    found = refusal(tmp_path / "out", "yolo", path=str(root))
    assert "Malformed label rows: 1 (" in found
    assert expected in found


def test_all_errors_are_said_at_once(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 4, "val": 2, "test": 2})
    (root / "labels" / "train" / "train0.txt").write_text("9 0.5 0.5 0.5 0.5\n")
    (root / "images" / "train" / "train1.png").write_bytes(b"no image")
    whole = (root / "images" / "val" / "val0.png").read_bytes()
    (root / "images" / "val" / "val0.png").write_bytes(whole[: len(whole) // 2])
    shutil.copy(root / "images" / "train" / "train2.png", root / "images" / "test" / "test0.png")
    found = refusal(tmp_path / "out", "yolo", path=str(root))
    assert f"The data in {root} cannot be used" in found
    assert "Malformed label rows: 1" in found
    assert "Corrupt images: 2" in found
    assert "Images in more than one split: 1" in found
    assert "train2.png [train] = " in found
    assert "test0.png [test]" in found


def test_labels_in_the_wrong_place_are_noticed(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 4, "val": 2, "test": 2})
    (root / "labels").rename(root / "annotations")
    found = refusal(tmp_path / "out", "yolo", path=str(root))
    assert "Training splits without any labelled object: 1 (main/train)" in found


def test_the_same_folder_as_train_and_val_is_a_leak(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 8}, val="images/train")
    assert "Images in more than one split: " in refusal(tmp_path / "out", "yolo", path=str(root))


def test_equal_images_in_one_split_are_a_warning_and_never_cut_apart(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 20})
    for index in range(20):
        name = f"images/train/train{index}.png"
        shutil.copy(root / name, root / name.replace(".png", "b.png"))
        shutil.copy(root / f"labels/train/train{index}.txt", root / f"labels/train/train{index}b.txt")
    assert problems(run(tmp_path / "out", "yolo", path=str(root))) == {"duplicates_within_split": 20}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"names": ["cat"]}, "lacks `train` or `names`"),
        ({"train": "images/train"}, "lacks `train` or `names`"),
        (
            {"train": "images/train", "names": {1: "cat", 2: "dog"}},
            "`names` must be a list, or number the classes 0, 1, 2",
        ),
        ({"train": "images/train", "names": "cat"}, "`names` must be a list"),
        ({"train": "images/tain", "names": ["cat"]}, "no folder or text file"),
        ({"train": "images/train", "val": "empty", "names": ["cat"]}, "`val` has no images"),
        ({"train": "list.txt", "names": ["cat"]}, "lists an image that is absent: images/nowhere.png"),
        ({"train": "images/train", "names": ["cat"], "path": "nowhere"}, "its `path` nowhere is no folder"),
    ],
)
def test_wrong_data_yaml(tmp_path: Path, data: dict, expected: str) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 4})
    (root / "empty").mkdir()
    (root / "list.txt").write_text("images/nowhere.png\n")
    write_yaml(root / "data.yaml", data)
    assert expected in refusal(tmp_path / "out", "yolo", path=str(root))


def test_unreadable_data_yaml(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 4})
    (root / "data.yaml").write_text("names: [cat")
    assert "is no readable YAML" in refusal(tmp_path / "out", "yolo", path=str(root))
    (root / "data.yaml").unlink()
    assert "expected one data.yaml" in refusal(tmp_path / "out", "yolo", path=str(root))


def test_sites_must_have_the_same_classes(tmp_path: Path) -> None:
    make_yolo(tmp_path / "mine" / "north", {"train": 4})
    make_yolo(tmp_path / "mine" / "south", {"train": 4}, seed=100, names=["cat", "dg"])
    found = refusal(tmp_path / "out", "yolo", path=str(tmp_path / "mine"), sites=["north", "south"])
    assert "Site 'south' has other classes than the first (dg): expected cat, dog. Did you mean 'dog'?" in found


@pytest.mark.parametrize("kind", ["yolo", "image_folder"])
def test_absent_data_says_what_to_set(tmp_path: Path, kind: str) -> None:
    found = refusal(tmp_path / "out", kind, path="datasets/nowhere")
    assert "No data at datasets/nowhere" in found
    assert "-S data.source.path=" in found


def test_absent_site_names_the_nearest(tmp_path: Path) -> None:
    make_folders(tmp_path / "mine", {"north/cat": 1, "south/cat": 1})
    found = refusal(tmp_path / "out", "image_folder", path=str(tmp_path / "mine"), sites=["north", "sout"])
    assert "No data for site 'sout'" in found
    assert "Did you mean 'south'?" in found


SIDES = st.floats(0.001, 0.998).flatmap(lambda start: st.tuples(st.just(start), st.floats(start + 0.001, 1)))
BOXES = st.lists(st.tuples(st.integers(0, 79), SIDES, SIDES), max_size=5)


@given(found=BOXES)
def test_boxes_come_back_as_they_were(
    found: list[tuple[int, tuple[float, float], tuple[float, float]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [(c, (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0) for c, (x0, x1), (y0, y1) in found]
    rows = list({tuple(round(value, 6) for value in row): row for row in rows}.values())  # a row twice counts once
    root = tmp_path_factory.mktemp("label")
    make_yolo(root, {"train": 1}, names=[f"class {number}" for number in range(80)])
    (root / "labels" / "train" / "train0.txt").write_text("\n".join(" ".join(map(str, row)) for row in rows))
    seen = notes.Notes(root)
    (sample,) = yolo.read_place(root, seen).samples
    assert not any(finding.count for finding in seen.findings())
    (root / "main").mkdir()
    detection.write_labels(root / "main" / "images" / "train0.png", sample)
    item = layout.Item(root / "main" / "images" / "train0.png", "main", "train", str(len(rows)))
    np.testing.assert_allclose(detection.boxes(item), np.array(rows, dtype=np.float32).reshape(-1, 5), atol=2e-6)


# ---- image_folder -------------------------------------------------------------------------------------------------


def test_class_folders_are_cut_into_splits_class_by_class(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "mine", {"cat": 20, "dog": 40, ".hidden": 2})
    prepared = run(tmp_path / "out", "image_folder", path=str(root))
    assert (prepared.task, prepared.classes, number_of_images(prepared)) == (
        "classification",
        ["cat", "dog"],
        (42, 9, 9),
    )
    assert prepared.manifest["counts"]["main"]["val"] == {"cat": 3, "dog": 6}
    assert {item.label for item in prepared.items("test", "main")} == {"cat", "dog"}


def test_split_folders_by_any_of_their_names(tmp_path: Path) -> None:
    root = make_folders(
        tmp_path / "mine", {"train/cat": 4, "train/dog": 4, "valid/cat": 2, "test/cat": 1, "test/dog": 2}
    )
    prepared = run(tmp_path / "out", "image_folder", path=str(root))
    assert number_of_images(prepared) == (8, 2, 3)
    assert problems(prepared) == {"absent_classes": 1}
    assert "'dog' in main/val" in message(prepared, "absent_classes")


def test_image_folder_sites_and_what_two_of_them_have(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    make_folders(root / "north", {"cat": 10, "dog": 10})
    make_folders(root / "south", {"train/cat": 4, "train/dog": 4, "val/dog": 2, "test/cat": 2, "test/dog": 2}, seed=100)
    prepared = run(tmp_path / "out", "image_folder", path=str(root), sites=["north", "south"])
    assert number_of_images(prepared, "north") == (12, 4, 4)
    assert number_of_images(prepared, "south") == (8, 2, 4)
    both = prepared.items("train", "north")[0]
    shutil.copy(both.path, root / "south" / "test" / both.label / "0.png")
    again = run(tmp_path / "again", "image_folder", path=str(root), sites=["north", "south"])
    assert both.path.name in [item.path.name for item in again.items("test", "north") if item.label == both.label]
    shutil.copy(both.path, root / "south" / "train" / both.label / "1.png")
    assert "Images in more than one split: 1" in refusal(
        tmp_path / "refused", "image_folder", path=str(root), sites=["north", "south"]
    )


@pytest.mark.parametrize(
    ("images", "sites", "expected"),
    [
        ({".": 3}, None, "has no class folders"),
        ({"train/cat": 1, "test/cats": 1}, None, "Class 'cats' in"),
        ({"train/cat": 1, "test/cats": 1}, None, "Did you mean 'cat'?"),
        ({"train/cat": 1, "cat": 1}, None, "holds split folders (train) and others beside them (cat)"),
        ({"a/train/cat": 1, "b/train/cat": 1}, None, "-S 'data.source.sites=[a,b]'"),
        ({"a/cat": 1, "a/dog": 1, "b/cat": 1, "b/dgo": 1}, ["a", "b"], "Did you mean 'dog'?"),
        ({"val/cat": 2, "val/dog": 2}, None, "Splits without images: 2 (main/train, main/test)"),
        ({"cat": 2, "dog": 2}, None, "Splits without images: 2 (main/val, main/test)"),
        ({"cat": 0, "dog": 0}, None, "There are no images in"),
    ],
)
def test_wrong_structure_of_folders(tmp_path: Path, images: dict[str, int], sites: Any, expected: str) -> None:
    root = make_folders(tmp_path / "mine", images)
    assert expected in refusal(tmp_path / "out", "image_folder", path=str(root), sites=sites)


# ---- reading the layout -------------------------------------------------------------------------------------------


def test_unknown_site_names_the_nearest(tmp_path: Path) -> None:
    make_folders(tmp_path / "mine" / "north", {"cat": 10, "dog": 10})
    prepared = run(tmp_path / "out", "image_folder", path=str(tmp_path / "mine"), sites=["north"])
    with pytest.raises(UserError, match=r"it has: north\. Did you mean 'north'\?"):
        prepared.items("train", "nord")


def test_nothing_prepared(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro prepare"):
        layout.Prepared(tmp_path)


def test_corrupt_and_absent_images_are_named(tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    with pytest.raises(UserError, match=r"Cannot read the image .*image\.png"):
        layout.read_image(file)
    file.write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match=r"Cannot read the image .*image\.png"):
        layout.read_image(file)


def test_the_picture_shows_whatever_there_is(tmp_path: Path) -> None:
    """Wide and tall images, long and foreign class names, more classes than colours, a site without training images."""
    names = [f"a rather long class name {index}" for index in range(40)] + ["чашка", "杯子"]
    root = make_yolo(tmp_path / "mine" / "north", {"train": 3, "val": 1, "test": 1}, names=names)
    draw(root / "images" / "train" / "wide.png", 90, size=(400, 3))
    draw(root / "images" / "train" / "tall.png", 91, size=(2, 300))
    (root / "labels" / "train" / "wide.txt").write_text("41 0 0 1 1\n40 0.99 0.9 1 0.3\n7 0.5 0.5 1 1\n")
    run(tmp_path / "out", "yolo", path=str(tmp_path / "mine"), sites=["north"])
    with Image.open(tmp_path / "out" / "data" / "samples.png") as picture:
        assert picture.width > 1000
