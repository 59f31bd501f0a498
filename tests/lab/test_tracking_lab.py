"""`lab run` with the mirror beside it, `lab mirror`, `lab results`: from real experiments into a store of MLflow's."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import in_process
import psutil
import pytest
import tracked
import trivial
import yaml
from tracked import dump, export
from trivial import Trivial

from lab.errors import UserError
from lab.execution.dvc import own_workers
from lab.records import studies
from lab.report import frame, pages
from lab.tracking import settings
from lab.tracking.mirror import Mirror
from lab.tracking.mlflow.sink import MlflowSink
from lab.tracking.sink import Trouble

# Workers take seconds to start: what they have run is made once.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tracking_lab")]

SECRET = "planted-Xq7-secret"
HYPOTHESIS = {"claim": "It is good.", "metric": "infer.f1_macro", "expected": 0.1}
DESIGNS = {
    "grid": {
        "kind": "sweep",
        "type": "train",
        "title": "Which rate?",
        "hypothesis": HYPOTHESIS,
        "seeds": [0, 1],
        "sweep": {"strategy": "grid", "parameters": {"lr": [0.1]}},
    },
    "variants": {
        "kind": "comparison",
        "type": "quant",
        "title": "Which variant?",
        "hypothesis": {**HYPOTHESIS, "metric": "quant.f1_macro"},
        "comparison": {"variable": "quant", "values": ["openvino_fp32", "openvino_int8"]},
    },
    "again": {
        "kind": "comparison",
        "type": "train",
        "title": "Is more better?",
        "hypothesis": HYPOTHESIS,
        "comparison": {"variable": "lr", "values": [0.1, 0.3]},
    },
    "failing": {"kind": "single", "type": "train", "title": "Fails?", "hypothesis": HYPOTHESIS, "base": ["lr=-1.0"]},
}


FAILS = """sys.exit(f"lr={params['lr']} should be above 0")"""
TELLS = """sys.exit(f"lr={params['lr']} " + Path(os.environ["DVC_ROOT"], ".env").read_text())"""  # what it must not
WORKS = "lr, seed = map(float"
WAITS = f"""
until = time.monotonic() + 200
while stage == "train" and time.monotonic() < until and not Path(os.environ["DVC_ROOT"], ".cache", "seen").exists():
    time.sleep(0.2)
{WORKS}"""


@dataclass
class Lived:
    """A project whose designs have run with the mirror beside them, and how many points a running run was seen with."""

    project: Trivial
    seen: list[int]

    @property
    def store(self) -> str:
        return f"sqlite:///{self.project.root / 'mlflow.db'}"

    def lab(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return in_process.lab(self.project.root, *arguments)

    def mirror(self) -> Mirror:
        """The project's mirror, in this process."""
        return Mirror(self.project.project(), pages)

    def copied(self, root: Path) -> Lived:
        """Another clone, with everything."""
        return Lived(trivial.copied(self.project, root), self.seen)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    folder = tmp_path_factory.mktemp("lived")
    project = trivial.make(folder / "project")
    (project.root / "designs").mkdir(exist_ok=True)
    for name, design in DESIGNS.items():
        (project.root / "designs" / f"{name}.yaml").write_text(yaml.safe_dump(design))
    (project.root / "conf" / "tracking.yaml").write_text("experiment: trivial\nbackends: [mlflow]\n")
    (project.root / ".gitignore").open("a").write(".env\n/mlflow.db*\n/mlartifacts/\n")
    (project.root / ".env").write_text(f"MLFLOW_TRACKING_PASSWORD={SECRET}\n")
    script = project.root / "src" / "stand_in.py"
    text = script.read_text()
    for before, after in {FAILS: TELLS, WORKS: WAITS}.items():
        assert before in text
        text = text.replace(before, after)
    script.write_text(text)
    project.commit("designs")
    tracked.store(project.root)
    found = Lived(project, [])
    run(found, "grid")
    for name in ("variants", "again"):
        assert found.lab("queue", f"designs/{name}.yaml", "--force").returncode == 0
    run(found, "failing")
    trivial.wait_until(lambda: not own_workers.alive(project.root) and not mirrors(project))
    project.call("dvc", "queue", "remove", "--success")  # a worker may have been at it when lab run tidied up
    return found


def run(found: Lived, name: str) -> None:
    """`lab run`. The experiments wait for the store to have them, with their curves, while they run."""
    command = [sys.executable, "-m", "lab", "run", f"designs/{name}.yaml", "-j", "2", "--force"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=found.project.root, env=trivial.environ(), **pipes)
    client = tracked.sink(found.store).client
    while process.poll() is None:
        experiment = client.get_experiment_by_name("trivial")
        runs = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'") if experiment else []
        for each in runs:
            if "val/loss" in each.data.metrics:
                found.seen.append(len(client.get_metric_history(each.info.run_id, "val/loss")))
        if found.seen:
            (found.project.root / ".cache" / "seen").touch()
        time.sleep(0.5)
    output = process.communicate()[0]
    assert process.returncode == (1 if name == "failing" else 0), output
    assert "mirror:" not in output, "it has nothing to complain of"


def mirrors(project: Trivial) -> list[psutil.Process]:
    """The mirrors in the background."""
    found = psutil.process_iter(["cmdline", "cwd"])
    return [p for p in found if "--follow" in (p.info["cmdline"] or []) and p.info["cwd"] == str(project.root)]


def test_it_is_shown_while_it_runs(lived: Lived) -> None:
    assert lived.seen, "no running run was there before lab run ended"
    assert set(lived.seen) <= {1, 2, 3}


def test_every_experiment_is_a_child_of_its_design(lived: Lived) -> None:
    lived.mirror().once()
    found = export(lived.store, "trivial")
    records = lived.project.records()
    baseline = next(iter(records.values())).baseline
    children = {key for key in found if "/" in key}
    reused = f"{baseline[:12]}/{name_of(records, 'grid', 0)}@again"
    assert children == {f"{baseline[:12]}/{name}" for name in records} | {reused}
    assert {found[key]["tags"]["mlflow.parentRunId"] for key in children} == set(DESIGNS)
    assert found["again"]["tags"]["runs.reused"] == "1"
    assert found[reused]["tags"]["reused"] == "true"

    record = records[name_of(records, "grid", 1)]
    child = found[f"{baseline[:12]}/{record.name}"]
    assert record.started and record.ended
    assert child["info"][1] == "FINISHED"
    assert child["info"][2] == round(record.started.timestamp() * 1000)
    assert child["info"][3] == round(record.ended.timestamp() * 1000)
    assert child["params"]["training.lr"] == "0.1"
    assert not [name for name in child["params"] if name.startswith("experiment")]
    expected = {"seed": "1", "replicate": "1", "arm": "lr=0.1", "sweep.index": "1", "sweep.strategy": "grid"}
    chosen = {tag: record.params[group]["name"] for tag, group in {"model": "model", "aug": "augmentation"}.items()}
    expected |= chosen | {"size": "64", "git.branch": "main", "git.baseline": baseline}
    expected |= {"dvc.exp.name": record.name, "dvc.exp.rev": record.commit, "mlflow.machine.host": "here"}
    expected |= {"model.md5": record.outputs["models/model.pt"]["md5"], "role": "experiment"}
    assert expected.items() <= child["tags"].items()
    assert [(step + 1, repr(value)) for step, _, value in record.curves["val/loss"]] == [
        (step, value) for step, _, value in child["metrics"]["val/loss"]
    ]
    times = [round(point.time.timestamp() * 1000) for point in record.curves["val/loss"]]
    assert [time for _, time, _ in child["metrics"]["val/loss"]] == times
    assert child["metrics"]["infer.f1_macro"][0][2] == repr(record.value("infer.f1_macro"))
    ((name, digest, source),) = child["inputs"]
    assert digest == record.outputs["data/prepared"]["md5"]
    assert {"effective/train.yaml", "run.md"} <= set(child["artifacts"])


def name_of(records: dict[str, Any], design: str, seed: int) -> str:
    """Of a search the run that answers, not the one that chose."""
    its = {n: r for n, r in records.items() if (r.experiment["design"], r.experiment["seed"]) == (design, seed)}
    return next(name for name, record in its.items() if record.stage == "infer")


def test_a_design_tells_its_question_and_its_best(lived: Lived) -> None:
    lived.mirror().once()
    found = export(lived.store, "trivial")
    parent = found["again"]
    best = parent["tags"]["best.run_id"]
    assert found[best]["tags"]["comparison.value"] == "0.3"
    assert (parent["tags"]["best.params"], parent["tags"]["best.f1_macro"]) == ('{"lr": 0.3}', "0.3")
    assert parent["metrics"]["best.f1_macro"][0][2] == "0.3"
    note = parent["tags"]["mlflow.note.content"].splitlines()
    assert note[0].startswith(f"**{parent['tags']['verdict']}"), "the answer comes first"
    assert "- **Best**: 0.3, macro-F1 0.3" in "\n".join(note) and any("**Next**" in line for line in note)
    assert "**Is more better?**" in note
    assert "Hypothesis: It is good." in note
    assert {"design.yaml", "results.csv", "results.md", "report.md", "report.html"} <= set(parent["artifacts"])
    names = {found[key]["info"][0] for key in found if "_variants_" in key}
    assert names == {"quant-openvino_fp32", "quant-openvino_int8"}
    roles = {found[key]["tags"]["comparison.value"]: found[key]["tags"]["role"] for key in found if "_variants_" in key}
    assert roles == {"openvino_fp32": "baseline", "openvino_int8": "experiment"}


def test_a_design_that_others_runs_answer_is_there_too(lived: Lived, tmp_path: Path) -> None:
    """Once they all do: nobody has to run it for that."""
    later = lived.copied(tmp_path / "later")
    part = {**DESIGNS["again"], "comparison": {"variable": "lr", "values": [0.1, 0.9]}}
    for name, design in {"known": DESIGNS["again"], "partly": part}.items():
        (later.project.root / "designs" / f"{name}.yaml").write_text(yaml.safe_dump(design))
    later.project.commit("known")
    found = {design.study.design.name: design for design in later.mirror().designs()}
    assert set(found) == {*DESIGNS, "known"}
    assert [member.replicate.reused for member in found["known"].members] == [True, True]


def test_a_failed_run_tells_why_and_no_secret(lived: Lived) -> None:
    lived.mirror().once()
    (failed,) = [each for key, each in export(lived.store, "trivial").items() if "_failing_" in key]
    assert failed["info"][1] == "FAILED"
    assert failed["tags"]["failure"] == "train ended with 1: lr=-1.0 MLFLOW_TRACKING_PASSWORD=***"
    assert failed["artifacts"] == ["log.txt", "run.md"]
    root = lived.project.root
    assert tracked.planted(root / ".dvc" / "tmp" / "exps" / "run", SECRET), "the log itself has it"
    assert tracked.planted(root / "mlartifacts", "MLFLOW_TRACKING_PASSWORD=***")
    assert tracked.planted(root / "mlartifacts", SECRET) == []
    assert SECRET.encode() not in (root / "mlflow.db").read_bytes()


def texts(root: Path) -> list[str]:
    """All texts among the artifacts, but for which other designs had looked at the test images by then."""
    files = (root / "mlartifacts").rglob("*.md")
    return sorted(re.sub(r"(?m)^.* looked at these test items so far.*$", "", path.read_text()) for path in files)


def test_made_again_from_git_it_is_the_same(lived: Lived, tmp_path: Path) -> None:
    lived.mirror().sinks[0].begin()
    before, root = export(lived.store, "trivial"), lived.project.root
    contents = texts(root)
    (root / "mlflow.db").unlink()
    shutil.rmtree(root / "mlartifacts")
    with pytest.raises(Trouble, match="was deleted"):
        lived.mirror().once()
    done = lived.project.lab("mirror", "--all")  # this process still has the store that was deleted
    assert f"{len(before) - 1} runs new, 0 brought up to date" in done.stdout
    link = root / "again.db"  # under a name that this process has not opened
    link.symlink_to(root / "mlflow.db")
    assert dump(export(f"sqlite:///{link}", "trivial")) == dump(before)
    assert texts(root) == contents


def test_nothing_new_costs_nothing(lived: Lived) -> None:
    lived.mirror().once()
    done = lived.project.call(sys.executable, "-X", "importtime", "-m", "lab", "mirror", "--all")
    assert "0 runs new, 0 brought up to date" in done.stdout
    assert "mlflow.store" not in done.stderr, "it was not even imported"


def test_a_design_that_has_changed_is_looked_at_alone(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = lived.copied(tmp_path / "project")
    clone.mirror().once()
    clone.project.call("dvc", "exp", "rename", name_of(clone.project.records(), "grid", 1), "better")
    monkeypatch.setattr(MlflowSink, "_read_places", lambda self: pytest.fail("the runs of all designs are read"))
    (said,) = clone.mirror().once().messages
    assert said.endswith("is called lr=0.1, seed 1 (better) now")
    assert clone.mirror().once().updated == 0


def test_an_experiment_renamed_and_removed(lived: Lived, tmp_path: Path) -> None:
    clone = lived.copied(tmp_path / "project")
    name = name_of(clone.project.records(), "grid", 1)
    clone.project.call("dvc", "exp", "rename", name, "better")
    said = f"lr=0.1, seed 1 ({name}) is called lr=0.1, seed 1 (better) now"
    assert said in clone.mirror().once().messages
    (renamed,) = [each for key, each in export(clone.store, "trivial").items() if key.endswith("/better")]
    assert renamed["info"][0] == "lr=0.1, seed 1 (better)"

    clone.project.call("dvc", "exp", "remove", "better")
    done = clone.lab("mirror", "--prune", "--yes")
    assert done.returncode == 0, done.stderr
    assert "grid: lr=0.1, seed 1 (better) (" in done.stdout
    assert not [key for key in export(clone.store, "trivial") if key.endswith("/better")]
    assert [found for _, found in clone.mirror().gone()] == [{}]


def test_results_from_git_alone(lived: Lived) -> None:
    done = lived.lab("results", "again", "--sort", "f1_macro")
    assert done.returncode == 0, done.stderr
    *told, head, first, second = done.stdout.splitlines()
    assert told[0].split(":")[0] in ("SUPPORTED", "UNDERPOWERED", "INCONCLUSIVE") and "Next" in done.stdout
    assert head.split()[:4] == ["arm", "seed", "status", "infer.f1_macro"]
    assert first.split()[:4] == ["0.3", "0", "finished", "0.3"]
    assert second.split()[:4] == ["0.1", "0", "finished", "(reused)"]
    rows = list(csv.DictReader(io.StringIO(lived.lab("results", "designs/grid.yaml", "--csv").stdout)))
    assert [(row["seed"], row["infer.f1_macro"]) for row in rows] == [("0", "0.1"), ("1", "0.101")]
    assert "one of --csv and --markdown" in lived.lab("results", "grid", "--csv", "--markdown").stderr
    done = lived.lab("results", "grid", "--sort", "f1_marco")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean" in done.stderr


def test_results_in_python(lived: Lived) -> None:
    study = studies.read(lived.project.project(), "grid")
    assert "| lr=0.1 | 1 | finished | 0.101 |" in frame.markdown(study)
    best, other = frame.arranged(study, "f1_macro")
    assert (best["infer.f1_macro"], other["infer.f1_macro"]) == (0.101, 0.1)
    table: Any = frame.frame(study)
    assert table.groupby("arm")["infer.f1_macro"].mean().to_dict() == {"lr=0.1": pytest.approx(0.1005)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("experimant: x\n", "experimant is no setting. Did you mean 'experiment'?"),
        ("backends: [tensorboard]\n", "backends.0: input should be 'mlflow' or 'wandb'"),
        ("[1, 2]\n", "is not a mapping"),
        ("upload_models: some\n", "upload_models: input should be"),
    ],
)
def test_wrong_settings(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "tracking.yaml").write_text(content)
    with pytest.raises(UserError) as caught:
        settings.read(tmp_path)
    assert message in str(caught.value)
    assert str(caught.value).startswith("conf/tracking.yaml")
