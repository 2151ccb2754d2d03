"""A net on its way through quantisation-aware training, without the processes around it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from edgewright.compiler.pass_base import Stage
from edgewright.compiler.pipeline import default_pipeline, run_pipeline
from edgewright.compiler.qat import stage
from edgewright.compiler.qat.extraction import save_grids, save_layers, trained_grids
from edgewright.compiler.qat.mapping import Located
from edgewright.compiler.qat.options import QatOptions
from edgewright.compiler.qat.quantizer import Prepared
from edgewright.compiler.qat.wanted import Wanted, load_wanted, save_values, wanted_of
from edgewright.compiler.quantization.planning import QuantizationPlan, StaticOptions, make_plan
from edgewright.compiler.site import Absent, Goal, Site
from edgewright.compiler.torch_stage.arrays import Arrays
from edgewright.compiler.torch_stage.context import StageContext
from edgewright.compiler.torch_stage.exporting import GRIDS_KEY, export_module
from edgewright.core.budget import Budget
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Feeds, Outputs
from edgewright.targets.load import load_targets

from .nets import settled_net

AS_IS = StaticOptions(smooth=0.0, bias_correction=False)


class Listed:
    digest = "2" * 64

    def __init__(self, feeds: list[Feeds]) -> None:
        self.feeds = feeds

    def __len__(self) -> int:
        return len(self.feeds)

    def __iter__(self) -> Iterator[Feeds]:
        return iter(self.feeds)


def answers(model: OnnxModel, feeds: Iterable[Feeds]) -> Iterator[Outputs]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    data = ir.to_proto(model.ir).SerializeToString()
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    for feed in feeds:
        yield dict(zip(names, session.run(None, dict(feed)), strict=True))


@dataclass
class Journey:
    """What the pass knows, and what its stage knows."""

    fresh: Callable[[], nn.Module]
    site: Site
    clean: OnnxModel
    wanted: Wanted
    context: StageContext
    data: np.ndarray

    @cached_property
    def prepared(self) -> tuple[Prepared, Located]:
        """With ranges as calibrated; shared by tests, which leave it as it is."""
        return self.prepare("fixed")

    def prepare(self, ranges: str, batchnorm_until: float = 0.0) -> tuple[Prepared, Located]:
        context = replace(self.context, module=self.fresh())
        options = QatOptions(ranges=ranges, batchnorm_until=batchnorm_until)
        return stage.prepare_module(context, self.wanted, options)[:2]

    def plan_of(self, grids: str, module: nn.Module | None = None) -> QuantizationPlan:
        """The plan of ``module``, of the one that training started from without it, with trained grids."""
        model = self.clean.copy() if module is None else exported_to_onnx(module, self.data)
        model.ir.metadata_props[GRIDS_KEY] = grids
        model = model if module is None else graph_passes(model, self.site)
        return make_plan(model, AS_IS, self.site)

    def leave_behind(self, prepared: Prepared, samples: int = 2) -> str:
        """What the stage leaves of ``prepared``; gives the grids as JSON."""
        save_grids(trained_grids(prepared, self.wanted), self.wanted.unfit, self.context.folder / "grids.json")
        feeds = [{self.wanted.inputs[0]: self.data[index : index + 1]} for index in range(samples)]
        save_layers(prepared, self.wanted, self.context.outputs, feeds, self.context.folder / "layers.npz")
        text = (self.context.folder / "grids.json").read_text()
        assert json.loads(text)
        return text


def exported_to_onnx(module: nn.Module, data: np.ndarray) -> OnnxModel:
    with warnings.catch_warnings():
        # torch 2.13 asks for what it has itself deprecated while it exports.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        return export_module(module, (torch.from_numpy(data[:1]),), "tiny", ())


def graph_passes(model: OnnxModel, site: Site) -> OnnxModel:
    passes = [one for one in default_pipeline(site.target, "int8").passes if one.stage < Stage.QUANTIZE]
    clean, _ = run_pipeline(passes, model, site)
    assert isinstance(clean, OnnxModel)
    return clean


@pytest.fixture(scope="session")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Journey]:
    """``journey(net, target)``: up to the door of the training process; each is made once."""
    made: dict[tuple[str, str], Journey] = {}

    def start(name: str, target: str = "x86-avx512-vnni/onnxruntime") -> Journey:
        if (name, target) not in made:
            made[name, target] = _journey(name, target, tmp_path_factory.mktemp(name))
        return made[name, target]

    return start


def _journey(name: str, target: str, folder: Path) -> Journey:
    torch.set_num_threads(1)
    data = np.random.default_rng(3).normal(size=(48, 3, 8, 8)).astype(np.float32)
    module = settled_net(name)
    state = module.state_dict()

    def fresh() -> nn.Module:
        again = settled_net(name)
        again.load_state_dict(state)
        return again

    absent = Absent("not in this test")
    model = exported_to_onnx(module, data)
    feeds: list[Feeds] = [{model.inputs[0].name: data[index : index + 1]} for index in range(24)]
    site = Site(
        target=load_targets(target)[0],
        original=model,
        samples=Listed(feeds),
        run=answers,
        measure=absent,
        evaluate=absent,
        budget=Budget(),
        seed=0,
        workdir=folder,
    )
    clean = graph_passes(model, site)
    plan = make_plan(clean, AS_IS, site)
    wanted_of(plan).save(folder / "wanted.json")
    wanted = load_wanted(folder / "wanted.json")
    save_values(plan, wanted, feeds, answers, folder / "values.npz")
    arrays = Arrays({model.inputs[0].name: data}, None, None)
    context = StageContext(
        module=fresh(),
        example_inputs=(torch.from_numpy(data[:2]),),
        fresh=fresh,
        original=fresh,
        inputs=model.inputs,
        outputs=model.outputs,
        options=QatOptions(epochs=2, batch=8, augment="none"),
        target=site.target,
        goal=Goal(),
        max_drop=0.01,
        keep=(),
        seed=0,
        threads=1,
        resume=False,
        folder=folder / "stage",
        calibration=arrays,
        train=arrays,
        select=absent,
        metric="accuracy",
        measure=absent,
        drop=absent,
        export=lambda one: exported_to_onnx(one, data),
        progress=lambda _word: None,
        log=lambda _line: None,
        stopping=lambda: False,
        extra={"wanted": folder / "wanted.json", "values": folder / "values.npz"},
    )
    context.folder.mkdir()
    return Journey(fresh, site, clean, wanted, replace(context), data)
