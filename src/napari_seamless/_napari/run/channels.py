"""What is to be chosen where an image's channels are not those that a network wants. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from napari_seamless._napari.widgets.image_options import ChannelChoice, ChannelMapping
from napari_seamless.runs.channels import matched_by_name

MOST_ASKED = 16
"""With more channels than these a form would be no help."""


def numbers_of(choice: ChannelChoice | None) -> tuple[int, ...] | None:
    """The choice once nothing is missing in it; None before."""
    found = tuple(number for number in choice or () if number is not None)
    return found if found and choice is not None and len(found) == len(choice) else None


def mapping_of(count: int | None, names: Sequence[str], there: Sequence[str]) -> ChannelMapping | None:
    """What is to be chosen for a network that wants `count` channels; None where the image goes in as it is.

    Channels are matched by name where every wanted name is found once. Where the numbers of channels agree and the
    names do not, they go in as they are. Otherwise somebody has to say.

    >>> mapping_of(2, ("dapi", "actin"), ("Actin", "Tubulin", "DAPI")).chosen
    (2, 0)
    >>> mapping_of(1, (), ("red", "green", "blue")).chosen
    (None,)
    >>> mapping_of(3, (), ("a", "b", "c")) is None
    True
    """
    if count is None or count > MOST_ASKED:
        return None
    wanted = tuple(names) if len(names) == count else tuple(f"channel {k + 1}" for k in range(count))
    found = matched_by_name(names, there) if len(names) == count else None
    if found is not None:
        return None if found == tuple(range(len(there))) else ChannelMapping(wanted, tuple(there), found, by_name=True)
    return None if count == len(there) else ChannelMapping(wanted, tuple(there), (None,) * count)
