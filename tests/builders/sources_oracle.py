"""What the tests of sources share: random regions, and the comparison with a whole image read by another library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from napari_seamless.geometry import Region
from napari_seamless.interfaces import Pixels, Source


def random_regions(shape: Sequence[int], count: int, seed: int = 0) -> Iterator[Region]:
    """The whole image, its last pixel, and boxes of all sizes."""
    yield Region.from_shape(shape)
    yield Region.of(*((n - 1, n) for n in shape))
    rng = np.random.default_rng(seed)
    for _ in range(count):
        ends = [sorted(rng.choice(n + 1, 2, replace=False)) for n in shape]
        yield Region.of(*((int(lo), int(hi)) for lo, hi in ends))


def assert_reads_equal(source: Source, whole: Pixels, level: int = 0, count: int = 12, seed: int = 0) -> None:
    """Every random region of a level has the pixels of `whole` (c, [z,] y, x), and its type."""
    assert source.info.levels.shape(level) == whole.shape[1:]
    assert source.info.channels == len(whole)
    assert source.info.dtype == whole.dtype
    for region in random_regions(whole.shape[1:], count, seed):
        pixels = source.read(region, level)
        assert pixels.dtype == whole.dtype
        np.testing.assert_array_equal(pixels, whole[(slice(None), *region.slices())], err_msg=repr(region))


def texture(*shape: int, dtype: str = "uint8", seed: int = 0) -> Pixels:
    """Random values over the type's whole range, each pixel another one."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
