"""What mkdocs.yml has mkdocs do beside: the pages at the project's top are part of the site, where they lie."""

import re
from pathlib import Path

from mkdocs.structure.files import File, Files

PAGES = {"README.md": "index.md", "SECURITY.md": "SECURITY.md", "AGENTS.md": "AGENTS.md"}


def on_files(files: Files, config):
    """Adds them, with links as they are from inside of docs/."""
    top = Path(config.config_file_path).parent
    for source, target in PAGES.items():
        text = re.sub(r"\]\((?:docs/)", "](", (top / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, target, content=text))
    return files


def on_page_markdown(markdown: str, page, config, files):
    """A link from docs/ to the project's top stays one, inside of the site."""
    return re.sub(r"\]\(\.\./(README|SECURITY|AGENTS)\.md", lambda found: f"]({PAGES[found[1] + '.md']}", markdown)
