"""A network on its way from a user's file to the list: loaded in the background, with questions where there are any."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QDialog, QWidget

from napari_seamless._napari.background import Background, Task
from napari_seamless._napari.problems import sentence_of
from napari_seamless._napari.run.backend import Backend, Network, Parameter
from napari_seamless._napari.run.loaded_networks import LoadedNetworks, LoadRequest
from napari_seamless._napari.widgets import ModelChoice, ModelOption, ModelPicker
from napari_seamless._napari.widgets.dialogs import ArchitectureDialog, ArchitectureWish, TrustDialog
from napari_seamless.errors import ModelError, NotTrusted, OutputExists, OutputUnwritable, WeightsMismatch
from napari_seamless.models.loaders.formats import WEIGHTS


@dataclass(frozen=True)
class Brought:
    """A network that has been loaded, and under which name it was kept (None: it was not)."""

    request: LoadRequest
    network: Network
    kept: str | None = None


@dataclass(frozen=True)
class Hooks:
    """What happens elsewhere: an error is shown at its field, a sentence is told, a network was loaded anew."""

    report: Callable[[BaseException], None]
    tell: Callable[[str], None]
    renew: Callable[[str], None]


class Bringing:
    """One network at a time. GUI thread; `poll` takes what has come of the background work.

    What is refused, or given up, leaves everything as it was.
    """

    def __init__(
        self, pipeline: Backend, shelf: LoadedNetworks, picker: ModelPicker, parent: QWidget, hooks: Hooks
    ) -> None:
        self._pipeline, self._shelf, self._picker = pipeline, shelf, picker
        self._parent, self._hooks = parent, hooks
        self._background = Background()
        self._task: Task[Brought] | None = None
        self._request = LoadRequest("")
        self._keeping: Task[str] | None = None
        self._naming: Task[Sequence[str]] | None = None
        self._looking: tuple[str, Task[Sequence[Parameter]]] | None = None
        self._names: tuple[str, ...] = ()
        self._dialog: ArchitectureDialog | None = None
        self.dialog: QDialog | None = None
        picker.loadRequested.connect(self.begin)
        picker.cancelPressed.connect(self.cancel)

    @property
    def is_busy(self) -> bool:
        return self._task is not None

    @property
    def names(self) -> tuple[str, ...]:
        """Architectures that are known by name; empty until somebody was asked for one."""
        return self._names

    def begin(self, what: str | Path) -> None:
        """Loads a file or folder; one that is still being loaded is forgotten."""
        if self.dialog is not None:
            self.dialog.reject()
        self.cancel()
        self._load(LoadRequest(str(what)))

    def cancel(self) -> None:
        """Gives up what is being loaded. The work ends when it comes to an end; nothing comes of it."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._picker.showBusy("")

    def keep(self, name: str) -> None:
        """Copies a network that was loaded from a file to the user's own."""
        request = LoadRequest(name)
        self._keeping = self._background.begin(lambda _stop: self._add(request, self._shelf.load(name)))

    def poll(self) -> None:
        if self._task is not None and self._task.is_done:
            task, self._task = self._task, None
            self._picker.showBusy("")
            self._take(task.outcome())
        if self._keeping is not None and self._keeping.is_done:
            kept, self._keeping = self._keeping.outcome(), None
            self._take_kept(kept)
        if self._naming is not None and self._naming.is_done:
            names, self._naming = self._naming.outcome(), None
            if not isinstance(names, BaseException):
                self._names = tuple(names)
                if self._dialog is not None:
                    self._dialog.setNames(self._names)
        self._poll_parameters()

    def close(self) -> None:
        """Ends the background work. May be called twice."""
        self._background.close()

    def _load(self, request: LoadRequest, keep: bool = False, trusted: NotTrusted | None = None) -> None:
        self._request = request
        self._task = self._background.begin(lambda _stop: self._fetch(request, keep, trusted))
        if self._dialog is None:
            self._picker.showBusy(f"Loading {Path(request.what).name}…")

    def _fetch(self, request: LoadRequest, keep: bool, trusted: NotTrusted | None) -> Brought:
        """In the background. A package may ask about several of its files, one after the other."""
        if trusted is not None:
            self._pipeline.trust(trusted)
        network = self._shelf.fetch(request)
        return Brought(request, network, self._add(request, network) if keep else None)

    def _add(self, request: LoadRequest, network: Network) -> str:
        """In the background: to the user's own, under a name that is free."""
        options: dict[str, Any] = {}
        if request.architecture:
            options = {"architecture": request.architecture, "arguments": json.loads(request.arguments)}
        name = free_name(network.name, self._pipeline.model_names())
        try:
            return self._pipeline.add_model(request.what, name, **options)
        except (OutputExists, OutputUnwritable) as error:
            raise ModelError(str(error)) from error  # it is about the model, not about the output of a run

    def _take(self, outcome: Brought | BaseException) -> None:
        if isinstance(outcome, Brought):
            self._close_dialog()
            self._show(outcome)
        elif isinstance(outcome, NotTrusted):
            self._ask_trust(outcome)
        elif self._dialog is not None:
            self._dialog.show_refusal(sentence_of(outcome))
        elif isinstance(outcome, WeightsMismatch) and Path(self._request.what).suffix.lower() in WEIGHTS.suffixes:
            self._ask_architecture()
        else:
            self._hooks.report(outcome)

    def _show(self, brought: Brought) -> None:
        """Puts it into the list and chooses it."""
        request = brought.request
        name = request.key if brought.kept is None else brought.kept
        shown = request.shown if brought.kept is None else brought.kept
        self._hooks.renew(name)
        self._picker.add(ModelOption(name, brought.network.title, shown))
        self._picker.setValue(ModelChoice(name))

    def _take_kept(self, kept: str | BaseException) -> None:
        if isinstance(kept, BaseException):
            self._hooks.report(kept)
            return
        before = self._picker.value().name
        self._picker.add(ModelOption(kept, self._pipeline.describe_model(kept)))
        self._picker.setValue(ModelChoice(kept))
        if before is not None and before != kept:
            self._picker.remove(before)
        self._hooks.tell(f"{kept} is kept among your own models.")

    def _ask_trust(self, refusal: NotTrusted) -> None:
        request = self._request
        dialog = TrustDialog(refusal.file.name, refusal.sha256, refusal.runs, self._parent)

        def answer(is_yes: bool) -> None:
            self.dialog = None
            if is_yes:
                self._load(request, trusted=refusal)
            else:
                self._hooks.tell(f"{Path(request.what).name} was not loaded, and nothing in it was run.")

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
            self._naming = self._background.begin(lambda _stop: self._pipeline.architecture_names())
        dialog.open()

    def _try(self, wish: ArchitectureWish) -> None:
        self._load(LoadRequest(self._request.what, wish.architecture, wish.arguments or "{}"), keep=wish.keep)

    def _look_up(self, name: str) -> None:
        """What an architecture takes. Only of those in the table: looking at others would run their code."""
        if name in self._names:
            self._looking = name, self._background.begin(lambda _stop: self._pipeline.parameters_of(name))

    def _poll_parameters(self) -> None:
        if self._looking is None or not self._looking[1].is_done:
            return
        (name, task), self._looking = self._looking, None
        found: Any = task.outcome()
        if self._dialog is not None and not isinstance(found, BaseException):
            self._dialog.setParameters(name, [(p.name, p.default) for p in found])

    def _give_up(self) -> None:
        if self._dialog is not None:
            self._dialog = self.dialog = None
            self.cancel()
            self._hooks.tell(f"{Path(self._request.what).name} was not loaded.")

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
