"""Whether the processes of a cluster compute with the same packages: with others, pixels differ in their last bits."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version

from distributed import Client

from napari_seamless.errors import BadRequest
from napari_seamless.runtime.executor.cluster_calls import answer_of

COMPARED = ("napari-seamless", "torch", "zarr")


@cache
def versions_here() -> dict[str, str]:
    """The compared packages of this process, without what tells one build from another ("+cpu")."""
    return {name: _public(version(name)) for name in COMPARED}


def require_same(here: Mapping[str, str], there: Mapping[str, str], worker: str) -> None:
    """Raise BadRequest where a worker has other versions than those that a run began with ("": none)."""
    for name in here:
        if here[name] != there[name]:
            found = f"{name} {there[name]}" if there[name] else f"no {name}"
            raise BadRequest(
                f"the workers of a cluster must have the packages of the process that drives the run; the worker "
                f"{worker} has {found} instead of {here[name]}; install the same there and start it again"
            )


def require_same_everywhere(client: Client) -> None:
    """Compare all workers of a cluster with this process. Raises BadRequest, naming the first that differs."""
    here = versions_here()
    there: dict[str, dict[str, str]] = {}
    for name in here:
        # a function of the standard library: one of ours would not arrive where the package is missing
        answer = answer_of(client, partial(client.run, version, name, on_error="return"))
        for worker, found in (answer or {}).items():
            if isinstance(found, str | PackageNotFoundError):  # other errors are those of a worker that is just going
                there.setdefault(worker, dict(here))[name] = _public(found) if isinstance(found, str) else ""
    for worker, found in sorted(there.items()):
        require_same(here, found, worker)


def _public(text: str) -> str:
    """
    >>> _public("2.13.0+cpu")
    '2.13.0'
    """
    return text.partition("+")[0]
