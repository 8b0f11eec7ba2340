"""The live store against a plain numpy pyramid: same pixels whatever the tiles, their order and who wrote them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region, cells_of
from napari_seamless.interfaces import LiveImage, Sink, Source
from napari_seamless.store import Store, StoreSpec, create_store
from napari_seamless.store import spec as spec_module

Array = NDArray[Any]


@pytest.fixture(autouse=True)
def _small_last_level() -> Iterator[None]:
    """Pyramids of several levels from images of a hundred pixels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spec_module, "LAST_LEVEL_EDGE", 12)
        yield


def spec_for(shape: tuple[int, ...], kind: Any = "labels", **more: Any) -> StoreSpec:
    facts: dict[str, Any] = {
        "channels": None,
        "dtype": np.uint8,
        "chunk": 16,
        "source_identity": "s",
        "program_hash": "p",
    }
    return StoreSpec(shape=shape, kind=kind, **{**facts, **more})


def picture(spec: StoreSpec, seed: int = 0) -> Array:
    """(c, [z,] y, x) of random pixels, a third of the plane empty."""
    rng = np.random.default_rng(seed)
    shape = (spec.channels or 1, *spec.shape)
    if spec.dtype.kind == "f":
        pixels = rng.normal(size=shape).astype(spec.dtype)
    else:
        high = 4 if spec.kind == "labels" else min(int(np.iinfo(spec.dtype).max), 2**31)
        pixels = rng.integers(0, high, shape).astype(spec.dtype)
    pixels[..., : spec.shape[-1] // 3] = 0
    return pixels


def tiles(spec: StoreSpec, edge: int, seed: int) -> list[Region]:
    """Regions of edge x edge chunks that cover the plane, in random order."""
    counts = spec.grid.counts
    boxes = [
        Region.of(
            *((i, i + 1) for i in cell[:-2]),
            *((i, min(i + edge, n)) for i, n in zip(cell[-2:], counts[-2:], strict=True)),
        )
        for cell in cells_of(Region.from_shape(counts))
        if cell[-2] % edge == 0 and cell[-1] % edge == 0
    ]
    Random(seed).shuffle(boxes)
    return [spec.grid.pixels(box) for box in boxes]


def fill(store: Store, pixels: Array, regions: list[Region]) -> None:
    for region in regions:
        store.write(region, pixels[(slice(None), *region.slices())])
        store.commit(region)


def whole(store: Store, level: int) -> Array:
    return store.read(Region.from_shape(store.info.levels.shape(level)), level)


def expected_levels(pixels: Array, kind: str, count: int) -> list[Array]:
    """The pyramid by definition, one coarse pixel at a time."""
    levels = [pixels]
    while len(levels) < count:
        fine = levels[-1]
        *front, y, x = fine.shape
        coarse = np.zeros((*front, -(-y // 2), -(-x // 2)), fine.dtype)
        for index in np.ndindex(coarse.shape):
            four = fine[(*index[:-2], slice(2 * index[-2], 2 * index[-2] + 2), slice(2 * index[-1], 2 * index[-1] + 2))]
            coarse[index] = most_frequent(four) if kind == "labels" else np.rint(four.astype(float).mean())
        levels.append(coarse)
    return levels


def most_frequent(values: Array) -> int:
    counted = [(np.count_nonzero(values == v), int(v)) for v in np.unique(values)]
    return max(counted)[1]


@settings(deadline=None, max_examples=25)
@given(
    size=st.tuples(st.integers(1, 75), st.integers(1, 75)),
    chunk=st.sampled_from([5, 8, 16]),
    edge=st.integers(1, 3),
    seed=st.integers(0, 999),
    kind=st.sampled_from(["labels", "image"]),
)
def test_every_level_is_the_numpy_pyramid_whatever_the_tiles_and_their_order(
    size: tuple[int, int], chunk: int, edge: int, seed: int, kind: str
) -> None:
    spec = spec_for(size, kind, chunk=chunk)
    pixels = picture(spec, seed)
    store = create_store(None, spec)
    fill(store, pixels, tiles(spec, edge, seed))
    for level, expected in enumerate(expected_levels(pixels, kind, len(store.levels))):
        np.testing.assert_array_equal(whole(store, level), expected)
        np.testing.assert_array_equal(np.asarray(store.levels[level]), expected[0])


@pytest.mark.parametrize(
    ("kind", "channels", "dtype", "shape"),
    [
        ("labels", None, "uint16", (3, 37, 41)),
        ("labels", None, "int32", (20, 29, 17)),
        ("image", 3, "uint8", (53, 31)),
        ("image", 6, "uint16", (31, 47)),
        ("image", 2, "int16", (17, 19, 23)),
        ("image", None, "uint32", (1, 61)),
    ],
)
def test_volumes_channels_and_other_integers_have_the_same_levels(
    kind: str, channels: int | None, dtype: str, shape: tuple[int, ...]
) -> None:
    spec = spec_for(shape, kind, channels=channels, dtype=np.dtype(dtype), chunk=8)
    pixels = picture(spec)
    store = create_store(None, spec)
    fill(store, pixels, tiles(spec, 2, 3))
    for level, expected in enumerate(expected_levels(pixels, kind, len(store.levels))):
        np.testing.assert_array_equal(whole(store, level), expected)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_float_levels_are_means_and_the_same_bits_whatever_the_tiles(dtype: str) -> None:
    spec = spec_for((43, 71), "image", channels=2, dtype=np.dtype(dtype))
    pixels = picture(spec)
    one, other = create_store(None, spec), create_store(None, spec)
    fill(one, pixels, tiles(spec, 1, 1))
    fill(other, pixels, tiles(spec, 3, 2))
    for level in range(len(one.levels)):
        assert whole(one, level).tobytes() == whole(other, level).tobytes()
    means = pixels[:, :42, :70].astype(np.float64).reshape(2, 21, 2, 35, 2).mean((2, 4))
    np.testing.assert_allclose(
        whole(one, 1)[:, :21, :35],
        means,
        rtol=2e-3 if dtype == "float16" else 1e-6,
        atol=2e-3 if dtype == "float16" else 1e-7,
    )


def test_a_thin_structure_is_still_there_when_zoomed_out() -> None:
    spec = spec_for((48, 48))
    pixels = np.zeros((1, 48, 48), np.uint8)
    pixels[0, 20] = 1
    store = create_store(None, spec)
    fill(store, pixels, tiles(spec, 1, 0))
    assert [int(whole(store, k).max()) for k in range(len(store.levels))] == [1, 1, 1]


def test_a_store_plays_all_three_parts() -> None:
    store = create_store(None, spec_for((40, 40)))
    assert isinstance(store, Source)
    sink: Sink = store
    live: LiveImage = store
    assert sink is live


def test_threads_may_write_while_one_thread_lands_and_another_reads() -> None:
    spec = spec_for((160, 160), "image", channels=3)
    pixels = picture(spec)
    store = create_store(None, spec, cache_bytes=6_000)  # far too small for all: eviction goes on all the time
    regions = tiles(spec, 1, 5)
    written: list[Region] = []
    stop = threading.Event()

    def write(mine: list[Region]) -> None:
        for region in mine:
            store.write(region, pixels[(slice(None), *region.slices())])
            written.append(region)

    def look() -> None:
        while not stop.is_set():
            for level in store.levels[:-1]:
                level[..., 3:90:2, ::-1]  # type: ignore[index]

    writers = [threading.Thread(target=write, args=(regions[k::4],)) for k in range(4)]
    reader = threading.Thread(target=look)
    for thread in (*writers, reader):
        thread.start()
    done = 0
    while done < len(regions):
        if done < len(written):
            store.commit(written[done])
            done += 1
    stop.set()
    for thread in (*writers, reader):
        thread.join()
    for level, expected in enumerate(expected_levels(pixels, "image", len(store.levels))):
        np.testing.assert_array_equal(whole(store, level), expected)


def test_nothing_is_shown_before_it_is_committed() -> None:
    spec = spec_for((32, 32))
    store = create_store(None, spec)
    region = spec.grid.region((0, 1))
    store.write(region, np.ones((1, 16, 16), np.uint8))
    assert not np.asarray(store.levels[0]).any()
    assert not store.finished.any()
    store.commit(region)
    assert np.asarray(store.levels[0])[:16, 16:].all()
    assert store.finished.tolist() == [[False, True], [False, False]]


def test_the_last_level_is_one_array_that_changes_in_place() -> None:
    spec = spec_for((40, 40))
    store = create_store(None, spec)
    last = store.levels[-1]
    assert isinstance(last, np.ndarray)
    fill(store, np.ones((1, 40, 40), np.uint8), tiles(spec, 1, 0))
    assert last.all()
    assert store.levels[-1].base is last.base  # type: ignore[attr-defined]


def test_pieces_alone_are_enough_to_paint_every_level() -> None:
    spec = spec_for((70, 51), "image", channels=2)
    pixels = picture(spec)
    store = create_store(None, spec)
    watcher = store.watch()
    painted = [np.zeros((2, *shape), np.uint8) for shape in store.info.levels.shapes]
    for region in tiles(spec, 2, 1):
        fill(store, pixels, [region])
        while watcher:
            piece = watcher.popleft()
            painted[piece.level][(slice(None), *piece.region.slices())] = piece.pixels
            assert not piece.pixels.flags.writeable
    for level, canvas in enumerate(painted):
        np.testing.assert_array_equal(canvas, whole(store, level))


def test_a_watcher_that_sleeps_loses_the_oldest_pieces_and_one_that_left_gets_none() -> None:
    spec = spec_for((64, 64))
    store = create_store(None, spec)
    asleep, gone = store.watch(), store.watch()
    store.unwatch(gone)
    for _ in range(10):
        fill(store, picture(spec), tiles(spec, 1, 0))
    assert len(asleep) == asleep.maxlen
    assert not gone


@pytest.mark.parametrize(
    "index",
    [
        np.s_[:],
        np.s_[5],
        np.s_[-1],
        np.s_[..., 7],
        np.s_[2:30:3, 40:3:-2],
        np.s_[np.int64(4), ::-1],
        np.s_[10:10],
        np.s_[60:],
        np.s_[[3, 1, 1]],
        np.s_[..., None],
    ],
    ids=str,
)
def test_a_level_is_indexed_like_the_array_it_stands_for(index: Any) -> None:
    spec = spec_for((45, 67))
    pixels = picture(spec)
    store = create_store(None, spec)
    fill(store, pixels, tiles(spec, 1, 0))
    level: Any = store.levels[0]
    expected = pixels[0][index]
    np.testing.assert_array_equal(level[index], expected)
    assert level[index].shape == expected.shape


def test_channels_and_planes_are_picked_by_integers() -> None:
    spec = spec_for((5, 33, 20), "image", channels=4)
    pixels = picture(spec)
    store = create_store(None, spec)
    fill(store, pixels, tiles(spec, 1, 0))
    level: Any = store.levels[0]
    np.testing.assert_array_equal(level[2, 3, 4:9, :], pixels[2, 3, 4:9])
    np.testing.assert_array_equal(level[1:3, -1], pixels[1:3, -1])
    assert (level.shape, level.ndim, level.size, len(level)) == (pixels.shape, 4, pixels.size, 4)


def test_a_level_has_no_chunks_for_napari_to_find() -> None:
    assert not hasattr(create_store(None, spec_for((40, 40))).levels[0], "chunks")


def test_a_slide_is_not_read_whole_by_accident() -> None:
    store = create_store(None, spec_for((100_000, 100_000), chunk=512))
    level: Any = store.levels[0]
    with pytest.raises(MemoryError, match=r"at most 0\.5 GB; got 10\.0 GB; read a smaller region or a coarser level"):
        np.asarray(level)
    assert not level[50_000:50_010, :].any()


def test_an_index_outside_a_level_is_an_index_error() -> None:
    level: Any = create_store(None, spec_for((40, 40))).levels[0]
    with pytest.raises(IndexError, match="index 40 is outside axis 1 of 40 pixels"):
        level[0, 40]
    with pytest.raises(IndexError, match="takes at most 2 indices"):
        level[0, 0, 0]


@pytest.mark.parametrize(
    "region",
    [Region.of((0, 16), (0, 15)), Region.of((8, 24), (0, 16)), Region.of((0, 16), (32, 48)), Region.of((0, 16))],
)
def test_regions_that_are_not_whole_chunks_are_refused(region: Region) -> None:
    store = create_store(None, spec_for((40, 40)))
    with pytest.raises(BadRequest, match="must be made of whole chunks"):
        store.write(region, np.zeros((1, *region.shape), np.uint8))
    with pytest.raises(BadRequest, match="must be made of whole chunks"):
        store.commit(region)


@pytest.mark.parametrize("pixels", [np.zeros((16, 16), np.uint8), np.zeros((1, 16, 16), np.int64)])
def test_pixels_of_another_shape_or_dtype_are_refused(pixels: Array) -> None:
    with pytest.raises(BadRequest, match=r"written with uint8 pixels of shape \(1, 16, 16\)"):
        create_store(None, spec_for((40, 40))).write(Region.of((0, 16), (0, 16)), pixels)


def test_reading_outside_a_level_is_refused() -> None:
    store = create_store(None, spec_for((40, 40)))
    with pytest.raises(BadRequest, match="must lie inside its level"):
        store.read(Region.of((0, 41), (0, 40)))
    with pytest.raises(BadRequest, match="level must be between 0 and 2"):
        store.read(Region.of((0, 1), (0, 1)), 3)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"shape": (4,)}, "2 or 3 spatial axes"),
        ({"shape": (0, 4)}, "2 or 3 spatial axes"),
        ({"channels": 3}, "labels are integers without a channel axis"),
        ({"dtype": np.float32}, "labels are integers without a channel axis"),
        ({"kind": "image", "dtype": np.complex64}, "an image holds floats or integers; got complex64"),
        ({"kind": "image", "channels": 0}, "at least one channel"),
        ({"chunk": 0}, "at least 1 pixel"),
        ({"pixel_size": (1.0,)}, "one number a spatial axis"),
        ({"kind": "image", "channels": 2, "channel_names": ("a",)}, "a channel has one name"),
        ({"provenance": {"when": object()}}, "made of JSON values"),
    ],
)
def test_what_cannot_be_stored_is_refused(changes: dict[str, Any], complaint: str) -> None:
    facts: dict[str, Any] = {"shape": (40, 40), "kind": "labels", **changes}
    with pytest.raises(BadRequest, match=complaint):
        spec_for(facts.pop("shape"), facts.pop("kind"), **facts)


def test_rewriting_a_chunk_replaces_it_on_every_level() -> None:
    spec = spec_for((50, 50))
    store = create_store(None, spec)
    fill(store, picture(spec, 1), tiles(spec, 1, 0))
    second = picture(spec, 2)
    second[:, :32] = 0
    fill(store, second, tiles(spec, 2, 0))
    for level, expected in enumerate(expected_levels(second, "labels", len(store.levels))):
        np.testing.assert_array_equal(whole(store, level), expected)
