"""The pages of a project's docs that are made are as they are made, and what they say that lab says, it says."""

import re
import sys
from pathlib import Path

TEMPLATE = Path(__file__).parents[2]
PROJECT = TEMPLATE / "<<cookiecutter.project>>"


def test_design_file_and_commands_are_what_models_and_typer_say() -> None:
    sys.path.insert(0, str(TEMPLATE / "scripts"))
    import references

    pages = references.pages()
    assert len(pages) == 2
    for file, text in pages.items():
        assert file.read_text(encoding="utf-8") == text, f"{file.name}: make references"


def test_messages_in_troubleshooting_are_lab_s() -> None:
    files = [*(PROJECT / "src" / "lab").rglob("*.py"), PROJECT / "src" / "lab.py"]
    code = " ".join(re.sub(r'"\s*\n\s*f?"', "", file.read_text(encoding="utf-8")) for file in files)
    page = (PROJECT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    told = [span for row in re.findall(r"^\| (.*?) \|", page, re.MULTILINE) for span in re.findall("`([^`]+)`", row)]
    others = ("command not found", "Key 'lrr' is not in struct")  # a shell says so, or Hydra
    own = [span for span in told if not span.endswith(others) and not span.startswith("unexpected error - ")]
    parts = [part for span in own for part in re.split("…|[.:?] ", span)]
    literal = [part.strip(" :.?,") for part in parts if part.strip(" :.?,")]
    assert len(literal) > 15
    assert [part for part in literal if part not in code and part != "yaml"] == []
