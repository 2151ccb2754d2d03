from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgewright.benchmarks.history import commit_here

CI = {"GITHUB_SHA": "a" * 40, "CI_COMMIT_SHA": "b" * 40}


def git(folder: Path, *arguments: str) -> str:
    identity = [
        "-c",
        "user.name=n",
        "-c",
        "user.email=e",
        "-c",
        "init.defaultBranch=main",
        "-c",
        "commit.gpgsign=false",
    ]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No repository above the test's folder, and none by a variable, is found."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def repository(tmp_path: Path, alone: None) -> Path:
    folder = tmp_path / "repo"
    (folder / "below").mkdir(parents=True)
    git(folder, "init", "-q")
    for name in ("model.py", "below/net.record.json", "history.sqlite"):
        (folder / name).write_text("1")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_what_is_stated_wins(repository: Path) -> None:
    assert commit_here("v1.2", folder=repository, environment=CI) == "v1.2"


def test_git_comes_before_the_ci(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    assert len(head) == 40
    assert commit_here(folder=repository / "below", environment=CI) == head
    (repository / "untracked").write_text("1")
    assert commit_here(folder=repository, environment=CI) == head


@pytest.mark.parametrize("folder", [".", "below"])
def test_changed_tracked_files_are_marked(repository: Path, folder: str) -> None:
    (repository / "model.py").write_text("2")
    assert commit_here(folder=repository / folder) == git(repository, "rev-parse", "HEAD") + "-dirty"
    git(repository, "add", "model.py")
    assert commit_here(folder=repository / folder).endswith("-dirty")


def test_measuring_does_not_make_a_tree_dirty(repository: Path) -> None:
    for name in ("below/net.record.json", "history.sqlite"):
        (repository / name).write_text("2")
    assert not commit_here(folder=repository, ours=repository / "history.sqlite").endswith("-dirty")
    assert commit_here(folder=repository, ours=repository / "other.sqlite").endswith("-dirty")


@pytest.mark.parametrize(
    ("environment", "commit"), [(CI, "a" * 40), ({"GITHUB_SHA": "", "CI_COMMIT_SHA": "b"}, "b"), ({}, "unknown")]
)
def test_without_a_commit_of_git_the_ci_is_asked(
    tmp_path: Path, alone: None, environment: dict[str, str], commit: str
) -> None:
    assert commit_here(folder=tmp_path, environment=environment) == commit
    git(tmp_path, "init", "-q")
    assert commit_here(folder=tmp_path, environment=environment) == commit


def test_without_git_installed_the_ci_is_asked(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert commit_here(folder=repository, environment=CI) == "a" * 40


def test_a_repositorys_own_programs_are_not_started(repository: Path) -> None:
    (repository / "monitor").write_text(f"#!/bin/sh\ntouch {repository}/started\n")
    (repository / "monitor").chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(repository / "monitor"))
    assert commit_here(folder=repository) == git(repository, "rev-parse", "HEAD")
    assert not (repository / "started").exists()
