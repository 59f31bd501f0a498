"""Suspected label errors of objects: what a model which did not see the image is sure of, and its labels deny.

A wrong class, a wrong place, and an object that nobody labelled, by error_kinds.py; as ObjectLab's swapped, badly
located and overlooked boxes (Tkachenko, Thyagarajan and Mueller, 2023). An object that the model alone misses is none:
models miss many.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from ..shared.errors import UserError

KINDS = {"background": "not labelled", "localisation": "place", "class": "class"}  # by those of errors
LEAST = 0.5  # the confidence from which on a detection makes a label suspicious
COLUMNS = ["path", "given", "suggested", "suspicion", "kind", "x1", "y1", "x2", "y2", "site", "sha256", "experiment"]


def suspects(images: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """A row a detection, with its confidence as `suspicion`; corners are fractions of the image. Raises UserError."""
    if "error" not in images or bool(images["error"].isna().any()):
        raise UserError("some of these runs are of before errors had kinds: carry them out again")
    rows: list[dict[str, Any]] = []
    for image in images.to_dict("records"):
        whose = {key: image[key] for key in ("path", "site", "sha256", "experiment")}
        detections = (image[key] for key in ("error", "right_as", "predicted", "confidence", "boxes"))
        for kind, right_as, name, confidence, box in zip(*detections, strict=True):
            is_suspect = kind == "background" or (kind in KINDS and right_as)
            if is_suspect and confidence >= LEAST:
                place = dict(zip(("x1", "y1", "x2", "y2"), map(float, box), strict=True))
                what = {"given": right_as, "suggested": name, "suspicion": float(confidence)}
                rows.append(whose | what | place | {"kind": KINDS[kind]})
    return pd.DataFrame(rows, columns=COLUMNS)
