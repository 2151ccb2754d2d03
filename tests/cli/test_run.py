from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import RunHere
from tests.conftest import RunCli
from tests.pipelines.device.bundles import ratio_bundle, square_bundle


@pytest.fixture(scope="module")
def square(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return square_bundle(tmp_path_factory.mktemp("square") / "square.ewb")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(12, dtype=np.float32).reshape(4, 3))
    return path


def test_the_installed_command_runs_a_bundle_and_its_folder(
    run_cli: RunCli, square: Path, rows: Path, tmp_path: Path
) -> None:
    done = run_cli("run", square, "--input", rows)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["y: float32 4x3", *done.stdout.splitlines()[1:3], "mean: float32 2",
        "  0: 9.167", "  1: 75.17"]  # fmt: skip
    assert "0 1 4 9 16 25" in done.stdout
    with zipfile.ZipFile(square) as archive:
        archive.extractall(tmp_path / "folder")
    again = run_cli("run", tmp_path / "folder", "--input", f"x={rows}", "--json")
    assert again.returncode == 0, again.stderr
    document = json.loads(again.stdout)
    assert document["schema"] == "edgewright.run/1"
    assert document["exit_class"] == "ok"
    assert document["outputs"]["y"]["values"] == [[0, 1, 4], [9, 16, 25], [36, 49, 64], [81, 100, 121]]


def test_answers_are_written_whole_as_npz_json_or_a_folder(
    run_here: RunHere, square: Path, rows: Path, tmp_path: Path
) -> None:
    want = np.arange(12, dtype=np.float32).reshape(4, 3) ** 2
    for name in ("out.npz", "out.json", "out"):
        out = tmp_path / name
        done = run_here("run", square, "--input", rows, "-o", out, "--json")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert document["out"] == str(out)
        assert "values" not in document["outputs"]["y"]
    with np.load(tmp_path / "out.npz") as arrays:
        assert set(arrays.files) == {"y", "mean"}
        np.testing.assert_array_equal(arrays["y"], want)
    assert json.loads((tmp_path / "out.json").read_text())["outputs"]["y"]["values"] == want.tolist()
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "y.npy"), want)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) & 0o700 == 0o700
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.json", "out.npz", "x.npy"]


def test_names_of_tensors_lead_out_of_no_folder_and_shapes_may_differ(run_here: RunHere, tmp_path: Path) -> None:
    bundle = ratio_bundle(tmp_path / "ratio.ewb")
    np.savez(tmp_path / "x.npz", a=np.array([[1, 0, 0, 0], [1, 1, 0, 0]], "f4"), b=np.ones((2, 4), "f4"))
    out = tmp_path / "here" / "out"
    out.parent.mkdir()
    assert run_here("run", bundle, "--input", tmp_path / "x.npz", "-o", out).returncode == 0
    assert sorted(path.name for path in out.iterdir()) == ["%2E%2E%2Fa%2Fb.npy", "places.0.npy", "places.1.npy"]
    shown = run_here("run", bundle, "--input", tmp_path / "x.npz")
    assert "places: int64 of several shapes" in shown.stdout


def test_an_altered_bundle_is_65_before_anything_is_loaded(
    run_here: RunHere, square: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewright.driver.load.open_isolated", lambda *_: pytest.fail("an engine was started"))
    altered = tmp_path / "altered.ewb"
    data = bytearray(square.read_bytes())
    data[data.index(b"ReduceMean")] ^= 1
    altered.write_bytes(data)
    done = run_here("run", altered, "--input", rows, "-o", tmp_path / "out.npz", "--json")
    assert done.returncode == 65
    assert json.loads(done.stdout)["exit_class"] == "bad-input"
    assert not (tmp_path / "out.npz").exists()
    wrong = tmp_path / "wrong.npy"
    np.save(wrong, np.zeros((2, 3)))
    done = run_here("run", square, "--input", wrong, "-o", tmp_path / "out.npz")
    assert done.returncode == 65
    assert "input 'x' takes float32 2x3, given is float64 2x3" in done.stderr
    assert not (tmp_path / "out.npz").exists()


def test_a_target_that_is_elsewhere_is_77(run_here: RunHere, rows: Path, tmp_path: Path) -> None:
    from edgewright.core.bundle import open_bundle, write_bundle
    from edgewright.targets.load import load_targets

    whole = open_bundle(square_bundle(tmp_path / "here.ewb"))
    target = next(one for one in load_targets("rpi5") if one.runtime == "onnxruntime")
    manifest = {**whole.manifest.to_json(), "target": {"name": target.name, "description": target.to_json()}}
    elsewhere = tmp_path / "elsewhere.ewb"
    write_bundle(elsewhere, manifest, {}, {"model.onnx": tmp_path / "here.onnx"}, whole.golden())
    done = run_here("run", elsewhere, "--input", rows)
    assert done.returncode == 77, done.stderr
    assert "rpi5" in done.stderr


def test_outputs_that_cannot_be_are_refused_before_the_run(
    run_here: RunHere, square: Path, rows: Path, tmp_path: Path
) -> None:
    for out, code, problem in (
        (tmp_path / "out.csv", 2, "is no .npz, no .json and no folder"),
        (tmp_path, 2, "not an empty folder"),
        (tmp_path / "no" / "out.npz", 73, "there is no folder"),
        (rows, 2, "is no .npz"),
    ):
        done = run_here("run", square, "--input", rows, "-o", out)
        assert done.returncode == code, (out, done.stderr)
        assert problem in done.stderr
    taken = tmp_path / "x.npz"
    np.savez(taken, x=np.ones((2, 3), np.float32))
    before = taken.read_bytes()
    assert run_here("run", square, "--input", taken, "-o", taken).returncode == 2
    assert taken.read_bytes() == before


def test_images_are_prepared_as_the_bundle_says(run_here: RunHere, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="images need Pillow")
    from onnx import helper

    from tests.pipelines.device.bundles import FLOAT, write_graph_bundle

    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["same"])], "same",
        [helper.make_tensor_value_info("image", FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("same", FLOAT, [1, 3, 4, 4])],
    )  # fmt: skip
    steps = {"image": {"scale": 1.0, "mean": [100.0], "std": [2.0], "layout": "nchw"}}
    feeds = {"image": np.zeros((1, 3, 4, 4), np.float32)}
    bundle = write_graph_bundle(graph, feeds, tmp_path / "same.ewb", preprocessing=steps)
    folder = tmp_path / "images"
    folder.mkdir()
    image.fromarray(np.full((4, 4, 3), 102, np.uint8)).save(folder / "one.png")
    image.fromarray(np.full((8, 8, 3), 98, np.uint8)).save(folder / "two.png")
    done = run_here("run", bundle, "--input", folder, "-o", tmp_path / "out.npz")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["same"].shape == (2, 3, 4, 4)
        assert arrays["same"][:, 0, 0, 0].tolist() == [1.0, -1.0]
    assert done.stderr == ""
    (folder / "readme.txt").write_text("not an image")
    silent = write_graph_bundle(graph, feeds, tmp_path / "silent.ewb")
    done = run_here("run", silent, "--input", folder, "--json")
    assert done.returncode == 0, done.stderr
    assert "pixels are divided by 255" in done.stderr
    document = json.loads(done.stdout)
    assert [note.partition(":")[0] for note in document["notes"]] == ["images", "images"]
    assert "readme.txt" in document["notes"][1]
    assert document["outputs"]["same"]["values"][0][0][0][0] == pytest.approx(102 / 255)


def test_with_a_key_only_what_it_signed_is_run_or_loaded(run_here: RunHere, rows: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="signatures need the sign extra")
    import edgewright
    from edgewright.core.errors import BadInputError

    bundle = square_bundle(tmp_path / "square.ewb")
    assert run_here("sign", "--new-key", tmp_path / "release").returncode == 0
    private, public = tmp_path / "release.pem", tmp_path / "release.pub.pem"
    unsigned = run_here("run", bundle, "--input", rows, "--key", public)
    assert unsigned.returncode == 65, unsigned.stderr
    with pytest.raises(BadInputError):
        edgewright.load(bundle, key=public)
    assert run_here("sign", bundle, "--key", private).returncode == 0
    done = run_here("run", bundle, "--input", rows, "--key", public)
    assert done.returncode == 0, done.stderr
    with edgewright.load(bundle, key=public) as model:
        assert model.run(np.ones((2, 3), np.float32))["mean"] == 1
