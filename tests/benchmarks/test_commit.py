from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgewright.benchmarks.commit import commit_of


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=Ada Lovelace", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "ada/secret-project")
    (tmp_path / "model.py").write_text("1\n")
    git(tmp_path, "add", "model.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    (tmp_path / "below").mkdir()
    return tmp_path


def test_a_commit_is_its_id_its_time_and_whether_files_changed(repository: Path) -> None:
    clean = commit_of(repository / "below")
    assert clean is not None
    assert clean.id == git(repository, "rev-parse", "HEAD")
    assert clean.time == git(repository, "log", "-1", "--format=%cI")
    assert not clean.dirty
    (repository / "out.json").write_text("{}")
    unchanged = commit_of(repository)
    assert unchanged is not None
    assert not unchanged.dirty, "what a run leaves behind is no change"
    (repository / "model.py").write_text("2\n")
    dirty = commit_of(repository)
    assert dirty is not None
    assert dirty.dirty


def test_nothing_tells_who_or_where(repository: Path) -> None:
    told = repr(commit_of(repository)).lower()
    assert not [secret for secret in ("ada", "secret", str(repository).lower()) if secret in told]


def test_a_program_that_the_repository_names_is_not_started(repository: Path) -> None:
    trap = repository / "trap"
    trap.write_text("#!/bin/sh\ntouch sprung\n")
    trap.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(trap))
    assert commit_of(repository) is not None
    assert not (repository / "sprung").exists()


def test_outside_of_a_repository_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit_of(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert commit_of(tmp_path) is None, "no commit yet"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_of(tmp_path) is None, "no git"
