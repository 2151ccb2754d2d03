"""Writes the C files of a bundle: digests first, then every file whole, and none whose bytes are there already."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from edgewright.core.bundle import open_bundle
from edgewright.core.errors import CannotWriteError
from edgewright.core.files import replacing
from edgewright.core.workdir import working_folder
from edgewright.driver.embed.c_text import literals, numbers
from edgewright.driver.embed.parts import EngineFile, engine_files, identifier
from edgewright.driver.embed.text import ASSEMBLER, Embedding, header, source_head, source_tail

Form = Literal["array", "string", "incbin"]
LARGEST_ARRAY_BYTES = 64_000
"""Beyond it compilers take long, and much memory, over numbers."""
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class EmbedReport:
    """What was written."""

    bundle: str
    digest: str
    name: str
    form: Form
    engine: tuple[EngineFile, ...]
    written: dict[str, bool]
    """File names in the folder; False where the bytes were there already."""

    def to_json(self) -> dict[str, object]:
        """The document of ``--json``, without the exit."""
        return {
            "schema": "edgewright.embed/1",
            "bundle": self.bundle,
            "digest": self.digest,
            "name": self.name,
            "form": self.form,
            "engine": [asdict(one) for one in self.engine],
            "files": [{"path": path, "written": written} for path, written in self.written.items()],
        }


def embed_bundle(path: Path, folder: Path, name: str | None = None, form: Form | None = None) -> EmbedReport:
    """Writes ``NAME.h``, ``NAME.c`` and what ``form`` needs besides into ``folder``, which is made.

    The C is C99 and C++11, and the same bytes for the same bundle, name and form.

    Args:
        path: a bundle, or its unzipped folder.
        folder: where the files go.
        name: what every identifier begins with; None is the bundle's file name.
        form: how the engine is written; None is numbers for a small one and string literals for others.

    Raises:
        UsageError: no such bundle, or a name that C does not take.
        BadInputError: a bundle that is damaged, before anything is written.
        UnavailableError: a bundle without an engine.
        CannotWriteError, IOFailureError: the files cannot be written.
    """
    name = identifier(name, path)
    bundle = open_bundle(path)
    engine = engine_files(bundle, name)
    if form is None:
        form = "array" if sum(one.size_bytes for one in engine) <= LARGEST_ARRAY_BYTES else "string"
    one = Embedding(name, bundle.digest, bundle.manifest, engine)
    tail = "".join(source_tail(one))
    _make(folder)
    with working_folder() as work:
        extracted = work / "engine"
        bundle.extract_engine(extracted)
        made = work / "made"
        made.mkdir()
        (made / f"{name}.h").write_text(header(one), "ascii")
        with (made / f"{name}.c").open("w", encoding="ascii") as file:
            file.write(source_head(one))
            if form != "incbin":
                for part in engine:
                    file.writelines(_array(part, extracted, form))
            file.write(tail)
        if form == "incbin":
            _assembler(one, extracted, made)
        written = {item.name: _place(item, folder / item.name) for item in sorted(made.iterdir())}
    return EmbedReport(path.name, bundle.digest, name, form, engine, written)


def _array(part: EngineFile, folder: Path, form: Form) -> Iterator[str]:
    """One element more than there are bytes: a literal's NUL, and a file may be empty."""
    declared = f"EDGEWRIGHT_ALIGNED const unsigned char {part.symbol}[{part.size_bytes + 1}] ="
    pieces = _pieces(folder / part.path)
    if form == "array":
        yield f"{declared} {{\n"
        yield from numbers(pieces)
        yield "0};\n"
    else:
        yield f"{declared}\n"
        yield from literals(pieces)
        yield '"";\n'


def _assembler(one: Embedding, folder: Path, made: Path) -> None:
    """``NAME.S`` and the files that it includes; assemblers look for these where ``-I`` says.

    It has the digests, so that a build tool that sees no further than it assembles it again when an engine changes.
    """
    lines = [ASSEMBLER]
    for index, part in enumerate(one.engine):
        copy = f"{one.name}_{index}.bin"
        shutil.copyfile(folder / part.path, made / copy)
        symbol = f"EDGEWRIGHT_SYMBOL({part.symbol})"
        lines.append(f"/* {part.sha256} */\n")
        lines.append(f'EDGEWRIGHT_DATA\n.balign 64\n.globl {symbol}\n{symbol}:\n.incbin "{copy}"\n.byte 0\n')
    lines.append('\n#if defined(__ELF__)\n.section .note.GNU-stack,"",%progbits\n#endif\n')
    (made / f"{one.name}.S").write_text("".join(lines), "ascii")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _place(made: Path, out: Path) -> bool:
    """Leaves a file of the same bytes as it is, so that a build does not compile it again."""
    if out.is_file() and filecmp.cmp(made, out, shallow=False):
        return False
    with replacing(out) as file, made.open("rb") as source:
        shutil.copyfileobj(source, file)
    return True


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWriteError(f"cannot make the folder {folder}: {error.strerror}", "Give -o another name.") from error
