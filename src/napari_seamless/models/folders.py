"""Where a person's models and decisions are kept on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

VARIABLE = "NAPARI_SEAMLESS_DATA"
"""Names another folder."""


def user_folder() -> Path:
    """The folder of this person for this package; it need not exist yet."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else user_data_path("napari-seamless", appauthor=False)


def model_folder() -> Path:
    """Where added models lie, a folder each."""
    return user_folder() / "models"
