"""The passes of a candidate, run again one at a time, end in the very model that was lowered."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgewright.core.errors import EngineError
from edgewright.core.workdir import working_folder
from edgewright.driver.choice import Choice, float_choices, int8_choices
from edgewright.driver.compile import open_job, open_lane
from edgewright.driver.outputs import output_groups
from edgewright.driver.request import CompileRequest
from edgewright.driver.waypoints import waypoints
from edgewright.driver.workshop import Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def workshop(conv_net_path: Path, conv_net_data: Path, tmp_path: Path) -> Iterator[Workshop]:
    request = CompileRequest(
        model=str(conv_net_path), targets=("native/onnxruntime",), out=tmp_path / "net.ewb", data=str(conv_net_data)
    )
    groups = output_groups(request)
    with working_folder() as folder:
        job, _ = open_job(request, groups, folder)
        yield open_lane(job, groups[0].targets[0]).workshop


def choices(workshop: Workshop) -> list[Choice]:
    return [float_choices(workshop.target)[0], int8_choices(workshop.target)[0]]


@pytest.mark.parametrize("place", [0, 1])
def test_each_pass_starts_where_the_last_one_ended_and_the_end_is_what_is_shipped(
    workshop: Workshop, place: int
) -> None:
    built = workshop.build(choices(workshop)[place])
    found = waypoints(workshop, built)
    names = [one.name for one in found]
    assert names == [entry.pass_name for entry in built.journal if entry.changed and not entry.rejected]
    assert "fold-batchnorm" in names
    assert ("static-quantize" in names) == (place == 1)
    assert found[0].before is workshop.site.original
    assert all(before.after is after.before for before, after in itertools.pairwise(found))
    assert found[-1].after.digest == built.model.digest
    assert [one.name for one in found if one.lossy] == ["static-quantize"] * place


def test_a_pass_that_was_rejected_is_left_out(workshop: Workshop) -> None:
    """And the model without it is not the one that is shipped, which is noticed."""
    built = workshop.build(choices(workshop)[0])
    journal = tuple(
        replace(entry, rejected="it broke the model") if entry.pass_name == "fold-batchnorm" else entry
        for entry in built.journal
    )
    with pytest.raises(EngineError, match="make another model"):
        waypoints(workshop, replace(built, journal=journal))
