from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgewright.core.errors import BadInputError, CannotWriteError, UsageError
from edgewright.core.files import open_regular, replacing, require_apart, write_atomically


def test_only_regular_files_are_opened_and_nothing_blocks(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "fifo")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"x"
    for path, word in ((tmp_path, "folder"), (tmp_path / "fifo", "FIFO"), (Path("/dev/zero"), "device")):
        with pytest.raises(BadInputError, match=word):
            open_regular(path)
    for path in (tmp_path / "none", tmp_path / "file/none"):
        with pytest.raises(UsageError, match="does not exist"):
            open_regular(path)
    with pytest.raises(BadInputError):
        open_regular(Path("nul\0"))


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write_atomically(path, b"first")
    with pytest.raises(KeyError), replacing(path) as file:  # noqa: PT012 - the block is what fails
        file.write(b"second")
        raise KeyError
    assert path.read_bytes() == b"first"
    write_atomically(path, b"third")
    assert path.read_bytes() == b"third"
    assert os.listdir(tmp_path) == ["out"]  # noqa: PTH208 - hidden files count too


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotWriteError, match="No such file"):
        write_atomically(tmp_path / "none/out", b"")


def test_a_killed_writer_leaves_nothing(tmp_path: Path) -> None:
    code = "import sys,os,signal,pathlib\nfrom edgewright.core.files import replacing\n"
    code += "with replacing(pathlib.Path(sys.argv[1])) as file:\n file.write(b'x'*99999)\n file.flush()\n"
    code += " os.kill(os.getpid(), signal.SIGKILL)\n"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], check=False)
    assert done.returncode == -9
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - hidden files count too


def test_outputs_that_are_apart_pass(tmp_path: Path) -> None:
    outputs = {"-o": tmp_path / "out/page.html", "--markdown": None, "--plots": tmp_path / "out"}
    require_apart(outputs, [tmp_path / "net.ewb", None])
    require_apart({"-o": tmp_path / "net.ewb.html"}, [tmp_path / "net.ewb"])


@pytest.mark.parametrize("output", ["history/x.html", "history", "net.ewb", "sub/../net.ewb", "link"])
def test_what_goes_in_is_not_written_over(tmp_path: Path, output: str) -> None:
    (tmp_path / "net.ewb").touch()
    (tmp_path / "history").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("net.ewb")
    with pytest.raises(UsageError, match="goes in and would be written over") as caught:
        require_apart({"-o": None, "--junit": tmp_path / output}, [tmp_path / "net.ewb", tmp_path / "history"])
    assert "--junit" in caught.value.remedy


def test_two_outputs_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="-o and --markdown are both"):
        require_apart({"-o": Path("r"), "--markdown": tmp_path / "r"}, [])
