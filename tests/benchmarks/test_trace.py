"""Traces as files: what is written is read back, what a later version adds does not hurt, what is broken is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.benchmarks.record import read_document
from edgewright.benchmarks.trace import ClassDelta, Flips, LayerTrace, Trace, TraceStep, append_trace, read_traces
from edgewright.core.errors import BadInputError

TRACE = Trace(
    bundle_sha256="0" * 64,
    model="net",
    target="native/onnxruntime",
    precision="int8",
    metric="top1",
    higher_is_better=True,
    machine_identity="machine",
    steps=(
        TraceStep("original", "original", 100, 0.9, 2e6, (1.9e6, 2.1e6)),
        TraceStep("tidy", "pass", None, None, None, note="cannot be built"),
        TraceStep("int8", "engine", 30, 0.89, 1e6),
    ),
    layers=(LayerTrace("conv", "Conv", "int8", 0.01, 5e3, noise=0.002), LayerTrace("sum", "Add", "fp32", None, None)),
    classes=(ClassDelta("0", 10, 0.9, 0.8),),
    flips=Flips(10, 1, 0, 2, (4,)),
    notes=("a note",),
    samples=8,
    created="2026-01-01T00:00:00Z",
)


def test_traces_are_appended_beside_records_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "net.record.json"
    assert read_traces(path) == []
    append_trace(path, TRACE)
    append_trace(path, replace(TRACE, flips=None, classes=()))
    assert read_traces(path) == [TRACE, replace(TRACE, flips=None, classes=())]
    assert read_document(path)["records"] == []


def test_keys_of_later_versions_and_missing_ones_are_no_problem() -> None:
    plain = json.loads(json.dumps(TRACE.to_json()))
    plain["schema"] = "edgewright.trace/1.7"
    plain["later"] = {"anything": 1}
    plain["layers"][0]["later"] = [1]
    assert Trace.from_json(plain) == TRACE
    bare = Trace.from_json({"schema": "edgewright.trace/1", "steps": [{"name": "x", "kind": "pass"}]})
    assert bare.steps == (TraceStep("x", "pass", None, None, None),)
    assert (bare.layers, bare.flips, bare.model) == ((), None, "")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("schema", "edgewright.trace/2", r"schema 'edgewright\.trace/2'"),
        ("schema", None, "schema None"),
        ("steps", {"a": 1}, r"trace\.steps is \{'a': 1\}, not a list"),
        ("steps", [7], r"trace\.steps\[0\] is 7, not an object"),
        ("steps", [{"name": "x", "kind": "magic"}], r"steps\[0\]\.kind is 'magic', none of original, pass, engine"),
        ("steps", [{"name": "x", "kind": "pass", "p50_ns": "fast"}], r"p50_ns is 'fast'"),
        ("steps", [{"name": "x", "kind": "pass", "p50_ns": float("nan")}], r"p50_ns is nan"),
        ("steps", [{"name": "x", "kind": "pass", "p50_ci95": [1.0]}], r"p50_ci95 has 1 entries, not 2"),
        ("higher_is_better", "yes", r"higher_is_better is 'yes'"),
        ("flips", {"n": True}, r"flips\.n is True"),
        ("flips", {"n": 10}, r"flips\.lost is missing"),
        ("classes", [{"label": "cat", "n": 3, "value": 0.5}], r"classes\[0\]\.reference is missing"),
        ("layers", [{"name": "a", "error": 10**400}], r"layers\[0\]\.error is 1000"),
        ("samples", 10**40, r"samples is 1000"),
    ],
)
def test_what_is_broken_is_said(key: str, value: object, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        Trace.from_json({**TRACE.to_json(), key: value})


def test_a_layers_reason_tells_why_a_figure_is_missing_from_why_it_stayed_float() -> None:
    reason = "the rule; leaves it float; no error: another shape; no time of its own: it is fused; or so"
    layer = LayerTrace("a", "Conv", "float32", None, None, reason)
    assert layer.remark == "the rule; leaves it float"
    assert layer.why_none("error") == "no error: another shape"
    assert layer.why_none("time") == "no time of its own: it is fused; or so"
    plain = replace(layer, reason="no error: another shape")
    assert (plain.remark, plain.why_none("error"), plain.why_none("time")) == ("", "no error: another shape", "")
