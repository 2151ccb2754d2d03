"""A record as Markdown for people: a table for each network and batch size, and what was not run, with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from edgewright.benchmarks.gpu_check.figures import Figures, Ratio, figures_of
from edgewright.benchmarks.gpu_check.models import NETWORKS
from edgewright.benchmarks.gpu_check.plan import BASELINE, PRECISIONS, WAYS, Boundary, precision_of, way_of
from edgewright.benchmarks.gpu_check.record import Document, cells_of

_HEAD = ("arm", "ms", "to eager fp32", "to compile", "GPU ms", "to eager fp32", "off by", "built in")
_TITLES: Mapping[Boundary, str] = {
    "host": "From host memory to host memory",
    "device": "Inputs and answers on the device",
}


def markdown(record: Document) -> str:
    """The whole record."""
    lines = [
        "Ratios are time over time, below 1 is faster, with their 95 % interval over paired rounds; `to compile` is",
        "against torch.compile in the same precision. `GPU ms` is by CUDA events, without transfers.",
    ]
    said = ""
    for cell in cells_of(record):
        if (origin := _origin(cell)) != said:
            lines += ["", origin]
            said = origin
        lines += ["", *_cell(cell)]
    return "\n".join(lines) + "\n"


def summary(record: Document) -> str:
    """One table for a first page: arms against networks, from host memory to host memory.

    Where a network and batch size was measured more than once, the last that has the arm counts.
    """
    columns: dict[str, dict[str, str]] = {}
    for cell in cells_of(record):
        column = columns.setdefault(f"{NETWORKS[str(cell['network'])].title}, batch {cell['batch']}", {})
        for name, found in figures_of(cell).items():
            if "host" in found:
                wall = found["host"]["wall_ns"]
                ratio = "" if wall.to_eager is None else f" ({wall.to_eager.value:.2f})"
                column[name] = f"{_milliseconds(wall)}{ratio}"
    arms = sorted({name for column in columns.values() for name in column}, key=_place)
    lines = [
        "Median milliseconds from host memory to host memory, in brackets over eager float32 in the same rounds (below",
        f"1 is faster). {' '.join(dict.fromkeys(_origin(cell) for cell in cells_of(record)))}",
        "",
        f"| arm | {' | '.join(columns)} |",
        f"|{'---|' * (len(columns) + 1)}",
        *(f"| {arm} | {' | '.join(column.get(arm, '-') for column in columns.values())} |" for arm in arms),
    ]
    return "\n".join(lines) + "\n"


def _origin(cell: Mapping[str, object]) -> str:
    """Where, when and with what a cell was measured."""
    machine = cast("Mapping[str, object]", cell["machine"])
    versions = cast("Mapping[str, str]", cell["versions"])
    driver = f", driver {machine['driver']}" if machine["driver"] else ""
    place = machine["gpu"] or f"{machine['cores']} cores of {machine['cpu']}"
    software = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return f"{place}{driver}, {cell['date']}; {software}."


def _cell(cell: Mapping[str, object]) -> Iterator[str]:
    title = NETWORKS[str(cell["network"])].title
    yield f"### {title}, batch {cell['batch']} on {str(cell['device']).upper()}"
    figures = figures_of(cell)
    unordered = cast("Mapping[str, Mapping[str, object]]", cell["arms"])
    arms = {name: unordered[name] for name in sorted(unordered, key=_place)}
    for boundary, what in _TITLES.items():
        timed = [name for name in arms if boundary in figures.get(name, {})]
        if not timed:
            continue
        rounds = figures[timed[0]][boundary]["wall_ns"].rounds
        yield from ("", f"{what} ({rounds} rounds):", "")
        yield f"| {' | '.join(_HEAD)} |"
        yield f"|{'---|' * len(_HEAD)}"
        for name in timed:
            yield f"| {' | '.join(_row(name, arms[name], figures[name][boundary]))} |"
    said = [f"- {name}: {arm['status']}: {arm['reason']}" for name, arm in arms.items() if arm["status"] != "measured"]
    said += [f"- {name}: {line}" for name, arm in arms.items() for line in cast("list[str]", arm["remarks"])]
    said += [f"- {line}" for line in cast("list[str]", cell["voided"])]
    if said:
        yield from ("", *said)


def _place(arm: str) -> tuple[int, int]:
    """Where an arm stands in a table: by precision, then as the ways are listed."""
    return PRECISIONS.index(precision_of(arm)), list(WAYS).index(way_of(arm))


def _row(name: str, arm: Mapping[str, object], figures: Mapping[str, Figures]) -> Iterator[str]:
    wall, device = figures["wall_ns"], figures.get("device_ns")
    error, took = cast("float | None", arm["error"]), cast("float | None", arm["build_s"])
    yield name
    yield _milliseconds(wall)
    yield _ratio(wall.to_eager) if name != BASELINE else "1"
    yield _ratio(wall.to_compile)
    yield _milliseconds(device)
    yield _ratio(None if device is None else device.to_eager)
    yield "-" if error is None else f"{error:.1e}"
    yield "-" if took is None else f"{took:.0f} s"


def _milliseconds(figures: Figures | None) -> str:
    """Three significant digits.

    >>> [_milliseconds(Figures(nanoseconds, 0.0, 6, None, None)) for nanoseconds in (1_234_567, 61_234, 1_234_567_890)]
    ['1.23', '0.0612', '1235']
    """
    if figures is None:
        return "-"
    milliseconds = figures.median / 1e6
    return f"{milliseconds:.0f}" if milliseconds >= 100 else f"{milliseconds:#.3g}".rstrip(".")


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return "-"
    return f"{ratio.value:.2f}" + ("" if ratio.ci95 is None else f" [{ratio.ci95[0]:.2f}, {ratio.ci95[1]:.2f}]")
