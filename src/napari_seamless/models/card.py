"""A model's card for a person: what it does, what of, how good it is, what it is bad at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from napari_seamless.errors import one_line
from napari_seamless.models import Model

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "What it does": ("task", "description", "painting", "boundary"),
    "Input and output": ("input", "output", "channels", "resolution", "pixel_size", "input_size", "edges", "not_exact"),
    "Data": ("data", "content", "painting_source", "source"),
    "Licence": ("licence", "data_licence", "weights_licence"),
    "On held-out images": ("held_out", "held_out_how", "checked"),
    "Bad at": ("limits",),
    "Citation": ("citation", "authors"),
}
"""Headings in the order in which to read them, and the fields of a card under each. The rest is under OTHER."""
OTHER = "How it was made"
LONGEST_LINE = 4000
HIDDEN = ("name", "classes", "ndim")


@dataclass(frozen=True)
class CardSection:
    """A heading and its lines, two spaces deeper for what belongs to the line before."""

    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """What to show of a model; `str()` is a text for a terminal."""

    name: str
    title: str
    sections: tuple[CardSection, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.name}: {self.title}", *self._lines()])

    def _lines(self) -> Iterator[str]:
        for section in self.sections:
            yield f"\n{section.heading}"
            yield from (f"  {line}" for line in section.lines)


def card_of(model: Model) -> Card:
    """The card of a loaded model. Sections without anything in them are left out."""
    known = {field for fields in SECTIONS.values() for field in fields}
    found: dict[str, list[str]] = {heading: [] for heading in (*SECTIONS, OTHER)}
    found["Input and output"] += _input_and_output(model)
    for heading, fields in SECTIONS.items():
        found[heading] += _lines({field: model.card[field] for field in fields if field in model.card}, 0)
    rest = {key: value for key, value in model.card.items() if key not in known and key not in HIDDEN}
    found[OTHER] += _lines(rest, 0)
    sections = tuple(
        CardSection(heading, tuple(one_line(line, LONGEST_LINE) for line in lines))
        for heading, lines in found.items()
        if lines
    )
    return Card(one_line(model.name), one_line(model.title), sections)


def _input_and_output(model: Model) -> Iterator[str]:
    wants = "any number of channels" if model.channels is None else f"{model.channels} channel(s)"
    yield f"wants: {wants}{f' of {model.dtype}' if model.dtype else ''}"
    if model.value_range is not None:
        yield f"values: {model.value_range[0]:g} to {model.value_range[1]:g}"
    if model.classes:
        yield f"classes: {', '.join(f'{one.value} {one.name}' for one in model.classes)}"


def _lines(card: Mapping[str, object], depth: int) -> Iterator[str]:
    for key, value in card.items():
        name = f"{'  ' * depth}{str(key).replace('_', ' ')}:"
        match value:
            case dict():
                yield name
                yield from _lines(value, depth + 1)
            case [dict(), *_]:
                yield name
                yield from (f"{'  ' * (depth + 1)}{_in_a_line(one)}" for one in value)
            case list() | tuple() if any(isinstance(one, str) and len(one) > 30 for one in value):
                yield name
                yield from (f"{'  ' * (depth + 1)}- {one}" for one in value)
            case list() | tuple():
                yield f"{name} {', '.join(map(str, value))}"
            case None:
                continue
            case _:
                yield f"{name} {value}"


def _in_a_line(fields: object) -> str:
    return ", ".join(f"{k} {v}" for k, v in fields.items()) if isinstance(fields, dict) else str(fields)
