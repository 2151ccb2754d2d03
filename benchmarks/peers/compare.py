"""Latency of compiled artifacts against what other quantisers make of the same model, in pairs of fresh processes.

    peers/bin/python benchmarks/peers/compare.py CASE... --cases DIR --ours DIR --peers DIR [--pairs 8] [--threads 2]
    [--record FILE]

`--cases`: folders that `benchmarks/cases build` made. `--ours`: engines taken out of bundles, as
`CASE/onnxruntime/model.onnx` and `CASE/openvino/model.xml` with its `.bin`; either may be absent. `--peers`: what
`quantise.py --out` wrote. Run it on an otherwise idle machine.

Each artifact of ours is compared with every peer on its own runtime, and with the float model there (for OpenVINO both
at float32 and at the precision it chooses itself). A pair is one run of ours and one of the peer, each a fresh process
that loads, warms up (>= 1 s and 10 inferences) and measures (>= 1 s and 64 inferences); the order alternates, ABBA. The
figure of a run is its median; a comparison is the Hodges-Lehmann ratio over pairs, with a 95 % interval. `--self-test`
adds ours against itself, which shows the noise floor of the machine.

Record, schema "edgewright.peers.latency/1":

    date      UTC day
    machine   {cpu, cores, os}
    versions  of python and the engines
    protocol  {pairs, threads, order, effort}
    cases     {name: {runtime: {peer: row}}}

and a row is

    status          "measured", "failed" or "absent", the latter two with `reason`
    pairs           [[ours_ns, peer_ns], ...], the median of each run
    ours_ms, peer_ms          medians over the runs
    ratio, ratio_ci95         ours / peer, below 1 is faster; the interval is null with fewer than 6 pairs
    ours_size_bytes, peer_size_bytes
    peer_holds      whether the peer kept the case's accuracy, from accuracy.json; true for float, null where not known

A peer that did not keep the accuracy is timed all the same.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from engines import ENGINES, machine, open_model, versions
from paired import ratio
from timed_run import Effort

SCHEMA = "edgewright.peers.latency/1"
HERE = Path(__file__).resolve().parent
SUFFIX = {"onnxruntime": ".onnx", "openvino": ".xml"}
QUANTISED = {"onnxruntime": ("nncf-onnxruntime", "ort-u8s8", "ort-s8s8"), "openvino": ("nncf-openvino",)}


@dataclass(frozen=True)
class Arm:
    """One model file with the way to open it."""

    name: str
    model: Path
    engine: str
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        weights = self.model.with_suffix(".bin")
        return self.model.stat().st_size + (
            weights.stat().st_size if self.engine == "openvino" and weights.exists() else 0
        )


class RunFailedError(Exception):
    """A timed process ended without a figure; the text is the last line it wrote."""


@dataclass(frozen=True)
class Protocol:
    """How much is measured."""

    pairs: int
    threads: int
    effort: Effort

    def run(self, arm: Arm, feeds: Path, ranks: dict[str, int]) -> float:
        """Median nanoseconds an inference of one fresh process.

        Raises:
            RunFailedError: when the process fails.
        """
        command = [sys.executable, str(HERE / "timed_run.py"), str(arm.model), "--engine", arm.engine]
        command += ["--feeds", str(feeds), "--ranks", json.dumps(ranks), "--properties", json.dumps(arm.properties)]
        command += ["--threads", str(self.threads), "--effort", json.dumps(asdict(self.effort))]
        threads = {name: str(self.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        environment = {"PATH": os.environ.get("PATH", ""), **threads}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
            raise RunFailedError(lines[-1].replace(str(arm.model), arm.model.name)[:200])
        return float(json.loads(done.stdout.splitlines()[-1])["median_ns"])

    def compare(self, ours: Arm, peer: Arm, feeds: Path, ranks: dict[str, int]) -> dict[str, object]:
        """The row of one comparison."""
        pairs: list[tuple[float, float]] = []
        try:
            for i in range(self.pairs):
                order = (ours, peer) if i % 2 == 0 else (peer, ours)
                first, second = (self.run(arm, feeds, ranks) for arm in order)
                pairs.append((first, second) if i % 2 == 0 else (second, first))
        except (RunFailedError, subprocess.TimeoutExpired) as failure:
            return {"status": "failed", "reason": str(failure)[:200]}
        estimate, low, high = ratio(pairs)
        return {
            "status": "measured",
            "pairs": [[round(a), round(b)] for a, b in pairs],
            "ours_ms": round(statistics.median(a for a, _ in pairs) / 1e6, 4),
            "peer_ms": round(statistics.median(b for _, b in pairs) / 1e6, 4),
            "ratio": estimate,
            "ratio_ci95": None if low is None else [low, high],
            "ours_size_bytes": ours.size_bytes,
            "peer_size_bytes": peer.size_bytes,
        }


def arms(engine: str, ours: Arm, case: Path, peers: Path, *, self_test: bool) -> Iterator[Arm]:
    """What `ours` is compared with on one runtime."""
    if self_test:
        yield Arm("self", ours.model, engine)
    if engine == "openvino":
        yield Arm("float32", case / "model.onnx", engine, {"INFERENCE_PRECISION_HINT": "f32"})
        yield Arm("float-default", case / "model.onnx", engine)
    else:
        yield Arm("float32", case / "model.onnx", engine)
    for name in QUANTISED[engine]:
        yield Arm(name, peers / f"{name}{SUFFIX[engine]}", engine)


def compare_case(name: str, options: argparse.Namespace, protocol: Protocol) -> dict[str, dict[str, object]]:
    """All comparisons of one case, by runtime and peer."""
    case = options.cases / name
    ranks = dict(open_model(case / "model.onnx", "onnxruntime").ranks)
    holds = accuracy_held(name)
    rows: dict[str, dict[str, object]] = {}
    for engine in ENGINES:
        ours = Arm("ours", options.ours / name / engine / f"model{SUFFIX[engine]}", engine)
        if not ours.model.is_file():
            print(f"{name} {engine}: nothing of ours in {ours.model.parent.name}, left out", file=sys.stderr)
            continue
        rows[engine] = {}
        for peer in arms(engine, ours, case, options.peers / name, self_test=options.self_test):
            if options.against and peer.name not in options.against:
                continue
            missing = {"status": "absent", "reason": "quantise.py made no such model"}
            found = peer.model.is_file()
            row = protocol.compare(ours, peer, case / "evaluation.npz", ranks) if found else missing
            float_model = peer.name.startswith("float")
            rows[engine][peer.name] = row | {"peer_holds": True if float_model else holds.get(peer.name)}
            print(f"{name:20} {engine:12} {peer.name:18} {row.get('ratio', row.get('reason'))}", file=sys.stderr)
    return rows


def accuracy_held(name: str) -> dict[str, bool]:
    """Whether each scheme kept the case's accuracy, as far as accuracy.json knows."""
    path = HERE / "accuracy.json"
    schemes = (
        json.loads(path.read_text(encoding="utf-8"))["cases"].get(name, {}).get("schemes", {}) if path.is_file() else {}
    )
    return {scheme: bool(row["holds"]) for scheme, row in schemes.items() if "holds" in row}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="CASE")
    for name, what in (
        ("cases", "folder of built cases"),
        ("ours", "folder of our engines"),
        ("peers", "folder of peers' models"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=what)
    parser.add_argument("--record", type=Path, default=HERE / "latency.json")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0, help="least time measured, and least warm-up, of a run")
    parser.add_argument("--inferences", type=int, default=64, help="least number of inferences of a run")
    parser.add_argument("--against", nargs="*", help="only these peers")
    parser.add_argument("--self-test", action="store_true", help="ours against itself too")
    options = parser.parse_args(argv)
    effort = Effort(warm_seconds=options.seconds, seconds=options.seconds, inferences=options.inferences)
    protocol = Protocol(options.pairs, options.threads, effort)
    cases = {name: compare_case(name, options, protocol) for name in options.names}
    record = {
        "schema": SCHEMA,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions("nncf", "onnx", "onnxruntime", "openvino", "torch"),
        "protocol": {"pairs": protocol.pairs, "threads": protocol.threads, "order": "ABBA", "effort": asdict(effort)},
        "cases": cases,
    }
    options.record.write_text(json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
