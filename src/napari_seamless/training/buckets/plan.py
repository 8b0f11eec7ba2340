"""Which images of different shapes share a batch: buckets in buckets.

A batch is one array, so its images are padded to the largest of them; what is padded is computed for nothing. Images of
like shape should therefore meet. Parés et al. (Size & Shape Matters, 2021) and Fourkioti (master thesis, UPC 2019) sort
twice::

    by pixel count   |  super-bucket 0   |     super-bucket 1     |   super-bucket 2   |
    by aspect ratio  | wide | square|tall| wide |   square  | tall| wide |square| tall |

Images of one super-bucket cost about the same memory, so its batches are about as large; inside it, images of one
aspect ratio leave little to pad. Both kinds of boundary begin at equal counts and are then moved, one at a time and by
ever smaller steps, as long as that lowers the pixels of all images padded to their bucket's height and width. How many
images make a batch follows from the memory budget.

Nothing here knows torch. Sizes are (height, width) in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest, BudgetTooSmall

Shape = tuple[int, int]
Cost = Callable[[int, int], int]
FINEST = 128
"""The last step by which a boundary of super-buckets is moved is this share of an even part."""


@dataclass(frozen=True)
class Bucket:
    """Images of like shape: their numbers, and how many of them make a batch.

    `pixels` and `aspects` are the smallest and the largest pixel count and height / width of them.
    """

    images: tuple[int, ...]
    batch: int
    pixels: tuple[int, int]
    aspects: tuple[float, float]


@dataclass(frozen=True)
class BucketPlan:
    """Every image in one bucket; `supers` are the super-buckets, small images first, buckets wide ones first.

    A batch is padded to multiples of `stride` and takes at most `budget` bytes at `bytes_per_pixel`.
    """

    shapes: tuple[Shape, ...]
    supers: tuple[tuple[Bucket, ...], ...]
    stride: int
    budget: int
    bytes_per_pixel: float

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """All buckets, super-bucket by super-bucket."""
        return tuple(bucket for inner in self.supers for bucket in inner)

    def padded(self, images: Sequence[int]) -> Shape:
        """Height and width that a batch of these images has."""
        return padded_shape([self.shapes[i] for i in images], self.stride)

    def bytes_of(self, images: Sequence[int]) -> int:
        """Predicted bytes of a training step on a batch of these images."""
        height, width = self.padded(images)
        return round(len(images) * height * width * self.bytes_per_pixel)

    def padding(self, batches: Sequence[Sequence[int]]) -> float:
        """Share of the pixels of all these batches that is padding, 0 to 1."""
        return padding_share(self.shapes, batches, self.stride)


def plan_buckets(
    shapes: Sequence[Shape],
    *,
    budget: int,
    bytes_per_pixel: float,
    supers: int = 6,
    buckets: int = 6,
    stride: int = 1,
    largest_batch: int | None = None,
) -> BucketPlan:
    """Put images into at most `supers` super-buckets of at most `buckets` buckets each.

    Parameters
    ----------
    shapes
        (height, width) of every image, in pixels; an image's number is its place here.
    budget
        Bytes that a training step on one batch may take beside weights.
    bytes_per_pixel
        Bytes that a training step takes for each pixel of a batch; `buckets.bytes_per_pixel` finds it.
    stride
        Batches are padded to multiples of this.
    largest_batch
        At most so many images a batch, whatever the budget allows.

    Raises
    ------
    BadRequest
        No images, a size below 1, a parameter below 1.
    BudgetTooSmall
        Not even a batch of one image fits; names that image.
    """
    counts = {"supers": supers, "buckets": buckets, "stride": stride, "largest_batch": largest_batch or 1}
    _refuse_what_cannot_be(shapes, counts, bytes_per_pixel)
    sizes = np.array([padded_shape([s], stride) for s in shapes], dtype=np.int64)  # (images, 2)
    _refuse_too_large(sizes, shapes, budget, bytes_per_pixel)
    order = np.lexsort((sizes[:, 1], sizes[:, 0], sizes.prod(axis=1)))
    known: dict[tuple[int, int], tuple[list[NDArray[np.int64]], int]] = {}

    def inside(low: int, high: int) -> tuple[list[NDArray[np.int64]], int]:
        if (low, high) not in known:
            known[low, high] = _by_aspect(order[low:high], sizes, buckets)
        return known[low, high]

    finest = max(1, len(order) // (supers * FINEST))
    edges = settled(len(order), supers, lambda low, high: inside(low, high)[1], finest)
    capacity = budget / bytes_per_pixel
    return BucketPlan(
        tuple((int(h), int(w)) for h, w in shapes),
        tuple(
            tuple(_bucket(images, shapes, sizes, capacity, largest_batch) for images in inside(low, high)[0])
            for low, high in pairwise(edges)
        ),
        stride,
        budget,
        bytes_per_pixel,
    )


def settled(count: int, parts: int, cost: Cost, finest: int = 1) -> list[int]:
    """Boundaries of at most `parts` runs of `count` things in a row, moved until no step lowers the sum of `cost`.

    They begin evenly; steps are halved down to `finest`. Runs are never empty; 0 and `count` are boundaries.
    """
    parts = min(parts, count)
    edges = [count * k // parts for k in range(parts + 1)]
    step = max(finest, count // (2 * parts))
    while step >= finest:
        if not _moved(edges, step, cost):
            step //= 2
    return edges


def _moved(edges: list[int], step: int, cost: Cost) -> bool:
    """Move each inner boundary by `step` either way where that is cheaper; whether any moved."""
    moved = False
    for k in range(1, len(edges) - 1):
        low, here, high = edges[k - 1 : k + 2]
        best = cost(low, here) + cost(here, high)
        for there in (here - step, here + step):
            if low < there < high and (new := cost(low, there) + cost(there, high)) < best:
                edges[k], best, moved = there, new, True
    return moved


def padded_shape(shapes: Sequence[Shape], stride: int = 1) -> Shape:
    """The largest height and the largest width, each rounded up to a multiple of `stride`."""
    height, width = (max(s[axis] for s in shapes) for axis in (0, 1))
    return -(-height // stride) * stride, -(-width // stride) * stride


def padding_share(shapes: Sequence[Shape], batches: Sequence[Sequence[int]], stride: int = 1) -> float:
    """Share of the pixels of batches that belongs to no image, 0 to 1."""
    total = real = 0
    for images in batches:
        members = [shapes[i] for i in images]
        height, width = padded_shape(members, stride)
        total += len(images) * height * width
        real += sum(h * w for h, w in members)
    return 1 - real / total


def _by_aspect(
    images: NDArray[np.int64], sizes: NDArray[np.int64], buckets: int
) -> tuple[list[NDArray[np.int64]], int]:
    """The images in runs of like aspect ratio, wide ones first, and the pixels they have when padded to their run."""
    heights, widths = sizes[images].T
    order = np.lexsort((heights, heights / widths))
    heights, widths = heights[order], widths[order]

    def cost(low: int, high: int) -> int:
        return int((high - low) * heights[low:high].max() * widths[low:high].max())

    edges = settled(len(images), buckets, cost)
    runs = [images[order[low:high]] for low, high in pairwise(edges)]
    return runs, sum(cost(low, high) for low, high in pairwise(edges))


def _bucket(
    images: NDArray[np.int64],
    shapes: Sequence[Shape],
    sizes: NDArray[np.int64],
    capacity: float,
    largest_batch: int | None,
) -> Bucket:
    height, width = sizes[images].max(axis=0)
    batch = max(1, int(capacity // int(height * width)))
    counts = [shapes[i][0] * shapes[i][1] for i in images]
    aspects = [shapes[i][0] / shapes[i][1] for i in images]
    return Bucket(
        tuple(sorted(int(i) for i in images)),
        min(batch, largest_batch or batch),
        (min(counts), max(counts)),
        (min(aspects), max(aspects)),
    )


def _refuse_what_cannot_be(shapes: Sequence[Shape], counts: dict[str, int], bytes_per_pixel: float) -> None:
    if not len(shapes):
        raise BadRequest("a plan of batches needs at least one image; got none; give the (height, width) of each")
    for number, shape in enumerate(shapes):
        if len(shape) != 2 or min(shape) < 1:
            raise BadRequest(
                f"an image's shape must be a height and a width of at least 1 pixel; image {number} has "
                f"{tuple(shape)}; leave it out or read it again"
            )
    for name, value in counts.items():
        if value < 1:
            raise BadRequest(f"{name} must be at least 1; got {value}; use 1 or more")
    if not bytes_per_pixel > 0:
        raise BadRequest(f"bytes_per_pixel must be above 0; got {bytes_per_pixel}; measure it with bytes_per_pixel()")


def _refuse_too_large(sizes: NDArray[np.int64], shapes: Sequence[Shape], budget: int, bytes_per_pixel: float) -> None:
    needed = sizes.prod(axis=1) * bytes_per_pixel
    worst = int(needed.argmax())
    if needed[worst] > budget:
        height, width = shapes[worst]
        raise BudgetTooSmall(
            f"the budget must hold a batch of the largest image alone; image {worst} of {height} x {width} pixels "
            f"needs {int(-(-needed[worst] // 1))} bytes, got {budget}; raise the budget or shrink the image"
        )
