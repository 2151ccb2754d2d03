from __future__ import annotations

import subprocess
from pathlib import Path

from edgewright.driver.depfile import files_read, write_depfile
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
    assert names == {"net.onnx", "net.onnx.data", "data/a.npy", "data/cat/b.npy", "task.py"}
