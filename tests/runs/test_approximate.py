"""Approximate runs through the public door: only if asked for, and marked wherever they show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from torch import Tensor, nn

import napari_seamless as ns
from approximate_networks import Attention, Centred, Classes, Local, Resized, seeded
from napari_seamless.errors import BadRequest, NotTileable, RunCancelled, TraceFailed
from napari_seamless.geometry import Region
from napari_seamless.models import Model
from napari_seamless.runs.approximation import approximation
from napari_seamless.runs.explain import explain
from napari_seamless.runs.prepare import prepare
from napari_seamless.runs.prepared import Prepared
from napari_seamless.runs.start import start

APPROXIMATE = {"approximate": True, "device": "cpu"}


class Normed(nn.Module):
    """A norm over the whole plane between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        layers = nn.Conv2d(3, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1)
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x / 255)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """(3, y, x): half blank, half noise of growing strength."""
    noise = np.random.default_rng(2).normal(0, 1, (3, 600, 700)) * np.linspace(0, 60, 700)
    noise[:, :, :250] = 110
    return (noise + 120).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def attention(image: np.ndarray) -> Prepared:
    return prepare(sized(176), image, approximate=True)


def sized(size: int) -> nn.Module:
    return seeded(Attention(size=size))


def test_what_cannot_be_exact_is_refused_and_the_refusal_offers_to_approximate(image: np.ndarray) -> None:
    with pytest.raises(NotTileable, match=r"attention.*; or run it approximately with approximate=True \(--approx"):
        prepare(seeded(Attention()), image)
    with pytest.raises(TraceFailed, match=r"or run it approximately with approximate=True"):
        prepare(seeded(Centred()), image)


def test_a_network_that_insists_on_a_size_is_refused_with_that_size(image: np.ndarray) -> None:
    with pytest.raises(TraceFailed, match=r"takes an input of 176 x 176 only: run it approximately"):
        prepare(sized(176), image)


def test_nothing_is_offered_to_a_network_that_makes_no_image_of_a_tile_either(image: np.ndarray) -> None:
    class Pooled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sort(2).values.mean((2, 3))

    with pytest.raises(NotTileable) as refusal:
        prepare(Pooled(), image)
    assert "--approximate" not in str(refusal.value)


def test_the_result_is_marked_in_name_metadata_and_report(image: np.ndarray, tmp_path: Path) -> None:
    result = ns.run(sized(176), image, output=tmp_path / "out.ome.zarr", **APPROXIMATE)
    assert (result.store.spec.name, result.store.spec.exact) == ("Attention", False)
    assert ns.open_result(tmp_path / "out.ome.zarr").info.title == "Attention (approximate)"
    shown = zarr.open_group(tmp_path / "out.ome.zarr", mode="r").attrs["ome"]["multiscales"][0]["name"]
    assert shown == "Attention (approximate)"
    report, facts = result.report, result.store.provenance
    assert not report.exact
    assert report.self_check is None
    assert report.mismatch is not None
    assert report.mismatch.rms > 0
    assert facts["scope"] == "approximate"
    assert facts["input_tile"] == [176, 176]
    assert 0.125 <= facts["overlap"] <= 0.5
    assert "doesn't match model (176)" in facts["reasons"][0]
    assert facts["run"]["mismatch"]["rms"] == report.mismatch.rms
    assert not facts["run"]["exact"]


def test_asking_for_an_approximate_run_leaves_an_exact_network_exact(image: np.ndarray) -> None:
    result = ns.run(seeded(Local()), image[:, :200, :200], **APPROXIMATE)
    assert result.report.exact
    assert result.report.self_check is not None
    assert result.store.provenance["scope"] == "exact"
    assert result.store.spec.name == "Local"


@pytest.mark.parametrize("settings", [{"tile": 64}, {"tile": 256, "scheduler": "serial"}, {"budget": "80MB"}])
def test_pixels_do_not_depend_on_how_the_run_is_cut(
    attention: Prepared, image: np.ndarray, settings: dict[str, Any]
) -> None:
    once = ns.run(sized(176), image, tile=512, scheduler="serial", **APPROXIMATE)
    again = ns.run(sized(176), image, **APPROXIMATE, **settings)
    assert np.array_equal(np.asarray(again), np.asarray(once))


def test_a_region_has_the_pixels_that_it_has_in_the_whole(attention: Prepared, image: np.ndarray) -> None:
    handle = start(attention, region=Region.of((300, 420), (333, 500)), device="cpu", scheduler="serial")
    handle.wait()
    whole = np.asarray(ns.run(sized(176), image, **APPROXIMATE))
    assert np.array_equal(np.asarray(handle.result()), whole[:, 300:420, 333:500])


def test_a_run_that_is_cancelled_goes_on_where_it_stopped(
    attention: Prepared, image: np.ndarray, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"tile": 64, "device": "cpu", "scheduler": "serial", "output": tmp_path / "out.zarr"}
    first = start(attention, **settings)
    while first.progress().tiles == 0:
        pass
    first.cancel()
    first.wait()
    second = start(attention, **settings)
    second.wait()
    assert first.progress().state == "cancelled"
    assert first.progress().tiles + second.progress().tiles == 10 * 11
    assert np.array_equal(np.asarray(second.result()), np.asarray(ns.run(sized(176), image, **APPROXIMATE)))


def test_labels_are_stored_as_numbers_of_classes(image: np.ndarray) -> None:
    model = Model("parts", seeded(Classes()), "Parts", kind="labels")
    result = ns.run(model, image, **APPROXIMATE)
    assert np.asarray(result).dtype == np.int32
    assert np.asarray(result).shape == (600, 700)
    assert set(np.unique(np.asarray(result))) <= {0, 3, 6}
    assert result.store.provenance["blend"] == "vote by weight"
    assert result.report.mismatch is not None
    assert result.report.mismatch.labels


def test_an_exact_network_that_ends_in_numbers_of_classes_is_stored_likewise(image: np.ndarray) -> None:
    class Brightest(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.argmax(1)

    pixels = image[:, :100, 300:400]
    found = np.asarray(ns.run(Brightest(), pixels, device="cpu"))
    assert found.dtype == np.int32
    assert np.array_equal(found.squeeze(), pixels.argmax(0))


def test_an_output_smaller_than_the_image_lies_where_its_pixels_are(image: np.ndarray) -> None:
    class Shrunk(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.small, self.look = Resized(down=4), Attention()

        def forward(self, x: Tensor) -> Tensor:
            return self.small(self.look(x)[:, [0, 1, 1]])

    found = prepare(seeded(Shrunk()), image, approximate=True)
    assert found.output_shape == (150, 175)
    assert found.scale == (4, 4)
    assert found.offset == (1.5, 1.5)


def test_statistics_of_each_tile_are_approximate_and_marked(image: np.ndarray) -> None:
    whole = ns.run(seeded(Normed()), image, device="cpu")
    local = ns.run(seeded(Normed()), image, statistics="local", device="cpu")
    assert whole.report.exact
    assert not local.report.exact
    assert local.report.statistics == "local"
    assert local.store.provenance["scope"] == "approximate"
    assert local.store.provenance["statistics"] == "local"
    assert local.store.info.title == "Normed (approximate)"
    apart = np.abs(np.asarray(local) - np.asarray(whole)) / np.asarray(whole).std()
    assert apart.max() > 0.1


def test_a_network_without_norms_over_the_plane_is_exact_with_statistics_of_each_tile(image: np.ndarray) -> None:
    result = ns.run(seeded(Local()), image[:, :200, :200], statistics="local", device="cpu")
    assert result.report.exact
    assert result.store.spec.name == "Local"


def test_given_statistics_are_refused_for_an_approximate_run(attention: Prepared, image: np.ndarray) -> None:
    moments = ns.run(seeded(Normed()), image[:, :128, :128], device="cpu").moments
    assert moments is not None
    with pytest.raises(BadRequest, match="given to networks that are computed as on the whole image"):
        start(attention, statistics=moments, device="cpu")


def test_explain_says_why_it_is_not_exact_and_what_there_is_instead(image: np.ndarray) -> None:
    found = explain(seeded(Attention()), image)
    assert not found.is_exact
    text = str(found)
    assert "scaled_dot_product_attention" in text
    assert "approximate  input tiles of 512 x 512, overlapping by" in text
    assert "--approximate" in text
    assert "176 x 176, the only size that the network takes" in str(explain(sized(176), image))


def test_explain_says_that_a_network_with_a_norm_over_the_plane_depends_on_the_whole_image(image: np.ndarray) -> None:
    assert "reach        the whole image, through its barriers" in str(explain(seeded(Normed()), image))
    assert "reach" not in str(explain(seeded(Local()), image))
    local = str(explain(seeded(Normed()), image, statistics="local"))
    assert "pixels away, and a little in the whole tile" in local


def test_the_tile_and_overlap_may_be_asked_for(image: np.ndarray) -> None:
    model, source = ns.load_model(seeded(Attention())), ns.open_image(image)
    found = approximation(model, model.module, source, 0, ["because"], edge=128, overlap=0.3)
    assert (found.edges, found.overlap, found.reach) == ((128, 128), 0.3, None)
    with pytest.raises(BadRequest, match=r"from 0 to 0\.5"):
        approximation(model, model.module, source, 0, [], overlap=0.9)


def test_other_weights_tiles_or_overlaps_are_another_result(image: np.ndarray) -> None:
    model, source = ns.load_model(seeded(Attention())), ns.open_image(image)
    first = approximation(model, model.module, source, 0, [], edge=128, overlap=0.3)
    again = approximation(model, model.module, source, 0, [], edge=128, overlap=0.3)
    overlapping = approximation(model, model.module, source, 0, [], edge=128, overlap=0.4)
    model.module.head.bias.data += 1
    trained = approximation(model, model.module, source, 0, [], edge=128, overlap=0.3)
    assert first.digest == again.digest
    assert len({first.digest, overlapping.digest, trained.digest}) == 3


def test_trying_a_network_out_can_be_cancelled(image: np.ndarray) -> None:
    model = ns.load_model(seeded(Attention()))
    with pytest.raises(RunCancelled, match="start it again"):
        approximation(model, model.module, ns.open_image(image), 0, [], cancelled=lambda: True)
