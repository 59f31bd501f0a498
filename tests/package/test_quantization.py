"""Conversion and quantization: the same network, smaller and faster, on honest terms."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from omegaconf import OmegaConf
from PIL import Image
from workspace import PACKAGE, PROJECT, SMALL, Workspace, load

os.environ["TF_BUILD"] = "1"  # OpenVINO's telemetry stays off in CI; environment.py does the same for the stages

layout = load("shared.prepared")
masks = load("tasks.segmentation.networks.masks")
latency = load("inference.latency")
model_file = load("shared.model_file")
openvino_model = load("stages.quant.openvino_model")
openvino_predictor = load("inference.openvino_predictor")
predictor = load("inference.predictor")
quantization = load("stages.quant.quantization")
registry = load("shared.registry")
UserError = load("shared.errors").UserError

Get = Callable[[str], Workspace]
MAIN = {"detection": "mAP50", "classification": "f1_macro"}
NETWORKS = {"detection": "yolo11t", "segmentation": "yolo11t_seg", "classification": "tiny"}
NETWORK = openvino_predictor.NETWORK
VARIANTS = ("openvino_fp32", "openvino_fp16", "openvino_int8", "openvino_int8_accuracy", "onnx_fp32", "torch_fp32")


def network(task: str) -> Any:
    """An untrained network as a model file, the same every time; it has seen noise, so that its output isn't flat."""
    import torch

    content: Any = OmegaConf.to_container(OmegaConf.load(PROJECT / "conf" / "model" / f"{NETWORKS[task]}.yaml"))
    classes, size = ["a", "b", "c"], 32 if task == "classification" else 64
    torch.manual_seed(0)
    built = registry.network(task, "").build(content["architecture"], classes).train()
    for layer in built.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the running statistics are the mean of all batches
    for _ in range(4):
        built(torch.rand(8, 3, size, size))
    return model_file.ModelFile(task, "small", content["architecture"], classes, size, built.state_dict())


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {task: network(task) for task in NETWORKS}


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """A few images that are more than noise."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    paths = [folder / f"{index}.png" for index in range(12)]
    for path in paths:
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        small.resize((64, 64), Image.Resampling.BICUBIC).save(path)
    return [layout.Item(path, "A", "train", "a") for path in paths]


@pytest.fixture(scope="module")
def batch(models: dict[str, Any], items: list[Any]) -> Callable[[str], np.ndarray]:
    """The images as a task's network wants them."""
    return lambda task: np.stack([predictor.preprocess(models[task], layout.read_image(item)) for item in items])


def written(model: Any, folder: Path, precision: str, items: list[Any] | None = None) -> Any:
    """Convert, quantize where items are given, write, and load again."""
    converted = openvino_model.convert(model)
    if items:
        converted = quantization.quantize(converted, model, items, "mixed")
    openvino_model.write(converted, model, folder, precision, {})
    return openvino_predictor.OpenVinoPredictor.load(folder)


def close(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Equal within a fraction of the outputs' range."""
    return a.shape == b.shape and float(np.abs(a - b).max()) <= tolerance * float(np.ptp(b))


# Conversion


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 1e-2)])
def test_converted_networks_give_what_torch_gives(
    models: Any, batch: Any, task: str, precision: str, tolerance: float, tmp_path: Path
) -> None:
    converted = written(models[task], tmp_path, precision)
    expected = predictor.TorchPredictor(models[task])(batch(task))
    for size in (1, 5, 12):
        assert close(converted(batch(task)[:size]), expected[:size], tolerance)
    assert not close(converted(batch(task)[::-1]), expected, tolerance), "the images differ"


def test_the_loaded_predictor_knows_its_model_and_fp16_halves_the_file(models: Any, task: str, tmp_path: Path) -> None:
    written(models[task], tmp_path / "full", "fp32")
    loaded = written(models[task], tmp_path, "fp16")
    full, half = ((folder / NETWORK / "model.bin").stat().st_size for folder in (tmp_path / "full", tmp_path))
    assert half < 0.55 * full
    for key in ("task", "name", "classes", "image_size", "mean", "std"):
        assert getattr(loaded.model, key) == getattr(models[task], key)
    assert (loaded.backend, loaded.device, loaded.precision) == ("openvino", "cpu", "fp16")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_every_layer_computes_in_fp32(models: Any, task: str, precision: str, tmp_path: Path) -> None:
    """Some processors would rather use bfloat16, and the comparison with INT8 would be a lie."""
    loaded = written(models[task], tmp_path, precision)
    layers = [layer.get_rt_info() for layer in loaded.compile(1, "LATENCY").get_runtime_model().get_ordered_ops()]
    kernels = Counter(
        layer["primitiveType"].astype(str)
        for layer in layers
        if layer["layerType"].astype(str) in ("Convolution", "FullyConnected")
    )
    assert kernels and all(name.lower().endswith(("f32", "fp32")) for name in kernels), kernels
    assert loaded.inference_precision == "f32"


def test_another_precision_than_asked_for_is_an_error(
    models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino as ov

    loaded = written(models["classification"], tmp_path, "fp32")
    stubborn = SimpleNamespace(get_property=lambda _: ov.Type.bf16)
    monkeypatch.setattr(ov, "Core", lambda: SimpleNamespace(compile_model=lambda *_: stubborn))
    with pytest.raises(UserError, match="computes in bf16 although f32"):
        loaded.compile(1, "LATENCY")


def test_threads_are_those_asked_for(models: Any, tmp_path: Path) -> None:
    written(models["classification"], tmp_path, "fp32")
    loaded = openvino_predictor.OpenVinoPredictor.load(tmp_path, threads=2)
    assert loaded.compile(1, "LATENCY").get_property("INFERENCE_NUM_THREADS") == 2
    assert latency.describe(loaded)["threads"] == 2


def test_the_same_network_gives_the_same_bytes(models: Any, items: Any, task: str, tmp_path: Path) -> None:
    for name in ("first", "second"):
        written(models[task], tmp_path / name, "int8", items)
    for file in (
        "model.xml",
        "model.bin",
        *(f"{NETWORK}/{name}" for name in ("model.xml", "model.bin", "metadata.yaml")),
    ):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_a_damaged_folder_is_named(models: Any, tmp_path: Path) -> None:
    written(models["classification"], tmp_path, "fp32")
    file = tmp_path / NETWORK / "model.xml"
    file.write_text(file.read_text()[:300])
    with pytest.raises(UserError, match=re.escape(str(file))):
        openvino_predictor.OpenVinoPredictor.load(tmp_path)
    (tmp_path / NETWORK / "metadata.yaml").write_text("task: detect")
    with pytest.raises(UserError, match="metadata.yaml"):
        openvino_predictor.OpenVinoPredictor.load(tmp_path)


@pytest.mark.parametrize("size", [(48, 100), (131, 50), (64, 64)])
def test_the_whole_network_takes_images_as_they_are(
    models: Any, task: str, size: tuple[int, int], tmp_path: Path
) -> None:
    """Of any size, in plain OpenVINO: preprocessing and names are inside, and the rounding of grey values is close."""
    import openvino as ov

    loaded = written(models[task], tmp_path, "fp32")
    image = np.asarray(Image.radial_gradient("L").resize(size).convert("RGB"))
    network = ov.Core().read_model(tmp_path / "model.xml")
    assert json.loads(network.get_rt_info(["lab", "classes"]).astype(str)) == models[task].classes
    assert network.get_rt_info(["model_info", "labels"]).astype(str).split() == models[task].classes
    network.reshape([1, *image.shape])
    whole = ov.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image[np.newaxis])[0]
    assert close(whole, loaded(predictor.preprocess(models[task], image)[np.newaxis]), 0.02)


def test_onnx_has_its_metadata_inside_and_says_what_torch_says(
    models: Any, batch: Any, task: str, tmp_path: Path
) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    load("stages.quant.onnx_model").write(models[task], tmp_path, {})
    loaded = load("inference.variants").load_variant(tmp_path)
    expected = predictor.TorchPredictor(models[task])(batch(task))
    for count in (1, 5):
        assert close(loaded(batch(task)[:count]), expected[:count], 1e-5)
    inside = ort.InferenceSession(str(tmp_path / "model.onnx")).get_modelmeta().custom_metadata_map
    assert json.loads(inside["lab.classes"]) == models[task].classes and inside["lab.task"] == task
    first = (tmp_path / "model.onnx").read_bytes()
    load("stages.quant.onnx_model").write(models[task], tmp_path, {})
    assert (tmp_path / "model.onnx").read_bytes() == first, "the same network, the same bytes"
    (tmp_path / "model.onnx").write_bytes(first[:100])
    with pytest.raises(UserError, match="is not a readable ONNX model"):
        load("inference.variants").load_variant(tmp_path)


@pytest.mark.parametrize("kind", ["detection", "segmentation"])
@pytest.mark.parametrize("precision", ["fp16", pytest.param("int8", marks=pytest.mark.nightly)])
def test_ultralytics_reads_the_folder_as_it_lies(
    models: Any, items: Any, batch: Any, kind: str, precision: str, tmp_path: Path
) -> None:
    """Task, classes and size are known without a word, and what it finds is among what we find."""
    from ultralytics import YOLO

    model, image = models[kind], items[0].path
    output = written(model, tmp_path, precision, items if precision == "int8" else None)(batch(kind)[:1])
    assert close(output, predictor.TorchPredictor(model)(batch(kind)[:1]), 1e-2 if precision == "fp16" else 0.2)
    (found,) = registry.network(kind, "").postprocess(model, output, [(64, 64)])
    boxes = found if kind == "detection" else found["box"]
    yolo = YOLO(tmp_path / NETWORK)
    theirs = yolo.predict(image, conf=1e-3, device="cpu", verbose=False)[0]
    assert yolo.task == ("detect" if kind == "detection" else "segment")
    assert theirs.names == dict(enumerate(model.classes)) and len(theirs.boxes) > 1
    alike = []
    for number, row in enumerate(theirs.boxes.data.numpy()):
        distance = np.abs((64 * boxes[:, :4]).clip(0, 64) - row[:4]).max(1) + 64 * (boxes[:, 5] != row[5])
        near = np.flatnonzero((distance < 2) & np.isclose(boxes[:, 4], row[4], rtol=0.1))
        assert len(near)
        if kind == "segmentation":
            mask = masks.Mask.of(theirs.masks.data[number].numpy() > 0)
            alike.append(max(mask.iou(other) for other in found["mask"][near]))
    assert kind == "detection" or np.median(alike) > 0.8, "an untrained network's masks are frayed"


def test_onnx_joins_the_outputs_of_a_segmentation_network(models: Any, batch: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    load("stages.quant.onnx_model").write(models["segmentation"], tmp_path, {})
    loaded = load("inference.variants").load_variant(tmp_path)
    assert [output.name for output in loaded.session.get_outputs()] == ["output0", "output1"]
    images = batch("segmentation")[:3]
    assert close(loaded(images), predictor.TorchPredictor(models["segmentation"])(images), 1e-5)


def test_agreement_is_of_classes_and_of_objects() -> None:
    agreement = load("tasks.classification").agreement
    assert [agreement(np.array([0.9, 0.1]), np.array(other)) for other in ([0.6, 0.4], [0.4, 0.6])] == [1, 0]
    agreement = load("tasks.detection").agreement
    one = np.array([[0.1, 0.1, 0.3, 0.3, 0.9, 0], [0.5, 0.5, 0.9, 0.9, 0.8, 1], [0, 0, 1, 1, 0.1, 1]])
    moved = one + [0.01, 0, 0.01, 0, -0.1, 0]
    assert agreement(one, moved) == agreement(one[:0], one[2:]) == 1
    assert agreement(one, moved[:1]) == pytest.approx(2 / 3)
    assert agreement(one[:1], one[1:2]) == agreement(one, one[:0]) == 0


# INT8


def test_int8_is_smaller_and_close(models: Any, items: Any, batch: Any, task: str, tmp_path: Path) -> None:
    full, small = written(models[task], tmp_path / "full", "fp32"), written(models[task], tmp_path, "int8", items)
    expected, found = full(batch(task)), small(batch(task))
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95
    assert not close(found, expected, 1e-6)
    assert quantization.quantized_layers(full.network) == 0
    assert quantization.quantized_layers(small.network) > 10
    sizes = [(folder / NETWORK / "model.bin").stat().st_size for folder in (tmp_path, tmp_path / "full")]
    assert sizes[0] < 0.45 * sizes[1]


def test_the_decoding_of_boxes_and_scores_stays_in_fp32(models: Any, items: Any, tmp_path: Path) -> None:
    small = written(models["detection"], tmp_path, "int8", items).network
    architecture = models["detection"].architecture
    head = f"__module.model.{len(architecture['backbone'] + architecture['head']) - 1}"
    decoding = [
        operation
        for operation in small.get_ordered_ops()
        if operation.get_type_name() == "Sigmoid"
        or operation.get_friendly_name().startswith((f"{head}/", f"{head}.dfl"))
    ]
    assert len(decoding) > 10
    for operation in decoding:
        assert "FakeQuantize" not in [source.get_node().get_type_name() for source in operation.input_values()]
    convolutions = [o for o in small.get_ordered_ops() if o.get_friendly_name().startswith(f"{head}.cv")]
    assert any(o.get_type_name() == "FakeQuantize" for o in convolutions), "the head's convolutions are in INT8"


def split(counts: dict[str, int]) -> Any:
    """A training split with so many images a class, as Prepared gives it, sorted by path."""
    root = Path("data")
    names = [f"A/train/{name}/{index:04d}.png" for name, count in counts.items() for index in range(count)]
    found = [layout.Item(root / name, "A", "train", name.split("/")[2]) for name in sorted(names)]

    def items(split: str, site: str) -> list[Any]:
        assert (split, site) == ("train", "A"), "calibration sees the training split alone"
        return found

    return SimpleNamespace(root=root, items=items)


def test_calibration_images_are_spread_over_the_classes() -> None:
    prepared = split({"a": 100, "b": 200, "c": 700})
    chosen = quantization.calibration_items(prepared, "A", 50, seed=0)
    assert Counter(item.label for item in chosen) == {"a": 5, "b": 10, "c": 35}
    assert len({item.path for item in chosen}) == 50


def test_calibration_images_depend_on_the_seed_alone() -> None:
    prepared = split({"a": 100, "b": 200})
    first, again, other = (quantization.calibration_items(prepared, "A", 30, seed) for seed in (0, 0, 1))
    assert first == again != other
    digests = [quantization.digest(chosen, prepared.root) for chosen in (first, again, other)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("count", [7, 8, 100])
def test_calibration_takes_all_where_there_are_few(count: int) -> None:
    prepared = split({"a": 4, "b": 3})
    assert quantization.calibration_items(prepared, "A", count, seed=3) == prepared.items("train", "A")


@pytest.mark.parametrize("count", [0, -1])
def test_an_empty_calibration_set_is_refused(count: int) -> None:
    with pytest.raises(UserError, match=f"calibration set is empty: quant.calibration_images={count}"):
        quantization.calibration_items(split({"a": 4}), "A", count, seed=0)


# The stage


def test_variants_are_complete_and_open_with_their_command() -> None:
    files = {path.stem: path.read_text() for path in (PROJECT / "conf" / "quant").glob("[!_]*.yaml")}
    assert sorted(files) == sorted(VARIANTS)
    for name, text in files.items():
        assert text.startswith(f"# dvc exp run -S quant={name}")
        assert yaml.safe_load(text)["name"] == name


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("precision", "int4", "quant.precision=int4 is not one of fp32, fp16, int8. Did you mean 'int8'"),
        ("backend", "tensorrt", "quant.backend=tensorrt is not one of openvino, onnx, torch"),
        ("preset", None, "quant.preset=None is not one of mixed, performance"),
    ],
)
def test_unknown_variants_are_refused(key: str, value: str | None, message: str) -> None:
    base = OmegaConf.load(PROJECT / "conf" / "quant" / "_base.yaml")
    quantization.check(base)
    with pytest.raises(UserError, match=re.escape(message)):
        quantization.check(OmegaConf.merge(base, {key: value}))


def test_what_only_openvino_can_is_refused_of_onnx() -> None:
    base = OmegaConf.load(PROJECT / "conf" / "quant" / "_base.yaml")
    for change in ({"precision": "int8"}, {"device": "gpu"}):
        with pytest.raises(UserError, match="need quant.backend=openvino"):
            quantization.check(OmegaConf.merge(base, {"backend": "onnx"} | change))


def test_a_device_that_is_absent_is_refused_before_prepare(fresh: Workspace) -> None:
    assert "quant.device=npu: OpenVINO finds CPU" in fresh.message("prepare", "quant.device=npu")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("detection", "openvino_int8"),
        pytest.param("detection", "openvino_fp16", marks=pytest.mark.nightly),
        ("classification", "openvino_fp32"),
        ("classification", "openvino_int8_accuracy"),
    ],
)
def test_the_stage_compares_the_variant_with_torch(trained: Get, task: str, name: str, tmp_path: Path) -> None:
    space = trained(task).copy(tmp_path / "space")
    overrides = (*SMALL[task], f"quant={name}", "quant.calibration_images=40")
    shown = space.run("quant", *overrides).stdout
    metrics, speed = (json.loads((space.root / "metrics" / f"{n}.json").read_text()) for n in ("quant", "quant_speed"))

    assert metrics["variant"] == name and name in shown and "torch_fp32" in shown
    main = MAIN[task]
    assert metrics["drop"][main] == pytest.approx(metrics["torch"][main] - metrics[main])
    assert abs(metrics["drop"][main]) <= {"openvino_fp32": 1e-3, "openvino_fp16": 0.02}.get(name, 0.2)
    images = pd.read_parquet(space.root / "results" / "quant" / "predictions.parquet")
    assert len(images) == metrics["images"]
    assert metrics["calibration_images"] == (40 if "int8" in name else 0)

    files = {path.name: path for path in (space.root / "models" / "quant").iterdir()}
    assert sorted(files) == ["model.bin", "model.xml", NETWORK]
    assert sorted(path.name for path in files[NETWORK].iterdir()) == ["metadata.yaml", "model.bin", "model.xml"]
    parity = metrics["parity"]
    assert parity["agreement"] == pytest.approx(images["agreement"].mean())
    assert parity["agreement"] >= {"openvino_fp32": 1, "openvino_fp16": 0.9}.get(name, 0.5)
    assert 0 < parity["largest_difference"] < {"openvino_fp32": 1e-4, "openvino_fp16": 0.02}.get(name, 1)
    scorer = load("metrics").agreement(images, "quant.parity.agreement")
    assert scorer(np.ones((len(images), 1))) == pytest.approx([parity["agreement"]])
    assert metrics["size_mb"] <= 1.3 * metrics["torch_size_mb"]
    assert 0 < speed["latency_ms"]["p50"] <= speed["latency_ms"]["p90"] <= speed["latency_ms"]["p99"]
    assert speed["speedup"] == pytest.approx(speed["torch"]["latency_ms"]["p50"] / speed["latency_ms"]["p50"])
    measured = speed["measured"]
    assert (measured["backend"], measured["threads"], measured["inference_precision"]) == ("openvino", 1, "f32")

    if "int8" in name:
        before = space.files()
        space.run("quant", *overrides)
        changed = {path for path, content in space.files().items() if content != before[path]}
        assert changed <= {"metrics/quant_speed.json", "effective/quant.yaml"}, "the same input, the same bytes"


@pytest.mark.slow
def test_torch_is_its_own_variant_and_scores_as_in_the_infer_stage(trained: Get, task: str, tmp_path: Path) -> None:
    space = trained(task).copy(tmp_path / "space")
    for stage, choice in (("infer", "infer.device=cpu"), ("quant", "quant=torch_fp32")):
        space.run(stage, *SMALL[task], "infer.site=B", choice)
    read = {path.stem: json.loads(path.read_text()) for path in (space.root / "metrics").iterdir()}
    assert read["quant"]["torch"] == read["infer"]
    assert read["quant"] | read["infer"] == read["quant"]
    assert set(read["quant"]["drop"].values()) == {0} and read["quant_speed"]["speedup"] == 1
    assert [path.name for path in (space.root / "models" / "quant").iterdir()] == ["metadata.yaml"]


@pytest.mark.slow
def test_refusals(trained: Get, tmp_path: Path) -> None:
    space, small = trained("classification").copy(tmp_path / "space"), SMALL["classification"]
    empty = space.message("quant", *small, "quant=openvino_int8", "quant.calibration_images=0")
    assert "calibration set is empty" in empty
    limit = space.message("quant", *small, "quant=openvino_int8_accuracy", "quant.max_drop=-1")
    assert "quant.max_drop=-1: -1: expected null or a number above 0 up to 1" in limit
    manifest = space.root / "data" / "prepared" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["classes"] = content["classes"][::-1]
    manifest.write_text(json.dumps(content))
    assert "knows the classes" in space.message("quant", *small)


@pytest.mark.slow
def test_nothing_is_written_outside_the_project(trained: Get, tmp_path: Path) -> None:
    """OpenVINO and NNCF would leave an identifier in HOME, and report to their makers."""
    space, home = trained("classification").copy(tmp_path / "space"), tmp_path / "home"
    home.mkdir()
    environment = {k: v for k, v in space.environment().items() if k not in ("CI", "TF_BUILD", "NNCF_CI")}
    result = subprocess.run(
        space.command("quant", *SMALL["classification"], "quant=openvino_int8", "quant.calibration_images=20"),
        cwd=space.root,
        env=environment | {"HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert list(home.iterdir()) == []


@pytest.mark.nightly
def test_ultralytics_own_validation_reads_the_folder(trained: Get, tmp_path: Path) -> None:
    space = trained("detection").copy(tmp_path / "space")
    space.run("quant", *SMALL["detection"], "quant=openvino_fp32")
    script = """
import json, sys
from pathlib import Path
sys.path.insert(0, "src")
from importlib import import_module
def load(name):
    return import_module(f"PACKAGE.{name}")
load("shared.environment").quiet(1, False)
load("shared.quiet_ultralytics").quiet_ultralytics()
from ultralytics import YOLO
classes = json.loads(Path("data/prepared/manifest.json").read_text())["classes"]
site = Path("data/prepared/A").resolve()
Path("data.yaml").write_text(f"path: {site}\\ntrain: train/images\\nval: test/images\\nnames: {classes}\\n")
model = YOLO("models/quant/network_openvino_model")
found = model.val(
    data="data.yaml", imgsz=64, batch=1, rect=False, plots=False, device="cpu", save_dir="val", exist_ok=True
)
print(json.dumps({"mAP50": found.box.map50, "mAP50_95": found.box.map}))
"""
    theirs = subprocess.run(
        [sys.executable, "-c", script.replace("PACKAGE", PACKAGE)],
        cwd=space.root,
        env=space.environment(),
        capture_output=True,
        text=True,
    )
    assert theirs.returncode == 0, theirs.stderr
    ours = json.loads((space.root / "metrics" / "quant.json").read_text())
    for name, value in json.loads(theirs.stdout.splitlines()[-1]).items():
        assert value > 0.1, "a model that finds nothing compares nothing"
        assert ours[name] == pytest.approx(value, abs=0.02)  # theirs may compute in bfloat16


@pytest.mark.parametrize(
    ("ratio", "told"), [(3.14159, "3.14 times smaller"), (1, "1.00 times smaller"), (0.5, "2.00 times larger")]
)
def test_what_became_larger_is_not_told_as_smaller(ratio: float, told: str) -> None:
    assert load("stages.quant").times(ratio, "smaller", "larger") == told
