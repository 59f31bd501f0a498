"""Source `digits`: classification of handwritten digits (data/handwritten), one an image."""

import numpy as np
from omegaconf import DictConfig

from ...handwritten.drawing import CAMERAS, draw_digit, load_digits, png, sites_of, splits_of
from ...shared.dataset import Dataset, Sample


def read(source: DictConfig) -> Dataset:
    """One digit an image, all of them at every site.

    Raises:
        UserError: more sites than cameras.
    """
    images, numbers = load_digits()
    splits = splits_of(images, numbers, source)
    samples = []
    for site_index, site in enumerate(sites_of(source)):
        rng = np.random.default_rng([source.split_seed, site_index])
        for index, (image, number, split) in enumerate(zip(images, numbers, splits, strict=True)):
            drawn = draw_digit(rng, CAMERAS[site_index], image, source.size)
            name = f"{index:04d}"  # and group: the same digit at each site
            samples.append(Sample(site, split, name, png(drawn), label=str(number), group=name))
    return Dataset("classification", [str(number) for number in range(10)], samples)
