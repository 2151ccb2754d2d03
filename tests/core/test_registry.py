from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from edgewright.backends import registry
from edgewright.core.errors import UsageError


def third_party(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    point = EntryPoint(name, value, "edgewright.backends")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point] if group == point.group else [])


def test_built_in_plugins_are_found_by_listing_and_infrastructure_is_not() -> None:
    assert {"onnxruntime", "openvino", "reference"} <= set(registry().names())
    assert not any(name.startswith("-") or name == "base" for name in registry().names())


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        registry().find("onnxruntim")
    assert "onnxruntime" in caught.value.remedy


def test_two_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    third_party(monkeypatch, "onnxruntime", "other.package:Backend")
    with pytest.raises(UsageError, match=r"two backend plug-ins are called 'onnxruntime'.*other\.package:Backend"):
        registry().names()


@pytest.mark.parametrize(
    ("value", "says"),
    [("no_such_package:Backend", "cannot be loaded: ModuleNotFoundError"), ("json:dumps", "is not a Backend")],
)
def test_a_broken_third_party_is_named(value: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    third_party(monkeypatch, "exotic", value)
    with pytest.raises(UsageError, match=says):
        registry().find("exotic")
