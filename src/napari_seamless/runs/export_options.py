"""The options of an export, each written once for Python, shell and window."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import Any

from napari_seamless.geometry import Region
from napari_seamless.runs.option import option
from napari_seamless.runs.option_text import parse_region, region_text

COMPUTED = "computed"
"""The roi that is all pixels that were made, beyond what was asked for."""


@dataclass(frozen=True, eq=False)
class ExportOptions:
    """What of a result is saved. `region` is in pixels of level 0 of what is saved, `roi` in those of the slide."""

    region: Region | None = field(
        default=None,
        metadata=option(
            "Half-open, in level-0 pixels.",
            without="what was asked of the run",
            metavar="Y0:Y1,X0:X1",
            parse=parse_region,
            text=region_text,
        ),
    )
    roi: Any = field(
        default=None,
        metadata=option(
            "Inside these outlines; or all that was computed, also beyond what was asked for.",
            choices=(COMPUTED,),
            files=(".geojson",),
            without="what was asked of the run",
            metavar=f"FILE.geojson|{COMPUTED}",
        ),
    )
    level: int = field(
        default=0, metadata=option("The level of the result that becomes the file's finest one.", kind=int)
    )
    overwrite: bool = field(default=False, metadata=option("Replace what is at the output path.", kind=bool))


EXPORT_OPTIONS: dict[str, Field[Any]] = {of.name: of for of in fields(ExportOptions)}
"""Every option of an export, by its name."""
