"""What is asked of one run, in a value that Python, shell, window, batch and provenance share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, TypeVar

from napari_seamless.errors import BadRequest
from napari_seamless.runs.config_values import as_json, from_json, same
from napari_seamless.runs.option_groups import (
    ExecutionOptions,
    ImageOptions,
    MemoryOptions,
    OutputOptions,
    RoiOptions,
    StatisticsOptions,
)
from napari_seamless.runs.option_text import TISSUE

_Group = TypeVar("_Group")


@dataclass(frozen=True)
class RunConfig:
    """Everything that is asked of a run but model and image; the same in Python, shell and window. Immutable.

    >>> config = RunConfig.of(budget="2GB", keep="disk")
    >>> config.memory.budget, config.non_defaults()
    (2000000000, {'budget': 2000000000, 'keep': 'disk'})

    Raises BadRequest where an option cannot be, whatever the image.
    """

    image: ImageOptions = field(default_factory=ImageOptions)
    part: RoiOptions = field(default_factory=RoiOptions)
    memory: MemoryOptions = field(default_factory=MemoryOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    statistics: StatisticsOptions = field(default_factory=StatisticsOptions)
    execution: ExecutionOptions = field(default_factory=ExecutionOptions)

    def __post_init__(self) -> None:
        given, asks = self.statistics, self.asks_for_tissue
        if given.mask is not None and not asks:
            raise BadRequest(
                f"a mask needs statistics='tissue' or roi='tissue'; got one with statistics={given.statistics!r}; say "
                "which"
            )
        if given.tissue_threshold is not None and not asks:
            raise BadRequest(
                "tissue_threshold (--tissue-threshold) says what roi='tissue' (--roi tissue) and statistics='tissue' "
                "(--statistics tissue) take for tissue; got neither; add one"
            )
        if given.tissue_threshold is not None and given.mask is not None:
            raise BadRequest("tissue is what a mask says or what is above a threshold; got both; leave one out")

    @property
    def asks_for_tissue(self) -> bool:
        """Whether anything depends on where there is tissue."""
        return self.is_of_tissue or self.statistics.statistics == TISSUE

    @property
    def is_of_tissue(self) -> bool:
        """Whether what is no tissue is left out."""
        return isinstance(self.part.roi, str) and self.part.roi == TISSUE

    @classmethod
    def of(cls, **options: Any) -> RunConfig:
        """From options by name. Raises TypeError for a name that is none, and BadRequest."""
        return cls().replace(**options)

    def replace(self, **options: Any) -> RunConfig:
        """The same with other values for some options, by name. Raises TypeError and BadRequest as `of` does."""
        unknown = sorted(options.keys() - OPTIONS.keys())
        if unknown:
            raise TypeError(f"a run has no option {unknown[0]!r}; it has {', '.join(OPTIONS)}")
        groups = {}
        for name, group in GROUPS.items():
            own = {key: options[key] for key in group if key in options}
            if own:
                groups[name] = _changed(getattr(self, name), own)
        return replace(self, **groups)

    def __getitem__(self, name: str) -> Any:
        """The value of an option, by its name."""
        return getattr(getattr(self, GROUP_OF[name]), name)

    def items(self) -> Iterator[tuple[Field[Any], Any]]:
        """Every option and its value."""
        return ((of, self[name]) for name, of in OPTIONS.items())

    def non_defaults(self) -> dict[str, Any]:
        """The options that somebody has changed."""
        return {of.name: value for of, value in self.items() if not same(value, of.default)}

    def to_dict(self, *, brief: bool = False) -> dict[str, Any]:
        """Those as JSON values, with arrays as digests: for files and provenance. `brief` gives shapes so, too."""
        return {name: as_json(value, brief=brief) for name, value in self.non_defaults().items()}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> RunConfig:
        """The inverse of `to_dict`. Raises BadRequest where there is only a digest."""
        return cls.of(**{name: from_json(name, value) for name, value in saved.items()})


def _changed(group: _Group, own: Mapping[str, Any]) -> _Group:
    return replace(group, **own)  # type: ignore[type-var]


_TYPES: dict[str, type[Any]] = {
    "image": ImageOptions,
    "part": RoiOptions,
    "memory": MemoryOptions,
    "output": OutputOptions,
    "statistics": StatisticsOptions,
    "execution": ExecutionOptions,
}
GROUPS: dict[str, dict[str, Field[Any]]] = {name: {f.name: f for f in fields(kind)} for name, kind in _TYPES.items()}
"""The fields of each option group, by names."""

OPTIONS: dict[str, Field[Any]] = {name: of for group in GROUPS.values() for name, of in group.items()}
"""Every option of a run, by its name."""

GROUP_OF: dict[str, str] = {name: group for group, names in GROUPS.items() for name in names}
"""The group of each option."""
