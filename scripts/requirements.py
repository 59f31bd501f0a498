"""Pins what the template and the generated project install: run by `make requirements`, needs uv.

The project's extras are resolved together, so that they agree; what each of them adds is written inside a condition.
"""

import re
import subprocess
import tempfile
from pathlib import Path

TEMPLATE = Path(__file__).parents[1]
PROJECT = TEMPLATE / "<<cookiecutter.project>>"
CONDITIONS = {
    "s3": "cookiecutter.dvc_remote == 's3'",
    "gs": "cookiecutter.dvc_remote == 'gs'",
    "azure": "cookiecutter.dvc_remote == 'azure'",
    "ssh": "cookiecutter.dvc_remote == 'ssh'",
    "ultralytics": "cookiecutter.ultralytics == 'yes'",
    "wandb": "cookiecutter.tracking == 'mlflow+wandb'",
}
SUITES = {"lab": "machinery", "cluster": "clusters"}  # of the tests, each with the group that it needs beside these
FILES = {  # the project's, each with its groups
    "requirements.txt": ("setup", ["lab", "stages", "dev"]),
    "requirements-lab.txt": ("setup-lab", ["lab"]),
}


def compiled(folder: Path, *options: str) -> list[str]:
    """The pinned lines. Universal: one file for every system, from Python 3.11 on."""
    command = ["uv", "pip", "compile", "--universal", "--python-version=3.11", "--no-header", "--no-annotate", *options]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def projects_lines(folder: Path, target: str, groups: list[str]) -> list[str]:
    """A requirements file of the project, whose pyproject.toml and together.txt lie in `folder`."""
    pin = ("pyproject.toml", "--constraint=together.txt", *(f"--extra={group}" for group in groups))
    base = compiled(folder, *pin)
    lines = [f"# make {target} installs this and nothing else; make lock writes it, from pyproject.toml", *base]
    added: dict[str, list[str]] = {}  # lines, each with the conditions that bring it
    for extra, condition in CONDITIONS.items():
        for line in sorted(set(compiled(folder, *pin, f"--extra={extra}")) - set(base)):
            added.setdefault(line, []).append(condition)
    blocks: dict[str, list[str]] = {}
    for line, conditions in added.items():
        blocks.setdefault(" or ".join(conditions), []).append(line)
    for condition, own in blocks.items():
        lines += [f"<%- if {condition} %>", *own, "<%- endif %>"]
    return lines


def main() -> None:
    tools = compiled(TEMPLATE, "--group=test")
    (TEMPLATE / "tests/requirements.txt").write_text("\n".join(["# make requirements", *tools]) + "\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = re.sub(r"(?m)^<%.*%>\n", "", (PROJECT / "pyproject.toml").read_text())
        (folder / "pyproject.toml").write_text(re.sub(r"<%.*?%>|<<.*?>>", "x", text))
        together = compiled(folder, "pyproject.toml", "--all-extras")
        (folder / "together.txt").write_text("\n".join(together))
        for file, (target, groups) in FILES.items():
            (PROJECT / file).write_text("\n".join(projects_lines(folder, target, groups)) + "\n")
        there = (PROJECT / "requirements.txt").read_text().split("<%")[0].splitlines()
        for suite, group in SUITES.items():
            needed = compiled(TEMPLATE, f"--group={group}", f"--constraint={folder / 'together.txt'}")
            added = [line for line in needed if line not in there]
            (TEMPLATE / "tests" / suite / "requirements.txt").write_text(
                "\n".join(["# make requirements", *added]) + "\n"
            )


if __name__ == "__main__":
    main()
