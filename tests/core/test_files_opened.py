"""What is heard of the files that are opened, and which of them a build must watch."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edgewright.core.files_opened import inputs_among, listening


def test_reading_is_heard_and_writing_is_not(tmp_path: Path) -> None:
    for name in ("text.txt", "low.txt", "both.txt", "before.txt"):
        (tmp_path / name).write_text("x")
    np.save(tmp_path / "array.npy", np.zeros(3))
    before = (tmp_path / "before.txt").read_text()
    with listening() as names:
        (tmp_path / "text.txt").read_text()
        np.load(tmp_path / "array.npy", mmap_mode="r")
        os.close(os.open(tmp_path / "low.txt", os.O_RDONLY))
        (tmp_path / "both.txt").open("r+").close()
        (tmp_path / "written.txt").write_text(before)
        os.close(os.open(tmp_path / "made.txt", os.O_WRONLY | os.O_CREAT))
    (tmp_path / "before.txt").read_text()
    heard = {path.name for path in inputs_among(names, [])}
    assert heard == {"text.txt", "array.npy", "low.txt", "both.txt"}


def test_threads_and_relative_names_are_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.bin").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    with listening() as names:
        thread = threading.Thread(target=lambda: Path("data.bin").read_bytes())
        thread.start()
        thread.join()
    assert inputs_among(names) == [tmp_path / "data.bin"]


def test_a_module_is_its_source_whether_it_was_compiled_before_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heard_module.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for _ in range(2):
        sys.modules.pop("heard_module", None)
        with listening() as names:
            __import__("heard_module")
        assert inputs_among(names) == [tmp_path / "heard_module.py"]


def test_what_nobody_edits_is_no_input(tmp_path: Path) -> None:
    import edgewright.compiler
    import edgewright.driver

    inside = [Path(module.__path__[0]) / "__init__.py" for module in (edgewright.compiler, edgewright.driver)]
    mine = tmp_path / "mine.txt"
    names = [str(path) for path in (*inside, Path(np.__file__), Path(os.__file__), Path("/proc/self/status"), mine)]
    mine.write_text("x")
    assert inputs_among([*names, str(tmp_path / "gone.txt")]) == [mine]
    assert inputs_among(names, [tmp_path]) == []


def test_nested_listeners_each_hear(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1")
    (tmp_path / "two").write_text("2")
    with listening() as outer:
        (tmp_path / "one").read_text()
        with listening() as inner:
            (tmp_path / "two").read_text()
    assert inputs_among(inner) == [tmp_path / "two"]
    assert inputs_among(outer) == [tmp_path / "one", tmp_path / "two"]
