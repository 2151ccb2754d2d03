from __future__ import annotations

import zlib

import numpy as np
import pytest

from edgewright.benchmarks.gpu_check.models import NETWORKS, network

torch = pytest.importorskip("torch")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet50", 25_557_032),  # as torchvision's resnet50
        ("efficientnet-lite0", 4_652_008),  # as timm's efficientnet_lite0
        # all-MiniLM-L6-v2 has 22 713 216, of which we leave out 448 of 512 positions, two token types and the pooler.
        ("minilm", 22_713_216 - 448 * 384 - 2 * 384 - (384 * 384 + 384)),
    ],
)
def test_networks_have_the_published_number_of_parameters(name: str, parameters: int) -> None:
    assert sum(one.numel() for one in network(name).parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "precision", "most"),
    [("tiny", "fp16", 0.01), ("minilm", "fp16", 0.01), ("minilm", "bf16", 0.08), ("efficientnet-lite0", "bf16", 0.08)],
)
def test_half_precision_is_near_and_float_on_the_outside(name: str, precision: str, most: float) -> None:
    """Rounding to 11 (fp16) and 8 (bf16) bits of mantissa, added up over up to fifty layers."""
    shape = NETWORKS[name]
    (feeds,) = shape.samples(1, 1, seed=3)
    tensors = [torch.from_numpy(feeds[spec.name]) for spec in shape.input_specs(1)]
    assert all(spec.problem_with(feeds[spec.name]) is None for spec in shape.input_specs(1))
    with torch.inference_mode():
        right, rounded = network(name)(*tensors).numpy(), network(name, precision)(*tensors).numpy()
    assert rounded.dtype == np.float32
    assert shape.output_specs(1)[0].problem_with(rounded) is None
    error = np.abs(rounded - right).max() / np.abs(right).max()
    assert 0 < error < most


def test_the_answer_depends_on_the_input_and_on_the_seed() -> None:
    first, second = (torch.from_numpy(feeds["x"]) for feeds in NETWORKS["tiny"].samples(2, 2, seed=0))
    with torch.inference_mode():
        answers = [network("tiny", seed=seed)(x) for seed in (0, 1) for x in (first, second)]
        again = network("tiny")(first)
    assert len({answer.numpy().tobytes() for answer in answers}) == 4
    assert torch.equal(again, answers[0])


def test_weights_compress_to_next_to_nothing() -> None:
    weights = b"".join(one.detach().numpy().tobytes() for one in network("minilm").parameters() if one.ndim > 1)
    assert len(zlib.compress(weights, 1)) < len(weights) / 20


def test_each_network_has_code_of_its_own_for_torch_compile() -> None:
    assert type(network("tiny")).forward.__code__ is not type(network("tiny")).forward.__code__
