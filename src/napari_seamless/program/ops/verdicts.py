"""What can become of each of torch's operators when an image is computed by tiles, and why some are refused.

Operators with a rule get the verdict of their family (its `VERDICT`, "local" where it states none). Those without one
are listed here by their names, as patterns, the first that fits; whatever none fits has just no rule yet.
"""

from __future__ import annotations

import re
from typing import Literal

Verdict = Literal["local", "channel-wise", "barrier", "truly global", "not for images", "not yet"]

MEANING: dict[Verdict, str] = {
    "local": "a region of the result needs a region of the input",
    "channel-wise": "it works along channels, at each position by itself; along positions it is refused",
    "barrier": "it is measured over the whole plane in a pass of its own; along channels it is local",
    "truly global": "every position of its result needs the whole image at once, in an order that no pass can give",
    "not for images": "its result is no image, or its arguments are none",
    "not yet": "there is no rule for this operator yet",
}

TAKEN_APART = frozenset(
    {
        "adjoint",
        "atleast_1d",
        "atleast_2d",
        "atleast_3d",
        "broadcast_to",
        "chunk",
        "dsplit",
        "expand_as",
        "hsplit",
        "mH",
        "mT",
        "moveaxis",
        "movedim",
        "narrow",
        "numpy_T",
        "ravel",
        "reshape_as",
        "swapaxes",
        "swapdims",
        "tensor_split",
        "unsafe_chunk",
        "view_as",
        "vsplit",
        "where",
        "batch_norm",
        "reflection_pad1d",
        "reflection_pad2d",
        "reflection_pad3d",
        "replication_pad1d",
        "replication_pad2d",
        "replication_pad3d",
        "_convolution",
        "native_batch_norm",
        "zero",
        "lift_fresh",
        "lift",
    }
)
"""Operators that torch has taken apart into others before a rule is looked for."""

WITHOUT_RULE: tuple[tuple[str, Verdict], ...] = (
    (r".*(_backward|_jvp|_double_backward|_backward_.*)", "not for images"),
    (r"_?(fft|stft|istft|_fft).*", "truly global"),
    (r".*(attention|multi_head|transformer).*", "truly global"),
    (r"_?(lstm|gru|rnn|thnn|quantized_(lstm|gru|rnn)).*", "truly global"),
    (r"_?(cdist|pdist|euclidean_dist).*", "truly global"),
    (r"(cummaxmin|masked_scatter|put|take|searchsorted|histogramdd|histogram|_histogramdd.*)", "truly global"),
    (r"(nonzero|argwhere|masked_select|unique.*|_unique.*|bincount|where_nonzero|repeat_interleave_tensor|combinations)",
     "not for images"),
    (r"_?(linalg|lu|cholesky|qr|svd|symeig|triangular|ormqr|orgqr|geqrf|inverse|det|logdet|slogdet|matrix|pinverse).*",
     "not for images"),
    (r".*(sparse|csr|csc|bsr|bsc|coo|nested|jagged|quant|fake_quant|fbgemm|mkldnn|cudnn|miopen|mps|cuda|xnnpack|cslt"
     r"|fused_(adam|sgd|moving)|foreach|amp_|weight_int).*", "not for images"),
    (r".*(ctc_loss|nll_loss|cross_entropy|embedding_bag|cosine_embedding|margin|multilabel|multi_margin|triplet).*",
     "not for images"),
    (r"(rand|normal|bernoulli|multinomial|poisson|binomial|uniform|exponential|geometric|cauchy|log_normal|random"
     r"|_standard_gamma|_sample_dirichlet|_dirichlet|native_dropout|rrelu|randperm).*", "not for images"),
    (r"(arange|linspace|logspace|eye|empty|zeros|ones|full|scalar_tensor|tensor|hann_window|hamming_window|bartlett.*"
     r"|blackman.*|kaiser.*|range|tril_indices|triu_indices|vander|from_file|complex|polar|new_.*|_efficientzero.*).*",
     "not for images"),
    (r"(sym_.*|size|stride|dim|numel|item|_local_scalar_dense|is_.*|_assert.*|_to_cpu|retain_grad|requires_grad|"
     r"result_type|can_cast|promote_types|equal|allclose|data|set_data|version|_version|output_nr|backward|"
     r"_make_dual|_fw_primal|_unpack_dual|record_stream|_print|_test.*|_validate.*|resize.*|_resize.*|set|_set.*|pin_memory"
     r"|storage_offset|_has.*|_is.*|_choose.*|_conj.*|conj.*|_neg_view.*|resolve.*|real|imag|view_as_(real|complex)|"
     r"angle|_linalg.*|align.*|rename.*|refine_names|__.*|_use.*|_cufft.*|_debug.*|_dim.*|_nnz|_values|_indices|values|"
     r"indices|crow.*|col_.*|ccol.*|row_indices|cond|Int.*|Float.*|Bool.*|Scalar.*)", "not for images"),
)  # fmt: skip


def without_rule(name: str) -> Verdict:
    """The verdict on an operator that no family has, by torch's name ("aten.fft_fft2.default" or "fft_fft2")."""
    packet = name.split(".")[1] if "." in name else name
    if packet in TAKEN_APART:
        return "local"
    return next((verdict for pattern, verdict in WITHOUT_RULE if re.fullmatch(pattern, packet)), "not yet")


def reason(name: str) -> str:
    """Why an operator without a rule is refused, in words for the user."""
    verdict = without_rule(name)
    return MEANING[verdict] if verdict == "not yet" else f"it is {verdict}: {MEANING[verdict]}"
