"""Masks of any format as the classes that a training file names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import InputMismatch
from napari_seamless.geometry import Region
from napari_seamless.training.data.examples import IGNORED
from napari_seamless.training.from_files.files import OpenFiles
from napari_seamless.training.from_files.training_file import OTHERS, ClassEntry

Indices = NDArray[np.int64]
JPEG = (".jpg", ".jpeg")


class MaskValues:
    """From values in masks to the indices of classes; colours count as one number, 0xrrggbb. Frozen, any thread."""

    def __init__(self, classes: Sequence[ClassEntry], ignore: Sequence[int | str]) -> None:
        meant: dict[int, int] = {}
        self.others: int | None = None
        given = [(k, v) for k, one in enumerate(classes) for v in _values(one)] + [(IGNORED, v) for v in ignore]
        self.in_colour = any(isinstance(v, str) and v != OTHERS for _, v in given)
        for index, value in given:
            if value == OTHERS:
                if self.others is not None:
                    raise InputMismatch("only one class can have all other values of masks; two have mask = 'others'")
                self.others = index
                continue
            number = int(value[1:], 16) if isinstance(value, str) else value
            if number in meant:
                raise InputMismatch(f"a value of masks belongs to one class; {value} is named twice; name it once")
            meant[number] = index
        self._values = np.array(sorted(meant), np.int64)
        self._indices = np.array([meant[int(v)] for v in self._values], np.int64)

    def indices(self, values: NDArray[Any], name: str, at: Sequence[int]) -> Indices:
        """The class of each value of a mask (c, [z,] y, x). Raises InputMismatch where one is of no class.

        `name` is the mask's, and `at` where the values begin in it.
        """
        numbers = self._numbers(values, name)
        place = np.searchsorted(self._values, numbers).clip(max=len(self._values) - 1)
        known = self._values[place] == numbers
        found: Indices = self._indices[place]
        if known.all():
            return found
        if self.others is not None:
            return np.where(known, found, self.others)
        first = np.argwhere(~known)[0]
        value = int(numbers[tuple(first)])
        where = ", ".join(f"{axis} {int(i) + o}" for axis, i, o in zip("zyx"[-len(first) :], first, at, strict=True))
        raise InputMismatch(
            f"a mask holds values of the classes, {', '.join(self._text(int(v)) for v in self._values)} here; {name} "
            f"holds {self._text(value)} (at {where}); name it in a class' mask or in ignore, or correct the mask"
            f"{' (JPEG changes values: use PNG or TIFF)' if name.lower().endswith(JPEG) else ''}"
        )

    def _text(self, number: int) -> str:
        return f"#{number:06x}" if self.in_colour else str(number)

    def _numbers(self, values: NDArray[Any], name: str) -> Indices:
        """One number a pixel."""
        if values.dtype.kind == "f" and not (values == np.round(values)).all():
            raise InputMismatch(f"a mask holds whole numbers; {name} holds others; train on values with loss = 'mse'")
        if self.in_colour:
            if len(values) != 3:
                raise InputMismatch(
                    f"classes are named by colours, so that masks have three channels; {name} has {len(values)}; name "
                    "numbers instead"
                )
            red, green, blue = values.astype(np.int64)
            packed: Indices = (red << 16) + (green << 8) + blue
            return packed
        if len(values) > 1 and not (values == values[:1]).all():
            raise InputMismatch(
                f"classes are named by numbers, so that masks have one channel; {name} has {len(values)} that differ; "
                "name colours as '#rrggbb' instead (as which a palette is read, too)"
            )
        numbers: Indices = values[0].astype(np.int64)
        return numbers


def _values(one: ClassEntry) -> tuple[int | str, ...]:
    match one.mask:
        case None:
            return (one.value,)
        case tuple():
            return one.mask
        case _:
            return (one.mask,)


class MaskTarget:
    """A mask as an array of class indices ([z,] y, x) that is read where it is sliced."""

    def __init__(self, files: OpenFiles, path: str, shape: tuple[int, ...], values: MaskValues) -> None:
        self._files, self._path, self.shape, self._values = files, path, shape, values

    def __getitem__(self, at: Any) -> Indices:
        region = Region.of(*((s.start, s.stop) for s in at[-len(self.shape) :]))
        values = self._files.source(self._path).read(region)
        return self._values.indices(values, self._files.name(self._path), region.start)


class ValueTarget:
    """An image of values (k, [z,] y, x), float32, that is read where it is sliced."""

    def __init__(self, files: OpenFiles, path: str, shape: tuple[int, ...]) -> None:
        self._files, self._path, self.shape = files, path, shape

    def __getitem__(self, at: Any) -> NDArray[np.float32]:
        region = Region.of(*((s.start, s.stop) for s in at[-(len(self.shape) - 1) :]))
        return self._files.source(self._path).read(region).astype(np.float32)
