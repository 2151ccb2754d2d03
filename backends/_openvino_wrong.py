"""What OpenVINO converts without a word and then computes wrongly, as ONNX's node tests show (OpenVINO 2026.4).

A model with one of these is refused where it is planned rather than where its numbers are checked. Each row is held by
a node test: when that passes, the row can go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from edgewright.backends._base import Unsupported
from edgewright.core.model import OnnxModel

if TYPE_CHECKING:
    import onnx_ir as ir


def wrong(model: OnnxModel) -> list[Unsupported]:
    """One for each node that it would compute wrongly."""
    import onnx_ir as ir

    return [
        Unsupported(f"::{node.op_type}", node.name or "", f"OpenVINO computes it wrongly: {reason}")
        for node in ir.traversal.RecursiveGraphIterator(model.ir.graph)
        if node.domain in ("", "ai.onnx")
        for applies, reason in _RULES.get(node.op_type, ())
        if applies(node)
    ]


def _batch_first(node: ir.Node) -> bool:
    return _integer(node, "layout") == 1


def _peepholes(node: ir.Node) -> bool:
    return len(node.inputs) > 7 and node.inputs[7] is not None


def _antialias(node: ir.Node) -> bool:
    return _integer(node, "antialias") == 1


def _keeps_aspect_ratio(node: ir.Node) -> bool:
    return _text(node, "keep_aspect_ratio_policy") in ("not_larger", "not_smaller")


def _crd(node: ir.Node) -> bool:
    return _text(node, "mode") == "CRD"


def _repeats_vary(node: ir.Node) -> bool:
    return _decided_at_run_time(node.inputs[1])


def _causal_with_mask_and_past(node: ir.Node) -> bool:
    given = len(node.inputs) > 4 and node.inputs[3] is not None and node.inputs[4] is not None
    return given and _integer(node, "is_causal") == 1


def _windowed(node: ir.Node) -> bool:
    sides = ("left_window_size", "right_window_size")  # -1: unbounded
    return any(name in node.attributes and _integer(node, name) >= 0 for name in sides)


def _onesided(node: ir.Node) -> bool:
    return _integer(node, "onesided") == 1


def _axis_varies(node: ir.Node) -> bool:
    return len(node.inputs) > 2 and _decided_at_run_time(node.inputs[2])


def _excludes_outside(node: ir.Node) -> bool:
    return _integer(node, "exclude_outside") == 1


def _maximum(node: ir.Node) -> bool:
    return _text(node, "mode") == "max"


def _decided_at_run_time(value: ir.Value | None) -> bool:
    return value is not None and value.is_graph_input() and value.const_value is None


def _integer(node: ir.Node, name: str) -> int:
    attribute = node.attributes.get(name)
    return 0 if attribute is None or attribute.is_ref() else attribute.as_int()


def _text(node: ir.Node, name: str) -> str:
    attribute = node.attributes.get(name)
    return "" if attribute is None or attribute.is_ref() else attribute.as_string()


_BATCH_FIRST = (_batch_first, "it ignores layout = 1 (batch first)")
_RULES: Final[dict[str, tuple[tuple[Callable[[ir.Node], bool], str], ...]]] = {
    "Attention": (
        (
            _causal_with_mask_and_past,
            "with a mask it ignores where the past ends",
        ),  # test_attention_..._past_and_present_qk_..._mask_causal
        (_windowed, "it ignores the window"),  # test_attention_local_window
    ),
    "DFT": (
        (_onesided, "a one-sided result has a dimension too many"),  # test_dft_rfft, test_dft_irfft
        (_axis_varies, "it does not read an axis that is an input"),  # test_dft_axis
    ),
    "RNN": (_BATCH_FIRST,),  # test_simple_rnn_batchwise
    "GRU": (_BATCH_FIRST,),  # test_gru_batchwise
    "LSTM": (_BATCH_FIRST, (_peepholes, "it ignores peepholes")),  # test_lstm_batchwise, test_lstm_with_peepholes
    "Resize": (
        (_excludes_outside, "it ignores exclude_outside"),  # test_resize_upsample_scales_cubic_A_n0p5_exclude_outside
        (_antialias, "it ignores antialias"),  # test_resize_downsample_scales_linear_antialias
        (_keeps_aspect_ratio, "it ignores keep_aspect_ratio_policy"),  # test_resize_upsample_sizes_nearest_not_larger
    ),
    "RoiAlign": ((_maximum, "mode = max gives other numbers"),),  # test_roialign_mode_max
    "SpaceToDepth": ((_crd, "it ignores mode = CRD"),),  # test_spacetodepth_crd_mode_example
    "Tile": ((_repeats_vary, "repeats that are an input can give uninitialised memory"),),  # test_tile
}
