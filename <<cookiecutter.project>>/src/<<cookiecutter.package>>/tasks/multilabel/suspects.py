"""Suspected label errors: labels that a model which did not see the image would take away or add."""

from __future__ import annotations

import numpy as np
import pandas as pd


def suspects(images: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """A row for each label that is there and less likely than not, or absent and likely; `suspicion` from 0 to 1.

    It is how far the probability lies from the label. What several runs said of an image is averaged.
    """
    first = images.groupby("sha256", sort=True).first()
    by_image = images.groupby("sha256", sort=True)["confidence"]
    probabilities = np.stack([np.mean(np.stack(list(own)), axis=0) for _, own in by_image])
    there = np.stack([np.isin(classes, list(labels)) for labels in first["actual"]])
    suspicion = np.abs(there - probabilities)
    image, label = np.nonzero(suspicion > 0.5)
    names, is_given = np.array(classes)[label], there[image, label]
    return pd.DataFrame(
        {
            "path": first["path"].to_numpy()[image],
            "given": np.where(is_given, names, ""),
            "suggested": np.where(is_given, "", names),
            "suspicion": suspicion[image, label],
            "site": first["site"].to_numpy()[image],
            "sha256": first.index.to_numpy()[image],
        }
    )
