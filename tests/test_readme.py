"""The documentation is true: every block of every page is run, and prints what the page says it prints.

The blocks of a page run in order in one fresh folder in which ``examples/`` is at hand.

- ``console``: each line after ``$ `` is run by bash; what follows is its output, stdout and stderr together. Figures
  are compared by form, ``...`` stands for any text, alone on a line for any lines. A failing command must be followed
  by ``$ echo $?``. ``make demo`` and ``make test`` are run by CI.
- ``python``: run by a fresh interpreter; with ``file=NAME`` in the fence it is first saved under that name.
- ``toml``: needs ``file=NAME``; it is saved, and a later block of the page must use it.
- A fence with ``not-run: REASON`` is left alone. ``json``, ``text`` and ``mermaid`` are for reading.
- What the README measures takes as long as it says; on other pages measurements are short (``tests/moments``).
- ``<!-- prepare`` ... ``-->`` holds Python that puts a reader's own files (a model, some data) into the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LEFT_TO_CI = {"make demo": "demo", "make test": "test"}
USED_BY = {"make": "$ make", "ninja": "$ ninja", "cmake": "$ cmake", "toml": None, "c": None, "yaml": None}
"""Kinds of blocks that become files, and what must use each later on; None is anything that names the file."""
RUN, READ = ("console", "python", *USED_BY, "prepare"), ("json", "text", "mermaid")
TOOLS = ("bazel", "bitbake", "cc", "cmake", "ctest", "gcc", "ninja", "openssl")
LIMIT_S = 300
WHOLE = ("README.md",)
CACHED = ("builds.md", "cache.md", "cmake.md")
SAID = ".said"
NOT_OURS = ("PYTHONPATH", "FORCE_COLOR", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
"""What a block must not see of the command that runs the tests, which may be make."""
MOMENTS = Path(__file__).resolve().parent / "moments"

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=indent)```$|^<!-- prepare\n(?P<hidden>.*?)^-->$",
    re.M | re.S,
)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Block:
    """One fenced block; ``info`` is what follows the kind."""

    line: int
    kind: str
    info: str
    text: str

    @property
    def file(self) -> str | None:
        found = re.search(r"\bfile=(\S+)", self.info)
        return found and found[1]

    @property
    def source(self) -> str | None:
        """The file of the repository that this is an excerpt of: what a test runs, a page shows."""
        found = re.search(r"\bfrom=(\S+)", self.info)
        return found and found[1]

    @property
    def excuse(self) -> str:
        return self.info.partition("not-run:")[2].strip()

    @property
    def excused(self) -> bool:
        return "not-run" in self.info


def blocks(text: str) -> list[Block]:
    found = []
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match["hidden"] is not None:
            found.append(Block(line, "prepare", "", match["hidden"]))
            continue
        kind, _, info = match["info"].strip().partition(" ")
        body = "\n".join(row.removeprefix(match["indent"]) for row in match["body"].splitlines())
        found.append(Block(line, kind, info, body + "\n"))
    return found


def steps(text: str) -> Iterator[tuple[str, str]]:
    """Command and expected output; ``$ echo $?`` belongs to the command before it."""
    command, output, continued = "", [], False
    for row in text.splitlines():
        if continued:
            command = f"{command[:-1]} {row.removeprefix('> ').strip()}"
        elif row == "$ echo $?" and command:
            command = f"{{ {command}; }}; echo $?"
        elif row.startswith("$ "):
            if command or output:
                yield command, "\n".join(output)
            command, output = row.removeprefix("$ "), []
        else:
            output.append(row)
        continued = bool(command) and command.endswith("\\") and not output
    yield command, "\n".join(output)


def normal(text: str) -> str:
    """Figures and digests as ``#``, runs of blanks and rules as one: a table's columns move with its figures."""
    text = re.sub(r"\b[0-9a-f]{12,64}\b", "#", text)
    text = re.sub(r"[-+]?\d+(?:[.,]\d+)*", "#", text)
    rows = [re.sub(r"[-─═]{2,}", "--", re.sub(r"[ \t]+", " ", row)).strip() for row in text.splitlines()]
    return "\n".join(rows).strip()


def agrees(shown: str, real: str) -> bool:
    lines = normal(real).splitlines()
    reached = {0}  # how many lines the rows so far can account for
    for row in normal(shown).splitlines():
        if row == "...":
            reached = set(range(min(reached), len(lines) + 1)) if reached else set()
        else:
            pattern = re.compile(".*".join(map(re.escape, row.split("..."))))
            reached = {at + 1 for at in reached if at < len(lines) and pattern.fullmatch(lines[at])}
    return len(lines) in reached


def run(command: list[str], folder: Path, page: str) -> subprocess.CompletedProcess[str]:
    # A page that runs pytest must not take itself for a worker of the one that runs this.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env = {name: value for name, value in kept.items() if name not in NOT_OURS}
    env |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}",
        "XDG_CACHE_HOME": str(folder / ".cache"),
        "COLUMNS": "120",
    }
    if page not in WHOLE:
        env["PYTHONPATH"] = str(MOMENTS)
    if page in CACHED:
        env.pop("EDGEWRIGHT_CACHE_SIZE", None)  # which is 0 in tests: no page's figures come from an earlier block
    return subprocess.run(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip


def copied(source: Path, into: Path) -> None:
    (shutil.copytree if source.is_dir() else shutil.copy)(source, into / source.name)


def opening(command: str, folder: Path, page: str, openings: Path) -> subprocess.CompletedProcess[str]:
    """What several pages begin with is run for the first of them; the others get its files and its output."""
    kept = openings / hashlib.sha256(f"{page in WHOLE} {command}".encode()).hexdigest()
    if not kept.exists():
        before = set(folder.iterdir())
        done = run(["bash", "-c", command], folder, page)
        if done.returncode != 0:
            return done
        kept.mkdir()
        for made in set(folder.iterdir()) - before - {folder / ".cache"}:
            copied(made, kept)
        (kept / SAID).write_text(done.stdout, "utf-8")
        return done
    for made in kept.iterdir():
        if made.name != SAID:
            copied(made, folder)
    return subprocess.CompletedProcess(command, 0, (kept / SAID).read_text("utf-8"))


def check_excerpt(block: Block, page: str) -> None:
    """Whole lines of the file, in a row, as they stand there but for what all of them are indented by."""
    assert block.source is not None
    wanted = textwrap.dedent(block.text).splitlines()
    rows = (ROOT / block.source).read_text("utf-8").splitlines()
    starts = [at for at, row in enumerate(rows) if row.strip() == wanted[0].strip()]
    excerpts = (textwrap.dedent("\n".join(rows[at : at + len(wanted)])).splitlines() for at in starts)
    assert wanted in list(excerpts), f"{page}:{block.line}: this is not how {block.source} has it"


def require_tools(command: str, where: str) -> None:
    """Skips the rest of a page where a build system that it is about is not on this machine."""
    for tool in TOOLS:
        if re.search(rf"(^|[|;&({{] *){tool}\b", command) and shutil.which(tool) is None:
            pytest.skip(f"{where}: there is no {tool} on this machine; the page was run up to here")


def check_console(block: Block, folder: Path, page: str, openings: Path) -> None:
    where = f"{page}:{block.line}"
    for command, shown in steps(block.text):
        require_tools(command, where)
        assert command, f"{where}: the block does not start with '$ '"
        if command in LEFT_TO_CI:
            continue
        first = [path.name for path in folder.iterdir()] == ["examples"]
        done = opening(command, folder, page, openings) if first else run(["bash", "-c", command], folder, page)
        assert done.returncode == 0, f"{where}: $ {command}\nexit {done.returncode}\n{done.stdout}"
        assert agrees(shown, done.stdout), f"{where}: $ {command}\n--- the page\n{shown}\n--- real\n{done.stdout}"


def check_python(block: Block, folder: Path, page: str) -> None:
    path = folder / (block.file or ".block.py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, "utf-8")
    done = run([sys.executable, str(path)], folder, page)
    assert done.returncode == 0, f"{page}:{block.line}:\n{done.stdout}"


@pytest.fixture(scope="session")
def openings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("openings")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_does_what_the_page_says(page: Path, tmp_path: Path, openings: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    found = blocks(page.read_text("utf-8"))
    for index, block in enumerate(found):
        where = f"{page.name}:{block.line}"
        if block.source:
            check_excerpt(block, page.name)
            continue
        assert block.kind in (*RUN, *READ), f"{where}: a fence of kind '{block.kind}' is not run; use one of {RUN}"
        if block.kind in READ:
            json.loads(block.text) if block.kind == "json" else None
        elif block.excused:
            assert block.excuse, f"{where}: not-run needs its reason: not-run: REASON"
        elif block.kind == "console":
            check_console(block, tmp_path, page.name, openings)
        elif block.kind in USED_BY:
            assert block.file, f"{where}: a {block.kind} block needs file=NAME, so that it is used"
            user = USED_BY[block.kind] or block.file
            assert any(user in later.text for later in found[index + 1 :]), f"{where}: nothing uses {block.file}"
            (tmp_path / block.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.file).write_text(block.text, "utf-8")
        else:
            check_python(block, tmp_path, page.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_fence_is_seen(page: Path) -> None:
    """A fence the pattern above does not match would go unexecuted."""
    text = page.read_text("utf-8")
    marks = len(re.findall(r"^\s*(?:```|~~~)", text, re.M))
    assert marks == 2 * sum(block.kind != "prepare" for block in blocks(text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [target for target in LINK.findall(page.read_text("utf-8")) if not (page.parent / target).exists()]
    assert missing == []


def test_ci_runs_what_is_left_to_it() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    parts = re.search(r"^for part in (.*);", script, re.M)
    assert parts is not None
    assert set(LEFT_TO_CI.values()) <= set(parts[1].split())
    readme = "".join(block.text for block in blocks((ROOT / "README.md").read_text("utf-8")))
    assert all(f"$ {command}\n" in readme for command in LEFT_TO_CI)


def test_the_comparison_can_fail() -> None:
    assert agrees("size  1.2 MB\n----\n", "size 17.25 MB\n-------")
    assert agrees("a\n...\nz", "a\nb\nc\nz")
    assert agrees("a\n...\nz", "a\nz")
    assert agrees("...\na\n...", "a")
    assert agrees("on ... cores", "on a few cores")
    assert not agrees("size 1.2 MB", "size 1.2 KB")
    assert not agrees("a\nz", "a\nb\nz")
    assert not agrees("on ... cores", "on\nmany cores")
    assert not agrees("", "surprise")


def test_a_false_page_is_noticed(tmp_path: Path) -> None:
    for text, complaint in {
        "$ echo one\ntwo\n": r"--- real\s+one",
        "$ false\n": "exit 1",
        "echo one\n": "does not start",
        "one\n$ echo one\none\n": "does not start",
    }.items():
        with pytest.raises(AssertionError, match=complaint):
            check_console(Block(1, "console", "", text), tmp_path, "page", tmp_path)
    check_console(
        Block(1, "console", "", "$ false\n$ echo $?\n1\n$ echo a \\\n>   b\na b\n"), tmp_path, "page", tmp_path
    )
    check_excerpt(Block(1, "toml", "from=pyproject.toml", '[project]\nname = "edgewright"\n'), "page")
    with pytest.raises(AssertionError, match="not how pyproject"):
        check_excerpt(Block(1, "toml", "from=pyproject.toml", '[project]\nname = "other"\n'), "page")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        check_python(Block(1, "python", "", "1 / 0\n"), tmp_path, "page")
