"""The table of operators: each family is one file, found in one order, and states nothing that another has."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from napari_seamless.program import ops
from napari_seamless.program.ops.decomposed import DECOMPOSED
from napari_seamless.program.ops.operation import Operation, resolve
from napari_seamless.program.ops.table import OPERATORS, families

FOLDER = Path(ops.__path__[0])


def test_the_families_are_the_files_that_have_a_table_in_the_order_of_their_names() -> None:
    having = sorted(path.stem for path in FOLDER.glob("*.py") if "\nOPERATORS" in path.read_text())
    assert list(families()) == [name for name in having if name != "table"]


def test_the_table_is_the_same_in_every_process() -> None:
    code = "from napari_seamless.program.ops.table import OPERATORS; print(*OPERATORS)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(OPERATORS)


def test_no_operator_is_stated_twice() -> None:
    named = Counter([name for table in families().values() for name in table] + list(DECOMPOSED))
    assert [name for name, times in named.items() if times > 1] == []


def test_every_operator_of_the_table_is_one_of_torchs() -> None:
    """But for names that only other versions of torch have, whose packet is known."""
    ours = [name for name in OPERATORS if name.startswith("aten.")]
    assert [name for name in ours if not hasattr(torch.ops.aten, name.split(".")[1])] == []
    assert str(resolve("aten.relu.default")) == "aten.relu.default"


def test_a_new_operation_has_a_safe_answer_to_everything() -> None:
    class Plain(Operation):
        def demand(self, *what: object) -> tuple[None]:
            del what
            return (None,)

        def run(self, *what: object) -> torch.Tensor:
            del what
            return torch.ones(1)

    plain = Plain()
    assert (plain.memory, plain.low_precision, plain.activation) == ("own", "float32", None)
    assert not any((plain.can_overwrite, plain.copies_parts, plain.is_copy, plain.stops_gradient))
    assert plain.channel_affine({}) is None
    assert plain.then_affine(torch.ones(1), torch.ones(1), {}, "") is None
    assert plain.in_dtype(torch.bfloat16, str) is plain
    with pytest.raises(NotImplementedError, match="Plain cannot be computed in place"):
        plain.overwrite([], {}, ())
