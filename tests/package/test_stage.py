"""The stage runner: outputs come together or not at all, and errors are for people."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from workspace import PROJECT, Workspace, load

stage = load("shared.stage")
config = load("shared.config")
errors = load("shared.errors")
DVC_YAML = {"stages": {"train": {"cmd": "-", "outs": ["models/model.pt", {"notes": {"cache": False}}]}}}


@pytest.fixture
def cfg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """The composed config, in an empty folder with a small dvc.yaml of its own."""
    monkeypatch.chdir(PROJECT)
    composed = config.compose([])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(stage.environment.os, "environ", dict(stage.environment.os.environ))
    Path("dvc.yaml").write_text(yaml.safe_dump(DVC_YAML))
    Path("models").mkdir()
    Path("models/model.pt").write_text("old")
    return composed


def use(monkeypatch: pytest.MonkeyPatch, function: object) -> None:
    """Let the train stage be `function(cfg, out)`."""
    monkeypatch.setattr(stage, "import_module", lambda *_: SimpleNamespace(run=function))


def write(_: object, out: Path) -> None:
    (out / "models").mkdir()
    (out / "models" / "model.pt").write_text("new")
    (out / "notes").mkdir()
    (out / "notes" / "a").write_text("a")


def test_outputs_replace_the_old_ones(cfg: object, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, write)
    stage.run("train", cfg)
    stage.run("train", cfg)
    assert Path("models/model.pt").read_text() == "new"
    assert [path.name for path in Path("notes").iterdir()] == ["a"]
    assert list(Path(".cache").glob("train-*")) == []


def test_what_a_refusal_tells_is_kept(cfg: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as data/findings.csv; what is there may be a link to DVC's cache."""

    def refuse(_: object, out: Path) -> None:
        write(_, out)
        (out / "findings.csv").write_text("new")
        raise errors.UserError("no")

    Path("cached").write_text("old")
    Path("findings.csv").hardlink_to("cached")
    module = SimpleNamespace(run=refuse, KEPT=(Path("findings.csv"), Path("another.csv")))
    monkeypatch.setattr(stage, "import_module", lambda *_: module)
    with pytest.raises(errors.UserError):
        stage.run("train", cfg)
    assert (Path("findings.csv").read_text(), Path("cached").read_text()) == ("new", "old")
    assert Path("models/model.pt").read_text() == "old" and not Path("notes").exists()


def test_a_failure_leaves_the_old_outputs(cfg: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(cfg: object, out: Path) -> None:
        write(cfg, out)
        raise errors.UserError("no")

    use(monkeypatch, fail)
    with pytest.raises(errors.UserError):
        stage.run("train", cfg)
    assert Path("models/model.pt").read_text() == "old"
    assert not Path("notes").exists()


def test_an_output_that_is_not_written_is_a_defect(cfg: object, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, lambda cfg, out: None)
    with pytest.raises(AssertionError, match=r"models/model.pt, notes"):
        stage.run("train", cfg)
    assert Path("models/model.pt").read_text() == "old"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_says_what_to_change(cfg: object, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(cfg: object, out: Path) -> None:
        raise error

    use(monkeypatch, fail)
    with pytest.raises(errors.UserError) as caught:
        stage.run("train", cfg)
    batch = cfg.data.batch_size  # type: ignore[attr-defined]
    assert f"data.batch_size={batch}" in str(caught.value)
    assert f"data.batch_size={batch // 2} training.accumulate_grad_batches=2" in str(caught.value)


def test_every_declared_output_has_a_stage() -> None:
    for name in yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]:
        assert (PROJECT / "src" / f"{name}.py").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("asked", ["training.devices=cuda", "training.devices=[0,1]", "infer.device=cuda"])
def test_a_gpu_that_is_absent_is_told_before_anything_runs(asked: str, fresh: Workspace) -> None:
    assert "torch finds no GPU here" in fresh.message("prepare", "task=classification", asked)
