"""What src/ imports is declared in pyproject.toml: by lab's group for the machinery, by the stages' for the rest."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TEMPLATE

sys.path.insert(0, str(TEMPLATE / "scripts"))
import licences  # noqa: E402

PROJECT = TEMPLATE / "<<cookiecutter.project>>"
SRC = PROJECT / "src"
# Modules whose package has another name. Of all others "-" in the package's name is "_" in the module's.
PACKAGES = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "dotenv": "python-dotenv",
    "hydra": "hydra-core",
    "markdown_it": "markdown-it-py",
    "ruamel": "ruamel-yaml",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
HEAVY = {"torch", "torchvision", "ultralytics", "openvino", "nncf", "pytorch-lightning", "lightning", "timm"}


def pyproject() -> str:
    """The template's, with every line that an answer may bring."""
    text = re.sub(r"(?m)^<%.*%>\n", "", (PROJECT / "pyproject.toml").read_text())
    return re.sub(r"<%.*?%>|<<.*?>>", "x", text)


def groups() -> dict[str, set[str]]:
    """The names of the packages that each group declares."""
    declared = tomllib.loads(pyproject())["project"]["optional-dependencies"]
    return {group: {re.split(r"[\[=]", pin)[0] for pin in pins} for group, pins in declared.items()}


def imported(path: Path) -> Iterator[str]:
    """The top-level modules that a file imports, wherever in it, also by name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            yield from (
                word.value.split(".")[0]
                for word in node.args
                if isinstance(word, ast.Constant) and not word.value.startswith(".")
            )


def undeclared(paths: list[Path], declared: set[str]) -> dict[str, str]:
    """Each module that no declared package brings, and a file that imports it."""
    own = {path.stem for path in SRC.iterdir()} | sys.stdlib_module_names
    found = {
        module: path.name
        for path in paths
        for module in imported(path)
        if module not in own and not path.with_name(f"{module}.py").is_file()  # a script's neighbour
    }
    if found.get("pytest") == "conformance.py":  # a suite for those who write a backend or a sink, and have pytest
        del found["pytest"]
    return {
        module: file for module, file in found.items() if PACKAGES.get(module, module.replace("_", "-")) not in declared
    }


@pytest.mark.parametrize("room", ["lab", "stages"])
def test_what_is_imported_is_declared(room):
    machinery = sorted((SRC / "lab").rglob("*.py"))
    paths = machinery if room == "lab" else sorted(set(SRC.rglob("*.py")) - set(machinery))
    assert len(paths) > 5
    assert undeclared(paths, groups()[room] | groups()["wandb"] | groups()["ray"] | groups()["ultralytics"]) == {}


def test_lab_is_light():
    names = {line.split("==")[0] for line in (PROJECT / "requirements-lab.txt").read_text().splitlines()}
    assert not names & HEAVY
    assert not [name for name in names if name.startswith("nvidia-")]
    assert not [module for path in (SRC / "lab").rglob("*.py") for module in imported(path) if module in HEAVY]


def test_a_package_of_two_groups_has_one_version():
    pins = {pin for group in tomllib.loads(pyproject())["project"]["optional-dependencies"].values() for pin in group}
    names = [pin.split("==")[0] for pin in pins]
    assert sorted(names) == sorted(set(names))


def test_the_readme_says_which_packages_ask_what(environment):
    """By what they say of themselves: make licences writes it."""
    written = licences.BLOCK.search(licences.README.read_text())[0]
    assert written == licences.table(environment / "bin" / "python")
    assert licences.kind("some", "GPL-3.0-or-later") and not licences.kind("some", "Apache-2.0 OR GPL-2.0-or-later")
    with pytest.raises(SystemExit, match="which licence is 'ask me'"):
        licences.kind("some", "ask me")
