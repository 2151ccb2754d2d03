"""Runs tasks of a recipe by BitBake's own parser and executor: ``tasks.py FOLDER RECIPE [TASK...]``.

``FOLDER/conf/bblayers.conf`` names the layers. Without tasks the recipe is only parsed, and what it says is printed as
JSON. What no package brings is BitBake's server and scheduler: the order of tasks is the caller's.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from types import ModuleType

# BitBake's client of hash servers, which its wheel leaves out and nothing here asks for.
sys.modules["hashserv"] = ModuleType("hashserv")
sys.modules["hashserv.client"] = ModuleType("hashserv.client")

import bb  # noqa: E402
import bb.build  # noqa: E402
import bb.cookerdata  # noqa: E402
import bb.data  # noqa: E402
import bb.utils  # noqa: E402

SHOWN = ("PN", "PV", "LICENSE", "DEPENDS", "SRC_URI", "S", "PACKAGE_ARCH", "RDEPENDS", "LAYERSERIES_COMPAT_edgewright")


def main() -> int:
    folder, recipe, *tasks = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
    os.environ["BBPATH"] = folder
    configuration = bb.cookerdata.CookerConfiguration()
    configuration.env = dict(os.environ)
    builder = bb.cookerdata.CookerDataBuilder(configuration, worker=False)
    builder.parseBaseConfiguration()
    builder.data.setVar("ORIGINAL_PATH", os.environ["PATH"])
    builder.mcdata[""].setVar("ORIGINAL_PATH", os.environ["PATH"])
    d = builder.parseRecipe(recipe, [], "edgewright")
    skipped = d.getVar("__SKIPPED")
    if skipped:
        print(f"skipped: {skipped}", file=sys.stderr)
        return 2
    if not tasks:
        said = {name: d.getVar(name) for name in SHOWN}
        said["RDEPENDS"] = d.getVar(f"RDEPENDS:{d.getVar('PN')}")
        said["RDEPENDS-ptest"] = d.getVar(f"RDEPENDS:{d.getVar('PN')}-ptest")
        said["sha256sum"] = d.getVarFlag("SRC_URI", "sha256sum")
        said["checksums"] = (d.getVarFlag("do_fetch", "file-checksums") or "").split()
        said["network"] = {one: d.getVarFlag(one, "network") for one in bb.build.listtasks(d)}
        ignored = set(d.getVar("BB_BASEHASH_IGNORE_VARS").split())
        dependencies = bb.data.generate_dependencies(d, ignored)
        _, said["hashes"] = bb.data.generate_dependency_hash(*dependencies, ignored, recipe)
        print(json.dumps(said))
        return 0
    bb.utils.disable_network()  # as for every task that does not ask for it
    # Stamps are the scheduler's.
    bb.build.make_stamp = lambda *_: None
    return next((1 for task in tasks if bb.build.exec_task(recipe, task, d)), 0)


if __name__ == "__main__":
    sys.exit(main())
