"""Moments of a run beside its result: for a run that is cut off, and for later regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from napari_seamless.errors import InputDamaged
from napari_seamless.geometry import Region
from napari_seamless.interfaces import SourceRead
from napari_seamless.program.ops.barrier import State
from napari_seamless.runs.moments import MOMENTS, Moments
from napari_seamless.runs.statistics import StatisticsDomain
from napari_seamless.runs.traced import TracedNetwork
from napari_seamless.store import Store
from napari_seamless.store.zarr_arrays import disk_errors

READS = "reads"
"""Among the facts of saved moments: regions of the image with their fingerprints, where its identity says not all."""


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


def save_measured(store: Store, moments: Moments, reads: Sequence[SourceRead]) -> None:
    """Put the moments measured so far, and what they were measured of, beside a result on disk.

    Raises OutputUnwritable.
    """
    if store.side_folder is not None:
        told = [[[[i.lo, i.hi] for i in read.region.intervals], read.fingerprint] for read in reads]
        noted = replace(moments, facts={**moments.facts, READS: told}) if told else moments
        with disk_errors(store.side_folder):
            noted.save(store.side_folder / MOMENTS)


def measured_before(store: Store, network: TracedNetwork, domain: StatisticsDomain) -> dict[int, State]:
    """The states that an earlier run on the same result measured; none, if it did not get so far."""
    found = _load(store)
    if found is None or {k: v for k, v in found.facts.items() if k != READS} != facts_of(network, domain):
        return {}
    return found.given(network.program, network.network_hash, partly=True)


def reads_of_measured(store: Store) -> tuple[bool, list[SourceRead] | None]:
    """Whether there are moments beside a result, and what they were measured of; None where nobody noted it."""
    found = _load(store)
    told = None if found is None else found.facts.get(READS)
    reads = None if told is None else [SourceRead(Region.of(*map(tuple, box)), mark) for box, mark in told]
    return found is not None, reads


def forget_measured(store: Store) -> None:
    """Remove the moments beside a result, which are of other pixels. Raises OutputUnwritable."""
    if store.side_folder is not None:
        with disk_errors(store.side_folder):
            (store.side_folder / MOMENTS).unlink(missing_ok=True)


def _load(store: Store) -> Moments | None:
    if store.side_folder is None or not (store.side_folder / MOMENTS).exists():
        return None
    try:
        return Moments.load(store.side_folder / MOMENTS)
    except InputDamaged:  # then it is measured again
        return None
