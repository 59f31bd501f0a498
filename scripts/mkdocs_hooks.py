"""What mkdocs.yml has mkdocs do beside: README.md and CHANGELOG.md are pages, with the project's pictures and style."""

from pathlib import Path

from mkdocs.structure.files import File, Files

DOCS = "<<cookiecutter.project>>/docs"


def on_files(files: Files, config) -> Files:
    top = Path(config.config_file_path).parent
    quoted = f"{DOCS}/pictures".replace("<", "%3C").replace(">", "%3E")
    for source, target in {"README.md": "index.md", "CHANGELOG.md": "CHANGELOG.md"}.items():
        text = (top / source).read_text(encoding="utf-8").replace(f"]({quoted}/", "](pictures/")
        files.append(File.generated(config, target, content=text.replace("](docs/", "](")))
    for file in (top / DOCS / "site.css", *sorted((top / DOCS / "pictures").iterdir())):
        name = file.relative_to(top / DOCS).as_posix()
        files.append(File.generated(config, name, content=file.read_bytes()))
    return files
