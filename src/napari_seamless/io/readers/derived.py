"""What sources that are made of another one have in common: they are what that one is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from napari_seamless.fingerprints import Dated, Fingerprinted, OnDisk, is_edited
from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo, Source


class DerivedSource(ABC):
    """Implements `fingerprints.Fingerprinted`, `Dated` and `OnDisk` by asking the other source, whose identity is part
    of this one's. Any thread."""

    @property
    @abstractmethod
    def origin(self) -> Source:
        """The other source."""

    @property
    @abstractmethod
    def info(self) -> ImageInfo: ...

    def origin_region(self, region: Region, level: int) -> tuple[Region, int]:
        """The region and level of the other source that hold all of a region of this one."""
        return region, level

    def identity_now(self) -> str:
        """With the identity that the other one has now."""
        before = self.origin.info.identity
        now = self.origin.identity_now() if isinstance(self.origin, Fingerprinted) else before
        return self.info.identity.replace(before, now, 1)

    def pixel_digest(self, level: int = 0) -> str:
        """That of all of the level of the other one that this one's is made of."""
        first = Region.of(*((0, 1) for _ in self.info.levels.shape(level)))
        origin = self.origin
        return origin.pixel_digest(self.origin_region(first, level)[1]) if isinstance(origin, Fingerprinted) else ""

    @property
    def is_edited(self) -> bool:
        """Whether the other one is, see `fingerprints.is_edited`."""
        return is_edited(self.origin)

    def fingerprint(self, region: Region, level: int = 0) -> str | None:
        """That of what the other one has there."""
        origin = self.origin
        return origin.fingerprint(*self.origin_region(region, level)) if isinstance(origin, Fingerprinted) else None

    def may_have_changed(self, region: Region, level: int, since: float) -> bool | None:
        """What the other one says of that."""
        origin = self.origin
        return origin.may_have_changed(*self.origin_region(region, level), since) if isinstance(origin, Dated) else None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those of the other one."""
        return self.origin.paths if isinstance(self.origin, OnDisk) else ()
