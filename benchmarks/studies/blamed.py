"""`edgewright blame` held to planted faults: one layer's weights broken behind one pass, on real models and data.

Each fault is a pass of a plug-in (planted_faults.py) that a recipe puts into the compile; the command is the installed
one, with the case's own data and metric.

Record, schema "edgewright.study-blame/1", JSON without host, user or path:

created, machine, versions
rows [{model, metric, precision, seed, planted {pass, layer}, loss, chance, moved, harmful, named {pass, layer}, right,
    because, wall_s, problem}]
    loss of the metric at the planted pass, chance twice its standard error, moved how far the answers move at it, as
    `blame` has them; harmful where the loss is beyond chance, or beyond what the case allows where there is no chance:
    some layers do little, and breaking those breaks nothing
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import built, data_of, edgewright, load_cases, others, write
from planted_faults import FAULTS

SCHEMA = "edgewright.study-blame/1"
HERE = Path(__file__).resolve().parent
PRECISION = "int8"
FELT = ("loss", "chance", "moved")
Json = dict[str, Any]


def run(names: Sequence[str], into: Path, cases: Path, seeds: int) -> int:
    """Prints a line for each fault and completes the record; 1 where one was not found."""
    load_cases()
    rows: list[Json] = others(into, names)
    for name in names:
        case = built(name, cases)
        for seed in range(seeds):
            for fault in FAULTS:
                rows.append(row_of(case, fault.name, seed))
                print(line(rows[-1]), flush=True)
                write(into, SCHEMA, {"rows": rows})
    harmful = [row for row in rows if row["harmful"]]
    right = sum(row["right"] for row in harmful)
    print(f"{right} of {len(harmful)} that cost accuracy, {sum(row['right'] for row in rows)} of all {len(rows)}")
    return 0 if right == len(harmful) else 1


def line(row: Json) -> str:
    """One fault in words."""
    said = "right" if row["right"] else f"wrong: {row['named']['pass']}, {row['named']['layer']} ({row['problem']})"
    said += "" if row["harmful"] else ", costs no accuracy"
    return f"{row['model']}: {row['planted']['pass']}, {row['planted']['layer']}: {said}, {row['wall_s']:.0f} s"


def row_of(case: Any, fault: str, seed: int) -> Json:
    """One fault, planted and looked for."""
    from edgewright_cases.process_tree import run_measured
    from edgewright_cases.proving import last_line

    with TemporaryDirectory(prefix="edgewright-blame-") as name:
        folder = Path(name)
        install(folder / "plugin")
        recipe, hit = folder / "recipe.toml", folder / "hit.txt"
        recipe.write_text(_recipe(fault, seed), encoding="utf-8")
        words = ["blame", str(case.model), "--precision", PRECISION, "--recipe", str(recipe), "--json", *data_of(case)]
        environment = {**os.environ, "PYTHONPATH": str(folder / "plugin"), "PLANTED_FAULT": str(hit)}
        done = run_measured([*edgewright(), *words], environment)
        layer = hit.read_text(encoding="utf-8").split("\n")[0] if hit.exists() else None
        problem = None if done.exit_code in (0, 1) else last_line(done).replace(name, "")
    found = json.loads(done.stdout) if problem is None else {"guilty_pass": None, "guilty_layer": None, "passes": []}
    felt = next(
        ({key: one[key] for key in FELT} for one in found["passes"] if one["name"] == fault), dict.fromkeys(FELT)
    )
    most = case.max_drop if felt["chance"] is None else felt["chance"]
    guilty = {key: (found[f"guilty_{key}"] or {}).get("name") for key in ("pass", "layer")}
    planted = {"pass": fault, "layer": layer}
    return {
        "model": case.name,
        "metric": Path(case.metric).name,
        "precision": PRECISION,
        "seed": seed,
        "planted": planted,
        **felt,
        "harmful": felt["loss"] is not None and felt["loss"] > most,
        "named": guilty,
        "right": layer is not None and guilty == planted,
        "because": (found["guilty_pass"] or {}).get("because"),
        "wall_s": round(done.wall_s, 1),
        "problem": problem,
    }


def _recipe(fault: str, seed: int) -> str:
    """All faults but one left out."""
    others = [one.name for one in FAULTS if one.name != fault]
    skipped = "".join(f'[[passes]]\nname = "{name}"\nskip = true\n' for name in others)
    return f'{skipped}[[passes]]\nname = "{fault}"\nseed = {seed}\n'


def install(folder: Path) -> None:
    """The plug-in as pip would lay it down: a module and a distribution with its entry points."""
    made = folder / "planted_faults-1.0.dist-info"
    made.mkdir(parents=True)
    (folder / "planted_faults.py").write_bytes((HERE / "planted_faults.py").read_bytes())
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: planted-faults\nVersion: 1.0\n", encoding="utf-8")
    points = [f"{one.name} = planted_faults:{one.__name__}" for one in FAULTS]
    (made / "entry_points.txt").write_text("\n".join(["[edgewright.passes]", *points, ""]), encoding="utf-8")
