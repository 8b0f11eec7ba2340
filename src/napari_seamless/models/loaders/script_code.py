"""The code in a TorchScript file, before torch's own reader gets it.

That reader calls itself for each bracket or operator inside another one, and takes the process along where they lie too
deep. torch writes one short statement a line, so that deep ones are found by looking at long lines alone.
"""

from __future__ import annotations

import ast
import re
import zipfile

LONGEST = 2**23
"""Bytes of all code."""
SHORT = 200
"""Characters of a line, in which nothing can lie too deep."""
DEEPEST = 200
MOST_INDENTED, MOST_BRANCHES, MOST_CLASSES = 100, 200, 5_000
BRACKETS = (b"()", b"[]", b"{}")
NEXT_ARGUMENT = re.compile(rb",\n +(?=\w+: )")
"""The one place where torch breaks a line: between the arguments of a function's head."""
CODE = re.compile(r"[^/]+/code/.*\.py")


def code_problem(archive: zipfile.ZipFile) -> str:
    """Why torch's reader may not survive the code of a file, as the end of a sentence; "" for what torch writes."""
    code = [entry for entry in archive.infolist() if CODE.fullmatch(entry.filename)]
    if sum(entry.file_size for entry in code) > LONGEST:
        return f"has more than {LONGEST >> 20} MB of code"
    texts = [archive.read(entry) for entry in code]
    if sum(text.count(b"\nclass ") for text in texts) > MOST_CLASSES or any(map(_is_deep, texts)):
        return "has code that lies too deep"
    return ""


def _is_deep(text: bytes) -> bool:
    """Whether some statement may have more than DEEPEST parts inside each other."""
    if text.count(b"elif") > MOST_BRANCHES:
        return True
    return any(
        not _is_short(line) and not _is_shallow(line.strip()) for line in NEXT_ARGUMENT.sub(b", ", text).splitlines()
    )


def _is_short(line: bytes) -> bool:
    return (
        len(line) < SHORT
        and not line.endswith(b"\\")
        and all(line.count(pair[:1]) == line.count(pair[1:]) for pair in BRACKETS)
    )


def _is_shallow(line: bytes) -> bool:
    """A long line is looked at as Python, whose own reader knows where to stop."""
    statement = line.removeprefix(b"el") if line.startswith(b"elif") else line
    try:
        waiting: list[tuple[ast.AST, int]] = [(ast.parse(statement + b" pass" * statement.endswith(b":")), 0)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    while waiting:
        node, depth = waiting.pop()
        if depth > DEEPEST:
            return False
        waiting.extend((part, depth + 1) for part in ast.iter_child_nodes(node))
    return True
