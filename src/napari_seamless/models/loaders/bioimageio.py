"""Packages of the BioImage Model Zoo (bioimage.io), read from disk: a description, weights, and arrays to test with.

The description is read by the zoo's own library, bioimageio.spec, an optional dependency. Nothing is fetched. Before
and after the network come the processing steps that the description names, as modules of the program; the halo that it
states is not needed, since it follows from the network itself. At the edges of an image the network's own padding
holds, as in the zoo's tests of packages (by itself bioimageio.core continues images first, as far as the halo, by
mirroring them with the edge repeated, and cuts the result: pad the image so and cut the result to have the same).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from napari_seamless.errors import InputNotFound, ModelError, WeightsMismatch
from napari_seamless.models.architecture import LIBRARIES, build
from napari_seamless.models.confinement import confined
from napari_seamless.models.description_files import DEEPEST, check_values, read_text
from napari_seamless.models.loaders.bioimageio_arrays import check_arrays, path_in
from napari_seamless.models.loaders.bioimageio_axes import Reordered, spatial
from napari_seamless.models.loaders.bioimageio_example import write_example
from napari_seamless.models.loaders.bioimageio_steps import steps_for
from napari_seamless.models.loaders.formats import PACKAGE
from napari_seamless.models.loaders.python_source import build_from_source
from napari_seamless.models.loaders.stardist import load_described
from napari_seamless.models.loaders.state_dict import load_into, read_state
from napari_seamless.models.loaders.torchscript import load_script
from napari_seamless.models.model import Model
from napari_seamless.models.preprocessing.resolution import PadToMultiple
from napari_seamless.models.trust import require_trust

if TYPE_CHECKING:
    from bioimageio.spec.model.v0_5 import ModelDescr

__all__ = ["find_description", "inside", "load", "matches", "read_description", "write_example"]


LONGEST_YAML = 2**17
"""Bytes; reading YAML takes a second for that. Descriptions in the zoo have a tenth of it."""
DEEP_LISTS = re.compile(rf"(?:[\[{{]\s*){{{DEEPEST},}}")


def find_description(folder: Path) -> Path | None:
    """The description of a package in a folder, if there is one."""
    return next((folder / name for name in PACKAGE.descriptions if (folder / name).is_file()), None)


def matches(path: Path) -> bool:
    """Whether it is a folder with a description in it."""
    return path.is_dir() and find_description(path) is not None


def load(folder: Path, *, trust: bool = False) -> Model:
    """The model of an unpacked package, as `Loader.load` says, checked against the package's own test arrays.

    Raises ModelError for what cannot be run here or does not give the test output, NotTrusted where the weights need
    Python code of the package or an import path, InputNotFound and WeightsMismatch.
    """
    description = find_description(folder)
    assert description is not None
    model = read_description(description)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"a network takes one image and gives one; {model.name} has {len(model.inputs)} inputs and "
            f"{len(model.outputs)} outputs; it cannot be used here"
        )
    image, result = model.inputs[0], model.outputs[0]
    if (stardist := _stardist(model)) is not None:
        weights, scale = inside(folder, stardist["weights"]), steps_for(image.preprocessing, spatial(image.axes))
        found = load_described(_short(str(model.name)), stardist, weights, scale)
        checked = "not checked: its test arrays are of TensorFlow's network, enlarged to the image's grid"
        return replace(found, title=str(model.name), card=_card(model, "weights of Keras", checked, image.axes))
    axes, result_axes = [axis.id for axis in image.axes], [axis.id for axis in result.axes]
    network, source, notices = _network(model, folder, description, trust)
    core: nn.Module = Reordered.where_needed(network, [str(a) for a in axes], [str(a) for a in result_axes])
    if (multiples := _multiples(image.axes)) is not None:
        core = PadToMultiple(core, multiples)
    before, after = (
        steps_for(steps, spatial(tensor.axes))
        for steps, tensor in ((image.preprocessing, image), (result.postprocessing, result))
    )
    module = nn.Sequential(before, core, after).eval()
    checked = check_arrays(module, folder, image, result, str(model.name))
    return Model(
        name=_short(str(model.name)),
        module=module,
        title=str(model.name),
        channels=_channels(image.axes),
        ndim=len(spatial(image.axes)),
        channel_names=_channel_names(result.axes),
        card=_card(model, source, checked, image.axes),
        notices=notices,
    )


def inside(folder: Path, source: object, digest: object = None) -> Path:
    """A file of the package. Raises ModelError where it lies elsewhere or is another than described, InputNotFound."""
    name = str(getattr(source, "path", source))
    path = path_in(folder, name)
    if path is None:
        raise ModelError(
            f"a package is read offline and from its own folder only; {folder.name} names {name}; unpack it all"
        )
    if not path.is_file():
        raise InputNotFound(f"a package holds the files that it names; {folder.name} has no {name}; download it again")
    if digest is not None and sha256(path.read_bytes()).hexdigest() != str(digest):
        raise ModelError(
            f"a package's files are the very ones it describes; {name} has another sha256; download it again"
        )
    return path


def read_description(description: Path) -> ModelDescr:
    """The description in a file, in the newest form; nothing that it names is opened. Raises ModelError."""
    try:
        from bioimageio.spec import ValidationContext, build_description
        from bioimageio.spec.model.v0_5 import ModelDescr
        from ruyaml import YAML
        from ruyaml.error import YAMLError
    except ImportError as error:
        raise ModelError(
            "bioimage.io packages need bioimageio.spec; it is not installed; pip install 'napari-seamless[models]'"
        ) from error
    what = "a bioimage.io description"
    try:
        text = read_text(description, what, ModelError, LONGEST_YAML)
        if DEEP_LISTS.search(text):
            raise ModelError(f"{what} has at most {DEEPEST} lists inside each other; {description} has more")
        content = YAML(typ="safe").load(text)
    except (YAMLError, ValueError, LookupError, TypeError, AttributeError, OSError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"{what} is a YAML file; {description} cannot be read as one: {error}; download it again"
        ) from error
    check_values(content, what, ModelError)
    if not isinstance(content, dict):
        raise ModelError(f"a bioimage.io description names its parts; {description} holds none; download it again")
    context = ValidationContext(root=description.parent, file_name=description.name, perform_io_checks=False)
    try:
        with confined("the description", readable=(description.parent,)):
            found = build_description(content, context=context, format_version="latest")
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError, OSError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{what} must be one of a model; {description} is not: {error}; ask its author") from error
    if not isinstance(found, ModelDescr):
        faults = [error.msg for detail in found.validation_summary.details for error in detail.errors][:3]
        raise ModelError(
            f"a bioimage.io description must be one of a model; {description} is not: "
            f"{'; '.join(faults) or type(found).__name__}; ask its author"
        )
    return found


def _network(model: ModelDescr, folder: Path, description: Path, trust: bool) -> tuple[nn.Module, str, tuple[str, ...]]:
    """The network, where it comes from, and what was decided about its weights; TorchScript where the alternative is to
    run code that nobody trusts."""
    state, script = model.weights.pytorch_state_dict, model.weights.torchscript
    if state is None and script is None:
        have = ", ".join(str(name) for name in model.weights.available_formats)
        raise ModelError(
            f"a package is run from pytorch_state_dict or torchscript weights; {model.name} has {have} only; "
            "ask for another format"
        )
    library = None if state is None else _listed(state.architecture)
    if script is not None and (state is None or (library is None and not trust)):
        path = inside(folder, script.source, script.sha256)
        return load_script(path, trust=trust).module, "torchscript", ()
    assert state is not None
    from bioimageio.spec.model.v0_5 import ArchitectureFromFileDescr

    weights = inside(folder, state.source, state.sha256)
    values = read_state(weights)
    architecture, arguments = state.architecture, dict(state.architecture.kwargs)
    name = str(architecture.callable)
    if isinstance(architecture, ArchitectureFromFileDescr):
        source = inside(folder, architecture.source, architecture.sha256)
        content = source.read_bytes()
        require_trust(source, content, f"the Python source {source.name} in the package", trust=trust)
        made = build_from_source(source, content, name, arguments)
    else:
        home = library or f"{architecture.import_from}:{name}"
        if library is None:
            runs = f"the code of {home}, an import path in it"
            require_trust(description, description.read_bytes(), runs, trust=trust)
        made = build(home, arguments, weights=values)
    try:
        return made, "pytorch_state_dict", load_into(made, values, name)
    except WeightsMismatch as mismatch:
        raise WeightsMismatch(f"{weights.name}: {mismatch.message}", remedies=mismatch.remedies) from None


def _stardist(model: ModelDescr) -> Mapping[str, Any] | None:
    """What StarDist's export says of a network that is only there for TensorFlow."""
    is_torch = model.weights.pytorch_state_dict is not None or model.weights.torchscript is not None
    said = getattr(model.config, "stardist", None)
    return said if not is_torch and isinstance(said, Mapping) and "weights" in said else None


def _listed(architecture: Any) -> str | None:
    """The architecture's name in the table, if it is of a well-known library."""
    home = getattr(architecture, "import_from", None)
    names = [
        prefix for prefix, (module, _) in LIBRARIES.items() if home in (module, f"{module}.{architecture.callable}")
    ]
    return f"{names[0]}:{architecture.callable}" if names else None


def _channels(axes: Sequence[Any]) -> int | None:
    return next((int(axis.size) for axis in axes if axis.type == "channel"), 1)


def _channel_names(axes: Sequence[Any]) -> tuple[str, ...]:
    return next((tuple(str(n) for n in axis.channel_names) for axis in axes if axis.type == "channel"), ())


def _multiples(axes: Sequence[Any]) -> tuple[int, ...] | None:
    """What the sizes must be multiples of, where they must be."""
    sizes = [axis.size for axis in axes if axis.type == "space"]
    steps = tuple(
        getattr(s, "step", 1) if getattr(s, "min", 0) % max(getattr(s, "step", 1), 1) == 0 else 1 for s in sizes
    )
    return steps if max(steps, default=1) > 1 else None


def _card(model: ModelDescr, source: str, checked: str, axes: Sequence[Any]) -> dict[str, object]:
    card: dict[str, object] = {
        "format": f"bioimage.io {model.format_version}, {source}",
        "description": str(model.description),
        "licence": str(model.license),
        "authors": [str(author.name) for author in model.authors or []],
        "citation": [str(cite.text) for cite in model.cite or []],
        "checked": checked,
        "edges": "the network's own padding, where bioimageio.core would mirror the image first",
    }
    fixed = [axis.size for axis in axes if axis.type == "space"]
    if fixed and all(isinstance(size, int) for size in fixed):
        card["input_size"] = [int(size) for size in fixed]
    return {key: value for key, value in card.items() if value not in ("None", [], "")}


def _short(name: str) -> str:
    return "-".join(name.lower().split())[:80]
