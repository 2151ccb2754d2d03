"""Whatever an engine does in its child, the parent gets an answer or one classified error, and is left clean."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from edgewright.backends import IsolatedSession, Limits, call_isolated
from edgewright.core.errors import BadInputError, EngineError

HERE = Path(__file__).parent
LIMITS = Limits(deadline_s=30, memory_bytes=400 << 20)
SHORT = Limits(deadline_s=1.5, memory_bytes=400 << 20)


@pytest.fixture(autouse=True)
def _fakes_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Temporary files of the test land here; every test must leave it empty, and no descriptor open."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = _descriptors()
    yield tmp_path
    assert list(tmp_path.iterdir()) == []
    assert _descriptors() == before


def call(how: str, limits: Limits = LIMITS) -> object:
    return call_isolated(
        "fake_engines:misbehave", {"how": how}, engine="fake", doing="building the model", limits=limits
    )


def open_fake(limits: Limits = LIMITS, **arguments: str) -> IsolatedSession:
    return IsolatedSession("fake_engines:open_fake", dict(arguments), "fake", limits)


@pytest.mark.parametrize(
    ("how", "limits", "kind", "says"),
    [
        ("segfault", LIMITS, "crashed", "SIGSEGV"),
        ("abort", LIMITS, "crashed", "SIGABRT"),
        ("exit", LIMITS, "crashed", "exit code 3"),
        ("killed", LIMITS, "memory", "killed by the system"),
        ("hang", SHORT, "timeout", "1.5 s"),
        ("hang holding the interpreter", SHORT, "timeout", "1.5 s"),
        ("print without end", SHORT, "timeout", "again and again"),
        ("raise", LIMITS, "raised", "RuntimeError: the layer is too wide"),
        ("raise engine", LIMITS, "memory", "broke"),
        ("eat memory", LIMITS, "memory", "419 MB"),
        ("one large bite", LIMITS, "memory", "419 MB"),
        ("print and abort", LIMITS, "crashed", "assertion failed: width < 3"),
        ("answer nonsense", LIMITS, "crashed", "nonsense"),
    ],
)
def test_every_way_to_fail_is_one_classified_error(how: str, limits: Limits, kind: str, says: str) -> None:
    with pytest.raises(EngineError, match="building the model") as caught:
        call(how, limits)
    assert caught.value.kind == kind
    assert says in str(caught.value)


def test_errors_of_ours_come_back_as_they_were_raised() -> None:
    with pytest.raises(BadInputError, match="not a tensor") as caught:
        call("raise ours")
    assert caught.value.remedy == "Give one."


@pytest.mark.parametrize("how", ["print a gigabyte", "close its output", "leave files", "nothing"])
def test_bad_manners_do_no_harm(how: str) -> None:
    assert call(how) == how


def test_the_child_works_in_a_folder_of_its_own(scratch: Path) -> None:
    cwd, temporary, _ = call_isolated("fake_engines:where", {}, engine="fake", doing="asking")  # type: ignore[misc]
    assert Path(str(cwd)).parent == scratch
    assert temporary == cwd
    assert not Path(str(cwd)).exists()


def test_what_an_engine_started_ends_with_it() -> None:
    pid = call_isolated("fake_engines:start_a_process", {}, engine="fake", doing="building")
    assert isinstance(pid, int)
    assert _ends(pid)


def test_a_child_killed_before_it_has_read_its_question_is_told_like_any_other() -> None:
    with open_fake() as session:
        child = session._child.pid

        def feeds() -> Iterator[dict[str, np.ndarray]]:
            os.kill(child, signal.SIGSTOP)
            yield {"x": np.ones(3, np.float32)}
            os.kill(child, signal.SIGKILL)  # the first question lies unread: the kernel resets the connection
            yield {"x": np.ones(3, np.float32)}

        with pytest.raises(EngineError, match="killed by the system") as caught:
            list(session.run_many(feeds()))
    assert caught.value.kind == "memory"


@pytest.mark.parametrize("behaviour", ["segfault", "hang", "eat memory"])
def test_a_session_that_failed_is_closed_and_says_so(behaviour: str) -> None:
    with open_fake(SHORT, behaviour=behaviour) as session:
        x = np.arange(3, dtype=np.float32)
        np.testing.assert_array_equal(session.run({"x": x})["y"], 2 * x)
        with pytest.raises(EngineError, match="running one inference"):
            session.run({"x": x})
        with pytest.raises(EngineError, match="fake is closed"):
            session.run({"x": x})


def test_an_engine_that_raised_can_be_run_again() -> None:
    with open_fake(behaviour="raise") as session:
        x = np.zeros(1, np.float32)
        session.run({"x": x})
        for _ in range(3):
            with pytest.raises(EngineError, match="too wide"):
                session.run({"x": x})


def test_opening_that_crashes_leaves_nothing() -> None:
    with pytest.raises(EngineError, match="opening the model"):
        open_fake(opening="segfault")


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        np.arange(24, dtype=np.int64).reshape(4, 6).T,  # not contiguous
        np.arange(10, dtype=np.float64)[::-3],
        np.array(3.5, np.float16),
        np.zeros((0, 3), np.float32),
        np.array([True, False]),
        np.array([[1, 2]], np.uint8),
        np.array([1.5, -2], ml_dtypes.bfloat16),
        np.array([1.5, -2], ml_dtypes.float8_e4m3fn),
        np.array([1, -2], ml_dtypes.int4),
        np.array([1 + 2j], np.complex64),
        np.array([["a", "\u00fc\0"], ["", "x" * 100_000]], dtype=object),
    ],
    ids=lambda a: f"{a.dtype.name}-{a.shape}",
)
def test_arrays_cross_unchanged(array: np.ndarray) -> None:
    dtype = "string" if array.dtype.kind == "O" else array.dtype.name
    with open_fake(dtype=dtype) as session:
        result = session.run({"x": array})["y"]
    expected = array if array.dtype.kind in "Ob" else array + array
    assert result.dtype == array.dtype
    assert result.shape == array.shape
    np.testing.assert_array_equal(result, expected)
    assert result.flags.owndata or result.base is not None
    assert result.flags.writeable


def test_results_stay_when_later_ones_and_larger_ones_come() -> None:
    with open_fake() as session:
        sizes = [10, 100_000, 1, 3_000_000, 5]
        feeds = [np.full(size, index, np.float32) for index, size in enumerate(sizes)]
        results = [session.run({"x": feed})["y"] for feed in feeds]
    for feed, result in zip(feeds, results, strict=True):
        np.testing.assert_array_equal(result, feed * 2)


def test_run_many_keeps_the_order_and_writes_ahead_by_one() -> None:
    drawn = []

    def feeds() -> Iterator[dict[str, np.ndarray]]:
        for index in range(7):
            drawn.append(index)
            yield {"x": np.full(1000 * (index + 1), index, np.float32)}

    with open_fake() as session:
        stream = session.run_many(feeds())
        first = next(stream)
        assert drawn == [0, 1]
        values = [first["y"][0], *(result["y"][0] for result in stream)]
    assert values == [0, 2, 4, 6, 8, 10, 12]


def test_run_many_left_in_the_middle_does_not_confuse_the_next_run() -> None:
    with open_fake() as session:
        stream = session.run_many({"x": np.full(3, index, np.float32)} for index in range(5))
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        assert session.run({"x": np.full(1, 9, np.float32)})["y"].tolist() == [18]


def test_feeds_are_checked_before_they_are_sent() -> None:
    with open_fake() as session, pytest.raises(BadInputError, match="unknown input 'z'"):
        session.run({"z": np.zeros(1, np.float32)})


def test_two_sessions_do_not_mix() -> None:
    with open_fake() as one, open_fake(dtype="int32") as other:
        assert one.run({"x": np.ones(2, np.float32)})["y"].tolist() == [2, 2]
        assert other.run({"x": np.ones(1, np.int32)})["y"].tolist() == [2]


def test_a_forgotten_session_is_cleaned_away() -> None:
    session = open_fake()
    pid = session._child.pid
    del session
    assert _ends(pid)


def test_an_interrupt_in_the_parent_ends_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    session = open_fake()
    monkeypatch.setattr("edgewright.backends._process.ChildProcess._check_limits", interrupted)
    monkeypatch.setattr("edgewright.backends._process.ChildProcess._await_bell", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.run({"x": np.ones(1, np.float32)})
    assert session._child.closed


PARENT = textwrap.dedent("""
    import signal, sys, threading, time
    # A shell has what it starts in the background ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path.insert(0, sys.argv[1])
    from edgewright.backends import IsolatedSession, Limits
    sessions = []
    # Opened by a thread that ends at once: the child must not end with the thread.
    thread = threading.Thread(target=lambda: sessions.append(
        IsolatedSession("fake_engines:open_fake", {"behaviour": sys.argv[2]}, "fake", Limits())))
    thread.start(); thread.join(); time.sleep(0.2)
    import numpy as np
    x = {"x": np.ones(1, np.float32)}
    sessions[0].run(x)
    print(sessions[0]._child.pid, flush=True)
    sessions[0].run(x)
    time.sleep(60)
""")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("behaviour", ["", "hang holding the interpreter"])
def test_the_child_dies_with_its_parent(number: signal.Signals, behaviour: str, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", PARENT, str(HERE), behaviour]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.1)
    parent.send_signal(number)
    _, errors = parent.communicate(timeout=20)
    assert _ends(child)
    assert errors.count("Traceback") == (1 if number == signal.SIGINT else 0), (
        errors
    )  # the parent's own, never the child's
    if number == signal.SIGKILL:  # nobody is left to remove it; the next run does not stumble over it
        for folder in tmp_path.iterdir():
            folder.rmdir()


@pytest.mark.parametrize("wrong", [{"deadline_s": 0.0}, {"deadline_s": float("nan")}, {"memory_bytes": 0}])
def test_limits_check_themselves(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)  # type: ignore[arg-type]


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _ends(pid: int) -> bool:
    """True when the process is gone (or waits to be buried) within five seconds."""
    for _ in range(250):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_the_devices_own_time_comes_with_its_answer() -> None:
    with open_fake(behaviour="has a clock") as session:
        assert session.device_ns is None
        for expected in (1000, 2000, None):
            session.run({"x": np.ones(2, np.float32)})
            assert session.device_ns == expected
