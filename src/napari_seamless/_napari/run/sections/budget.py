"""How much memory, and what follows from it."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_seamless._napari.run.sections.section import Section, hint, set_text
from napari_seamless._napari.run.state import Snapshot
from napari_seamless._napari.widgets import BudgetEditor
from napari_seamless._napari.widgets.wording import memory


class BudgetSection(Section):
    """The memory that a run may use, what there is, and the tile that follows with its cost."""

    field = "budget"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Memory", parent)
        self.budget = BudgetEditor()
        self.there, self.follows = hint(), hint()
        self.follows.setToolTip(
            "The tile, the predicted peak of memory, the pixels that a tile reads beyond its own, its arithmetic\n"
            "as a multiple of the whole image's, and how often the run goes over the image.\n"
            "After a run on a CPU: by how much this process grew meanwhile, at most, with all else that it did;\n"
            "memory that it kept from before is used again, and is no growth."
        )
        self.add(self.budget, self.follows, self.there, self.notice)

    def showSnapshot(self, now: Snapshot) -> None:
        super().showSnapshot(now)
        if now.memory is not None:
            self.budget.setMost(now.memory.total)
        set_text(self.there, available(now))
        set_text(self.follows, consequences(now))


def available(now: Snapshot) -> str:
    """What the device has, in words; "" while nobody knows."""
    there = now.memory
    return "" if there is None else f"{there.device}: {memory(there.free)} of {memory(there.total)} free"


def consequences(now: Snapshot) -> str:
    """The tile and its cost, in words; "" while nobody knows."""
    choice, tile = now.choice, now.tile
    needed = None if choice is None else dict(choice.choices).get(tile)
    if needed is None:
        return ""
    parts = [f"tiles of {tile} px", f"peak {memory(needed)}{_found(now)}"]
    cost = now.cost
    if cost is not None and cost.tile == tile:
        parts += [f"halo {cost.halo} px", f"{cost.redundancy:.2f} × arithmetic"]
        parts += [f"{cost.passes} passes: it depends on the whole image"] if cost.passes > 1 else []
    return " · ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)


def _found(now: Snapshot) -> str:
    """What the last run took, in words: as counted on the device, or else by how much the process grew."""
    if now.peak is not None:
        return f" ({memory(now.peak)} measured)"
    return "" if now.growth is None else f" (process grew by {memory(now.growth)})"
