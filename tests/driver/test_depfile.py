from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.driver.depfile import Depfile, files_read, write_depfile
from edgewright.driver.request import CompileRequest


def test_make_reads_names_with_spaces_and_dollars(tmp_path: Path) -> None:
    odd = tmp_path / "my model#1$.onnx"
    odd.write_text("x")
    rule = tmp_path / "out.d"
    write_depfile(rule, [tmp_path / "out.ewb"], [odd])
    (tmp_path / "Makefile").write_text(f"{tmp_path}/out.ewb:\n\techo made\ninclude out.d\n")
    (tmp_path / "out.ewb").write_text("x")
    odd.touch()
    done = subprocess.run(
        ["make", "-d", str(tmp_path / "out.ewb")], check=False, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "No rule to make target" not in done.stdout + done.stderr


def test_folders_and_weights_beside_the_model_are_named(tmp_path: Path) -> None:
    for name in ("net.onnx", "net.onnx.data", "data/a.npy", "data/cat/b.npy", "task.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    request = CompileRequest(
        model=str(tmp_path / "net.onnx"),
        targets=("native",),
        out=tmp_path / "o.ewb",
        data=str(tmp_path / "data"),
        metric=f"{tmp_path}/task.py:score",
    )
    names = {path.relative_to(tmp_path).as_posix() for path in files_read(request)}
    assert names == {"net.onnx", "net.onnx.data", "data", "data/a.npy", "data/cat", "data/cat/b.npy", "task.py"}


@pytest.mark.parametrize("program", ["make", "ninja"])
def test_a_file_that_comes_or_goes_builds_again_and_breaks_nothing(tmp_path: Path, program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program} here")
    data = tmp_path / "my photos"
    data.mkdir()
    (data / "a.npy").write_text("x")
    (tmp_path / "net.onnx").write_text("x")
    out, rule = tmp_path / "out.ewb", tmp_path / "out.d"
    request = CompileRequest(model=str(tmp_path / "net.onnx"), targets=("native",), out=out, data=str(data))
    command = "touch out.ewb && cp kept.d out.d"
    (tmp_path / "Makefile").write_text(f"{out}:\n\t{command}\n-include out.d\n")
    (tmp_path / "build.ninja").write_text(
        f"rule r\n  command = {command}\n  depfile = out.d\n  deps = gcc\nbuild {out}: r\n"
    )

    def built() -> bool:
        Depfile(replace(request, depfile=rule), [out]).write()
        shutil.move(rule, tmp_path / "kept.d")
        if program == "make" and out.exists():
            shutil.copy(tmp_path / "kept.d", rule)
        done = subprocess.run([program], check=False, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return command in done.stdout or "[1/1]" in done.stdout

    assert built()
    assert not built()
    (data / "b.npy").write_text("x")
    assert built()
    assert not built()
    before = rule.read_text() if rule.exists() else ""
    (data / "a.npy").unlink()
    if before:
        rule.write_text(before)
    assert built()
    assert not built()


def test_a_folder_that_outputs_are_written_into_is_no_input_itself(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_text("x")
    rule = tmp_path / "out.d"
    request = CompileRequest(
        model="m:net", targets=("native",), out=tmp_path / "o.ewb", data=str(tmp_path), depfile=rule
    )
    Depfile(request, [request.out]).write()
    assert rule.read_text().splitlines()[1:] == [f"  {tmp_path}/a.npy", f"{tmp_path}/a.npy: "]


def test_a_rule_without_prerequisites_ends_in_a_blank(tmp_path: Path) -> None:
    """CMake 3.20.5 and 3.22.5 refuse the whole file without it, where the number of such rules is odd."""
    write_depfile(tmp_path / "out.d", [tmp_path / "out.ewb"], [tmp_path / "a"])
    assert (tmp_path / "out.d").read_text() == f"{tmp_path}/out.ewb: \\\n  {tmp_path}/a\n{tmp_path}/a: \n"
