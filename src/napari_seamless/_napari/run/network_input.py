"""What is told of the chosen network, and the way on which others come to the list. GUI thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from napari_seamless._napari.background import Background, Task
from napari_seamless._napari.run.backend import Network
from napari_seamless._napari.run.loaded_networks import LoadedNetworks
from napari_seamless._napari.run.network_card import facts_of, resolution_match
from napari_seamless._napari.widgets.card import ModelCard
from napari_seamless._napari.widgets.remark import RemarkLabel


class NetworkInput:
    """Owns the card of the chosen network. `report` shows an error where nobody else would."""

    def __init__(
        self, shelf: LoadedNetworks, card: ModelCard, match: RemarkLabel, report: Callable[[BaseException], None]
    ) -> None:
        self._shelf, self._card, self._match, self._report = shelf, card, match, report
        self._background = Background(threads=1)
        self._name: str | None = None
        self._task: Task[Network] | None = None
        self._is_alone = False

    @property
    def network(self) -> Network | None:
        """The chosen network, once it is loaded."""
        return None if self._name is None else self._shelf.peek(self._name)

    def choose(self, name: str | None, is_alone: bool) -> None:
        """Shows another network's card as soon as it is loaded. `is_alone`: without an image nobody else loads it."""
        self._is_alone = is_alone
        if name == self._name:
            return
        self._name = name
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if name is not None and self._shelf.peek(name) is None:
            self._task = self._background.begin(lambda _stop: self._shelf.load(name))
        self._show()

    def poll(self) -> bool:
        """Takes a network that was loaded; True if that is news."""
        if self._task is None or not self._task.is_done:
            return False
        task, self._task = self._task, None
        outcome = task.outcome()
        if isinstance(outcome, BaseException):
            if self._is_alone:
                self._report(outcome)
            return False
        self._show()
        return True

    def match(self, size: Sequence[float] | None, is_known: bool) -> None:
        """Says how the image's pixel size goes with the network's; `is_known` once the image was looked at."""
        network = self.network
        wanted = None if network is None or not is_known else network.resolution
        self._match.setValue(resolution_match(wanted, size))

    def close(self) -> None:
        """Ends the background work. May be called twice."""
        self._background.close()

    def _show(self) -> None:
        network = self.network
        self._card.setValue(None if network is None else facts_of(network))
        self._card.offerKeep(network is not None and self._name is not None and _is_own_file(self._name))


def _is_own_file(name: str) -> bool:
    """Whether a name is a file's or folder's, which can be copied to the user's models."""
    return Path(name).is_absolute() and Path(name).exists()
