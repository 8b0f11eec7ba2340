"""The cache that counts bytes: never more than its limit, and what was used last stays."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_seamless.byte_cache import ByteCache


def of(size: int) -> np.ndarray:
    return np.zeros(size, np.uint8)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12))))
def test_it_never_holds_more_than_its_limit_and_counts_what_it_holds(puts: list[tuple[int, int]]) -> None:
    cache, held = ByteCache[np.ndarray](10), {}
    for key, size in puts:
        held[key] = of(size)
        cache.put(key, held[key])
        kept = {k: a for k in held if (a := cache.get(k)) is not None}
        assert all(held[k] is a for k, a in kept.items())
        assert cache.bytes == sum(a.nbytes for a in kept.values()) <= 10


def test_the_least_recently_used_leaves_first() -> None:
    cache = ByteCache[np.ndarray](10)
    for key in "ab":
        cache.put(key, of(5))
    assert cache.get("a") is not None
    cache.put("c", of(5))
    assert [key in cache for key in "abc"] == [True, False, True]


def test_what_alone_is_too_large_is_not_kept_and_drives_nothing_out_but_its_own_predecessor() -> None:
    cache = ByteCache[np.ndarray](10)
    for key in "ab":
        cache.put(key, of(5))
    cache.put("b", of(11))
    assert ("a" in cache, "b" in cache, cache.bytes) == (True, False, 5)
    cache.drop("a")
    cache.drop("a")
    assert cache.bytes == 0
    cache.put("a", of(3))
    cache.clear()
    assert (cache.get("a"), cache.bytes) == (None, 0)
