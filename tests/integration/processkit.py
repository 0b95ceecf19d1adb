# SPDX-License-Identifier: Apache-2.0
"""The process of a bundle: set it, and look at it."""
import pathlib
import re

from bundles import C1, said

ALL_CAPS = ["bounding", "effective", "inheritable", "permitted", "ambient"]


def process(bundle, **keys):
    bundle.edit(lambda c: c["process"].update(keys))


def refused(bundle, why, command="create"):
    done = bundle.hull(command, C1, check=False)
    assert done.returncode == 1 and why in said(done), said(done)
    assert not (bundle.root / C1).exists()
    assert not list(pathlib.Path("/sys/fs/cgroup").glob(f"*/hull/{C1}"))


def status(bundle, *names):
    bundle.args("cat", "/proc/self/status")
    text = bundle.hull("run", C1).stdout
    return [re.search(rf"^{name}:\s*(.*)$", text, re.M)[1].strip() for name in names]


def log_of(bundle, *args):
    """A run with a log of its own: what it warns of."""
    log = bundle.path / "hull.log"
    done = bundle.hull(*args, options=("--log", log), check=False)
    return done, log.read_text().replace('\\"', '"') if log.exists() else ""
