# SPDX-License-Identifier: Apache-2.0
"""The cgroup of a process, in whichever version each controller is mounted: files are named as in v2, with v1's name
beside where that differs."""
import os
import pathlib

ROOT = pathlib.Path("/sys/fs/cgroup")
V2_ROOT = ROOT if (ROOT / "cgroup.controllers").exists() else ROOT / "unified"
V1_NAMES = {"io": "blkio"}


def v2_controllers():
    try:
        return (V2_ROOT / "cgroup.controllers").read_text().split()
    except OSError:
        return []


def is_v2(controller):
    return controller in v2_controllers()


def has(controller):
    return is_v2(controller) or (ROOT / V1_NAMES.get(controller, controller) / "cgroup.procs").exists()


def paths_of(pid):
    """By controller's name; "" is v2."""
    paths = {}
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            paths[name] = path
    return paths


class Cgroup:
    def __init__(self, pid):
        self.paths = paths_of(pid)

    def dir(self, controller):
        if is_v2(controller):
            return pathlib.Path(f"{V2_ROOT}{self.paths['']}")
        v1 = V1_NAMES.get(controller, controller)
        return pathlib.Path(f"{ROOT}/{v1}{self.paths[v1]}")

    def read(self, v2_file, v1_file=None):
        """The text of a file; the controller is the first word of its v2 name."""
        controller = v2_file.split(".")[0]
        return (self.dir(controller) / (v2_file if is_v2(controller) else v1_file or v2_file)).read_text().strip()


def weight_of_shares(shares):
    """As runc and crun convert them (the curve through 2, 1024 and 262144)."""
    import math
    log = math.log2(shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def remains(path):
    """Directories of this cgroup path that are still there."""
    tops = [V2_ROOT] + [p for p in ROOT.iterdir() if p.is_dir() and V2_ROOT != ROOT]
    return [str(top) + path for top in tops if os.path.isdir(f"{top}{path}")]
