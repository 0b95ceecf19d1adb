# SPDX-License-Identifier: Apache-2.0
"""`hull checkpoint` and `hull restore`: what cannot be done is said, and changes nothing."""
import os
import shutil
import subprocess
import tempfile
import textwrap

import pytest

from bundles import bundle, pytestmark  # noqa: F401
from checkpoints import count, counting, cr, criu_works, eventually, images_of, needs_criu, refused  # noqa: F401


def test_a_criu_that_cannot_work_says_why_and_the_container_runs_on(cr):
    counting(cr)
    done = cr.checkpoint("c1", check=False)
    if criu_works():
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 1
    assert "does not work on this kernel" in done.stderr and os.uname().release in done.stderr
    assert "Error (criu/" in done.stderr
    before = count(cr)
    assert eventually(lambda: count(cr) > before)
    assert cr.b.status("c1") == "running"
    assert not cr.images.exists()


def test_a_missing_criu_names_the_package(cr):
    counting(cr)
    done = cr.hull("checkpoint", "c1", check=False, options=(), env={"PATH": "/nonexistent"})
    assert done.returncode == 1
    assert "package criu" in done.stderr
    done = cr.hull("checkpoint", "c1", check=False, options=("--criu", "/nonexistent/criu"))
    assert 'there is no program "/nonexistent/criu"' in done.stderr
    assert not (cr.b.path / "checkpoint").exists()


def test_a_criu_that_others_could_have_written_is_not_run(cr):
    counting(cr)
    fake = cr.b.path / "criu"
    fake.write_text(f"#!/bin/sh\ntouch {cr.b.path}/was-run\n")
    for mode, owner in ((0o777, 0), (0o775, 0), (0o755, 12345)):
        fake.chmod(mode)
        os.chown(fake, owner, 0)
        done = cr.hull("checkpoint", "c1", check=False, options=("--criu", fake))
        assert done.returncode == 1
        assert "written by others than root" in done.stderr
    done = cr.hull("checkpoint", "c1", check=False, options=(), env={"PATH": str(cr.b.path)})
    assert "written by others than root" in done.stderr
    assert not (cr.b.path / "was-run").exists()


def test_an_old_criu_is_refused(cr):
    counting(cr)
    old = cr.b.path / "old-criu"
    # VERSION answered by 3.12: type 10, success, version {major 3, minor 12}.
    old.write_text(textwrap.dedent("""\
        #!/usr/bin/python3
        import socket, sys
        s = socket.socket(fileno=int(sys.argv[2]))
        s.recv(4096)
        s.send(bytes([0x08, 10, 0x10, 1, 0x52, 4, 0x08, 3, 0x10, 12]))
        """))
    old.chmod(0o755)
    done = cr.hull("checkpoint", "c1", check=False, options=("--criu", old))
    assert done.returncode == 1
    assert "criu 3.12 is too old" in done.stderr and "3.16" in done.stderr


def test_a_criu_that_speaks_nonsense_is_an_error(cr):
    counting(cr)
    odd = cr.b.path / "odd-criu"
    for answer in (b"\x08", b"\xff" * 64, b"", bytes([0x08, 6, 0x10, 1])):
        odd.write_text("#!/usr/bin/python3\nimport socket, sys\ns = socket.socket(fileno=int(sys.argv[2]))\n"
                       f"s.recv(4096)\ns.send({answer!r})\n")
        odd.chmod(0o755)
        done = cr.hull("checkpoint", "c1", check=False, options=("--criu", odd))
        assert done.returncode == 1
        assert "criu" in done.stderr
    assert cr.b.status("c1") == "running"


def test_an_ordinary_user_is_told_what_is_missing(cr):
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        shutil.copy(cr.b.hull_program, directory + "/hull")
        os.mkdir(directory + "/run")
        os.chown(directory + "/run", 4321, 4321)
        shutil.copy(cr.b.path / "config.json", directory)
        for args in (["checkpoint", "c1"], ["restore", "--detach", "c2"]):
            done = subprocess.run(["setpriv", "--reuid=4321", "--regid=4321", "--clear-groups", directory + "/hull",
                                   "--root", directory + "/run", *args],
                                  capture_output=True, text=True, cwd=directory, check=False)
            assert done.returncode == 1
            assert "need root" in done.stderr and "user 4321" in done.stderr, done.stderr
        assert os.listdir(directory + "/run") == []


def test_root_of_a_child_user_namespace_is_told_what_is_missing(cr):
    counting(cr)
    done = subprocess.run(["unshare", "--user", "--map-root-user", cr.b.hull_program, "--root", cr.b.root,
                           "--rootless", "false", "checkpoint", "c1"], capture_output=True, text=True, cwd=cr.b.path,
                          check=False)
    assert done.returncode == 1
    assert "initial user namespace" in done.stderr, done.stderr


def test_containers_that_do_not_run_are_refused(cr):
    assert "does not exist" in cr.checkpoint("none", check=False).stderr
    cr.b.sh("true")
    cr.b.create("c1")
    assert "cannot be checkpointed in created state" in cr.checkpoint("c1", check=False).stderr
    cr.b.hull("start", "c1")
    cr.b.wait_for("c1", "stopped")
    assert "cannot be checkpointed in stopped state" in cr.checkpoint("c1", check=False).stderr
    assert not cr.images.exists()


@pytest.mark.parametrize("options, words", [
    (["--manage-cgroups-mode", "hard"], "none of soft, full, strict, ignore"),
    (["--empty-ns", "pid"], 'namespace "pid" is not supported'),
    (["--parent-path", "/tmp"], "must be relative"),
    (["--page-server", "localhost"], "no ADDRESS:PORT"),
    (["--page-server", "::1:80000"], "no ADDRESS:PORT"),
    (["--status-fd", "77"], "--status-fd 77"),
    (["--status-fd", "x"], "no number"),
])
def test_wrong_words_change_nothing(cr, options, words):
    counting(cr)
    done = cr.checkpoint("c1", *options, check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert not cr.images.exists()
    assert cr.b.status("c1") == "running"


# ---- a restore of what is none ---------------------------------------------------------------------------------


@needs_criu
def test_images_that_are_none(cr):
    refused(cr, "directory of the images")
    cr.images.mkdir(mode=0o700)
    refused(cr, "there is no checkpoint")
    (cr.images / "inventory.img").touch()
    refused(cr, "there is only memory, of a pre-dump")


@needs_criu
def test_images_that_are_nonsense(cr):
    images_of(cr)
    refused(cr, "criu failed")


@needs_criu
@pytest.mark.parametrize("text", ["", "{}", "[1]", '["a","b","c","d"]', '["pipe:[1]"', "[" * 1000, "x" * 20000])
def test_descriptors_that_are_nonsense(cr, text):
    images_of(cr, descriptors_json=text)
    refused(cr, "descriptors.json")


@needs_criu
def test_images_that_others_could_write_are_refused(cr):
    images_of(cr)
    cr.images.chmod(0o777)
    refused(cr, "can be written by others")
    cr.images.chmod(0o700)
    (cr.images / "pstree.img").chmod(0o666)
    refused(cr, '"pstree.img" of the checkpoint can be written by others')
    (cr.images / "pstree.img").chmod(0o600)
    os.chown(cr.images / "pstree.img", 4321, 4321)
    refused(cr, "belongs to user 4321")
    os.chown(cr.images / "pstree.img", 0, 0)
    os.chown(cr.images, 4321, 4321)
    refused(cr, "belongs to user 4321")


@needs_criu
def test_images_with_links_and_special_files_are_refused(cr):
    images_of(cr)
    (cr.images / "pages-1.img").symlink_to("/etc/shadow")
    refused(cr, "neither a file nor a directory")
    (cr.images / "pages-1.img").unlink()
    os.mkfifo(cr.images / "pages-1.img")
    refused(cr, "neither a file nor a directory")
    (cr.images / "pages-1.img").unlink()
    (cr.images / "descriptors.json").symlink_to("/etc/passwd")
    refused(cr, "neither a file nor a directory")
    (cr.images / "descriptors.json").unlink()
    outside = cr.b.path / "outside"
    outside.mkdir()
    (outside / "pages-1.img").symlink_to("/etc/shadow")
    (cr.images / "parent").symlink_to("../outside")
    refused(cr, "neither a file nor a directory")
