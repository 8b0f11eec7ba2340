"""The rate that is shown: the last ten seconds of work, whatever was before."""

from __future__ import annotations

from napari_seamless.runtime.executor.batcher import MOST_TILES, Batcher
from napari_seamless.runtime.executor.throughput import Throughput


def test_nothing_done_is_no_rate() -> None:
    pace = Throughput()
    pace.start(5.0)
    assert pace.rate(9.0) == 0


def test_the_rate_is_of_the_last_ten_seconds() -> None:
    pace = Throughput()
    pace.start(0.0)
    for second in range(1, 101):
        pace.gain(float(second), 10 if second <= 50 else 1000)
    assert pace.rate(100.0) == 1000


def test_one_slow_tile_has_a_rate_that_fades_while_the_next_is_made() -> None:
    pace = Throughput()
    pace.start(0.0)
    pace.gain(60.0, 6000)
    assert pace.rate(60.0) == 100
    assert pace.rate(120.0) == 50


def test_a_pause_does_not_count() -> None:
    pace = Throughput()
    pace.start(0.0)
    pace.gain(2.0, 100)
    pace.rest(2.0)
    pace.start(1000.0)
    pace.gain(1002.0, 100)
    assert (pace.seconds(1002.0), pace.rate(1002.0)) == (4.0, 50.0)


def test_quick_tiles_are_grouped_step_by_step_and_slow_ones_are_not() -> None:
    grouping = Batcher()
    sizes = []
    for _ in range(5):
        grouping.learn(grouping.size, grouping.size * 0.001)
        sizes.append(grouping.size)
    assert sizes == [2, 4, MOST_TILES, MOST_TILES, MOST_TILES]
    for _ in range(5):
        grouping.learn(grouping.size, grouping.size * 0.2)
    assert grouping.size == 1


def test_a_retarget_drops_back_to_single_tiles() -> None:
    grouping = Batcher()
    grouping.learn(1, 0.001)
    grouping.learn(2, 0.002)
    grouping.heed(1)
    assert grouping.size == 1
    grouping.learn(1, 0.001)
    grouping.heed(1)
    assert grouping.size == 2
