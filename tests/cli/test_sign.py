from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import edgewright
from edgewright.core.bundle import open_bundle
from edgewright.core.bundle.keys import PASSWORD_VARIABLE
from edgewright.core.bundle.signature import REQUIRED_KEY_VARIABLE
from edgewright.core.errors import BadInputError
from tests.conftest import write_mlp_bundle

if TYPE_CHECKING:
    from edgewright.core.tensors import Feeds
    from tests.cli.conftest import RunHere
    from tests.conftest import RunCli


@pytest.fixture
def bundle(mlp_path: Path, mlp_feeds: list[Feeds], tmp_path: Path) -> Path:
    return write_mlp_bundle(mlp_path, mlp_feeds, tmp_path / "mlp.ewb")


@pytest.fixture
def key(run_here: RunHere, tmp_path: Path) -> Path:
    done = run_here("sign", "--new-key", tmp_path / "release")
    assert done.returncode == 0, done.stderr
    assert PASSWORD_VARIABLE in done.stderr
    return tmp_path / "release.pem"


def test_the_installed_command_makes_a_key_signs_and_verifies(
    run_cli: RunCli, mlp_path: Path, mlp_feeds: list[Feeds], tmp_path: Path
) -> None:
    write_mlp_bundle(mlp_path, mlp_feeds, tmp_path / "mlp.ewb")
    made = run_cli("sign", "--new-key", "release", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    keys = json.loads(made.stdout)
    signed = run_cli("sign", "mlp.ewb", "--key", keys["private"], cwd=tmp_path)
    assert signed.returncode == 0, signed.stderr
    assert signed.stdout == f"mlp.ewb.sig: signed with key {keys['key_id']}\n"
    verified = run_cli("verify", "mlp.ewb", "--key", keys["public"], cwd=tmp_path)
    assert verified.returncode == 0, verified.stderr
    assert verified.stdout.splitlines()[0].split() == ["ok", "signature:", "key", "id", keys["key_id"]]


def test_two_keys_sign_one_after_the_other(run_here: RunHere, bundle: Path, key: Path, tmp_path: Path) -> None:
    run_here("sign", "--new-key", tmp_path / "next")
    first = json.loads(run_here("sign", bundle, "--key", key, "--json").stdout)
    assert first["signers"] == [first["key_id"]]
    again = run_here("sign", bundle, "--key", tmp_path / "next.pem")
    assert "beside 1 other" in again.stdout
    for name in ("release", "next"):
        assert open_bundle(bundle, tmp_path / f"{name}.pub.pem").signed_by


def test_a_bundle_that_was_compiled_anew_is_signed_anew(
    run_here: RunHere, bundle: Path, key: Path, mlp_path: Path, mlp_feeds: list[Feeds]
) -> None:
    run_here("sign", bundle, "--key", key)
    write_mlp_bundle(mlp_path, mlp_feeds, bundle, name="later")
    assert run_here("verify", bundle, "--key", key.with_name("release.pub.pem")).returncode == 65
    signed = run_here("sign", bundle, "--key", key, "--json")
    assert "another bundle" in json.loads(signed.stdout)["notes"][0]
    assert open_bundle(bundle, key.with_name("release.pub.pem")).signed_by


def test_a_key_that_others_can_read_is_told(run_here: RunHere, bundle: Path, key: Path) -> None:
    key.chmod(0o644)
    signed = run_here("sign", bundle, "--key", key)
    assert signed.returncode == 0
    assert "warning" in signed.stderr
    assert "chmod 600" in signed.stderr


def test_nothing_is_signed_that_is_not_whole(run_here: RunHere, bundle: Path, key: Path) -> None:
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    assert run_here("sign", bundle, "--key", key).returncode == 65
    assert not bundle.with_name("mlp.ewb.sig").exists()


def test_what_is_no_signature_is_not_written_over(run_here: RunHere, bundle: Path, key: Path, tmp_path: Path) -> None:
    diary = tmp_path / "diary.txt"
    diary.write_text("dear diary")
    assert run_here("sign", bundle, "--key", key, "-o", diary).returncode == 65
    assert diary.read_text() == "dear diary"
    for out in (bundle, key):
        before = out.read_bytes()
        assert run_here("sign", bundle, "--key", key, "-o", out).returncode == 2
        assert out.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [(), ("{bundle}",), ("--key", "{key}"), ("--new-key", "new", "--key", "{key}"), ("{bundle}", "--new-key", "new")],
)
def test_half_a_command_says_what_is_missing(
    words: tuple[str, ...], run_here: RunHere, bundle: Path, key: Path, tmp_path: Path
) -> None:
    done = run_here("sign", *(word.format(bundle=bundle, key=key) for word in words))
    assert done.returncode == 2
    assert not (tmp_path / "new.pem").exists()


def test_every_verb_that_opens_a_bundle_takes_the_key(
    run_here: RunHere, bundle: Path, key: Path, tmp_path: Path
) -> None:
    """Each refuses the bundle of a stranger before it looks at anything else."""
    run_here("sign", bundle, "--key", key)
    run_here("sign", "--new-key", tmp_path / "stranger")
    stranger = tmp_path / "stranger.pub.pem"
    for words in (
        ("verify", bundle),
        ("inspect", bundle),
        ("explain", bundle),
        ("bench", bundle),
        ("bench", bundle, "--self-test"),
        ("bench", bundle, "--against", bundle),
        ("gate", bundle, "--against", bundle),
        ("finish", bundle, "-o", tmp_path / "finished.ewb"),
    ):
        done = run_here(*words, "--key", stranger)
        assert done.returncode == 65, (words, done.stdout, done.stderr)
        assert "is signed by" in done.stdout + done.stderr
    assert run_here("inspect", bundle, "--key", stranger.with_name("release.pub.pem")).returncode == 0


def test_a_gate_asks_for_the_signature_of_the_old_bundle_too(
    run_here: RunHere, bundle: Path, key: Path, tmp_path: Path
) -> None:
    run_here("sign", bundle, "--key", key)
    old = Path(shutil.copy(bundle, tmp_path / "old.ewb"))
    done = run_here("gate", bundle, "--against", old, "--key", key.with_name("release.pub.pem"))
    assert done.returncode == 65
    assert "old.ewb is not signed" in done.stdout


def test_a_machine_demands_its_key_of_every_verb_and_lets_sign(
    run_here: RunHere, bundle: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REQUIRED_KEY_VARIABLE, str(key.with_name("release.pub.pem")))
    for words in (
        ("inspect", bundle),
        ("run", bundle, "--input", tmp_path / "none.npz"),
        ("embed", bundle, "-o", tmp_path / "c"),
    ):
        done = run_here(*words)
        assert (done.returncode, "is not signed" in done.stderr) == (65, True), (words, done.stderr)
    assert run_here("sign", bundle, "--key", key).returncode == 0
    assert run_here("inspect", bundle).returncode == 0


def test_a_model_has_no_signature(run_here: RunHere, mlp_path: Path, key: Path) -> None:
    done = run_here("inspect", mlp_path, "--key", key.with_name("release.pub.pem"))
    assert done.returncode == 2
    assert "only bundles are signed" in done.stderr


def test_python_signs_and_demands(bundle: Path, key: Path, mlp_path: Path, mlp_feeds: list[Feeds]) -> None:
    public = key.with_name("release.pub.pem")
    with pytest.raises(BadInputError, match="is not signed"):
        edgewright.Bundle.read(bundle, key=public)
    assert edgewright.Bundle.read(bundle).sign(key) == bundle.with_name("mlp.ewb.sig")
    read = edgewright.Bundle.read(bundle, key=public)
    assert read.verify().checks[0].name == "signature"
    with read.open() as session:
        assert session.run(mlp_feeds[0])["y"].shape == (1, 4)
    whole = bundle.read_bytes()
    write_mlp_bundle(mlp_path, mlp_feeds, bundle, name="another")
    with pytest.raises(BadInputError, match="signs another bundle"):
        read.open()
    with pytest.raises(BadInputError, match="another bundle than was read"):
        read.sign(key)
    bundle.write_bytes(whole)
    bundle.with_name("mlp.ewb.sig").unlink()
    with pytest.raises(BadInputError, match="is not signed"):
        read.extract_engine(bundle.with_name("engine"))
