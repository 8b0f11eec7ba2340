"""What is shown of the chosen network. GUI thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_seamless._napari.background import BackgroundJob, BackgroundJobs
from napari_seamless._napari.run.network_cache import NetworkCache
from napari_seamless._napari.run.network_card import card_of, resolution_match
from napari_seamless._napari.widgets.card import ModelCard
from napari_seamless._napari.widgets.status_label import StatusLabel

if TYPE_CHECKING:
    from napari_seamless.models import Model


class NetworkInput:
    """Owns the card of the chosen network. `loaded` is called when one was; `report` shows an error where nobody else
    would."""

    def __init__(
        self,
        networks: NetworkCache,
        jobs: BackgroundJobs,
        card: ModelCard,
        match: StatusLabel,
        loaded: Callable[[], object],
        report: Callable[[BaseException], object],
    ) -> None:
        self._networks, self._jobs, self._card, self._match = networks, jobs, card, match
        self._loaded, self._report = loaded, report
        self._name: str | None = None
        self._job: BackgroundJob[Model] | None = None
        self._is_alone = False

    @property
    def network(self) -> Model | None:
        """The chosen network, once it is loaded."""
        return None if self._name is None else self._networks.peek(self._name)

    def choose(self, name: str | None, is_alone: bool) -> None:
        """Shows another network's card as soon as it is loaded. `is_alone`: without an image nobody else loads it."""
        self._is_alone = is_alone
        if name == self._name:
            return
        self._name = name
        if self._job is not None:
            self._job.cancel()
        if name is not None and self._networks.peek(name) is None:
            self._job = self._jobs.begin(
                lambda _stop: self._networks.load(name), self._take, self._refuse, lane="network"
            )
        self._show()

    def _take(self, _network: Model) -> None:
        self._show()
        self._loaded()

    def _refuse(self, error: BaseException) -> None:
        if self._is_alone:
            self._report(error)

    def match(self, size: Sequence[float] | None, is_known: bool) -> None:
        """Says how the image's pixel size goes with the network's; `is_known` once the image was looked at."""
        network = self.network
        wanted = None if network is None or not is_known else network.resolution
        self._match.setValue(resolution_match(wanted, size))

    def _show(self) -> None:
        network = self.network
        self._card.setValue(None if network is None else card_of(network))
        self._card.offerKeep(network is not None and self._name is not None and _is_own_file(self._name))


def _is_own_file(name: str) -> bool:
    """Whether a name is a file's or folder's, which can be copied to the user's models."""
    return Path(name).is_absolute() and Path(name).exists()
