"""The steps of the GitHub action, each one word: ``key``, ``compile``, ``gate``.

What the workflow says comes in the environment and is never part of a shell's text: a branch or file name that holds
``$(...)`` is a name. Outputs, the job's summary and annotations go where GitHub's runner looks for them
(https://docs.github.com/actions/reference/workflow-commands-for-github-actions).
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgewright.benchmarks.gate.outputs.github import defused
from edgewright.core.markdown import escaped

OPTIONS = {"DATA": "--data", "EVAL_DATA": "--eval-data", "MAX_DROP": "--max-drop", "PLAN": "--plan"}
SHOWN = ("target", "precision", "size", "accuracy", "original", "lost", "samples")


def main(step: str) -> int:
    """Does one step and returns what the command returned."""
    try:
        return {"key": key, "compile": compile_model, "gate": gate}[step]()
    except ValueError as error:  # of shlex: words that no shell would read
        annotate("error", f"edgewright {step}: usage", f"options: {error}\nWrite them as a shell reads them.")
        return 2


def words() -> list[str]:
    """The words of the compile."""
    model = os.environ["MODEL"]
    found = [
        f"./{model}" if model.startswith("-") else model,
        "--target",
        os.environ["TARGET"],
        "-o",
        os.environ["OUTPUT"],
    ]
    for name, option in OPTIONS.items():
        if value := os.environ.get(name):
            found.append(f"{option}={value}")
    return [*found, *shlex.split(os.environ.get("OPTIONS", ""))]


def key() -> int:
    """Says under which name the cache is kept; what is wrong with the words, the compile says where people look."""
    done = edgewright("cache-key", *words())
    output(key=done.stdout.strip() if done.returncode == 0 else "none")
    return 0


def compile_model() -> int:
    """Compiles, and says what came out: to later steps, in the summary, beside the run."""
    kept = reports()
    beside = ("--json", "--depfile", str(kept / "model.d"), "--record", str(kept / "model.record.json"))
    done = edgewright("compile", *words(), *beside)
    (kept / "compile.json").write_text(done.stdout, "utf-8")
    try:
        document = json.loads(done.stdout)
    except ValueError:  # it was killed before it could say anything
        document = {"exit_class": "unknown", "problem": f"edgewright compile returned {done.returncode}"}
    targets = document.get("targets", [])
    digest = targets[0]["digest"] if targets else None
    bundle = targets[0]["bundle"] if targets else None
    exit_class = document["exit_class"]
    output(**{"exit-code": done.returncode, "exit-class": exit_class, "digest": digest or "", "bundle": bundle or ""})
    for failed in [document, *targets]:
        if failed.get("problem"):
            annotate("error", f"edgewright compile: {exit_class}", f"{failed['problem']}\n{failed.get('remedy') or ''}")
    summarise(document, targets)
    return done.returncode


def gate() -> int:
    """Runs the new bundle against the one that was shipped; ``edgewright gate`` knows GitHub itself."""
    beside = ("--github", "--junit", str(reports() / "gate.xml"), "--markdown", str(reports() / "gate.md"))
    options = shlex.split(os.environ.get("GATE_OPTIONS", ""))
    done = edgewright("gate", os.environ["OUTPUT"], "--against", os.environ["AGAINST"], *beside, *options, defuse=False)
    print(done.stdout, end="")
    if done.returncode == 77:
        annotate("notice", "edgewright gate: skipped", "the hardware of this bundle is not on this runner")
        return 0
    return done.returncode


def edgewright(*command: str, defuse: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs the command of the Python that runs this; its talk goes to the log, where nothing in it is a command."""
    program = str(Path(sys.executable).with_name("edgewright"))
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as said,
        subprocess.Popen(
            [program, *command], stdout=said, stderr=subprocess.PIPE if defuse else None, text=True, errors="replace"
        ) as child,
    ):
        for line in child.stderr or ():
            print(defused(line.rstrip("\n")), file=sys.stderr, flush=True)
        code = child.wait()
        said.seek(0)
        return subprocess.CompletedProcess(command, code, said.read())


def reports() -> Path:
    """The folder of what is uploaded beside the bundle."""
    folder = Path(os.environ["RUNNER_TEMP"], "edgewright")
    folder.mkdir(exist_ok=True)
    return folder


def output(**values: object) -> None:
    """Hands values to later steps; what holds a line break would forge another."""
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.writelines(f"{name}={' '.join(str(value).splitlines())}\n" for name, value in values.items())


def annotate(level: str, title: str, text: str) -> None:
    """One annotation beside the run."""
    shown = defused(text.strip()).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    print(f"::{level} title={title.replace(':', '%3A').replace(',', '%2C')}::{shown}", flush=True)


def summarise(document: Mapping[str, Any], targets: list[Mapping[str, Any]]) -> None:
    """A table of the bundles, or what is wrong, into the job's summary."""
    rows = [f"### edgewright compile: {document['exit_class']}", ""]
    rows += [
        f"{escaped(one['problem'])}\n\n{escaped(one.get('remedy') or '')}\n"
        for one in (document, *targets)
        if one.get("problem")
    ]
    made = [one for one in targets if one["bundle"]]
    if made:
        rows += [f"| {' | '.join(SHOWN)} |", f"|{'---|' * len(SHOWN)}"]
        rows += [f"| {' | '.join(escaped(cell) for cell in cells(one))} |" for one in made]
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as file:
        file.write("\n".join([*rows, ""]))


def cells(one: Mapping[str, Any]) -> list[str]:
    """A row: what was not measured is a dash."""
    accuracy = one["accuracy"] or {}
    figures = [accuracy.get(name) for name in ("value", "reference", "drop")]
    shown = ["-" if figure is None else f"{figure:.4f}" for figure in figures]
    return [one["target"], one["precision"], f"{one['size_bytes']} bytes", *shown, str(accuracy.get("n", "-"))]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
