"""The list of models that come with the package. Cheap to import: no torch."""

from __future__ import annotations

from difflib import get_close_matches
from types import MappingProxyType

from napari_seamless.errors import UnknownModel
from napari_seamless.models.loaders.formats import WEIGHTS

TITLES = MappingProxyType(
    {
        "nuclei-he": "Nuclei in stained tissue as single objects (H&E, RGB, 20x to 40x)",
        "nuclei-fluorescence": "Nuclei in fluorescence as single objects (one channel, any bit depth)",
        "nuclei": "Cell nuclei and their boundaries, in stained histology and in fluorescence (RGB)",
        "stain": "Haematoxylin and eosin density, by fixed colour deconvolution, smoothed (RGB, no training)",
        "style-wave": "In the manner of The Great Wave off Kanagawa, Hokusai, c. 1831 (RGB)",
        "style-scream": "In the manner of The Scream, Munch, 1893 (RGB)",
    }
)
"""One line per model, in the order in which to offer them."""

RECIPES = ("nuclei-he", "nuclei-fluorescence")
"""The names of those that are recipes: folders beside the weights of the others."""

STYLES = tuple(name for name in TITLES if name.startswith("style-"))
"""The names of those that paint."""


def names() -> tuple[str, ...]:
    """The names that `load_model` knows.

    >>> names()
    ('nuclei-he', 'nuclei-fluorescence', 'nuclei', 'stain', 'style-wave', 'style-scream')
    """
    return tuple(TITLES)


def describe(name: str) -> str:
    """One line about a bundled model.

    Raises `UnknownModel` for any other name.
    """
    if name not in TITLES:
        raise unknown(name)
    return TITLES[name]


def unknown(name: str) -> UnknownModel:
    """The error for a name that is not in the list, with the list and the nearest name."""
    nearest = get_close_matches(name.lower(), TITLES, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else "choose one of these"
    return UnknownModel(
        f"a model is one of {', '.join(TITLES)}, or a file of weights ({', '.join(WEIGHTS.suffixes)}); "
        f"got {name!r}: {hint}"
    )
