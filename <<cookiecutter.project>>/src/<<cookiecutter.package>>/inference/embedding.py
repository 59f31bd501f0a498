"""Preprocessing as a part of a converted network, so that it takes images as they are: (1, H, W, 3) uint8 RGB.

The same as an engine's `preprocess`, which works on whole grey values, hence the rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import openvino as ov

WHITE = 255.0


def stretched(network: ov.Model, mean: Sequence[float], std: Sequence[float]) -> ov.Model:
    """A network for square images that are stretched with antialiasing, and normalised per channel."""
    height, width = network.input(0).partial_shape.to_shape()[2:]
    prepared = _from_images(network)
    steps = prepared.input().preprocess().custom(lambda image: _stretch(image, height, width))
    steps.mean([WHITE * value for value in mean]).scale([WHITE * value for value in std])
    return prepared.build()


def letterboxed(network: ov.Model, size: int, grey: float) -> ov.Model:
    """A network for images in [0, 1], scaled to fit into a square of `size` and padded with `grey` (0 to 255)."""
    prepared = _from_images(network)
    prepared.input().preprocess().custom(lambda image: _letterbox(image, size, grey)).scale(WHITE)
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


def _stretch(image: Any, height: int, width: int) -> Any:
    """(1, H, W, 3) float32 to (1, `height`, `width`, 3), side after side as Pillow and torchvision do."""
    import openvino.opset11 as ops

    own_height = ops.gather(ops.shape_of(image), _number([1], int), _number(0, int))
    wide = _resized(image, ops.concat([own_height, _number([width], int)], 0), "bilinear_pillow")
    return _resized(wide, _number([height, width], int), "bilinear_pillow")


def _resized(image: Any, sizes: Any, mode: str) -> Any:
    """To whole grey values, as image libraries give them."""
    import openvino.opset11 as ops

    resized = ops.interpolate(
        image,
        sizes,
        mode=mode,
        shape_calculation_mode="sizes",
        coordinate_transformation_mode="half_pixel",
        axes=_number([1, 2], int),
    )
    return ops.round(resized, "half_away_from_zero").output(0)


def _number(value: Any, kind: type = float) -> Any:
    import numpy as np
    import openvino.opset11 as ops

    return ops.constant(np.array(value, dtype=np.int64 if kind is int else np.float32))


def _letterbox(image: Any, size: int, grey: float) -> Any:
    """(1, H, W, 3) float32 to (1, `size`, `size`, 3)."""
    import openvino.opset11 as ops

    shape = ops.convert(ops.shape_of(image), "f32")
    sides = ops.gather(shape, _number([1, 2], int), _number(0, int))
    longest = ops.reduce_max(sides, _number([0], int), keep_dims=True)
    scaled = ops.round(ops.divide(ops.multiply(sides, _number([size])), longest), "half_to_even")
    resized = _resized(image, ops.convert(scaled, "i64"), "linear")
    free = ops.subtract(_number([size]), scaled)
    before = ops.round(ops.subtract(ops.divide(free, _number([2])), _number([0.1])), "half_to_even")
    begin, end = (
        ops.convert(ops.concat([_number([0]), padding, _number([0])], 0), "i64")
        for padding in (before, ops.subtract(free, before))
    )
    padded = ops.pad(resized, begin, end, "constant", _number(grey))
    return ops.reshape(padded, _number([1, size, size, 3], int), special_zero=False).output(0)
