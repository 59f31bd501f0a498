"""What comes out of the template, for every answer."""

import json
import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from itertools import cycle, islice

import pytest
import yaml
from conftest import TEMPLATE, BakedProject

QUESTIONS = json.loads((TEMPLATE / "cookiecutter.json").read_text())
CHOICES = {question: values for question, values in QUESTIONS.items() if isinstance(values, list)}
# The choices don't depend on one another: going round each list meets every value without multiplying them.
LONGEST = max(map(len, CHOICES.values()))
ROWS = zip(*(islice(cycle(values), LONGEST) for values in CHOICES.values()), strict=True)
COMBINATIONS = [dict(zip(CHOICES, row, strict=True)) for row in ROWS]

# The files of a project whose package is vision_lab, by folder. What every project has…
SHELL = {
    "": ".dvcignore .editorconfig .env.example .gitignore .pre-commit-config.yaml LICENSE Makefile README.md compose.yaml "
    "pyproject.toml requirements.txt",
    ".dvc": ".gitignore config",
    ".vscode": "extensions.json settings.json",
    "docs": "tracking.md",
    "docs/04-report": "README.md",
}
# …what the vision code is…
VISION = {
    "": "dvc.yaml params.yaml",
    "conf": "config.yaml tracking.yaml",
    "conf/augmentation": "cutout.yaml default.yaml full.yaml mixup.yaml none.yaml randaugment.yaml",
    "conf/data": "digits.yaml digits_scenes.yaml image_folder.yaml yolo.yaml",
    "conf/infer": "default.yaml",
    "conf/model": "efficientnet_b0.yaml efficientnet_b1.yaml efficientnet_b3.yaml timm.yaml tiny.yaml yolo11m.yaml "
    "yolo11n.yaml yolo11s.yaml yolo11t.yaml",
    "conf/quant": "_base.yaml openvino_fp16.yaml openvino_fp32.yaml openvino_int8.yaml openvino_int8_accuracy.yaml "
    "torch_fp32.yaml",
    "conf/task": "classification.yaml detection.yaml",
    "conf/training": "default.yaml",
    "designs": "classification_ab_benchmark.yaml classification_ablation.yaml classification_architecture.yaml "
    "classification_augmentation.yaml classification_baseline.yaml classification_bayesian_sweep.yaml "
    "classification_cross_site.yaml classification_ensemble.yaml classification_lr_sweep.yaml "
    "classification_multi_scale.yaml classification_quantization.yaml classification_random_sweep.yaml "
    "detection_ab_benchmark.yaml detection_ablation.yaml detection_architecture.yaml "
    "detection_augmentation.yaml detection_baseline.yaml detection_bayesian_sweep.yaml "
    "detection_cross_site.yaml detection_ensemble.yaml detection_lr_sweep.yaml detection_multi_scale.yaml "
    "detection_quantization.yaml detection_random_sweep.yaml schema.json",
    "src": "infer.py lab.py prepare.py project.py quant.py train.py",
    "src/vision_lab": "__init__.py cli.py errors.py",
    "src/vision_lab/design": "__init__.py bayesian.py compose.py constraints.py expansion.py levels.py messages.py models.py "
    "names.py overrides.py pipeline.py plan.py power.py preflight.py revisions.py scenarios.py schema.py "
    "yaml_file.py",
    "src/vision_lab/execution": "__init__.py designs.py facts.py ordinary.py plumbing.py queue.py repair.py run.py selftest.py "
    "status.py view.py workers.py",
    "src/vision_lab/results": "__init__.py champion.py checkout.py comparisons.py decisions.py differences.py dotted.py "
    "estimates.py evidence.py examples.py fidelity.py frame.py gate.py page.py paragraphs.py planning.py "
    "recheck.py records.py report.md.jinja report.py review.py revisions.py sharing.py statistics.py "
    "study.py tables.py tasks.py verdict.py",
    "src/vision_lab/results/figures": "__init__.py arms.py cost.py drawing.py ensemble.py images.py single.py sites.py sweep.py",
    "src/vision_lab/tracking": "__init__.py background.py mirror.py mlflow_sink.py outputs.py projection.py registry.py revisions.py "
    "settings.py text.py ui.py views.py wandb_sink.py",
    "src/vision_lab/vision": "__init__.py augmentation.py classification.py classification_training.py config.py detection.py "
    "detection_training.py devices.py ensemble.py environment.py evaluation.py infer.py journal.py "
    "latency.py layout.py model_file.py neighbours.py openvino_model.py predictor.py prepare.py quant.py "
    "quantization.py revisions.py stage.py train.py",
    "src/vision_lab/vision/data": "__init__.py checks.py dataset.py digits.py image_folder.py picture.py places.py splits.py yolo.py",
    "tests": "answered.py conftest.py studies.py test_config.py test_design_compose.py test_design_files.py "
    "test_design_plan.py test_design_preflight.py test_ensemble.py test_execution_kill.py "
    "test_execution_lab.py test_execution_queue.py test_execution_run.py test_infer.py test_lab.py "
    "test_latency.py test_prepare.py test_quantization.py test_results_champion.py "
    "test_results_examples.py test_results_frame.py test_results_report.py test_results_review.py "
    "test_results_statistics.py test_results_study.py test_results_tables.py test_results_verdict.py "
    "test_revisions.py test_stage.py test_tracking_disk.py test_tracking_lab.py test_tracking_mlflow.py "
    "test_tracking_projection.py test_tracking_server.py test_tracking_ui.py test_tracking_wandb.py "
    "test_training.py tracked.py trivial.py workspace.py",
}
# …and what an answer brings.
CI = {"github": ".github/workflows/ci.yml", "gitlab": ".gitlab-ci.yml", "none": None}

AWKWARD = 'Bücher & "Bilder" <b>\'s\\n </b> {{x}} {% y %} ${z} #1: 视觉 🦊'
FORBIDDEN_ON_WINDOWS = re.compile(r'[<>:"|?*\\]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)


def paths(*groups: dict[str, str]) -> set[str]:
    listed = ((folder, name) for group in groups for folder, names in group.items() for name in names.split())
    return {f"{folder}/{name}".lstrip("/") for folder, name in listed}


@pytest.fixture(scope="module", params=COMBINATIONS, ids=lambda combination: "-".join(combination.values()))
def answers(request) -> dict[str, str]:
    return request.param


@pytest.fixture(scope="module")
def project(bake, answers) -> BakedProject:
    return bake(**answers)


def test_every_choice_is_met():
    assert {(question, row[question]) for row in COMBINATIONS for question in row} == {
        (question, value) for question, values in CHOICES.items() for value in values
    }


def test_files_are_exactly_these(project, answers):
    assert project.files() == paths(SHELL, VISION) | {CI[answers["ci"]]} - {None}
    folders = (path for path in project.path.rglob("*") if path.is_dir())
    assert not [path for path in folders if ".git" not in path.parts and not any(path.iterdir())]


def test_no_placeholder_is_left(project):
    leftover = re.compile(r"<<|<%|%>|<#|#>|cookiecutter\.")
    assert not [name for name in project.files() if leftover.search(name + project.read(name))]


def test_file_names_are_good_on_windows(project):
    names = project.files()
    assert not [name for name in names for part in name.split("/") if FORBIDDEN_ON_WINDOWS.search(part)]
    assert len({name.lower() for name in names}) == len(names)


def test_text_is_tidy(project):
    for name in project.files():
        text = project.read(name)
        assert text == "" or text.endswith("\n"), f"{name} has no newline at its end"
        assert not re.search(r"[ \t]$|\n{4}|\n\n\Z", text, re.MULTILINE) or name == "LICENSE", (
            f"{name} has stray blanks"
        )


def test_settings_parse(project, answers):
    for name in project.files():
        if name.endswith((".yaml", ".yml")):
            assert yaml.safe_load(project.read(name)), name
        if name.endswith(".json"):
            assert json.loads(project.read(name)), name
    pyproject = tomllib.loads(project.read("pyproject.toml"))
    assert pyproject["project"]["name"] == "vision-lab"
    assert pyproject["tool"]["cruft"]["skip"] == [".git", ".dvc/tmp"]


def test_dvc_remote(project, answers):
    config = ConfigParser(interpolation=None)
    config.read_string(project.read(".dvc/config"))
    assert config["hydra"]["enabled"] == "True"
    assert config["core"]["analytics"] == "false"
    prefix = "../.dvc" if answers["dvc_remote"] == "local" else f"{answers['dvc_remote']}://"
    assert config["'remote \"storage\"'"]["url"].startswith(prefix)


def test_requirements_are_pinned_and_hold_what_was_chosen(project, answers):
    lines = project.read("requirements.txt").splitlines()[1:]
    assert not [line for line in lines if not re.match(r"[a-z0-9-]+==\S+( ; .+)?$", line)]
    extras = {"s3": "dvc-s3", "gs": "dvc-gs", "azure": "dvc-azure", "ssh": "dvc-ssh", "mlflow+wandb": "wandb"}
    expected = {extras.get(answers["dvc_remote"]), extras.get(answers["tracking"])} - {None}
    assert {line.split("==")[0] for line in lines} & set(extras.values()) == expected
    direct = tomllib.loads(project.read("pyproject.toml"))["project"]["dependencies"]
    assert not [pin for pin in direct if not any(line.startswith(pin) for line in lines)]


def test_ruff_finds_nothing(project):
    for command in (["check"], ["format", "--check"]):
        project.run(sys.executable, "-m", "ruff", *command, "--no-cache")


def test_outputs_are_ignored_by_git_where_dvc_keeps_them(project):
    for stage in yaml.safe_load(project.read("dvc.yaml"))["stages"].values():
        for output in (out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])):
            name, settings = next(iter(output.items())) if isinstance(output, dict) else (output, {})
            ignored = project.run("git", "check-ignore", "-q", name, check=False).returncode == 0
            assert ignored == settings.get("cache", True), f"{name} in dvc.yaml and .gitignore disagree"


def test_designs_open_with_their_command_and_ask_the_same_of_both_tasks(project):
    asked = {}
    for path in (project.path / "designs").glob("*.yaml"):
        command, schema, *_ = path.read_text().splitlines()
        assert command.startswith(f"# lab run designs/{path.name}")
        assert schema == "# yaml-language-server: $schema=schema.json"
        design = yaml.safe_load(path.read_text())
        task, _, question = path.stem.partition("_")
        assert design["task"] == task and "name" not in design
        asked.setdefault(task, set()).add(question)
    assert asked["classification"] == asked["detection"] and len(asked["detection"]) == 12


def test_git_has_one_commit_and_nothing_to_add(project):
    assert project.run("git", "status", "--porcelain").stdout == ""
    assert project.run("git", "log", "--format=%an: %s").stdout == "Tester: Start from exp-template\n"
    assert set(project.run("git", "ls-files").stdout.splitlines()) == project.files()


def test_answers_with_quotes_unicode_and_brackets(bake):
    project = bake(description=AWKWARD, author=AWKWARD, license="MIT")
    metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
    assert metadata["description"] == AWKWARD
    assert metadata["authors"] == [{"name": AWKWARD}]
    assert f"Copyright (c) {AWKWARD}\n" in project.read("LICENSE")
    assert AWKWARD.replace("<", "&lt;") in project.read("README.md")
    assert project.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.parametrize(
    ("given", "written", "ignored"),
    [
        (".dvc/storage", "../.dvc/storage", True),
        ("storage/", "../storage/", True),
        ("../lake", "../../lake", False),
        ("/mnt/lake", "/mnt/lake", False),
        ("~/lake", "~/lake", False),
    ],
)
def test_local_remote_is_a_folder_that_git_leaves_alone(bake, given, written, ignored):
    project = bake(dvc_remote_url=given)
    assert f"url = {written}\n" in project.read(".dvc/config")
    inside = project.run("git", "check-ignore", "-q", f"{given.rstrip('/')}/files", check=False).returncode == 0
    assert inside == ignored


def test_package_name_follows_the_project(bake):
    project = bake(project="Parts-2.0")
    assert project.path.name == "Parts-2.0"
    assert (project.path / "src/parts_2_0/shared/stage.py").is_file()


def test_misspelt_option_is_an_error(bake):
    with pytest.raises(AssertionError, match="prject"):
        bake(prject="lab")


@pytest.mark.slow
def test_project_is_clean_for_its_own_linters(bake, environment):
    project = bake(environment)
    project.run("make", "lint")
    project.run("pre-commit", "run", "--all-files")


def test_template_is_clean_for_ruff():
    for command in (["check"], ["format", "--check"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--no-cache"], cwd=TEMPLATE, check=True)
