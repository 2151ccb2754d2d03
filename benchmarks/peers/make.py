"""Makes one peer's model, in the peers' own environment and in a process that is watched from outside.

    .venv-peers/bin/python make.py ROUTE --model model.onnx --data calibration.npz --ranks '{"x": 4}' --out DIR

Writes `DIR/made.json`: `path` of the model, below DIR, or `reason`: what was raised. (What is printed is the peer's.)
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from engines import read_feeds
from routes import route

MADE = "made.json"


def one_line(error: Exception, *folders: Path) -> str:
    """The beginning of what was raised on one line, without the paths of this machine."""
    text = " ".join(str(error).split())
    for folder in folders:
        text = text.replace(str(folder.resolve()), folder.name).replace(str(folder), folder.name)
    return f"{type(error).__name__}: {text}"[:200]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("route")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ranks", type=json.loads, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(argv)
    build, out = route(options.route).build, options.out.resolve()
    if build is None:
        raise SystemExit(f"{options.route} makes nothing: it runs the model as it is")
    model, data = options.model.resolve(), options.data.resolve()
    out.mkdir(parents=True, exist_ok=True)
    os.chdir(out)  # onnxruntime litters the folder it is called from
    try:
        found = {"path": str(build(model, read_feeds(data, options.ranks), out).resolve().relative_to(out))}
    except Exception as error:  # noqa: BLE001  whatever a peer raises is its result
        found = {"reason": one_line(error, out, model.parent)}
    (out / MADE).write_text(json.dumps(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
