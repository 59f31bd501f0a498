"""How an image becomes a square for classifiers: the same in training, predicting, and inside what is exported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from workspace import PROJECT, load

config = load("shared.config")
embedding = load("inference.embedding")
lightning = load("networks.lightning")
model_file = load("shared.model_file")

RESIZES = ("stretch", "letterbox", "crop")
SIZES = [(48, 100), (131, 50), (64, 64), (32, 32), (1, 7), (9, 200), (31, 33), (20, 17)]


def model(resize: str, interpolation: str, size: int = 32) -> Any:
    """A model file whose network is of no matter."""
    fed = {"resize": resize, "interpolation": interpolation, "mean": [0.2, 0.4, 0.6], "std": [0.5, 0.25, 0.2]}
    return model_file.ModelFile("classification", "m", "a", ["a", "b"], size, {}, **fed)


def picture(height: int, width: int) -> np.ndarray:
    """Edges and gradients, which interpolations treat otherwise."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([255 * ((x // 5 + y // 3) % 2), 255 * x / width, 255 * y / height], -1).astype(np.uint8)


def square(image: np.ndarray, resize: str, interpolation: str = "bilinear", size: int = 32) -> np.ndarray:
    """(size, size, 3) in grey values."""
    import torch

    return lightning.fitted(torch.tensor(image).permute(2, 0, 1), size, resize, interpolation).permute(1, 2, 0).numpy()


@pytest.mark.parametrize(("resize", "interpolation"), [("crop", "bicubic"), *((name, "bilinear") for name in RESIZES)])
def test_exports_do_inside_what_training_did(resize: str, interpolation: str) -> None:
    """For images of any size, to a grey value, which is rounded."""
    import openvino as ov
    import openvino.opset11 as ops

    blank = ops.parameter([1, 3, 32, 32], np.float32)
    nothing = ov.Model([ops.negative(blank)], [blank])
    fed = model(resize, interpolation)
    whole = embedding.fitted(nothing, fed)
    compiled = ov.Core().compile_model(whole, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for height, width in SIZES:
        image = picture(height, width)
        difference = -compiled(image[np.newaxis])[0][0] - lightning.preprocess(fed, image)
        grey_values = np.abs(difference) * np.array(fed.std).reshape(3, 1, 1) * 255
        assert grey_values.max() <= 1.01 and grey_values.mean() <= 0.15, (height, width)


@given(height=st.integers(1, 300), width=st.integers(1, 300), resize=st.sampled_from(RESIZES))
def test_every_image_becomes_a_square(height: int, width: int, resize: str) -> None:
    assert square(picture(height, width), resize).shape == (32, 32, 3)


def test_a_letterbox_keeps_all_of_the_image_in_its_proportions() -> None:
    fitted = square(np.full((50, 100, 3), 255, np.uint8), "letterbox")
    assert (fitted[8:24] == 255).all() and (fitted[:8] == 114).all() and (fitted[24:] == 114).all()
    letterbox = load("networks.squares").letterbox(50, 100, 32)
    assert letterbox == (0.32, 0, 8), "as detectors have it"


def test_a_crop_is_the_middle() -> None:
    image = np.zeros((64, 128, 3), np.uint8)
    image[:, 32:96] = 255
    fitted = square(image, "crop")
    assert (fitted[:, 1:-1] == 255).all() and (fitted[:, [0, -1]] > 200).all()


def test_without_a_choice_images_are_stretched_as_before() -> None:
    from torchvision.transforms import v2

    image = picture(48, 100)
    before = v2.Resize((32, 32), antialias=True)(v2.functional.to_image(image)).permute(1, 2, 0).numpy()
    assert (square(image, "stretch") == before).all()
    assert model_file.ModelFile("classification", "m", "a", [], 32, {}).resize == "stretch"


def test_bicubic_is_as_pillow_has_it() -> None:
    image = picture(90, 70)
    expected = np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC), float)
    assert np.abs(square(image, "stretch", "bicubic") - expected).max() <= 1


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["task=detection", "data.resize=crop"], "data.resize=crop: crop: detection takes letterbox alone"),
        (["task=classification", "data.resize=letterboxed"], "Did you mean 'letterbox'?"),
        (["task=classification", "data.interpolation=lanczos"], "expected one of bilinear, bicubic"),
    ],
)
def test_what_a_task_cannot_do_is_refused(overrides: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    with pytest.raises(load("shared.errors").UserError) as error:
        config.load(overrides)
    assert said in str(error.value)
