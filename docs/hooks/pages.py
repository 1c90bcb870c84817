"""Add the pages that are made from the code and from the files at the repository's root."""

from collections.abc import Callable
from pathlib import Path

import command_line
import http_api
import settings
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent.parent
MADE: dict[str, Callable[[], str]] = {
    "reference/http-api.md": lambda: http_api.page(http_api.document()),
    "reference/command-line.md": command_line.page,
    "reference/configuration.md": settings.shop_page,
    "reference/settings.md": settings.service_page,
}
COPIED = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Append each page to its introduction in docs/, if there is one."""
    for uri, make in MADE.items():
        there = files.get_file_from_path(uri)
        introduction = "" if there is None else there.content_string
        if there is not None:
            files.remove(there)
        files.append(File.generated(config, uri, content=f"{introduction}\n{make()}"))
    for uri, name in COPIED.items():
        text = (ROOT / name).read_text("utf-8").replace("](docs/", "](")
        files.append(File.generated(config, uri, content=text))
    return files
