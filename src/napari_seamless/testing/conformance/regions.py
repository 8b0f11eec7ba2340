"""Regions for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from napari_seamless.geometry import Region


@st.composite
def regions_inside(draw: st.DrawFn, shape: tuple[int, ...]) -> Region:
    """A region of at least one pixel inside a level of this shape."""
    bounds = []
    for n in shape:
        lo = draw(st.integers(0, n - 1))
        bounds.append((lo, draw(st.integers(lo + 1, n))))
    return Region.of(*bounds)
