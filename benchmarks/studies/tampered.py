"""Signed bundles, altered in every way that is known, member by member: `edgewright verify --key` of each.

Record, schema "edgewright.study-tamper/1", JSON without host, user or path:

created, machine, versions
rows [{model, members, alterations, refused, digests, loaded, control, kinds}]
    refused of the alterations ended `verify --key` with exit code 65; digests {alterations, refused} are of those that
    are no whole bundles, without a key; loaded counts what was reached of {imports of an engine, processes started,
    golden samples read, engines extracted} over all of them, and control what the same guards count of the good bundle;
    kinds {kind: {alterations, refused}}
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alterations import Altered, Signed, alterations
from common import others, write

from edgewright.core.bundle import Bundle, open_bundle
from edgewright.core.bundle.keys import new_keys, read_private_key
from edgewright.core.bundle.signature import Signatures, sign_digest, signature_path

SCHEMA = "edgewright.study-tamper/1"
ENGINES = ("onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "torch")
STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system")
REFUSED = 65
Json = dict[str, Any]


def main(words: Sequence[str]) -> int:
    """The installed command, in this process, where guards see what it does."""
    (script,) = entry_points(group="console_scripts", name="edgewright")
    return int(script.load()(words))


class Guard:
    """Counts what `verify` reaches beyond checking, while it watches."""

    def __init__(self) -> None:
        self.reached: Counter[str] = Counter()
        self._watching = False
        sys.addaudithook(self._heard)
        for name in ("golden", "extract_engine"):
            setattr(Bundle, name, self._counted(name, getattr(Bundle, name)))

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """For the length of a block."""
        self._watching = True
        try:
            yield
        finally:
            self._watching = False

    def _heard(self, event: str, words: tuple[object, ...]) -> None:
        if not self._watching:
            return
        if event in STARTS:
            self.reached["process started"] += 1
        elif event == "import" and str(words[0]).partition(".")[0] in ENGINES:
            self.reached["engine imported"] += 1

    def _counted(self, name: str, method: Any) -> Any:
        def counted(*words: Any, **named: Any) -> Any:
            self.reached[name] += self._watching
            return method(*words, **named)

        return counted


def run(bundles: Sequence[Path], into: Path, every: int = 1) -> int:
    """Prints a line for each bundle and completes the record."""
    guard = Guard()
    rows: list[Json] = others(into, [_name(path) for path in bundles])
    for path in bundles:
        rows.append(row_of(path, guard, every))
        print(line(rows[-1]), flush=True)
        write(into, SCHEMA, {"rows": rows}, ("edgewright", "cryptography"))
    return 0 if all(row["refused"] == row["alterations"] and not row["loaded"] for row in rows) else 1


def line(row: Json) -> str:
    """One row in words."""
    return (
        f"{row['model']}: {row['alterations']} alterations of {row['members']} members, {row['refused']} refused,"
        f" {sum(row['loaded'].values())} loaded; without a key {row['digests']['refused']} of"
        f" {row['digests']['alterations']}"
    )


def row_of(path: Path, guard: Guard, every: int = 1) -> Json:
    """Signs a copy, alters it in every way, and verifies each with the key and without."""
    with TemporaryDirectory(prefix="edgewright-tamper-") as text:
        folder = Path(text)
        signed = signed_copy(path, folder, every)
        kinds: dict[str, Counter[str]] = {}
        digests: Counter[str] = Counter()
        for one in alterations(signed, folder / "altered"):
            refused = _verified(one, one.key or signed.public, guard) == REFUSED
            kinds.setdefault(one.kind, Counter()).update(alterations=1, refused=int(refused))
            if not refused:
                print(f"  not refused: {one.form}, {one.kind}: {one.what}", flush=True)
            if not one.only_signature:
                again = _verified(one, None, guard) == REFUSED
                digests.update(alterations=1, refused=int(again))
                if not again:
                    print(f"  not refused without a key: {one.form}, {one.kind}: {one.what}", flush=True)
        loaded = dict(guard.reached)
        guard.reached.clear()
        control = _verified(Altered("", "", "", signed.path), signed.public, guard)
        seen = dict(guard.reached)
        guard.reached.clear()
        if control != 0 or not seen:
            raise SystemExit(f"{path.name} is not good to begin with (exit {control}), or the guards see nothing")
        return {
            "model": _name(path),
            "members": len(signed.members()),
            "alterations": sum(one["alterations"] for one in kinds.values()),
            "refused": sum(one["refused"] for one in kinds.values()),
            "digests": dict(digests),
            "loaded": loaded,
            "control": seen,
            "kinds": {kind: dict(found) for kind, found in sorted(kinds.items())},
        }


def signed_copy(path: Path, folder: Path, every: int = 1) -> Signed:
    """A copy with a signature of a new key."""
    folder.mkdir(exist_ok=True)
    copy = folder / path.name
    copy.write_bytes(path.read_bytes())
    private, public, _ = new_keys(folder / "signer")
    stranger, _, _ = new_keys(folder / "stranger")
    digest = open_bundle(copy).digest
    signature = Signatures(digest, (sign_digest(read_private_key(private), digest),)).to_bytes()
    signature_path(copy).write_bytes(signature)
    return Signed(copy, signature, public, stranger, every=every)


def _verified(one: Altered, key: Path | None, guard: Guard) -> int:
    """The exit code of the command."""
    words = ["verify", str(one.path), *(["--key", str(key)] if key else [])]
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet), guard.watching():
        return main(words)


def _name(path: Path) -> str:
    """What the record calls it; the bundle says more."""
    manifest = open_bundle(path).manifest
    return f"{path.stem}, {manifest.backend.name} {manifest.precision}"
