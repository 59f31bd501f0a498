"""Preprocessing as a part of a converted network, so that it takes images as they are: (1, H, W, 3) uint8 RGB.

The same as an engine's `preprocess`, which works on whole grey values, hence the rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..networks.squares import GREY

if TYPE_CHECKING:
    import openvino as ov

    from ..shared.model_file import ModelFile

WHITE = 255.0


def fitted(network: ov.Model, model: ModelFile) -> ov.Model:
    """A network for square images, fitted with antialiasing as the model's resize says, and normalised per channel."""
    prepared = _from_images(network)
    steps = prepared.input().preprocess()
    steps.custom(lambda image: _fit(image, model.image_size, model.resize, f"{model.interpolation}_pillow", GREY))
    steps.mean([WHITE * value for value in model.mean]).scale([WHITE * value for value in model.std])
    return prepared.build()


def letterboxed(network: ov.Model, size: int, grey: float) -> ov.Model:
    """A network for images in [0, 1], scaled to fit into a square of `size` and padded with `grey` (0 to 255)."""
    prepared = _from_images(network)
    prepared.input().preprocess().custom(lambda image: _fit(image, size, "letterbox", "linear", grey)).scale(WHITE)
    return prepared.build()


def _from_images(network: ov.Model) -> Any:
    import openvino as ov
    from openvino.preprocess import ColorFormat, PrePostProcessor

    prepared = PrePostProcessor(network)
    tensor = prepared.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    tensor.set_spatial_dynamic_shape().set_color_format(ColorFormat.RGB)
    prepared.input().model().set_layout(ov.Layout("NCHW"))
    prepared.input().preprocess().convert_element_type(ov.Type.f32)
    return prepared


def _fit(image: Any, size: int, resize: str, mode: str, grey: float) -> Any:
    """(1, H, W, 3) float32 to (1, `size`, `size`, 3)."""
    import openvino.opset11 as ops

    if resize == "stretch":
        return _resized(image, _number([size, size], int), mode)
    sides = ops.convert(_sides(image), "f32")
    longest_or_shortest = ops.reduce_max if resize == "letterbox" else ops.reduce_min
    fitting = longest_or_shortest(sides, _number([0], int), keep_dims=True)
    scaled = ops.round(ops.divide(ops.multiply(sides, _number([size])), fitting), "half_to_even")
    scaled = ops.maximum(scaled, _number([1]))
    resized = _resized(image, ops.convert(scaled, "i64"), mode)
    free = ops.subtract(_number([size]), scaled)
    if resize == "letterbox":
        before = ops.round(ops.subtract(ops.divide(free, _number([2])), _number([0.1])), "half_to_even")
        begin, end = (
            ops.convert(ops.concat([_number([0]), padding, _number([0])], 0), "i64")
            for padding in (before, ops.subtract(free, before))
        )
        square = ops.pad(resized, begin, end, "constant", _number(grey))
    else:
        begin = ops.convert(ops.floor(ops.divide(ops.negative(free), _number([2]))), "i64")
        end = ops.add(begin, _number([size, size], int))
        square = ops.slice(resized, begin, end, _number([1, 1], int), _number([1, 2], int))
    return ops.reshape(square, _number([1, size, size, 3], int), special_zero=False).output(0)


def _sides(image: Any) -> Any:
    """Height and width of (1, H, W, 3)."""
    import openvino.opset11 as ops

    return ops.gather(ops.shape_of(image), _number([1, 2], int), _number(0, int))


def _resized(image: Any, sizes: Any, mode: str) -> Any:
    """To whole grey values, as image libraries give them; those that antialias do one side after the other."""
    import openvino.opset11 as ops

    if not mode.endswith("pillow"):
        return _interpolated(image, sizes, mode)
    height = ops.gather(_sides(image), _number([0], int), _number(0, int))
    width = ops.gather(sizes, _number([1], int), _number(0, int))
    return _interpolated(_interpolated(image, ops.concat([height, width], 0), mode), sizes, mode)


def _interpolated(image: Any, sizes: Any, mode: str) -> Any:
    import openvino.opset11 as ops

    interpolated = ops.interpolate(
        image,
        sizes,
        mode=mode,
        shape_calculation_mode="sizes",
        coordinate_transformation_mode="half_pixel",
        cube_coeff=-0.5,  # as Pillow and torchvision have it
        axes=_number([1, 2], int),
    )
    return ops.clamp(ops.round(interpolated, "half_away_from_zero"), 0.0, WHITE).output(0)


def _number(value: Any, kind: type = float) -> Any:
    import numpy as np
    import openvino.opset11 as ops

    return ops.constant(np.array(value, dtype=np.int64 if kind is int else np.float32))
