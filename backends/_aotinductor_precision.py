"""A torch program that takes and gives what it always did, and computes in half precision inside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from edgewright.core.errors import EngineError

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

DTYPES: Final = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""Our names of what can be computed in -> torch's."""

_PRODUCTS: Final = frozenset(
    [
        *("_conv_depthwise2d", "conv1d", "conv2d", "conv3d", "conv_depthwise3d", "convolution"),
        *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
        *("addbmm", "addmm", "addmv", "baddbmm", "bilinear", "bmm", "dot", "einsum", "linear", "matmul", "mm", "mv"),
        *("gru", "lstm", "rnn_relu", "rnn_tanh", "scaled_dot_product_attention"),
    ]
)
"""Operators whose floating operands are all given in half precision: where the time goes."""

_OF_ONE_TYPE: Final = frozenset(
    [
        *("embedding_bag", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d", "index_put", "index_put_", "prelu"),
        *("group_norm", "instance_norm", "layer_norm", "native_group_norm", "native_layer_norm", "rms_norm", "scatter"),
    ]
)
"""Operators that take no mixture of float types: they compute in the wider one. Others promote by themselves, and batch
normalisation takes statistics in float32."""

_ASSERTION: Final = "_assert_tensor_metadata"
"""The exporter's check that tensors still have the types they were traced with."""


def flat(program: ExportedProgram, precision: str) -> tuple[torch.nn.Module, list[str]]:
    """A module that takes the program's input tensors in order and gives a tuple of its outputs.

    In ``bf16`` and ``fp16`` weights and floating inputs are cast, and so are the operands of every matrix product and
    convolution. What the program makes in float32 by itself (positions counted in integers, casts it was written with)
    stays so until a product takes it. Outputs have the types they had.

    Args:
        program: its weights are changed in place; a copy is the caller's affair.

    Returns:
        The module, and the names of weights that stay in float32: those of batch normalisations, which fold into
        convolutions, are not named; those too large for float16 are.
    """
    import torch

    half = None if precision == "fp32" else getattr(torch, DTYPES[precision])
    graph = program.module(check_guards=False)
    kept = [] if half is None else _cast_weights(graph, half)
    given = _constants(program)
    wanted = _output_types(program)

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.program = graph

        def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            left = iter(tensors)
            arguments = [_as(next(left), half) if constant is None else constant[0] for constant in given]
            results = _interpreter(graph, half).run(*arguments, enable_io_processing=False)
            pairs = zip(results, wanted, strict=True)
            return tuple(result.to(dtype) for result, dtype in pairs if dtype is not None)

    return Flat(), kept


def sample_inputs(program: ExportedProgram) -> tuple[torch.Tensor, ...]:
    """Input tensors of sizes the program was traced with: zeros, which every operator takes (indices too)."""
    import torch

    return tuple(
        torch.zeros([_size(dim) for dim in value.shape], dtype=value.dtype, device=value.device)
        for value in _input_values(program)
    )


def open_dimensions(program: ExportedProgram) -> tuple[dict[int, object], ...]:
    """For each input tensor, its open dimensions with their bounds, as ``torch.export.export`` wants them."""
    import torch
    from torch.utils._sympy.numbers import int_oo

    found: list[dict[int, object]] = []
    for value in _input_values(program):
        axes: dict[int, object] = {}
        for axis, dim in enumerate(value.shape):
            expression = getattr(
                getattr(dim, "node", None), "expr", None
            )  # of a torch.SymInt, which mypy takes for int
            if expression is not None:
                bounds = program.range_constraints.get(expression)
                high = None if bounds is None or bounds.upper is int_oo else int(bounds.upper)
                axes[axis] = torch.export.Dim.DYNAMIC(min=None if bounds is None else int(bounds.lower), max=high)
        found.append(axes)
    return tuple(found)


def retrace(module: torch.nn.Module, program: ExportedProgram) -> ExportedProgram:
    """The module that :func:`flat` made as a program of its own, open where ``program`` is open.

    Raises:
        EngineError: torch cannot trace it.
    """
    import torch

    with torch.no_grad():
        try:
            return torch.export.export(
                module, sample_inputs(program), dynamic_shapes=(open_dimensions(program),), strict=False
            )
        except Exception as error:
            raise EngineError(
                f"torch cannot trace the program again: {gist(error)}", "Another precision may work."
            ) from error


def gist(error: BaseException) -> str:
    """The class and the first lines of what torch says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:3]):.400}"


def _interpreter(graph: torch.fx.GraphModule, half: torch.dtype | None) -> torch.fx.Interpreter:
    import torch
    from torch.utils import _pytree as pytree

    class Typed(torch.fx.Interpreter):
        def call_function(self, target: object, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
            name = _operator(target)
            if half is not None:
                if name == _ASSERTION:
                    return None
                if name in _PRODUCTS or name in _OF_ONE_TYPE:
                    floats = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if _is_float(leaf)]
                    dtype: torch.dtype | None = half if name in _PRODUCTS else _widest(floats)
                    args, kwargs = pytree.tree_map(lambda leaf: _as(leaf, dtype), (args, kwargs))
            return super().call_function(target, args, kwargs)  # type: ignore[arg-type] # any callable, as it was given

    return Typed(graph)


def _operator(target: object) -> str:
    """The operator's name without its domain and overload: ``conv2d``."""
    return str(getattr(getattr(target, "overloadpacket", None), "__name__", ""))


def _is_float(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.dtype in (torch.float32, torch.float16, torch.bfloat16)


def _widest(tensors: Iterable[torch.Tensor]) -> torch.dtype | None:
    import torch

    return torch.float32 if len({tensor.dtype for tensor in tensors}) > 1 else None


def _as(value: object, dtype: torch.dtype | None) -> object:
    """A floating tensor in another float type; everything else as it is."""
    if dtype is None or not _is_float(value):
        return value
    return value.to(dtype)  # type: ignore[attr-defined] # it is a tensor


def _cast_weights(graph: torch.fx.GraphModule, half: torch.dtype) -> list[str]:
    import torch

    normalising = {
        str(node.target)
        for node in graph.graph.nodes
        if node.op == "get_attr" and node.users and all(_operator(user.target) == "batch_norm" for user in node.users)
    }
    kept: list[str] = []
    cast: dict[int, torch.Tensor] = {}  # by the weight it was made of: what two layers share stays one
    named = [*graph.named_parameters(remove_duplicate=False), *graph.named_buffers(remove_duplicate=False)]
    for name, tensor in named:
        if tensor.dtype != torch.float32 or name in normalising:
            continue
        if id(tensor) not in cast:
            smaller = tensor.detach().to(half)
            if bool((torch.isinf(smaller) & ~torch.isinf(tensor)).any()):
                kept.append(name)
                continue
            is_parameter = isinstance(tensor, torch.nn.Parameter)
            cast[id(tensor)] = torch.nn.Parameter(smaller, requires_grad=False) if is_parameter else smaller
        parent, _, leaf = name.rpartition(".")
        setattr(graph.get_submodule(parent), leaf, cast[id(tensor)])
    return kept


def _constants(program: ExportedProgram) -> list[tuple[object] | None]:
    """For each argument of ``forward``, flattened: its value where it is a constant, None where it is a tensor."""
    from torch.export.graph_signature import ConstantArgument, InputKind

    return [
        (spec.arg.value,) if isinstance(spec.arg, ConstantArgument) else None
        for spec in program.graph_signature.input_specs
        if spec.kind == InputKind.USER_INPUT
    ]


def _input_values(program: ExportedProgram) -> list[torch.Tensor]:
    import torch

    names = set(program.graph_signature.user_inputs)
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    return [node.meta["val"] for node in nodes if isinstance(node.meta.get("val"), torch.Tensor)]


def _output_types(program: ExportedProgram) -> list[torch.dtype | None]:
    from torch.export.graph_signature import OutputKind

    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    return [
        getattr(values.get(getattr(spec.arg, "name", "")), "dtype", None)
        for spec in program.graph_signature.output_specs
        if spec.kind == OutputKind.USER_OUTPUT
    ]


def _size(dim: object) -> int:
    """A fixed size, or the one that an open dimension was traced with."""
    hint = getattr(getattr(dim, "node", None), "hint", None)
    return int(hint) if hint is not None else int(dim)  # type: ignore[call-overload] # int or SymInt
