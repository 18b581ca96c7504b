"""Make the pages of the site that are written elsewhere: README, architecture, notebooks, magics, server.

Each fact stands once in the repository; the site shows it without a copy. ``TSN_DOCS_EXECUTE=1`` runs the
notebooks, so that their pages have outputs.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import nbformat
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

from turso_sync_nb.jupyter.subcommands import SUBCOMMANDS
from turso_sync_nb.server import command

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

ROOT: Final = Path(__file__).parent.parent
COPIED: Final = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "explanation/architecture.md",
    "CHANGELOG.md": "explanation/changelog.md",
}
NOTEBOOK_SECONDS_MAX: Final = 120
"""Seconds that one notebook may run: each takes less than 10 here."""
IMAGE_TYPES: Final = {".png", ".svg"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for source, target in COPIED.items():
        files.append(File.generated(config, target, content=_relinked((ROOT / source).read_text(), target)))
    files.append(File.generated(config, "reference/magics.md", content=magics()))
    files.append(File.generated(config, "reference/server.md", content=server()))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        _add_notebook(files, config, path)
    return files


def magics() -> str:
    """Return the reference of the magics, from the table that parses them."""
    parts = [
        (
            "# Magics\n\n`%load_ext turso_sync_nb` brings them. "
            "`%turso_sync help NAME` shows the same in a notebook.\n"
        )
    ]
    for each in SUBCOMMANDS.values():
        parts.append(f"## {each.name}\n\n    {each.grammar.usage}\n\n{each.summary.capitalize()}.\n")
        if each.grammar.options:
            rows = [
                f"| `{', '.join(option.flags)} {option.value}".rstrip() + f"` | {option.help} |"
                for option in each.grammar.options
            ]
            parts.append("\n".join(["| option | |", "| --- | --- |", *rows]) + "\n")
    return "\n".join(parts)


def server() -> str:
    """Return the reference of the server's command, from its parser."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        command.main(["serve", "--help"])
    return (
        f"# Server\n\n```text\n{said.getvalue()}```\n\n## In Python\n\n"
        "::: turso_sync_nb.server.LocalServer\n\n::: turso_sync_nb.server.network.Network\n"
    )


def _relinked(text: str, target: str) -> str:
    """Return ``text`` with links from the repository's root made links from ``target``."""
    up = "../" * target.count("/")
    text = re.sub(r"\]\(docs/", f"]({up}", text)
    for source, page in COPIED.items():
        text = text.replace(f"]({source})", f"]({up}{page})")
    return text.replace("[MIT](LICENSE)", "MIT")


def _add_notebook(files: Files, config: MkDocsConfig, path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    if os.environ.get("TSN_DOCS_EXECUTE"):
        NotebookClient(
            notebook, timeout=NOTEBOOK_SECONDS_MAX, resources={"metadata": {"path": str(path.parent)}}
        ).execute()
    body, resources = MarkdownExporter().from_notebook_node(notebook)
    for name, data in resources["outputs"].items():
        if Path(name).suffix in IMAGE_TYPES:
            unique = f"{path.stem}_{name}"
            body = body.replace(f"({name})", f"({unique})")
            files.append(File.generated(config, f"tutorial/{unique}", content=data))
    files.append(File.generated(config, f"tutorial/{path.stem}.md", content=body))
