"""Dimensions into which channels and positions were flattened together, as in a group norm written by hand.

`x.view(n, groups, -1)` puts some channels and all positions into one dimension, of which no region is a consecutive
part. Such a value is held with the parts of its dimensions apart, (n, groups, c / groups, y, x), and what torch does
with it is done there: elementwise operators as they are, reductions over several dimensions in the place of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from napari_seamless.program.graph import Refusal
from napari_seamless.program.ops.operation import resolve
from napari_seamless.program.ops.pointwise import pointwise
from napari_seamless.program.ops.regroup import view
from napari_seamless.program.ops.request import Constant, ImageArgument, Operator, Request, Unsupported, wrap

Sizes = tuple[int, ...]
Place = Callable[[Request], ImageArgument]
"""Adds the operation for a request to the program; raises Unsupported."""
Reshape = Callable[[Constant, Sizes], Constant]
"""A constant in another shape."""

RESHAPES = frozenset(f"aten.{name}" for name in ("unsqueeze.default", "squeeze.default", "squeeze.dim", "squeeze.dims"))
"""Beside those that are built as views: they only add dimensions of size 1, or take some away."""

REDUCTIONS = frozenset(
    f"aten.{name}"
    for name in (
        *("sum", "mean", "var", "std", "var_mean", "std_mean", "linalg_vector_norm", "amax", "amin", "max", "min"),
        *("argmax", "argmin", "any", "all", "aminmax", "nansum", "count_nonzero", "median", "quantile", "kthvalue"),
    )
)
"""They may go along several dimensions at once, whatever torch's own arguments are."""

OF_TWO = frozenset(("aten.max.other", "aten.min.other"))
"""They have the names of reductions."""

NORMS = frozenset(
    f"aten.{name}"
    for name in (
        *("instance_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_functional"),
        *("group_norm", "native_group_norm"),
    )
)
"""Their channels are the first two dimensions, and all others are positions."""


@dataclass(frozen=True)
class Flattened:
    """A value that torch has in `shape`: each of its dimensions is made of so many of the `image`'s as `parts` says.

    `refusal` is what the user hears where something else is done with it.
    """

    image: ImageArgument
    shape: Sizes
    parts: Sizes
    refusal: Refusal

    @property
    def sizes(self) -> list[Sizes]:
        """For each dimension of `shape` the sizes of its parts."""
        found, at = [], 0
        for count in self.parts:
            found.append(self.image.value.shape[at : at + count])
            at += count
        return found

    def along(self, dim: int) -> list[int]:
        """The image's dimensions of which a dimension of `shape` is made."""
        first = sum(self.parts[:dim])
        return list(range(first, first + self.parts[dim]))


def flattened_view(request: Request, refusal: Refusal, place: Place) -> Flattened | None:
    """What a view makes that mixes positions with channels; None where that can be no value with its parts apart."""
    image = request.image()
    sizes = _parts(image, request.shape)
    if sizes is None or all(len(own) == 1 for own in sizes):
        return None
    apart = _joined(sizes)
    if apart != image.value.shape:
        image = place(_view(image, apart))
    return Flattened(image, request.shape, tuple(len(own) for own in sizes), refusal)


def is_view(operator: Operator | None) -> bool:
    """Whether an operator reshapes, so that only the result's shape matters."""
    return operator is not None and operator.build is view


def place_flattened(
    request: Request, operator: Operator | None, place: Place, reshape: Reshape
) -> ImageArgument | Flattened | None:
    """What an operator makes of flattened values, placed in the program; None where it is none of those known here.

    Raises Unsupported.
    """
    given = [i for i in request.items if isinstance(i, Flattened)]
    name = request.target.rpartition(".")[0]
    if is_view(operator) or request.target in RESHAPES:
        return _viewed(request, given[0], place)
    if operator is not None and operator.build is pointwise:
        return _elementwise(request, given, place, reshape)
    if len(given) == 1 and request.args[0] is given[0]:
        if request.target == "aten.layer_norm.default":
            return _layer_norm(request, given[0], place, reshape)
        if name in REDUCTIONS and request.target not in OF_TWO:
            return _reduced(request, given[0], place)
        if name in NORMS and given[0].parts[:2] == (1, 1) and request.shape == given[0].shape:
            apart = given[0].image
            made = place(replace(request, args=(apart, *request.args[1:]), shape=apart.value.shape))
            return Flattened(made, request.shape, given[0].parts, given[0].refusal)
    return None


def _viewed(request: Request, given: Flattened, place: Place) -> ImageArgument | Flattened | None:
    plain = _view(given.image, request.shape)
    try:
        return place(plain)
    except Unsupported:
        return flattened_view(plain, given.refusal, place)


def _elementwise(request: Request, given: Sequence[Flattened], place: Place, reshape: Reshape) -> Flattened | None:
    """All arguments in the shape of the parts; dimensions are matched from the last one, as torch does."""
    rank = len(request.shape)
    sizes: list[Sizes] = [(n,) for n in request.shape]
    for one in given:
        for d, own in enumerate(one.sizes, rank - len(one.shape)):
            if prod(own) == 1 or own == sizes[d]:
                continue
            if len(sizes[d]) > 1:
                return None
            sizes[d] = own

    def apart(item: Any) -> Any:
        if isinstance(item, tuple):
            return tuple(apart(i) for i in item)
        if isinstance(item, Flattened):
            return _in_shape(item.image, item.shape, sizes, place, reshape)
        if isinstance(item, ImageArgument | Constant):
            return _in_shape(item, _shape_of(item), sizes, place, reshape)
        return item

    kwargs = {name: apart(item) for name, item in request.kwargs.items()}
    made = place(replace(request, args=apart(request.args), kwargs=kwargs, shape=_joined(sizes)))
    return Flattened(made, request.shape, tuple(len(own) for own in sizes), given[0].refusal)


def _reduced(request: Request, given: Flattened, place: Place) -> ImageArgument | Flattened:
    """A reduction over the parts of the dimensions that torch reduces."""
    arguments = [a.name for a in resolve(request.target)._schema.arguments]
    named = dict(zip(arguments, request.args, strict=False)) | request.kwargs
    rank = len(given.shape)
    chosen = named.get("dim", -1 if request.target == "aten.kthvalue.default" else None)
    if chosen is None or chosen == ():
        along = list(range(rank))
    else:
        along = [wrap(d, rank) for d in (chosen if isinstance(chosen, tuple) else (chosen,))]
    keeps = len(request.shape) == rank > 0
    left = [(1,) * len(own) if d in along else own for d, own in enumerate(given.sizes) if keeps or d not in along]
    args: list[Any] = [given.image, *request.args[1:]]
    kwargs = dict(request.kwargs)
    if "dim" in arguments:
        dims = tuple(part for d in along for part in given.along(d))
        wanted = dims[0] if len(dims) == 1 and not isinstance(chosen, tuple) else dims
        at = arguments.index("dim")
        if at <= len(args):
            args[at : at + 1] = [wanted]
            kwargs.pop("dim", None)
        else:
            kwargs["dim"] = wanted
    made = place(replace(request, args=tuple(args), kwargs=kwargs, shape=_joined(left)))
    if all(prod(own) == 1 or len(own) == 1 for own in left):
        return made if made.value.shape == request.shape else place(_view(made, request.shape))
    return Flattened(made, request.shape, tuple(len(own) for own in left), given.refusal)


def _layer_norm(request: Request, given: Flattened, place: Place, reshape: Reshape) -> Flattened:
    """Over the parts of the last dimensions; the weights are split into them, too."""
    sizes = _joined(given.sizes[len(given.shape) - len(request.arg(1)) :])
    weights = (reshape(w, sizes) if isinstance(w, Constant) else w for w in request.args[2:4])
    args = (given.image, sizes, *weights, *request.args[4:])
    return replace(given, image=place(replace(request, args=args, shape=given.image.value.shape)))


def _parts(image: ImageArgument, shape: Sizes) -> list[Sizes] | None:
    """The sizes of the parts of each dimension of a new shape: whole axes, and channels or factors of them."""
    value = image.value
    factors: list[tuple[int, bool]] = []
    for size, axes in zip(value.shape, value.dims, strict=True):
        factors += [(value.domain[a] or 1, True) for a in axes] if axes else [(size, False)]
    factors = [factor for factor in factors if factor[0] > 1]
    result = []
    for size in shape:
        own, left = [], size
        while left > 1:
            have, is_axis = factors.pop(0)
            if have > left and have % left == 0 and not is_axis:
                factors.insert(0, (have // left, False))
                have = left
            if left % have:
                return None
            own.append(have)
            left //= have
        result.append(tuple(own) or (1,))
    return result


def _shape_of(item: ImageArgument | Constant) -> Sizes:
    return tuple(item.tensor.shape) if isinstance(item, Constant) else item.value.shape


def _in_shape(
    item: ImageArgument | Constant, shape: Sizes, sizes: Sequence[Sizes], place: Place, reshape: Reshape
) -> ImageArgument | Constant:
    """An argument that torch has in `shape`, in the shape of the parts, with ones where it has them."""
    wanted = _beside(shape, sizes)
    if wanted == _shape_of(item):
        return item
    if isinstance(item, Constant):
        return reshape(item, wanted)
    return place(_view(item, wanted))


def _beside(shape: Sizes, sizes: Sequence[Sizes]) -> Sizes:
    """A shape with each dimension that is not 1 in its parts; ones stay ones, in each part."""
    own = sizes[len(sizes) - len(shape) :]
    return _joined([parts if n != 1 else (1,) * len(parts) for n, parts in zip(shape, own, strict=True)])


def _joined(sizes: Sequence[Sizes]) -> Sizes:
    return tuple(n for own in sizes for n in own)


def _view(image: ImageArgument, shape: Sizes) -> Request:
    ndim = len(image.value.domain)
    return Request("aten.view.default", (image, shape), {}, shape, image.value.dtype, ndim)
