"""The table of operators: torch's name -> how to build the operation. What is neither here nor pointwise is refused."""

from __future__ import annotations

import torch

from napari_seamless.program.ops import build_barriers as barriers
from napari_seamless.program.ops import build_local as local
from napari_seamless.program.ops import build_order as order
from napari_seamless.program.ops import build_products as products
from napari_seamless.program.ops import build_spatial as spatial
from napari_seamless.program.ops import dropout, regroup
from napari_seamless.program.ops.operation import resolve
from napari_seamless.program.ops.request import Built, Request, Unsupported

Builder = local.Builder

BUILDERS: dict[str, Builder] = {
    **{f"aten.conv{n}d.default": spatial.conv(n) for n in (1, 2, 3)},
    **{f"aten.conv{n}d.padding": spatial.conv(n) for n in (1, 2, 3)},
    "aten.convolution.default": spatial.convolution,
    "aten.conv_transpose1d.default": spatial.conv_transpose(1),
    "aten.conv_transpose2d.input": spatial.conv_transpose(2),
    "aten.conv_transpose3d.input": spatial.conv_transpose(3),
    **{f"aten.max_pool{n}d.default": spatial.max_pool(n) for n in (1, 2, 3)},
    **{f"aten.max_pool{n}d_with_indices.default": spatial.max_pool(n) for n in (2, 3)},
    **{f"aten.avg_pool{n}d.default": spatial.avg_pool(n) for n in (1, 2, 3)},
    **{f"aten.adaptive_avg_pool{n}d.default": spatial.adaptive_pool(n, "avg") for n in (1, 2, 3)},
    **{f"aten._adaptive_avg_pool{n}d.default": spatial.adaptive_pool(n, "avg") for n in (2, 3)},
    **{f"aten.adaptive_max_pool{n}d.default": spatial.adaptive_pool(n, "max") for n in (1, 2, 3)},
    "aten.pad.default": spatial.pad,
    "aten.constant_pad_nd.default": spatial.pad,
    "aten.slice.Tensor": spatial.slice_,
    "aten.select.int": spatial.select,
    "aten.split.Tensor": spatial.piece,
    "aten.split_with_sizes.default": spatial.piece,
    "aten.unbind.int": spatial.piece,
    "aten.flip.default": spatial.flip,
    "aten.roll.default": spatial.roll,
    "aten.cat.default": spatial.cat,
    "aten.pixel_shuffle.default": spatial.shuffle(True),
    "aten.pixel_unshuffle.default": spatial.shuffle(False),
    **{f"aten.upsample_nearest{n}d.vec": spatial.upsample(n, "nearest") for n in (1, 2, 3)},
    **{f"aten._upsample_nearest_exact{n}d.vec": spatial.upsample(n, "nearest-exact") for n in (1, 2, 3)},
    "aten.upsample_linear1d.vec": spatial.upsample(1, "linear"),
    "aten.upsample_bilinear2d.vec": spatial.upsample(2, "linear"),
    "aten.upsample_trilinear3d.vec": spatial.upsample(3, "linear"),
    "aten.upsample_bicubic2d.vec": spatial.upsample(2, "cubic"),
    "aten._upsample_bilinear2d_aa.vec": spatial.upsample(2, "linear", antialias=True),
    "aten._upsample_bicubic2d_aa.vec": spatial.upsample(2, "cubic", antialias=True),
    "aten._native_batch_norm_legit_no_training.default": local.batch_norm,
    "aten.prelu.default": local.prelu,
    "aten.layer_norm.default": barriers.layer_norm,
    "aten.linear.default": local.linear,
    "aten.matmul.default": products.matmul,
    "aten.mm.default": products.matmul,
    "aten.bmm.default": products.matmul,
    "aten.scaled_dot_product_attention.default": products.attention,
    "aten.permute.default": local.permute,
    "aten.transpose.int": local.transpose,
    "aten.unsqueeze.default": local.unsqueeze,
    **{f"aten.squeeze.{kind}": local.squeeze for kind in ("default", "dim", "dims")},
    "aten.expand.default": local.expand,
    **{f"aten.{name}.default": regroup.view for name in ("view", "_unsafe_view", "reshape")},
    "aten.unflatten.int": regroup.view,
    "aten.flatten.using_ints": regroup.view,
    "aten.repeat.default": local.repeat,
    "aten.stack.default": local.stack,
    "aten.index.Tensor": local.channel_index,
    "aten.slice_scatter.default": local.channel_scatter,
    "aten.select_scatter.default": local.channel_scatter,
    **{f"aten.{kind}softmax.int": barriers.softmax(log=bool(kind)) for kind in ("", "log_")},
    **{f"aten._{kind}softmax.default": barriers.softmax(log=bool(kind)) for kind in ("", "log_")},
    "aten.cumsum.default": local.along_channels(1),
    "aten.argmax.default": local.along_channels(1, keepdim_at=2),
    "aten.argmin.default": local.along_channels(1, keepdim_at=2),
    "aten.sum.dim_IntList": barriers.reducing(barriers.total),
    "aten.mean.dim": barriers.reducing(barriers.mean),
    "aten.logsumexp.default": barriers.reducing(barriers.log_sum_exp),
    "aten.linalg_vector_norm.default": barriers.reducing(barriers.length, dim_at=2, keepdim_at=3),
    **{f"aten.{name}.{kind}": barriers.reducing(barriers.extremum(largest))
       for name, largest in (("amax", True), ("amin", False), ("max", True), ("min", False), ("any", True),
                             ("all", False)) for kind in ("dim", "dims", "default")},
    **{f"aten.{name}.dim": barriers.reducing(barriers.spread(root=root, correction_at=2), keepdim_at=3)
       for name, root in (("var", False), ("std", True))},
    **{f"aten.{name}.correction": barriers.reducing(barriers.spread(root=root), keepdim_at=None)
       for name, root in (("var", False), ("std", True))},
    **{f"aten.{name}_mean.correction": barriers.reducing(barriers.spread_and_mean(root=root), keepdim_at=None)
       for name, root in (("var", False), ("std", True))},
    "aten.aminmax.default": barriers.reducing(barriers.least_and_most, keepdim_at=None),
    "aten.mean.default": barriers.reducing(barriers.mean, dim_at=None),
    "aten.sum.default": barriers.reducing(barriers.total, dim_at=None),
    "aten.instance_norm.default": barriers.instance_norm,
    "aten.group_norm.default": barriers.group_norm,
    "aten.native_group_norm.default": barriers.native_group_norm,
    "aten._native_batch_norm_legit.no_stats": barriers.batch_norm,
    "aten._native_batch_norm_legit_functional.default": barriers.batch_norm_in_training,
    "aten.native_dropout.default": dropout.native_dropout,
    "aten.quantile.default": order.quantile,
    "aten.quantile.scalar": order.quantile,
    "aten.median.default": order.median,
    "aten.median.dim": order.median,
    "aten.kthvalue.default": order.kth_value,
    "napari_seamless.percentile.default": order.percentile,
    "aten.prod.dim_int": local.along_channels(1, keepdim_at=2),
}  # fmt: skip

ELEMENTWISE = frozenset({
    "aten.clone.default", "aten._to_copy.default", "aten.to.dtype", "aten.type_as.default", "aten.detach.default",
    "aten.alias.default", "aten.contiguous.default", "aten.lift_fresh_copy.default", "aten.dropout.default",
    "aten.zeros_like.default", "aten.ones_like.default", "aten.full_like.default",
    "aten.fill.Scalar", "aten.masked_fill.Scalar", "aten.masked_fill.Tensor", "aten.hardswish.default",
    "aten.log_sigmoid.default", "aten.rsub.Tensor", "aten.floor_divide.default", "aten.floor_divide.Scalar",
    "aten.absolute.default", "aten.negative.default", "aten.arctan.default", "aten.arctan2.default",
    "aten.special_expit.default", "aten.true_divide.Tensor", "aten.true_divide.Scalar",
    "aten.divide.Tensor_mode", "aten.divide.Scalar_mode",
    *(f"aten.{name}.{kind}" for kind in ("Tensor", "Scalar") for name in (
        "multiply", "subtract", "divide", "greater", "greater_equal", "less", "less_equal", "not_equal")),
})  # fmt: skip
"""Elementwise operators that torch does not tag as pointwise; most are other names of those that it does."""

COMPOSED = frozenset({
    "aten.glu.default", "aten.channel_shuffle.default", "aten.native_channel_shuffle.default", "aten.rot90.default",
    "aten.fliplr.default", "aten.flipud.default", "aten.tile.default", "aten.concat.default",
    "aten.concatenate.default", "aten.rms_norm.default", "aten._fused_rms_norm.default",
    "aten.cosine_similarity.default", "aten.t.default", "aten.std_mean.dim", "aten.var_mean.dim",
    "aten.einsum.default", "aten.linalg_norm.default", "aten.std_mean.default", "aten.var_mean.default",
})  # fmt: skip
"""Operators that torch can take apart into some of the table, and that need no rule of their own therefore."""


def build(request: Request) -> Built:
    """The operation for one traced node. Raises Unsupported with the reason."""
    builder = BUILDERS.get(request.target)
    if builder is not None:
        return builder(request)
    if request.target in ELEMENTWISE or torch.Tag.pointwise in resolve(request.target).tags:
        return local.pointwise(request)
    raise Unsupported("there is no rule for this operator yet")
