"""Writes the top-level modules of all pinned packages into hooks/pre_gen_project.py, which refuses them as names.

Run by `make modules`, after `make requirements`, with an environment in which the project's requirements are installed.
What a condition leaves out of that environment (`dvc-s3` with what it needs, `wandb`) stays as it is listed.
"""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

TEMPLATE = Path(__file__).parents[1]
HOOK = TEMPLATE / "hooks/pre_gen_project.py"
REQUIREMENTS = ("requirements.txt", "requirements-lab.txt")
BLOCK = re.compile(r'(?<=MODULES = """\n)(.*?)(?="""\n)', re.DOTALL)
ASK = "import importlib.metadata, json; print(json.dumps(importlib.metadata.packages_distributions()))"


def installed(python: Path) -> set[str]:
    """The modules of the pinned packages in an environment that could be a package's name."""
    texts = [(TEMPLATE / "<<cookiecutter.project>>" / name).read_text() for name in REQUIREMENTS]
    pinned = {canonical(name) for text in texts for name in re.findall(r"^([\w.-]+)(?:\[.*?\])?==", text, re.MULTILINE)}
    said = subprocess.run([python, "-I", "-c", ASK], check=True, stdout=subprocess.PIPE, text=True).stdout
    owners = {module: {canonical(name) for name in names} for module, names in json.loads(said).items()}
    return {module for module, names in owners.items() if names & pinned and re.fullmatch("[a-z][a-z0-9_]*", module)}


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def listed() -> set[str]:
    """The modules that the hook knows."""
    found = BLOCK.search(HOOK.read_text())
    assert found
    return set(found[0].split())


def main() -> None:
    names = sorted(listed() | installed(Path(sys.argv[1])))
    block = textwrap.indent(textwrap.fill(" ".join(names), 116), "    ") + "\n"
    HOOK.write_text(BLOCK.sub(lambda _: block, HOOK.read_text(), count=1))


if __name__ == "__main__":
    main()
