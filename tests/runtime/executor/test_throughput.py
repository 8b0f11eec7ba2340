"""The rate that is shown: the last ten seconds of work, whatever was before."""

from __future__ import annotations

from napari_seamless.runtime.executor.batcher import MOST_TILES, Batcher
from napari_seamless.runtime.executor.throughput import Throughput


def test_nothing_done_is_no_rate() -> None:
    throughput = Throughput()
    throughput.start(5.0)
    assert throughput.rate(9.0) == 0


def test_the_rate_is_of_the_last_ten_seconds() -> None:
    throughput = Throughput()
    throughput.start(0.0)
    for second in range(1, 101):
        throughput.add(float(second), 10 if second <= 50 else 1000)
    assert throughput.rate(100.0) == 1000


def test_one_slow_tile_has_a_rate_that_fades_while_the_next_is_made() -> None:
    throughput = Throughput()
    throughput.start(0.0)
    throughput.add(60.0, 6000)
    assert throughput.rate(60.0) == 100
    assert throughput.rate(120.0) == 50


def test_a_pause_does_not_count() -> None:
    throughput = Throughput()
    throughput.start(0.0)
    throughput.add(2.0, 100)
    throughput.stop(2.0)
    throughput.start(1000.0)
    throughput.add(1002.0, 100)
    assert (throughput.seconds(1002.0), throughput.rate(1002.0)) == (4.0, 50.0)


def test_quick_tiles_are_batched_step_by_step_and_slow_ones_are_not() -> None:
    batcher = Batcher()
    sizes = []
    for _ in range(5):
        batcher.add(batcher.size, batcher.size * 0.001)
        sizes.append(batcher.size)
    assert sizes == [2, 4, MOST_TILES, MOST_TILES, MOST_TILES]
    for _ in range(5):
        batcher.add(batcher.size, batcher.size * 0.2)
    assert batcher.size == 1


def test_a_retarget_drops_back_to_single_tiles() -> None:
    batcher = Batcher()
    batcher.add(1, 0.001)
    batcher.add(2, 0.002)
    batcher.set_revision(1)
    assert batcher.size == 1
    batcher.add(1, 0.001)
    batcher.set_revision(1)
    assert batcher.size == 2
