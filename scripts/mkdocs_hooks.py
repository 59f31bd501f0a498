"""What mkdocs.yml has mkdocs do beside: README.md and CHANGELOG.md are pages, and the project's pictures are theirs."""

from pathlib import Path

from mkdocs.structure.files import File, Files

PICTURES = "<<cookiecutter.project>>/docs/pictures"


def on_files(files: Files, config) -> Files:
    top = Path(config.config_file_path).parent
    quoted = PICTURES.replace("<", "%3C").replace(">", "%3E")
    for source, target in {"README.md": "index.md", "CHANGELOG.md": "CHANGELOG.md"}.items():
        text = (top / source).read_text(encoding="utf-8").replace(f"]({quoted}/", "](pictures/")
        files.append(File.generated(config, target, content=text.replace("](docs/", "](")))
    for picture in sorted((top / PICTURES).iterdir()):
        files.append(File.generated(config, f"pictures/{picture.name}", content=picture.read_bytes()))
    return files
