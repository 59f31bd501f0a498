"""torchvision's detectors: built by name or parts, read as torchvision reads them, converted, and trained."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image
from test_metrics_samples import detections as made_up
from torchvision.models import detection as torchvision_detection
from torchvision.models import list_models
from torchvision.ops import box_iou, nms
from workspace import QUICK, Workspace, load

detectors = load("tasks.detection.networks.detectors")
engine = load("tasks.detection.networks.torchvision")
images = load("engines.torchvision.images")
model_file = load("shared.model_file")
precision = load("tasks.detection.training.average_precision")
predictor = load("inference.predictor")
weights = load("engines.torchvision.weights")
UserError = load("shared.errors").UserError

Get = Callable[[str], Workspace]
SIZE = 64
SMALL = {
    kind: {"detector": kind, "backbone": "resnet18", "levels": [2, 3], "channels": 32}
    for kind in ("fcos", "retinanet", "fasterrcnn")
}
ARCHITECTURES: dict[str, Any] = SMALL | {"ssdlite": "ssdlite320_mobilenet_v3_large"}
CLASSES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    """One of each family, which has seen noise and whose heads are sure of something."""
    torch.set_num_threads(1)
    made = {}
    for kind, architecture in ARCHITECTURES.items():
        torch.manual_seed(0)
        network = detectors.build(architecture, len(CLASSES)).train()
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name.endswith(("cls_logits.weight", "cls_score.weight")) or (
                    "module_list" in name and kind == "ssdlite"
                ):
                    parameter.add_(torch.randn_like(parameter) * 0.1)
            for layer in network.modules():
                if isinstance(layer, torch.nn.BatchNorm2d):
                    layer.momentum = None
            for _ in range(3):
                network.detector.backbone(torch.randn(8, 3, SIZE, SIZE))
        made[kind] = network.eval()
    return made


@pytest.fixture(scope="module")
def batch() -> torch.Tensor:
    """Five images that are more than noise."""
    generator = torch.Generator().manual_seed(1)
    small = torch.rand(5, 3, 6, 6, generator=generator)
    return torch.nn.functional.interpolate(small, (SIZE, SIZE), mode="bicubic").clamp(0, 1)


def as_file(kind: str, network: Any) -> Any:
    state = network.state_dict()
    return model_file.ModelFile("detection", kind, ARCHITECTURES[kind], CLASSES, SIZE, state, engine="torchvision")


def read(output: Any) -> list[np.ndarray]:
    """The detections of a raw output of square images."""
    return engine.postprocess(SimpleNamespace(image_size=SIZE), np.asarray(output), [(SIZE, SIZE)] * len(output))


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_detections_are_those_that_torchvision_itself_makes(
    networks: Any, batch: torch.Tensor, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the same are asked for, and Faster R-CNN is given torchvision's own proposals."""
    network = networks[kind]
    own = network.detector
    limits = own.roi_heads if kind == "fasterrcnn" else own
    limits.nms_thresh, limits.score_thresh, limits.detections_per_img = engine.IOU, engine.CONFIDENCE, 10**6
    if kind != "fasterrcnn":
        limits.topk_candidates = 10**6
    for image in batch[:2]:
        with torch.inference_mode():
            if kind == "fasterrcnn":
                squares, _ = own.transform([image])
                proposed = own.rpn(squares, own.backbone(squares.tensors))[0]
                monkeypatch.setattr(detectors, "proposals", lambda *_, proposed=proposed: proposed[0][None])
            (expected,), (found,) = own([image]), read(network(image[None]))
        theirs = np.column_stack([expected[key].numpy() for key in ("boxes", "scores", "labels")])
        ours = np.column_stack([(found[:, :4] * SIZE).clip(0, SIZE), found[:, 4], found[:, 5] + 1])
        assert len(ours)
        for row in ours[: 1 if kind == "fasterrcnn" else 20]:  # of the other classes, boxes are of the best one
            assert np.abs(theirs - row).max(1).min() < 0.01
        assert ours[0, 4] == pytest.approx(theirs[theirs[:, 5] > 0, 4].max(), abs=1e-4)  # the class 0 is none


def test_proposals_are_the_best_of_those_that_overlap() -> None:
    """What Fast NMS keeps, torchvision's keeps as well; what it drops comes last."""
    generator = torch.Generator().manual_seed(0)
    corner, side = torch.rand(400, 2, generator=generator) * 50, 5 + torch.rand(400, 2, generator=generator) * 10
    boxes, score = torch.cat([corner, corner + side], 1), torch.rand(400, generator=generator)
    kept = detectors.proposals(boxes[None], score[None])[0]
    greedy = boxes[nms(boxes, score, detectors.OVERLAP)]
    first = int((box_iou(kept, kept).triu(1).amax(0) <= detectors.OVERLAP).cumprod(0).sum())
    assert first > 100 and {tuple(row) for row in kept[:first].tolist()} <= {tuple(row) for row in greedy.tolist()}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_what_is_converted_says_what_torch_says(networks: Any, batch: torch.Tensor, kind: str, tmp_path: Path) -> None:
    """OpenVINO and ONNX, for any number of images."""
    model = as_file(kind, networks[kind])
    openvino_model, onnx_model = load("stages.quant.openvino_model"), load("stages.quant.onnx_model")
    openvino_model.write(openvino_model.convert(model), model, tmp_path / "openvino", "fp32", {})
    onnx_model.write(model, tmp_path / "onnx", {})
    expected = predictor.TorchPredictor(model)(batch.numpy())
    for folder in ("openvino", "onnx"):
        variant = load("inference.variants").load_variant(tmp_path / folder)
        for size in (1, 5):
            output = variant(batch.numpy()[:size])
            assert output.shape == expected[:size].shape
            # Proposals of nearly one score may come in another order.
            ours, theirs = (np.sort(o, -1) if kind == "fasterrcnn" else o for o in (output, expected[:size]))
            assert np.abs(ours[:, 4:] - theirs[:, 4:]).max() < 1e-3
            assert kind == "fasterrcnn" or np.abs(ours - theirs).max() < 1e-2, "of a pixel"


@pytest.mark.parametrize("kind", ["fcos", pytest.param("fasterrcnn", marks=pytest.mark.nightly)])
def test_int8_is_smaller_and_says_much_the_same(networks: Any, batch: torch.Tensor, kind: str, tmp_path: Path) -> None:
    """Of a network of one stage and of one of two: layers are in INT8, what makes boxes of their outputs is not."""
    model, paths = as_file(kind, networks[kind]), [tmp_path / f"{number}.png" for number in range(len(batch))]
    for path, image in zip(paths, batch, strict=True):
        Image.fromarray((255 * image).byte().permute(1, 2, 0).numpy()).save(path)
    openvino_model, quantization = load("stages.quant.openvino_model"), load("stages.quant.quantization")
    items = [load("shared.prepared").Item(path, "A", "train", "") for path in paths]
    full = openvino_model.convert(model)
    small = quantization.quantize(full.clone(), model, items, "mixed")
    assert quantization.quantized_layers(full) == 0 and quantization.quantized_layers(small) > 20
    expected = predictor.TorchPredictor(model)(batch.numpy())
    for name, network in (("full", full), ("small", small)):
        openvino_model.write(network, model, tmp_path / name, "fp32" if name == "full" else "int8", {})
    sizes = [(tmp_path / n / "network_openvino_model" / "model.bin").stat().st_size for n in ("full", "small")]
    assert sizes[1] < 0.45 * sizes[0]
    output = load("inference.variants").load_variant(tmp_path / "small")(batch.numpy())
    assert output.shape == expected.shape and not np.array_equal(output, expected)
    ours, theirs = (np.sort(o, -1) for o in (output, expected))  # proposals come in another order
    for rows in (slice(0, 4), slice(4, None)):
        assert np.corrcoef(ours[:, rows].ravel(), theirs[:, rows].ravel())[0, 1] > 0.95


def test_every_detector_is_built_by_its_name_and_others_are_refused() -> None:
    others = ("maskrcnn", "keypointrcnn", "ssd300")
    theirs = {name for name in list_models(module=torchvision_detection) if not name.startswith(others)}
    assert theirs == set(load("tasks.detection.networks.architectures").NAMES)
    with pytest.raises(UserError, match="Did you mean 'fcos_resnet50_fpn'"):
        detectors.build("fcos_resnet50", 3)
    for name in ("maskrcnn_resnet50_fpn", "yolo11n", "ssd300_vgg16"):
        with pytest.raises(UserError, match="is not one of torchvision's detectors"):
            detectors.build(name, 3)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"detector": "focs"}, "detector=focs is not one of .* Did you mean 'fcos'"),
        ({"backbone": "vgg16"}, "backbone=vgg16"),
        ({"levels": [3, 1]}, "levels=.*in this order"),
        ({"channels": 48}, "channels=48 should be a multiple of 32"),
        ({"width": 2}, "expected backbone, channels, detector, levels"),
    ],
)
def test_a_mapping_that_makes_no_detector_is_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        detectors.build(SMALL["fcos"] | change, 3)


# ---- weights ------------------------------------------------------------------------------------------------------


def start(path: Path | str | None, classes: int, strict: bool = True, architecture: Any = None) -> Any:
    """A network that starts from a file."""
    network = detectors.build(architecture or SMALL["fcos"], classes)
    model = {"weights": str(path) if path else None, "strict": strict, "architecture": architecture or SMALL["fcos"]}
    weights.start(network, OmegaConf.create(model))
    return network


def test_training_starts_from_torchvisions_own_files_and_from_ours(networks: Any, tmp_path: Path) -> None:
    state = networks["fcos"].detector.state_dict()
    frozen = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(frozen, tmp_path / "theirs.pt")  # as torchvision's with frozen batch norms
    as_file("fcos", networks["fcos"]).save(tmp_path / "ours.ckpt")
    for name in ("theirs.pt", "ours.ckpt"):
        own = start(tmp_path / name, 3).detector.state_dict()
        assert all(torch.equal(value, own[key]) for key, value in frozen.items())
    with pytest.raises(UserError, match="of another shape"):
        start(tmp_path / "theirs.pt", 2)
    start(tmp_path / "theirs.pt", 2, strict=False)


def test_weights_that_torchvision_offers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are taken from where the message without a network says that they belong."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    name = "ssdlite320_mobilenet_v3_large"
    with pytest.raises(UserError, match="not for a mapping"):
        start("pretrained", 3)
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda *_, **__: (_ for _ in ()).throw(OSError("no network"))
    )
    with pytest.raises(UserError, match="no network") as refusal:
        start("pretrained", 3, architecture=name)
    file = Path(str(refusal.value).split(" there, ")[1].split(", or")[0])
    brought = detectors.build(name, 90).detector.state_dict()
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(brought, file)
    own = start("pretrained", 3, architecture=name).detector.state_dict()
    same = [key for key, value in brought.items() if value.shape == own[key].shape and torch.equal(value, own[key])]
    assert len(same) > 0.9 * len(own)


# ---- images -------------------------------------------------------------------------------------------------------

OFF = {"translate": 0.0, "scale": 0.0, "rotate": 0.0, "flip": 0.0, "brightness": 0.0, "cutout": 0.0} | {
    "randaugment": 0,
    "mixup": 0.0,
    "mosaic": 0.0,
}


def squares(policy: dict[str, Any]) -> Any:
    """Four black images, each with two bright squares and their boxes, without files."""
    rows = np.array([[0, 0.3, 0.3, 0.25, 0.25], [2, 0.7, 0.65, 0.2, 0.3]], np.float32)

    def pixels(_: Any, size: int) -> np.ndarray:
        image = np.zeros((size, size, 3), np.uint8)
        for _label, x, y, w, h in rows:
            (left, right), (top, bottom) = (
                (round((at - side / 2) * size), round((at + side / 2) * size)) for at, side in ((x, w), (y, h))
            )
            image[top:bottom, left:right] = 250
        return image

    items = [SimpleNamespace(path=Path("any"))] * 4
    place = lambda boxes, shape, size: boxes * size  # noqa: E731
    return images.BoxedImages(items, SIZE, lambda _: rows, pixels, place, OmegaConf.create(OFF | policy))


@pytest.fixture(autouse=True)
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "read_image", lambda item, needed: np.zeros((SIZE, SIZE, 3), np.uint8))


@pytest.mark.parametrize(
    "policy",
    [
        {"flip": 1.0},
        {"translate": 0.3},
        {"scale": 0.5},
        {"mosaic": 1.0},
        {"mixup": 1.0, "flip": 0.5},
        {"mosaic": 0.5, "translate": 0.2, "scale": 0.4, "flip": 0.5},
        {"brightness": 0.2, "cutout": 0.5, "randaugment": 1},
    ],
    ids=str,
)
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_boxes_stay_on_their_objects(policy: dict[str, Any], seed: int) -> None:
    """Each box is bright inside, and what is bright lies in boxes, but for the rims of objects cut at the edge."""
    torch.manual_seed(seed)
    image, target = squares(policy)[0]
    assert image.shape == (3, SIZE, SIZE) and float(image.min()) >= 0 and float(image.max()) <= 1
    boxes, labels = target["boxes"], target["labels"]
    assert len(boxes) == len(labels) and (boxes[:, 2:] > boxes[:, :2]).all()
    assert set(labels.tolist()) <= {1, 3} and ((boxes >= 0) & (boxes <= SIZE)).all()
    if "cutout" in policy:
        return
    lit = image[0] > (0.3 if "mixup" in policy else 0.6)
    covered = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    for x1, y1, x2, y2 in boxes.tolist():
        left, top, right, bottom = int(x1), int(y1), int(np.ceil(x2)), int(np.ceil(y2))
        covered[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = True
        inner = lit[int(np.ceil(y1)) : int(y2), int(np.ceil(x1)) : int(x2)]
        assert inner.numel() == 0 or inner.float().mean() > 0.7
    assert int((lit & ~covered).sum()) <= 0.02 * SIZE * SIZE


def test_the_same_seed_alters_alike_and_nothing_is_altered_without_a_policy() -> None:
    policy = {"mosaic": 0.5, "mixup": 0.5, "translate": 0.1, "flip": 0.5}
    seen = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        seen.append(squares(policy)[1][0])
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[0], seen[2])
    plain = squares({})
    plain.policy = None
    assert torch.equal(plain[0][0], squares({})[0][0])


# ---- the metric that chooses --------------------------------------------------------------------------------------


def test_average_precision_of_nothing_and_of_all() -> None:
    truth = np.array([[0, 0.1, 0.1, 0.3, 0.3], [1, 0.5, 0.5, 0.9, 0.9]])
    perfect = np.column_stack([truth[:, 1:], [0.9, 0.8], truth[:, 0]])
    measure = precision.average_precision
    assert measure([perfect], [truth]) == {"mAP50": 1.0, "mAP50_95": 1.0}
    assert measure([perfect, perfect], [truth, truth[:0]])["mAP50"] == 1.0, "half of the boxes are wrong, but equal"
    assert measure([perfect[:0]], [truth]) == measure([perfect], [truth[:0]]) == {"mAP50": 0.0, "mAP50_95": 0.0}


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_nearly_what_infer_reports(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scoring = load("tasks.detection.evaluation.scoring")
    corners = load("inference.matching").corners
    items, truths, results = made_up(40, seed)
    monkeypatch.setattr(scoring, "boxes", lambda item: truths[int(item.path.stem)])
    monkeypatch.setattr(load("inference.object_scoring"), "pixels", lambda item: (100, 100))
    reported = scoring.score(items, results, CLASSES).metrics
    measured = precision.average_precision(results, [np.column_stack([t[:, 0], corners(t)]) for t in truths])
    for name, value in measured.items():
        assert value == pytest.approx(reported[name], abs=0.01), "the area, not COCO's 101 places"


# ---- training -----------------------------------------------------------------------------------------------------

FCOS = ["task=detection", "model=fcos18", "training.max_epochs=1", "data.batch_size=32"]
SMALLEST = "model.architecture={detector: fcos, backbone: resnet18, levels: [2, 3], channels: 32}"


@pytest.mark.nightly
@pytest.mark.slow
def test_same_seed_same_bits(prepared: Get, tmp_path: Path) -> None:
    space = prepared("detection").copy(tmp_path / "space")
    first, again = space.run_each("train", *2 * [[*FCOS, SMALLEST, "augmentation=full"]])
    assert first == again


@pytest.mark.slow
def test_frozen_layers_stay_as_they_are(prepared: Get, networks: Any, tmp_path: Path) -> None:
    space = prepared("detection").copy(tmp_path / "space")
    as_file("fcos", networks["fcos"]).save(space.root / "start.ckpt")
    space.run("train", *FCOS, SMALLEST, "model.weights=start.ckpt", "training.freeze=5")
    before, after = networks["fcos"].state_dict(), model_file.ModelFile.load(space.root / "models" / "model.pt")
    body = "detector.backbone.body."
    changed = {name for name, value in after.state_dict.items() if not torch.equal(value, before[name])}
    assert not {name for name in changed if name.startswith((f"{body}conv1", f"{body}bn1", f"{body}layer1"))}
    assert {name for name in changed if name.startswith(f"{body}layer2")}


@pytest.mark.nightly
def test_int8_of_a_trained_detector_is_nearly_as_good(prepared: Get, tmp_path: Path) -> None:
    space = prepared("detection").copy(tmp_path / "space")
    trained = ["task=detection", "model=fcos18", "training.max_epochs=6"]
    for stage in ("train", "infer", "quant"):
        space.run(stage, *trained, *QUICK, "quant=openvino_int8")
    metrics = json.loads((space.root / "metrics" / "quant.json").read_text())
    inferred = json.loads((space.root / "metrics" / "infer.json").read_text())
    assert metrics["torch"]["mAP50"] == pytest.approx(inferred["mAP50"]) and inferred["mAP50"] > 0.6
    assert abs(metrics["drop"]["mAP50"]) < 0.02 and abs(metrics["drop"]["mAP50_95"]) < 0.02
    assert metrics["parity"]["agreement"] > 0.8 and metrics["size_mb"] < 0.45 * metrics["torch_size_mb"]


def test_what_cannot_be_done_is_refused(prepared: Get, tmp_path: Path) -> None:
    space = prepared("detection").copy(tmp_path / "space")
    for key, value in (("label_smoothing", 0.1), ("class_weights", "true"), ("layer_decay", 0.5)):
        assert f"training.{key} is for classification" in space.message("train", *FCOS, f"training.{key}={value}")
    other = ["model=torchvision", "model.architecture=fcos_resnet50"]
    assert "Did you mean 'fcos_resnet50_fpn'" in space.message("train", *other)
