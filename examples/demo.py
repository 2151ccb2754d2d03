"""Compiles two trained PyTorch models for two runtimes, in float and in int8, and prints what came out.

    python examples/demo.py [--into out/demo] [--record FILE]

Everything shown was measured here: accuracy on samples that nothing was decided with, times by ``edgewright bench``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMAND = Path(sys.executable).with_name("edgewright")
TARGETS = ("native/onnxruntime", "native/openvino")
PRECISIONS = ("fp32", "int8")


@dataclass(frozen=True)
class Subject:
    """A model with the data that calibrates it and the data that judges it, as the command line takes them."""

    title: str
    file: str
    calibration: str
    evaluation: str
    max_drop: str


SUBJECTS = (
    Subject("digits (labelled)", "examples/digits.py", "calibration", "evaluation", "0.5%"),
    Subject("EfficientNet-Lite0", "examples/efficientnet.py", "calibration", "evaluation", "7%"),
)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    model: str
    runtime: str
    precision: str
    size_bytes: int
    metric: str
    reference: float
    value: float
    p50_ms: float
    valid: bool
    """False when the measurement failed its own audit: its figure must not be used."""


def main() -> int:
    """Builds, measures, prints; returns the first exit code that is not 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=ROOT / "out" / "demo", help="folder for the bundles")
    parser.add_argument("--record", type=Path, help="also write the rows, the machine and the versions as JSON")
    args = parser.parse_args()
    into: Path = args.into
    measured = [one for subject in SUBJECTS for precision in PRECISIONS for one in build(subject, precision, into)]
    rows = [row for row, _ in measured]
    print(table(rows))
    if args.record is not None:
        args.record.write_text(json.dumps(document(measured), indent=2, sort_keys=True) + "\n")
    print(f"\nThe bundles are in {_shown(into)}; try: edgewright verify {_shown(into / 'digits' / 'int8')}/*.ewb")
    return 0


def build(subject: Subject, precision: str, into: Path) -> list[tuple[Row, Mapping]]:
    """Compiles ``subject`` at one precision for all runtimes, then measures each bundle in processes of its own."""
    out = into / Path(subject.file).stem / precision
    out.mkdir(parents=True, exist_ok=True)
    print(f"== {subject.title}, {precision}", file=sys.stderr, flush=True)
    words = ["compile", f"{subject.file}:model", "--data", f"{subject.file}:{subject.calibration}"]
    words += ["--eval-data", f"{subject.file}:{subject.evaluation}", "--max-drop", subject.max_drop]
    words += [word for target in TARGETS for word in ("--target", target)]
    compiled = run([*words, "--precision", precision, "-o", _shown(out), "--json"])
    rows = []
    for target in compiled["targets"]:
        # Exit 1 of bench is a measurement that its own audit rejects; the row says so instead of ending the demo.
        bench = run(["bench", target["bundle"], "--preset", "rapid", "--json"], accepted=(0, 1))
        (record,) = bench["records"]
        rows.append((_row(subject, target, record), record))
    return rows


def document(measured: Sequence[tuple[Row, Mapping]]) -> dict[str, object]:
    """What the table was made from: the rows, when and on what they were measured, and how steady each was."""
    first = measured[0][1]
    return {
        "schema": "edgewright.demo/1",
        "created": first["created"],
        "machine": first["machine"],
        "versions": {name: version for _, record in measured for name, version in record["versions"].items()},
        "rows": [{**asdict(row), "status": record["status"], "notes": record["notes"]} for row, record in measured],
    }


def run(words: Sequence[str], accepted: tuple[int, ...] = (0,)) -> Mapping:
    """Runs the installed command and reads its one JSON document; a failure ends the demo with the command's code."""
    print(f"$ edgewright {' '.join(words)}", file=sys.stderr, flush=True)
    done = subprocess.run([str(COMMAND), *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in accepted or not done.stdout:
        sys.exit(done.returncode or 1)
    return json.loads(done.stdout)


def table(rows: Sequence[Row]) -> str:
    """The rows as text; ``x float32`` compares with the same runtime's float32."""
    floats = {(row.model, row.runtime): row for row in rows if row.precision == "fp32"}
    lines = [("model", "runtime", "precision", "size", "accuracy", "original", "p50", "x float32")]
    for row in rows:
        base = floats[row.model, row.runtime]
        ratio = f"{row.p50_ms / base.p50_ms:.2f}" if base.valid else ""
        accuracy = f"{row.metric} {row.value:.4f}"
        times = (f"{row.p50_ms:.3g} ms", ratio) if row.valid else ("invalid", "")
        size = f"{row.size_bytes / 1e6:.3g} MB"
        lines.append((row.model, row.runtime, row.precision, size, accuracy, f"{row.reference:.4f}", *times))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([padded[0], "-" * len(padded[0]), *padded[1:]])


def _row(subject: Subject, target: Mapping, record: Mapping) -> Row:
    accuracy = target["accuracy"]
    return Row(
        model=subject.title,
        runtime=target["target"].partition("/")[2],
        precision=target["precision"],
        size_bytes=target["size_bytes"],
        metric=accuracy["metric"],
        reference=accuracy["reference"],
        value=accuracy["value"],
        p50_ms=record["summary"]["percentiles"]["p50"]["value"] / 1e6,
        valid=record["status"] != "invalid",
    )


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    sys.exit(main())
