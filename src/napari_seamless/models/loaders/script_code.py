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
OTHERS = bytes(set(range(256)) - set(b"".join(BRACKETS) + b"\r\n"))
NEXT_ARGUMENT = re.compile(rb",\n +(?=\w+: )")
"""The one place where torch breaks a line: between the arguments of a function's head."""
CODE = re.compile(r"[^/]+/code/.*\.py")


def code_of(archive: zipfile.ZipFile) -> list[bytes]:
    """The code of a file, each text once; of more than LONGEST bytes the first ones and one more."""
    texts, left = [], LONGEST
    for entry in archive.infolist():
        if CODE.fullmatch(entry.filename) and left >= 0:
            with archive.open(entry) as file:
                texts.append(file.read(left + 1))
            left -= len(texts[-1])
    return texts


def code_problem(texts: list[bytes]) -> str:
    """Why torch's reader may not survive the code of a file, as the end of a sentence; "" for what torch writes."""
    if sum(map(len, texts)) > LONGEST:
        return f"has more than {LONGEST >> 20} MB of code"
    if sum(text.count(b"\nclass ") for text in texts) > MOST_CLASSES or any(map(_is_deep, texts)):
        return "has code that lies too deep"
    return ""


def _is_deep(text: bytes) -> bool:
    """Whether some statement may have more than DEEPEST parts inside each other."""
    if text.count(b"elif") > MOST_BRANCHES:
        return True
    text = NEXT_ARGUMENT.sub(b", ", text)
    lines = text.splitlines()
    if max(map(len, lines), default=0) < SHORT and b"\\" not in text and _are_closed(text):
        return False
    return any(not _is_short(line) and not _is_shallow(line.strip()) for line in lines)


def _is_short(line: bytes) -> bool:
    return len(line) < SHORT and not line.endswith(b"\\") and _are_closed(line)


def _are_closed(text: bytes) -> bool:
    """Whether on each line as many brackets end as begin; of code there are few kinds of lines as to these."""
    kinds = set(text.translate(None, OTHERS).splitlines())
    return all(line.count(pair[:1]) == line.count(pair[1:]) for line in kinds for pair in BRACKETS)


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
