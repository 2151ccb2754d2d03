"""``edgewright inspect``: what a model or a bundle is, without running it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli import _console
from edgewright.cli._arguments import add_key
from edgewright.core.errors import ExitCode, UnavailableError, UsageError

if TYPE_CHECKING:
    from edgewright.compiler.summary import ModelSummary
    from edgewright.core.bundle import Accuracy, Bundle, Manifest
    from edgewright.core.tensors import TensorSpec

SUMMARY = "show what a model or a bundle is: tensors, sizes, operators, precision, accuracy"
_OPERATORS_SHOWN = 12
_ZIP = b"PK\3\4"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares MODEL or BUNDLE and its options."""
    parser.add_argument("subject", metavar="MODEL|BUNDLE", help="a model, a bundle, or a bundle's unzipped folder")
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=1,3,224,224", help="fix dynamic sizes")
    parser.add_argument("--trust-pickle", action="store_true", help="run the code in a pickled model")
    add_key(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> ExitCode:
    """Prints one description."""
    if is_bundle(Path(args.subject)):
        from edgewright.core.bundle import open_bundle

        bundle = open_bundle(Path(args.subject), args.key)
        _show(_bundle_json(bundle) if args.json else _bundle_text(bundle))
        return ExitCode.OK
    if args.key is not None:
        raise UsageError(f"{args.subject} is no bundle, and only bundles are signed", "Leave --key out for a model.")
    summary, notes = _summary(args)
    if args.json:
        _show({"schema": "edgewright.inspect/1", "kind": "model", "notes": notes, **summary.to_json()})
    else:
        _show(_model_text(summary))
        for note in notes:
            _console.say(_console.escape_lines(note))
    return ExitCode.OK


def is_bundle(path: Path) -> bool:
    """True for an unzipped bundle, and for a file that is named or begins like a zipped one and holds a manifest."""
    if path.is_dir():
        return True
    if not path.is_file():
        return False
    if path.suffix == ".ewb":
        return True
    import zipfile

    with path.open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            return False
    try:
        with zipfile.ZipFile(path) as archive:
            return "manifest.json" in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _summary(args: argparse.Namespace) -> tuple[ModelSummary, list[str]]:
    """The model's description; only this needs the ``compile`` extra."""
    from edgewright.core.workdir import working_folder

    try:
        from edgewright.compiler.intake.source import load_model
        from edgewright.compiler.summary import summarise
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"inspecting a model needs {error.name}", "Type: pip install 'edgewright[compile]'"
        ) from error
    with working_folder() as folder:
        # Weights may be strange here: to look at a model is how one finds out.
        loaded = load_model(
            args.subject,
            trust_pickle=args.trust_pickle,
            allow_nonfinite=True,
            shapes=tuple(args.shape),
            workdir=folder,
        )
        return summarise(loaded.model), [f"{note.subject}: {note.text}" for note in loaded.notes]


def _model_text(summary: ModelSummary) -> str:
    operators = list(summary.operators.items())
    shown = [f"{name} x{number}" for name, number in operators[:_OPERATORS_SHOWN]]
    left = sum(number for _, number in operators[_OPERATORS_SHOWN:])
    least = "" if summary.macs.complete else "at least "
    macs = "unknown" if summary.macs.total is None else f"{least}{_count(summary.macs.total)} multiply-accumulates"
    dynamic = next((spec for spec in summary.inputs if not spec.is_static), None)
    if not summary.macs.complete and dynamic is not None:
        macs += f" (fix the sizes to know: --shape {dynamic.name}=...)"
    rows = [
        ("model", summary.name),
        ("digest", summary.digest),
        *_tensors(summary.inputs, summary.outputs),
        ("parameters", f"{_count(summary.parameters)} in {_bytes(summary.size_bytes)}"),
        ("work", macs),
        *(("", note) for note in summary.macs.notes),
        ("opsets", ", ".join(f"{domain} {version}" for domain, version in summary.opsets.items())),
        ("operators", ", ".join(shown) + (f", {left} more" if left else "")),
        ("quantised", f"{summary.quantised} of {summary.heavy} convolutions, matrix products and recurrent layers"),
    ]
    return _table(rows)


def _bundle_json(bundle: Bundle) -> dict[str, object]:
    return {
        "schema": "edgewright.inspect/1",
        "kind": "bundle",
        "digest": bundle.digest,
        "manifest": bundle.manifest.to_json(),
        "journal": dict(bundle.journal),
    }


def _bundle_text(bundle: Bundle) -> str:
    manifest = bundle.manifest
    versions = ", ".join(f"{name} {version}" for name, version in sorted(manifest.backend.versions.items()))
    rows = [
        ("bundle", bundle.path.name),
        ("digest", bundle.digest),
        ("model", f"{manifest.model.name} ({manifest.model.digest[:12]})"),
        ("target", f"{manifest.target.name}: {manifest.target.description.get('title', '')}"),
        ("made with", versions),
        ("built for", _built_for(manifest)),
        ("precision", manifest.precision),
        *_tensors(manifest.inputs, manifest.outputs),
        ("accuracy", _accuracy(manifest.accuracy)),
        *_limits(manifest),
        ("engine", f"{_bytes(manifest.size_bytes)} in {', '.join(bundle.engine_files)}"),
        ("", f"still to be built on the device: {manifest.backend.pending}" if manifest.backend.pending else ""),
        ("sizes", _sizes(manifest)),
        *_precisions(bundle.journal),
        ("passes", ", ".join(item.name for item in manifest.passes) or "none"),
        ("state", ", ".join(f"{link.output} -> {link.input}" for link in manifest.state)),
        ("recipe", manifest.recipe_digest),
        ("plan", manifest.plan_digest),
        ("parent", manifest.parent or ""),
        ("created", manifest.created or ""),
        *(("", f"{item.path}  {_bytes(item.bytes)}") for item in manifest.files),
    ]
    return _table(rows)


def _sizes(manifest: Manifest) -> str:
    """The range of sizes that the engine takes, where that is narrower than what the model says."""
    try:
        profile = json.loads(manifest.backend.properties.get("profile", "{}"))
        lines = [f"{name} {_sizes_text(low)} to {_sizes_text(high)}" for name, (low, _, high) in profile.items()]
    except (ValueError, TypeError, AttributeError):
        return ""
    return ", ".join(lines)


def _sizes_text(sizes: Sequence[object]) -> str:
    return "x".join(map(str, sizes))


def _built_for(manifest: Manifest) -> str:
    capability = manifest.backend.properties.get("compute_capability", "")
    return f"compute capability {capability}" if capability and not manifest.backend.pending else ""


def _precisions(journal: Mapping[str, object]) -> Iterable[tuple[str, str]]:
    """What is written in the model, and what the engine says it computes: the device's word, where one finished it."""
    found, finished = journal.get("precisions"), journal.get("finish")
    if not isinstance(found, Mapping):
        return
    written, executed = found.get("written"), found.get("executed")
    if isinstance(finished, Mapping):
        executed = finished.get("executed")
    shares = written.get("shares") if isinstance(written, Mapping) else None
    if isinstance(shares, Mapping):
        yield "written", ", ".join(f"{share:.1%} of the multiplications in {name}" for name, share in shares.items())
    if isinstance(executed, Mapping):
        layers, shares = executed.get("layers"), executed.get("shares")
        known = ", ".join(f"{count} layers in {name}" for name, count in layers.items()) if layers else ""
        if shares:
            known = ", ".join(f"{share:.1%} of the multiplications in {name}" for name, share in shares.items())
        yield "executed", known or f"unknown: {executed.get('reason', '')}"


def _accuracy(accuracy: Accuracy | None) -> str:
    if accuracy is None:
        return "not measured: there was no data"
    if accuracy.value is None or accuracy.drop is None or accuracy.reference is None:
        return f"{accuracy.metric}: unmeasured, nobody ran this engine"
    mark = "" if accuracy.mark == "measured" else f", {accuracy.mark}"
    figures = f"{accuracy.value:.4f}, original {accuracy.reference:.4f}, drop {accuracy.drop:+.4f}"
    return f"{accuracy.metric} {figures} on {accuracy.n} samples{mark}"


def _limits(manifest: Manifest) -> Iterable[tuple[str, str]]:
    words = {True: "met", False: "missed", None: "not judged"}
    limits = manifest.limits
    if limits.max_drop is not None:
        yield "limit", f"drop at most {limits.max_drop:g}: {words[limits.drop_met]}"
    if limits.max_bytes is not None:
        yield "limit", f"at most {_bytes(limits.max_bytes)}: {words[limits.bytes_met]}"


def _tensors(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> list[tuple[str, str]]:
    both = (("input", inputs), ("output", outputs))
    return [(word, f"{spec.name}: {spec.dtype} {spec.shape_text}") for word, specs in both for spec in specs]


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = []
    for name, text in rows:
        if text:
            lines.append(f"{_console.paint(f'{name:<11}', '1')} {_console.escape_lines(_one_line(text))}")
    return "\n".join(lines)


def _one_line(text: str) -> str:
    """Foreign text without line breaks of its own, and not for ever."""
    flat = text.replace("\n", "\\n")
    return flat if len(flat) <= 1000 else f"{flat[:997]}..."


def _show(what: str | Mapping[str, object]) -> None:
    _console.result(what if isinstance(what, str) else json.dumps(what, sort_keys=True))


def _count(number: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return str(number)


def _bytes(number: int) -> str:
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return f"{number} bytes"
