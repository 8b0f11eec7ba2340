"""A real napari window for every test here, fakes behind it, and a watch for what is left over."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pytestqt.qtbot import QtBot

from docks import docked, ours

HERE = Path(__file__).parent
HAS_DISPLAY = sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
# napari remembers window sizes; a test must not depend on the last one's
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp(prefix="napari-config-")) / "settings.yaml")

if TYPE_CHECKING:
    import napari

    from gui_fakes import FakePipeline
    from napari_seamless._napari.run.dock import SeamlessDock


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gui)
            if not HAS_DISPLAY:
                item.add_marker(pytest.mark.skip(reason="needs a display: run under xvfb-run"))


LARGE = ("napari.qt", "napari_seamless.runs.start", "torch._dynamo", "torch.export._trace", "monai.networks.nets")
"""What tests here import sooner or later: a million objects, which every search for leaks would look at again."""


@pytest.fixture(scope="session", autouse=True)
def _modules_are_not_searched() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in LARGE:
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def stacks() -> str:
    """What every thread of ours is at."""
    frames, names = sys._current_frames(), set(ours())
    found = [thread for thread in threading.enumerate() if thread.name in names and thread.ident in frames]
    return "\n".join("".join(traceback.format_stack(frames[thread.ident])) for thread in found)


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    """Fails a test that leaves a thread or a window of ours behind. What a thread is at when a window closes it may end
    first: for up to a minute, since that a machine is busy is no failure."""
    yield
    deadline = time.monotonic() + 60
    while ours() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not ours(), f"threads left running: {ours()}\n{stacks()}"
    assert not top_level_widgets(), f"widgets left over: {top_level_widgets()}"


def top_level_widgets() -> list[str]:
    from qtpy.QtWidgets import QApplication

    if QApplication.instance() is None:
        return []
    gc.collect()
    QApplication.sendPostedEvents(None, 52)  # deferred deletions
    return [
        type(w).__name__ for w in QApplication.topLevelWidgets() if type(w).__module__.startswith("napari_seamless")
    ]


@pytest.fixture
def qtbot(qtbot: QtBot) -> QtBot:
    """Waits for up to a minute: that a machine is busy is no failure."""
    qtbot.waitUntil = partial(qtbot.waitUntil, timeout=60_000)  # type: ignore[method-assign]
    return qtbot


@pytest.fixture
def pipeline() -> Iterator[FakePipeline]:
    from gui_fakes import FakePipeline

    pipeline = FakePipeline()
    yield pipeline
    pipeline.gate.set()
    pipeline.load_gate.set()


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., napari.Viewer]) -> napari.Viewer:
    """A viewer with a dark picture of 600 x 800 in it; its window is not shown."""
    import numpy as np

    viewer = make_napari_viewer()
    viewer.add_image(np.full((600, 800, 3), 40, np.uint8), name="tissue")
    return viewer


@pytest.fixture
def dock(viewer: napari.Viewer, pipeline: FakePipeline) -> SeamlessDock:
    return docked(viewer, pipeline)
