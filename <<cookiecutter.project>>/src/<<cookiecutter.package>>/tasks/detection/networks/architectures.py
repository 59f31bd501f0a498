"""What torchvision's detectors may be asked for: by name, or by their parts. Told without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....shared.errors import nearest

NAMES = (
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fcos_resnet50_fpn",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "ssdlite320_mobilenet_v3_large",
)  # torchvision's own; its SSD300 takes images of 300 pixels alone, and its others see masks and keypoints as well
PARTS = {
    "detector": ("fasterrcnn", "fcos", "retinanet"),
    "backbone": tuple(f"resnet{n}" for n in (18, 34, 50, 101, 152)),
}
KEYS = {*PARTS, "channels", "levels"}


def unusable(architecture: str | Mapping[str, Any]) -> str:
    """Why there is no such detector; empty where there is one."""
    if not isinstance(architecture, Mapping):
        if architecture in NAMES:
            return ""
        expected = f"{', '.join(NAMES)}, or a mapping of {', '.join(sorted(KEYS))}"
        return f"{architecture} is not one of torchvision's detectors: {expected}.{nearest(str(architecture), NAMES)}"
    problems = []
    if set(architecture) != KEYS:
        problems.append(f"has {', '.join(map(str, architecture))}: expected {', '.join(sorted(KEYS))}")
    for key, known in PARTS.items():
        if (name := architecture.get(key, known[0])) not in known:
            problems.append(f"{key}={name} is not one of {', '.join(known)}.{nearest(str(name), known)}")
    levels, channels = architecture.get("levels", [1]), architecture.get("channels", 32)
    if not (isinstance(levels, list) and levels and set(levels) <= {1, 2, 3, 4} and sorted(set(levels)) == levels):
        problems.append(f"levels={levels} should be some of 1, 2, 3, 4, in this order")
    if not isinstance(channels, int) or channels < 32 or channels % 32:
        problems.append(f"channels={channels} should be a multiple of 32")
    return "; ".join(problems)
