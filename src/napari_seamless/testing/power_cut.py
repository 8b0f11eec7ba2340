"""What a disk may hold after a power cut, at any moment of some work.

While the work goes on, a log notes the folder as it is before and after every disk call, and what is synced. A power
cut then leaves of every file, and of the names in every folder, any state between the last one that was synced and the
present one; contents may also be cut off in their middle. States of different files are independent of each other,
which is all that POSIX promises.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_seamless.testing.disk_calls import disk_calls

Content = bytes | dict[str, int]
"""Of a file, or of a folder: names and numbers of what they name."""

ROOT = 0

KINDS = ("nothing that was not synced is there", "all names are there, and no content that was not synced", "by chance")


@dataclass
class _Node:
    """A file or folder: its states since the last one that was synced, which comes first."""

    states: list[Content]


@dataclass
class PowerCutLog:
    """The states of one folder while work goes on. `images` is what a power cut may have left at each of its moments,
    without those that were there before; one thread at a time."""

    folder: Path
    seed: int = 0
    images: list[dict[str, bytes | None]] = field(default_factory=list)
    calls: int = 0

    def __post_init__(self) -> None:
        self._nodes: dict[int, _Node] = {}
        self._numbers: dict[int, int] = {}
        self._chance = random.Random(self.seed)
        self._known: set[int] = set()
        self._look(is_synced=True)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Note what this process does to the folder for as long as this lasts."""
        with disk_calls(self._before, self._after):
            yield
        self._cut()

    def _before(self, _name: str) -> None:
        self._cut()

    def _after(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.calls += 1
        self._look()
        if name == "fsync":
            number = self._numbers.get(os.fstat(arguments[0]).st_ino)
            if number is not None:
                node = self._nodes[number]
                node.states = node.states[-1:]
        self._cut()

    def _look(self, *, is_synced: bool = False) -> None:
        """Take the folder's present state in."""
        seen: dict[int, int] = {}
        self._visit(self.folder, seen, ROOT)
        self._numbers = seen
        if is_synced:
            for node in self._nodes.values():
                node.states = node.states[-1:]

    def _visit(self, path: Path, seen: dict[int, int], number: int | None = None) -> int:
        inode = path.stat().st_ino
        number = self._numbers.get(inode, number)
        if number is None:
            number = len(self._nodes)
        seen[inode] = number
        is_new = number not in self._nodes
        node = self._nodes.setdefault(number, _Node([{} if path.is_dir() else b""]))
        if path.is_dir():
            content: Content = {entry.name: self._visit(entry, seen) for entry in sorted(path.iterdir())}
        else:
            content = path.read_bytes()
        if node.states[-1] != content or is_new:
            node.states.append(content)
        return number

    def _cut(self) -> None:
        """Add what a power cut now may leave."""
        self._look()
        for choose in (self._oldest, self._newest_names, self._any):
            image: dict[str, bytes | None] = {}
            self._lay(ROOT, "", choose, image)
            mark = hash(tuple(sorted(image.items(), key=lambda item: item[0])))
            if mark not in self._known:
                self._known.add(mark)
                self.images.append(image)

    def _lay(
        self, number: int, at: str, choose: Callable[[list[Content]], Content], image: dict[str, bytes | None]
    ) -> None:
        content = choose(self._nodes[number].states)
        if isinstance(content, bytes):
            image[at] = content
            return
        if at:
            image[at] = None
        for name, inner in content.items():
            self._lay(inner, f"{at}/{name}" if at else name, choose, image)

    @staticmethod
    def _oldest(states: list[Content]) -> Content:
        return states[0]

    @staticmethod
    def _newest_names(states: list[Content]) -> Content:
        return states[0] if isinstance(states[0], bytes) else states[-1]

    def _any(self, states: list[Content]) -> Content:
        found = self._chance.choice(states)
        if isinstance(found, bytes) and len(states) > 1 and self._chance.random() < 0.3:
            return found[: len(found) // 2]
        return found


def lay_out(image: dict[str, bytes | None], folder: Path) -> None:
    """Put a folder as a power cut left it on the disk. Parents come before what is in them."""
    folder.mkdir(parents=True)
    for name, content in image.items():
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)
