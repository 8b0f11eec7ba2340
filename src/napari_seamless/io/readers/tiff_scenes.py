"""The images of a TIFF file that are to be told from each other: pages of their own, and not levels of another.

Of scanners' files only the slide itself is one: their dialects say which page that is. Elsewhere the largest image is
taken where nobody chose, since a small one in front is a thumbnail, and all are listed.
"""

from __future__ import annotations

from math import prod

from napari_seamless.io.readers.scenes import Scene, chosen, unique
from napari_seamless.io.readers.tiff_parsed import Series, TiffImages

PLAIN = ("generic", "uniform", "shaped", "imagej")
SETS = ("ome", "lsm", "zis")
"""Kinds whose images have names of their own."""


def scene_of(images: TiffImages, scene: Scene, file: str) -> tuple[int, tuple[int, ...], tuple[str, ...]]:
    """Which series is meant; and the series that are images of their own, and their names. Raises BadRequest."""
    if images.kinds[0] in SETS:
        numbers = tuple(range(len(images)))
        names = unique(images.names)
    elif images.kinds[0] in PLAIN and len(images) > 1:
        main = _largest(images, tuple(range(len(images))))
        slide = images[main]
        others = (n for n in range(len(images)) if n != main)
        numbers = tuple(sorted((main, *(n for n in others if not _belongs_to(images[n], slide, images)))))
        names = unique([" x ".join(map(str, images[n].directory.shaped[2:4])) for n in numbers])
    else:
        numbers, names = (0,), (file,)
    at = numbers.index(_largest(images, numbers)) if scene is None else chosen(scene, names, file)
    return numbers[at], numbers, names


def loose_levels(images: TiffImages, number: int) -> list[Series]:
    """Pages that may be levels although tifffile has not put them with that one (steps other than 2, 3 or 4).

    They say that they are reduced, or are tiled pages of a file without any dialect.
    """
    kind = images.kinds[0]
    if kind not in ("generic", "uniform", "shaped"):
        return []
    plain = kind == "generic"
    others = (images[n] for n in range(len(images)) if n != number)
    return [s for s in others if s.directory.is_reduced or (plain and s.directory.is_tiled)]


def stored_alike(level: Series, base: Series) -> bool:
    """Same type and axes, and a page of its own is tiled when the finest level is (a thumbnail often is not)."""
    tiling = level.directory.is_subifd or level.directory.is_tiled == base.directory.is_tiled
    return tiling and level.dtype == base.dtype and len(level.axes) == len(base.axes)


def shrunk_alike(shape: tuple[int, ...], finest: tuple[int, ...]) -> bool:
    """Whether y and x are shorter by the same factor, to within a pixel and one percent."""
    (h0, w0), (h, w) = finest, shape
    slack = 1 + 0.01 * w
    return h <= h0 and w <= w0 and abs(h / h0 * w0 - w) <= slack + w0 / h0


def pages_told(name: str, series: Series, axes: str | None) -> tuple[str, ...]:
    """What to say where pages are taken for channels because they are few."""
    unnamed = [n for a, n in zip(series.axes, series.shape, strict=True) if n > 1 and a not in "CZTSYX"]
    if axes is not None or not unnamed:
        return ()
    return (
        f"{name} does not say what its {unnamed[0]} pages of one size are; they are read as channels; say it "
        'otherwise, for example axes="zyx" (--axes zyx)',
    )


def _largest(images: TiffImages, numbers: tuple[int, ...]) -> int:
    """The first of those with the most pixels in a plane."""
    return max(numbers, key=lambda n: (prod(images[n].directory.shaped[2:4]), -n))


def _belongs_to(series: Series, slide: Series, images: TiffImages) -> bool:
    """Whether a page is a level of the slide, or says that it is a smaller picture of another page."""
    if series.directory.is_reduced:
        return True
    shapes = series.directory.shaped[2:4], slide.directory.shaped[2:4]
    is_tiled = images.kinds[0] == "generic" and series.directory.is_tiled
    return is_tiled and stored_alike(series, slide) and shapes[0] != shapes[1] and shrunk_alike(*shapes)
