"""What a training of timm's networks starts from."""

from __future__ import annotations

import pytorch_lightning as pl
import timm
import torch
from omegaconf import DictConfig

from ...networks.lightning import build
from ...shared.errors import UserError
from ...shared.model_file import ModelFile, load_weights
from ...training import state_dict
from ...training.weights import PRETRAINED, check, weights_file


def starting_network(model: DictConfig, classes: list[str], image_size: int) -> torch.nn.Module:
    """The network with the weights that training starts from. Raises UserError, also where it takes no such images."""
    network = build(model.architecture, classes, pretrained=model.weights == PRETRAINED)
    check_size(network, model.architecture, image_size)
    if file := weights_file(model):
        check(file, model, "pretrained, null or a file")
        weights = state_dict.renamed(state_dict.read(file), network.state_dict())
        load_weights(network, weights, model.weights, model.strict)
    return network


def check_size(network: torch.nn.Module, architecture: str, image_size: int) -> None:
    """Raise UserError unless the network has an answer to an image: transformers often take those of one size alone."""
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, image_size, image_size))
    except (AssertionError, RuntimeError, ValueError) as error:
        config = timm.get_pretrained_cfg(architecture)
        fitting = f": it is made for data.image_size={config.input_size[-1]}" if config else ""
        raise UserError(
            f"model.architecture={architecture} takes no images of {image_size} x {image_size} pixels "
            f"({' '.join(str(error).split())[:200]}){fitting}"
        ) from error
    network.train()


def untrained(cfg: DictConfig, task: str, classes: list[str]) -> ModelFile:
    """What the model file will say of the network; from here on chance goes by the seed. Raises UserError."""
    if cfg.training.freeze:
        raise UserError(
            "training.freeze is for detection: training.layer_decay holds the first layers of timm's networks"
        )
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    mean, std = statistics(cfg)
    return ModelFile(
        task=task,
        engine="lightning",
        name=cfg.model.name,
        architecture=cfg.model.architecture,
        classes=classes,
        image_size=cfg.data.image_size,
        state_dict={},
        mean=mean,
        std=std,
        resize=cfg.data.resize,
        interpolation=cfg.data.interpolation,
    )


def statistics(cfg: DictConfig) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel that the network wants: those that its weights were trained with.

    They stand in a model file of ours; other files and pretrained weights have those of timm's; without any, one half.
    """
    file = weights_file(cfg.model)
    if file and file.is_file():
        try:
            model = ModelFile.load(file)
            return model.mean, model.std
        except UserError:
            pass  # it is of another kind, or starting_network will tell
    config = timm.get_pretrained_cfg(cfg.model.architecture) if cfg.model.weights else None
    return (list(config.mean), list(config.std)) if config is not None else ([0.5] * 3, [0.5] * 3)
