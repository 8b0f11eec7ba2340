"""Numbers as a person reads them. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from napari_seamless.interfaces import Progress


def memory(count: int) -> str:
    """Bytes in a decimal unit.

    >>> memory(310_400_000), memory(1_400_000_000)
    ('310 MB', '1.4 GB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 999_500_000 else f"{max(count / 1e6, 1):.0f} MB"


def duration(seconds: float) -> str:
    """A time to wait, no more exact than it can be known.

    >>> duration(4.2), duration(75), duration(7300)
    ('4 s', '1 min 15 s', '2 h 1 min')
    """
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def megapixels(count: float) -> str:
    """Pixels in millions (or thousands of millions).

    >>> megapixels(6_586_740), megapixels(180_000), megapixels(4.2e9)
    ('6.6 MP', '0.18 MP', '4.2 GP')
    """
    if count >= 1e9:
        return f"{count / 1e9:.1f} GP"
    return f"{count / 1e6:.2f} MP" if count < 1e6 else f"{count / 1e6:.1f} MP"


def size(shape: Sequence[int]) -> str:
    """A spatial shape, in the order that people say it: width first.

    >>> size((2967, 2220)), size((64, 512, 600))
    ('2220 × 2967 px', '600 × 512 px × 64 planes')
    """
    *front, height, width = shape
    planes = "".join(f" × {n} planes" for n in front)
    return f"{width} × {height} px{planes}"


def in_passes(progress: Progress) -> str:
    """The present pass, without what changes from second to second.

    >>> in_passes(Progress("running", 1, 9, 1, 1.0, 1.0, None, pass_number=3, passes=16))
    'measuring, pass 3 of 16'
    >>> in_passes(Progress("running", 8, 9, 1, 1.0, 1.0, None, pass_number=16, passes=16))
    'pass 16 of 16'
    """
    number = f"pass {progress.pass_number} of {progress.passes}"
    return number if progress.pass_number == progress.passes else f"measuring, {number}"


def _passes(progress: Progress) -> str:
    if progress.state == "finished":
        return f"{progress.passes} passes"
    is_last = progress.pass_number == progress.passes
    return f"{in_passes(progress)}: {progress.pass_fraction * 100:.0f} %" if is_last else in_passes(progress)


def first_look(preview: Progress, run: Progress) -> str:
    """How far a preview is, and what comes after it.

    >>> some = Progress("running", 1, 4, 1, 1.0, 1.0, None)
    >>> first_look(some, Progress("running", 0, 9, 0, 0.0, 0.0, None, passes=16))
    'preview: 25 % · then 16 passes'
    """
    return f"preview: {preview.fraction * 100:.0f} % · then {run.passes} passes"


def advance(progress: Progress) -> str:
    """One line on how far a run is, how fast, and how long it still takes.

    Work in passes is not told in pixels: one that measures makes none.
    """
    if progress.passes > 1:
        parts = [_passes(progress)]
    else:
        parts = [f"{megapixels(progress.done)} of {megapixels(progress.total)}"]
    is_over = progress.state == "finished" and progress.seconds > 0
    rate = progress.done / progress.seconds if is_over else progress.rate  # the smoothed one fades while it is checked
    if rate > 0 and progress.passes == 1:
        parts.append(f"{rate / 1e6:.2f} MP/s")
    if progress.utilization is not None and progress.state in ("running", "finished"):
        parts.append(f"device {progress.utilization * 100:.0f} % busy")
    if progress.state == "running" and progress.eta is not None:
        parts.append(f"{duration(progress.eta)} left")
    elif progress.state == "finished":
        parts.append(f"in {duration(progress.seconds)}")
    return " · ".join(parts)
