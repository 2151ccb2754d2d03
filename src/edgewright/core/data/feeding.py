"""What a model is run with: arrays and images of the user's, where one sample is enough and nothing is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright.core.data.cutting import Cut, common_count, cut_for
from edgewright.core.data.folder import IMAGE_SUFFIXES, list_samples, read_image, read_npy
from edgewright.core.data.npz import GROUPS, LABELS, check_names, dtype_problem, members, read_header, rows_of
from edgewright.core.data.preprocessing import Preprocessing
from edgewright.core.data.rows import Rows
from edgewright.core.errors import BadInputError, UsageError
from edgewright.core.files import open_regular
from edgewright.core.tensors import Feeds, TensorSpec


@dataclass(frozen=True)
class Feeding:
    """Feeds that are read one at a time; each was seen to fit the model before the first is read."""

    count: int
    read: Callable[[int], Feeds]
    """The feed at an index (0 <= index < ``count``)."""
    batched: frozenset[str] = frozenset()
    """Inputs that were cut from one array along the axis that is their own first: so are the answers joined."""
    notes: tuple[str, ...] = ()
    """What was done that nobody asked for, and what was left out."""

    def __iter__(self) -> Iterator[Feeds]:
        return (self.read(index) for index in range(self.count))


def open_feeds(
    given: Sequence[str], specs: tuple[TensorSpec, ...], preprocessing: Mapping[str, Preprocessing] | None = None
) -> Feeding:
    """Opens inputs as the command line has them: ``x.npy``, ``name=x.npy``, ``file.npz``, or a folder.

    An array of an input's own rank is cut along its first axis into batches of the model's fixed size (1 where that is
    dynamic), one of a rank more holds whole feeds. A folder has ``.npy`` files or images, a sample each, or ``.npz``
    files, each read as such a file alone.

    Args:
        given: what the user typed.
        specs: the inputs that are to be fed.
        preprocessing: how an image becomes an input, by the input's name.

    Raises:
        UsageError: a file that is not there, an input that is named twice or not at all.
        BadInputError: data that is broken or does not fit, naming the input, what it takes and what was given.
    """
    if "" in given:
        raise UsageError("an input is empty text", "Is a variable unset? Give a file or a folder.")
    if len(given) == 1 and (path := Path(given[0])).is_dir():
        return _folder(path, specs, preprocessing or {})
    if len(given) == 1 and given[0].lower().endswith(".npz"):
        return _npz(Path(given[0]), specs)
    arrays: dict[str, Rows] = {}
    for text in given:
        name, path = _named(text, specs)
        if name in arrays:
            raise UsageError(f"input '{name}' is given twice", "Give each input once.")
        arrays[name] = _npy(path)
    missing = [spec for spec in specs if spec.name not in arrays]
    if missing:
        wanted = ", ".join(f"--input '{spec.name}=FILE.npy' ({spec.dtype} {spec.shape_text})" for spec in missing)
        raise UsageError(f"nothing is given for {_listed(missing)}", f"Add {wanted}.")
    return _cut(arrays, specs, "the inputs")


def _named(text: str, specs: tuple[TensorSpec, ...]) -> tuple[str, Path]:
    """The input and the file that ``text`` means; the names are the model's own, so they may hold ``=``."""
    for spec in sorted(specs, key=lambda one: -len(one.name)):
        if text == f"{spec.name}=":
            raise UsageError(f"no file stands behind {text}", "Is a variable unset? Give a file.")
        if text.startswith(f"{spec.name}="):
            return spec.name, Path(text[len(spec.name) + 1 :])
    before, sign, after = text.partition("=")
    if sign and not Path(text).exists() and Path(after).suffix:
        raise UsageError(f"the model has no input '{before}'", f"Its inputs are {_taken(specs)}.")
    path = Path(text)
    if path.is_dir() or path.suffix.lower() == ".npz":
        raise UsageError(f"{text} holds whole samples, and other inputs stand beside it", "Give it alone.")
    if len(specs) != 1:
        raise UsageError(
            f"{text} is one array, and the model has {len(specs)} inputs", f"Name each: NAME=FILE.npy; {_taken(specs)}."
        )
    return specs[0].name, path


def _npy(path: Path) -> Rows:
    with open_regular(path, "the input") as file:
        shape, fortran, dtype, offset = read_header(file, path.name)
        size = int(dtype.itemsize)
        for dim in shape:
            size *= dim
        there = path.stat().st_size - offset
        if there != size:
            raise BadInputError(f"{path.name} has {there} bytes, its header says {size}", "Write it anew.")
        if size == 0:
            raise BadInputError(f"{path.name} has shape {shape}: there is nothing in it", "Give at least one sample.")
        if shape and not fortran:
            return rows_of(file, offset, shape, dtype, fortran=False)
    import numpy as np

    loaded: Rows = np.load(path, allow_pickle=False)
    return loaded


def _npz(path: Path, specs: tuple[TensorSpec, ...]) -> Feeding:
    arrays = members(path)
    names = {spec.name: spec for spec in specs}
    for extra in (LABELS, GROUPS):  # what an evaluation file has besides
        if extra not in names:
            arrays.pop(extra, None)
    check_names(path.name, arrays, names)
    return _cut(arrays, specs, path.name)


def _cut(arrays: Mapping[str, Rows], specs: tuple[TensorSpec, ...], where: str) -> Feeding:
    cuts: dict[str, Cut] = {}
    for spec in specs:
        array = arrays[spec.name]
        cut, wrong = cut_for(spec, array.shape), dtype_problem(spec, array)
        if cut is None or wrong or _unlike(spec, cut, array.shape):
            raise BadInputError(
                f"input '{spec.name}' takes {spec.dtype} {spec.shape_text}, given is {array.dtype.name} "
                f"{'x'.join(map(str, array.shape)) or 'scalar'}",
                f"Convert it: numpy.save(file, array.astype('{spec.dtype}'))."
                if wrong and spec.dtype != "string"
                else "Samples stand along the first axis, or whole feeds along an axis before the input's own.",
            )
        if cut.left_over:
            raise BadInputError(
                f"input '{spec.name}' takes {cut.rows} rows at a time, and {array.shape[0]} leave {cut.left_over} over",
                f"Give a multiple of {cut.rows} rows.",
            )
        cuts[spec.name] = cut
    count = 1 if all(cut.count is None for cut in cuts.values()) else common_count(cuts, where)
    if count == 0:
        raise BadInputError(f"{where}: there is no sample", "Give at least one.")
    batched = frozenset(name for name, cut in cuts.items() if cut.kind == "rows")
    return Feeding(count, lambda index: {name: cut.feed(arrays[name], index) for name, cut in cuts.items()}, batched)


def _unlike(spec: TensorSpec, cut: Cut, shape: tuple[int, ...]) -> bool:
    """Whether a fixed size is not that of the feeds that are cut; rows too few for a batch are left over instead."""
    if spec.shape is None:
        return False
    sizes = shape[1:] if cut.kind == "feeds" else (cut.rows, *shape[1:]) if cut.kind == "rows" else shape
    return any(isinstance(want, int) and want != have for want, have in zip(spec.shape, sizes, strict=True))


def _folder(path: Path, specs: tuple[TensorSpec, ...], preprocessing: Mapping[str, Preprocessing]) -> Feeding:
    whole = sorted(item for item in path.iterdir() if item.suffix.lower() == ".npz" and item.is_file())
    if whole:
        return _joined([_npz(item, specs) for item in whole])
    if len(specs) != 1:
        raise BadInputError(
            f"{path.name} has a file for each sample, and the model has {len(specs)} inputs", "Give .npz files for it."
        )
    (spec,) = specs
    files = list_samples(path)
    paths, notes = files.paths, []
    if paths[0].suffix.lower() in IMAGE_SUFFIXES and spec.name not in preprocessing and spec.dtype != "uint8":
        notes.append(
            f"{path.name}: the bundle does not say how images become '{spec.name}':"
            " pixels are divided by 255 and resized to fit"
        )
    if files.skipped:
        notes.append(f"{path.name}: {len(files.skipped)} files are no samples, such as {files.skipped[0]}")

    def read(index: int) -> Feeds:
        item = paths[index]
        where = str(item.relative_to(path))
        if item.suffix.lower() not in IMAGE_SUFFIXES:
            return {spec.name: read_npy(item, where, spec)}
        feed = read_image(item, where, spec, preprocessing.get(spec.name, Preprocessing()))
        if problem := spec.problem_with(feed):
            raise BadInputError(f"{where}: {problem}", "State resize and crop in the recipe, and compile again.")
        return {spec.name: feed}

    for index in range(len(paths)):  # each is looked at before the first is run
        read(index)
    return Feeding(len(paths), read, frozenset({spec.name}), tuple(notes))


def _joined(parts: Sequence[Feeding]) -> Feeding:
    places = [(part, index) for part in parts for index in range(part.count)]
    batched = frozenset.intersection(*(part.batched for part in parts))

    def read(index: int) -> Feeds:
        part, place = places[index]
        return part.read(place)

    return Feeding(len(places), read, batched)


def _listed(specs: Sequence[TensorSpec]) -> str:
    return " and ".join(f"input '{spec.name}'" for spec in specs)


def _taken(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"'{spec.name}' ({spec.dtype} {spec.shape_text})" for spec in specs)
