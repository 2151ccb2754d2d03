from __future__ import annotations

import subprocess
import sys

import pytest

from edgewright.core import offline

TRIES = """
import os, socket, sys
from edgewright.core import offline
from edgewright.core.errors import UsageError

offline.require_where_wished()
offline.require_where_wished()

def reaches(what):
    try:
        what()
    except UsageError as error:
        return error.problem
    except OSError:
        return "tried"
    return "reached"

quick = socket.socket()
quick.settimeout(0.2)
print(reaches(lambda: socket.getaddrinfo("example.invalid", 443)))
print(reaches(lambda: quick.connect(("192.0.2.1", 443))))
print(reaches(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 9))))
server = socket.create_server(("127.0.0.1", 0))
print(reaches(lambda: socket.create_connection(("localhost", server.getsockname()[1]), 5)))
left, right = socket.socketpair()
print(reaches(lambda: left.sendall(b"x")))
print(os.environ.get("HF_HUB_OFFLINE"))
"""


def tried(monkeypatch: pytest.MonkeyPatch, value: str | None) -> list[str]:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    if value is None:
        monkeypatch.delenv(offline.VARIABLE, raising=False)
    else:
        monkeypatch.setenv(offline.VARIABLE, value)
    done = subprocess.run([sys.executable, "-c", TRIES], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


def test_another_machine_is_not_reached_and_this_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    said = tried(monkeypatch, "1")
    assert [line.partition(" over ")[0] for line in said[:3]] == [
        "something reached for example.invalid",
        "something reached for 192.0.2.1",
        "something reached for 192.0.2.1",
    ]
    assert said[3:] == ["reached", "reached", "1"]


@pytest.mark.parametrize("value", [None, "", "0", "false"])
def test_without_the_wish_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    said = tried(monkeypatch, value)
    assert not any("reached for" in line for line in said)
    assert said[3:] == ["reached", "reached", "None"]
