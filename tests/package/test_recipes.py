"""Recipes go with data and weights, and training does what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_prepare import make_folders
from workspace import PROJECT, Workspace, load

config = load("shared.config")
OWN = ["data=own", "data.source.path=mine"]


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)


@pytest.mark.parametrize(
    ("overrides", "recipe", "augmentation"),
    [
        (["task=classification"], "digits", "none"),
        (["task=detection"], "digits", "default"),
        (["task=detection", "model.weights=pretrained"], "digits", "default"),
        (["task=classification", *OWN], "scratch", "photographs"),
        (["task=classification", *OWN, "model=efficientnet_b0", "model.weights=pretrained"], "finetune", "photographs"),
        (["task=detection", *OWN, "model.weights=some/weights.pt"], "finetune", "photographs"),
        (["task=detection", "data=yolo", "training=digits"], "digits", "default"),
        (["task=detection", "training=finetune"], "finetune", "photographs"),
        (["task=detection", *OWN, "augmentation=cutout"], "scratch", "cutout"),
    ],
)
def test_recipes_follow_data_and_weights(overrides: list[str], recipe: str, augmentation: str) -> None:
    cfg = config.compose(overrides)
    assert (cfg.training.recipe, cfg.augmentation.name) == (recipe, augmentation)
    assert set(cfg.augmentation) == set(config.compose([*overrides[:1], "augmentation=none"]).augmentation)
    numbers = cfg.recipes[recipe][cfg.model.engine]
    assert cfg.training.lr == numbers.get("lr", cfg.model.recipe.lr) == cfg.lr
    assert cfg.training.max_epochs == numbers.get("max_epochs", cfg.model.recipe.max_epochs)
    assert cfg.training.weight_decay == numbers.weight_decay


def test_what_is_set_by_hand_counts() -> None:
    cfg = config.compose(["task=classification", *OWN, "lr=0.5", "training.max_epochs=3", "training.layer_decay=0.9"])
    assert (cfg.training.lr, cfg.training.max_epochs, cfg.training.layer_decay) == (0.5, 3, 0.9)


def test_layers_learn_at_rates_that_rise_towards_the_head() -> None:
    module = load("engines.lightning.module")
    network = load("tasks.classification.networks.lightning").build("test_efficientnet", ["a", "b"])
    cfg = config.compose(["task=classification", "training=finetune", "lr=0.1"])
    seeded = module.SeededModule(cfg, network)
    seeded._trainer = type("Trainer", (), {"estimated_stepping_batches": 10})()  # type: ignore[assignment]
    optimizer = seeded.configure_optimizers()["optimizer"]
    peaks = {id(p): group["max_lr"] for group in optimizer.param_groups for p in group["params"]}
    stem, head = peaks[id(network.conv_stem.weight)], peaks[id(network.classifier.weight)]
    assert head == pytest.approx(0.1) and 0 < stem < 0.1 * 0.75


def test_rare_classes_count_more() -> None:
    training = load("tasks.classification.training.lightning")
    items = [load("shared.prepared").Item(None, "A", "train", label) for label in "aaab"]
    weights = training.class_weights(training.Images(items, ["a", "b", "never"], None))
    assert torch.allclose(weights, torch.tensor([4 / 9, 4 / 3, 4 / 3]))


def test_rare_classes_are_seen_as_often() -> None:
    """By the same draw whenever an epoch of a seed comes again."""
    training, loop = load("tasks.classification.training.lightning"), load("engines.lightning.loop")
    items = [load("shared.prepared").Item(None, "A", "train", label) for label in "a" * 190 + "b" * 10]
    weights = training.balance(training.Images(items, ["a", "b", "never"], None))

    def drawn(epoch: int) -> list[int]:
        sampler = loop.EpochSampler(len(items), 0, weights)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert drawn(0) == drawn(0) != drawn(1) and len(drawn(0)) == len(items)
    assert 70 < sum(number >= 190 for number in drawn(0)) < 130
    plain = list(loop.EpochSampler(len(items), 0))
    assert sorted(plain) == list(range(len(items)))


@pytest.mark.parametrize(
    ("images", "batch", "gathered", "steps", "passes"),
    [(168, 32, 1, 17, 4), (168, 32, 2, 17, 7), (544, 32, 1, 17, 1), (5000, 32, 1, 17, 1), (3, 16, 1, 0, 1)],
)
def test_an_epoch_shows_few_images_several_times(
    images: int, batch: int, gathered: int, steps: int, passes: int
) -> None:
    """As often as makes the steps that are asked for, each of them equally often, in an order that comes again."""
    loop = load("engines.lightning.loop")
    changes = [f"data.batch_size={batch}", f"training.accumulate_grad_batches={gathered}"]
    cfg = config.compose(["task=classification", f"training.epoch_steps={steps}", *changes])
    loader = loop.loader(cfg, range(images), shuffled=True)

    def shown(epoch: int) -> list[int]:
        loader.sampler.set_epoch(epoch)
        return list(loader.sampler)

    assert sorted(shown(0)) == sorted(list(range(images)) * passes)
    assert shown(0) == shown(0) != shown(1) or images < 4
    assert len(loader) >= steps * gathered
    assert len(loop.loader(cfg, range(images), shuffled=False)) == -(-images // batch)


def test_workers_are_those_asked_for_or_the_cores_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = load("shared.devices")
    for cores, expected in ((1, 0), (4, 3), (64, 8)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert (devices.workers("auto"), devices.workers(2)) == (expected, 2)


def test_a_large_photograph_is_decoded_as_large_as_needed(tmp_path: Path) -> None:
    """Never smaller, and turned as its EXIF says; what is no JPEG comes as it is."""
    read_image = load("shared.prepared").read_image
    image = Image.radial_gradient("L").resize((1600, 1200)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    image.save(tmp_path / "a.jpg", exif=exif)
    image.save(tmp_path / "a.png")
    for needed, shape in ((0, (1600, 1200)), (700, (1600, 1200)), (500, (800, 600)), (224, (400, 300))):
        pixels = read_image(tmp_path / "a.jpg", needed=needed)
        assert pixels.shape[:2] == shape and min(shape) >= needed
        whole = np.asarray(Image.fromarray(read_image(tmp_path / "a.jpg")).resize(shape[::-1], Image.Resampling.BOX))
        assert np.abs(whole.astype(int) - pixels).mean() < 2
    assert read_image(tmp_path / "a.png", needed=224).shape[:2] == (1200, 1600)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["task=classification", "training.freeze=3"], "training.freeze is for detection"),
        (["task=detection", "model=yolo11t", "training.class_weights=true"], "training.class_weights is for class"),
        (["task=detection", "model=yolo11t", "training.balanced=true"], "training.balanced is for classification"),
        (["task=detection", "model=yolo11t", "training.layer_decay=0.5"], "training.layer_decay is for classification"),
        (["task=detection", "model=yolo11t", "training.epoch_steps=9"], "training.epoch_steps is Lightning's"),
        (["task=classification", "training.recipe=fine"], "recipes.fine"),
    ],
)
def test_what_an_engine_does_not_know_is_refused(overrides: list[str], words: str, prepared: Any) -> None:
    task = overrides[0].removeprefix("task=")
    assert words in prepared(task).message("train", *overrides)


def test_data_of_ones_own_is_trained_from_scratch_and_it_says_so(fresh: Workspace) -> None:
    make_folders(fresh.root / "mine", {"cat": 12, "dog": 6})
    chosen = ["task=classification", *OWN, "model=tiny", "data.image_size=32", "data.batch_size=4"]
    fresh.run("prepare", *chosen)
    said = fresh.run("train", *chosen, "training.max_epochs=1", "training.balanced=true", "data.workers=auto").stdout
    assert "training.recipe=scratch: 1 epoch from lr 0.001, augmentation photographs, model.weights=null" in said
