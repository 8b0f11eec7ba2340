"""The promise through the public door: every source, region, level, scheduler and disturbance gives the same pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

import dask.array
import numpy as np
import pytest
import torch
import zarr
from torch import nn

import napari_seamless as ns
from napari_seamless.errors import BadRequest, BudgetTooSmall, InputMismatch, NotTileable, OutputExists
from napari_seamless.geometry import Region, cells_of
from napari_seamless.interfaces import ImageInfo, Pixels, Source
from napari_seamless.io.readers.samples import sample_slide
from napari_seamless.program.trace import Padded
from napari_seamless.runs.option_text import parse_budget
from napari_seamless.runs.prepared import Prepared
from networks import CASES, SubPixel, made

EXACT = 1e-5
NETWORKS = {case.name: case for case in CASES}


def network(name: str) -> nn.Module:
    return made(NETWORKS[name])


def picture(height: int = 331, width: int = 277) -> np.ndarray:
    """(y, x, 3) uint8: noise and a shape, so that every pixel tells where it is."""
    noise = np.random.default_rng(3).integers(0, 200, (height, width, 3), np.uint8)
    return noise + (np.arange(width, dtype=np.uint8) % 56)[None, :, None]


def tissue(shape: tuple[int, int] = (333, 390)) -> np.ndarray:
    """A crop (3, y, x) of the packaged slide with stained tissue in it."""
    with_slide = ns.open_image(sample_slide())
    return with_slide.read(Region.of((700, 700 + shape[0]), (300, 300 + shape[1])))


def volume() -> np.ndarray:
    return np.random.default_rng(4).normal(100, 30, (21, 90, 75)).astype(np.float32)


def in_torch(module: nn.Module, pixels: np.ndarray, divisor: int = 1) -> np.ndarray:
    """The module on the whole of (c, [z,] y, x), in plain torch."""
    with torch.no_grad():
        image = torch.from_numpy(pixels.astype(np.float32))[None]
        return (module if divisor == 1 else Padded(module, divisor))(image)[0].numpy()


def rounding(module: nn.Module, pixels: np.ndarray, divisor: int = 1) -> float:
    """How far plain torch itself is from double precision, on the processor that this runs on."""
    single = in_torch(module, pixels, divisor).astype(np.float64)
    with torch.no_grad():
        image = torch.from_numpy(pixels.astype(np.float64))[None]
        wide = deepcopy(module).double()
        exact = (wide if divisor == 1 else Padded(wide, divisor))(image)[0].numpy()
    return difference(single, exact)


def difference(found: Any, expected: np.ndarray) -> float:
    """Largest difference as a share of the largest value."""
    return float(np.abs(np.asarray(found).astype(np.float64) - expected).max() / np.abs(expected).max())


class Watched:
    """A source that keeps a list of its reads and calls `before(how many there were)` ahead of each."""

    def __init__(self, source: Source, before: Callable[[int], None] | None = None) -> None:
        self._source, self.before = source, before
        self.reads: list[Region] = []

    @property
    def info(self) -> ImageInfo:
        return self._source.info

    def identity_now(self) -> str:
        return self.info.identity

    def pixel_digest(self, level: int = 0) -> str:
        """Says that it is what it was, so that nothing is read to find out."""
        del level
        return ""

    def fingerprint(self, region: Region, level: int = 0) -> str:
        del region, level
        return ""

    def read(self, region: Region, level: int = 0) -> Pixels:
        self.reads.append(region)
        if self.before is not None:
            self.before(len(self.reads))
        return self._source.read(region, level)

    def close(self) -> None:
        self._source.close()


# --- one truth -------------------------------------------------------------------------------------------------------


def test_the_shipped_nuclei_model_gives_the_labels_of_plain_torch() -> None:
    pixels = tissue()
    result = ns.run("nuclei", pixels, axes="cyx", tile=128)
    expected = in_torch(ns.load_model("nuclei").module, pixels, divisor=16)
    assert np.array_equal(np.asarray(result), expected)
    assert len(np.unique(expected)) == 3, "the crop shows all classes"


def test_the_shipped_stain_model_gives_the_grey_values_of_plain_torch() -> None:
    pixels = tissue()
    result = ns.run("stain", pixels, axes="cyx", tile=64, scheduler="serial")
    steps = np.asarray(result).astype(int) - in_torch(ns.load_model("stain").module, pixels)
    assert np.abs(steps).max() <= 1  # a sum that ends on a half may round to either side
    assert (steps != 0).mean() < 1e-4


@pytest.mark.parametrize("name", ["unet-bilinear", "fpn", "convnext", "unet-3d"])
def test_dask_gives_the_pixels_of_serial_bit_for_bit(name: str) -> None:
    image = ns.open_image(volume(), axes="zyx") if name == "unet-3d" else picture()
    prepared = ns.prepare(network(name), image)
    runs = [ns.start(prepared, tile=64, scheduler=scheduler) for scheduler in ("serial", "dask")]
    serial, dasked = (finished(run) for run in runs)
    assert np.array_equal(serial, dasked)
    assert np.ptp(serial) > 0


def finished(run: Any) -> np.ndarray:
    run.wait(60)
    assert run.progress().state == "finished"
    return np.asarray(run.result())


@pytest.mark.parametrize(
    "name", ["unet-nearest", "unet-transposed", "unet-valid", "resnet", "mixed", "espcn", "unet-3d"]
)
def test_a_module_of_ones_own_goes_where_a_model_goes(name: str) -> None:
    image = volume()[None] if name == "unet-3d" else np.moveaxis(picture(), -1, 0)
    axes = "czyx" if name == "unet-3d" else "cyx"
    prepared = ns.prepare(network(name), ns.open_image(image, axes=axes))
    found = finished(ns.start(prepared, tile=128, scheduler="serial"))
    whole = network(name), image, prepared.program.divisor
    assert difference(found, in_torch(*whole)) <= max(EXACT, 3 * rounding(*whole))


# --- what an image can be --------------------------------------------------------------------------------------------


def kinds_of_image(folder: Path) -> Iterator[tuple[str, Any, str | None]]:
    """The same picture, in every form."""
    array = picture()
    planes = np.ascontiguousarray(np.moveaxis(array, -1, 0))
    stored = zarr.create_array(folder / "plain.zarr", shape=array.shape, chunks=(100, 100, 3), dtype="u1")
    stored[:] = array
    yield "numpy", array, None
    yield "numpy planes", planes, "cyx"
    yield "x before y", np.ascontiguousarray(planes.transpose(2, 1, 0)), "xyc"
    yield "dask", dask.array.from_array(array, chunks=(64, 100, 3)), None
    yield "zarr", stored, None
    yield "zarr path", folder / "plain.zarr", "yxc"
    yield "multiscale", [array, array[::2, ::2]], None
    yield "source", ns.open_image(array), None


def test_one_picture_gives_the_same_result_in_every_form(tmp_path: Path) -> None:
    results = {
        name: np.asarray(ns.run(network("deeplab"), image, axes=axes, tile=128, scheduler="serial"))
        for name, image, axes in kinds_of_image(tmp_path)
    }
    expected = in_torch(network("deeplab"), np.moveaxis(picture(), -1, 0))
    assert difference(results["numpy"], expected) <= EXACT
    assert [name for name, found in results.items() if not np.array_equal(found, results["numpy"])] == []


def test_a_level_is_run_at_its_own_resolution() -> None:
    fine, coarse = picture(), picture()[::2, ::2]
    result = ns.run(network("fpn"), [fine, coarse], level=1, tile=64, scheduler="serial")
    assert difference(result, in_torch(network("fpn"), np.moveaxis(coarse, -1, 0))) <= EXACT


def test_a_region_is_in_pixels_of_level_0_whatever_the_level() -> None:
    levels = [picture(), picture()[::2, ::2]]
    full = np.asarray(ns.run(network("fpn"), levels, level=1, tile=64, scheduler="serial"))
    part = ns.run(
        network("fpn"), levels, level=1, region=ns.Region.of((100, 200), (40, 141)), tile=64, scheduler="serial"
    )
    assert np.array_equal(np.asarray(part), full[:, 50:100, 20:71])  # every pixel of level 1 that it touches


# --- regions ---------------------------------------------------------------------------------------------------------


def test_a_lazy_array_of_a_result_locks_nothing(tmp_path: Path) -> None:
    output = tmp_path / "a.ome.zarr"
    result = ns.run("stain", picture(), output=output, tile=64, scheduler="serial")
    before = set(tmp_path.rglob("*"))
    lazy = result.to_dask()
    assert set(tmp_path.rglob("*")) == before
    assert np.array_equal(lazy.compute(scheduler="synchronous"), np.asarray(result))
    ns.open_result(output).forget(np.ones(result.store.grid.counts, bool))


def test_a_region_has_the_pixels_of_the_full_run(tmp_path: Path) -> None:
    full = np.asarray(ns.run(network("unet-bilinear"), picture(), tile=64, scheduler="serial"))
    part = ns.run(
        network("unet-bilinear"), picture(), region=ns.Region.of((37, 222), (101, 270)), tile=64, scheduler="serial"
    )
    expected = full[:, 37:222, 101:270]
    assert part.shape == expected.shape
    assert np.array_equal(np.asarray(part), expected)
    assert np.array_equal(part.to_dask().compute(scheduler="synchronous"), expected)
    saved = zarr.open_array(part.save(tmp_path / "part.ome.zarr") / "0", mode="r")
    assert np.array_equal(saved, expected)
    everything = zarr.open_array(part.save(tmp_path / "all.ome.zarr", roi="computed") / "0", mode="r")
    assert everything.shape == full.shape
    assert np.array_equal(everything[:, 37:222, 101:270], expected)


def test_outside_of_its_region_a_result_stays_empty() -> None:
    result = ns.run(network("fpn"), picture(), region=ns.Region.of((0, 64), (0, 64)), tile=64, scheduler="serial")
    assert not np.asarray(result.levels[0][:, 64:, :]).any()
    assert np.asarray(result.levels[0][:, :64, :64]).any()


@pytest.mark.parametrize("region", [((0, 400), (0, 50)), ((10, 10), (0, 50)), ((-5, 20), (0, 50))])
def test_a_region_outside_of_the_image_is_refused(region: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(BadRequest, match=r"a region must|half-open|interval"):
        ns.run(network("fpn"), picture(), region=ns.Region.of(*region), tile=64)


def test_a_region_of_other_dimensions_is_refused() -> None:
    with pytest.raises(BadRequest, match="one interval for each of the image's 2 axes"):
        ns.run(network("fpn"), picture(), region=ns.Region.of((0, 9), (0, 9), (0, 9)), tile=64)


def test_a_volume_is_run_by_region_like_a_plane() -> None:
    image = ns.open_image(volume(), axes="zyx")
    full = np.asarray(ns.run(network("unet-3d"), image, tile=64, scheduler="serial"))
    part = ns.run(
        network("unet-3d"), image, region=ns.Region.of((3, 18), (5, 77), (2, 60)), tile=64, scheduler="serial"
    )
    assert difference(full, in_torch(network("unet-3d"), volume()[None])) <= EXACT
    assert np.array_equal(np.asarray(part), full[:, 3:18, 5:77, 2:60])


# --- outputs of another size -----------------------------------------------------------------------------------------


class Strided(nn.Module):
    """A third of the size: output pixel o is centred on input pixel 3 o + 1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, stride=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Doubled(nn.Module):
    """ESPCN without its unshuffle: twice the size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.pixel_shuffle(self.conv(x), 2)


def seeded(make: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().eval()


def measured(pixel_size: tuple[float, float]) -> Source:
    """The picture with pixels of that size."""
    source = ns.open_image(picture())
    return replace(source, info=replace(source.info, pixel_size=pixel_size))  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("make", "shape", "step", "shift"),
    [(Doubled, (662, 554), 0.5, -0.25), (Strided, (110, 92), 3.0, 1.0), (SubPixel, (662, 554), 0.5, -0.25)],
    ids=["doubled", "a third", "espcn"],
)
def test_a_result_of_another_size_lies_where_its_pixels_came_from(
    make: type[nn.Module], shape: tuple[int, int], step: float, shift: float, tmp_path: Path
) -> None:
    module = seeded(make)
    prepared = ns.prepare(module, measured((0.4, 0.5)))
    run = ns.start(prepared, tile=128, scheduler="serial", output=tmp_path / "out.ome.zarr")
    found = finished(run)
    pixels = np.moveaxis(picture(), -1, 0)
    whole = module, pixels, prepared.program.divisor
    expected = in_torch(*whole)
    assert found.shape == expected.shape
    assert difference(found, expected) <= max(EXACT, 3 * rounding(*whole))
    assert found.shape[1:] == shape
    transforms = scale_and_translation(tmp_path / "out.ome.zarr")
    assert transforms["scale"][-2:] == pytest.approx([0.4 * step, 0.5 * step])
    assert transforms["translation"][-2:] == pytest.approx([0.4 * shift, 0.5 * shift])


def scale_and_translation(path: Path) -> dict[str, list[float]]:
    """Of level 0 of an OME-Zarr."""
    multiscale = zarr.open_group(path, mode="r").attrs["ome"]["multiscales"][0]  # type: ignore[index, call-overload]
    found: dict[str, list[float]] = {}
    for transform in multiscale["datasets"][0]["coordinateTransformations"]:  # type: ignore[index, call-overload]
        found[transform["type"]] = transform[transform["type"]]
    return found


def test_a_result_as_large_as_the_image_lies_on_it_whatever_the_strides_inside() -> None:
    prepared = ns.prepare(network("fpn"), picture())  # odd sizes, halved three times and resized back
    assert prepared.scale == (1.0, 1.0)
    assert prepared.offset == (0.0, 0.0)


REGION = ((40, 120), (50, 150))


@pytest.mark.parametrize(
    ("make", "rows", "columns"),
    [(Doubled, slice(80, 240), slice(100, 300)), (Strided, slice(13, 40), slice(17, 50))],
    ids=["doubled", "a third: centres 3 o + 1"],
)
def test_a_region_of_a_result_of_another_size_is_the_same_place(
    make: type[nn.Module], rows: slice, columns: slice
) -> None:
    module = seeded(make)
    full = np.asarray(ns.run(module, picture(), tile=128, scheduler="serial"))
    part = np.asarray(ns.run(module, picture(), region=ns.Region.of(*REGION), tile=128, scheduler="serial"))
    assert np.array_equal(part, full[:, rows, columns])


# --- steering --------------------------------------------------------------------------------------------------------


def test_a_run_that_is_steered_all_the_time_gives_the_same_pixels() -> None:
    undisturbed = np.asarray(ns.run(network("unet-nearest"), picture(), tile=64, scheduler="serial"))
    handles: list[Any] = []

    def steer(count: int) -> None:
        run = handles[0]
        actions = {
            3: lambda: run.retarget(Region.of((200, 300), (100, 200))),
            5: lambda: run.set_tile(128),
            7: run.pause,
            9: lambda: run.retarget(None),
            10: lambda: run.set_tile(64),
        }
        actions.get(count, lambda: None)()

    image = Watched(ns.open_image(picture()))
    prepared = ns.prepare(network("unet-nearest"), image)
    image.before = steer
    run = started_paused(prepared, handles)
    run.resume()
    while run.progress().state not in ("finished", "failed"):
        run.wait(0.05)
        run.resume()
    assert np.array_equal(finished(run), undisturbed)


def started_paused(prepared: Prepared, handles: list[Any], **options: Any) -> Any:
    """A run that has begun nothing before its handle is in `handles`: its reads wait for that."""
    source = prepared.source
    assert isinstance(source, Watched)
    steer = source.before
    assert steer is not None

    def patient(count: int) -> None:
        while not handles:
            sleep(0.001)
        steer(count)

    source.before = patient
    handles.append(ns.start(prepared, tile=64, scheduler="dask", **options))
    return handles[0]


def test_a_view_is_made_first() -> None:
    image = Watched(ns.open_image(picture(700, 700)))
    prepared = ns.prepare(network("fpn"), image)
    finished(ns.start(prepared, view=Region.of((300, 310), (300, 310)), tile=64, scheduler="serial"))
    first = image.reads[0]
    assert first.intersect(Region.of((300, 310), (300, 310))).size == 100


def test_a_cancelled_run_continues_and_computes_nothing_twice(tmp_path: Path) -> None:
    expected = np.asarray(ns.run(network("fpn"), picture(), tile=64, scheduler="serial"))
    path, source = tmp_path / "out.ome.zarr", ns.open_image(picture())
    handles: list[Any] = []
    first = Watched(source, lambda count: handles[0].cancel() if count == 8 else None)
    run = started_paused(ns.prepare(network("fpn"), first), handles, output=path)
    run.wait(60)
    assert run.progress().state == "cancelled"
    done = run.progress().tiles
    assert 0 < done < 30
    again = Watched(source)
    found = finished(ns.start(ns.prepare(network("fpn"), again), tile=64, scheduler="serial", output=path))
    checks = 5
    assert len(again.reads) == 30 - done + checks
    assert np.array_equal(found, expected)


def test_an_interrupt_keeps_what_is_finished(tmp_path: Path) -> None:
    def interrupt(progress: Any) -> None:
        raise KeyboardInterrupt

    image, path = picture(1000, 1000), tmp_path / "out.ome.zarr"
    with pytest.raises(KeyboardInterrupt):
        ns.run("stain", image, tile=64, output=path, on_progress=interrupt)
    result = ns.run("stain", image, tile=64, output=path, scheduler="serial")
    assert result.report.state == "finished"
    assert np.array_equal(np.asarray(result), np.asarray(ns.run("stain", image, tile=256, scheduler="serial")))


def test_another_program_does_not_continue_somebody_elses_result(tmp_path: Path) -> None:
    image = picture(100, 100)
    ns.run(network("fpn"), image, tile=64, scheduler="serial", output=tmp_path / "out.ome.zarr")
    with pytest.raises(OutputExists, match="another program"):
        ns.run(made(NETWORKS["fpn"], seed=9), image, tile=64, output=tmp_path / "out.ome.zarr")


def test_progress_is_reported_until_all_is_done() -> None:
    seen: list[float] = []
    ns.run(network("fpn"), picture(), tile=64, on_progress=lambda progress: seen.append(progress.fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


# --- what a run says of itself ---------------------------------------------------------------------------------------


def test_a_result_says_what_was_done_and_how_exact_it_is(tmp_path: Path) -> None:
    result = ns.run(network("unet-bilinear"), picture(), tile=64, scheduler="serial", output=tmp_path / "out.ome.zarr")
    report = result.report
    assert (report.state, report.tiles, report.tile, report.device) == ("finished", 30, (64, 64), "cpu")
    assert report.pixels == 331 * 277
    assert report.self_check is not None
    assert report.self_check.regions == 5
    assert report.self_check.largest <= 1e-4
    assert 0 < report.region_programs <= report.tiles


def test_the_self_check_sees_a_wrong_result() -> None:
    """A source whose pixels change between two readings stands for everything that makes tiles disagree."""
    image = Watched(ns.open_image(picture().astype(np.float32), axes="yxc"))
    read = image.read

    def drifting(region: Region, level: int = 0) -> Pixels:
        return read(region, level) + np.float32(10 * len(image.reads))

    image.read = drifting  # type: ignore[method-assign]
    result = ns.run(network("deeplab"), image, tile=128, scheduler="serial")
    assert result.report.self_check is not None
    assert result.report.self_check.largest > 1e-3


# --- budget and tile -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large() -> Prepared:
    """A U-Net over an image far larger than memory, of which nothing is read."""
    return ns.prepare(
        made(NETWORKS["unet-nearest"]), dask.array.zeros((50_000, 60_000, 3), chunks=4096, dtype=np.uint8)
    )


def test_a_larger_budget_never_gives_a_smaller_tile(large: Prepared) -> None:
    budgets = [parse_budget(b) for b in ("5MB", "20MB", "80MB", "300MB", "1GB", "4GB")]
    choices = [ns.tile_for(large, budget, "cpu") for budget in budgets]
    tiles = [choice.tile for choice in choices]
    assert tiles == sorted(tiles)
    assert tiles[0] < tiles[-1]
    for choice, budget in zip(choices, budgets, strict=True):
        assert choice.bytes <= budget
        assert [size for edge, size in choice.choices if edge > choice.tile and size <= budget] == []


@pytest.mark.parametrize("factor", [1, 4, 8])
def test_tiles_of_a_super_resolution_network_waste_as_little_as_those_of_any_other(factor: int) -> None:
    """Its halo is one of the image, which a tile of the output has only a part of."""
    layers = [layer for _ in range(30) for layer in (nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())]
    head = nn.Conv2d(3, 4, 3, padding=1), *layers, nn.Conv2d(4, factor**2, 3, padding=1)
    network = nn.Sequential(*head, nn.PixelShuffle(factor))
    prepared = ns.prepare(network, dask.array.zeros((3000, 3000, 3), chunks=1000, dtype=np.uint8))
    choice = ns.tile_for(prepared, device="cpu")
    cost = prepared.tile_cost(choice.tile)
    assert cost.redundancy < 1.15
    assert choice.tile >= 1024


def test_a_budget_too_small_names_one_that_works(large: Prepared) -> None:
    with pytest.raises(BudgetTooSmall, match="use a budget of") as refusal:
        ns.tile_for(large, 1000, "cpu")
    named = str(refusal.value).split("use a budget of ")[1].split(" or more")[0]
    assert ns.tile_for(large, parse_budget(named), "cpu").tile == 64


def test_the_budget_is_kept_whatever_the_tile(large: Prepared) -> None:
    region = ns.Region.of((0, 64), (0, 64))
    with pytest.raises(BadRequest, match="a tile must fit in the budget; 2048 needs"):
        ns.start(large, region=region, tile=2048, budget=parse_budget("50MB"), device="cpu")


@pytest.mark.parametrize("tile", [100, 0, -64, 63])
def test_a_tile_that_chunks_cannot_make_up_is_refused(tile: int, large: Prepared) -> None:
    with pytest.raises(BadRequest, match="a tile's side must be a multiple of 32"):
        ns.start(large, region=ns.Region.of((0, 64), (0, 64)), tile=tile)


def test_a_result_too_large_for_memory_is_refused(large: Prepared) -> None:
    with pytest.raises(BadRequest, match="a result in memory may take a quarter of what is free"):
        ns.start(large, tile=512)


def test_a_region_of_an_enormous_image_costs_only_itself(large: Prepared) -> None:
    run = ns.start(large, region=ns.Region.of((30_000, 30_100), (20_000, 20_100)), tile=64, scheduler="serial")
    assert finished(run).shape == (2, 100, 100)
    assert run.progress().tiles <= 9


# --- bad pixels, bad networks, other clusters ------------------------------------------------------------------------


def test_a_pixel_that_is_no_number_is_refused_and_finished_tiles_are_kept() -> None:
    image = picture(256, 256).astype(np.float32)
    image[200, 210, 1] = np.nan
    prepared = ns.prepare(network("fpn"), ns.open_image(image, axes="yxc"))
    run = ns.start(prepared, tile=64, scheduler="serial")
    with pytest.raises(InputMismatch, match=r"finite number; got NaN or infinity in y\[.*x\["):
        run.wait(60)
    assert run.progress().state == "failed"
    assert run.progress().tiles > 0
    clean = ns.open_image(np.nan_to_num(image), axes="yxc")
    expected = finished(ns.start(ns.prepare(network("fpn"), clean), tile=64, scheduler="serial"))
    cells = cells_of(Region.from_shape(run.store.grid.counts))
    kept = [run.store.grid.region(cell) for cell in cells if run.store.finished[cell]]
    assert kept
    assert all(np.array_equal(run.store.read(r), expected[(slice(None), *r.slices())]) for r in kept)


class Attention(nn.Module):
    """Every pixel looks at every other one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(2)
        weights = torch.softmax(flat.transpose(1, 2) @ flat, dim=-1)
        return (flat @ weights).reshape(x.shape)


def test_a_network_that_attends_to_the_whole_plane_is_refused_by_operator_and_layer() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), Attention())
    with pytest.raises(NotTileable, match=r"matmul.* at layer '1'"):
        ns.run(module, picture())


def test_a_cluster_given_by_the_user_makes_the_same_pixels(tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    expected = np.asarray(ns.run(network("fpn"), picture(), tile=64, scheduler="serial"))
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0", memory_limit=0
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        result = ns.run(network("fpn"), picture(), tile=64, scheduler=client, output=tmp_path / "out.ome.zarr")
        assert client.status == "running", "the client stays the user's"
    assert np.array_equal(np.asarray(result), expected)


def test_a_cluster_without_an_output_is_refused() -> None:
    with pytest.raises(BadRequest, match="a cluster needs a result that every worker can write to"):
        ns.run(network("fpn"), picture(), scheduler="tcp://127.0.0.1:1")
