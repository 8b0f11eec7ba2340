"""Draw the layers of the package and the imports between them, as they are: docs/images/architecture.svg.

    python docs/make_architecture.py

Rows are the layers in their order, lines the imports from one to another, thicker for more of them. What there is to
draw lies beside the picture as text, which a test compares with the sources.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "napari_seamless"
SOURCE = ROOT / "src" / PACKAGE
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
TEXT = ROOT / "docs" / "images" / "architecture.txt"

LAYERS = {
    "errors": "every way to say no, as one tree",
    "units": "one table of units of length",
    "geometry": "interval, region, tile, grid, levels: integers only",
    "interfaces": "Protocols and frozen values that cross layers",
    "durable_files": "files that a power cut finds whole or not at all",
    "file_lock": "locks by which one run at a time writes a place",
    "byte_cache": "a cache that counts bytes",
    "fingerprints": "what tells pixels and files from others",
    "program": "the traced whole-image graph: operators, demand, passes",
    "runtime": "a program on a device: engine, planning, executor",
    "io": "readers and writers, one table each",
    "postprocess": "from network output to objects, streamed, the same as on the whole image",
    "models": "loaders, networks, recipes, library, trust",
    "store": "the pyramid that fills while it is shown, its journal",
    "runs": "one image and one network: prepare, passes, result",
    "measurement": "areas, objects and intensities of results",
    "training": "gradients of whole images in tiles, losses, the loop, lessons",
    "_napari": "the only layer that knows Qt",
    "cli": "the same in a shell",
    "testing": "fakes and conformance checks that are shipped",
}
"""The layers from the top down, and what each is for."""

BELOW_ALL = ("errors", "units", "geometry", "interfaces", "durable_files", "file_lock", "byte_cache", "fingerprints")
"""What every layer may import: drawn pale."""

RUN = (
    ("io", "read"),
    ("models", "load"),
    ("program", "trace"),
    ("runtime", "compute"),
    ("store", "write"),
    ("_napari", "show"),
)
"""The way of the data in one run, that `runs` composes."""
WIDTH = 8.3
RUN_BOX = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "tab:red"}


def layer_of(path: Path) -> str:
    """The layer that a file of the package lies in."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[str]:
    """The layers that a file imports from, once for each import, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == PACKAGE else [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, _, inner = name.partition(".")
            layer = inner.partition(".")[0]
            if package == PACKAGE and layer in LAYERS:
                yield layer


def imports() -> Counter[tuple[str, str]]:
    """How many imports go from one layer to another."""
    found: Counter[tuple[str, str]] = Counter()
    for path in sorted(SOURCE.rglob("*.py")):
        layer = layer_of(path)
        if layer in LAYERS:
            found.update((layer, other) for other in imported(path) if other != layer)
    return found


def as_text(found: Counter[tuple[str, str]]) -> str:
    """A line for each layer: what it is for, and the layers that it imports."""
    lines = []
    for layer, purpose in LAYERS.items():
        others = [other for other in LAYERS if (layer, other) in found]
        lines.append(f"{layer}: {purpose}\n    imports {', '.join(others) if others else 'nothing'}\n")
    return "".join(lines)


def draw(found: Counter[tuple[str, str]], target: Path) -> None:
    """The picture."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    mpl.rcParams.update({"svg.hashsalt": PACKAGE, "svg.fonttype": "none", "font.size": 9})
    height, names = 0.62, list(LAYERS)
    row = {name: -k * 1.0 for k, name in enumerate(names)}
    colours = {name: plt.get_cmap("tab10")(k % 10) for k, name in enumerate(names)}
    figure, axes = plt.subplots(figsize=(14, 9))
    for name, purpose in LAYERS.items():
        box = (0, row[name] - height / 2)
        pale = name in BELOW_ALL
        axes.add_patch(
            FancyBboxPatch(
                box, WIDTH, height, boxstyle="round,pad=0.02", facecolor="0.95" if pale else "white", edgecolor="0.4"
            )
        )
        axes.text(0.12, row[name], name, va="center", weight="bold", color="0.2")
        axes.text(2.25, row[name], purpose, va="center", color="0.3", size=7.5)
    most = max(found.values())
    for (above, below), count in sorted(found.items(), key=lambda item: item[1]):
        y0, y1 = row[above], row[below]
        pale = below in BELOW_ALL
        axes.add_patch(
            FancyArrowPatch(
                (WIDTH + 0.05, y0),
                (WIDTH + 0.05, y1),
                connectionstyle=f"arc3,rad={0.5 + 0.012 * abs(y1 - y0)}",
                arrowstyle="-|>,head_width=2.5,head_length=4",
                linewidth=0.4 + 4.5 * (count / most) ** 0.6,
                color="0.85" if pale else colours[above],
                alpha=0.9 if pale else 0.75,
                shrinkA=0,
                shrinkB=1,
                zorder=1 if pale else 2,
            )
        )
    _draw_run(axes, row)
    axes.set_xlim(-6.2, 13.4)
    axes.set_ylim(row[names[-1]] - 0.9, 0.9)
    axes.axis("off")
    axes.text(-6.0, 0.65, "the data of one run", color="tab:red", size=9)
    axes.text(8.4, 0.65, f"imports, upwards only (pale: of the first {len(BELOW_ALL)})", color="0.4", size=9)
    figure.savefig(target, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def _draw_run(axes: object, row: dict[str, float]) -> None:
    """The way of the data, numbered, on the left."""
    from matplotlib.axes import Axes
    from matplotlib.patches import FancyArrowPatch

    assert isinstance(axes, Axes)
    places = [(-5.6 + 0.95 * k, row[layer]) for k, (layer, _) in enumerate(RUN)]
    for k, ((x, y), (_, what)) in enumerate(zip(places, RUN, strict=True)):
        axes.plot([x, 0], [y, y], color="tab:red", linewidth=0.6, linestyle=":", zorder=0)
        axes.text(x, y, f"{k + 1} {what}", ha="center", va="center", color="tab:red", size=8, bbox=RUN_BOX, zorder=3)
    for one, two in pairwise(places):
        axes.add_patch(
            FancyArrowPatch(
                one,
                two,
                arrowstyle="-|>,head_width=3,head_length=5",
                color="tab:red",
                linewidth=1.2,
                shrinkA=9,
                shrinkB=9,
                zorder=2,
            )
        )


if __name__ == "__main__":
    now = imports()
    TEXT.write_text(as_text(now), encoding="utf-8")
    draw(now, PICTURE)
