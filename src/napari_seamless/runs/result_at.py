"""The result at a path; of several outputs of a network that lie in one folder, the one that is meant."""

from __future__ import annotations

from pathlib import Path

from napari_seamless.store import Store, images_at, open_store


def result_at(path: str | Path, image: str | None = None, *, labels: bool = False) -> tuple[Store, str]:
    """The result, and a sentence where it is one of several and nobody said which ("" else).

    That is the first one, or, where `labels` are wanted, the first of these. Raises as `open_store` does.
    """
    names = images_at(path)
    if image is not None or len(names) < 2:
        return open_store(path, image=image), ""
    taken = names[0]
    if labels:
        kinds = ((name, open_store(path, image=name, repairs=False).kind) for name in names)
        taken = next((name for name, kind in kinds if kind == "labels"), taken)
    others = ", ".join(map(repr, names))
    return open_store(path, image=taken), (
        f"the result has the images {others}; {taken!r} is taken, by rule; choose another with "
        "output_image=NAME (--output-image NAME)"
    )
