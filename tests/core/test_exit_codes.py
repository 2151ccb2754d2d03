"""What a script reads of how a command ended."""

from __future__ import annotations

import re
from pathlib import Path

from edgewright.core.errors import ExitCode

PAGE = Path(__file__).resolve().parents[2] / "docs" / "exit-codes.md"


def test_every_code_tells_its_class_and_whether_to_try_again() -> None:
    assert ExitCode.LIMIT_MISSED.to_json() == {"exit_code": 1, "exit_class": "limit-missed", "retry": False}
    assert {code.value for code in ExitCode if code.retry} == {74, 75, 130, 143}


def test_the_page_has_every_code_with_its_name() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", PAGE.read_text("utf-8"), re.MULTILINE))
    assert rows == {str(code.value): code.name for code in ExitCode}
