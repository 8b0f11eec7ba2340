"""Arguments by which libraries of networks fetch or read weights, or look into a hub: refused, or switched off.

What slips through is stopped while the network is made (`confinement.py`); here it is told by its name, before.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from napari_seamless.errors import ModelError

FETCHING = (
    *("pretrained", "pretrained_url", "pretrained_path", "pretrained_cfg", "pretrained_cfg_overlay", "weights"),
    *("weights_backbone", "encoder_weights", "checkpoint", "checkpoint_path", "cache_dir", "load_from"),
)
"""Arguments of these libraries by which they would fetch or read weights themselves."""
TIMM_NAME = re.compile(r"[\w.-]+")
"""Names with a colon or a slash are those of a hub or a folder."""
PLAIN = re.compile(r"[^/\\~:\0]{0,200}")
"""What a text may be: no address, and no path."""


def check_arguments(architecture: str, given: Mapping[str, Any]) -> None:
    """Raises ModelError for what would make a library fetch or read something, at any depth."""
    if architecture.startswith("timm:") and not TIMM_NAME.fullmatch(architecture.removeprefix("timm:")):
        raise ModelError(
            "weights come from a file of yours, never from the network; got "
            f"{architecture!r}, a place for timm to look at; name one of timm's own networks"
        )
    waiting: list[tuple[str, Any]] = list(given.items())
    while waiting:
        key, value = waiting.pop()
        if value and key in FETCHING:
            raise ModelError(
                f"weights come from a file of yours, never from the network; {architecture} got {key}="
                f"{value!r}; leave it out"
            )
        if isinstance(value, str) and not PLAIN.fullmatch(value):
            raise ModelError(
                f"a network of a library is made from numbers and words; {architecture} got {key}={value!r}, "
                "which may be an address or a path; leave it out"
            )
        if isinstance(value, Mapping):
            waiting.extend((str(name), one) for name, one in value.items())
        elif isinstance(value, list | tuple):
            waiting.extend((key, one) for one in value)


def offline_defaults(found: Any) -> dict[str, object]:
    """What must be said to code that would fetch weights by itself."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {
        p.name: False if p.default is True else None
        for p in parameters
        if p.name in FETCHING and p.default and p.default is not p.empty
    }
