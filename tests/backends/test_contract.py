"""What every backend must do, whichever it is: a new file in ``backends/`` is held to it without a change here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgewright.backends import Artifact, Availability, Backend, LayerTime, open_isolated, registry
from edgewright.backends._reference_check import evaluator
from edgewright.core.errors import BadInputError, EngineError, UnavailableError
from edgewright.core.model import OnnxModel, TorchModel
from edgewright.core.tensors import Array, Feeds, Outputs
from edgewright.targets.schema import Target

if TYPE_CHECKING:
    from .conftest import Subject


@pytest.fixture(params=registry().names())
def backend(request: pytest.FixtureRequest, target: Target) -> Backend:
    found = registry().find(request.param)()
    if "onnx" not in found.accepts:
        pytest.skip(f"{request.param} takes no models in ONNX form; its own tests hold it to the contract")
    answer = found.probe()
    if not answer.present:
        pytest.skip(f"{request.param}: {answer.reason}")
    if not answer.devices:
        pytest.skip(f"{request.param} {answer.version}: it sees no device here that could open its engines")
    if not found.available_for(target).present:
        pytest.skip(f"{request.param} {answer.version}: {found.available_for(target).reason}")
    return found


@pytest.fixture
def lowered(backend: Backend, target, tmp_path: Path) -> Callable[[OnnxModel], Artifact]:
    def lower(model: OnnxModel) -> Artifact:
        folder = tmp_path / f"engine{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return backend.lower(model, target, folder)

    return lower


@pytest.fixture
def conv(subjects: Mapping[str, Callable[[], Subject]]) -> Subject:
    return subjects["conv_net"]()


def expected_from(subject: Subject, feeds: Feeds) -> Outputs:
    names = [output.name for output in subject.proto.graph.output]
    return dict(zip(names, map(np.asarray, evaluator(subject.proto).run(None, dict(feeds))), strict=True))


def assert_same(got: Outputs, expected: Outputs, tolerance: float) -> None:
    assert list(got) == list(expected)
    for name, want in expected.items():
        have = got[name]
        assert have.shape == want.shape, name
        if want.dtype.kind in "OUS":
            assert have.tolist() == want.tolist()
            continue
        assert have.dtype == want.dtype, name
        if want.size:
            wide = want.astype(np.float64)
            allowed = tolerance * max(1.0, float(np.abs(wide).max()))
            assert float(np.abs(have.astype(np.float64) - wide).max()) <= allowed, name


def test_every_backend_answers_a_probe() -> None:
    for name in registry().names():
        found = registry().find(name)
        answer = found().probe()
        assert isinstance(answer, Availability)
        assert found.name == name
        assert answer.present or (answer.reason and answer.remedy)


def test_it_computes_what_the_reference_computes(backend: Backend, lowered, subject: Subject, target) -> None:
    model = subject.model
    if backend.name in subject.refused_by:
        operators = [fault.op for fault in backend.supports(model, target)]
        assert any(subject.refused_by[backend.name] in op for op in operators), operators
        return
    artifact = lowered(model)
    assert [spec.name for spec in artifact.outputs] == [output.name for output in subject.proto.graph.output]
    with backend.open(artifact, threads=1) as session:
        for feeds in subject.feeds:
            assert_same(session.run(feeds), expected_from(subject, feeds), subject.tolerance)


def test_it_finds_nothing_wrong_with_what_it_takes(backend: Backend, subject: Subject, target) -> None:
    if backend.name not in subject.refused_by:
        assert backend.supports(subject.model, target) == []


@pytest.mark.parametrize("name", ["conv_net", "loop", "texts", "brain_floats", "nothing_in_it"])
def test_a_child_process_answers_the_same(backend: Backend, lowered, subjects, name: str) -> None:
    chosen = subjects[name]()
    artifact = lowered(chosen.model)
    with backend.open(artifact, threads=1) as here, open_isolated(backend.name, artifact, threads=1) as there:
        assert there.inputs == here.inputs
        assert there.outputs == here.outputs
        for feeds, streamed in zip(chosen.feeds, there.run_many(chosen.feeds), strict=True):
            assert_same(streamed, here.run(feeds), 0.0)


def test_the_artifact_is_its_files_wherever_they_lie(backend: Backend, lowered, conv: Subject, tmp_path: Path) -> None:
    artifact = lowered(conv.model)
    assert sorted(path.name for path in artifact.folder.iterdir()) == sorted(artifact.files)
    assert artifact.size_bytes == sum(path.stat().st_size for path in artifact.folder.iterdir())
    assert artifact.entry in artifact.files
    assert artifact.versions
    for path in artifact.folder.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()
    moved = tmp_path / "a folder with a space"
    shutil.move(artifact.folder, moved)
    described = {**artifact.to_json(), "folder": str(moved)}
    with backend.open(Artifact.from_json(described), threads=1) as session:
        assert_same(session.run(conv.feeds[0]), expected_from(conv, conv.feeds[0]), conv.tolerance)


@pytest.mark.parametrize("name", ["conv_net", "quantized", "loop", "integer_inputs"])
def test_lowering_twice_gives_the_same_bytes(lowered, subjects, name: str) -> None:
    chosen = subjects[name]()
    one, other = lowered(chosen.model), lowered(chosen.model)
    assert one.files == other.files
    for file in one.files:
        assert (one.folder / file).read_bytes() == (other.folder / file).read_bytes(), file


def test_the_model_is_not_changed_by_lowering(lowered, backend: Backend, conv: Subject, target) -> None:
    model = conv.model
    before = ir.to_proto(model.ir).SerializeToString(deterministic=True)
    lowered(model)
    backend.supports(model, target)
    assert ir.to_proto(model.ir).SerializeToString(deterministic=True) == before


def test_feeds_are_checked_before_the_engine_sees_them(backend: Backend, lowered, conv: Subject) -> None:
    good = conv.feeds[0]["x"]
    wrong: list[dict[str, Array]] = [
        {},
        {"z": good, "x": good},
        {"x": good[0]},
        {"x": good.astype(np.float64)},
        {"x": good[:, :, :3]},
    ]
    with backend.open(lowered(conv.model), threads=1) as session:
        for feeds in wrong:
            with pytest.raises(BadInputError, match=r"input 'x'|unknown input 'z'"):
                session.run(feeds)
        session.run({"x": good})


def test_arrays_of_any_layout_can_be_fed(backend: Backend, lowered, conv: Subject) -> None:
    feed = conv.feeds[0]["x"]
    strided = np.asfortranarray(feed)
    assert not strided.flags.c_contiguous
    locked = feed.copy()
    locked.flags.writeable = False
    reversed_twice = np.ascontiguousarray(feed[:, :, ::-1])[:, :, ::-1]
    with backend.open(lowered(conv.model), threads=1) as session:
        expected = session.run({"x": feed})
        for variant in (strided, locked, reversed_twice):
            assert_same(session.run({"x": variant}), expected, 0.0)


def test_results_are_the_callers_to_keep(backend: Backend, lowered, conv: Subject) -> None:
    with backend.open(lowered(conv.model), threads=1) as session:
        first = session.run(conv.feeds[0])
        kept = {name: array.copy() for name, array in first.items()}
        second = session.run(conv.feeds[1])
        assert_same(first, kept, 0.0)
        for array in second.values():
            array[...] = 0
        assert_same(session.run(conv.feeds[0]), kept, 0.0)


def test_two_sessions_at_once_and_threads_by_number(backend: Backend, lowered, conv: Subject) -> None:
    artifact = lowered(conv.model)
    with backend.open(artifact, threads=1) as one, backend.open(artifact, threads=2) as two:
        for feeds in conv.feeds:
            assert_same(two.run(feeds), one.run(feeds), 1e-5)  # the order of sums may depend on the threads


def test_every_other_way_to_run_it_gives_the_same_answers(
    backend: Backend, lowered, conv: Subject, target: Target
) -> None:
    artifact = lowered(conv.model)
    ways = backend.executions(target, 2)
    assert ways or backend.name not in ("onnxruntime", "openvino")
    for way in ways:
        told = artifact.run_as(way)
        assert told.digest != artifact.digest  # or what was measured of one would pass for the other's
        with backend.open(told, told.threads(2)) as session:
            for feeds in conv.feeds:
                assert_same(session.run(feeds), expected_from(conv, feeds), conv.tolerance)


def test_a_closed_session_says_so(backend: Backend, lowered, conv: Subject) -> None:
    session = backend.open(lowered(conv.model), threads=1)
    session.close()
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.run(conv.feeds[0])


@pytest.mark.parametrize("isolated", [False, True])
def test_a_profile_accounts_for_the_layers(backend: Backend, lowered, conv: Subject, isolated: bool) -> None:
    artifact = lowered(conv.model)
    opened = open_isolated(backend.name, artifact, 1) if isolated else backend.open(artifact, 1)
    with opened as session:
        try:
            layers = session.profile(conv.feeds[0])
        except UnavailableError as error:
            pytest.skip(str(error))
        session.run(conv.feeds[0])
    assert all(isinstance(layer, LayerTime) and layer.name and layer.time_us >= 0 for layer in layers)
    convolutions = [layer for layer in layers if "Conv" in layer.kind]
    assert len(convolutions) == 2
    assert {layer.precision for layer in convolutions} == {"fp32"}
    assert 0 < sum(layer.time_us for layer in layers) < 1e6  # a net of 30 kFLOP; a second would be another unit


def test_a_profile_shows_what_ran_in_integers(backend: Backend, lowered, subjects) -> None:
    chosen = subjects["quantized"]()
    with backend.open(lowered(chosen.model), threads=1) as session:
        try:
            layers = session.profile(chosen.feeds[0])
        except UnavailableError as error:
            pytest.skip(str(error))
    assert [layer.precision for layer in layers if "Conv" in layer.kind] == ["int8"]


def test_unknown_operators_are_named_with_their_domain(backend: Backend, subjects, target) -> None:
    proto = onnx.ModelProto()
    proto.CopyFrom(subjects["dynamic_batch"]().proto)
    for node, (name, op) in zip(
        proto.graph.node, [("first", "Frobnicate"), ("second", "Relu"), ("third", "Quux")], strict=True
    ):
        node.name, node.op_type = name, op
        del node.attribute[:]
        if op != "Relu":
            node.domain = "com.example.ops"
    proto.opset_import.append(onnx.helper.make_opsetid("com.example.ops", 1))
    faults = backend.supports(OnnxModel(ir.from_proto(proto), "odd"), target)
    assert [(fault.op, fault.node) for fault in faults] == [
        ("com.example.ops::Frobnicate", "first"),
        ("com.example.ops::Quux", "third"),
    ]
    assert all(fault.reason for fault in faults)


def test_a_file_that_is_not_a_model_is_one_message(backend: Backend, lowered, conv: Subject) -> None:
    artifact = lowered(conv.model)
    artifact.path.write_bytes(b"nonsense" * 100)
    with pytest.raises(EngineError, match=artifact.entry) as caught:
        backend.open(artifact, threads=1)
    assert "\n" not in caught.value.problem


def test_a_precision_it_does_not_have_is_refused(backend: Backend, conv: Subject, target, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="fp8"):
        backend.lower(conv.model, target, tmp_path, precision="fp8")
    assert list(tmp_path.iterdir()) == []


def test_torch_form_is_refused_in_words(backend: Backend, target) -> None:
    if "torch" in backend.accepts:
        pytest.skip("it takes torch models")
    with pytest.raises(UnavailableError, match="ONNX form"):
        backend.supports(TorchModel(None, None, "net"), target)  # type: ignore[arg-type]
