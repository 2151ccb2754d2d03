from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.core.bundle import open_bundle
from tests.conftest import write_mlp_bundle

if TYPE_CHECKING:
    from edgewright.core.tensors import Feeds
    from tests.cli.conftest import RunHere
    from tests.conftest import RunCli


def test_the_command_writes_c_and_says_what(
    run_cli: RunCli, mlp_path: Path, mlp_feeds: list[Feeds], tmp_path: Path
) -> None:
    bundle = write_mlp_bundle(mlp_path, mlp_feeds, tmp_path / "mlp.ewb")
    done = run_cli("embed", "mlp.ewb", "-o", "c", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "c/mlp.c, c/mlp.h\n"
    assert done.stderr == "  mlp_engine[]: model.onnx, 3 kB\n"
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["mlp.c", "mlp.h"]

    again = run_cli("embed", "mlp.ewb", "-o", "c", "--json", cwd=tmp_path)
    report = json.loads(again.stdout)
    assert report["schema"] == "edgewright.embed/1"
    assert (report["exit_code"], report["name"], report["form"]) == (0, "mlp", "array")
    assert report["digest"] == open_bundle(bundle).digest
    assert report["files"] == [{"path": "mlp.c", "written": False}, {"path": "mlp.h", "written": False}]
    assert report["engine"][0]["symbol"] == "mlp_engine"


def test_users_mistakes_are_one_message(
    run_here: RunHere, mlp_path: Path, mlp_feeds: list[Feeds], tmp_path: Path
) -> None:
    bundle = write_mlp_bundle(mlp_path, mlp_feeds, tmp_path / "mlp.ewb")
    for words, code, says in (
        (["nothing.ewb", "-o", tmp_path / "c"], 2, "does not exist"),
        ([mlp_path, "-o", tmp_path / "c"], 65, "mlp.onnx"),
        ([bundle, "-o", tmp_path / "c", "--name", "9"], 2, "no beginning of a C identifier"),
        ([bundle, "-o", mlp_path], 73, "cannot make the folder"),
    ):
        done = run_here("embed", *words)
        assert done.returncode == code, done.stderr
        assert says in done.stderr
        assert not (tmp_path / "c").exists()
