"""The C that a bundle becomes: compiled by this machine's compilers without a warning, and read back by a program."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.core import bundle
from edgewright.core.errors import BadInputError, CannotWriteError, UnavailableError, UsageError
from edgewright.core.tensors import TensorSpec
from edgewright.driver.embed import embed_bundle
from edgewright.driver.embed.c_text import c_string, literals, numbers
from edgewright.driver.embed.parts import DTYPES

ALL_BYTES = bytes(range(256)) * 5 + b"end"
X, Y = TensorSpec("x", "float32", ("N", 16)), TensorSpec("y", "int8", (1, 4))
STRICT = ("-Wall", "-Wextra", "-pedantic", "-Werror")
COMPILERS = {
    "c99": ("gcc", "-std=c99", "-x", "c"),
    "c17": ("gcc", "-std=c17", "-x", "c"),
    "c++11": ("g++", "-std=c++11", "-x", "c++"),
    "clang": ("clang", "-std=c99", "-x", "c"),
    "clang++": ("clang++", "-std=c++11", "-x", "c++"),
}
SHOW = r"""
#include <stdio.h>
#include "net.h"

static void tensors(const edgewright_tensor *one, size_t count) {
  for (size_t index = 0; index < count; ++index, ++one) {
    printf("%s|%s|%d|%ld|%ld|", one->name, one->dtype_name, (int)one->dtype, (long)one->bits, (long)one->rank);
    for (int32_t axis = 0; one->dims != NULL && axis < one->rank; ++axis) printf("%ld,", (long)one->dims[axis]);
    printf("|%ld|%ld\n", (long)one->elements, (long)one->bytes);
  }
}

int main(int argc, char **argv) {
  const edgewright_model *m = &net_model;
  printf("%s|%s|%s|%s|%s\n", m->name, m->target, m->backend, m->versions, m->precision);
  printf("%s|%s|%s\n", m->bundle_sha256, m->recipe_digest, m->preprocessing ? m->preprocessing : "NULL");
  for (size_t index = 0; index < m->file_count; ++index) {
    const edgewright_file *file = &m->files[index];
    FILE *out = index + 1 < (size_t)argc ? fopen(argv[index + 1], "wb") : NULL;
    if (out == NULL || fwrite(file->data, 1, file->size, out) != file->size || fclose(out) != 0) return 1;
    printf("%s|%d|", file->path, (int)((uintptr_t)file->data % 64));
    for (size_t at = 0; at < 32; ++at) printf("%02x", file->sha256[at]);
    printf("\n");
  }
  tensors(m->inputs, m->input_count);
  tensors(m->outputs, m->output_count);
  for (size_t index = 0; index < m->state_count; ++index)
    printf("%d->%d\n", (int)m->states[index].from, (int)m->states[index].to);
  return net_engine == m->files[0].data && net_engine_size == m->files[0].size ? 0 : 2;
}
"""


def make_bundle(folder: Path, files: dict[str, bytes] | None = None, backend: Any = None, **changes: Any) -> Path:
    files = {"model.onnx": ALL_BYTES} if files is None else files
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    target = {"name": "native/onnxruntime"}
    fields: dict[str, Any] = {
        "model": bundle.ModelRecord("mlp", "0" * 64),
        "target": bundle.TargetRecord("native/onnxruntime", target),
        "backend": backend or bundle.BackendRecord("onnxruntime", {"b": "2", "a": "1"}, next(iter(files)), {}),
        "precision": "int8",
        "inputs": (X,),
        "outputs": (Y,),
        "passes": (),
        "accuracy": None,
        "limits": bundle.Limits(),
        "size_bytes": sum(map(len, files.values())),
        "recipe_digest": "1" * 64,
        "plan_digest": "2" * 64,
        "tolerances": bundle.Tolerances(1e-3, 1e-3),
    }
    manifest = bundle.Manifest(**(fields | changes))
    answer = [{one.name: np.zeros(4, "float32") for one in manifest.outputs}]
    golden = bundle.Golden([{one.name: np.zeros(4, "float32") for one in manifest.inputs}], answer, answer)
    out = folder / "net.ewb"
    bundle.write_bundle(out, manifest.to_json(), {}, {name: folder / name for name in files}, golden)
    return out


def built(sources: Path, work: Path, compiler: str) -> Path:
    """The program ``SHOW`` with the C files of ``sources``; warnings are errors."""
    words = COMPILERS[compiler]
    if shutil.which(words[0]) is None:
        pytest.skip(f"there is no {words[0]} here")
    main, program = work / "main.c", work / f"show-{compiler}"
    main.write_text(SHOW)
    command = [*words, *STRICT, "-O1", f"-I{sources}", str(main), *map(str, sources.glob("*.c"))]
    assembler = [str(path) for path in sources.glob("*.S")]
    if assembler:
        command += ["-x", "assembler-with-cpp", *assembler]
    done = subprocess.run([*command, "-o", str(program)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return program


def shown(program: Path, *files: Path) -> list[str]:
    done = subprocess.run([str(program), *map(str, files)], capture_output=True, text=True, check=False, timeout=10)
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("form", "compiler"),
    [
        *[("array", compiler) for compiler in COMPILERS],
        *[("string", "c99"), ("string", "c++11"), ("string", "clang"), ("string", "clang++")],
        *[("incbin", "c99"), ("incbin", "clang")],
    ],
)
def test_a_program_reads_the_engine_and_its_specification(form: Any, compiler: str, tmp_path: Path) -> None:
    source = make_bundle(tmp_path / "bundle", preprocessing={"x": {"mean": [0.5], "why": 'a "\\ ?'}})
    report = embed_bundle(source, tmp_path / "c", "net", form)
    assert report.form == form
    lines = shown(built(tmp_path / "c", tmp_path, compiler), tmp_path / "engine")
    assert (tmp_path / "engine").read_bytes() == ALL_BYTES
    assert lines == [
        "mlp|native/onnxruntime|onnxruntime|a 1, b 2|int8",
        f"{bundle.open_bundle(source).digest}|{'1' * 64}|" + r'{"x":{"mean":[0.5],"why":"a \"\\ ?"}}',
        f"model.onnx|0|{hashlib.sha256(ALL_BYTES).hexdigest()}",
        "x|float32|1|32|2|-1,16,|-1|-1",
        "y|int8|3|8|2|1,4,|4|4",
    ]


def test_names_are_foreign_text(tmp_path: Path) -> None:
    names = ['q"u\\o??/te', "*/ */ //", "é\n7", "%s%n", "\u202e1"]
    inputs = tuple(TensorSpec(name, "uint8", (2, 3)) for name in names)
    source = make_bundle(tmp_path / "bundle", inputs=inputs, model=bundle.ModelRecord('"; #error', "0" * 64))
    embed_bundle(source, tmp_path / "c", "net")
    text = (tmp_path / "c" / "net.c").read_bytes()
    assert all(byte in b"\n" or 32 <= byte < 127 for byte in text)
    program = built(tmp_path / "c", tmp_path, "c99")
    done = subprocess.run([str(program), str(tmp_path / "engine")], capture_output=True, check=True, timeout=10)
    for name in names:
        assert f"{name}|uint8|2|8|2|2,3,|6|6\n".encode() in done.stdout
    assert done.stdout.startswith(b'"; #error|')


def test_open_ranks_scalars_odd_types_states_and_several_files(tmp_path: Path) -> None:
    inputs = (
        TensorSpec("any", "float32", None),
        TensorSpec("scalar", "float64", ()),
        TensorSpec("text", "string", (2,)),
        TensorSpec("packed", "int4", (3,)),
        TensorSpec("empty", "float16", (0, 3)),
        TensorSpec("new", "posit16", (2,)),
    )
    files = {"model.xml": b"<net/>", "model.bin": b"", "extra.bin": b"\0\xff"}
    state = (bundle.StateLink("y", "packed"),)
    source = make_bundle(tmp_path / "bundle", files, inputs=inputs, state=state)
    report = embed_bundle(source, tmp_path / "c", "net")
    assert [(one.path, one.symbol) for one in report.engine] == [
        ("model.xml", "net_engine"),
        ("extra.bin", "net_file_1"),
        ("model.bin", "net_file_2"),
    ]
    outs = [tmp_path / f"out{index}" for index in range(3)]
    lines = shown(built(tmp_path / "c", tmp_path, "c99"), *outs)
    assert [out.read_bytes() for out in outs] == [b"<net/>", b"\0\xff", b""]
    assert lines[5:] == [
        "any|float32|1|32|-1||-1|-1",
        "scalar|float64|11|64|0||1|8",
        "text|string|8|0|1|2,|2|-1",
        "packed|int4|22|4|1|3,|3|2",
        "empty|float16|10|16|2|0,3,|0|0",
        "new|posit16|0|0|1|2,|2|-1",
        "y|int8|3|8|2|1,4,|4|4",
        "0->3",
    ]


def test_the_typed_model_of_a_built_engine_is_no_part_of_it(tmp_path: Path) -> None:
    backend = bundle.BackendRecord("tensorrt", {}, "model.engine", {"typed": "model.onnx"})
    source = make_bundle(tmp_path / "bundle", {"model.engine": b"e", "model.onnx": b"o"}, backend)
    assert [one.path for one in embed_bundle(source, tmp_path / "c", "net").engine] == ["model.engine"]


def test_two_models_are_linked_into_one_program(tmp_path: Path) -> None:
    for name in ("net", "other"):
        embed_bundle(make_bundle(tmp_path / name, {"model.onnx": name.encode()}), tmp_path / "c", name)
    main = '#include "net.h"\n#include "other.h"\n' + SHOW
    program = built(tmp_path / "c", tmp_path, "c99")
    assert shown(program, tmp_path / "engine")
    assert (tmp_path / "engine").read_bytes() == b"net"
    (tmp_path / "both.c").write_text(main)
    words = ["gcc", *STRICT, "-fsyntax-only", f"-I{tmp_path / 'c'}", str(tmp_path / "both.c")]
    assert subprocess.run(words, check=False, timeout=30).returncode == 0


def test_the_same_bundle_gives_the_same_bytes_and_leaves_them_alone(tmp_path: Path) -> None:
    source = make_bundle(tmp_path / "bundle")
    first = embed_bundle(source, tmp_path / "c", "net", "incbin")
    assert first.written == {"net.S": True, "net.c": True, "net.h": True, "net_0.bin": True}
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "c").iterdir()}
    again = embed_bundle(source, tmp_path / "c", "net", "incbin")
    assert not any(again.written.values())
    assert before == {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "c").iterdir()}
    other = make_bundle(tmp_path / "bundle", {"model.onnx": b"other"})
    changed = embed_bundle(other, tmp_path / "c", "net", "incbin").written
    assert changed == {"net.S": True, "net.c": True, "net.h": False, "net_0.bin": True}
    assert str(tmp_path) not in (tmp_path / "c" / "net.c").read_text() + (tmp_path / "c" / "net.S").read_text()


def test_large_engines_become_string_literals(tmp_path: Path) -> None:
    report = embed_bundle(make_bundle(tmp_path / "bundle", {"model.onnx": ALL_BYTES * 100}), tmp_path / "c", "net")
    assert report.form == "string"
    assert shown(built(tmp_path / "c", tmp_path, "c99"), tmp_path / "engine")
    assert (tmp_path / "engine").read_bytes() == ALL_BYTES * 100


@pytest.mark.parametrize("name", ["9lives", "_x", "a-b", "", "é", "x" * 41])
def test_a_name_that_c_does_not_take_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no beginning of a C identifier"):
        embed_bundle(make_bundle(tmp_path / "bundle"), tmp_path / "c", name)
    assert not (tmp_path / "c").exists()


def test_the_name_is_the_bundles_where_none_is_given(tmp_path: Path) -> None:
    source = make_bundle(tmp_path / "bundle").rename(tmp_path / "my net-1.ewb")
    assert embed_bundle(source, tmp_path / "c").name == "my_net_1"


def test_nothing_is_written_of_what_is_damaged_or_not_built(tmp_path: Path) -> None:
    source = make_bundle(tmp_path / "bundle")
    data = source.read_bytes()
    source.write_bytes(data.replace(ALL_BYTES, ALL_BYTES[:-1] + b"!"))
    with pytest.raises(BadInputError, match=r"model\.onnx"):
        embed_bundle(source, tmp_path / "c", "net")
    later = bundle.BackendRecord("tensorrt", {}, "model.onnx", {}, "only a GPU builds it")
    pending = make_bundle(tmp_path / "pending", backend=later)
    with pytest.raises(UnavailableError, match="no engine yet: only a GPU") as raised:
        embed_bundle(pending, tmp_path / "c", "net")
    assert "edgewright finish net.ewb" in raised.value.remedy
    for name in ("nul\0", "long" * 1001):
        odd = make_bundle(tmp_path / "odd", inputs=(TensorSpec(name, "float32", (1,)),))
        with pytest.raises(BadInputError, match="the name of a tensor has"):
            embed_bundle(odd, tmp_path / "c", "net")
    huge = make_bundle(tmp_path / "huge", inputs=(TensorSpec("x", "float32", (2**40, 2**40)),))
    with pytest.raises(BadInputError, match="beyond 64 bits"):
        embed_bundle(huge, tmp_path / "c", "net")
    assert not (tmp_path / "c").exists()


def test_a_file_where_the_folder_should_be_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("")
    with pytest.raises(CannotWriteError, match="cannot make the folder"):
        embed_bundle(make_bundle(tmp_path / "bundle"), tmp_path / "c", "net")


def test_long_preprocessing_is_written_as_numbers(tmp_path: Path) -> None:
    source = make_bundle(tmp_path / "bundle", preprocessing={"x": {"mean": [0.25] * 2000}})
    embed_bundle(source, tmp_path / "c", "net")
    lines = shown(built(tmp_path / "c", tmp_path, "c99"), tmp_path / "engine")
    assert lines[1].endswith('{"x":{"mean":[' + ",".join(["0.25"] * 2000) + "]}}")


def test_element_types_are_numbered_as_onnx_numbers_them() -> None:
    import onnx

    known = {"float32": "FLOAT", "float64": "DOUBLE", "float4_e2m1fn": "FLOAT4E2M1"}
    for name, (number, _) in DTYPES.items():
        theirs = known.get(name, name.upper().replace("FLOAT8_", "FLOAT8"))
        assert getattr(onnx.TensorProto, theirs) == number, name


def test_pieces_are_cut_anywhere() -> None:
    whole = "".join(numbers([ALL_BYTES]))
    assert "".join(numbers([ALL_BYTES[:7], b"", ALL_BYTES[7:100], ALL_BYTES[100:]])) == whole
    assert bytes(map(int, whole.replace("\n", "").rstrip(",").split(","))) == ALL_BYTES
    assert "".join(literals([b"a\0" * 30])).count("\\000") == 30
    assert c_string("?") == '"\\077"'
