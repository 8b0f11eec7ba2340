"""Names and colours of classes are changed in place, and by one program at a time."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaozarrs
import zarr

from napari_seamless.errors import BadRequest, OutputUnwritable
from napari_seamless.interfaces import LabelClass
from napari_seamless.store import Store, StoreSpec, create_store, open_store, resume_or_create

OLD = (LabelClass(0, "background", "#000000"), LabelClass(1, "nucleus", "#ff8000"))
NEW = (LabelClass(2, "new", "#0000ff"), LabelClass(0, "nothing", "#000000"), LabelClass(1, "tumour", "#102030"))
SORTED = tuple(sorted(NEW, key=lambda c: c.value))
SPEC = StoreSpec((20, 30), None, np.dtype(np.uint8), "labels", "s", "p", chunk=8, classes=OLD, name="cells")


def commit_column(store: Store, column: int) -> None:
    region = SPEC.grid.region((0, column))
    store.write(region, np.full((1, *region.shape), 1, np.uint8))
    store.commit(region)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with create_store(tmp_path / "a.ome.zarr", SPEC) as store:
        commit_column(store, 0)
        store.report({"seconds": 3})
    return tmp_path / "a.ome.zarr"


def test_new_names_and_colours_are_there_when_it_is_opened_again(path: Path) -> None:
    open_store(path).set_classes(NEW)
    again = open_store(path)
    assert tuple(again.classes) == SORTED
    assert again.provenance["seconds"] == 3
    assert again.finished.sum() == 1
    assert again.read(SPEC.grid.region((0, 0))).all()


def test_other_programs_see_them_in_the_metadata_of_the_labels(path: Path) -> None:
    open_store(path).set_classes(NEW)
    found: Any = zarr.open_group(path, path="labels/cells", mode="r").attrs.asdict()["ome"]
    colours = {entry["label-value"]: entry["rgba"] for entry in found["image-label"]["colors"]}
    assert colours == {0: [0, 0, 0, 0], 1: [0x10, 0x20, 0x30, 255], 2: [0, 0, 255, 255]}
    assert [entry["class"] for entry in found["image-label"]["properties"]] == ["nothing", "tumour", "new"]
    yaozarrs.validate_zarr_store(str(path))
    yaozarrs.validate_zarr_store(str(path / "labels" / "cells"))


def test_a_run_that_goes_on_keeps_them(path: Path) -> None:
    with resume_or_create(path, SPEC) as store:
        commit_column(store, 1)
        store.set_classes(NEW)
        store.report({"seconds": 9})
        commit_column(store, 2)
    again = open_store(path)
    assert tuple(again.classes) == SORTED
    assert (again.provenance["seconds"], again.finished.sum()) == (9, 3)
    assert tuple(resume_or_create(path, SPEC).classes) == SORTED


def test_what_another_program_wrote_since_is_not_lost(path: Path) -> None:
    early = open_store(path)
    with resume_or_create(path, SPEC) as later:
        commit_column(later, 1)
        later.report({"seconds": 77})
    early.set_classes(NEW)
    again = open_store(path)
    assert (again.provenance["seconds"], again.finished.sum()) == (77, 2)
    assert tuple(again.classes) == SORTED


def test_a_result_in_memory_takes_them_too() -> None:
    store = create_store(None, SPEC)
    store.set_classes(NEW)
    assert tuple(store.classes) == SORTED


def test_while_another_process_writes_it_they_stay_as_they_are(path: Path) -> None:
    code = f"""
        import sys
        import numpy as np
        from napari_seamless.store import open_store
        store = open_store({str(path)!r})
        region = store.grid.region((1, 1))
        store.write(region, np.ones((1, *region.shape), np.uint8))
        store.commit(region)
        print("writing", flush=True)
        sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "writing\n"
        store = open_store(path)
        with pytest.raises(OutputUnwritable, match="written by one run at a time; another one is writing"):
            store.set_classes(NEW)
        other.communicate("")
    assert tuple(store.classes) == OLD
    open_store(path).set_classes(NEW)
    assert tuple(open_store(path).classes) == SORTED


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ((LabelClass(1, "a", "#000000"), LabelClass(1, "b", "#000000")), "a label has one class"),
        ((LabelClass(1, " ", "#000000"),), "a class has a name; got none for label 1"),
        ((LabelClass(1, "a", "red"),), "a colour of the form #rrggbb; got 'red' for a"),
    ],
)
def test_what_cannot_be_a_class_is_refused(path: Path, classes: tuple[LabelClass, ...], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        open_store(path).set_classes(classes)
    assert tuple(open_store(path).classes) == OLD


def test_images_have_no_classes() -> None:
    store = create_store(None, StoreSpec((20, 30), None, np.dtype(np.uint8), "image", "s", "p"))
    with pytest.raises(BadRequest, match="only labels have classes"):
        store.set_classes(NEW)
