"""The lines of docs/training-systems.md run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

TEXT = (Path(__file__).parents[2] / "docs" / "training-systems.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
SHAPES = [(20, 30), (33, 18), (25, 25)]


def names(block: int) -> dict[str, object]:
    """What a block takes for granted."""
    torch.manual_seed(0)
    if block == 0:
        return {"shapes": SHAPES, "dataset": [(torch.rand(3, *shape), k) for k, shape in enumerate(SHAPES)]}
    if block == 1:
        encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        optimizer = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=0.1)
        images = torch.rand(2, 3, 300, 500)
        targets = torch.ones(2, dtype=torch.int64)
        return {"encoder": encoder, "head": head, "optimizer": optimizer, "images": images, "targets": targets}
    square = torch.ones(1, 8, 8).long()
    return {"network": nn.Conv2d(3, 2, 1), "pixels": torch.rand(1, 3, 8, 8), "targets": square, "instances": square}


@pytest.mark.parametrize(("block", "result"), [(0, "batch"), (1, "answers"), (2, "loss")])
def test_the_lines_run(block: int, result: str) -> None:
    known = names(block)
    exec(compile(BLOCKS[block], "training-systems.md", "exec"), known)
    assert known[result] is not None
    assert len(BLOCKS) == 3
