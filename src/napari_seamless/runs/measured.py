"""Moments of a run beside its result: for a run that is cut off, and for later regions."""

from __future__ import annotations

from typing import Any

from napari_seamless.errors import InputDamaged
from napari_seamless.program.ops.barrier import State
from napari_seamless.runs.moments import MOMENTS, Moments
from napari_seamless.runs.statistics import StatisticsDomain
from napari_seamless.runs.traced import TracedNetwork
from napari_seamless.store import Store
from napari_seamless.store.zarr_arrays import disk_errors


def facts_of(network: TracedNetwork, domain: StatisticsDomain) -> dict[str, Any]:
    """Where moments come from."""
    return {
        "model": network.model.name,
        "image": network.source.info.name,
        "source": network.source_identity,
        "program": network.program_hash,
        "network": network.network_hash,
        "statistics": domain.name,
        **({"kept": "float16"} if domain.half else {}),
        **({"precision": domain.precision} if domain.precision != "float32" else {}),
    }


def save_measured(store: Store, moments: Moments) -> None:
    """Put the moments measured so far beside a result on disk. Raises OutputUnwritable."""
    if store.side_folder is not None:
        with disk_errors(store.side_folder):
            moments.save(store.side_folder / MOMENTS)


def measured_before(store: Store, network: TracedNetwork, domain: StatisticsDomain) -> dict[int, State]:
    """The states that an earlier run on the same result measured; none, if it did not get so far."""
    if store.side_folder is None or not (store.side_folder / MOMENTS).exists():
        return {}
    try:
        found = Moments.load(store.side_folder / MOMENTS)
    except InputDamaged:  # then it is measured again
        return {}
    if dict(found.facts) != facts_of(network, domain):
        return {}
    return found.given(network.program, network.network_hash, partly=True)
