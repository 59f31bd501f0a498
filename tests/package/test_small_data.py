"""Data as small as a first try: whatever the number of images and batches, a training comes to its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from test_prepare import make_folders
from workspace import Workspace, load

module = load("engines.lightning.module")
loop, start = load("engines.lightning.loop"), load("engines.lightning.start")


@pytest.mark.slow
@pytest.mark.parametrize(("images", "batch"), [(12, 32), (12, 17)])  # one step an epoch; a last batch of one image
def test_a_handful_of_images_trains(images: int, batch: int, fresh: Workspace) -> None:
    make_folders(fresh.root / "datasets" / "own", {"cat": images, "dog": images})
    settings = ["task=classification", "data=own", "data.source.path=datasets/own", "data.image_size=32"]
    fresh.run("prepare", *settings)
    fresh.run("train", *settings, "model=tiny", f"data.batch_size={batch}", "training.max_epochs=2")
    assert (fresh.root / "models" / "model.pt").is_file()


def test_images_of_a_size_that_a_network_does_not_take() -> None:
    model: Any = OmegaConf.create({"architecture": "test_vit3", "weights": None})
    assert start.starting_network(model, ["a", "b"], 160).training
    with pytest.raises(load("shared.errors").UserError, match=r"test_vit3 takes no .*32 pixels.*data\.image_size=160$"):
        start.starting_network(model, ["a", "b"], 32)


@given(
    images=st.integers(2, 200),
    batch=st.integers(1, 64),
    epochs=st.integers(1, 5),
    warmup=st.floats(0, 5),
    steps=st.integers(0, 20),
)
@settings(max_examples=100, deadline=None)
def test_any_number_of_steps_has_a_learning_rate(
    images: int, batch: int, epochs: int, warmup: float, steps: int
) -> None:
    recipe = {"lr": 0.1, "optimizer": "sgd", "weight_decay": 0.0, "final_lr": 0.0, "ema": False, "layer_decay": 1.0}
    recipe |= {"epoch_steps": steps, "accumulate_grad_batches": 1}
    cfg: Any = OmegaConf.create(
        {
            "seed": 0,
            "data": {"batch_size": batch, "workers": 0},
            "training": recipe | {"max_epochs": epochs, "warmup_epochs": warmup},
        }
    )
    batches = loop.loader(cfg, torch.utils.data.TensorDataset(torch.zeros(images, 1)), shuffled=True)
    assert len(batches) > 0
    assert batch == 1 or all(len(part) > 1 for (part,) in batches)
    network = module.SeededModule(cfg, torch.nn.Conv2d(1, 1, 1))
    network.trainer = SimpleNamespace(estimated_stepping_batches=epochs * len(batches))
    configured = module.SeededModule.configure_optimizers(network)
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    for _ in range(epochs * len(batches)):
        assert 0 <= optimizer.param_groups[0]["lr"] <= 0.1 + 1e-9
        optimizer.step()
        scheduler.step()
