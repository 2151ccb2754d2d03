"""The Python face: what ``import edgewright`` offers, with the command line's meanings.

Reading a bundle takes the standard library alone, so whatever an engine needs is imported inside the methods.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.core import bundle as core_bundle
from edgewright.core.budget import Budget
from edgewright.core.bundle import Manifest
from edgewright.core.errors import BadInputError, LimitMissedError

if TYPE_CHECKING:
    from edgewright.backends import Session
    from edgewright.driver.blame import BlameReport
    from edgewright.driver.explain import Explanation
    from edgewright.driver.verify import VerifyReport


@dataclass(frozen=True, eq=False)
class Bundle:
    """A compiled model on disk."""

    path: Path
    digest: str
    manifest: Manifest
    key: Path | None = None
    """The public key whose signature it must have, whenever it is opened."""

    @classmethod
    def read(cls, path: Path | str, key: Path | str | None = None) -> Bundle:
        """Opens a bundle or its unzipped folder.

        Args:
            path: the bundle.
            key: a public key that must have signed it (``docs/signing.md``).

        Raises:
            UsageError: there is nothing at ``path`` or ``key``.
            BadInputError: it is damaged, not a bundle, or has no good signature of ``key``.
            UnavailableError: ``key`` is given and ``cryptography`` is not installed.
        """
        key = None if key is None else Path(key)
        found = core_bundle.open_bundle(Path(path), key)
        return cls(Path(path), found.digest, found.manifest, key)

    @classmethod
    def _made(cls, path: Path) -> Bundle:
        """A bundle that was written a moment ago, which nobody can have signed."""
        found = core_bundle.open_bundle(path, made_here=True)
        return cls(path, found.digest, found.manifest)

    def _opened(self) -> core_bundle.Bundle:
        """The same bundle again: what was checked must be what is loaded."""
        found = core_bundle.open_bundle(self.path, self.key)
        if found.digest != self.digest:
            raise BadInputError(f"{self.path} is another bundle than was read", "Read it again.")
        return found

    def sign(self, key: Path | str, out: Path | str | None = None) -> Path:
        """Signs it, in a file beside it; signatures of other keys in that file stay.

        Args:
            key: an Ed25519 private key; EDGEWRIGHT_KEY_PASSWORD has its password, if any.
            out: the file of signatures; by default the bundle's name with ``.sig`` appended.

        Returns:
            The file of signatures.

        Raises:
            UsageError, BadInputError: no such key, or a bundle that was changed.
            UnavailableError: ``cryptography`` is not installed.
        """
        from edgewright.driver.sign import sign_bundle

        where = None if out is None else Path(out)
        return sign_bundle(self.path, Path(key), where, digest=self.digest).signature

    def extract_engine(self, into: Path | str) -> Path:
        """Copies the engine's files, each with the digest that the manifest has, for a runtime of your own.

        Args:
            into: a folder that has none of them; it is made.

        Returns:
            The file to open.

        Raises:
            BadInputError: a bundle that was changed since it was read.
            IOFailureError: the folder cannot be written.
        """
        return self._opened().extract_engine(Path(into))

    def open(self, threads: int = 1, *, trust_native_code: bool = False) -> Session:
        """A session in a child process; use it as a context manager.

        Args:
            threads: compute threads, where the engine runs on a CPU.
            trust_native_code: open an engine that is machine code, which runs when it is opened.

        Raises:
            UnavailableError: there is no engine yet (:meth:`finish`), or this machine cannot open it.
            BadInputError: machine code that is not trusted.
            EngineError: when the engine refuses the artifact.
        """
        from edgewright.backends import open_isolated, registry, require_trust
        from edgewright.benchmarks.preparing import artifact_of, require_built, require_fit

        bundle = self._opened()
        require_built(bundle)
        backend = registry().find(self.manifest.backend.name)()
        require_trust(backend, trust_native_code)
        with tempfile.TemporaryDirectory(prefix="edgewright-open-") as folder:
            bundle.extract_engine(Path(folder))
            artifact = artifact_of(bundle, Path(folder))
            require_fit(backend, artifact)
            return open_isolated(backend.name, artifact, threads)

    def verify(self, *, trust_native_code: bool = False) -> VerifyReport:
        """Proves the bundle on this machine."""
        from edgewright.driver.verify import verify_bundle

        return verify_bundle(self.path, key=self.key, trust_native_code=trust_native_code)

    def sbom(self) -> Mapping[str, object]:
        """Its bill of materials: CycloneDX 1.6 JSON with a model card, as ``edgewright sbom`` prints it.

        Raises:
            BadInputError: a bundle that was changed since it was read.
        """
        from edgewright.driver.sbom import sbom_of

        return sbom_of(self._opened())

    def explain(self, threads: int | None = None, *, trust_native_code: bool = False) -> Explanation:
        """Where its time goes on this machine, layer by layer, and what could help.

        Args:
            threads: compute threads; None is the target's number, at most this machine's cores.
            trust_native_code: open an engine that is machine code, which runs when it is opened.

        Raises:
            TargetAbsentError: this machine is not what it is for.
            UnavailableError: its runtime is not installed, or does not show what it executes.
        """
        from edgewright.driver.explain import explain_bundle

        return explain_bundle(self.path, threads, key=self.key, trust_native_code=trust_native_code)

    def blame(
        self,
        against: str | Path,
        *,
        data: str | Path | None = None,
        eval_data: str | Path | None = None,
        metric: str | None = None,
        samples: int = 8,
    ) -> BlameReport:
        """Which pass, then which layer, costs it accuracy.

        Args:
            against: the model it was compiled from.
            data: samples to run its passes again on; without any the golden ones stand for the whole.
            eval_data: what accuracy is judged on.
            metric: a metric's name, or ``module:function``.
            samples: what errors of answers and layers are over.

        Raises:
            UsageError: ``against`` is another model.
            UnavailableError: nothing of its engine can be looked into without data.
        """
        from edgewright.driver.blame import BlameRequest, blame  # a device opens bundles without the compiler installed

        texts = [None if one is None else str(one) for one in (data, eval_data)]
        request = BlameRequest(
            str(self.path), against=str(against), data=texts[0], eval_data=texts[1], metric=metric, samples=samples
        )
        return blame(request, is_bundle=True)

    def finish(self, out: Path | str, *, trust_native_code: bool = False) -> Bundle:
        """Builds, on the device itself, the engine that could not be built elsewhere, and proves and measures it.

        Args:
            out: the new bundle.
            trust_native_code: build from what can run code when it is read, such as a program of torch's.

        Returns:
            The bundle written to ``out``; it names this one as its parent.

        Raises:
            LimitMissedError: it is off the original's answers; what was built has ``.missed`` in its name.
            TargetAbsentError: this machine is not the device.
            UnavailableError: what builds the engine is not installed.
            BadInputError: what it is built from can run code, and is not trusted.
        """
        from edgewright.driver.finish import finish_bundle

        report = finish_bundle(self.path, Path(out), key=self.key, trust_native_code=trust_native_code)
        if report.problem:
            raise LimitMissedError(report.problem, report.remedy)
        return Bundle._made(report.out)


def compile(  # noqa: A001 - the word users know; nobody imports the builtin's namesake unqualified
    model: str | Path,
    *,
    target: str,
    out: Path | str,
    data: str | Path | None = None,
    eval_data: str | Path | None = None,
    train_data: str | Path | None = None,
    keep: tuple[str, ...] = (),
    resume: bool = True,
    work: Path | str | None = None,
    metric: str | None = None,
    budget: Budget | None = None,
    precision: str = "auto",
    shapes: tuple[str, ...] = (),
    recipe: Path | str | None = None,
    seed: int = 0,
    cache: bool = True,
    log: Callable[[str], None] = lambda _line: None,
) -> Bundle:
    """Compiles ``model`` for one target and returns the bundle written to ``out``.

    Args:
        model: ``file.onnx``, ``file.pt2`` or ``module:factory``.
        target: ``hardware/runtime``, hardware alone, or a TOML file.
        data: calibration data, or all there is: ``file.npz``, a folder, ``module:factory``.
        eval_data: what accuracy is judged on.
        train_data: what pruning is recovered from, and what trains for int8.
        keep: glob patterns of modules that must not lose channels.
        resume: go on from checkpoints of the very same inputs.
        work: where checkpoints and trained weights are kept; by default beside ``out``, until the bundle is there.
        cache: take the bundle from the user's cache where every input is as it was, and keep what is compiled.
        log: takes each line of talk.

    Raises:
        LimitMissedError: a limit was missed; the best found is beside ``out`` with ``.missed`` in its name.
        EdgewrightError: anything else that is wrong, in one message.
    """
    from edgewright.driver.cache_compile import compile_cached
    from edgewright.driver.request import CompileRequest

    request = CompileRequest(
        model=str(model),
        targets=(target,),
        out=Path(out),
        data=None if data is None else str(data),
        eval_data=None if eval_data is None else str(eval_data),
        train_data=None if train_data is None else str(train_data),
        keep=keep,
        resume=resume,
        work=None if work is None else Path(work),
        metric=metric,
        budget=budget or Budget(),
        precision=precision,
        shapes=shapes,
        recipe=None if recipe is None else Path(recipe),
        seed=seed,
        cache=cache,
        log=log,
    )
    (report,) = compile_cached(request).targets
    if report.problem or report.bundle is None:
        raise LimitMissedError(report.problem, report.remedy)
    return Bundle._made(report.bundle)  # noqa: SLF001 - of this module
