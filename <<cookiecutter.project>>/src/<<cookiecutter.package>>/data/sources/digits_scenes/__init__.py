"""Source `digits_scenes`: handwritten digits, drawn into scenes (data/handwritten).

For detection they have boxes, for segmentation outlines; for multilabel they are labelled with the digits that occur.
"""

from collections.abc import Sequence

import numpy as np
from omegaconf import DictConfig

from ....shared.errors import UserError
from ....shared.prepared import FINAL, SPLITS
from ...handwritten.drawing import CAMERAS, DIGITS_PER_SCENE, draw_scene, load_digits, outline, png, sites_of, splits_of
from ...shared.dataset import Dataset, Sample, labelled, outlined


def read(source: DictConfig) -> Dataset:
    """Scenes of two to four digits that do not overlap, for data.source.task. No digit is in the scenes of two splits.

    Raises:
        UserError: more sites than cameras, a class that is no digit, or a split without scenes.
    """
    images, numbers = load_digits()
    task, classes = source.get("task", "detection"), _wanted(source.classes)
    names = [str(number) for number in classes]
    if min(source.scenes[split] for split in SPLITS) < 1:
        raise UserError(f"data.source.scenes must give each split a scene or more, not {dict(source.scenes)}.")
    splits = np.array(splits_of(images, numbers, source))
    scenes = {**source.scenes} | ({FINAL: source.scenes.test} if FINAL in splits else {})
    samples = []
    for site_index, site in enumerate(sites_of(source)):
        for split_index, split in enumerate((*SPLITS, FINAL) if FINAL in scenes else SPLITS):
            rng = np.random.default_rng([source.split_seed, site_index, split_index])
            chosen = np.flatnonzero((splits == split) & np.isin(numbers, classes))
            for index in range(scenes[split]):
                digits = rng.choice(chosen, size=rng.integers(*DIGITS_PER_SCENE, endpoint=True))
                labels = [classes.index(number) for number in numbers[digits]]
                scene, boxes, inks = draw_scene(rng, CAMERAS[site_index], images[digits], labels, source.scene_size)
                sample = Sample(site, split, f"{index:04d}", png(scene), boxes=boxes)
                if task == "multilabel":
                    sample = labelled(sample, sample.objects(names))
                elif task == "segmentation":
                    sample = outlined(sample, [outline(ink, box) for ink, box in zip(inks, boxes, strict=True)])
                samples.append(sample)
    return Dataset(task, names, samples)


def _wanted(classes: Sequence[int]) -> list[int]:
    wanted = [int(number) for number in classes]
    if not wanted or len(set(wanted)) < len(wanted) or not set(wanted) <= set(range(10)):
        raise UserError(f"data.source.classes must be different digits from 0 to 9, not {wanted}.")
    return wanted
