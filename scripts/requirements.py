"""Pins tests/requirements.txt and the generated project's requirements.txt: run by `make requirements`, needs uv.

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
    "wandb": "cookiecutter.tracking == 'mlflow+wandb'",
}


def compiled(folder: Path, *options: str) -> list[str]:
    """The pinned lines. Universal: one file for every system, from Python 3.11 on."""
    command = ["uv", "pip", "compile", "--universal", "--python-version=3.11", "--no-header", "--no-annotate", *options]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def main() -> None:
    tools = compiled(TEMPLATE, "--group=test")
    (TEMPLATE / "tests/requirements.txt").write_text("\n".join(["# make requirements", *tools]) + "\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        placeholder = r"<%.*?%>|<<.*?>>"
        (folder / "pyproject.toml").write_text(re.sub(placeholder, "x", (PROJECT / "pyproject.toml").read_text()))
        together = compiled(folder, "pyproject.toml", "--all-extras")
        (folder / "together.txt").write_text("\n".join(together))
        pin = ("pyproject.toml", "--extra=dev", "--constraint=together.txt")
        base = compiled(folder, *pin)
        lines = ["# make setup installs this and nothing else; make lock writes it, from pyproject.toml", *base]
        for extra, condition in CONDITIONS.items():
            lines += [f"<%- if {condition} %>"]
            lines += sorted(set(compiled(folder, *pin, f"--extra={extra}")) - set(base))
            lines += ["<%- endif %>"]
        (PROJECT / "requirements.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
