"""What would happen in a run, and why, as a value that is also a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat

from napari_seamless.geometry import Region
from napari_seamless.program.divisor import Divisor, described
from napari_seamless.program.saved_activations import ActivationPlan
from napari_seamless.runtime.planning import TileChoice, readable

WHERE = {"device": "on the device", "host": "in host memory", "disk": "on disk"}


@dataclass(frozen=True)
class Explanation:
    """How a model would be run on an image; `str()` is a text for a terminal.

    `halo` is (before, after) in input pixels and `stride` in output pixels, one an axis. `redundancy` is the
    multiply-adds of a tile per output pixel, as a multiple of the whole image's (`macs_per_pixel`). `tiles` are those
    that touch the `region`, in output pixels, that was asked about (None: everything), and the roi. A model with
    `refusals` is not run exactly; `instead` says what would be run if one asks for an approximate result, and the rest
    is None or empty then. `statistics` says what those of norms over the plane are of, where that is not the image.
    """

    model: str
    image: str
    input_shape: tuple[int, ...]
    operators: dict[str, int]
    refusals: tuple[str, ...]
    instead: tuple[str, ...] = ()
    output_shape: tuple[int, ...] = ()
    region: Region | None = None
    output_dtype: str = ""
    divisor: Divisor = 1
    halo: tuple[tuple[int, int], ...] = ()
    stride: tuple[int, ...] = ()
    choice: TileChoice | None = None
    tiles: int = 0
    passes: int = 0
    barriers: dict[str, int] = field(default_factory=dict)
    kept: str = ""
    macs_per_pixel: float = 0.0
    redundancy: float = 0.0
    device: str = ""
    precision: str = "float32"
    notices: tuple[str, ...] = ()
    statistics: str = ""

    @property
    def is_exact(self) -> bool:
        """Whether it can be run, exactly, tile by tile."""
        return not self.refusals and not self.instead

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        axes = "zyx"[-(len(self.input_shape) - 2) :]
        yield f"model        {self.model}"
        _, channels, *sizes = self.input_shape
        yield f"image        {self.image}, {times(sizes)} ({' x '.join(axes)}), {channels} channels"
        if self.operators:
            yield f"operators    {', '.join(f'{_short(name)} {count}' for name, count in self.operators.items())}"
        if self.is_exact:
            yield from self._result()
            yield from self._tiles(axes)
            yield from self._passes()
        else:
            yield from self._refusal()

    def _refusal(self) -> Iterator[str]:
        if self.refusals:
            yield "refused      tile by tile it cannot be the same as on the whole image:"
            yield from (f"             {r}" for r in self.refusals)
        if self.statistics:
            yield f"statistics   {self.statistics}"
        yield from (f"notice       {notice}" for notice in self.notices)
        names = chain(["approximate"], repeat(""))
        yield from (f"{name:<13}{line}" for name, line in zip(names, self.instead, strict=False))

    def _result(self) -> Iterator[str]:
        yield f"output       {times(self.output_shape)} {self.output_dtype}"
        if self.region is not None:
            yield f"region       {times(self.region.shape)} of it, {self.region!r}"
        if self.precision != "float32":
            yield f"precision    {self.precision}: rounded; a run says how far it is from float32"
        yield from (f"notice       {notice}" for notice in self.notices)
        if self.divisor != 1:
            yield (
                f"padding      the network wants sizes divisible by {described(self.divisor)}: the far edges are "
                "padded by reflection and the output is cropped"
            )

    def _tiles(self, axes: str) -> Iterator[str]:
        sides = ", ".join(
            f"{a} {before} before and {after} after" for a, (before, after) in zip(axes, self.halo, strict=True)
        )
        yield f"halo         {sides} (input pixels)"
        if self.barriers and not self.statistics:
            yield "reach        the whole image, through its barriers; beside that, the halo"
        yield f"stride       {times(self.stride)} output pixels"
        assert self.choice is not None
        depth = f" x {self.choice.depth} deep" if self.choice.depth else ""
        yield (
            f"tile         {self.choice.tile} x {self.choice.tile}{depth}: {readable(self.choice.bytes)} of a budget "
            f"of {readable(self.choice.budget)} on {self.device}; {self.tiles} tiles"
        )

    def _passes(self) -> Iterator[str]:
        if self.barriers:
            norms = ", ".join(f"{_short(name)} {count}" for name, count in self.barriers.items())
            yield f"barriers     {norms}: {self.statistics or 'measured over the whole image first'}"
        yield f"passes       {self.passes}{f'; between them {self.kept}' if self.passes > 1 else ''}"
        yield (
            f"arithmetic   {self.macs_per_pixel:,.0f} multiply-adds per output pixel, "
            f"{self.redundancy:.2f} times that in tiles"
        )


def kept_in_words(plan: ActivationPlan) -> str:
    """What a plan of saved activations keeps between passes."""
    if not plan.after:
        return "nothing is kept: each pass begins at the image"
    tiers = " and ".join(f"{readable(size)} {WHERE[tier]}" for tier, size in plan.most.items())
    return f"at most {tiers} are kept"


def times(sizes: Sequence[int]) -> str:
    return " x ".join(str(n) for n in sizes)


def _short(name: str) -> str:
    return name.removeprefix("aten.").removesuffix(".default")
