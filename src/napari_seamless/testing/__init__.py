"""Shipped for whoever writes a part of their own: `fakes` of the seams, and `conformance` checks for them.

Only `conformance` needs pytest and hypothesis.
"""
