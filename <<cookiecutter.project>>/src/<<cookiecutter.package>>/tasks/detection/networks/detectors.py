"""torchvision's detectors for square images of one size, made to give one tensor of all boxes that they consider.

Lin et al., RetinaNet, arXiv:1708.02002; Tian et al., FCOS, arXiv:1904.01355; Howard et al., SSDLite on MobileNetV3,
arXiv:1905.02244; Ren et al., Faster R-CNN, arXiv:1506.01497. Networks and losses are torchvision's own, untouched, so
that its weights fit. What turns their output into boxes is ours: without lists, loops over images and sizes that depend
on the data, it converts to OpenVINO and ONNX for any number of images, and PyTorch runs the very same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torchvision.models.detection as torchvision_detection
from torch import Tensor, nn
from torchvision.models import get_model, resnet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import MultiScaleRoIAlign, roi_align

from ....shared.errors import UserError
from .architectures import unusable

KINDS = {"retinanet": "RetinaNet", "fcos": "FCOS", "fasterrcnn": "FasterRCNN"}  # torchvision's classes
LARGEST = math.log(1000 / 16)  # of a box against its anchor, as a logarithm: torchvision's
CONSIDERED, PROPOSALS = 1000, 300  # of Faster R-CNN's first stage, an image: before and after suppression
OVERLAP = 0.7  # above which a proposal gives way to a better one


class Squares(nn.Module):
    """Takes the place of torchvision's resizing: images come as squares of one size, and are normalised alone."""

    def __init__(self, mean: list[float], std: list[float]):
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, images: Any, targets: Any = None) -> tuple[ImageList, Any]:
        """`images` (N, 3, S, S) in [0, 1], or a list of such."""
        batch = images if isinstance(images, Tensor) else torch.stack(list(images))
        mean, std = (torch.tensor(v, device=batch.device).view(3, 1, 1) for v in (self.mean, self.std))
        size: Any = tuple(batch.shape[-2:])
        return ImageList((batch - mean) / std, [size] * len(batch)), targets

    def postprocess(self, result: Any, *_: Any) -> Any:
        """As it is: boxes are of the square."""
        return result


class Detector(nn.Module):
    """A detector of torchvision's: its losses while it learns, (N, 4 + classes, boxes) afterwards.

    A box is centre x, centre y, width, height in pixels of the S x S image, then a score in [0, 1] a class.
    """

    def __init__(self, detector: Any):
        super().__init__()
        detector.transform = Squares(detector.transform.image_mean, detector.transform.image_std)
        self.detector = detector
        self._anchors: dict[Any, Tensor] = {}

    def losses(self, images: Tensor, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """torchvision's losses of images (N, 3, S, S) in [0, 1].

        `targets` has an image's `boxes` (n, 4), x1, y1, x2, y2 in pixels, and `labels` (n,), of which 0 is none.
        """
        return self.detector(list(images), targets)

    def forward(self, images: Tensor) -> Tensor:
        squares, _ = self.detector.transform(images)
        found: Any = self.detector.backbone(squares.tensors)
        features = list(found.values())
        if isinstance(self.detector, torchvision_detection.FasterRCNN):
            boxes, scores = self.two_stages(squares, features)
        else:
            boxes, scores = self.one_stage(squares, features)
        return torch.cat([boxes, scores], -1).transpose(1, 2)

    def first_layers(self, count: int) -> list[nn.Module]:
        """The backbone's first `count` layers."""
        body = self.detector.backbone
        body = body.body if hasattr(body, "body") else body.features[0]
        return list(body.children())[:count]

    def one_stage(self, squares: ImageList, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Every anchor's box (N, anchors, 4) and scores (N, anchors, classes)."""
        anchors = self.anchors(self.detector.anchor_generator, squares, features)
        head = self.detector.head(features)
        deltas, logits = head["bbox_regression"], head["cls_logits"]
        if isinstance(self.detector, torchvision_detection.FCOS):
            scores = (torch.sigmoid(logits) * torch.sigmoid(head["bbox_ctrness"])).sqrt()
            return from_edges(deltas, anchors), scores[..., 1:]
        scores = (
            torch.sigmoid(logits) if isinstance(self.detector, torchvision_detection.RetinaNet) else logits.softmax(-1)
        )
        return from_anchors(deltas, anchors, self.detector.box_coder.weights), scores[..., 1:]

    def two_stages(self, squares: ImageList, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The boxes (N, proposals, 4), each as its best class has it, and scores (N, proposals, classes)."""
        first, second = self.detector.rpn, self.detector.roi_heads
        anchors = self.anchors(first.anchor_generator, squares, features)
        number, side = squares.tensors.shape[0], squares.tensors.shape[-1]
        objectness, deltas = concat_box_prediction_layers(*first.head(features))
        boxes = corners(from_anchors(deltas.reshape(number, -1, 4), anchors, first.box_coder.weights)).clamp(0, side)
        boxes = proposals(boxes, objectness.reshape(number, -1))
        pooled = pool(second.box_roi_pool, features, boxes, side)
        logits, deltas = second.box_predictor(second.box_head(pooled))
        scores = logits.softmax(-1).reshape(number, boxes.shape[1], -1)[..., 1:]
        of_class = deltas.reshape(number, boxes.shape[1], -1, 4)[:, :, 1:]
        best = scores.argmax(-1)[..., None, None].expand(-1, -1, -1, 4)
        return from_anchors(of_class.gather(2, best)[:, :, 0], boxes, second.box_coder.weights), scores

    def anchors(self, generator: Any, squares: ImageList, features: list[Tensor]) -> Tensor:
        """(anchors, 4), the same for every image of a size: made once, so that they are constants of what is traced."""
        key = int(squares.tensors.shape[-1]), squares.tensors.device
        if key not in self._anchors:
            one = ImageList(squares.tensors[:1], squares.image_sizes[:1])
            self._anchors[key] = generator(one, features)[0]
        return self._anchors[key]


def from_anchors(deltas: Tensor, anchors: Tensor, weights: tuple[float, ...]) -> Tensor:
    """Boxes (N, n, 4) as centre and size, of deltas (N, n, 4) against anchors (n, 4) or (N, n, 4); R-CNN's coding."""
    sizes = anchors[..., 2:] - anchors[..., :2]
    centres = anchors[..., :2] + sizes / 2
    by = torch.tensor(weights, device=deltas.device)
    moved = deltas[..., :2] / by[:2] * sizes + centres
    grown = (deltas[..., 2:] / by[2:]).clamp(max=LARGEST).exp() * sizes
    return torch.cat([moved, grown], -1)


def from_edges(deltas: Tensor, anchors: Tensor) -> Tensor:
    """Boxes (N, n, 4) as centre and size, of distances to the four edges in units of the anchors; FCOS's coding."""
    sizes = anchors[:, 2:] - anchors[:, :2]
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    before, after = deltas[..., :2] * sizes, deltas[..., 2:] * sizes
    return torch.cat([centres + (after - before) / 2, before + after], -1)


def corners(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) as centre and size to x1, y1, x2, y2."""
    centres, halves = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centres - halves, centres + halves], -1)


def proposals(boxes: Tensor, objectness: Tensor) -> Tensor:
    """The best PROPOSALS of boxes (N, n, 4), x1, y1, x2, y2: those that overlap a better one come last.

    Fast NMS (Bolya et al., YOLACT, arXiv:1904.02689, section 5.1): what is suppressed still suppresses, and so all
    pairs are compared at once.
    """
    best, chosen = objectness.topk(min(CONSIDERED, boxes.shape[1]), dim=1)
    boxes = boxes.gather(1, chosen[..., None].expand(-1, -1, 4))
    low = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    overlap = shared / (area[:, :, None] + area[:, None] - shared).clamp(min=1e-6)
    beaten = overlap.triu(1).amax(1) > OVERLAP
    _, kept = (best.sigmoid() - beaten.float()).topk(min(PROPOSALS, boxes.shape[1]), dim=1)
    return boxes.gather(1, kept[..., None].expand(-1, -1, 4))


def pool(pooling: MultiScaleRoIAlign, features: list[Tensor], boxes: Tensor, side: int) -> Tensor:
    """What the feature maps have in boxes (N, n, 4): (N * n, channels, 7, 7), each box from the level of its size.

    As torchvision's own, but that all boxes are read from all levels: which are of a level depends on the data.
    """
    number, count = boxes.shape[:2]
    images = torch.arange(number, device=boxes.device, dtype=boxes.dtype)[:, None, None].expand(number, count, 1)
    places = torch.cat([images, boxes], -1).reshape(-1, 5)
    sizes = (places[:, 3:] - places[:, 1:3]).prod(-1).clamp(min=1e-6).sqrt()
    levels = features[: len(pooling.featmap_names)]
    finest = [round(math.log2(float(side) / float(feature.shape[-1]))) for feature in levels]
    level = torch.floor(pooling.canonical_level + torch.log2(sizes / pooling.canonical_scale) + 1e-6)
    level = level.clamp(finest[0], finest[-1])
    read = 0.0
    for exponent, feature in zip(finest, levels, strict=True):
        own = roi_align(feature, places, pooling.output_size, 2.0**-exponent, pooling.sampling_ratio)
        read = read + own * (level == exponent).to(own.dtype)[:, None, None, None]
    return read  # type: ignore[return-value]


# ---- by name, or by their parts -----------------------------------------------------------------------------------


def build(architecture: str | Mapping[str, Any], classes: int) -> Detector:
    """An untrained detector. `architecture` is one of torchvision's names, or a mapping of `small`'s arguments.

    Raises:
        UserError: there is none such.
    """
    if problem := unusable(architecture):
        raise UserError(f"model.architecture={problem}")
    if isinstance(architecture, Mapping):
        return Detector(small(architecture, classes + 1))
    return Detector(get_model(architecture, weights=None, weights_backbone=None, num_classes=classes + 1))


def small(parts: Mapping[str, Any], classes: int) -> Any:
    """A detector of another size than torchvision's own.

    Args:
        parts: `detector`, fcos, retinanet or fasterrcnn; `backbone`, a ResNet of torchvision's; `levels`, which of its
            four layers feed the feature pyramid, such as [1, 2, 3]: the first is of a quarter of the image's side;
            `channels` of the pyramid, a multiple of 32.
        classes: with the background.
    """
    body = getattr(resnet, parts["backbone"])(weights=None)
    levels, channels = list(parts["levels"]), parts["channels"]
    last = body.inplanes
    backbone = BackboneWithFPN(
        body,
        {f"layer{level}": str(place) for place, level in enumerate(levels)},
        [last // 2 ** (4 - level) for level in levels],
        channels,
    )
    strides = [2 ** (level + 1) for level in levels]
    strides.append(2 * strides[-1])  # the pyramid's own
    kind = getattr(torchvision_detection, KINDS[parts["detector"]])
    if parts["detector"] == "fcos":
        return kind(
            backbone, classes, anchor_generator=AnchorGenerator(tuple((s,) for s in strides), ((1.0,),) * len(strides))
        )
    ratios = ((0.5, 1.0, 2.0),) * len(strides)
    if parts["detector"] == "retinanet":
        sizes = tuple(tuple(int(4 * s * 2 ** (third / 3)) for third in range(3)) for s in strides)
        head = torchvision_detection.retinanet.RetinaNetHead(
            channels, len(sizes[0]) * len(ratios[0]), classes, partial(nn.GroupNorm, 32)
        )
        return kind(backbone, classes, anchor_generator=AnchorGenerator(sizes, ratios), head=head)
    pooling = MultiScaleRoIAlign([str(place) for place in range(len(levels))], 7, 2)
    return kind(
        backbone,
        rpn_anchor_generator=AnchorGenerator(tuple((4 * s,) for s in strides), ratios),
        box_roi_pool=pooling,
        box_head=torchvision_detection.faster_rcnn.TwoMLPHead(channels * 49, 256),
        box_predictor=torchvision_detection.faster_rcnn.FastRCNNPredictor(256, classes),
        rpn_pre_nms_top_n_train=500,  # of 2000, and 64 of 512: these images are small, and have few objects
        rpn_post_nms_top_n_train=300,
        box_batch_size_per_image=64,
    )
