"""One case after another: build it, make every route's artifact and ours, score them, time what holds its limit.

The record is written after every step, and a step whose sources have not changed is not made again: whatever stops
this, the same command goes on.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import environment
import figures
import record as records
from make import MADE
from routes import ROUTES, Route
from session import RunFailedError, duel, race
from timed_run import Effort
from timing import Arm, Timer

from edgewright.benchmarks.gate.latency import Look
from edgewright.benchmarks.harness.timing_lock import timing_lock

HERE = Path(__file__).resolve().parent
OURS = "ours"
MAKING_S = 900
DECIDED = 0.9
"""Ours over the fastest float engine by the rounds: below this nobody doubts which is faster."""
Json = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """Where everything is, and how much is measured."""

    cases: Path
    work: Path
    record: Path
    venv: Path
    threads: int
    rounds: int
    looks: tuple[Look, ...]
    round_effort: Effort
    pair_effort: Effort
    timed: bool = True
    again: frozenset[str] = frozenset()
    """What is made anew though it is known: `times`, `ours` with the times, or `all`."""

    @property
    def protocol(self) -> Json:
        """As the record has it."""
        looks = [look.pairs for look in self.looks]
        efforts = {"round": asdict(self.round_effort), "pair": asdict(self.pair_effort)}
        return {"threads": self.threads, "rounds": self.rounds, "looks": looks, **efforts}


class Study:
    """The record and the means to complete it."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.peers_python = environment.ensure(setting.venv).absolute()
        self.peers_versions = environment.versions(self.peers_python)
        self.record = records.read(setting.record)
        self.record["versions"] = {"ours": records.versions(), "peers": self.peers_versions}

    def save(self) -> None:
        """Writes what is known; a case without its own row yet is not written about."""
        done = {name: case for name, case in self.record["cases"].items() if OURS in case}
        records.write(self.setting.record, self.record, figures.summary(done))

    def run_case(self, case: Any) -> Json:
        """Everything about one built case, as far as it is not known."""
        entry = self._entry(case)
        begun = time.monotonic()
        for route in ROUTES:
            self._row(case, entry, route)
        self._ours(case, entry)
        entry["minutes"]["making"] += round((time.monotonic() - begun) / 60, 2)
        self.save()
        if self.setting.timed:
            self._time(case, entry)
        return entry

    def _entry(self, case: Any) -> Json:
        """The case's part of the record, with the float model's own values."""
        made_from = records.digest((case.folder / "case.json").read_text(encoding="utf-8"), self.setting.threads)
        known = self.record["cases"].get(case.name)
        if known is not None and known["made_from"] == made_from and "all" not in self.setting.again:
            return known  # type: ignore[no-any-return]
        shutil.rmtree(self._folder(case), ignore_errors=True)
        found = self._judge(case, Arm(case.model, "onnxruntime"))
        entry: Json = {"made_from": made_from, "routes": {}, "duels": {}, "ranks": found["ranks"]}
        entry["minutes"] = {"making": 0.0, "timing": 0.0}
        for prefix, most in (("", case.max_drop), ("second_", case.second_max_drop)):
            if f"{prefix}metric" in found:
                entry |= {f"{prefix}{key}": found[f"{prefix}{key}"] for key in ("metric", "higher_is_better")}
                entry |= {f"{prefix}reference": found[f"{prefix}value"], f"{prefix}max_drop": most or 0.0}
        self.record["cases"][case.name] = entry
        return entry

    def _row(self, case: Any, entry: Json, route: Route) -> None:
        """Makes and scores one route's artifact, where that was not done."""
        made_from = records.digest(entry["made_from"], route.what, route.properties, self.peers_versions)
        if records.is_current(entry["routes"].get(route.name), made_from, self._artifact(case, route)):
            return
        row: Json = {key: getattr(route, key) for key in ("title", "engine", "kind", "what")}
        row |= {"made_from": made_from, "compile_s": None, "peak_bytes": None}
        if route.kind != figures.FLOAT:
            row |= self._make(case, entry, route)
        if "reason" not in row:
            arm = Arm(self._artifact(case, route), route.engine, route.properties)
            row = self._scored(case, entry, row, arm)
        row["status"] = "failed" if "reason" in row else "built"
        entry["routes"][route.name] = row
        self._say(case, route.title, row)

    def _make(self, case: Any, entry: Json, route: Route) -> Json:
        """What making it costs, or with `reason` what became of it; the model lies in a folder of its own."""
        from edgewright_cases.process_tree import run_measured

        out = self._folder(case) / route.name
        shutil.rmtree(out, ignore_errors=True)
        # In the foreground it stays in this group of processes, so that what stops or ends this ends it too.
        command = ["timeout", "--foreground", "--signal=KILL", str(MAKING_S), str(self.peers_python)]
        command += [str(HERE / "make.py"), route.name]
        command += ["--model", str(case.model), "--data", str(case.data), "--out", str(out)]
        done = run_measured([*command, "--ranks", json.dumps(entry["ranks"])])
        cost: Json = {"compile_s": round(done.wall_s, 1), "peak_bytes": done.peak_bytes}
        if not (out / MADE).is_file():
            late = done.wall_s >= MAKING_S
            why = f"not finished after {MAKING_S} s" if late else f"the process ended with {done.exit_code}"
            return {**cost, "stage": "make", "reason": why}
        made = json.loads((out / MADE).read_text(encoding="utf-8"))
        return {**cost, "stage": "make", "reason": made["reason"]} if "reason" in made else cost

    def _ours(self, case: Any, entry: Json) -> None:
        """Compiles and scores ours, where that was not done."""
        from edgewright_cases.process_tree import run_measured
        from edgewright_cases.proving import last_line

        bundle = self._folder(case) / "ours.ewb"
        made_from = records.digest(entry["made_from"], self.record["versions"]["ours"])
        again = self.setting.again & {OURS, "all"}
        if not again and records.is_current(entry.get(OURS), made_from, bundle):
            return
        bundle.unlink(missing_ok=True)
        bundle.parent.mkdir(parents=True, exist_ok=True)
        done = run_measured(self._command(case, bundle))
        row: Json = {"title": "Edgewright", "made_from": made_from, "exit_code": done.exit_code}
        row |= {"compile_s": round(done.wall_s, 1), "peak_bytes": done.peak_bytes}
        if bundle.is_file():
            from edgewright.core.bundle import open_bundle

            manifest = open_bundle(bundle).manifest
            targets = json.loads(done.stdout)["targets"]
            row |= {"engine": manifest.backend.name, "precision": manifest.precision}
            row |= {"kind": OURS, "what": targets[0]["candidate"], "candidate": targets[0]["candidate"]}
            row = self._scored(case, entry, row, Arm(bundle, "edgewright"))
            row["size_bytes"] = manifest.size_bytes
        else:
            row |= {"stage": "make", "reason": last_line(done).replace(str(case.folder), case.name)}
        row["status"] = "failed" if "reason" in row else "built"
        entry[OURS] = row
        self._say(case, "Edgewright", row)

    def _command(self, case: Any, bundle: Path) -> list[str]:
        """The words a user would type."""
        from edgewright_cases.proving import edgewright

        words = [*edgewright(), "compile", str(case.model), "-o", str(bundle), "--precision", "auto", "--json"]
        words += ["--target", "native", "--no-cache", "--data", str(case.data), "--eval-data", str(case.eval_data)]
        words += ["--metric", case.metric, "--max-drop", repr(case.max_drop)]
        for shape in (case.shapes or "").split():
            words += ["--shape", shape]
        return words

    def _scored(self, case: Any, entry: Json, row: Json, arm: Arm) -> Json:
        try:
            found = self._judge(case, arm)
        except RunFailedError as failure:
            return {**row, "stage": "score", "reason": str(failure)}
        return records.judged({**row, "size_bytes": arm.size_bytes}, found, entry)

    def _judge(self, case: Any, arm: Arm) -> Json:
        """The values of `judge.py`.

        Raises:
            RunFailedError: its process failed.
        """
        command = [sys.executable, str(HERE / "judge.py"), str(case.folder), str(arm.model), "--engine", arm.engine]
        command += ["--properties", json.dumps(dict(arm.properties)), "--threads", str(self.setting.threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
            said = lines[-1].replace(str(self._folder(case)), "").replace(str(case.folder), case.name)
            raise RunFailedError(said[:200])
        found: Json = json.loads(done.stdout.splitlines()[-1])
        return found

    def _time(self, case: Any, entry: Json) -> None:
        """Rounds of all that holds, then pairs against the fastest, where that was not done with these very ones."""
        rows = {**entry["routes"], OURS: entry[OURS]}
        holding = {name: row for name, row in rows.items() if row.get("holds")}
        parts = {name: row["made_from"] for name, row in holding.items()}
        timed_from = records.digest(parts, entry[OURS].get("size_bytes"), self.setting.protocol)
        if OURS not in holding or (entry.get("timed_from") == timed_from and not self.setting.again):
            return
        begun = time.monotonic()
        for row in rows.values():
            for key in ("ms", "runs_ns", "ratio", "ratio_ci95", "untimed"):
                row.pop(key, None)
        entry["duels"] = {}
        timer = Timer(self._arms(case, holding), case.eval_data, entry["ranks"], self.setting.threads)
        with timing_lock(log=lambda line: print(line, file=sys.stderr)):
            self._race(case, entry, timer, list(holding))
            for rival in self._rivals(entry):
                self._duel(case, entry, timer, rival)
        entry |= {"disturbed": timer.disturbed, "timed_from": timed_from}
        entry |= {"protocol": self.setting.protocol, "versions": self.record["versions"]}
        entry["minutes"]["timing"] = round((time.monotonic() - begun) / 60, 2)
        self.save()

    def _arms(self, case: Any, names: Sequence[str] | Mapping[str, Any]) -> dict[str, Arm]:
        known = {route.name: route for route in ROUTES}
        return {
            name: Arm(self._folder(case) / "ours.ewb", "edgewright")
            if name == OURS
            else Arm(self._artifact(case, known[name]), known[name].engine, known[name].properties)
            for name in names
        }

    def _race(self, case: Any, entry: Json, timer: Timer, names: Sequence[str]) -> None:
        found = race(lambda name: timer.run(name, self.setting.round_effort), names, self.setting.rounds)
        for name in names:
            row = entry[OURS] if name == OURS else entry["routes"][name]
            if name in found.failed:
                row["untimed"] = found.failed[name].replace(str(case.folder), case.name)
                continue
            row |= {"ms": round(found.median_ms(name), 4), "runs_ns": [round(took) for took in found.runs[name]]}
            if name != OURS and OURS in found.runs:
                ratio, interval = found.ratio(OURS, name)
                row |= {"ratio": round(ratio, 4), "ratio_ci95": _rounded(interval)}
                print(f"  {case.name}: ours over {row['title']}: {ratio:.3f}", file=sys.stderr)

    def _rivals(self, entry: Json) -> list[str]:
        """Whom ours meets in pairs: all that may be the fastest, and the fastest float engine unless far behind."""
        if entry[OURS].get("ms") is None:
            return []
        engine = figures.fastest_float(entry)
        near = engine is not None and entry["routes"][engine]["ratio"] > DECIDED
        return list(dict.fromkeys([*figures.contenders(entry), *([engine] if near and engine else [])]))

    def _duel(self, case: Any, entry: Json, timer: Timer, rival: str) -> None:
        def pair(number: int) -> tuple[float, float]:
            order = (OURS, rival) if number % 2 == 0 else (rival, OURS)
            took = dict(zip(order, timer.pair(*order, self.setting.pair_effort), strict=True))
            return took[OURS], took[rival]

        try:
            found = duel(pair, self.setting.looks)
        except RunFailedError as failure:
            print(f"  {case.name}: no pairs against {rival}: {failure}", file=sys.stderr)
            return
        entry["duels"][rival] = {
            "pairs": [[round(ours), round(theirs)] for ours, theirs in found.pairs],
            "ratio": round(found.ratio, 4),
            "ratio_ci95": _rounded(found.ci95),
            "p": found.p,
            "verdict": found.verdict,
        }
        print(f"  {case.name}: {found.verdict} beside {rival}: {found.ratio:.3f}", file=sys.stderr)

    def _artifact(self, case: Any, route: Route) -> Path:
        """The file a route runs: the model itself, or what `make.py` says it made."""
        if route.kind == figures.FLOAT:
            return Path(case.model)
        out = self._folder(case) / route.name
        made = json.loads((out / MADE).read_text(encoding="utf-8")) if (out / MADE).is_file() else {}
        return out / made.get("path", "absent")

    def _folder(self, case: Any) -> Path:
        return self.setting.work.absolute() / case.name

    def _say(self, case: Any, title: str, row: Json) -> None:
        self.save()
        took = "" if row["compile_s"] is None else f", {row['compile_s']:.0f} s"
        said = row["reason"] if "reason" in row else f"{'holds' if row['holds'] else 'misses'}, lost {row['drop']}"
        print(f"  {case.name}: {title}: {said}{took}", file=sys.stderr)


def _rounded(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else [round(end, 4) for end in interval]


def run(names: Sequence[str], setting: Setting) -> int:
    """All of `names`, as far as they can be had here; 0 where ours holds and is not `regressed` in each, else 1."""
    from edgewright_cases.case import CaseUnavailable
    from edgewright_cases.console import find_case

    study = Study(setting)
    good = True
    for name in names:
        try:
            case = find_case(name).build(setting.cases.absolute() / name)
        except CaseUnavailable as absent:
            print(f"{name}: left out: {absent}", file=sys.stderr)
            continue
        print(f"{name}:", file=sys.stderr)
        try:
            entry = study.run_case(case)
        except RunFailedError as failure:
            print(f"{name}: left out: its own judge cannot score the float model: {failure}", file=sys.stderr)
            continue
        fine = ("pass", "inconclusive") if setting.timed else ("pass", "inconclusive", "not timed")
        good &= figures.verdict(entry) in fine and not figures.slower_than_float(entry)
    return 0 if good else 1
