"""Shipped for whoever writes a part of their own: `fakes` of the Protocols, and `conformance` checks for them.

Only `conformance` needs pytest and hypothesis.
"""
