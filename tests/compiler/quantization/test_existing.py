from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edgewright.compiler.passes.static_quantize import StaticQuantize
from edgewright.compiler.quantization.existing import own_pair
from edgewright.core.model import OnnxModel

from .conftest import Net, images, site_of, worst_ratio


def partly_quantized(scale: float = 0.02, *, late: bool = False) -> OnnxModel:
    """Conv-Relu whose result goes through a pair of the model's own to one Conv, and as it is to another."""
    net = Net(seed=5)
    x = net.input("x", ["N", 3, 16, 16])
    made = net.op("Relu", net.conv(x, 3, 16), out="made")
    parameters = [net.weight(scale), net.weight(3, np.uint8)]
    other = net.conv(made, 16, 16) if late else ""
    back = net.op("DequantizeLinear", net.op("QuantizeLinear", made, *parameters), *parameters, out="back")
    first = net.conv(back, 16, 16)
    net.op("Add", first, other or net.conv(made, 16, 16), out="y")
    net.output("y", ["N", 16, 16, 16])
    return net.model("partly")


@pytest.mark.parametrize("late", [False, True])
def test_a_tensor_with_a_pair_of_its_own_is_rounded_once(late: bool) -> None:
    model = partly_quantized(late=late)
    feeds = images(8)
    outcome = StaticQuantize()(model, site_of(model, feeds))
    assert outcome.changed
    for node in outcome.model.ir.graph:
        if node.op_type == "QuantizeLinear":
            producer = node.inputs[0].producer()
            assert producer is None or producer.op_type != "DequantizeLinear", "rounded on one grid, then on another"
    readers = [node.op_type for node, _ in value(outcome.model, "back").uses()]
    assert readers == ["Conv", "Conv"], "the second convolution reads the pair that was there"
    assert worst_ratio(model, outcome.model, feeds) > 30.0


def value(model: OnnxModel, name: str) -> ir.Value:
    return next(one for node in model.ir.graph for one in node.outputs if one.name == name)


def test_only_8_bit_pairs_with_one_constant_scale_are_taken() -> None:
    model = partly_quantized(0.5)
    pair = own_pair(value(model, "made"))
    assert pair is not None
    assert (float(pair.grid.scale), int(pair.grid.zero_point), pair.grid.dtype) == (0.5, 3, "uint8")
    assert own_pair(value(model, "back")) is None
    wide = partly_quantized()
    for node in wide.ir.graph:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.replace_input_with(1, ir.val("scales", const_value=ir.tensor(np.ones(16, np.float32))))
    assert own_pair(value(wide, "made")) is None
