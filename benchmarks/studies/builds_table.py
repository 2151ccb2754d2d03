"""What the record of `builds` says, as docs/measurement.md has it."""

from __future__ import annotations

from typing import Any

from table import machine_of

Json = dict[str, Any]


def built(record: Json) -> list[str]:
    """A sentence on parallel compiles, and one row for each runtime that was built in unlike environments."""
    first, rows = record["parallel"], record["reproducible"]
    once = sum(one["compiled"] == 1 and one["equal_bytes"] for one in first["distinct"])
    places = max((row["environments"] for row in rows), key=len)
    return [
        (
            f"{first['processes']} processes of `compile` started at once on {len(first['distinct'])} distinct compiles"
            f" of {len(first['models'])} models ({', '.join(first['models'])}), one empty cache: {first['failures']}"
            f" failed, {once} of the {len(first['distinct'])} were compiled exactly once and are the same bytes"
            f" throughout, {first['waited']} waited for another, {first['leftovers']} files were left."
            f" {machine_of(record)}."
        ),
        "",
        (
            f"One plan in {len(places)} environments, all in other folders: {'; '.join(places)}. Bytes are promised of"
            " ONNX Runtime, the recipe's and the plan's digests of all."
        ),
        "",
        "| target | compiled to | environments | same bytes | same digests |",
        "|---|---|---|---|---|",
        *(_row(row) for row in rows),
    ]


def _row(row: Json) -> str:
    if row["problem"]:
        return f"| {row['target']} | {row['precision']} | {row['problem']} | | |"
    said = ["yes" if row[name] else "no" for name in ("equal_bytes", "equal_digests")]
    return f"| {row['target']} | {row['precision']} | {len(row['environments'])} | {' | '.join(said)} |"
