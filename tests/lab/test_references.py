"""The pages of a project's docs that are made are as they are made."""

import sys
from pathlib import Path


def test_design_file_and_commands_are_what_models_and_typer_say() -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
    import references

    pages = references.pages()
    assert len(pages) == 2
    for file, text in pages.items():
        assert file.read_text(encoding="utf-8") == text, f"{file.name}: make references"
