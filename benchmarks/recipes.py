"""What a first fine-tuning scores: the recipe that a project takes by itself from weights, against that from none.

    uv pip install --python demo/.venv --no-deps scikit-image
    demo/.venv/bin/python benchmarks/recipes.py demo [--models tiny yolo11t] [--seeds 0 1] [--json recipes.json]

In copies of a generated project (here demo), with its environment, to which scikit-image adds the photographs that it
ships. A set of a few images is cut out of seven photographs: crops to tell apart, or scenes with pieces of three of
them to find on the others; each split from a part of its own of every photograph. The weights are the same network's
after a short training on crops of eight other photographs, or on the embedded scenes of digits. Scores are of the test
split, as the infer stage counts them; the same machine comes to the same numbers again. `--also` tries other settings
of the fine-tuning beside it: `--also "lr=0.002 training.freeze=8"`.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter
from rich.console import Console
from rich.table import Table

SETTINGS = {  # what chooses a network, and the pixels that it sees here
    "tiny": ("classification", 48, ["model=tiny"]),
    "resnet18": ("classification", 32, ["model=timm", "model.architecture=resnet18"]),
    "efficientnet_b0": ("classification", 32, ["model=efficientnet_b0"]),
    "yolo11t": ("detection", 96, ["model=yolo11t"]),
    "yolo11n": ("detection", 96, ["model=yolo11n"]),
    "fcos18": ("detection", 96, ["model=fcos18"]),
}
SCORE = {"classification": "f1_macro", "detection": "mAP50_95"}
QUICK = ["infer.latency.warmup=1", "infer.latency.repeats=1", "infer.latency.rounds=1"]  # how fast is not the question

PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "china.jpg",
    "flower.jpg",
    "grace_hopper.jpg",
)
KNOWN_PHOTOGRAPHS = (
    "brick.png",
    "camera.png",
    "coins.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "retina.jpg",
)
FOLDERS = {"skimage": "data", "sklearn": "datasets/images", "matplotlib": "mpl-data/sample_data"}  # of packages
PARTS = {  # of a photograph, for each split: left, top, right, bottom
    "train": (0.0, 0.0, 0.5, 1.0),
    "val": (0.5, 0.0, 1.0, 0.5),
    "test": (0.5, 0.5, 1.0, 1.0),
}
CROPS = {"train": 12, "val": 6, "test": 24}  # of each photograph
KNOWN_CROPS = {"train": 40, "val": 5, "test": 1}  # of each other one
SCENES = {"train": 60, "val": 12, "test": 60}
CROP, SCENE = 64, 128  # pixels: their sides
PIECES, PIECE = (1, 3), (28, 60)  # how many a scene has, and their sides in pixels


# The images


def photographs(names: tuple[str, ...]) -> dict[str, Image.Image]:
    """The photographs that packages ship, by their names without an ending."""
    folders = [Path(spec.origin).parent / path for name, path in FOLDERS.items() if (spec := find_spec(name))]
    found = {name: folder / name for name in names for folder in folders if (folder / name).is_file()}
    if absent := [name for name in names if name not in found]:
        sys.exit(f"no {', '.join(absent)}: expected in the packages {', '.join(FOLDERS)}; see --help")
    return {path.stem: Image.open(path).convert("RGB") for path in found.values()}


def piece(rng: np.random.Generator, photograph: Image.Image, split: str, side: int) -> Image.Image:
    """A square out of a split's part of a photograph, as another camera and another light would have it."""
    left, top, right, bottom = np.multiply(PARTS[split], photograph.size * 2)
    square = min(right - left, bottom - top) * rng.uniform(0.35, 0.95)
    x, y = rng.uniform(left, right - square), rng.uniform(top, bottom - square)
    image = photograph.crop((int(x), int(y), int(x + square), int(y + square)))
    image = image.resize((side, side), Image.Resampling.LANCZOS).rotate(rng.uniform(-35, 35), Image.Resampling.BILINEAR)
    for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = kind(image).enhance(rng.uniform(0.6, 1.4))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2)))
    noisy = np.asarray(image) + rng.normal(0, rng.uniform(0, 12), (side, side, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def crops(folder: Path, names: tuple[str, ...], counts: dict[str, int]) -> None:
    """A folder of each split with a folder of each photograph, for classification."""
    rng = np.random.default_rng(0)
    for label, photograph in photographs(names).items():
        for split, count in counts.items():
            (place := folder / split / label).mkdir(parents=True)
            for number in range(count):
                piece(rng, photograph, split, CROP).save(place / f"{number:03d}.png")


def scenes(folder: Path, names: tuple[str, ...], counts: dict[str, int]) -> None:
    """Oval pieces of three photographs on pieces of the others, with their boxes as YOLO has them."""
    rng = np.random.default_rng(0)
    every = photographs(names)
    labels = sorted(every)[:3]
    grounds = [photograph for name, photograph in every.items() if name not in labels]
    for split, count in counts.items():
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(count):
            image, boxes = scene(rng, [every[label] for label in labels], grounds, split)
            image.save(folder / "images" / split / f"{number:03d}.png")
            rows = [" ".join(map(str, box)) + "\n" for box in boxes]
            (folder / "labels" / split / f"{number:03d}.txt").write_text("".join(rows))
    splits = "".join(f"{split}: images/{split}\n" for split in counts)
    (folder / "data.yaml").write_text(f"names: [{', '.join(labels)}]\n{splits}")


def scene(
    rng: np.random.Generator, objects: list[Image.Image], grounds: list[Image.Image], split: str
) -> tuple[Image.Image, list[tuple[float, ...]]]:
    """One image, and class, cx, cy, w, h of each piece in it; one that finds no room is left out."""
    image = piece(rng, grounds[rng.integers(len(grounds))], split, SCENE)
    taken: list[tuple[int, int, int, int, int]] = []
    for _ in range(rng.integers(*PIECES, endpoint=True)):
        label, width = int(rng.integers(len(objects))), int(rng.integers(*PIECE))
        height = int(width * rng.uniform(0.7, 1))
        found = piece(rng, objects[label], split, width).resize((width, height))
        mask = Image.new("L", (width, height), 0)
        ImageDraw.Draw(mask).ellipse((0, 0, width - 1, height - 1), fill=255)
        for _ in range(20):
            x, y = int(rng.integers(SCENE - width)), int(rng.integers(SCENE - height))
            if all(x + width < a or a + w < x or y + height < b or b + h < y for _, a, b, w, h in taken):
                image.paste(found, (x, y), mask)
                taken.append((label, x, y, width, height))
                break
    return image, [
        (c, *(round(v / SCENE, 5) for v in (x + w / 2, y + h / 2, w, h)))  # fractions of the image
        for c, x, y, w, h in taken
    ]


# What is trained


def workspace(project: Path, folder: Path) -> Path:
    """A new folder with a copy of the project's code."""
    folder.mkdir()
    for name in ("src", "conf"):
        shutil.copytree(project / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(project / name, folder)
    return folder


def known(project: Path, folder: Path, network: str) -> Path:
    """A model that has seen something else, crops of other photographs or scenes of digits."""
    task, pixels, chosen = SETTINGS[network]
    copy, choices = workspace(project, folder / f"{network}-known"), [f"task={task}", *chosen]
    if task == "classification":
        crops(copy / "datasets" / "own", KNOWN_PHOTOGRAPHS, KNOWN_CROPS)
        choices += ["data=own", f"data.image_size={pixels}", "training.max_epochs=12", "lr=0.004"]
    for name in ("prepare", "train"):
        stage(copy, name, choices)
    return copy / "models" / "model.pt"


def stage(copy: Path, name: str, overrides: list[str]) -> None:
    """A stage of the project in a workspace, as the command line runs it but for what is imported once."""
    os.chdir(copy)
    try:
        with redirect_stdout(StringIO()):
            load("shared.stage").run(name, load("shared.config").load(overrides))
    except load("shared.errors").UserError as error:
        sys.exit(f"src/{name}.py {' '.join(overrides)}: {error}")


def load(name: str) -> ModuleType:
    """A module of the project's package, which lies in the first folder on sys.path."""
    package = next(Path(sys.path[0]).glob("*/shared/stage.py")).parents[1].name
    return import_module(f"{package}.{name}")


def score(copy: Path, task: str, overrides: list[str]) -> float:
    """What a training with these overrides comes to on the test split."""
    stage(copy, "train", overrides)
    stage(copy, "infer", [*overrides, *QUICK])
    return float(json.loads((copy / "metrics" / "infer.json").read_text())[SCORE[task]])


def compare(project: Path, folder: Path, network: str, seeds: list[int], also: list[str]) -> dict[str, list[float]]:
    """The scores of each way to train a network, by seed."""
    task, pixels, chosen = SETTINGS[network]
    copy = workspace(project, folder / network)
    if task == "classification":
        crops(copy / "datasets" / "own", PHOTOGRAPHS, CROPS)
    else:
        scenes(copy / "datasets" / "own", PHOTOGRAPHS, SCENES)
    choices = [f"task={task}", *chosen, "data=own", f"data.image_size={pixels}"]
    stage(copy, "prepare", choices)
    shutil.copy(known(project, folder, network), copy / "known.pt")
    weights = ["model.weights=known.pt", "model.strict=false"]  # its last layer is for other classes
    ways = {"from scratch": [], "fine-tuned": weights} | {each: weights + each.split() for each in also}
    found: dict[str, list[float]] = {}
    for seed in seeds:
        for name, overrides in ways.items():
            found.setdefault(name, []).append(score(copy, task, [*choices, *overrides, f"seed={seed}"]))
            print(f"{network}, seed {seed}, {name}: {found[name][-1]:.3f}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--models", nargs="+", choices=SETTINGS, default=["tiny", "yolo11t"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--also", action="append", default=[], help="other settings of the fine-tuning, also several")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    project, output = options.project.resolve(), options.json and options.json.resolve()
    sys.path[0] = str(project / "src")  # in place of this folder
    found = {}
    with tempfile.TemporaryDirectory() as name:
        for network in options.models:
            found[network] = compare(project, Path(name), network, options.seeds, options.also)
        os.chdir(project)
    seeds = ", ".join(map(str, options.seeds))
    table = Table("network", "pixels", "score", "trained", f"seeds {seeds}", "mean", title="first fine-tuning")
    for network, ways in found.items():
        task, pixels, _ = SETTINGS[network]
        for way, scores in ways.items():
            each = "  ".join(f"{value:.3f}" for value in scores)
            table.add_row(network, str(pixels), SCORE[task], way, each, f"{statistics.mean(scores):.3f}")
    Console(width=120).print(table)
    if output:
        output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
