"""`python benchmarks/cases list | VERB NAME... [--into DIR]`; VERB is build, check, prove or engines; and `table`.

`prove` takes `[--precision int8|auto] [--record FILE] [--bundles DIR]`; `table` prints what `--record` holds;
`engines` builds for NVIDIA GPUs that are not here, and takes `[--engines FILE]` for its record.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

PACKAGE = "edgewright_cases"


def load_cases() -> ModuleType:
    """The package beside this file as `edgewright_cases`, whatever the parents of its folder are called."""
    here = Path(__file__).resolve().parent
    if PACKAGE not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            PACKAGE, here / "__init__.py", submodule_search_locations=[str(here)]
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"{here} is not a package")
        module = importlib.util.module_from_spec(spec)
        sys.modules[PACKAGE] = module
        spec.loader.exec_module(module)
    return importlib.import_module(f"{PACKAGE}.console")


if __name__ == "__main__":
    # Run by path, Python puts this folder on the path, where magika.py would stand before the package of that name.
    sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]
    sys.exit(load_cases().main(sys.argv[1:]))
