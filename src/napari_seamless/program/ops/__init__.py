"""Operators: one file a family, rule and kernel side by side; `table.py` lists them by torch's names."""
