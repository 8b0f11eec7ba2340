"""The queue: whatever happens in between, every wanted chunk is given out and done exactly once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.runtime.executor.tile_queue import ViewFirstQueue
from napari_seamless.runtime.planning.order import view_first

CHUNKS = Grid(shape=(70, 90), cell=(10, 10))
EVERYTHING = Region.from_shape(CHUNKS.shape)


def queue(
    chunks: Grid = CHUNKS,
    wanted: Region | None = None,
    finished: np.ndarray | None = None,
    tile: int = 20,
    **more: object,
) -> ViewFirstQueue:
    done = np.zeros(chunks.counts, bool) if finished is None else finished
    return ViewFirstQueue(chunks, wanted or Region.from_shape(chunks.shape), done, view_first, tile, **more)  # type: ignore[arg-type]


def drain(queue: ViewFirstQueue) -> list[Region]:
    """Take and finish everything."""
    writes = []
    while (write := queue.take()) is not None:
        queue.done(write)
        writes.append(write)
    return writes


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_every_wanted_chunk_is_done_exactly_once_whatever_happens_in_between(data: st.DataObject) -> None:
    ndim = data.draw(st.sampled_from((2, 3)))
    chunks = Grid(data.draw(st.tuples(*[st.integers(1, 60)] * ndim)), (10,) * ndim)
    bounds = [sorted(data.draw(st.tuples(st.integers(-5, 70), st.integers(-5, 70)))) for _ in range(ndim)]
    wanted = Region.of(*((lo, hi) for lo, hi in bounds))
    finished = np.array(data.draw(st.lists(st.booleans(), min_size=chunks.size, max_size=chunks.size)), bool)
    finished = finished.reshape(chunks.counts)
    times = finished.astype(int)
    todo = queue(chunks, wanted, finished, 10 * data.draw(st.integers(1, 4)))
    flying: list[Region] = []
    actions = data.draw(st.lists(st.sampled_from("ttttddgsv"), max_size=60))
    for action in [*actions, *"td" * (2 * chunks.size)]:
        if action == "t" and (write := todo.take()) is not None:
            assert chunks.aligned(write)
            flying.append(write)
        elif action in "dg" and flying:
            write = flying.pop(data.draw(st.integers(0, len(flying) - 1)) if len(flying) > 1 else 0)
            todo.done(write) if action == "d" else todo.give_back(write)
            times[chunks.covering(write).slices()] += action == "d"
        elif action == "s":
            todo.set_tile(10 * data.draw(st.integers(1, 4)))
        elif action == "v":
            lo = data.draw(st.tuples(*[st.integers(-10, 60)] * ndim))
            todo.retarget(Region.of(*((a, a + 15) for a in lo)))
    inside = np.zeros(chunks.counts, bool)
    inside[chunks.covering(wanted).slices()] = True
    np.testing.assert_array_equal(times, finished | inside)
    assert todo.is_finished
    done, total = todo.counts
    assert done == total == chunks.pixels(chunks.covering(wanted)).size


def test_an_untouched_tile_is_given_whole() -> None:
    assert queue().take() == Region.of((0, 20), (0, 20))


def test_a_tile_that_is_partly_done_is_given_without_what_is_done() -> None:
    finished = np.zeros(CHUNKS.counts, bool)
    finished[:2, :2] = True
    todo = queue(finished=finished, wanted=Region.of((0, 40), (0, 40)), tile=40)
    assert drain(todo) == [Region.of((0, 40), (20, 40)), Region.of((20, 40), (0, 20))]


def test_what_is_wanted_is_rounded_out_to_whole_chunks() -> None:
    todo = queue(wanted=Region.of((12, 13), (5, 25)), tile=40)
    assert todo.wanted == Region.of((10, 20), (0, 30))
    assert drain(todo) == [Region.of((10, 20), (0, 30))]


def test_tiles_are_anchored_at_zero_and_not_at_what_is_wanted() -> None:
    writes = drain(queue(wanted=Region.of((10, 50), (10, 30))))
    assert Region.of((20, 40), (20, 30)) in writes


def test_what_is_on_screen_is_given_first_nearest_its_centre_first() -> None:
    writes = drain(queue(view=Region.of((30, 70), (40, 80)), tile=10))
    view = Region.of((30, 70), (40, 80))
    distances = [write.distance((50, 60)) for write in writes[:16]]
    assert all(view.contains(write) for write in writes[:16])
    assert distances == sorted(distances)


def test_a_new_view_jumps_the_queue_at_once() -> None:
    todo = queue(view=Region.of((0, 20), (0, 20)))
    todo.done(todo.take())  # type: ignore[arg-type]
    todo.retarget(Region.of((61, 69), (81, 89)))
    assert todo.take() == Region.of((60, 70), (80, 90))


def test_a_new_view_gives_the_chunk_at_its_centre_before_whole_tiles() -> None:
    todo = queue(tile=40)
    todo.retarget(Region.of((6, 38), (46, 78)))
    assert todo.take() == Region.of((20, 30), (60, 70))
    assert todo.take() == Region.of((0, 20), (40, 80)), "the rest of its tile, in large pieces"
    todo.retarget(Region.of((60, 69), (0, 9)))
    assert todo.take() == Region.of((60, 70), (0, 10))


def test_a_run_without_a_view_begins_with_a_whole_tile() -> None:
    assert queue(tile=40).take() == Region.of((0, 40), (0, 40))


def test_a_piece_in_work_is_aside_only_while_something_on_screen_waits() -> None:
    view = Region.of((0, 20), (0, 20))
    todo = queue(tile=10)
    far = todo.take()
    while far is not None and far.overlaps(view):
        far = todo.take()
    assert far is not None
    assert not todo.is_preempted(far), "nothing is on screen"
    todo.retarget(far)
    assert not todo.is_preempted(far), "it is on screen itself"
    todo.retarget(Region.of((50, 70), (70, 90)))
    assert todo.is_preempted(far)
    while (write := todo.take()) is not None and write.overlaps(Region.of((50, 70), (70, 90))):
        todo.done(write)
    assert not todo.is_preempted(far), "all that is on screen is done"
    todo.retarget(Region.of((500, 520), (500, 520)))
    assert not todo.is_preempted(far), "nothing of the image is on screen"


def test_a_new_tile_size_regroups_what_is_left_and_repeats_nothing() -> None:
    todo = queue(tile=10)
    before = [todo.take() for _ in range(3)]
    todo.set_tile(40)
    after = drain(todo)
    assert not any(a.overlaps(b) for a in after for b in before if b)
    assert sum(r.size for r in after) + sum(r.size for r in before if r) == EVERYTHING.size
    assert max(r.size for r in after) == 1600


def test_without_the_whole_only_the_view_and_its_surroundings_are_made() -> None:
    todo = queue(view=Region.of((30, 40), (30, 40)), tile=10, whole=False)
    assert set(drain(todo)) == {CHUNKS.region(c) for c in cells_of(Region.of((2, 5), (2, 5)))}
    assert todo.is_finished
    assert todo.counts == (900, 900)


def test_a_finished_queue_goes_on_when_the_new_view_shows_something_undone() -> None:
    todo = queue(view=Region.of((30, 40), (30, 40)), tile=10, whole=False)
    drain(todo)
    todo.retarget(Region.of((30, 40), (40, 50)))
    assert not todo.is_finished
    assert todo.counts == (600, 900)
    assert len(drain(todo)) == 3


def test_it_is_not_finished_while_something_is_in_flight() -> None:
    todo = queue(wanted=Region.of((0, 20), (0, 20)))
    write = todo.take()
    assert write is not None
    assert todo.take() is None
    assert not todo.is_finished
    todo.give_back(write)
    assert todo.take() == write
    todo.done(write)
    assert todo.is_finished


def test_what_is_given_back_comes_again_even_when_only_the_view_is_made() -> None:
    todo = queue(view=Region.of((30, 40), (30, 40)), tile=10, whole=False)
    taken = [todo.take() for _ in range(9)]
    assert todo.take() is None
    for write in taken:
        assert write is not None
        todo.give_back(write)
    assert [todo.take() for _ in range(9)] == taken


def test_only_what_was_taken_can_be_done() -> None:
    todo = queue()
    with pytest.raises(BadRequest, match="only a region that was taken"):
        todo.done(Region.of((0, 10), (0, 10)))


@pytest.mark.parametrize("tile", [0, 5, 15])
def test_a_tile_that_cuts_chunks_is_refused(tile: int) -> None:
    with pytest.raises(BadRequest, match="whole number of chunks, of 10 pixels"):
        queue(tile=tile)
    with pytest.raises(BadRequest, match="whole number of chunks"):
        queue().set_tile(tile)


def test_along_an_axis_of_a_single_chunk_any_tile_will_do() -> None:
    narrow = Grid(shape=(70, 7), cell=(10, 7))
    assert drain(queue(narrow, tile=40)) == [Region.of((0, 40), (0, 7)), Region.of((40, 70), (0, 7))]


def test_the_finished_chunks_must_be_of_the_same_grid() -> None:
    with pytest.raises(BadRequest, match=r"whole chunk grid, \(7, 9\); got shape \(3, 3\)"):
        queue(finished=np.zeros((3, 3), bool))


def test_a_volume_has_its_own_tile_edge_in_z() -> None:
    volume = Grid(shape=(8, 40, 40), cell=(2, 10, 10))
    assert queue(volume).take() == Region.of((0, 2), (0, 20), (0, 20))
    assert queue(volume, z=4).take() == Region.of((0, 4), (0, 20), (0, 20))


def test_the_count_of_pixels_follows_what_is_done() -> None:
    todo = queue(wanted=Region.of((50, 70), (70, 90)), tile=10)
    assert todo.counts == (0, 400)
    write = todo.take()
    assert write is not None
    todo.done(write)
    assert todo.counts == (100, 400)


def test_a_retarget_over_a_huge_half_finished_image_gives_the_view_without_walking_it() -> None:
    huge = Grid(shape=(1_000_000, 1_000_000), cell=(512, 512))
    finished = np.zeros(huge.counts, bool)
    finished[:1000] = True
    steps = 0

    def order(*request: object):  # type: ignore[no-untyped-def]
        nonlocal steps
        for cell in view_first(*request):  # type: ignore[arg-type]
            steps += 1
            yield cell

    todo = ViewFirstQueue(huge, Region.from_shape(huge.shape), finished, order, 512)
    steps = 0
    todo.retarget(Region.of((900_000, 902_000), (900_000, 902_000)))
    write = todo.take()
    assert write is not None
    assert write.overlaps(Region.of((900_000, 902_000), (900_000, 902_000)))
    assert steps < 10
