"""A result says where its pixels come from, and where they lie."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

import napari_seamless as ns
from napari_seamless.geometry import Levels, Region
from napari_seamless.interfaces import ImageInfo, Pixels
from napari_seamless.io.readers import open_image
from napari_seamless.runs.moments import MOMENTS
from napari_seamless.runs.provenance import to_slide
from napari_seamless.store import open_store


class Normed(torch.nn.Module):
    """A network with weights that measures the whole plane."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = torch.nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.instance_norm(self.conv(x))


def test_provenance_has_what_is_needed_to_make_the_result_again(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (200, 150)).astype(np.uint8)
    result = ns.run(Normed(), image, tile=64, device="cpu", scheduler="serial", output=tmp_path / "a.ome.zarr")
    facts = open_store(result.save(tmp_path / "copy.ome.zarr")).provenance
    same, other = (ns.prepare(Normed(seed), image) for seed in (0, 1))
    assert facts["weights"] == same.network_hash != other.network_hash
    assert facts["program"] == same.program_hash
    assert facts["napari-seamless"] == ns.__version__
    assert (facts["passes"], facts["statistics"], facts["run"]["passes"]) == (2, "whole", 2)
    assert facts["run"]["self_check"]["largest"] < 1e-4
    (moments,) = tmp_path.glob(f"copy.ome.zarr/*/.seamless/{MOMENTS}")
    assert facts["moments"] == {"file": f".seamless/{MOMENTS}", "sha256": sha256(moments.read_bytes()).hexdigest()}


class Pyramid:
    """A slide of two levels, 4 apart, with pixels of half a micrometer."""

    def __init__(self) -> None:
        levels = Levels(((400, 800), (100, 200)))
        self.info = ImageInfo("p", levels, 1, np.dtype(np.uint8), "p", pixel_size=(0.5, 0.5))

    def read(self, region: Region, level: int = 0) -> Pixels:
        return np.full((1, *region.shape), level, np.uint8)

    def close(self) -> None:
        """Nothing is open."""


class Halved(torch.nn.Module):
    """Means of 2 x 2."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x, 2)


@pytest.mark.parametrize(("level", "scale", "offset"), [(0, 2.0, 0.5), (1, 8.0, 3.5)])
def test_a_result_lies_over_the_pixels_it_was_made_of(level: int, scale: float, offset: float) -> None:
    prepared = ns.prepare(Halved(), open_image(Pyramid()), level=level)
    assert to_slide(prepared) == {"scale": [scale] * 2, "offset": [offset] * 2}
    spec = ns.run(Halved(), Pyramid(), level=level, device="cpu", scheduler="serial").store.spec
    assert spec.pixel_size == (0.5 * scale, 0.5 * scale)
    assert spec.translation == (0.5 * offset, 0.5 * offset)
