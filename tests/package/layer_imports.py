"""What modules of the package import, wherever in them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "napari_seamless"
SOURCE = Path(__file__).parents[2] / "src" / PACKAGE


def imports(tree: ast.Module, parts: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and full name of all that a module imports, wherever in it."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from ((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom():
                package = (PACKAGE, *parts)[: -node.level or None] if node.level else ()
                base = ".".join((*package, *([node.module] if node.module else [])))
                for alias in node.names:
                    yield node.lineno, f"{base}.{alias.name}" if base == PACKAGE else base
            case ast.Call(func=ast.Name(id="import_module" | "__import__"), args=[ast.Constant(value=str(name)), *_]):
                yield node.lineno, name
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name)), *_]):
                yield node.lineno, name
