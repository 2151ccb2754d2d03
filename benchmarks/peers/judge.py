"""The score of one artifact by its case's own judge over all evaluation data: one JSON line, from a fresh process.

    python judge.py CASE_FOLDER MODEL --engine onnxruntime|openvino|edgewright [--properties JSON] [--threads 2]

The line: `value`, `second_value` where the case has a second metric, and the metrics' names and directions.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from engines import ENGINES, load_cases, open_model


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--properties", type=json.loads, default={})
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(argv)
    load_cases()
    from edgewright_cases.case import read_case
    from edgewright_cases.scoring import load_metric, score

    case = read_case(options.case)
    original = open_model(case.model, "onnxruntime", options.threads)
    subject = open_model(options.model, options.engine, options.threads, options.properties)
    found: dict[str, object] = {}
    for prefix, reference in (("", case.metric), ("second_", case.second_metric)):
        if reference is not None:
            metric = load_metric(reference)
            value = score(case, subject.run, dict(original.ranks), original.run, reference)
            found |= {f"{prefix}metric": metric.name, f"{prefix}higher_is_better": metric.higher_is_better}
            found[f"{prefix}value"] = value
    print(json.dumps(found | {"ranks": dict(original.ranks)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
