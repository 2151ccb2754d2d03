"""Builds AOTInductor packages; runs in a child process, for it runs torch's compiler and a C++ compiler."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.backends import _aotinductor_cuda as cuda
from edgewright.backends._aotinductor_precision import flat, gist, retrace
from edgewright.backends._wire import Json
from edgewright.core.errors import EngineError

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

MODEL = "model"
"""The model's name inside a package."""


def save_program(program: str, out: str) -> Json:
    """Writes the program as ``out`` without what it remembers of its author's machine: source lines, sample inputs.

    Raises:
        EngineError: it cannot be read.
    """
    import torch

    loaded = _load(program)
    loaded.example_inputs = None
    _forget_sources(loaded.graph_module)
    torch.export.save(loaded, out)
    return None


def build(
    program: str,
    out: str,
    *,
    device: str,
    precision: str,
    compiler: str,
    march: str,
    isa: list[str],
    inputs: int,
    outputs: int,
) -> Json:
    """Compiles the program for this machine's ``device`` into the package ``out``.

    Args:
        program: a ``.pt2`` file.
        out: the package's path.
        device: ``cpu`` or ``cuda``.
        precision: what is computed in.
        compiler: path of the C++ compiler.
        march: the compiler's ``-march``.
        isa: the target's instruction sets, in Linux's names; vector code uses no others.
        inputs: how many tensors it must take.
        outputs: how many tensors it must give.

    Returns:
        ``isa``: instruction sets of the vector code; ``kept``: names of weights left in float32.

    Raises:
        EngineError: the program cannot be read, traced again, or compiled.
    """
    scratch = _scratch()
    _prepare(scratch)
    if device == "cuda":
        os.environ.update(cuda.environment(scratch))
    import torch

    warnings.simplefilter("ignore")
    torch.backends.cuda.matmul.allow_tf32 = False  # float32 is float32
    torch.backends.cudnn.allow_tf32 = False
    loaded = _load(program)
    if device != "cpu":
        from torch.export.passes import move_to_device_pass

        loaded = move_to_device_pass(loaded, device)
    module, kept = flat(loaded, precision)
    traced = retrace(module, loaded)
    _require(traced, inputs, outputs)
    vector = _restrict_vectors(frozenset(isa))
    _keep_sources_out()
    options = _options(scratch, device, compiler, march)
    try:
        with torch.no_grad():
            graph = traced.module(check_guards=False)
            assert isinstance(graph, torch.fx.GraphModule)
            arguments, _ = traced.example_inputs
            files = torch._inductor.aot_compile(graph, arguments, {}, options=options)  # noqa: SLF001 - its documented place
    except Exception as error:
        raise _not_built(error) from error
    assert isinstance(files, list)
    from torch._inductor.package.package import package_aoti

    # The sources stay here: they name this machine's folders, and nothing needs them to run.
    package_aoti(out, {MODEL: [file for file in files if not str(file).endswith(".cpp")]})
    return {"isa": [*sorted(vector)], "kept": [*kept]}


def _not_built(error: BaseException) -> EngineError:
    """What the C++ compiler says first, where it is the one that fails: torch puts pages of its command before it."""
    said = [line.strip() for line in str(error).splitlines() if " error: " in line or "cannot find -l" in line]
    what = f"the compiler says {said[0]:.300}" if said else gist(error)
    lacks_headers = any("fatal error" in line or "cannot find -l" in line for line in said) or "CUDA_HOME" in what
    remedy = f"It needs CUDA's headers: {cuda.HEADERS}." if lacks_headers else "Another runtime or precision may work."
    return EngineError(f"AOTInductor cannot build the model: {what}", remedy)


def _scratch() -> Path:
    """A folder that torch can build in.

    Raises:
        EngineError: there are spaces in its name, at which torch (2.13) splits its compiler's command.
    """
    folder = tempfile.gettempdir()
    if any(one.isspace() for one in folder):
        raise EngineError(
            f"AOTInductor cannot build in '{Path(folder).parent}': torch takes a space for the end of a name",
            "Point TMPDIR to a folder without spaces in its name.",
        )
    return Path(tempfile.mkdtemp(prefix="edgewright-aoti-"))


def _prepare(scratch: Path) -> None:
    """Keeps torch's caches in ``scratch`` (no home folder is needed), and its compiler in this one process."""
    os.environ.update(
        TORCHINDUCTOR_CACHE_DIR=str(scratch / "cache"),
        TRITON_CACHE_DIR=str(scratch / "triton"),
        TORCHINDUCTOR_COMPILE_THREADS="1",
        TORCHINDUCTOR_FORCE_DISABLE_CACHES="1",
    )


def _options(scratch: Path, device: str, compiler: str, march: str) -> dict[str, object]:
    """Inductor's options: for any number of threads, and on a CPU the same bytes wherever it is built."""
    return {
        "aot_inductor.enable_frame_pointer": False,
        "aot_inductor.enable_line_tables": False,
        "aot_inductor.model_name_for_generated_files": MODEL,
        "aot_inductor.output_path": str(scratch / "out"),
        "aot_inductor.package": True,
        "aot_inductor.precompile_headers": False,
        "compile_threads": 1,
        "cpp.cxx": (None, str(_pathless(compiler, scratch))),
        "cpp.dynamic_threads": True,
        "cpp.enable_kernel_profile": True,
        "cpp.march": march,
        "cpp_cache_precompile_headers": False,
        "deterministic": device == "cpu",  # on a GPU it would forgo what kernels' own timings choose
        "size_asserts": False,  # of our own buffers; their messages hold addresses that vary from build to build
        "freezing": True,  # folds batch normalisations, lays weights out as kernels want them
    }


def _pathless(compiler: str, scratch: Path) -> Path:
    """A compiler that writes no folder of this machine into what it compiles (``__FILE__`` in torch's messages)."""
    import torch

    here = {str(scratch): ".", str(Path(torch.__file__).parent): "torch", sys.prefix: ".", sys.base_prefix: "."}
    maps = " ".join(shlex.quote(f"-ffile-prefix-map={folder}={name}") for folder, name in here.items())
    folder = scratch / "bin"
    folder.mkdir()
    script = folder / Path(compiler).name
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(compiler)} {maps} "$@"\n')
    script.chmod(0o755)
    return script


def _restrict_vectors(allowed: frozenset[str]) -> frozenset[str]:
    """Has Inductor write vector code in nothing but ``allowed``; returns what it will use.

    It has no option for this: it takes the widest that the building machine has.
    """
    from torch._inductor import cpu_vec_isa

    fitting = [isa for isa in cpu_vec_isa.valid_vec_isa_list() if _flags(isa.build_arch_flags()) <= allowed]
    setattr(cpu_vec_isa, "valid_vec_isa_list", lambda: fitting)  # noqa: B010 - an assignment would be a type error
    chosen = cpu_vec_isa.pick_vec_isa()
    return _flags(chosen.build_arch_flags()) if chosen else frozenset()


def _keep_sources_out() -> None:
    """Has Inductor name no source lines beside a kernel's name: they tell of folders, and of addresses that vary."""
    from torch._inductor import ir
    from torch.utils._ordered_set import OrderedSet

    setattr(ir.IRNode, "get_stack_traces", lambda _node: OrderedSet())  # noqa: B010 - an assignment would be a type error


def _flags(text: str) -> frozenset[str]:
    """GCC's ``-mavx512vnni`` as Linux's ``avx512_vnni``; a ``-march`` among them is one name that no CPU has."""
    renamed = {"avx512vnni": "avx512_vnni", "avx512bf16": "avx512_bf16", "avx512fp16": "avx512_fp16"}
    names = (word.removeprefix("-m") for word in text.split())
    return frozenset(renamed.get(name, name.replace("-", "_")) for name in names)


def _load(path: str) -> ExportedProgram:
    import torch

    try:
        return torch.export.load(path)
    except Exception as error:
        raise EngineError(
            f"torch {torch.__version__} cannot read {Path(path).name}: {gist(error)}",
            "Export it with a torch of the same version.",
        ) from error


def _forget_sources(graph: torch.fx.GraphModule) -> None:
    """Drops which lines of which files the operators come from."""
    import torch

    for module in graph.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node"):
                node.meta.pop(key, None)


def _require(program: ExportedProgram, inputs: int, outputs: int) -> None:
    signature = program.graph_signature
    have = (len(signature.user_inputs), len(signature.user_outputs))
    if have != (inputs, outputs):
        raise EngineError(
            f"the program takes {have[0]} tensors and gives {have[1]}, its ONNX form {inputs} and {outputs}",
            "Use a runtime that takes the ONNX form.",
        )
