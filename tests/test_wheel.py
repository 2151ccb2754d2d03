"""What is shipped: the wheel holds the product and nothing else, from a checkout as from its sdist, and works."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from edgewright import __version__

ROOT = Path(__file__).resolve().parent.parent
NOT_SHIPPED = (
    "tests",
    "examples",
    "edgewright/benchmarks/cases",
    "edgewright/benchmarks/chain",
    "edgewright/benchmarks/micro",
    "edgewright/benchmarks/peers",
    "edgewright/benchmarks/records",
    "edgewright/benchmarks/results",
    "edgewright/benchmarks/studies",
)
SHIPPED = (".py", ".toml", ".css", ".j2", ".cmake", ".sh")
FLOORS = ("core", "targets", "compiler", "backends", "benchmarks", "driver", "cli")

LIST_PLUG_INS = """
from edgewright.backends._base import registry as backends
from edgewright.benchmarks.metrics._base import registry as metrics
from edgewright.compiler.pass_base import registry as passes
for registry in (backends, metrics, passes):
    print(*registry().names())
"""


def succeed(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(source: Path, out: Path, *kinds: str) -> None:
    succeed(sys.executable, "-m", "build", "--no-isolation", *kinds, "--outdir", out, source, cwd=out)


def members(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as file:
        return sorted(file.namelist())


@pytest.fixture(scope="module")
def checkout(repository_files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with its links: building writes beside the sources."""
    folder = tmp_path_factory.mktemp("checkout")
    for source in repository_files:
        copy = folder / source.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    for link in (ROOT / "src" / "edgewright").iterdir():
        if link.is_symlink():
            (folder / "src" / "edgewright" / link.name).symlink_to(link.readlink())
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build(checkout, out, "--wheel")
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_every_product_file(wheel: Path, checkout: Path) -> None:
    """Sources as git sees them, followed through the links; a file that setuptools forgets is a bug only users see."""
    expected = set()
    for floor in (*FLOORS, "cmake"):
        folder = checkout / "src" / "edgewright" / floor
        for path in folder.rglob("*"):
            name = PurePosixPath("edgewright", floor, *path.relative_to(folder).parts).as_posix()
            if path.suffix in SHIPPED and not name.startswith(NOT_SHIPPED):
                expected.add(name)
    assert len(expected) > 20
    assert expected - set(members(wheel)) == set()


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    names = members(wheel)
    tops = {PurePosixPath(name).parts[0] for name in names}
    assert tops == {"edgewright", f"edgewright-{__version__}.dist-info"}
    assert [name for name in names if name.startswith(NOT_SHIPPED)] == []
    kinds = {PurePosixPath(name).suffix for name in names if name.startswith("edgewright/")}
    assert kinds <= {*SHIPPED, ".typed"}
    licences = [name for name in names if "/licenses/" in name]
    assert [PurePosixPath(name).name for name in licences] == ["LICENSE", "third-party-notices.md"]


def test_the_wheel_from_the_sdist_is_the_same(wheel: Path, checkout: Path, tmp_path: Path) -> None:
    build(checkout, tmp_path)  # makes the sdist, then the wheel from it
    (again,) = tmp_path.glob("*.whl")
    assert members(again) == members(wheel)
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        different = [name for name in members(wheel) if first.read(name) != second.read(name)]
    assert different == []


def test_a_checkout_without_links_is_refused_with_the_command_that_mends_it(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "src" / "edgewright").mkdir(parents=True)
    for name in ("setup.py", "pyproject.toml"):
        (tmp_path / name).write_bytes((checkout / name).read_bytes())
    (tmp_path / "src" / "edgewright" / "compiler").write_text("../../compiler")  # what git writes without symlinks
    done = subprocess.run(
        [sys.executable, "setup.py", "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "git config core.symlinks true && git checkout -- src" in done.stderr


def test_the_installed_wheel_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Installed alone into a folder that comes first on the path; the libraries are those of this environment."""
    site = tmp_path / "site"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")
    succeed(*pip, "--target", site, wheel, cwd=tmp_path)
    env = {**os.environ, "PYTHONPATH": str(site)}
    where = succeed(sys.executable, "-c", "import edgewright; print(edgewright.__file__)", cwd=tmp_path, env=env)
    assert Path(where.strip()).is_relative_to(site)
    assert succeed(site / "bin" / "edgewright", "--version", cwd=tmp_path, env=env) == f"edgewright {__version__}\n"
    listing = succeed(sys.executable, "-c", LIST_PLUG_INS, cwd=tmp_path, env=env)
    assert listing == succeed(sys.executable, "-c", LIST_PLUG_INS, cwd=tmp_path), "it knows other plug-ins"
