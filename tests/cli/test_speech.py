"""How every command speaks: results alone on stdout, and stderr as lines or as events."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgewright.cli import _console
from edgewright.cli._progress import ProgressLine
from tests.conftest import RunCli

TARGET = "native/onnxruntime"
NOISY = """
import os
import sys
import warnings

import numpy as np


def samples():
    print("loading from here")
    os.write(1, b"from C to stdout\\n")
    os.write(2, b"from C to stderr\\n")
    warnings.warn("old data")
    return [(np.full((1, 3, 16, 16), 0.01 * place, np.float32), None) for place in range(40)]


def reaching():
    import socket

    socket.create_connection(("example.invalid", 443))


def waiting():
    import time

    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def noisy(tmp_path: Path) -> str:
    (tmp_path / "noisy.py").write_text(NOISY)
    return f"{tmp_path / 'noisy.py'}:samples"


def events(stderr: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in stderr.splitlines()]
    assert all(one["schema"] == "edgewright.event/1" and one["time"].endswith("Z") for one in found)
    return found


def test_events_are_all_there_is_on_stderr_and_the_document_on_stdout(
    run_cli: RunCli, conv_net_path: Path, noisy: str, tmp_path: Path
) -> None:
    words = ["compile", conv_net_path, "--target", TARGET, "--precision", "fp32", "-o", tmp_path / "net.ewb"]
    done = run_cli(*words, "--data", noisy, "--json", "--log-format", "ndjson")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema"].startswith("edgewright.compile")
    found = events(done.stderr)
    assert found[0]["event"] == "start"
    assert found[-1]["event"] == "end"
    assert (found[-1]["exit_code"], found[-1]["exit_class"], found[-1]["retry"]) == (0, "ok", False)
    kinds = {str(one["event"]) for one in found}
    assert {"log", "output"} <= kinds
    output = [str(one["text"]) for one in found if one["event"] == "output"]
    assert {"loading from here", "from C to stdout", "from C to stderr"} <= set(output)
    assert any("old data" in line for line in output)


def test_progress_is_an_event_for_each_step_and_whole_per_cent(capsys: pytest.CaptureFixture[str]) -> None:
    for level, form in (("info", "ndjson"), ("debug", "text"), ("info", "text")):
        with _console.speaking(level, form), ProgressLine("net") as bar:
            for share in (0.1, 0.101, 0.2):
                bar.show("training", share)
    said = capsys.readouterr().err.splitlines()
    assert [(one["what"], one["share"]) for one in events("\n".join(said[:2]))] == [
        ("training", 0.1),
        ("training", 0.2),
    ]
    assert said[2:] == [" 10% training", " 20% training"]


def test_what_a_factory_prints_never_gets_into_the_document(
    run_cli: RunCli, conv_net_path: Path, noisy: str, tmp_path: Path
) -> None:
    words = ["compile", conv_net_path, "--target", TARGET, "--precision", "fp32", "-o", tmp_path / "net.ewb"]
    done = run_cli(*words, "--data", noisy, "--json", "--log-level", "error")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    assert "loading from here" in done.stderr
    assert "calibrating" not in done.stderr


def test_a_failure_is_an_event_with_its_class(run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli("verify", tmp_path / "nothing.ewb", "--json", env={"EDGEWRIGHT_LOG_FORMAT": "ndjson"})
    start, error, end = events(done.stderr)
    assert (start["event"], error["event"], end["event"]) == ("start", "error", "end")
    assert error["exit_class"] == end["exit_class"] == json.loads(done.stdout)["exit_class"] == "usage"
    assert "nothing.ewb does not exist" in str(error["problem"])


def test_wrong_words_are_one_message_in_every_format(run_cli: RunCli) -> None:
    done = run_cli("verify", "--no-such-thing", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["exit_class"] == "usage"
    assert done.stderr.count("\n") == 2
    assert done.stderr.startswith("error: ")
    done = run_cli("verify", "--no-such-thing", "--log-format", "ndjson")
    assert [one["event"] for one in events(done.stderr)] == ["start", "error", "end"]


@pytest.mark.parametrize(("level", "lines"), [("error", 2), ("info", 2), ("debug", 2)])
def test_an_error_is_said_at_every_level(run_cli: RunCli, tmp_path: Path, level: str, lines: int) -> None:
    done = run_cli("verify", tmp_path / "nothing.ewb", "--log-level", level)
    assert len(done.stderr.splitlines()) == lines


def test_a_shortened_option_counts(run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli("verify", tmp_path / "nothing.ewb", "--log-f", "ndjson")
    assert [one["event"] for one in events(done.stderr)] == ["start", "error", "end"]


def test_a_wrong_variable_says_what_there_is(run_cli: RunCli) -> None:
    for name in ("EDGEWRIGHT_LOG_LEVEL", "EDGEWRIGHT_LOG_FORMAT"):
        done = run_cli("targets", "list", env={name: "loud"})
        assert done.returncode == 2
        assert f"{name} is 'loud'" in done.stderr


def test_a_factory_that_reaches_for_the_network_is_told_so_offline(
    run_cli: RunCli, conv_net_path: Path, noisy: str, tmp_path: Path
) -> None:
    words = ["compile", conv_net_path, "--target", TARGET, "-o", tmp_path / "net.ewb"]
    data = noisy.replace(":samples", ":reaching")
    done = run_cli(*words, "--precision", "fp32", "--data", data, env={"EDGEWRIGHT_OFFLINE": "1"})
    assert done.returncode == 2
    assert "example.invalid" in done.stderr
    assert "EDGEWRIGHT_OFFLINE" in done.stderr
    assert not (tmp_path / "net.ewb").exists()


@pytest.mark.parametrize("form", ["text", "ndjson"])
def test_sigterm_ends_cleanly(conv_net_path: Path, noisy: str, tmp_path: Path, form: str) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    out = tmp_path / "net.ewb"
    words = ["compile", conv_net_path, "--target", TARGET, "-o", out, "--precision", "fp32", "--log-format", form]
    command = [Path(sys.executable).with_name("edgewright"), *words, "--data", noisy.replace(":samples", ":waiting")]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    ) as running:
        assert running.stderr is not None
        while "begun" not in (line := running.stderr.readline()):
            assert line, "it ended before it began"
        begun = time.monotonic()
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=30)
    assert running.returncode == 143
    assert time.monotonic() - begun < 10
    if form == "text":
        assert said.startswith("error: terminated\n")
    else:
        assert [one["event"] for one in events(said)][-2:] == ["error", "end"]
        assert events(said)[-1]["retry"] is True
    assert not out.exists()
    assert [one for one in scratch.iterdir() if not one.name.endswith(".lock")] == []
