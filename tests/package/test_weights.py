"""Weights from elsewhere: every common format is read, and none of them can run code."""

import contextlib
import json
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from safetensors.torch import save_file
from workspace import PROJECT, SMALL, Workspace, load

Get = Callable[[str], Workspace]
os.environ.update(YOLO_OFFLINE="1", YOLO_AUTOINSTALL="0")  # as the stages have it, before Ultralytics is imported
errors, model_file = load("shared.errors"), load("shared.model_file")
state_dict, ultralytics = load("training.state_dict"), load("engines.ultralytics.weights")
YOLO = {  # two layers and a head
    "nc": 2,
    "backbone": [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [16, 3, 2]]],
    "head": [[[0, 1], 1, "Detect", ["nc"]]],
}


class Code:
    """Pickled, it makes a file where it is read."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


@pytest.fixture(scope="module")
def networks() -> dict[str, torch.nn.Module]:
    """One of each engine."""
    return {
        "ultralytics": load("tasks.detection.networks.ultralytics").build(YOLO, ["a", "b"]),
        "lightning": load("tasks.classification.networks.lightning").build("test_efficientnet", ["a", "b"]),
    }


def read(engine: str, path: Path) -> dict[str, torch.Tensor]:
    """As training with this engine would read model.weights."""
    if engine == "lightning":
        return state_dict.read(path)
    return ultralytics.find_weights(OmegaConf.create({"weights": str(path), "strict": True, "architecture": "x"}))[0]


def formats(network: torch.nn.Module, engine: str, folder: Path) -> dict[str, Path]:
    """The network's weights as programs write them."""
    from safetensors.torch import save_file

    names = network.state_dict()
    task = {"ultralytics": "detection", "lightning": "classification"}[engine]
    ours = model_file.ModelFile(task, "m", "a", ["a", "b"], 32, names, engine=engine)
    contents: dict[str, Any] = {
        "raw.pt": names,
        "raw.pth": names,
        "parallel.pt": {f"module.{name}": value for name, value in names.items()},
        "wrapped.ckpt": {"state_dict": {f"model.{name}": value for name, value in names.items()}, "epoch": 3},
        "both.pt": {"model": {f"module.model.{name}": value for name, value in names.items()}},
        "averaged.pt": {"state_dict": {name: value * 0 for name, value in names.items()}, "state_dict_ema": names},
    }
    if engine == "ultralytics":
        from ultralytics import YOLO as Facade

        contents["inner.pt"] = network.model.state_dict()  # type: ignore[union-attr, operator]
        contents["final.pt"] = {"model": network, "ema": None, "train_args": {"imgsz": 64}, "date": "today"}
        contents["during.pt"] = {"model": None, "ema": network, "optimizer": {"state": {}}, "updates": 4}
        facade = Facade("yolo11n.yaml", verbose=False)
        facade.model = network  # type: ignore[assignment]
        facade.save(folder / "facade.pt")
    for name, content in contents.items():
        torch.save(content, folder / name)
    torch.save(names, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    save_file({name: value.contiguous() for name, value in names.items()}, folder / "plain.safetensors")
    ours.save(folder / "ours.pt")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ultralytics", "lightning"])
def test_weights_of_every_format_fit(engine: str, networks: dict[str, torch.nn.Module], tmp_path: Path) -> None:
    network = networks[engine]
    own = network.state_dict()
    files = formats(network, engine, tmp_path)
    assert len(files) == {"ultralytics": 13, "lightning": 9}[engine]
    for name, path in files.items():
        found = state_dict.renamed(read(engine, path), own)
        assert found.keys() == own.keys(), name
        for key in own:  # Ultralytics saves in half precision
            torch.testing.assert_close(found[key].float(), own[key].float(), atol=1e-3, rtol=1e-3, msg=name)
        model_file.load_weights(network, found, name, strict=True)


def hostile(folder: Path, trace: Path, network: torch.nn.Module) -> dict[str, Path]:
    """Files that run code in a reader that lets them, in each of the formats there are."""
    content = {"state_dict": {"weight": torch.zeros(1)}, "model": Code(trace)}
    for suffix in ("pt", "pth", "ckpt", "safetensors"):
        torch.save(content, folder / f"zip.{suffix}")
    torch.save(content, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (folder / f"pickle{protocol}.pt").write_bytes(pickle.dumps(content, protocol))
    with tarfile.open(folder / "tar.pt", "w") as archive:
        archive.add(folder / "pickle2.pt", "pickle")
    network.trap = Code(trace)  # in a checkpoint that is one of Ultralytics' but for this
    torch.save({"model": network, "train_args": {}}, folder / "checkpoint.pt")
    del network.trap
    torch.save({"format": 1, "description": json.dumps({}), "weights": Code(trace)}, folder / "ours.pt")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("engine", ["ultralytics", "lightning"])
def test_no_format_runs_code(engine: str, networks: dict[str, torch.nn.Module], tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    trace = tmp_path / "trace"
    files = hostile(tmp_path / "files", trace, networks["ultralytics"])
    torch.load(files["zip.pt"], weights_only=False)
    trace.rmdir()  # so it was made by what these files do where they may
    for name, path in files.items():
        with pytest.raises(errors.UserError) as refusal:
            read(engine, path)
        if name not in ("zip.safetensors", "pickle0.pt", "pickle1.pt"):  # which look like no model at all
            assert "holds more than data" in str(refusal.value), name
        with pytest.raises(errors.UserError, match=r"more than data|not a readable model"):
            model_file.ModelFile.load(path)
        assert not trace.exists(), name


@pytest.mark.parametrize("activation", ["__import__('os').mkdir('TRACE')", "nn.SiLU(__import__('os').mkdir('TRACE'))"])
def test_an_architecture_runs_no_code(activation: str, tmp_path: Path) -> None:
    """A model file brings one along, and Ultralytics gives parts of it to eval."""
    build = load("tasks.detection.networks.ultralytics").build
    trace = tmp_path / "trace"
    with pytest.raises(errors.UserError, match="model.architecture can't be built"):
        build({**YOLO, "activation": activation.replace("TRACE", str(trace))}, ["a", "b"])
    assert not trace.exists()
    with pytest.raises(errors.UserError, match="model.architecture can't be built"):
        build({**YOLO, "backbone": [[-1, 1, "check_requirements", ["some-package"]]]}, ["a", "b"])
    with pytest.raises(errors.UserError, match="is an address"):
        build("https://127.0.0.1/yolo11n.yaml", ["a", "b"])


@pytest.mark.slow
def test_stages_read_models_as_data(trained: Get, task: str, tmp_path: Path) -> None:
    """Wherever one is named: to start from, to evaluate, as a member, to quantize, and to go on from."""
    space = trained(task).copy(tmp_path / "space")
    trace = tmp_path / "trace"
    torch.save({"model": Code(trace)}, space.root / "foreign.pt")
    small = SMALL[task]
    foreign = "holds more than data (posix.mkdir)"
    assert foreign in space.message("train", *small, "model.weights=foreign.pt")
    assert foreign in space.message("infer", *small, "infer.model=foreign.pt")
    members = "infer.members=[models/model.pt,models/model.pt,foreign.pt]"
    assert foreign in space.message("infer", *small, members)
    own = space.root / "models" / "model.pt"
    own.write_bytes((space.root / "foreign.pt").read_bytes())
    assert foreign in space.message("quant", *small)
    assert not trace.exists()


@given(st.lists(st.sampled_from(["module", "model", "_orig_mod", "net"]), max_size=3), st.booleans())
def test_prefixes_are_found(prefixes: list[str], wrapped: bool) -> None:
    """Whatever wraps a network is before all of its names."""
    own = {f"model.{number}.weight" if wrapped else f"layer{number}.weight": number for number in range(3)}
    named = {".".join([*prefixes, name]): value for name, value in own.items()}
    assert state_dict.renamed(named, own.keys()) == own


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_that_holds_something_else_is_named(suffix: str, tmp_path: Path) -> None:
    contents = {
        b"<!DOCTYPE html><title>Sign in</title>": "no file of weights but a web page",
        b"version https://git-lfs.github.com/spec/v1": "no file of weights but a pointer of Git LFS",
        b"PK\x03\x04 of which the rest is missing": "damaged",
    }
    for content, words in contents.items():
        (tmp_path / f"weights{suffix}").write_bytes(content)
        with pytest.raises(errors.UserError, match=f"weights{suffix} is {words}"):
            state_dict.read(tmp_path / f"weights{suffix}")


def test_other_networks_keep_their_names() -> None:
    """A prefix goes only where more names fit without it."""
    weights = {"layer1.conv.weight": 1, "fc.weight": 2}
    assert state_dict.renamed(weights, ["conv.weight", "fc.bias"]) == weights


# ---- what goes with weights ---------------------------------------------------------------------------------------


def test_weights_bring_their_mean_and_deviation(tmp_path: Path) -> None:
    start, compose = load("engines.lightning.start"), load("shared.config").compose
    with contextlib.chdir(PROJECT):
        cfg = compose(["task=classification", "model=efficientnet_b0"])
    assert start.statistics(cfg)[0] == [0.5] * 3
    model_file = load("shared.model_file").ModelFile
    model_file("classification", "tiny", "x", ["a"], 32, {}, mean=[0.1] * 3, std=[0.2] * 3).save(tmp_path / "own.pt")
    cfg.model.weights = str(tmp_path / "own.pt")
    assert start.statistics(cfg) == ([0.1] * 3, [0.2] * 3)
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    cfg.model.weights = str(tmp_path / "other.pt")
    assert start.statistics(cfg)[0] == [0.485, 0.456, 0.406]


def test_pretrained_weights_may_be_brought_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    build, error = load("tasks.classification.networks.lightning").build, load("shared.errors").UserError
    place = tmp_path / ".cache" / "weights" / "test_efficientnet.safetensors"
    with monkeypatch.context() as context:
        context.setattr(timm, "create_model", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(error, match=rf"model.safetensors of https://huggingface.co/timm/test_.* there: {place}"):
            build("test_efficientnet", ["a", "b"], pretrained=True)
    author = timm.create_model("test_efficientnet", num_classes=1000)
    place.parent.mkdir(parents=True)
    save_file(author.state_dict(), place)
    network = build("test_efficientnet", ["a", "b"], pretrained=True)
    assert torch.equal(network.conv_stem.weight, author.conv_stem.weight) and network.num_classes == 2


@pytest.mark.parametrize("architecture", ["yolov8n", "yolov5n.yaml", "yolo12n"])
def test_any_yolo_is_built_by_its_name(architecture: str) -> None:
    network = load("tasks.detection.networks.ultralytics").build(architecture, ["a", "b"])
    assert network.model[-1].nc == 2


@pytest.mark.parametrize("architecture", ["rtdetr-l", "yolo11n-seg", "yolo11n-pose.yaml", "yolov8n-cls"])
def test_what_is_no_detector_is_refused(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    config = load("shared.config")
    networks = load("tasks.detection.networks.ultralytics")
    with pytest.raises(load("shared.errors").UserError, match="model.architecture"):
        networks.build(architecture, ["a", "b"])
    composed = config.compose(["model=yolo", f"model.architecture={architecture}"])
    told = config.mistakes(OmegaConf.to_container(composed))
    assert [key for key, _ in told] == ["model.architecture"], "before anything runs"
