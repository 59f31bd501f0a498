"""Augmentation policies (conf/augmentation) as torchvision transforms, for every engine."""

from __future__ import annotations

from omegaconf import DictConfig
from torchvision.transforms import InterpolationMode, v2

GREY = 114  # fills what a shift uncovers and what cutout removes, as detectors have around their images


class PhotometricRandAugment(v2.RandAugment):
    """RandAugment (Cubuk et al. 2020, arXiv:1909.13719) without the operations that would move boxes."""

    _AUGMENTATION_SPACE = {
        name: operation
        for name, operation in v2.RandAugment._AUGMENTATION_SPACE.items()
        if name not in {"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"}
    }


def pixels(policy: DictConfig, boxes: bool) -> list[v2.Transform]:
    """RandAugment and cutout (DeVries and Taylor 2017, arXiv:1708.04552) for images (3, H, W) uint8."""
    transforms: list[v2.Transform] = []
    if policy.randaugment:
        transforms.append((PhotometricRandAugment if boxes else v2.RandAugment)(num_ops=policy.randaugment))
    if policy.cutout:
        transforms.append(v2.RandomErasing(p=policy.cutout, scale=(0.02, 0.2), ratio=(0.5, 2.0), value=GREY))
    return transforms


def moves(policy: DictConfig) -> list[v2.Transform]:
    """Shift, size, rotation and flip, for images (3, H, W) uint8, with boxes or without."""
    transforms: list[v2.Transform] = []
    if policy.translate or policy.scale or policy.rotate:
        shift, zoom = policy.translate, policy.scale
        transforms.append(
            v2.RandomAffine(
                degrees=policy.rotate,
                translate=(shift, shift),
                scale=(1 - zoom, 1 + zoom),
                interpolation=InterpolationMode.BILINEAR,
                fill=GREY,
            )
        )
    if policy.flip:
        transforms.append(v2.RandomHorizontalFlip(policy.flip))
    return transforms


def colours(policy: DictConfig) -> list[v2.Transform]:
    """Brightness and contrast, for images (3, H, W) uint8."""
    if not policy.brightness:
        return []
    return [v2.ColorJitter(brightness=policy.brightness, contrast=policy.brightness)]


def images(policy: DictConfig) -> list[v2.Transform]:
    """All of a policy but what needs several images, for images (3, H, W) uint8 without boxes."""
    return [*moves(policy), *colours(policy), *pixels(policy, boxes=False)]


def mixup(policy: DictConfig, classes: int) -> v2.Transform | None:
    """Mixup (Zhang et al. 2018, arXiv:1710.09412) of a batch, applied with the policy's probability."""
    if not policy.mixup:
        return None
    return v2.RandomApply([v2.MixUp(alpha=0.2, num_classes=classes)], p=policy.mixup)
