"""Handles of the two forms a model has inside the compiler: torch and ONNX."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from edgewright.core.tensors import Dim, SizeRange, TensorSpec

if TYPE_CHECKING:
    import onnx_ir
    import torch

EXTERNAL_DATA_THRESHOLD_BYTES = 1 << 30
"""Above this, weights are written beside the model: a protobuf message ends at 2 GiB."""


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """A validated ONNX model. Treat ``ir`` as frozen: a pass works on :meth:`copy` and returns a new handle.

    The digest, counts and specs are computed once, so a change of ``ir`` after its first use would go unseen.
    """

    ir: onnx_ir.Model
    name: str
    """What people call it: the file's stem or the factory's name."""
    sizes: Mapping[str, tuple[SizeRange, ...]] = field(default_factory=dict)
    """For each input with open dimensions, the range of every dimension; empty where nothing is known of them."""

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What must be fed: the graph's inputs that have no initializer."""
        return tuple(_spec(value) for value in self.ir.graph.inputs if value.name not in self.ir.graph.initializers)

    @cached_property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What comes out, in the graph's order."""
        return tuple(_spec(value) for value in self.ir.graph.outputs)

    @cached_property
    def parameters(self) -> int:
        """Number of elements in all initializers of floating or quantised type with one dimension or more."""
        return sum(tensor.size for tensor in self._tensors() if len(tensor.shape) > 0)

    @cached_property
    def size_bytes(self) -> int:
        """Bytes of all initializers; the graph itself is not counted."""
        return sum(tensor.nbytes for tensor in self._tensors())

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex over the model's deterministic serialisation, independent of where its weights are stored."""
        import onnx_ir as ir

        hasher = hashlib.sha256()
        names = sorted(self.ir.graph.initializers)
        skeleton = self.copy().ir
        for name in names:
            value = self.ir.graph.initializers[name]
            tensor = value.const_value
            assert tensor is not None
            hasher.update(f"{name}\0{tensor.dtype.name}\0{list(tensor.shape)}\0".encode("utf-8", "surrogatepass"))
            _add_bytes(hasher, tensor)
            skeleton.graph.initializers[name].const_value = ir.tensor([0], name=name)
        hasher.update(ir.to_proto(skeleton).SerializeToString(deterministic=True))
        return hasher.hexdigest()

    def copy(self) -> OnnxModel:
        """An independent graph that shares the (immutable) weight tensors."""
        return replace(self, ir=self.ir.clone())

    def save(self, path: Path) -> list[Path]:
        """Writes ``path``, and ``path`` + ``.data`` beside it when the weights exceed a protobuf's reach.

        Returns:
            The files written.
        """
        import onnx_ir as ir

        if self.size_bytes > EXTERNAL_DATA_THRESHOLD_BYTES:
            data = path.name + ".data"
            ir.save(self.ir, path, external_data=data)
            return [path, path.with_name(data)]
        model = self.ir
        if any(isinstance(tensor, ir.ExternalTensor) for tensor in self._tensors()):
            # Where they lie is told relative to the file that was read, and is not beside this one.
            model = ir.external_data.load_to_model(self.copy().ir)
        path.write_bytes(ir.to_proto(model).SerializeToString(deterministic=True))
        return [path]

    def _tensors(self) -> list[onnx_ir.TensorProtocol]:
        graphs = [self.ir.graph, *self.ir.graph.subgraphs()]
        values = [value for graph in graphs for value in graph.initializers.values()]
        return [value.const_value for value in values if value.const_value is not None]


@dataclass(frozen=True, eq=False)
class TorchModel:
    """A module in evaluation mode with example inputs, or an exported program; becomes ONNX by the export pass."""

    program: torch.nn.Module | torch.export.ExportedProgram
    example_inputs: tuple[torch.Tensor, ...] | None
    """Positional inputs of ``forward``; None for an exported program, which carries its own."""
    name: str


@dataclass(frozen=True)
class TorchFile:
    """An exported torch program in its ``.pt2`` file: how processes that never import torch hold the torch form."""

    path: Path
    name: str
    inputs: tuple[TensorSpec, ...]
    """What must be fed, in the order of ``forward``, under the names its ONNX form has."""
    outputs: tuple[TensorSpec, ...]
    """What comes out, flattened, in order, under the names its ONNX form has."""


@dataclass(frozen=True)
class TorchSource:
    """A torch module by where it comes from and what was trained into it since: no process needs torch to hold it.

    The module is whatever the source makes (see ``compiler.intake.torch_request``), changed as ``state`` says: a folder
    that a training stage wrote (see ``compiler.torch_stage.state``); None for the module as the user has it.
    """

    kind: str
    """``factory``, ``pt2`` or ``pickle``."""
    text: str
    """``module:function``, or the file's path."""
    name: str
    shapes: tuple[str, ...]
    """As ``--shape`` has them; they decide how the module is exported."""
    trust_pickle: bool
    inputs: tuple[TensorSpec, ...]
    """What must be fed, in the order of ``forward``, under the names its ONNX form has."""
    outputs: tuple[TensorSpec, ...]
    """What comes out, flattened, in order, under the names its ONNX form has."""
    state: Path | None = None
    parameters: int | None = None
    """Number of elements of all parameters; None where nothing has loaded the module yet."""
    size_bytes: int | None = None
    """Bytes of all parameters."""


class _Hashing:
    """A file to write to of which only the digest is kept."""

    def __init__(self, hasher: hashlib._Hash) -> None:
        self._hasher = hasher

    def write(self, data: bytes) -> int:
        self._hasher.update(data)
        return len(data)


def _add_bytes(hasher: hashlib._Hash, tensor: onnx_ir.TensorProtocol) -> None:
    """The tensor's bytes; where they lie in a file, they are read piece by piece and never in memory together."""
    import onnx_ir as ir

    if isinstance(tensor, ir.ExternalTensor):
        tensor.tofile(_Hashing(hasher))
    else:
        hasher.update(tensor.tobytes())


def tensor_digest(tensor: onnx_ir.TensorProtocol) -> bytes:
    """SHA-256 over the tensor's bytes."""
    hasher = hashlib.sha256()
    _add_bytes(hasher, tensor)
    return hasher.digest()


def read_model(data: bytes, name: str, sizes: Mapping[str, tuple[SizeRange, ...]]) -> OnnxModel:
    """The model that :meth:`OnnxModel.save` wrote into one file; nothing of it is checked."""
    import onnx
    import onnx_ir as ir

    return OnnxModel(ir.from_proto(onnx.ModelProto.FromString(data)), name, sizes)


Model: TypeAlias = TorchModel | TorchFile | TorchSource | OnnxModel


def _spec(value: onnx_ir.Value) -> TensorSpec:
    import onnx_ir as ir

    kind = value.dtype
    dtype = "unknown" if kind is None else "string" if kind == ir.DataType.STRING else str(kind.numpy().name)
    dims: tuple[Dim, ...] | None = None
    if value.shape is not None:
        dims = tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape)
    return TensorSpec(value.name or "", dtype, dims)
