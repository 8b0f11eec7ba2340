"""What can become of each of torch's operators when an image is computed by tiles, and why some are refused.

Operators with a rule get the verdict of their family (its `VERDICT`, "local" where it states none). Those without one
are listed here, each with the reason; what is listed nowhere has just no rule yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["local", "channel-wise", "barrier", "truly global", "not for images", "not yet"]

MEANING: dict[Verdict, str] = {
    "local": "a region of the result needs a region of the input",
    "channel-wise": "along channels it works at each position by itself; along a spatial axis regions need whole rows",
    "barrier": "it is measured over the whole plane in a pass of its own; along channels it is local",
    "truly global": "every position of its result needs the whole image at once, in an order that no pass can give",
    "not for images": "its result is no image, or its arguments are none",
    "not yet": "there is no rule for this operator yet",
}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


TAKEN_APART = _names("""
    _convolution adjoint atleast_1d atleast_2d atleast_3d batch_norm broadcast_to chunk dsplit expand_as hsplit lift
    lift_fresh mH mT moveaxis movedim narrow native_batch_norm numpy_T ravel reflection_pad1d reflection_pad2d
    reflection_pad3d replication_pad1d replication_pad2d replication_pad3d reshape_as swapaxes swapdims tensor_split
    unsafe_chunk view_as vsplit where
    """)
"""Operators that torch has taken apart into others before a rule is looked for."""


@dataclass(frozen=True)
class WithoutRule:
    """Operators that have no rule, by torch's names without overloads, and `why`."""

    verdict: Verdict
    why: str
    names: frozenset[str]


WITHOUT_RULE = (
    WithoutRule(
        "truly global",
        "it is a spectrum",
        _names("""
            _fft_c2c _fft_c2r _fft_r2c fft_fft fft_fft2 fft_fftn fft_hfft fft_hfft2 fft_hfftn fft_ifft fft_ifft2
            fft_ifftn fft_ihfft fft_ihfft2 fft_ihfftn fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftn
            istft stft
            """),
    ),
    WithoutRule(
        "truly global",
        "each step needs the one before it",
        _names("""
            _lstm_mps gru lstm quantized_gru quantized_lstm rnn_relu rnn_tanh
            """),
    ),
    WithoutRule(
        "truly global",
        "it compares all positions with all",
        _names("""
            _cdist_forward _cudnn_attention_forward _efficient_attention_forward _flash_attention_forward
            _flash_attention_forward_no_dropout_inplace _native_multi_head_attention _pdist_forward
            _scaled_dot_product_attention_math _scaled_dot_product_attention_math_for_mps
            _scaled_dot_product_cudnn_attention _scaled_dot_product_efficient_attention
            _scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu
            _scaled_dot_product_fused_attention_overrideable _transformer_encoder_layer_fwd
            _triton_multi_head_attention _triton_scaled_dot_attention pdist
            """),
    ),
    WithoutRule(
        "truly global",
        "it puts or takes elements by their order in the whole",
        _names("""
            masked_scatter put take
            """),
    ),
    WithoutRule(
        "not for images",
        "it is a part of a gradient",
        _names("""
            adaptive_avg_pool3d_backward adaptive_max_pool2d_backward adaptive_max_pool3d_backward
            affine_grid_generator_backward avg_pool2d_backward avg_pool3d_backward batch_norm_backward
            batch_norm_backward_elemt batch_norm_backward_reduce binary_cross_entropy_backward conv_tbc_backward
            convolution_backward convolution_backward_overrideable cudnn_affine_grid_generator_backward
            cudnn_batch_norm_backward cudnn_grid_sampler_backward cummaxmin_backward cumprod_backward
            diagonal_backward elu_backward embedding_backward embedding_dense_backward embedding_sparse_backward
            fake_quantize_per_channel_affine_cachemask_backward fake_quantize_per_tensor_affine_cachemask_backward
            fractional_max_pool2d_backward fractional_max_pool3d_backward gather_backward glu_backward
            glu_backward_jvp glu_jvp grid_sampler_2d_backward grid_sampler_3d_backward hardshrink_backward
            hardsigmoid_backward hardswish_backward hardtanh_backward huber_loss_backward index_select_backward
            infinitely_differentiable_gelu_backward leaky_relu_backward linear_backward log_sigmoid_backward
            lstm_mps_backward masked_scatter_backward masked_select_backward matmul_backward matrix_exp_backward
            max_pool2d_backward max_pool2d_with_indices_backward max_pool3d_with_indices_backward
            miopen_batch_norm_backward miopen_rnn_backward mish_backward mkldnn_adaptive_avg_pool2d_backward
            mkldnn_linear_backward mkldnn_linear_backward_input mkldnn_linear_backward_weights
            mkldnn_max_pool2d_backward mkldnn_max_pool3d_backward mkldnn_rnn_layer_backward mps_convolution_backward
            mps_convolution_transpose_backward mse_loss_backward multi_margin_loss_backward
            multilabel_margin_loss_backward native_batch_norm_backward native_group_norm_backward
            native_layer_norm_backward nll_loss2d_backward nll_loss_backward reflection_pad1d_backward
            reflection_pad2d_backward reflection_pad3d_backward replication_pad1d_backward replication_pad2d_backward
            replication_pad3d_backward rrelu_with_noise_backward select_backward slice_backward
            smooth_l1_loss_backward soft_margin_loss_backward softplus_backward softshrink_backward to_dense_backward
            to_mkldnn_backward trace_backward unfold_backward upsample_bicubic2d_backward upsample_bilinear2d_backward
            upsample_linear1d_backward upsample_nearest1d_backward upsample_nearest2d_backward
            upsample_nearest3d_backward upsample_trilinear3d_backward value_selecting_reduction_backward
            """),
    ),
    WithoutRule(
        "not for images",
        "it compares scores with classes",
        _names("""
            cosine_embedding_loss cross_entropy_loss ctc_loss embedding_bag embedding_renorm multi_margin_loss
            multilabel_margin_loss multilabel_margin_loss_forward nll_loss nll_loss2d nll_loss2d_forward
            nll_loss_forward nll_loss_nd triplet_margin_loss
            """),
    ),
    WithoutRule(
        "not for images",
        "it draws random numbers",
        _names("""
            alpha_dropout bernoulli binomial cauchy exponential feature_alpha_dropout feature_dropout geometric
            log_normal multinomial normal normal_functional poisson rand_like randint_like randn_like random
            rrelu_with_noise rrelu_with_noise_functional uniform
            """),
    ),
    WithoutRule(
        "not for images",
        "it is about vectors and matrices",
        _names("""
            addbmm addmv addr block_diag cartesian_prod chain_matmul cholesky cholesky_inverse cholesky_solve
            combinations corrcoef cov det diag diagflat dot geqrf ger inverse linalg__powsum linalg_cholesky
            linalg_cholesky_ex linalg_cond linalg_det linalg_eig linalg_eigh linalg_eigvals linalg_eigvalsh
            linalg_householder_product linalg_inv linalg_inv_ex linalg_ldl_factor linalg_ldl_factor_ex
            linalg_ldl_solve linalg_lstsq linalg_lu linalg_lu_factor linalg_lu_factor_ex linalg_lu_solve
            linalg_matrix_exp linalg_matrix_power linalg_matrix_rank linalg_pinv linalg_qr linalg_slogdet linalg_solve
            linalg_solve_ex linalg_solve_triangular linalg_svd linalg_svdvals linalg_tensorinv linalg_tensorsolve
            linalg_vander logdet lu_solve lu_unpack matrix_H matrix_exp matrix_power norm_except_dim nuclear_norm
            orgqr ormqr pinverse qr slogdet svd trace triangular_solve vdot
            """),
    ),
    WithoutRule(
        "not for images",
        "how many numbers it gives depends on the pixels, or they are counts",
        _names("""
            argwhere bincount hash_tensor histogram histogramdd masked_select nonzero nonzero_numpy nonzero_static
            unique_consecutive unique_dim unique_dim_consecutive
            """),
    ),
    WithoutRule(
        "not for images",
        "it is about sparse, nested or quantised tensors",
        _names("""
            ccol_indices choose_qparams_optimized coalesce col_indices copy_sparse_to_sparse crow_indices dequantize
            empty_quantized fake_quantize_per_channel_affine fake_quantize_per_channel_affine_cachemask
            fake_quantize_per_tensor_affine fake_quantize_per_tensor_affine_cachemask fbgemm_linear_fp16_weight
            fbgemm_linear_fp16_weight_fp32_activation fbgemm_linear_int8_weight
            fbgemm_linear_int8_weight_fp32_activation fbgemm_linear_quantize_weight fbgemm_pack_gemm_matrix_fp16
            fbgemm_pack_quantized_matrix fused_moving_avg_obs_fake_quant hspmm indices int_repr
            nested_to_padded_tensor q_per_channel_scales q_per_channel_zero_points quantize_per_channel
            quantize_per_tensor quantize_per_tensor_dynamic quantized_batch_norm quantized_gru_cell
            quantized_lstm_cell quantized_max_pool1d quantized_max_pool2d quantized_max_pool3d quantized_rnn_relu_cell
            quantized_rnn_tanh_cell resize_as_sparse row_indices smm sparse_bsc_tensor sparse_bsr_tensor
            sparse_compressed_tensor sparse_coo_tensor sparse_csc_tensor sparse_csr_tensor sparse_mask sparse_resize
            sparse_resize_and_clear sparse_sampled_addmm sspaddmm to_dense to_padded_tensor to_sparse to_sparse_bsc
            to_sparse_bsr to_sparse_csc to_sparse_csr values
            """),
    ),
    WithoutRule(
        "not for images",
        "it is what another one becomes on some device",
        _names("""
            batch_norm_elemt batch_norm_gather_stats batch_norm_gather_stats_with_counts batch_norm_stats
            batch_norm_update_stats cpu cuda cudnn_affine_grid_generator cudnn_batch_norm cudnn_convolution
            cudnn_convolution_add_relu cudnn_convolution_relu cudnn_convolution_transpose cudnn_grid_sampler
            miopen_batch_norm miopen_convolution miopen_convolution_add_relu miopen_convolution_relu
            miopen_convolution_transpose miopen_ctc_loss miopen_depthwise_convolution miopen_rnn
            mkldnn_adaptive_avg_pool2d mkldnn_convolution mkldnn_linear mkldnn_max_pool2d mkldnn_max_pool3d
            mkldnn_reorder_conv2d_weight mkldnn_reorder_conv3d_weight mkldnn_rnn_layer to_mkldnn
            """),
    ),
    WithoutRule(
        "not for images",
        "it is about complex numbers",
        _names("""
            chalf conj imag real resolve_conj resolve_neg view_as_complex view_as_real
            """),
    ),
    WithoutRule(
        "not for images",
        "it makes a tensor of none, or of lists",
        _names("""
            as_tensor complex linspace logspace meshgrid new_empty_strided polar vander
            """),
    ),
    WithoutRule(
        "not for images",
        "it is about how tensors are held",
        _names("""
            data dict flatten_dense_tensors grad items keys pad_sequence pin_memory popitem resize resize_as set
            slice_inverse sorted unflatten_dense_tensors
            """),
    ),
)


def _entry(name: str) -> WithoutRule | None:
    """The entry of an operator, by torch's name ("aten.fft_fft2.default" or "fft_fft2")."""
    packet = name.split(".")[1] if "." in name else name
    return next((entry for entry in WITHOUT_RULE if packet in entry.names), None)


def without_rule(name: str) -> Verdict:
    """The verdict on an operator that no family has, by torch's name."""
    if (name.split(".")[1] if "." in name else name) in TAKEN_APART:
        return "local"
    entry = _entry(name)
    return "not yet" if entry is None else entry.verdict


def reason(name: str) -> str:
    """Why an operator without a rule is refused, in words for the user."""
    entry = _entry(name)
    if entry is None:
        return MEANING["not yet"]
    return f"it is {entry.verdict}: {MEANING[entry.verdict]} ({entry.why})"
