"""``edgewright cache`` and a compile that comes from it: the installed command, with a cache of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgewright.core.cache import Key, Store

if TYPE_CHECKING:
    from tests.cli.conftest import RunHere
    from tests.conftest import RunCli

FOLDER, SIZE = "EDGEWRIGHT_CACHE_DIR", "EDGEWRIGHT_CACHE_SIZE"
WORDS = ("--target", "native/onnxruntime", "--precision", "fp32")


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv(FOLDER, str(folder))
    monkeypatch.setenv(SIZE, "1GB")
    return folder


@pytest.fixture
def store(cache: Path) -> Store:
    (cache / "store").mkdir(mode=0o700)
    return Store(cache / "store", 10**9)


def test_a_compile_again_gives_the_same_bytes_from_the_cache(
    run_cli: RunCli, conv_net_path: Path, conv_net_data: Path, cache: Path, tmp_path: Path
) -> None:
    def compiled(out: str, *more: str) -> subprocess.CompletedProcess[str]:
        words = ("compile", conv_net_path, *WORDS, "--data", conv_net_data, "-o", tmp_path / out, "--json", *more)
        done = run_cli(*words, "--explain-miss")
        assert done.returncode == 0, done.stderr
        return done

    first = compiled("first.ewb")
    assert "native/onnxruntime is not in the cache: nothing of this kind is kept" in first.stderr
    (cold,) = json.loads(first.stdout)["targets"]
    assert cold["from_cache"] is None

    second = compiled("second.ewb", "--depfile", str(tmp_path / "net.d"))
    (warm,) = json.loads(second.stdout)["targets"]
    assert f"native/onnxruntime: from the cache, measured on {warm['from_cache']}" in second.stderr
    assert (tmp_path / "second.ewb").read_bytes() == (tmp_path / "first.ewb").read_bytes()
    assert {**cold, "bundle": None} == {**warm, "bundle": None, "from_cache": None}
    assert json.loads(second.stdout)["notes"] == json.loads(first.stdout)["notes"]
    assert "conv_net.npz" in (tmp_path / "net.d").read_text()

    words = ("compile", conv_net_path, *WORDS, "--data", conv_net_data, "-o", tmp_path / "planned.ewb", "--dry-run")
    planned = run_cli(*words)
    assert planned.returncode == 0, planned.stderr
    assert (
        f"native/onnxruntime would come from the cache as a whole, measured on {warm['from_cache']}" in planned.stdout
    )
    assert not (tmp_path / "planned.ewb").exists()

    other = compiled("third.ewb", "--max-drop", "2%")
    assert "it is not the same as what is kept" in other.stderr
    assert "options: budget: max_drop: 0.02, was 0.01" in other.stderr
    assert json.loads(other.stdout)["targets"][0]["from_cache"] is None

    anew = compiled("fourth.ewb", "--no-cache")
    assert json.loads(anew.stdout)["targets"][0]["from_cache"] is None
    assert len(list((cache / "store").glob("compile/*/*"))) == 2

    for path in (cache / "store").glob("compile/*/*"):
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    mended = compiled("fifth.ewb")
    assert "the entry was broken and is dropped" in mended.stderr
    assert (tmp_path / "fifth.ewb").read_bytes() == (tmp_path / "first.ewb").read_bytes()


def test_the_line_of_a_warm_compile_says_so(run_cli: RunCli, mlp_path: Path, cache: Path, tmp_path: Path) -> None:
    words = ("compile", mlp_path, *WORDS, "-o", tmp_path / "net.ewb")
    env: dict[str, str | None] = {"HOME": None}
    assert "cache" not in run_cli(*words, env=env).stdout
    assert "from the cache, measured on 2" in run_cli(*words, env=env).stdout
    listed = run_cli("cache", "list", "--json", env=env)
    assert [one["kind"] for one in json.loads(listed.stdout)["entries"]] == ["compile"]


def test_what_was_measured_then_is_marked_in_the_record(
    run_here: RunHere, mlp_path: Path, cache: Path, moments: None, tmp_path: Path
) -> None:
    def record(name: str) -> list[dict[str, object]]:
        done = run_here("compile", mlp_path, *WORDS, "--max-latency", "10s", "-o", tmp_path / f"{name}.ewb")
        assert done.returncode == 0, done.stderr
        found = json.loads((tmp_path / f"{name}.record.json").read_text())["records"]
        assert isinstance(found, list)
        return found

    (fresh,) = record("first")
    assert "from_cache" not in fresh
    (kept,) = record("second")
    assert kept["from_cache"] == fresh["created"]
    assert kept["runs"] == fresh["runs"]
    assert f"from the cache, measured on {fresh['created']}" in json.dumps(kept["notes"])
    assert record("second") == [kept], "the same measurement does not stand there twice"
    assert record("first") == [fresh]


def test_one_changed_option_does_again_what_depends_on_it_and_gives_the_same_bytes(
    run_here: RunHere,
    conv_net_path: Path,
    conv_net_data: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edgewright.driver.cache_steps.WORTH_S", 0)
    monkeypatch.setattr("edgewright.driver.compile.slower_than_float", lambda *_: None)  # seconds of timing
    common = (
        "compile",
        conv_net_path,
        "--target",
        "native/onnxruntime",
        "--precision",
        "int8",
        "--data",
        conv_net_data,
    )

    def compiled(out: str, *more: str) -> str:
        done = run_here(*common, "-o", tmp_path / out, *more)
        assert done.returncode == 0, done.stderr
        return done.stderr

    cold = compiled("first.ewb", "--max-drop", "50%")
    assert "calibrating" in cold
    warm = compiled("second.ewb", "--max-drop", "49%")
    assert "calibrating" not in warm
    assert "from the cache: " in warm
    for what in ("answers of the original", "engines", "results of passes", "scores"):
        assert what in warm
    compiled("anew.ewb", "--max-drop", "49%", "--no-cache")
    assert (tmp_path / "second.ewb").read_bytes() == (tmp_path / "anew.ewb").read_bytes()
    kinds = {path.name for path in (cache / "store").iterdir()}
    assert kinds == {"answers", "compile", "engine", "passes", "score", "statistics", "tmp"}


def test_a_factory_says_why_it_is_compiled_anew(run_here: RunHere, cache: Path, tmp_path: Path) -> None:
    done = run_here("compile", tmp_path / "nets.py:net", *WORDS, "-o", tmp_path / "net.ewb")
    assert done.returncode == 2
    assert "the whole compile is not taken from the cache: a factory must be run to be known" in done.stderr


def test_an_empty_cache(run_here: RunHere, cache: Path) -> None:
    done = run_here("cache")
    assert done.returncode == 0
    assert done.stdout == f"0 entries, 0 B of 1 GB, in {cache / 'store'}\n"
    assert run_here("cache", "verify").stdout == "0 of 0 are whole\n"
    assert run_here("cache", "clear").stdout == "deleted 0, 0 B; 0 left\n"


def test_list(run_here: RunHere, store: Store) -> None:
    for kind in ("compile", "engine"):
        store.publish(Key(kind, {"a": 1}), None, {"data": b"x" * 5000})
    shown = run_here("cache", "list")
    rows = [line.split("  ") for line in shown.stdout.splitlines()]
    assert [word.strip() for word in rows[0] if word] == ["kind", "size", "age", "last use", "key"]
    assert {rows[1][0], rows[2][0].strip()} == {"compile", "engine"}
    assert "2 entries, 10." in shown.stdout
    assert "of 1 GB" in shown.stdout

    found = json.loads(run_here("cache", "--json").stdout)
    assert found["schema"] == "edgewright.cache/1"
    assert found["total_bytes"] == sum(one["size_bytes"] for one in found["entries"])
    assert found["limit_bytes"] == 10**9
    only = json.loads(run_here("cache", "list", "--kind", "engine", "--json").stdout)
    assert [(one["kind"], one["key"]) for one in only["entries"]] == [("engine", Key("engine", {"a": 1}).digest)]


def test_clear(run_here: RunHere, store: Store) -> None:
    for number in range(3):
        store.publish(Key("compile", {"a": number}), None)
    store.publish(Key("engine", {"a": 0}), None)
    (old,) = store.folder.glob(f"*/*/{Key('compile', {'a': 0}).digest}")
    os.utime(old, (1, 1))
    assert run_here("cache", "clear", "--older-than", "30d").stdout.endswith("; 3 left\n")
    cleared = json.loads(run_here("cache", "clear", "--kind", "compile", "--json").stdout)
    assert len(cleared["deleted"]) == 2
    assert run_here("cache", "clear").stdout.startswith("deleted 1, ")


def test_verify_drops_what_is_broken_and_returns_65(run_here: RunHere, store: Store) -> None:
    store.publish(Key("compile", {"a": 1}), None, {"data": b"1"})
    store.publish(Key("compile", {"a": 2}), None, {"data": b"2"})
    (path,) = store.folder.glob(f"*/*/{Key('compile', {'a': 2}).digest}")
    path.write_bytes(path.read_bytes()[:-1])
    done = run_here("cache", "verify")
    assert done.returncode == 65
    assert f"broken  compile {path.name[:12]}: it has" in done.stdout
    assert "1 of 2 are whole" in done.stdout
    again = run_here("cache", "verify", "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["broken"] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["clear", "--older-than", "soon"], "'soon' is not a time such as 30d"),
        (["clear", "--kind", "engines"], "nothing of the kind 'engines' is kept"),
        (["shrink"], "invalid choice"),
    ],
)
def test_wrong_words(run_here: RunHere, store: Store, words: list[str], said: str) -> None:
    store.publish(Key("engine", {}), None)
    done = run_here("cache", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert not done.stdout


def test_without_a_cache(run_here: RunHere, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(FOLDER, str(tmp_path / "file"))
    monkeypatch.setenv(SIZE, "1GB")
    done = run_here("cache", "list")
    assert done.returncode == 69
    assert "there is no cache: " in done.stderr
    monkeypatch.setenv(SIZE, "lots")
    assert run_here("cache", "list").returncode == 2
