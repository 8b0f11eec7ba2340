"""How much larger than its file an image may be: what says more of itself is made to fill memory, or damaged."""

from __future__ import annotations

SUSPICIOUS = 2**27
"""Decoded bytes, below which nothing is looked at."""
DENSEST = 500
"""So many times the bytes of its file an image may have: a blank one that is packed well has some hundreds."""


def is_too_dense(decoded: int, stored: int) -> bool:
    """Whether so many bytes of pixels cannot honestly come from so many bytes of a file.

    >>> is_too_dense(10**9, 10**5), is_too_dense(10**7, 10)
    (True, False)
    """
    return decoded > max(SUSPICIOUS, DENSEST * stored)
