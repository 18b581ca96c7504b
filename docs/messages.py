"""Make the reference of messages: every error text of the package, with its class and what to do.

Texts are read from the source, so the page has each of them; what a message names (a path, a table, a number)
stands as ``…`` there.
"""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mkdocs.structure.files import File, Files

from turso_sync_nb import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig

PACKAGE: Final = Path(errors.__file__).parent
VALUE: Final = "…"
"""Stands for what only the moment knows."""
ANY_VERB: Final = "Any first word"
CLASSES: Final = {
    name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, errors.Error)
}


@dataclass(frozen=True, order=True)
class Message:
    """One error text: ``text`` and ``hint`` with ``…`` for values, and the class."""

    text: str
    hint: str
    error: str


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    files.append(File.generated(config, "reference/messages.md", content=page()))
    return files


def page() -> str:
    """Return the page in Markdown: a table for each first word."""
    parts = [
        (
            "# Messages\n\nEvery error of this package, by its first word; `…` stands for a name or "
            "a number. In a notebook a message is one line: what went wrong and, in parentheses, what to do. "
            "Remedies for those that people meet first: [Troubleshooting](../troubleshooting.md).\n"
        )
    ]
    word = None
    for message in sorted(set(messages())):
        first = message.text.split()[0].rstrip(":")
        first = ANY_VERB if first == VALUE else first
        if first != word:
            word = first
            parts.append(f"\n## {word}\n\n| message | what to do | class |\n| --- | --- | --- |\n")
        parts.append(f"| {_cell(message.text)} | {_cell(message.hint)} | `{message.error}` |\n")
    return "".join(parts)


def messages() -> Iterator[Message]:
    """Yield the texts of all errors that ``errors.py`` defines; answers of the server are not among them."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Call) and node.args and _name(node.func) in CLASSES:
                text = _text(node.args[0], module)
                hint = next((_text(each.value, module) for each in node.keywords if each.arg == "hint"), "")
                if text.strip(" .:"):  # a text that is passed on is found where it is made
                    yield Message(text, hint, _name(node.func))


def _name(node: ast.expr) -> str:
    """Return the last part of a name, such as ``UsageError`` of ``errors.UsageError``."""
    return getattr(node, "id", getattr(node, "attr", ""))


def _text(node: ast.expr, module: str) -> str:
    """Return the text that an expression gives, with ``…`` for all that the source does not say."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text(each, module) for each in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left, module) + _text(right, module)
        case ast.IfExp(body=body, orelse=orelse):
            return " or: ".join(filter(None, (_text(body, module), _text(orelse, module))))
        case ast.Name(id=name) if name.strip("_").isupper():
            found = getattr(importlib.import_module(module), name, VALUE)
            return found if isinstance(found, str) else VALUE
    return VALUE


def _cell(text: str) -> str:
    """Return ``text`` for a cell of a table, nothing in it taken for Markdown."""
    if text in {"", VALUE}:
        return ""
    return "".join(f"\\{each}" if each in "\\`*_{}[]<>#|$~" else each for each in " ".join(text.split()))
