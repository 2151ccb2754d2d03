from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.core.errors import UsageError
from edgewright.core.user_code import blaming_user, load_function

SOURCE = """
import beside

NUMBER = 3

def double(x):
    return beside.twice(x)

def fails():
    return inner()

def inner():
    raise KeyError("missing thing")
"""


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("def twice(x):\n    return 2 * x\n")
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


def test_a_file_may_import_what_stands_beside_it(user_file: Path) -> None:
    assert load_function(f"{user_file}:double", "metric")(4) == 8


def test_a_module_is_looked_for_in_the_current_folder(user_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (user_file.parent / "only_here_now.py").write_text("def seven():\n    return 7\n")
    monkeypatch.chdir(user_file.parent)
    monkeypatch.setattr("sys.path", [entry for entry in __import__("sys").path if entry])
    assert load_function("only_here_now:seven", "model")() == 7


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("{}:triple", "has no 'triple'"),
        ("{}:NUMBER", "int, not a function"),
        ("nowhere.py:f", "no file nowhere.py"),
        ("no_such_module_x.y:f", "no module 'no_such_module_x.y'"),
        ("justaname", "names no function"),
    ],
)
def test_what_is_missing_is_named(user_file: Path, reference: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_function(reference.format(user_file), "metric")


def test_the_trace_holds_their_frames_alone(user_file: Path) -> None:
    function = load_function(f"{user_file}:fails", "metric")
    with pytest.raises(UsageError) as caught, blaming_user("calling it"):
        function()
    assert "KeyError" in caught.value.problem
    lines = caught.value.remedy.splitlines()
    assert [line.split(" in ")[1].split(":")[0] for line in lines if str(user_file) in line] == ["fails", "inner"]
    assert "user_code.py" not in caught.value.remedy.replace("test_user_code.py", "")


def test_an_import_that_raises_or_does_not_parse_is_theirs(tmp_path: Path) -> None:
    for text, words in (("import not_installed_x", "not_installed_x"), ("def f(:", "SyntaxError"), ("exit(3)", "Exit")):
        path = tmp_path / "broken.py"
        path.write_text(text)
        with pytest.raises(UsageError, match=words) as caught:
            load_function(f"{path}:f", "model")
        assert "broken.py:1" in caught.value.remedy
