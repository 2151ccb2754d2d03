from __future__ import annotations

from edgewright.benchmarks.gpu_check.record import Document, with_cell
from edgewright.benchmarks.gpu_check.table import markdown, summary


def test_the_table(record: Document) -> None:
    lines = markdown(record).splitlines()
    assert lines[3] == "NVIDIA Test, driver 600.1, 2026-01-31; torch 2."
    assert "### MiniLM-L6, 64 tokens, batch 32 on CUDA" in lines
    rows = [line for line in lines if line.startswith("| ") and "-fp" in line]
    assert rows == [
        "| eager-fp32 | 1.10 | 1 | 2.00 [2.00, 2.00] | 0.770 | - | 0.0e+00 | 0 s |",
        "| compile-fp32 | 0.550 | 0.50 [0.50, 0.50] | - | - | - | 1.0e-06 | 20 s |",
        "| onnxruntime-fp32 | 0.275 | 0.25 [0.25, 0.25] | 0.50 [0.50, 0.50] | - | - | 2.0e-06 | 3 s |",
        "| eager-fp16 | 0.110 | 0.10 [0.10, 0.10] | - | - | - | 1.0e-03 | 0 s |",
        "| eager-fp32 | 0.880 | 1 | 4.00 [4.00, 4.00] | - | - | 0.0e+00 | 0 s |",
        "| compile-fp32 | 0.220 | 0.25 [0.25, 0.25] | - | - | - | 1.0e-06 | 20 s |",
    ]
    assert lines[-3:] == [
        "- tensorrt-fp16: not run: TensorRT is not installed. pip install tensorrt",
        "- onnxruntime-fp32: made for somebody else",
        "- round 3 made again: it was hot",
    ]


def test_the_summary(record: Document, cell: dict[str, object]) -> None:
    lines = summary(with_cell(record, {**cell, "batch": 1})).splitlines()
    assert lines[1] == "1 is faster). NVIDIA Test, driver 600.1, 2026-01-31; torch 2."
    assert lines[3:] == [
        "| arm | MiniLM-L6, 64 tokens, batch 32 | MiniLM-L6, 64 tokens, batch 1 |",
        "|---|---|---|",
        "| eager-fp32 | 1.10 | 1.10 |",
        "| compile-fp32 | 0.550 (0.50) | 0.550 (0.50) |",
        "| onnxruntime-fp32 | 0.275 (0.25) | 0.275 (0.25) |",
        "| eager-fp16 | 0.110 (0.10) | 0.110 (0.10) |",
    ]
