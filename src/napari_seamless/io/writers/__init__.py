"""A finished store as something else: one module a format, all of them in the table of `formats.py`."""
