"""What a training writes down: a table that a spreadsheet opens, and TensorBoard's files where that is installed."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any

from napari_seamless.errors import OutputUnwritable
from napari_seamless.training.loop.events import LoopEvent, StepDone, Validated
from napari_seamless.training.loop.metrics import ValidationMetrics

FILE = "log.csv"
BOARD = "tensorboard"
HELD_OUT = "held_out_"


class TrainingLog:
    """One row a step, and one for each look at held-out images, in `folder`/log.csv; goes on after step `after`.

    Rows of steps after that, which a killed training had not brought into a checkpoint, are taken out first. Raises
    OutputUnwritable.
    """

    def __init__(self, folder: Path, classes: Sequence[str], after: int) -> None:
        self._path = folder / FILE
        self._columns = ["step", "loss", "rate", "seconds", *(HELD_OUT + name for name in _names(classes))]
        self._classes = classes
        self._began = monotonic()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            kept = self._rows_until(after)
            scratch = self._path.with_suffix(f".{os.getpid()}")
            with scratch.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, self._columns, extrasaction="ignore")
                writer.writeheader()
                writer.writerows(kept)
            os.replace(scratch, self._path)
            self._file = self._path.open("a", newline="", encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from error
        self._writer = csv.DictWriter(self._file, self._columns)
        self._board = _board(folder / BOARD, after)

    def add(self, event: LoopEvent) -> None:
        """Write down what is worth it."""
        match event:
            case StepDone():
                row: dict[str, object] = {"loss": event.loss, "rate": event.rate}
            case Validated():
                row = {HELD_OUT + name: value for name, value in _row(event.metrics, self._classes).items()}
            case _:
                return
        seconds = round(monotonic() - self._began, 2)
        shown = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items() if v is not None}
        try:
            self._writer.writerow({"step": event.step, "seconds": seconds, **shown})
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error
        if self._board is not None:
            for name, value in row.items():
                if isinstance(value, float) and math.isfinite(value):
                    self._board.add_scalar(name, value, event.step)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()

    def _rows_until(self, step: int) -> list[dict[str, str]]:
        if not self._path.is_file() or not step:
            return []
        with self._path.open(newline="", encoding="utf-8") as file:
            return [
                row for row in csv.DictReader(file) if (row.get("step") or "").isdecimal() and int(row["step"]) <= step
            ]

    def _unwritable(self, error: OSError) -> OutputUnwritable:
        return OutputUnwritable(
            f"a training writes its log to {self._path}; it says: {error.strerror or error}; make room, or name "
            "another output"
        )


def _names(classes: Sequence[str]) -> list[str]:
    return ["loss", "accuracy", *(f"dice_{name}" for name in classes)] if classes else ["loss", "error"]


def _row(metrics: ValidationMetrics, classes: Sequence[str]) -> Mapping[str, float | None]:
    if not classes:
        return {"loss": metrics.loss, "error": metrics.error}
    overlaps = {f"dice_{name}": value for name, value in zip(classes, metrics.dice, strict=True)}
    return {"loss": metrics.loss, "accuracy": metrics.accuracy, **overlaps}


def _board(folder: Path, after: int) -> Any:
    """TensorBoard's writer where that package is installed."""
    if find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=after + 1 if after else None)
