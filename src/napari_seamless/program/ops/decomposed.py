"""Operators that torch itself can take apart into some that are known here, and that need no rule of their own."""

from __future__ import annotations

DECOMPOSED = frozenset({
    "aten.glu.default", "aten.channel_shuffle.default", "aten.rot90.default",
    "aten.fliplr.default", "aten.flipud.default", "aten.tile.default", "aten.concat.default",
    "aten.concatenate.default", "aten.rms_norm.default", "aten._fused_rms_norm.default",
    "aten.cosine_similarity.default", "aten.t.default", "aten.std_mean.dim", "aten.var_mean.dim",
    *(f"aten.{name}.default" for name in (
        "diff", "hstack", "vstack", "dstack", "column_stack", "row_stack", "tensordot", "pairwise_distance",
        "broadcast_tensors", "take_along_dim", "bilinear", "cross", "linalg_matrix_norm", "huber_loss",
        "smooth_l1_loss", "nanmean", "msort", "kron",
        "outer", "inner", "special_softmax", "special_log_softmax", "special_logsumexp")),
    *(f"aten.{name}.{kind}" for name in ("trapezoid", "trapz", "cumulative_trapezoid") for kind in ("dx", "x")),
    "aten.addmm.default", "aten.baddbmm.default", "aten.isreal.default", "aten.norm.ScalarOpt_dim", "aten.norm.Scalar",
    *(f"aten.special_xlogy.{kind}" for kind in ("default", "other_scalar", "self_scalar")),
    *(f"aten.gradient.{kind}" for kind in ("scalarint", "scalararray", "array", "scalarrayint", "scalarrayarray")),
    "aten.frobenius_norm.dim", "aten.nanquantile.default", "aten.nanquantile.scalar", "aten.unsafe_split.Tensor",
    *(f"aten.{name}.default" for name in (
        "linalg_matmul", "linalg_vecdot", "linalg_multi_dot", "mv", "fft_fftshift", "fft_ifftshift", "special_gammainc",
        "special_gammaincc", "special_polygamma", "special_multigammaln", "unsafe_split_with_sizes", "sum_to_size",
        "renorm", "mse_loss", "l1_loss", "kl_div", "binary_cross_entropy", "binary_cross_entropy_with_logits",
        "soft_margin_loss", "poisson_nll_loss", "margin_ranking_loss", "hinge_embedding_loss")),
    "aten.einsum.default", "aten.linalg_norm.default", "aten.std_mean.default", "aten.var_mean.default",
})  # fmt: skip
