"""A network on its way from a user's file to the list: loaded in the background, with questions where there are any."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QDialog, QWidget

from napari_seamless._napari.backend import Backend
from napari_seamless._napari.background import BackgroundJob, BackgroundJobs, ignore, is_open
from napari_seamless._napari.problems import sentence_of
from napari_seamless._napari.run.network_cache import LoadRequest, NetworkCache
from napari_seamless._napari.widgets import ModelChoice, ModelOption, ModelPicker
from napari_seamless._napari.widgets.dialogs import ArchitectureDialog, ArchitectureWish, TrustDialog
from napari_seamless.errors import ModelError, NotTrusted, OutputExists, OutputUnwritable, WeightsMismatch
from napari_seamless.models.loaders.formats import WEIGHTS

if TYPE_CHECKING:
    from napari_seamless.models import Model
    from napari_seamless.models.architecture import Parameter


@dataclass(frozen=True)
class LoadedNetwork:
    """A network that has been loaded, and under which name it was kept (None: it was not)."""

    request: LoadRequest
    network: Model
    kept: str | None = None


@dataclass(frozen=True)
class LoaderCallbacks:
    """What happens elsewhere: an error is shown at its field, a sentence is shown, a network was loaded anew."""

    report: Callable[[BaseException], None]
    show: Callable[[str], None]
    renew: Callable[[str], None]


class NetworkLoader:
    """One network at a time. GUI thread. What is refused, or given up, leaves everything as it was."""

    def __init__(
        self,
        backend: Backend,
        jobs: BackgroundJobs,
        networks: NetworkCache,
        picker: ModelPicker,
        parent: QWidget,
        callbacks: LoaderCallbacks,
    ) -> None:
        self._backend, self._jobs, self._networks, self._picker = backend, jobs, networks, picker
        self._parent, self._callbacks = parent, callbacks
        self._job: BackgroundJob[LoadedNetwork] | None = None
        self._request = LoadRequest("")
        self._names: tuple[str, ...] = ()
        self._dialog: ArchitectureDialog | None = None
        self.dialog: QDialog | None = None
        picker.loadRequested.connect(self.begin)
        picker.cancelPressed.connect(self.cancel)

    @property
    def is_busy(self) -> bool:
        return is_open(self._job)

    @property
    def names(self) -> tuple[str, ...]:
        """Architectures that are known by name; empty until somebody was asked for one."""
        return self._names

    def begin(self, what: str | Path, architecture: str = "", arguments: str = "{}") -> None:
        """Loads a file or folder; one that is still being loaded is forgotten."""
        if self.dialog is not None:
            self.dialog.reject()
        self.cancel()
        self._load(LoadRequest(str(what), architecture, arguments))

    def cancel(self) -> None:
        """Gives up what is being loaded. The work ends when it comes to an end; nothing comes of it."""
        if self._job is not None:
            self._job.cancel()
        self._picker.showBusy("")

    def keep(self, name: str) -> None:
        """Copies a network that was loaded from a file to the user's own."""
        request = LoadRequest(name)
        self._jobs.begin(
            lambda _stop: self._add(request, self._networks.load(name)), self._take_kept, self._callbacks.report
        )

    def _load(self, request: LoadRequest, keep: bool = False, trusted: NotTrusted | None = None) -> None:
        self._request = request
        self._job = self._jobs.begin(lambda _stop: self._fetch(request, keep, trusted), self._take, self._refuse)
        if self._dialog is None:
            self._picker.showBusy(f"Loading {Path(request.what).name}…")

    def _fetch(self, request: LoadRequest, keep: bool, trusted: NotTrusted | None) -> LoadedNetwork:
        """In the background. A package may ask about several of its files, one after the other."""
        if trusted is not None:
            self._backend.trust(trusted)
        network = self._networks.fetch(request)
        return LoadedNetwork(request, network, self._add(request, network) if keep else None)

    def _add(self, request: LoadRequest, network: Model) -> str:
        """In the background: to the user's own, under a name that is free."""
        options: dict[str, Any] = {}
        if request.architecture:
            options = {"architecture": request.architecture, "arguments": json.loads(request.arguments)}
        name = free_name(network.name, self._backend.model_names())
        try:
            return self._backend.add_model(request.what, name, **options)
        except (OutputExists, OutputUnwritable) as error:
            raise ModelError(str(error)) from error  # it is about the model, not about the output of a run

    def _take(self, loaded: LoadedNetwork) -> None:
        """Puts it into the list and chooses it."""
        self._picker.showBusy("")
        self._close_dialog()
        request = loaded.request
        name = request.key if loaded.kept is None else loaded.kept
        shown = request.shown if loaded.kept is None else loaded.kept
        self._callbacks.renew(name)
        self._picker.add(ModelOption(name, loaded.network.title, shown))
        self._picker.setValue(ModelChoice(name))

    def _refuse(self, error: BaseException) -> None:
        """Asks the user, where a question helps."""
        self._picker.showBusy("")
        if isinstance(error, NotTrusted):
            self._ask_trust(error)
        elif self._dialog is not None:
            self._dialog.show_refusal(sentence_of(error))
        elif isinstance(error, WeightsMismatch) and Path(self._request.what).suffix.lower() in WEIGHTS.suffixes:
            self._ask_architecture()
        else:
            self._callbacks.report(error)

    def _take_kept(self, kept: str) -> None:
        before = self._picker.value().name
        self._picker.add(ModelOption(kept, self._backend.describe_model(kept)))
        self._picker.setValue(ModelChoice(kept))
        if before is not None and before != kept:
            self._picker.remove(before)
        self._callbacks.show(f"{kept} is kept among your own models.")

    def _ask_trust(self, refusal: NotTrusted) -> None:
        request = self._request
        dialog = TrustDialog(refusal.file.name, refusal.sha256, refusal.runs, self._parent)

        def answer(is_yes: bool) -> None:
            self.dialog = None
            if is_yes:
                self._load(request, trusted=refusal)
            else:
                self._callbacks.show(f"{Path(request.what).name} was not loaded, and nothing in it was run.")

        dialog.answered.connect(answer)
        self.dialog = dialog
        dialog.open()

    def _ask_architecture(self) -> None:
        dialog = ArchitectureDialog(Path(self._request.what).name, self._names, self._parent)
        dialog.tried.connect(self._try)
        dialog.architectureNamed.connect(self._look_up)
        dialog.rejected.connect(self._give_up)
        self._dialog = self.dialog = dialog
        if not self._names:
            self._jobs.begin(lambda _stop: self._backend.architecture_names(), self._take_names, ignore)
        dialog.open()

    def _try(self, wish: ArchitectureWish) -> None:
        self._load(LoadRequest(self._request.what, wish.architecture, wish.arguments or "{}"), keep=wish.keep)

    def _look_up(self, name: str) -> None:
        """What an architecture takes. Only of those in the table: looking at others would run their code."""
        if name in self._names:
            show = partial(self._show_parameters, name)
            self._jobs.begin(lambda _stop: self._backend.parameters_of(name), show, ignore)

    def _take_names(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        if self._dialog is not None:
            self._dialog.setNames(self._names)

    def _show_parameters(self, name: str, parameters: Sequence[Parameter]) -> None:
        if self._dialog is not None:
            self._dialog.setParameters(name, [(p.name, p.default) for p in parameters])

    def _give_up(self) -> None:
        if self._dialog is not None:
            self._dialog = self.dialog = None
            self.cancel()
            self._callbacks.show(f"{Path(self._request.what).name} was not loaded.")

    def _close_dialog(self) -> None:
        dialog, self._dialog = self._dialog, None
        self.dialog = None
        if dialog is not None:
            dialog.accept()


def free_name(wanted: str, taken: Sequence[str]) -> str:
    """A name that the library takes, and that nothing there has.

    >>> free_name("my net (2)", ["my-net-2"])
    'my-net-2-2'
    """
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", wanted).strip("-._")[:70] or "model"
    return next(name for name in chain([plain], (f"{plain}-{k}" for k in count(2))) if name not in taken)
