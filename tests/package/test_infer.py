"""Evaluation: the numbers are right, the same for every backend, and another revision's model can be asked."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from workspace import PACKAGE, SMALL, Workspace, load

Get = Callable[[str], Workspace]
matching = load("inference.matching")
networks = load("tasks.detection.networks.ultralytics")
squares = load("networks.squares")
layout = load("shared.prepared")

unit = st.floats(0.05, 0.95)
truth_box = st.tuples(st.integers(0, 2), unit, unit, st.floats(0.05, 0.4), st.floats(0.05, 0.4))

ONE_TASK = ["classification", pytest.param("detection", marks=pytest.mark.nightly)]  # what both do by the same code


def found(truth: np.ndarray, confidence: float) -> np.ndarray:
    """Detections that are exactly the truth."""
    return np.column_stack([matching.corners(truth), np.full(len(truth), confidence), truth[:, 0]])


def test_iou_of_known_boxes() -> None:
    a = np.array([[0, 0, 2, 2]], float)
    b = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [2, 2, 3, 3]], float)
    assert np.allclose(matching.iou(a, b), [[1, 1 / 7, 0]])


@given(st.lists(truth_box, min_size=1, max_size=5))
def test_the_truth_as_detections_is_all_correct(rows: list[tuple[float, ...]]) -> None:
    truth = np.array(rows, dtype=np.float32)
    right, aside = matching.match(found(truth, 0.9), truth)
    assert right.sum(0).max() <= len(truth)
    assert right[:, 0].all() and not aside.any()


def test_an_object_counts_once() -> None:
    truth = np.array([[0, 0.5, 0.5, 0.2, 0.2]], np.float32)
    twice = np.vstack([found(truth, 0.9), found(truth, 0.8)])
    assert matching.match(twice, truth)[0][:, 0].tolist() == [True, False]
    wrong_class = twice.copy()
    wrong_class[:, 5] = 1
    assert not np.any(matching.match(wrong_class, truth))
    assert matching.confused(wrong_class[:1], truth, ["a", "b"]) == [("a", "b")]
    assert matching.confused(twice[:0], truth, ["a", "b"]) == [("a", "background")]


@given(st.integers(20, 300), st.integers(20, 300), st.sampled_from([64, 96, 320]))
def test_boxes_survive_the_letterbox(height: int, width: int, size: int) -> None:
    """A box of the original image, drawn in the letterboxed one, comes back as it was."""
    scale, left, top = squares.letterbox(height, width, size)
    x1, y1, x2, y2 = 0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height
    box = np.array([(x1 + x2) / 2 * scale + left, (y1 + y2) / 2 * scale + top, (x2 - x1) * scale, (y2 - y1) * scale])
    output = np.zeros((1, 5, 1), np.float32)
    output[0, :4, 0], output[0, 4, 0] = box, 0.9
    (row,) = networks.postprocess(SimpleNamespace(image_size=size), output, [(height, width)])[0]
    assert np.allclose(row[:4], [0.25, 0.25, 0.75, 0.75], atol=1e-4)


def test_a_batch_of_classification_scores(tmp_path: Path) -> None:
    items = [layout.Item(tmp_path / f"{i}.png", "A", "test", label) for i, label in enumerate("aabb")]
    results = [np.array(p) for p in ([0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7])]
    scored = load("tasks.classification").score(items, results, ["a", "b", "never"])
    assert scored.metrics["accuracy"] == 0.75
    assert scored.metrics["f1_macro"] == pytest.approx((2 / 3 + 0.8) / 2), "a class without images does not count"
    assert scored.per_image["correct"].tolist() == [True, False, True, True]


@pytest.mark.slow
def test_infer_writes_metrics_and_plots(trained: Get, task: str, tmp_path: Path) -> None:
    space = trained(task).copy(tmp_path / "space")
    space.run("infer", *SMALL[task])
    metrics = json.loads((space.root / "metrics" / "infer.json").read_text())
    speed = json.loads((space.root / "metrics" / "infer_speed.json").read_text())
    images = pd.read_parquet(space.root / "results" / "infer" / "predictions.parquet")
    bins = pd.read_csv(space.root / "results" / "infer" / "reliability.csv")
    gaps = (bins["count"] * (bins["right"] - bins["confidence"]).abs()).sum()
    assert gaps == pytest.approx(metrics["ece"] * bins["count"].sum(), abs=1e-4 * len(images)), "also of no detections"
    curve = pd.read_csv(space.root / "results" / "infer" / "curve.csv")
    assert 0 <= metrics[{"detection": "mAP50", "classification": "f1_macro"}[task]] <= 1
    assert len(set(images["path"])) == len(images) == metrics["images"]
    assert images["group"].nunique() == len(images), "of one site, each image stands for itself"
    assert all(0 <= precision <= 1 for precision in curve["precision"].tolist())
    assert set(curve["class"].astype(str)) == set(metrics["classes"])
    for size in (1, 8):
        latency = speed[f"batch_{size}"]["latency_ms"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"]
    assert speed["measured"]["device_name"]

    first = space.files()
    space.run("infer", *SMALL[task], "infer.batch_size=7")
    assert space.files()["metrics/infer.json"] == first["metrics/infer.json"], "whatever the batch"
    space.run("infer", *SMALL[task], "infer.site=B")
    assert space.files()["metrics/infer.json"] != first["metrics/infer.json"]


@pytest.mark.slow
def test_several_sites_have_figures_of_their_own(trained: Get, task: str, tmp_path: Path) -> None:
    """Those of a run on that site alone; and the images tell them, so that they have intervals and can be guarded."""
    space = trained(task).copy(tmp_path / "space")
    scores = {}
    for site in ("A", "B", "all"):
        said = space.run("infer", *SMALL[task], f"infer.site={site}").stdout
        scores[site] = json.loads((space.root / "metrics" / "infer.json").read_text())
        assert "of the CPUs" in said and ("site B" in said) == (site == "all" or site == "B")
    assert "sites" not in scores["A"]
    images = pd.read_parquet(space.root / "results" / "infer" / "predictions.parquet")
    hooks = load("metrics")
    for site, figures in scores["all"]["sites"].items():
        for name, value in figures.items():
            assert scores[site][name] == pytest.approx(value, abs=1e-9)
            key = f"infer.sites.{site}.{name}"
            scorers = [f(images, key) for f in (hooks.accuracy, hooks.f1, hooks.average_precision)]
            for scorer in filter(None, scorers):
                assert scorer(np.ones((len(images), 1))) == pytest.approx([value], abs=1e-4)
            assert any(scorers) == (name not in ("images", "objects"))


@pytest.mark.slow
def test_the_champion_is_measured_by_its_name(trained: Get, tmp_path: Path) -> None:
    space = trained("classification").copy(tmp_path / "space")
    small = SMALL["classification"]
    assert "no champion yet: lab promote" in space.message("infer", *small, "infer.model=champion")
    assert "name its experiment" in space.message("infer", *small, "infer.members=[champion,a,b]")
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=space.root, env=space.environment(), check=True)
    champion = space.root / "models" / "champion" / "checkpoints" / "champion.ckpt"
    champion.parent.mkdir(parents=True)
    shutil.copy(space.root / "models" / "model.pt", champion)
    digest = md5(champion.read_bytes()).hexdigest()
    outs = [{"md5": digest, "size": champion.stat().st_size, "hash": "md5", "path": "checkpoints/champion.ckpt"}]
    (champion.parents[1] / "champion.dvc").write_text(yaml.safe_dump({"outs": outs}))
    (space.root / "models" / "model.pt").write_bytes(b"another")
    space.run("infer", *small, "infer.model=champion")
    (record,) = yaml.safe_load((space.root / "effective" / "infer.yaml").read_text())
    assert record["used"]["models"][0] | {"from": "champion", "md5": digest} == record["used"]["models"][0]
    Image.new("RGB", (32, 32)).save(space.root / "a.png")
    assert space.run("predict", "a.png").stdout.startswith("champion (tiny")


@pytest.mark.nightly
def test_mean_average_precision_is_nearly_ultralytics_own(trained: Get, tmp_path: Path) -> None:
    """The same model and images through Ultralytics' validation, which reads an ordinary data.yaml."""
    space = trained("detection").copy(tmp_path / "space")
    space.run("train", "task=detection", "model=yolo11t", "training.max_epochs=6")
    space.run("infer", "task=detection", "model=yolo11t")
    script = """
import sys
from pathlib import Path
sys.path.insert(0, "src")
from importlib import import_module
def load(name):
    return import_module(f"PACKAGE.{name}")
load("shared.environment").quiet(1, False)
import torch, json
from ultralytics import YOLO
model = load("shared.model_file").ModelFile.load(Path("models/model.pt"))
network = load("inference.predictor").load_network(model)
network.args = {"imgsz": 64}
torch.save({"model": network, "train_args": {"imgsz": 64}}, "whole.pt")
site = Path("data/prepared/A").resolve()
Path("data.yaml").write_text(f"path: {site}\\ntrain: train/images\\nval: test/images\\nnames: {model.classes}\\n")
found = YOLO("whole.pt").val(
    data="data.yaml", imgsz=64, rect=False, plots=False, device="cpu", save_dir="val", exist_ok=True
)
print(json.dumps({"mAP50": found.box.map50, "mAP50_95": found.box.map}))
"""
    theirs = subprocess.run(
        [*space.command("infer")[:1], "-c", script.replace("PACKAGE", PACKAGE)],
        cwd=space.root,
        env=space.environment(),
        capture_output=True,
        text=True,
    )
    assert theirs.returncode == 0, theirs.stderr
    expected = json.loads(theirs.stdout.splitlines()[-1])
    ours = json.loads((space.root / "metrics" / "infer.json").read_text())
    for name, value in expected.items():
        assert value > 0.1, "a model that finds nothing compares nothing"
        assert ours[name] == pytest.approx(value, abs=0.005)  # it interpolates otherwise than COCO does


@pytest.mark.slow
@pytest.mark.parametrize("task", ONE_TASK)
def test_a_model_of_a_revision_or_a_file(trained: Get, task: str, tmp_path: Path) -> None:
    space = trained(task).copy(tmp_path / "space")
    small = SMALL[task]
    space.run("infer", *small)
    own = space.files()["metrics/infer.json"]
    for command in (
        ["git", "init", "-q"],
        [sys.executable, "-m", "dvc", "init", "-q"],
        [sys.executable, "-m", "dvc", "commit", "-fq", "train"],
        ["git", "add", "-A"],
    ):
        subprocess.run(command, cwd=space.root, check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, "commit", "-qm", "v1"], cwd=space.root, check=True)
    subprocess.run(["git", "tag", "v1"], cwd=space.root, check=True)
    shutil.copy(space.root / "models" / "model.pt", space.root / "kept.pt")

    space.run("train", *small, "seed=3")
    space.run("infer", *small)
    other = space.files()["metrics/infer.json"]
    assert other != own
    for name in ("v1", "kept.pt"):
        space.run("infer", *small, f"infer.model={name}")
        assert space.files()["metrics/infer.json"] == own
        (used,) = yaml.safe_load(space.files()["effective/infer.yaml"])[0]["used"]["models"]
        assert (used["from"], used["md5"]) == (name, md5((space.root / "kept.pt").read_bytes()).hexdigest())
    assert "no model called v9" in space.message("infer", *small, "infer.model=v9")


@pytest.mark.slow
@pytest.mark.parametrize("task", ONE_TASK)
def test_ensembles(trained: Get, prepared: Get, task: str, tmp_path: Path) -> None:
    space = trained(task).copy(tmp_path / "space")
    small = SMALL[task]
    shutil.copy(space.root / "models" / "model.pt", space.root / "a.pt")
    for name, seed in (("b", 1), ("c", 2)):
        space.run("train", *small, f"seed={seed}", "training.max_epochs=1")
        shutil.copy(space.root / "models" / "model.pt", space.root / f"{name}.pt")
    assert "at least 3" in space.message("infer", *small, "infer.members=[a.pt,b.pt]")
    both = space.message("infer", *small, "infer.members=[a.pt,b.pt,c.pt]", "infer.model=a.pt")
    assert "one model or an ensemble" in both
    for voting in ("hard", "soft", "rank") if task == "classification" else ("soft",):
        space.run("infer", *small, "infer.members=[a.pt,b.pt,c.pt]", f"infer.voting={voting}")
        assert json.loads((space.root / "metrics" / "infer.json").read_text())["images"] > 0


@pytest.mark.nightly
def test_what_is_kept_for_the_end_is_read_by_no_stage_before_it_is_opened(
    trained: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = trained("classification").copy(tmp_path / "project")
    work.run("prepare", "task=classification", "data.source.fractions.final=0.1")
    aside = (work.root / "data" / "final").rename(tmp_path / "final")
    work.run("infer", *SMALL["classification"])
    tested = json.loads((work.root / "metrics" / "infer.json").read_text())
    assert "lab promote alone opens" in work.message("infer", *SMALL["classification"], "split=final")
    aside.rename(work.root / "data" / "final")
    assert "lab promote alone opens" in work.message("infer", *SMALL["classification"], "split=final")
    monkeypatch.setenv("LAB_FINAL", "1")
    work.run("infer", *SMALL["classification"], "split=final")
    final = json.loads((work.root / "metrics" / "infer.json").read_text())
    count = json.loads((work.root / "metrics" / "prepare.json").read_text())["images"]["final"]
    assert final["images"] == count // 2 and tested["images"] != final["images"], "of site A"
    pipeline = yaml.safe_load((work.root / "dvc.yaml").read_text())["stages"]
    assert not any("data/final" in stage["deps"] for stage in pipeline.values())


@pytest.mark.slow
def test_infer_refusals(trained: Get, task: str, tmp_path: Path) -> None:
    space = trained(task).copy(tmp_path / "space")
    small = SMALL[task]
    assert "No site 'C'" in space.message("infer", *small, "infer.site=C")
    assert "infer.device=cuda" in space.message("infer", *small, "infer.device=cuda")
    manifest = space.root / "data" / "prepared" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["classes"] = content["classes"][::-1]
    manifest.write_text(json.dumps(content))
    assert "knows the classes" in space.message("infer", *small)
    (space.root / "models" / "model.pt").write_bytes((space.root / "models" / "model.pt").read_bytes()[:5000])
    assert "damaged" in space.message("infer", *small)
    (space.root / "models" / "model.pt").unlink()
    assert "train one first" in space.message("infer", *small)
