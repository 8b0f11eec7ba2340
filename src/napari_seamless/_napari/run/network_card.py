"""What a person is told of a network before running it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from napari_seamless._napari.widgets.card import CardContent, Swatch
from napari_seamless._napari.widgets.status_label import StatusMessage

if TYPE_CHECKING:
    from napari_seamless.models import Model
    from napari_seamless.models.model import Resolution

ANY_NDIM = "any"


def card_of(model: Model) -> CardContent:
    """The card of a network: what it finds, what it wants, where it comes from, what it is bad at."""
    card = model.card
    rows = [
        ("Makes", _makes(model)),
        ("Wants", _wants(model)),
        ("Pixel size", _pixel_size(model)),
        ("Trained on", _joined(card.get("data"), _in_brackets(card.get("data_licence")))),
        ("Licence", _text(card.get("licence") or card.get("weights_licence"))),
        ("Held out", "\n".join(_figures(card.get("held_out")))),
        ("Checked", _text(card.get("checked"))),
        ("Format", _text(card.get("format"))),
        ("Approximate", _text(card.get("not_exact"))),
        ("By", _text(card.get("authors"))),
        ("Cite", _text(card.get("citation"))),
    ]
    task = _text(card.get("task") or card.get("description"))
    return CardContent(
        title=model.title,
        about=task[:1].upper() + task[1:],
        rows=tuple((name, text) for name, text in rows if text),
        classes=tuple(Swatch(c.name, c.colour) for c in model.classes if c.value),
        limits=tuple(map(str, _listed(card.get("limits")))),
    )


def resolution_match(wanted: Resolution | None, size: Sequence[float] | None) -> StatusMessage | None:
    """How an image's pixel size (um, None where it is not known) goes with the one that a network works at.

    >>> class Half:
    ...     pixel_size, tolerance = (0.5, 0.5), 0.1
    >>> resolution_match(Half(), (0.499, 0.499)).sentence
    'Model 0.5 µm/px, image 0.499: fits.'
    >>> resolution_match(Half(), (0.25, 0.25)).sentence
    'Model 0.5 µm/px, image 0.25: the image is resampled to 0.50 of its size for the network, and the result back.'
    """
    if wanted is None:
        return None
    size = None if size is None else size[-len(wanted.pixel_size) :]  # a network for planes runs on planes of a volume
    here = "'s is not known" if size is None else f" {_micrometres(size)}"
    said = f"Model {_micrometres(wanted.pixel_size)} µm/px, image{here}"
    if size is None:
        return StatusMessage(f"{said}.", "caution")
    ratios = [own / model for own, model in zip(size, wanted.pixel_size, strict=True)]
    if all(abs(ratio - 1) <= wanted.tolerance for ratio in ratios):
        return StatusMessage(f"{said}: fits.", "good")
    times = " × ".join(f"{ratio:.2f}" for ratio in dict.fromkeys(ratios))
    return StatusMessage(
        f"{said}: the image is resampled to {times} of its size for the network, and the result back.", "good"
    )


def _makes(model: Model) -> str:
    if model.kind == "labels":
        return "a class for every pixel"
    return f"an image: {', '.join(model.channel_names)}" if model.channel_names else "an image"


def _wants(model: Model) -> str:
    channels = "any number of channels" if model.channels is None else f"{model.channels} channels"
    if model.channels == 1:
        channels = "1 channel"
    if model.input_names:
        channels += f" ({', '.join(model.input_names)})"
    kind = [] if model.card.get("ndim") == ANY_NDIM else ["volumes" if model.ndim == 3 else "planes"]
    values = [f"{model.dtype} values"] if model.dtype else []
    fixed = model.card.get("input_size")
    size = [f"tiles of {' × '.join(map(str, fixed))} px"] if isinstance(fixed, list | tuple) else []
    return ", ".join([channels, *kind, *values, *size])


def _pixel_size(model: Model) -> str:
    if model.resolution is None:
        return _text(model.card.get("pixel_size")) or "not said: images are taken as they are"
    return f"{_micrometres(model.resolution.pixel_size)} µm, within {model.resolution.tolerance:.0%}"


def _micrometres(sizes: Sequence[float]) -> str:
    return " × ".join(f"{size:.3g}" for size in (sizes if len(set(sizes)) > 1 else sizes[:1]))


def _figures(found: object) -> Iterator[str]:
    """A line for each group of held-out images."""
    if not isinstance(found, Mapping):
        if found:
            yield _text(found)
        return
    groups = {k: v for k, v in found.items() if isinstance(v, Mapping)}
    single = {k: v for k, v in found.items() if not isinstance(v, Mapping)}
    if single:
        yield _numbers(single)
    for name, figures in groups.items():
        yield f"{name}: {_numbers(figures)}"


def _numbers(figures: Mapping[str, object]) -> str:
    floats = {str(name).replace("_", " "): value for name, value in figures.items() if isinstance(value, float)}
    scores = [f"{name} {value:.3g}" for name, value in floats.items()]
    counts = [f"{value} {name}" for name, value in figures.items() if not isinstance(value, float)]
    return ", ".join(scores) + (f" ({', '.join(counts)})" if counts else "")


def _listed(found: object) -> Sequence[object]:
    if isinstance(found, str):
        return (found,)
    return found if isinstance(found, Sequence) else ()


def _text(found: object) -> str:
    if found is None:
        return ""
    return "; ".join(map(str, found)) if isinstance(found, list | tuple) else str(found)


def _joined(first: object, last: str) -> str:
    return f"{_text(first)}{last}" if first else ""


def _in_brackets(found: object) -> str:
    return f" ({found})" if found else ""
