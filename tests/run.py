"""The template's tests: `make test`, or `make nightly` for the long repetitions.

Bakes a project and installs it, unless EXP_TEMPLATE_VENV names an environment that `make setup` made of one like it.
Then three suites, one after the other, for two cores:

- tests/template   what comes out of the template: in the template's own environment
- tests/lab        the machinery, imported from <<cookiecutter.project>>/src: in the project's environment
- tests/package    the project's own package: in the project's environment, which EXP_PROJECT names

and one more, where it is asked for:

- tests/cluster    the machinery on a real Ray and a real Slurm (make test-clusters)
"""

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[1]
SRC = TEMPLATE / "<<cookiecutter.project>>" / "src"
# Each with how many processes run it: a third one fills the time in which others wait for workers, servers and DVC. The
# package's tests compute, and some measure latencies.
SUITES = {"template": 3, "lab": 3, "package": 2, "cluster": 3}
OF_MAKE_TEST = ("template", "lab", "package")
ADDED = ("lab", "cluster")  # suites that need more than a project's own packages
# What would tell tests that they run inside a make or another environment; bytecode makes each `dvc` start much faster.
HIDDEN = ("VIRTUAL_ENV", "PYTHON", "PYTEST_", "MAKE", "MFLAGS", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
NO_TESTS = 5  # pytest's exit code


def clean() -> dict[str, str]:
    variables = {key: value for key, value in os.environ.items() if not key.startswith(HIDDEN)}
    return variables | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"}  # has uv


def run(*command: str | Path, folder: Path = TEMPLATE, **variables: str) -> None:
    subprocess.run(command, cwd=folder, env=clean() | variables, check=True)


def baked(folder: Path, suites: Sequence[str]) -> Path:
    """A project with all that any project may need, and its environment."""
    settings = folder / "cookiecutter.yaml"
    settings.write_text(f"cookiecutters_dir: {folder}/templates\nreplay_dir: {folder}/replay\n")
    cookiecutter = (sys.executable, "-m", "cookiecutter", "--no-input", "--config-file", settings, "-o", folder)
    run(*cookiecutter, TEMPLATE, "project=vision-lab", "tracking=mlflow+wandb")
    project = folder / "vision-lab"
    if ready := os.environ.get("EXP_TEMPLATE_VENV"):
        (project / ".venv").symlink_to(Path(ready).resolve())
    else:
        run("make", "setup", folder=project)
        for suite in (suite for suite in ADDED if suite in suites):
            added = TEMPLATE / "tests" / suite / "requirements.txt"
            install = ("uv", "pip", "install", "--quiet", "--no-deps", "--compile-bytecode")
            run(*install, "--python", project / ".venv", "-r", added)
    if not list(project.glob(".venv/lib/python*/site-packages/project.pth")):
        sys.exit(f"{project / '.venv'} has no src/ on its path: it is older than that, make setup in its project again")
    return project


def differences(one: Path, other: Path) -> list[str]:
    """Files that are not byte for byte the same in both folders."""
    names = {path.relative_to(root) for root in (one, other) for path in root.rglob("*") if path.is_file()}
    names = {name for name in names if "__pycache__" not in name.parts}
    different = [n for n in names if not ((one / n).is_file() and (other / n).is_file())]
    different += [n for n in names - set(different) if not filecmp.cmp(one / n, other / n, shallow=False)]
    return sorted(map(str, different))


def outcome(suite: str, project: Path, nightly: bool, options: list[str]) -> str:
    """Runs a suite; an empty text where it passed."""
    environment = project / ".venv"
    variables = {"EXP_TEMPLATE_VENV": str(environment.resolve()), "EXP_PROJECT": str(project)}
    if suite == "template":
        python = sys.executable
    else:
        python = environment / "bin" / "python"
        src = project / "src" if suite == "package" else SRC
        variables |= {"PYTHONPATH": str(src), "PATH": f"{environment / 'bin'}{os.pathsep}{clean()['PATH']}"}
    selection = "nightly" if nightly else "not nightly"
    processes = [f"--numprocesses={SUITES[suite]}", "--dist=loadgroup", "--durations=30"]
    written = tempfile.mkdtemp(prefix=f"{suite}-")  # by the tests; pytest itself would take a minute to remove it
    command = [python, "-m", "pytest", f"tests/{suite}", "-m", selection, *processes, f"--basetemp={written}", *options]
    print(f"\n=== tests/{suite} ({selection})", flush=True)
    done = subprocess.run(command, cwd=TEMPLATE, env=clean() | variables)
    if done.returncode == 0 or (nightly and done.returncode == NO_TESTS):
        remove(Path(written))
        return ""
    return "has no tests" if done.returncode == NO_TESTS else f"failed; what they wrote is in {written}"


def remove(folder: Path) -> None:
    """In the background: of 100,000 files, for which nobody waits."""
    subprocess.Popen(["rm", "-rf", folder], start_new_session=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nightly", action="store_true", help="the long repetitions instead")
    parser.add_argument("--suite", choices=SUITES, action="append", help="only this one; may be given several times")
    parser.add_argument("options", nargs="*", help="for pytest, after --")
    asked = parser.parse_args()
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="exp-template-"))
    wrong: list[str] = []
    said: list[str] = []
    try:
        suites = asked.suite or OF_MAKE_TEST
        project = baked(folder, suites)
        said.append(f"environment {time.monotonic() - began:.0f} s")
        if different := differences(SRC / "lab", project / "src" / "lab"):
            wrong.append(f"src/lab of a project is not the template's: {', '.join(different)}")
        for suite in suites:
            at = time.monotonic()
            if problem := outcome(suite, project, asked.nightly, asked.options):
                wrong.append(f"tests/{suite} {problem}")
            said.append(f"{suite} {time.monotonic() - at:.0f} s")
    finally:
        remove(folder)
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    print(f"\n{'FAILED' if wrong else 'PASSED'} in {minutes} min {seconds} s ({', '.join(said)})")
    sys.exit("\n".join(wrong) or None)


if __name__ == "__main__":
    main()
