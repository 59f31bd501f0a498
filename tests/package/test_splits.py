"""Splits that don't leak: groups, near-duplicates and folds, on made-up photographs and as a user would set them."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter
from test_prepare import UserError, make_folders, make_yolo, number_of_images, problems, refusal, run
from workspace import PROJECT, load

splits, similar = load("data.shared.splits"), load("data.shared.similar")


def photograph(rng: np.random.Generator, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Overlapping discs of any size, whose statistics are those of photographs (Lee, Mumford and Huang 2001)."""
    image = Image.new("RGB", size, tuple(map(int, rng.integers(0, 256, 3))))
    drawing = ImageDraw.Draw(image)
    for radius in np.minimum(3 / np.sqrt(rng.random(80)), 60):
        x, y = rng.uniform(-10, size[0] + 10), rng.uniform(-10, size[1] + 10)
        colour = tuple(map(int, rng.integers(0, 256, 3)))
        drawing.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
    noise = rng.normal(0, 4, (size[1], size[0], 3))
    return Image.fromarray((np.asarray(image.filter(ImageFilter.GaussianBlur(0.6))) + noise).clip(0, 255).astype("u1"))


def encoded(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    file = BytesIO()
    image.save(file, "JPEG", quality=int(rng.integers(30, 90)))
    return Image.open(file)


def resized(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    factor = rng.uniform(0.4, 1.5)
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


def shifted(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    moved = Image.new("RGB", image.size, (114, 114, 114))
    moved.paste(image, tuple(round(side * rng.uniform(-0.05, 0.05)) for side in image.size))
    return moved


def cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    left, top = (round(side * rng.uniform(0, 0.05)) for side in image.size)
    return image.crop((left, top, image.width, image.height))


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [photograph(rng) for _ in range(500)]


# ---- near-duplicates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [encoded, resized, shifted, cropped])
def test_planted_copies_are_found_and_nothing_else(change: Callable, photographs: list[Image.Image]) -> None:
    rng = np.random.default_rng(1)
    originals = [similar.thumbnail(image) for image in photographs]
    copies = [similar.thumbnail(change(image, rng)) for image in photographs[:100]]
    groups = similar.similar_groups([*originals, *copies])
    assert np.mean(groups[:100] == groups[500:]) >= 0.95
    sizes = Counter(groups[:500])
    assert sum(sizes[group] > 1 for group in groups[:500]) <= 5  # false alarms: one in a hundred


def test_images_of_a_fixed_camera_are_no_duplicates(photographs: list[Image.Image]) -> None:
    rng, scenes = np.random.default_rng(2), []
    for _ in range(60):
        scene = photographs[0].copy()
        x, y = rng.uniform(10, 110), rng.uniform(10, 80)
        ImageDraw.Draw(scene).ellipse([x, y, x + 30, y + 30], fill=tuple(map(int, rng.integers(0, 256, 3))))
        scenes.append(similar.thumbnail(scene))
    assert len(set(similar.similar_groups(scenes))) > 50


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_few_images_are_compared_as_many_are(number: int, photographs: list[Image.Image]) -> None:
    originals = [similar.thumbnail(image) for image in photographs[:number]]
    copies = [similar.thumbnail(encoded(image, np.random.default_rng(3))) for image in photographs[:number]]
    groups = similar.similar_groups([*originals, *copies])
    assert list(groups[:number]) == list(groups[number:]) and len(set(groups)) == number


def write(folder: Path, images: Iterable[Image.Image], prefix: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        image.save(folder / f"{prefix}{number:03d}.png")


def test_near_duplicates_are_kept_on_one_side_and_told(tmp_path: Path, photographs: list[Image.Image]) -> None:
    rng = np.random.default_rng(4)
    for number, name in enumerate(("cat", "dog")):
        own = photographs[30 * number : 30 * number + 30]
        write(tmp_path / "mine" / name, own)
        write(tmp_path / "mine" / name, [encoded(image, rng) for image in own], "copy")
    prepared = run(tmp_path / "out", "image_folder", path=str(tmp_path / "mine"))
    assert problems(prepared) == {"near_duplicates": 60}
    side = {(i.label, i.path.stem): i.split for split in ("train", "val", "test") for i in prepared.items(split, "all")}
    assert all(side[label, f"copy{name}"] == split for (label, name), split in side.items() if "copy" not in name)
    groups = Counter(item.group for split in ("train", "val", "test") for item in prepared.items(split, "all"))
    assert set(groups.values()) == {2}
    with (tmp_path / "out" / "data" / "findings.csv").open() as file:
        assert sum(row["check"] == "near_duplicates" for row in csv.DictReader(file)) == 60
    apart = run(tmp_path / "apart", "image_folder", path=str(tmp_path / "mine"), near_duplicates=False)
    assert problems(apart) == {}


def test_near_duplicates_in_given_splits_are_told(tmp_path: Path, photographs: list[Image.Image]) -> None:
    for name, own in (("cat", photographs[:6]), ("dog", photographs[6:12])):
        write(tmp_path / "mine" / "train" / name, own[:3])
        write(tmp_path / "mine" / "val" / name, own[3:5])
        write(tmp_path / "mine" / "test" / name, own[5:])
    encoded(photographs[0], np.random.default_rng(5)).save(tmp_path / "mine" / "test" / "cat" / "again.png")
    prepared = run(tmp_path / "out", "image_folder", path=str(tmp_path / "mine"))
    assert problems(prepared) == {"near_duplicates_across_splits": 1}
    assert "again.png [test]" in (tmp_path / "out" / "data" / "findings.csv").read_text()
    assert "again.png" in (tmp_path / "out" / "data" / "report.html").read_text()


def test_where_all_images_are_alike_no_split_stays_empty(tmp_path: Path, photographs: list[Image.Image]) -> None:
    rng = np.random.default_rng(6)
    for number, name in enumerate(("cat", "dog")):
        write(tmp_path / "mine" / name, [encoded(photographs[number], rng) for _ in range(10)])
    prepared = run(tmp_path / "out", "image_folder", path=str(tmp_path / "mine"))
    assert all(number_of_images(prepared))
    assert problems(prepared)["near_duplicates_across_splits"] == 2


# ---- groups ---------------------------------------------------------------------------------------------------------


def sides(prepared: Any) -> dict[str, set[str]]:
    """The splits that each group is in."""
    found: dict[str, set[str]] = {}
    for split in ("train", "val", "test"):
        for item in prepared.items(split, "all"):
            found.setdefault(item.group, set()).add(split)
    return found


def test_groups_by_a_pattern_stay_on_one_side_at_every_site(tmp_path: Path) -> None:
    for site in ("north", "south"):
        for patient in range(12):
            make_yolo(tmp_path / "one", {"train": 4}, seed=100 * patient + (50 if site == "south" else 0))
            for kind, suffix in (("images", "png"), ("labels", "txt")):
                for index, file in enumerate(sorted((tmp_path / "one" / kind / "train").iterdir())):
                    target = tmp_path / "mine" / site / kind / "train" / f"p{patient}_{index}.{suffix}"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    file.rename(target)
        (tmp_path / "one" / "data.yaml").rename(tmp_path / "mine" / site / "data.yaml")
    where = {"path": str(tmp_path / "mine"), "sites": ["north", "south"], "group": "(p[0-9]+)_"}
    prepared = run(tmp_path / "out", "yolo", **where)
    assert set(sides(prepared)) == {f"p{patient}" for patient in range(12)}
    assert {len(splits) for splits in sides(prepared).values()} == {1}
    assert all(number_of_images(prepared, "north")) and number_of_images(prepared, "north") == number_of_images(
        prepared, "south"
    )
    assert "matches no path" in refusal(tmp_path / "refused", "yolo", **where | {"group": "(q[0-9]+)_"})
    assert "no regular expression" in refusal(tmp_path / "refused", "yolo", **where | {"group": "(p"})
    assert "parentheses" in refusal(tmp_path / "refused", "yolo", **where | {"group": "(?:p)"})
    assert "no column" in refusal(tmp_path / "refused", "yolo", **where | {"group": "patient"})


def test_groups_by_a_column_and_images_without_one(tmp_path: Path) -> None:
    make_folders(tmp_path / "mine", {"images": 24})
    rows = [f"images/{index}.png,{'cat' if index % 2 else 'dog'},{index // 3 if index else ''}" for index in range(24)]
    (tmp_path / "mine" / "labels.csv").write_text("\n".join(["path,label,video", *rows]))
    prepared = run(tmp_path / "out", "image_folder", kind="table", path=str(tmp_path / "mine"), group="video")
    assert {len(splits) for splits in sides(prepared).values()} == {1}
    assert {str(video) for video in range(8)} < set(sides(prepared))
    assert problems(prepared)["ungrouped_images"] == 1


def test_a_group_in_two_given_splits_is_refused(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / "mine", {"train": 4, "val": 2, "test": 2})
    assert "Groups in more than one split: 2 (0: " in refusal(
        tmp_path / "out", "yolo", path=str(root), group="([0-9])[.]"
    )


KEYS = st.lists(st.tuples(st.integers(0, 20), st.sets(st.sampled_from("xyz"), min_size=1)), min_size=1, max_size=60)


@given(KEYS, st.integers(0, 9))
def test_keys_stay_together_and_strata_get_their_share(images: list[tuple[int, set[str]]], seed: int) -> None:
    keys, strata = [str(key) for key, _ in images], [sorted(names) for _, names in images]
    found = splits.assign(keys, strata, {"val": 0.2, "test": 0.2}, seed)
    split_of = dict(zip(keys, found, strict=True))
    assert [split_of[key] for key in keys] == found
    for stratum in "xyz":
        among = {key for key, names in zip(keys, strata, strict=True) if stratum in names}
        alone = all(names == [stratum] for key, names in zip(keys, strata, strict=True) if key in among)
        if alone and len(among) > 2:
            assert {split_of[key] for key in among} == {"train", "val", "test"}


def test_rare_classes_of_detection_are_in_every_split() -> None:
    rng = np.random.default_rng(0)
    strata = [
        sorted({"car", *(["bus"] if index < 40 else []), *(["tram"] if index % 50 == 0 else [])})
        for index in range(400)
    ]
    found = splits.assign([str(index) for index in rng.permutation(400)], strata, {"val": 0.15, "test": 0.15}, 0)
    counts = {
        name: Counter(split for split, names in zip(found, strata, strict=True) if name in names)
        for name in ("car", "bus", "tram")
    }
    assert counts["tram"]["val"] == counts["tram"]["test"] == 1
    assert counts["bus"]["val"] == counts["bus"]["test"] == 6
    assert counts["car"]["val"] == counts["car"]["test"] == 60


# ---- folds ----------------------------------------------------------------------------------------------------------


def test_every_image_is_tested_in_one_fold(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    make_folders(
        root / "north", {"train/cat": 10, "train/dog": 10, "val/cat": 2, "val/dog": 2, "test/cat": 3, "test/dog": 3}
    )
    make_folders(root / "south", {"test/cat": 2, "test/dog": 2}, seed=100)
    tested: Counter[str] = Counter()
    for fold in ("1 of 5", "2 of 5", "3 of 5", "4 of 5", "5 of 5"):
        prepared = run(tmp_path / fold, "image_folder", path=str(root), sites=["north", "south"], fold=fold)
        train, val, test = number_of_images(prepared, "north")
        assert train + val + test == 30 and test == 6 and val == 4
        assert number_of_images(prepared, "south") == (0, 0, 4)
        tested.update(item.group for item in prepared.items("test", "north"))
    assert len(tested) == 30 and set(tested.values()) == {1}


@pytest.mark.parametrize("fold", ["0 of 5", "6 of 5", "1 of 1", "1 of 99", "1/5", 3])
def test_wrong_folds_are_refused(fold: Any, tmp_path: Path) -> None:
    root = make_folders(tmp_path / "mine", {"cat": 10, "dog": 10})
    assert "should be `k of n`, such as `1 of 5`, with n from 2 to 20" in refusal(
        tmp_path / "out", "image_folder", path=str(root), fold=fold
    )


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ({"fold": "12 of 24"}, "fold=12 of 24 is too fine for 24 images: every part of each site needs some."),
        ({"group": "(cat|dog)"}, "wants three groups of a class or more"),
        ({"fold": "1 of 2", "group": "(cat|dog)"}, "needs some. It takes more groups."),
    ],
)
def test_what_leaves_a_split_empty_is_what_the_advice_is_about(
    source: dict[str, Any], advice: str, tmp_path: Path
) -> None:
    root = make_folders(tmp_path / "mine", {"cat": 12, "dog": 12})
    said = refusal(tmp_path / "out", "image_folder", path=str(root), **source)
    assert advice in said and ("here are 2 groups" in said) == ("fold" not in source)


def test_folds_of_the_digits_keep_a_digit_at_both_sites_together(tmp_path: Path) -> None:
    prepared = run(tmp_path / "out", "digits", fold="2 of 3")
    assert {len(splits) for splits in sides(prepared).values()} == {1}
    assert number_of_images(prepared, "A") == number_of_images(prepared, "B")
    assert abs(number_of_images(prepared, "A")[2] - 1797 / 3) < 10


# ---- kept for the end ------------------------------------------------------------------------------------------------


def kept(out: Path) -> set[str]:
    """The files of data/final, by their hashes."""
    with (out / "data" / "final" / "items.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["split"] for row in rows} <= {"final"} and all(
        (out / "data/final" / row["path"]).is_file() for row in rows
    )
    return {row["sha256"] for row in rows}


def test_what_is_kept_for_the_end_stays_there_whatever_else_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "mine"
    make_folders(root / "north", {"cat": 30, "dog": 30})
    make_folders(root / "south", {"train/cat": 20, "train/dog": 20, "test/cat": 5, "test/dog": 5}, seed=100)
    make_folders(root / "east", {"test/cat": 4, "test/dog": 4}, seed=200)
    source = {"path": str(root), "sites": ["north", "south", "east"]}
    fractions = {"val": 0.1, "test": 0.1, "final": 0.2}
    found = []
    for n, drawn in enumerate([{}, {"split_seed": 5}, {"fold": "2 of 3"}, {"fractions": fractions | {"test": 0.3}}]):
        out = tmp_path / str(n)
        prepared = run(out, "image_folder", **{"fractions": fractions} | source | drawn)
        found.append(kept(out))
        with (prepared.root / "items.csv").open() as file:
            assert not {row["sha256"] for row in csv.DictReader(file)} & found[-1]
        page = (out / "data" / "report.html").read_text()
        assert "98 images" in page and "/ final /" not in page and "final" not in prepared.manifest["splits"]["north"]
        assert json.loads((out / "metrics" / "prepare.json").read_text())["images"]["final"] == 20
    assert all(each == found[0] for each in found) and len(found[0]) == 20, "12 of north, 8 of south's train split"
    layout = load("shared.prepared")
    assert number_of_images(layout.Prepared(tmp_path / "0/data/prepared"), "north") == (36, 6, 6)
    monkeypatch.chdir(tmp_path / "0")
    assert {item.split for item in layout.measured_on("test", "all")[1]} == {"test"}
    with pytest.raises(UserError, match="lab promote alone opens these images"):
        layout.measured_on("final", "all")
    monkeypatch.setenv("LAB_FINAL", "1")
    assert {item.split for item in layout.measured_on("final", "all")[1]} == {"final"}


def test_a_group_is_kept_as_a_whole_and_without_the_fraction_nothing_is(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    make_folders(root, {"cat": 30, "dog": 30})
    source = {"path": str(root), "group": "([0-9])[.]"}
    run(tmp_path / "none", "image_folder", **source)
    assert kept(tmp_path / "none") == set()
    prepared = run(tmp_path / "some", "image_folder", **source, fractions={"val": 0.2, "test": 0.2, "final": 0.2})
    with (tmp_path / "some/data/final/items.csv").open() as file:
        groups = {row["group"] for row in csv.DictReader(file)}
    assert groups and not groups & sides(prepared).keys()
    told = refusal(tmp_path / "much", "image_folder", **source, fractions={"val": 0.3, "test": 0.3, "final": 0.4})
    assert "must be positive and leave something for train, not val: 0.3, test: 0.3, final: 0.4" in told


def test_a_design_compares_its_arms_fold_by_fold_as_the_docs_say(tmp_path: Path) -> None:
    from lab import contract
    from lab.design import design_file
    from lab.design.compose import composer_of
    from lab.design.pipeline import Pipeline
    from lab.design.plan import plan

    page = (PROJECT / "docs" / "your-own-data.md").read_text()
    told = next(block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "data.source.fold" in block)
    file = tmp_path / "folds.yaml"
    file.write_text(
        "kind: comparison\ntype: train\ntask: classification\ntitle: Which rate?\n"
        "hypothesis: {claim: The larger, metric: infer.f1_macro, arm: '0.01', versus: '0.001'}\n"
        f"comparison: {{variable: lr, values: [0.001, 0.01], versus: '0.001'}}\n{told}"
    )
    known = contract.read(PROJECT)
    pipeline = Pipeline.read(PROJECT / "dvc.yaml")
    runs = plan(design_file.read(file, known), known, composer_of(PROJECT), pipeline, "2026-01-01", lambda *_: "").runs
    tested = sorted((run.params["lr"], run.params["seed"], run.params["data"]["source"]["fold"]) for run in runs)
    assert tested == [(lr, seed, f"{seed} of 5") for lr in (0.001, 0.01) for seed in range(1, 6)]
