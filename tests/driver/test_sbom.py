from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import edgewright
from edgewright.core.bundle import open_bundle
from edgewright.core.files import sha256_file
from edgewright.driver.sbom import NOTICES, sbom_bytes, write_sbom
from tests.conftest import write_mlp_bundle

if TYPE_CHECKING:
    from edgewright.core.tensors import Feeds
    from tests.conftest import RunCli

ROOT = Path(__file__).resolve().parent.parent.parent
MEASURED = {
    "metric": "top1",
    "reference": 0.75,
    "value": 0.7,
    "drop": 0.05,
    "n": 40,
    "data_digest": "d" * 64,
    "mark": "measured",
}


@pytest.fixture
def bundle(mlp_path: Path, mlp_feeds: list[Feeds], tmp_path: Path) -> Path:
    return write_mlp_bundle(mlp_path, mlp_feeds, tmp_path / "mlp.ewb", accuracy=MEASURED)


def checked(path: Path) -> dict[str, Any]:
    """The document of a bundle, which the official schema and its formats have let through."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    data = sbom_bytes(open_bundle(path))
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode())
    assert problem is None, problem
    found: dict[str, Any] = json.loads(data)
    refs = list(refs_of(found))
    assert len(refs) == len(set(refs))
    assert {ref for one in found["dependencies"] for ref in (one["ref"], *one.get("dependsOn", []))} <= set(refs)
    return found


def refs_of(part: object) -> Iterator[str]:
    """Every name that the parts of a document give themselves."""
    if isinstance(part, list):
        for one in part:
            yield from refs_of(one)
    elif isinstance(part, dict):
        yield from [part["bom-ref"]] if "bom-ref" in part else []
        for one in part.values():
            yield from refs_of(one)


def test_it_is_valid_and_says_what_the_bundle_states(bundle: Path) -> None:
    found = checked(bundle)
    whole = open_bundle(bundle)
    subject = found["metadata"]["component"]
    assert subject["hashes"] == [{"alg": "SHA-256", "content": sha256_file(bundle)}]
    stated = {row["name"]: row["value"] for row in subject["properties"]}
    assert stated["edgewright:bundle:digest"] == whole.digest
    assert stated["edgewright:precision"] == "fp32"
    (ancestor,) = subject["pedigree"]["ancestors"]
    assert ancestor["properties"] == [{"name": "edgewright:model:digest", "value": whole.manifest.model.digest}]
    files = {one["name"]: one["hashes"][0]["content"] for one in subject["components"]}
    assert files == {record.path: record.sha256 for record in whole.manifest.files}
    assert subject["modelCard"]["modelParameters"]["inputs"] == [{"format": "x: float32 Nx16"}]


def test_accuracy_is_there_where_it_was_measured(bundle: Path, mlp_path: Path, mlp_feeds: list[Feeds]) -> None:
    card = checked(bundle)["metadata"]["component"]["modelCard"]
    rows = card["quantitativeAnalysis"]["performanceMetrics"]
    assert [(row["type"], row["value"]) for row in rows] == [("top1", "0.7"), ("top1", "0.75"), ("top1 lost", "0.05")]
    assert "measured" in rows[0]["slice"]
    (data,) = card["modelParameters"]["datasets"]
    assert data["contents"]["properties"][0] == {"name": "edgewright:data:digest", "value": "d" * 64}
    given = {"calibrate": "a" * 64, "select": "b" * 64, "prove": "d" * 64, "train": None}
    write_mlp_bundle(mlp_path, mlp_feeds, bundle, accuracy=MEASURED, data=given)
    sets = checked(bundle)["metadata"]["component"]["modelCard"]["modelParameters"]["datasets"]
    assert [(one["name"], one["contents"]["properties"][0]["value"][0]) for one in sets] == [
        ("calibrate", "a"),
        ("select", "b"),
        ("prove", "d"),
    ]
    unmeasured = {**MEASURED, "value": None, "drop": None, "mark": "unmeasured"}
    write_mlp_bundle(mlp_path, mlp_feeds, bundle, accuracy=unmeasured)
    rows = checked(bundle)["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert [row["slice"] for row in rows] == ["the original model on 40 samples of the proof data"]
    write_mlp_bundle(mlp_path, mlp_feeds, bundle)
    assert "quantitativeAnalysis" not in checked(bundle)["metadata"]["component"]["modelCard"]


def test_the_same_bundle_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    write_sbom(bundle, tmp_path / "one.json")
    write_sbom(bundle, tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    folder = tmp_path / "unzipped"
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    zipped, unzipped = checked(bundle), checked(folder)
    del zipped["metadata"]["component"]["hashes"]  # of the file, which a folder has not
    assert zipped == unzipped
    assert edgewright.Bundle.read(folder).sbom() == unzipped


def test_another_bundle_has_another_number(bundle: Path, mlp_path: Path, mlp_feeds: list[Feeds]) -> None:
    before = checked(bundle)["serialNumber"]
    write_mlp_bundle(mlp_path, mlp_feeds, bundle, name="another")
    assert checked(bundle)["serialNumber"] != before


def test_times_come_from_the_build_alone(
    bundle: Path, mlp_path: Path, mlp_feeds: list[Feeds], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "timestamp" not in checked(bundle)["metadata"]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert "timestamp" not in checked(bundle)["metadata"]
    write_mlp_bundle(mlp_path, mlp_feeds, bundle)
    assert checked(bundle)["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"


def test_foreign_names_and_a_parent_stay_valid(mlp_path: Path, mlp_feeds: list[Feeds], tmp_path: Path) -> None:
    name = "n\x1b[31m\u202e<script>\n" + "x" * 500
    path = write_mlp_bundle(mlp_path, mlp_feeds, tmp_path / "odd.ewb", name=name, parent="a" * 64)
    subject = checked(path)["metadata"]["component"]
    assert subject["name"] == name
    assert [one["bom-ref"] for one in subject["pedigree"]["ancestors"]] == ["original-model", "parent-bundle"]


def packages(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in found["components"]}


def test_a_licence_is_the_packages_own_or_our_notices_or_absent(
    bundle: Path, mlp_path: Path, mlp_feeds: list[Feeds]
) -> None:
    mine, other = edgewright.__version__, "0.0.0+elsewhere"
    versions = {"edgewright": mine, "openvino": other, "tensorrt_rtx": "1", "strange": "2"}
    backend = {**open_bundle(bundle).manifest.to_json()["backend"], "versions": versions}  # type: ignore[dict-item]
    write_mlp_bundle(mlp_path, mlp_feeds, bundle, backend=backend)
    found = packages(checked(bundle))
    declared = {"expression": "Apache-2.0", "acknowledgement": "declared"}
    assert found["edgewright"]["licenses"] == [declared]
    assert found["edgewright"]["scope"] == "excluded"
    assert found["openvino"]["licenses"] == [{**declared, "acknowledgement": "concluded"}]
    assert found["openvino"]["purl"] == "pkg:pypi/openvino@0.0.0%2Belsewhere"
    assert found["tensorrt_rtx"]["licenses"][0]["license"]["name"] == NOTICES["tensorrt_rtx"].terms
    assert not {"licenses", "purl"} & found["strange"].keys()


def test_what_we_say_of_licences_is_what_the_notices_say() -> None:
    notices = (ROOT / "docs" / "third-party-notices.md").read_text("utf-8")
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in notices.splitlines() if row.startswith("| ")]
    said = {name.strip().lower(): row[2] for row in rows if len(row) == 3 for name in row[0].split(",")}
    names = {"onnxruntime": "onnx runtime", "torch": "pytorch", "tensorrt_rtx": "tensorrt-rtx (`tensorrt-rtx-cu13`)"}
    for package, notice in NOTICES.items():
        if package == "edgewright":
            assert notice.expression == metadata.metadata("edgewright")["License-Expression"]
        elif notice.terms is not None:
            assert notice.terms in said[names[package]]
        else:
            assert said[names.get(package, package)] == notice.expression, package


def test_the_installed_command_gives_what_compile_wrote(run_cli: RunCli, mlp_path: Path, tmp_path: Path) -> None:
    words = (mlp_path, "--target", "native/onnxruntime", "--precision", "fp32", "-o", tmp_path / "net.ewb")
    cache = {"EDGEWRIGHT_CACHE_SIZE": "1GB", "EDGEWRIGHT_CACHE_DIR": str(tmp_path / "cache")}
    made = run_cli("compile", *words, "--sbom", tmp_path / "net.cdx.json", env=cache)
    assert made.returncode == 0, made.stderr
    rule = ("--sbom", tmp_path / "kept.json", "--depfile", tmp_path / "net.d")
    kept = run_cli("compile", *words, *rule, env=cache)
    assert "from the cache" in kept.stdout + kept.stderr
    assert (tmp_path / "kept.json").read_bytes() == (tmp_path / "net.cdx.json").read_bytes()
    assert ".json" not in (tmp_path / "net.d").read_text()
    again = run_cli("sbom", tmp_path / "net.ewb")
    assert again.returncode == 0, again.stderr
    assert again.stdout == (tmp_path / "net.cdx.json").read_text()
    found = packages(checked(tmp_path / "net.ewb"))
    assert found.keys() == {"edgewright", "onnxruntime"}
    assert all(one["licenses"] and one["purl"] for one in found.values())
    written = run_cli("sbom", tmp_path / "net.ewb", "-o", tmp_path / "again.json")
    assert (written.stdout, (tmp_path / "again.json").read_text()) == ("", again.stdout)
    several = run_cli(
        "compile", mlp_path, "--target", "native", "--target", "rpi5", "-o", tmp_path / "out", "--sbom", tmp_path / "x"
    )
    assert several.returncode == 2
    over = run_cli("sbom", tmp_path / "net.ewb", "-o", tmp_path / "net.ewb")
    assert over.returncode == 2
