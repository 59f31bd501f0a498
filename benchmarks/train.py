"""Seconds an epoch of our train stage beside the plain engines, and the start-up of each stage.

    demo/.venv/bin/python benchmarks/train.py demo [--rounds 3] [--json train.json]

In a generated project (here demo), with its environment: our stage against Ultralytics' own training on yolo11n, and
against a bare Lightning loop on timm's test_efficientnet, on the same images with the same settings. All work out the
score once an epoch, from all validation images. They take turns; an epoch's time is the median over a run's epochs but
the first, and the best round counts. Goal: at most 1.03.
One more run of each notes how long the network and the optimizer were at it: the rest of an epoch (images read and
augmented, scores, curves, checkpoints) is what a GPU would not make faster.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from functools import partial
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

EPOCHS = 4
OURS = {  # what the plain scripts below are set to as well
    "detection": [
        "task=detection",
        "model=yolo11n",
        "data.image_size=64",
        "data.batch_size=8",
        "lr=0.004",
        "augmentation=default",
    ],
    "classification": [
        "task=classification",
        "model=tiny",
        "data.image_size=64",
        "data.batch_size=32",
        "lr=0.008",
        "training.label_smoothing=0.05",
        "augmentation=default",
    ],
}
QUIET = {"YOLO_OFFLINE": "1", "YOLO_VERBOSE": "false", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

PLAIN_YOLO = """
import sys, time, json
from ultralytics import YOLO, settings
dict.update(settings, dict.fromkeys(("sync", "dvc", "mlflow", "tensorboard", "wandb"), False))
stamps = []
model = YOLO("yolo11n.yaml")
model.add_callback("on_fit_epoch_end", lambda trainer: stamps.append(time.time()))
model.train(data="data.yaml", epochs=EPOCHS, imgsz=64, batch=8, nbs=8, optimizer="AdamW", lr0=0.004, lrf=0.05,
    weight_decay=0.0005, warmup_epochs=1.0, cls=1.0, mosaic=0.0, fliplr=0.0, hsv_h=0.0, hsv_s=0.2, hsv_v=0.2, scale=0.2,
    translate=0.1, pretrained=False, amp=False, device="cpu", workers=0, plots=False, seed=0, save_dir="run",
    exist_ok=True)
print(json.dumps(stamps[:EPOCHS]))
"""

BARE_LIGHTNING = """
import json, logging, time, warnings
from pathlib import Path
import pytorch_lightning as pl, timm, torch
from sklearn.metrics import f1_score
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2
warnings.simplefilter("ignore"); logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
torch.set_num_threads(1); pl.seed_everything(0, verbose=False)
end = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
begin = [v2.ToImage(), v2.Resize((64, 64), antialias=True)]
augment = [v2.RandomAffine(0, (0.1, 0.1), (0.8, 1.2), interpolation=v2.InterpolationMode.BILINEAR, fill=114),
    v2.ColorJitter(0.2, 0.2)]
class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = timm.create_model("test_efficientnet", num_classes=10)
    def training_step(self, batch, _):
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1], label_smoothing=0.05)
    def on_validation_epoch_start(self):
        self.seen = []
    def validation_step(self, batch, _):
        self.seen.append((batch[1], self.net(batch[0]).argmax(1)))
    def on_validation_epoch_end(self):
        true, said = (torch.cat(parts) for parts in zip(*self.seen))
        self.log("f1", f1_score(true, said, average="macro"))
    def on_train_epoch_end(self):
        stamps.append(time.time())
    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), 0.008, weight_decay=0.0005)
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.008, total_steps=steps, pct_start=0.25)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
stamps = []
loader = lambda split, steps: torch.utils.data.DataLoader(
    ImageFolder(f"data/prepared/A/{split}", v2.Compose(steps)), batch_size=32, shuffle=split == "train")
pl.Trainer(max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
    num_sanity_val_steps=0).fit(Net(), loader("train", begin + augment + end), loader("val", begin + end))
print(json.dumps(stamps))
"""


NETWORK = """
import atexit, functools, json, os, time
import sys, torch
optimizer = sys.modules["torch.optim.optimizer"]
depth, total, notes = 0, 0.0, []
def watched(call, counts=lambda given: True):
    @functools.wraps(call)
    def around(*given, **named):
        global depth, total
        if depth or not counts(given):
            return call(*given, **named)
        depth, started = 1, time.time()
        try:
            return call(*given, **named)
        finally:
            depth, ended = 0, time.time()
            total += ended - started
            notes.append((ended, total))
    return around
OTHERS = ("torchvision.transforms", "torchmetrics")  # modules by form alone
is_network = lambda given: not type(given[0]).__module__.startswith(OTHERS)
torch.nn.Module.__call__ = watched(torch.nn.Module.__call__, is_network)
torch.Tensor.backward = watched(torch.Tensor.backward)
def before(*given):  # an optimizer's step, in which Lightning has all of a batch
    global depth, began
    if not depth:
        depth, began = 2, time.time()
def after(*given):
    global depth, total
    if depth == 2:
        depth, ended = 0, time.time()
        total += ended - began
        notes.append((ended, total))
optimizer.register_optimizer_step_pre_hook(before)
optimizer.register_optimizer_step_post_hook(after)
atexit.register(lambda: open(os.environ["NETWORK_NOTES"], "w").write(json.dumps(notes)))
"""
STAGE = """
import runpy, sys
sys.argv, sys.path[0] = sys.argv[1:], "src"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def per_epoch(stamps: list[float]) -> float:
    """The median of the epochs' seconds, without the first, which holds what is done once."""
    return statistics.median(b - a for a, b in zip(stamps, stamps[1:], strict=False))


def ours(project: Path, *overrides: str, notes: Path | None = None) -> list[float]:
    """The ends of the epochs of our stage, in seconds. With `notes`, when the network was at it is written there."""
    shutil.rmtree(project / ".cache" / "train", ignore_errors=True)
    settings = [f"training.max_epochs={EPOCHS}", *overrides]
    command = [sys.executable, *(["-c", NETWORK + STAGE] if notes else []), "src/train.py", *settings]
    # Our stage sets its threads before it imports torch, which the notes do first.
    environment = os.environ | (QUIET if notes else {}) | {"NETWORK_NOTES": str(notes)}
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"src/train.py failed:\n{done.stderr}")
    (record,) = yaml.safe_load((project / "effective" / "train.yaml").read_text())
    return [datetime.fromisoformat(epoch["ended"]).timestamp() for epoch in record["used"]["epochs"]]


def plain(project: Path, script: str, notes: Path | None = None) -> list[float]:
    """The ends of the epochs of a script that prints them last. With `notes` as for ours."""
    command = [sys.executable, "-c", f"EPOCHS = {EPOCHS}\n{NETWORK if notes else ''}{script}"]
    environment = os.environ | QUIET | {"NETWORK_NOTES": str(notes)}
    done = subprocess.run(command, cwd=project, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def outside_network(stamps: list[float], notes: Path) -> float:
    """The share of the epochs' time, without the first, in which neither network nor optimizer was at work."""
    times = [(time, total) for time, total in json.loads(notes.read_text()) if stamps[0] < time <= stamps[-1]]
    return 1 - (times[-1][1] - times[0][1]) / (stamps[-1] - stamps[0])


def start_up(project: Path, stage: str) -> float:
    """Seconds until a stage's modules are imported, its engine included."""
    engines = {
        "prepare": "",
        "train": "load('tasks.classification.training.lightning')",
        "infer": "import timm",
        "quant": "import nncf, openvino",
    }
    package = next(project.glob("src/*/shared/stage.py")).parents[1].name
    imports = f"from importlib import import_module; load = lambda name: import_module('{package}.' + name)"
    script = f"{imports}; load('shared.stage'); load('stages.{stage}'); {engines[stage]}"
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", script], cwd=project / "src", check=True, env=os.environ | QUIET)
    return time.perf_counter() - started


def workspace(project: Path, task: str, folder: Path) -> Path:
    """A copy of the project's code with the data of `task` prepared."""
    copy = folder / task
    copy.mkdir()
    for name in ("src", "conf"):
        shutil.copytree(project / name, copy / name)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(project / name, copy / name)
    subprocess.run([sys.executable, "src/prepare.py", f"task={task}"], cwd=copy, check=True, capture_output=True)
    names = {"detection": "names: ['0', '1', '2']"}.get(task, "")
    site = copy / "data" / "prepared" / "A"
    (copy / "data.yaml").write_text(f"path: {site}\ntrain: train/images\nval: val/images\n{names}\n")
    return copy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        detection = workspace(options.project.resolve(), "detection", Path(name))
        classification = workspace(options.project.resolve(), "classification", Path(name))
        ways = {
            "yolo11n, ours": partial(ours, detection, *OURS["detection"]),
            "yolo11n, plain": partial(plain, detection, PLAIN_YOLO),
            "tiny, ours": partial(ours, classification, *OURS["classification"]),
            "tiny, plain": partial(plain, classification, BARE_LIGHTNING),
        }
        for _ in range(options.rounds):
            for label, run in ways.items():
                seconds.setdefault(label, []).append(per_epoch(run()))
        notes = Path(name) / "network.json"
        rest = {label: outside_network(run(notes=notes), notes) for label, run in ways.items()}
        starts = {
            stage: min(start_up(detection, stage) for _ in range(3)) for stage in ("prepare", "train", "infer", "quant")
        }
    best = {label: min(rounds) for label, rounds in seconds.items()}
    table = Table(
        "training", "ours, s/epoch", "plain, s/epoch", "ratio", "no GPU's gain: ours", "plain", title="an epoch"
    )
    ratios = {}
    for model in ("yolo11n", "tiny"):
        mine, theirs = best[f"{model}, ours"], best[f"{model}, plain"]
        ratios[model] = mine / theirs
        shares = [f"{rest[f'{model}, {whose}']:.0%}" for whose in ("ours", "plain")]
        table.add_row(model, f"{mine:.2f}", f"{theirs:.2f}", f"{mine / theirs:.2f}", *shares)
    Console(width=110).print(table)
    Console().print("start-up, s: " + ", ".join(f"{stage} {value:.1f}" for stage, value in starts.items()))
    if options.json:
        facts = {"when": datetime.now().isoformat(timespec="seconds"), "cores": os.cpu_count(), "load": os.getloadavg()}
        content = {"facts": facts, "seconds": seconds, "ratio": ratios, "outside_network": rest, "start_up": starts}
        options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
