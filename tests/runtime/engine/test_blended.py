"""The blended mode: overlapping tiles, approximate, the same however the result is cut."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from approximate_networks import Attention, Centred, Classes, Local, Resized, seeded
from napari_seamless.errors import BadRequest, InputMismatch, ModelError, RunCancelled
from napari_seamless.geometry import Grid, Interval, Region, cells_of
from napari_seamless.runtime.engine.blended import BlendedEngine, most_weight
from napari_seamless.runtime.engine.mismatch import measure_mismatch
from napari_seamless.runtime.engine.receptive_field import Reach, checked_overlap, noise, overlap_for, probe_reach
from napari_seamless.runtime.engine.tile_overlap import AxisTiles
from napari_seamless.runtime.engine.tile_probe import fit, look

SHAPE = (3, 150, 203)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Smooth, with an edge and a bright corner."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    waves = np.stack([np.sin(y / 9 + k) + np.cos(x / (5 + k)) for k in range(3)])
    pixels = 60 * waves + 120 + 40 * (x > 100)
    pixels[:, :20, :30] = 255
    return pixels.clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Mode:
    network: nn.Module
    edge: int = 64
    overlap: float = 0.25


MODES = {
    "attention": Mode(Attention()),
    "attention with much overlap": Mode(Attention(), 48, 0.5),
    "labels": Mode(Classes()),
    "smaller": Mode(Resized(down=4)),
    "larger": Mode(Resized(up=2), 48),
    "a tile larger than the image": Mode(Attention(), 256),
    "a branch on pixels": Mode(Centred()),
}


def engine_of(network: nn.Module, edge: int = 64, overlap: float = 0.25, **settings: Any) -> BlendedEngine:
    return BlendedEngine(seeded(network), SHAPE, (edge, edge), overlap, "cpu", **settings)


def reading(image: np.ndarray) -> Callable[[Region], np.ndarray]:
    return lambda region: image[(slice(None), *region.slices())]


def never() -> bool:
    return False


def in_writes(engine: BlendedEngine, image: np.ndarray, *cell: int) -> np.ndarray:
    """The whole result, cut into writes of this shape."""
    grid = Grid(engine.output_shape, cell)
    parts = {}
    for index in cells_of(Region.from_shape(grid.counts)):
        write = grid.region(index)
        parts[write] = engine.compute(engine.tile(write), reading(image), never)
    first = next(iter(parts.values()))
    full = np.empty((len(first), *engine.output_shape), first.dtype)
    for write, pixels in parts.items():
        full[(slice(None), *write.slices())] = pixels
    return full


def whole(network: nn.Module, image: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return seeded(network)(torch.from_numpy(image[None]).float())[0].numpy()


@pytest.mark.parametrize("name", MODES)
def test_the_pixels_are_the_same_however_the_result_is_cut(name: str, image: np.ndarray) -> None:
    mode = MODES[name]
    once = engine_of(mode.network, mode.edge, mode.overlap)
    expected = in_writes(once, image, *once.output_shape)
    for cell in [(64, 64), (37, 113), (1000, 16)]:
        engine = engine_of(mode.network, mode.edge, mode.overlap, cache_bytes=0)
        assert np.array_equal(in_writes(engine, image, *cell), expected), cell


def test_what_a_tile_reads_lies_in_the_image_and_holds_all_that_its_input_tiles_see(image: np.ndarray) -> None:
    engine = engine_of(Attention())
    for write in [Region.of((0, 1), (0, 1)), Region.of((149, 150), (202, 203)), Region.of((40, 90), (60, 61))]:
        read = engine.tile(write).read
        assert Region.from_shape(SHAPE[1:]).contains(read)
        assert read.contains(write)


def test_a_local_network_with_enough_overlap_is_nearly_the_whole_image(image: np.ndarray) -> None:
    found = in_writes(engine_of(Local(), 64, 0.5), image, 80, 80)
    expected = whole(Local(), image)
    error = np.abs(found - expected) / expected.std()
    assert np.median(error) < 1e-4
    assert error.max() < 0.05


def test_an_image_that_is_one_tile_is_computed_whole() -> None:
    image = np.random.default_rng(0).integers(0, 255, (3, 64, 64), np.uint8)
    engine = BlendedEngine(seeded(Attention()), (3, 64, 64), (64, 64), 0.25, "cpu")
    expected = whole(Attention(), image)
    assert np.abs(in_writes(engine, image, 16, 64) - expected).max() / expected.std() < 1e-5
    assert measure_mismatch(engine, reading(image)) is None


def test_labels_are_voted_for_and_not_averaged(image: np.ndarray) -> None:
    found = in_writes(engine_of(Classes()), image, 64, 64)
    assert found.dtype == np.int32
    assert set(np.unique(found)) <= {0, 3, 6}
    assert len(np.unique(found)) > 1


def test_the_class_with_the_most_weight_wins_and_of_two_the_smaller_number() -> None:
    classes = [np.array([[1, 5, 7]]), np.array([[2, 4, 7]]), np.array([[2, 9, 0]])]
    weights = [np.array([0.5, 0.5, 0.2]), np.array([0.2, 0.5, 0.2]), np.array([0.2, 0.0, 0.6])]
    assert most_weight(classes, weights).tolist() == [[1, 4, 0]]
    together = [np.array([0.4, 0.3, 0.2]), np.array([0.3, 0.3, 0.5]), np.array([0.3, 0.4, 0.3])]
    assert most_weight(classes, together).tolist() == [[2, 9, 7]]


def test_whole_numbers_that_are_no_labels_are_averaged_and_rounded(image: np.ndarray) -> None:
    class Picture(Attention):
        def forward(self, x: Tensor) -> Tensor:
            return (6 * super().forward(x) + 128).clamp(0, 255).to(torch.uint8)

    found = in_writes(engine_of(Picture(), labels=False), image, 90, 90)
    smooth = in_writes(engine_of(Attention()), image, 90, 90) * 6 + 128
    assert found.dtype == np.uint8
    assert np.abs(found - smooth.clip(0, 255)).max() < 2


def test_a_volume_is_blended_along_all_three_axes() -> None:
    volume = np.random.default_rng(0).normal(size=(1, 20, 40, 33)).astype(np.float32)
    network = seeded(nn.Conv3d(1, 2, 3, padding=1))
    engine = BlendedEngine(network, volume.shape, (16, 16, 16), 0.5, "cpu")
    full = in_writes(engine, volume, 20, 40, 33)
    assert np.array_equal(in_writes(engine, volume, 7, 24, 40), full)
    with torch.no_grad():
        expected = network(torch.from_numpy(volume[None]))[0].numpy()
    assert np.median(np.abs(full - expected)) < 0.01


@pytest.mark.parametrize("scale", [Fraction(1), Fraction(1, 4), Fraction(2)])
@pytest.mark.parametrize("size", [5, 63, 64, 65, 200, 201])
def test_every_output_pixel_has_weights_that_sum_to_one(size: int, scale: Fraction) -> None:
    axis = AxisTiles(size, 64, 0.3, scale)
    total = np.zeros(axis.output_size)
    for index in range(axis.count):
        output = axis.output(index).intersect(Interval(0, axis.output_size))
        total[output.lo : output.hi] += axis.weights(index)[: output.size]
    assert np.allclose(total, 1, atol=1e-12)


@pytest.mark.parametrize("scale", [Fraction(1), Fraction(1, 4), Fraction(2)])
def test_the_tiles_said_to_cover_some_pixels_are_those_that_do(scale: Fraction) -> None:
    axis = AxisTiles(333, 64, 0.3, scale)
    for lo in range(0, axis.output_size - 10, 7):
        span = Interval(lo, lo + 10)
        covering = [i for i in range(axis.count) if axis.output(i).intersect(span).size]
        assert list(axis.covering(span)) == covering


def test_a_network_that_insists_on_one_size_is_given_it() -> None:
    found = fit(seeded(Attention(size=176)), 3, (2000, 2000))
    assert found.edges == (176, 176)
    assert found.insists


def test_a_size_that_the_card_names_comes_first_and_another_may_be_asked_for() -> None:
    network = seeded(Attention())
    assert fit(network, 3, (2000, 2000)).edges == (512, 512)
    named = fit(network, 3, (2000, 2000), named=[240])
    assert (named.edges, named.insists) == ((240, 240), False)
    assert fit(network, 3, (2000, 2000), edge=128).edges == (128, 128)


def test_a_small_image_gets_a_small_tile_where_the_network_takes_it() -> None:
    assert fit(seeded(Attention()), 3, (100, 2000)).edges == (128, 512)


def test_a_size_that_a_network_does_not_take_is_refused_with_its_own_words() -> None:
    with pytest.raises(ModelError, match=r"tried at 64 pixels; .* doesn't match model \(176\)\.; choose another tile"):
        fit(seeded(Attention(size=176)), 3, (2000, 2000), edge=64)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (nn.Conv2d(3, 2, 3), "no whole multiple of the tile"),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), "is not an image"),
    ],
)
def test_what_makes_no_image_of_a_tile_is_refused(network: nn.Module, reason: str) -> None:
    if isinstance(network, nn.Sequential):
        network(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ModelError, match=reason):
        look(network.eval(), 3, (64, 64))


def test_the_output_is_known_before_anything_is_computed() -> None:
    output = look(seeded(Resized(down=4)), 3, (64, 64))
    assert (output.channels, output.scale, output.dtype) == (2, (Fraction(1, 4),) * 2, torch.float32)
    assert look(seeded(Classes()), 3, (64, 64)).channels is None
    assert engine_of(Resized(down=4)).output_shape == (38, 51)


def test_the_probe_finds_how_far_a_stack_of_convolutions_sees() -> None:
    network, edges = seeded(Local()), (64, 64)
    reach = probe_reach(network, look(network, 3, edges), noise(3, edges))
    assert reach is not None
    assert 2 <= reach.near <= 3
    assert not reach.everywhere
    assert overlap_for(reach.near, edges) == 0.125


def test_the_probe_tells_a_gate_over_the_plane_from_what_is_near() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Conv2d(3, 3, 5, padding=2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.layers(x / 255)
            return y * y.mean((2, 3), keepdim=True).sigmoid()

    network, edges = seeded(Gated()), (64, 64)
    reach = probe_reach(network, look(network, 3, edges), noise(3, edges))
    assert reach is not None
    assert reach.near <= 3
    assert reach.everywhere


def test_the_probe_finds_a_far_look_and_what_changes_nothing() -> None:
    class Far(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.roll(x, 20, dims=3)

    edges = (128, 128)
    far, flat = Far().eval(), nn.Upsample(scale_factor=1)
    assert probe_reach(far, look(far, 3, edges), noise(3, edges)) == Reach(20)
    assert overlap_for(20, edges) == 40 / 128
    assert probe_reach(flat, look(flat, 3, edges), noise(3, edges)) == Reach(0)
    assert overlap_for(None, edges) == 0.25
    assert overlap_for(1000, edges) == 0.5


def test_an_overlap_of_more_than_half_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"from 0 to 0.5; got 0.7"):
        checked_overlap(0.7)


def test_the_mismatch_of_tiles_is_none_for_a_local_network_and_some_for_attention(image: np.ndarray) -> None:
    local = measure_mismatch(engine_of(Local()), reading(image))
    attention = measure_mismatch(engine_of(Attention()), reading(image))
    assert local is not None
    assert attention is not None
    assert local.largest < 1e-4
    assert 0.001 < attention.rms < attention.largest
    assert "neighbouring tiles differ by" in str(attention)


def test_the_mismatch_of_labels_is_a_share_of_pixels(image: np.ndarray) -> None:
    found = measure_mismatch(engine_of(Classes()), reading(image))
    assert found is not None
    assert 0 < found.rms <= found.largest <= 1
    assert "disagree on" in str(found)


def test_neighbouring_writes_do_not_compute_a_shared_tile_twice_nor_blank_ones(image: np.ndarray) -> None:
    network = Counting()
    engine = engine_of(network)
    tiles = 3 * 4
    in_writes(engine, image, 40, 40)
    assert network.runs == tiles
    blank = np.full(SHAPE, 255, np.uint8)
    in_writes(engine, blank, 40, 40)
    assert network.runs == tiles + 1


class Counting(Local):
    """Counts how often it is run on pixels."""

    runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += type(x) is Tensor
        return super().forward(x)


def test_what_is_kept_of_recent_tiles_stays_within_its_bounds(image: np.ndarray) -> None:
    limit = 3 * 64 * 64 * 2 * 4
    engine = engine_of(Attention(), cache_bytes=limit)
    in_writes(engine, image, 150, 203)
    assert 0 < engine.kept_bytes <= limit


def test_the_predicted_peak_grows_with_the_write_and_holds_the_network(image: np.ndarray) -> None:
    engine = engine_of(Attention(), cache_bytes=0)
    small, large = (engine.peak_bytes(Region.of((0, n), (0, n))) for n in (64, 150))
    assert 0 < small < large < 20 * 2**20
    tokens = 16 * 8 * 8 * 4
    assert engine.output.peak_bytes > 64 * 64 * (3 + 2) * 4 + tokens


def test_an_engine_can_be_sent_elsewhere(image: np.ndarray) -> None:
    engine = engine_of(Classes(), overlap=0.4)
    again = pickle.loads(pickle.dumps(engine))
    assert np.array_equal(in_writes(again, image, 90, 90), in_writes(engine, image, 150, 203))


def test_a_run_that_is_stopped_ends_inside_the_network(image: np.ndarray) -> None:
    asked = iter([False] * 4 + [True] * 9)
    engine = engine_of(Attention())
    with pytest.raises(RunCancelled, match="finished tiles are kept"):
        engine.compute(engine.tile(Region.of((0, 10), (0, 10))), reading(image), lambda: next(asked))


def test_pixels_that_are_not_numbers_are_refused(image: np.ndarray) -> None:
    broken = image.astype(np.float32)
    broken[0, 5, 5] = np.nan
    engine = engine_of(Attention())
    with pytest.raises(InputMismatch, match="NaN or infinity"):
        in_writes(engine, broken, 150, 203)


def test_a_network_that_makes_another_shape_of_another_tile_is_refused(image: np.ndarray) -> None:
    class Fickle(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[..., : max(int(x.max()), 1)] if type(x) is Tensor else x

    engine = engine_of(Fickle())
    with pytest.raises(ModelError, match="the same shape of every tile"):
        in_writes(engine, image // 200, 150, 203)
