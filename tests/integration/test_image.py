# SPDX-License-Identifier: Apache-2.0
"""Pulling, unpacking, importing and removing images; what bad registries and bad layers get."""
import gzip
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import tarfile
import threading
import time

import pytest

import imagekit as kit
from imagekit import Entry, Failed, Image, Registry, directory, file, hardlink, symlink, tar

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="layers need root: owners, device nodes"),
    pytest.mark.skipif(not (kit.BUILD / "tests/helper/imagetool").exists(), reason=f"no imagetool in {kit.BUILD}"),
]


@pytest.fixture
def node(tmp_path):
    return kit.Node(tmp_path / "root")


@pytest.fixture
def registry():
    with Registry() as r:
        yield r


def only_layer(image):
    assert len(image["layers"]) == 1
    return pathlib.Path(image["layers"][0])


def pull_layer(node, registry, *entries, **options):
    """One layer of these entries, pulled: its directory."""
    return only_layer(node.pull(registry.push("test", Image(tar(*entries), **options))))


def refused(node, registry, *entries):
    """The error that such a layer gets; and nothing is left of it."""
    with pytest.raises(Failed) as caught:
        pull_layer(node, registry, *entries)
    assert node.leftovers() == []
    return caught.value


# ---- what is right -----------------------------------------------------------------------------------


def test_id_is_the_config_digest_everywhere(node, registry):
    image = Image(tar(file("a")), config={"Cmd": ["/x"], "Env": ["A=1"], "User": "7:8"})
    ref = registry.push("team/app", image, "v1")
    pulled = node.pull(ref)
    assert pulled["id"] == image.id
    assert pulled["tags"] == [ref]
    assert pulled["digests"] == [f"{registry.host}/team/app@{kit.digest_of(image.manifest)}"]
    assert (pulled["cmd"], pulled["env"], pulled["user"]) == (["/x"], ["A=1"], "7:8")
    assert pulled["size"] == sum(len(x) for x in image.blobs.values())
    assert node.list() == [pulled]
    for text in (ref, image.id, image.id[7:], image.id[7:19], pulled["digests"][0]):
        assert node.run("find", text) == [pulled]


@pytest.mark.parametrize("compress", ["gzip", "zstd", "none"])
def test_compressions_give_the_same_layer(node, registry, compress):
    layer = pull_layer(node, registry, file("data", b"0123456789" * 5000), compress=compress)
    assert (layer / "data").read_bytes() == b"0123456789" * 5000


def test_zlib_unpacks_what_isal_unpacks(node, registry):
    node.options = ["-z"]
    layer = pull_layer(node, registry, file("data", os.urandom(300000)))
    assert (layer / "data").stat().st_size == 300000


def test_concatenated_gzip_members_are_one_layer(node, registry):
    text = tar(file("a", b"A" * 3000), file("b", b"B" * 3000))
    image = Image(text, compress="none")
    blob = gzip.compress(text[:1000]) + gzip.compress(text[1000:1001]) + gzip.compress(text[1001:])
    image.document["layers"] = [image.add(blob, kit.OCI_LAYER + "+gzip")]
    layer = only_layer(node.pull(registry.push("test", image)))
    assert (layer / "b").read_bytes() == b"B" * 3000


def test_docker_schema_2_is_pulled(node, registry):
    image = Image(tar(file("a")), docker=True)
    assert node.pull(registry.push("test", image))["id"] == image.id


def test_owner_mode_and_time_are_kept(node, registry):
    layer = pull_layer(
        node, registry,
        directory("d", mode=0o1777, uid=5, gid=6, mtime=1000000000),
        file("d/suid", mode=0o4755, uid=4294967294, gid=70000, mtime=1234567890),
        symlink("d/link", "anywhere", uid=9, gid=9),
    )
    st = (layer / "d/suid").lstat()
    assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_mtime) == (0o4755, 4294967294, 70000, 1234567890)
    st = (layer / "d").lstat()
    assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_mtime) == (0o1777, 5, 6, 1000000000)
    st = (layer / "d/link").lstat()
    assert (st.st_uid, os.readlink(layer / "d/link")) == (9, "anywhere")


def test_whiteouts_and_opaque_directories_are_overlayfs_own(node, registry):
    layer = pull_layer(node, registry, directory("d"), file("d/.wh.gone", b""), directory("o"),
                       file("o/.wh..wh..opq", b""), file("o/new"), file(".wh..wh.plnk", b""))
    st = (layer / "d/gone").lstat()
    assert stat.S_ISCHR(st.st_mode) and st.st_rdev == 0
    assert os.getxattr(layer / "o", "user.overlay.opaque") == b"y"
    assert sorted(os.listdir(layer)) == ["d", "o"]
    assert os.listdir(layer / "o") == ["new"]


def test_directory_that_replaces_a_whiteout_is_opaque(node, registry):
    layer = pull_layer(node, registry, file(".wh.d", b""), directory("d"), file("d/new"), file(".wh.e", b""), file("e/x"))
    assert os.getxattr(layer / "d", "user.overlay.opaque") == b"y"
    assert os.getxattr(layer / "e", "user.overlay.opaque") == b"y"


def test_whiteout_leaves_what_the_same_layer_has(node, registry):
    layer = pull_layer(node, registry, file("f", b"mine"), file(".wh.f", b""), directory("d"), file("d/x"),
                       file(".wh.d", b""))
    assert (layer / "f").read_bytes() == b"mine"
    assert (layer / "d/x").exists()
    assert os.getxattr(layer / "d", "user.overlay.opaque") == b"y"


def test_hardlinks_share_an_inode(node, registry):
    layer = pull_layer(node, registry, file("a/b", b"text"), hardlink("c", "a/b"), hardlink("c", "a/b"))
    assert (layer / "c").stat().st_ino == (layer / "a/b").stat().st_ino
    assert (layer / "c").stat().st_nlink == 2


def test_later_entries_win(node, registry):
    layer = pull_layer(node, registry, file("x", b"1"), file("x", b"22"), directory("d"), file("d/f"), file("d", b"3"),
                       file("e"), directory("e"), file("e/f"), symlink("l", "x"), file("l", b"4"))
    assert (layer / "x").read_bytes() == b"22"
    assert (layer / "d").read_bytes() == b"3"
    assert (layer / "e/f").exists()
    assert (layer / "l").read_bytes() == b"4" and not (layer / "l").is_symlink()


def test_long_names_and_names_that_are_not_utf8(node, registry):
    parts = "/".join(["p" * 100] * 12)
    odd = b"caf\xe9".decode("utf-8", "surrogateescape")
    layer = pull_layer(node, registry, file(parts + "/end", b"deep"), file(odd, b"latin"))
    assert (layer / parts / "end").read_bytes() == b"deep"
    assert (os.fsencode(layer) + b"/caf\xe9") in [os.path.join(os.fsencode(layer), x) for x in os.listdir(os.fsencode(layer))]


def test_gnu_long_names(node, registry):
    text = tar(file("q" * 200 + "/" + "r" * 200, b"gnu"), format=tarfile.GNU_FORMAT)
    layer = only_layer(node.pull(registry.push("test", Image(text))))
    assert (layer / ("q" * 200) / ("r" * 200)).read_bytes() == b"gnu"


def test_names_are_bytes_and_not_normalised(node, registry):
    layer = pull_layer(node, registry, file("e\u0301", b"two"), file("\u00e9", b"one"))
    assert sorted(os.listdir(os.fsencode(layer))) == sorted([b"e\xcc\x81", b"\xc3\xa9"])


def test_sparse_files_keep_holes(node, registry, tmp_path):
    sparse = tmp_path / "sparse"
    with open(sparse, "wb") as f:
        f.seek(8 << 20)
        f.write(b"end")
        f.truncate(16 << 20)
    subprocess.run(["tar", "-S", "-cf", tmp_path / "s.tar", "-C", tmp_path, "sparse"], check=True)
    layer = only_layer(node.pull(registry.push("test", Image((tmp_path / "s.tar").read_bytes()))))
    assert (layer / "sparse").read_bytes() == sparse.read_bytes()
    assert (layer / "sparse").stat().st_blocks * 512 < 1 << 20


def test_attributes_are_kept_but_those_of_overlayfs(node, registry):
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    headers = {
        "SCHILY.xattr.user.note": "kept",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
        "SCHILY.xattr.security.capability": capability.decode("latin-1"),
    }
    layer = pull_layer(node, registry, directory("d", pax_headers={"SCHILY.xattr.user.overlay.opaque": "y"}),
                       file("f", pax_headers=headers, uid=3))
    assert os.listxattr(layer / "d") == []
    assert sorted(os.listxattr(layer / "f")) == ["security.capability", "user.note"]
    assert os.getxattr(layer / "f", "security.capability") == capability


def test_devices_and_fifos_are_made(node, registry):
    layer = pull_layer(node, registry, Entry("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
                       Entry("fifo", type=tarfile.FIFOTYPE))
    st = (layer / "null").lstat()
    assert stat.S_ISCHR(st.st_mode) and (os.major(st.st_rdev), os.minor(st.st_rdev)) == (1, 3)
    assert stat.S_ISFIFO((layer / "fifo").lstat().st_mode)


def test_relative_symlink_of_the_layer_is_followed_inside(node, registry):
    layer = pull_layer(node, registry, directory("usr/lib"), symlink("lib", "usr/lib"), file("lib/x", b"here"))
    assert (layer / "usr/lib/x").read_bytes() == b"here"


def test_empty_layer_and_no_layers(node, registry):
    assert node.pull(registry.push("none", Image()))["layers"] == []
    assert os.listdir(only_layer(node.pull(registry.push("empty", Image(tar()))))) == []


def test_index_is_resolved_for_this_host(node, registry):
    good, other = Image(tar(file("good"))), Image(tar(file("other")), arch="sparc")
    registry.push("multi", good, "good")
    registry.push("multi", other, "other")
    entries = [
        {"mediaType": x.media, "digest": kit.digest_of(x.manifest), "size": len(x.manifest),
         "platform": {"os": "linux", "architecture": arch}}
        for x, arch in ((other, "sparc"), (good, kit.ARCH))
    ]
    text = json.dumps({"schemaVersion": 2, "mediaType": kit.OCI_INDEX, "manifests": entries}).encode()
    registry.put_manifest("multi", "latest", text, kit.OCI_INDEX)
    pulled = node.pull(f"{registry.host}/multi")
    assert pulled["id"] == good.id
    assert pulled["digests"] == [f"{registry.host}/multi@{kit.digest_of(text)}"]
    by_digest = node.pull(f"{registry.host}/multi@{kit.digest_of(text)}")
    assert by_digest["id"] == good.id


def test_mirror_is_asked_before_the_origin(node, registry):
    registry.push("library/thing", Image(tar(file("a"))))
    node.options = ["-m", registry.url]
    assert node.pull("thing")["tags"] == ["docker.io/library/thing:latest"]
    assert registry.log[0][0] == "/v2/library/thing/manifests/latest"


# ---- what is shared and what goes away ---------------------------------------------------------------


def test_layer_of_two_images_is_fetched_once(node, registry):
    base = tar(file("base", os.urandom(2000000)))
    refs = [registry.push(f"app{i}", Image(base, tar(file(f"own{i}")))) for i in range(6)]
    pulled = node.pull(*refs)
    assert len(pulled) == 6
    assert len({x["layers"][0] for x in pulled}) == 1
    blob = kit.digest_of(gzip.compress(base, mtime=0))
    assert sum(blob in path for path, _ in registry.log) == 1
    assert len(os.listdir(node.root / "layers")) == 7


def test_same_reference_pulled_twice_at_once(node, registry):
    ref = registry.push("app", Image(tar(file("f", os.urandom(1000000)))))
    pulled = node.pull(ref, ref, ref)
    assert len({x["id"] for x in pulled}) == 1
    assert len(node.list()) == 1


def test_a_tag_moves_and_the_old_image_stays_without_it(node, registry):
    old, new = Image(tar(file("old"))), Image(tar(file("new")))
    ref = registry.push("app", old)
    node.pull(ref)
    registry.push("app", new)
    node.pull(ref)
    tags = {x["id"]: x["tags"] for x in node.list()}
    assert tags == {old.id: [], new.id: [ref]}


def test_removal_by_one_tag_takes_all_and_keeps_shared_layers(node, registry):
    base = tar(file("base"))
    app, other = Image(base, tar(file("app"))), Image(base)
    tags = [registry.push("app", app, "1"), registry.push("app", app, "2")]
    kept = node.pull(registry.push("other", other))
    node.pull(*tags)
    node.run("rm", tags[0])
    assert [x["id"] for x in node.list()] == [other.id]
    assert os.listdir(node.root / "layers") == [os.path.basename(kept["layers"][0])]
    node.run("rm", tags[0])
    node.run("rm", other.id)
    assert node.leftovers() == []


def test_image_with_a_missing_layer_is_forgotten_and_pulled_again(node, registry):
    ref = registry.push("app", Image(tar(file("a"))))
    layer = only_layer(node.pull(ref))
    shutil.rmtree(layer)
    assert node.list() == []
    assert "is not whole" in node.stderr
    assert (only_layer(node.pull(ref)) / "a").exists()


def test_killed_pull_leaves_nothing_after_the_next_start(node, registry):
    registry.cut_after, registry.cuts_left = 1 << 20, 1000
    ref = registry.push("app", Image(tar(file("f", os.urandom(4 << 20)))))
    process = subprocess.Popen(node.command("pull", ref), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 60  # for its workers to end
    while node.list() != [] or node.leftovers() != []:
        assert time.monotonic() < end, node.leftovers()
        time.sleep(0.05)
    registry.cuts_left = 0
    assert node.pull(ref)


# ---- registries that lie or break --------------------------------------------------------------------


def test_blob_that_is_not_its_digest(node, registry):
    image = Image(tar(file("a")))
    ref = registry.push("app", image)
    digest = image.document["layers"][0]["digest"]
    blob = bytearray(image.blobs[digest])
    blob[-20] ^= 1
    registry.blobs[digest] = bytes(blob)
    with pytest.raises(Failed) as caught:
        node.pull(ref)
    assert caught.value.kind == "corrupt"
    assert digest in caught.value.message and kit.digest_of(bytes(blob)) in caught.value.message
    assert node.leftovers() == []


def test_manifest_that_is_not_its_digest(node, registry):
    image = Image(tar(file("a")))
    registry.push("app", image)
    digest = kit.digest_of(image.manifest)
    registry.manifests["app", digest] = (image.manifest + b" ", image.media)
    with pytest.raises(Failed) as caught:
        node.pull(f"{registry.host}/app@{digest}")
    assert caught.value.kind == "corrupt" and digest in caught.value.message


def test_diff_id_that_lies(node, registry):
    image = Image(tar(file("a")), diff_ids=["sha256:" + "0" * 64])
    with pytest.raises(Failed) as caught:
        node.pull(registry.push("app", image))
    assert caught.value.kind == "corrupt" and "sha256:" + "0" * 64 in caught.value.message
    assert node.leftovers() == []


def test_count_of_diff_ids_and_layers_differ(node, registry):
    image = Image(tar(file("a")), diff_ids=["sha256:" + "0" * 64] * 2)
    with pytest.raises(Failed) as caught:
        node.pull(registry.push("app", image))
    assert caught.value.kind == "corrupt" and "diff_ids" in caught.value.message


@pytest.mark.parametrize("has_ranges", [True, False])
def test_connection_that_closes_in_the_middle_is_taken_up_again(node, registry, has_ranges):
    registry.cut_after, registry.cuts_left, registry.has_ranges = 500000, 2, has_ranges
    content = os.urandom(2000000)
    layer = pull_layer(node, registry, file("f", content))
    assert (layer / "f").read_bytes() == content


def test_connection_that_always_closes_is_given_up(node, registry):
    registry.cut_after, registry.cuts_left = 1000, 100000
    with pytest.raises(Failed) as caught:
        pull_layer(node, registry, file("f", os.urandom(2000000)))
    assert caught.value.kind == "unavailable" and "connections" in caught.value.message
    assert node.leftovers() == []


def test_blob_longer_than_it_should_be(node, registry):
    image = Image(tar(file("a")))
    ref = registry.push("app", image)
    digest = image.document["layers"][0]["digest"]
    registry.blobs[digest] += b"more"
    with pytest.raises(Failed) as caught:
        node.pull(ref)
    assert caught.value.kind == "corrupt"


def test_passing_503_is_tried_again(node, registry):
    registry.fail_first = 1
    assert node.pull(registry.push("app", Image(tar(file("a")))))


def test_unreachable_registry_is_named(node):
    with pytest.raises(Failed) as caught:
        node.pull("127.0.0.1:1/app")
    assert caught.value.kind == "unavailable" and "127.0.0.1" in caught.value.message


def test_absent_tag_is_not_found(node, registry):
    with pytest.raises(Failed) as caught:
        node.pull(f"{registry.host}/app:none")
    assert caught.value.kind == "not-found" and "MANIFEST_UNKNOWN" in caught.value.message


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"schemaVersion":2}', b"\xff\xfe", b"{}" * 10,
                                  b'{"a":' * 100 + b"1" + b"}" * 100])
def test_manifest_that_is_nonsense(node, registry, text):
    registry.put_manifest("app", "latest", text, kit.OCI_MANIFEST)
    with pytest.raises(Failed) as caught:
        node.pull(f"{registry.host}/app")
    assert caught.value.kind in ("corrupt", "limit")
    assert node.leftovers() == []


def test_manifest_of_many_megabytes(node, registry):
    registry.put_manifest("app", "latest", b" " * (5 << 20), kit.OCI_MANIFEST)
    with pytest.raises(Failed) as caught:
        node.pull(f"{registry.host}/app")
    assert caught.value.kind == "limit" and str(4 << 20) in caught.value.message


def test_schema_1_is_refused_by_name(node, registry):
    media = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    registry.put_manifest("app", "latest", b'{"schemaVersion": 1, "fsLayers": []}', media)
    with pytest.raises(Failed) as caught:
        node.pull(f"{registry.host}/app")
    assert caught.value.kind == "unsupported" and "schema 1" in caught.value.message


def test_foreign_layer_is_refused_by_name(node, registry):
    image = Image(tar(file("a")))
    image.document["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    with pytest.raises(Failed) as caught:
        node.pull(registry.push("app", image))
    assert caught.value.kind == "unsupported" and "foreign" in caught.value.message


def test_other_architecture_names_both(node, registry):
    with pytest.raises(Failed) as caught:
        node.pull(registry.push("app", Image(tar(file("a")), arch="sparc")))
    assert "sparc" in caught.value.message and kit.ARCH in caught.value.message


def test_more_layers_than_overlayfs_stacks(node, registry):
    image = Image(tar(file("a")))
    image.document["layers"] *= 501
    with pytest.raises(Failed) as caught:
        node.pull(registry.push("app", image))
    assert caught.value.kind == "limit" and "500" in caught.value.message


@pytest.mark.parametrize("ref", ["", "a b", "docker.io/UPPER", "x@sha256:1234", "a:b:c", "/x", "x/", "a..b/c:!"])
def test_reference_that_is_none(node, ref):
    with pytest.raises(Failed) as caught:
        node.pull(ref)
    assert caught.value.kind == "invalid"


# ---- credentials -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_credentials_open_the_registry(node, kind):
    with Registry(auth=kind) as registry:
        ref = registry.push("app", Image(tar(file("a")), tar(file("b"))))
        node.options = ["-v", "-u", "user:secret-word"]
        assert node.pull(ref)
        assert "secret-word" not in node.stderr


@pytest.mark.parametrize("kind", ["basic", "bearer"])
@pytest.mark.parametrize("options", [[], ["-u", "user:wrong"]])
def test_without_the_right_credentials_it_stays_shut(node, kind, options):
    with Registry(auth=kind) as registry:
        ref = registry.push("app", Image(tar(file("a"))))
        node.options = options
        with pytest.raises(Failed) as caught:
            node.pull(ref)
        assert caught.value.kind == "unauthenticated"
        assert "wrong" not in caught.value.log


def test_redirect_to_another_host_gets_no_credentials(node):
    image = Image(tar(file("a")))
    with Registry(auth="basic") as registry, Registry() as store:
        store.blobs.update(image.blobs)
        ref = registry.push("app", image)
        registry.redirect_to = store.url
        node.options = ["-u", "user:secret-word"]
        assert node.pull(ref)
        assert store.log and all("Authorization" not in headers for _, headers in store.log)


# ---- TLS ---------------------------------------------------------------------------------------------


def test_https_with_a_ca_of_its_own(node, tmp_path):
    pem = kit.certificate(tmp_path / "registry.pem")
    with Registry(certificate=pem, auth="bearer") as registry:
        registry.push("team/app", Image(tar(file("a"))))
        node.options = ["-m", registry.url, "-c", str(pem), "-u", "user:secret-word"]
        assert node.pull("example.org/team/app")["tags"] == ["example.org/team/app:latest"]


def test_https_that_nobody_vouches_for(node, tmp_path):
    pem = kit.certificate(tmp_path / "registry.pem", host="127.0.0.2")
    with Registry(certificate=pem) as registry:
        registry.push("team/app", Image(tar(file("a"))))
        for options in (["-m", registry.url], ["-m", registry.url, "-c", str(pem)]):
            node.options = options
            with pytest.raises(Failed) as caught:
                node.pull("127.0.0.1:1/team/app")
            assert caught.value.kind == "unavailable"
            assert "certificate" in caught.value.message or "SSL" in caught.value.message
        node.options = ["-m", registry.url, "-k"]
        assert node.pull("127.0.0.1:1/team/app")


# ---- confinement -------------------------------------------------------------------------------------


def descendants(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(child)]
    return found


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, value in (x.split(":", 1) for x in lines)}


def capabilities(*names):
    numbers = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "MKNOD": 27, "SETFCAP": 31}
    return sum(1 << numbers[x] for x in names)


def has_initial_user_namespace():
    return pathlib.Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]


@pytest.mark.skipif(not has_initial_user_namespace(), reason="in a user namespace the worker falls back by steps")
def test_worker_is_confined_while_it_works(node):
    with Registry(auth="basic") as registry:
        registry.hold = threading.Event()
        ref = registry.push("app", Image(tar(file("f", os.urandom(1000000)))))
        node.options = ["-u", "user:secret-word"]
        pull = subprocess.Popen(node.command("pull", ref), stdout=subprocess.PIPE)
        for _ in range(1000):
            time.sleep(0.05)
            pids = descendants(pull.pid)
            if len(pids) == 3 and status_of(pids[2])["Seccomp"] == "2" and os.listdir(f"/proc/{pids[2]}/root"):
                break
        fetcher, unpacker, layer = pids
        everything = {pid: status_of(pid) for pid in pids}
        assert all(x["NoNewPrivs"] == "1" for x in everything.values())
        # The fetcher: nobody, nothing to fall back on.
        assert everything[fetcher]["Uid"].split() == ["65534"] * 4
        assert everything[fetcher]["Seccomp"] == "2" and int(everything[fetcher]["CapPrm"], 16) == 0
        # The layer's process: six capabilities, one mount, no device usable, a root of its own.
        allowed = capabilities("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP")
        assert int(everything[layer]["CapPrm"], 16) & ~allowed == 0
        assert int(everything[layer]["CapBnd"], 16) & ~allowed == 0
        mounts = pathlib.Path(f"/proc/{layer}/mountinfo").read_text().splitlines()
        assert len(pathlib.Path(f"/proc/{unpacker}/mountinfo").read_text().splitlines()) == 1 and len(mounts) <= 1
        assert all("nodev" in x and "nosuid" in x and "noexec" in x for x in mounts)
        assert os.listdir(f"/proc/{layer}/root") == ["f"]
        for pid in (unpacker, layer):
            assert not any("socket:" in os.readlink(f"/proc/{pid}/fd/{x}") for x in os.listdir(f"/proc/{pid}/fd")
                           ) or pid == unpacker
        for pid in pids:
            for name in ("cmdline", "environ"):
                assert b"secret" not in pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
        registry.hold.set()
        assert pull.wait(60) == 0
        pull.stdout.close()


def test_killed_worker_is_reported_and_leaves_nothing(node, registry):
    registry.hold = threading.Event()
    ref = registry.push("app", Image(tar(file("f", os.urandom(1000000)))))
    pull = subprocess.Popen(node.command("pull", ref), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    pids = []
    for _ in range(1000):
        time.sleep(0.05)
        pids = descendants(pull.pid)
        if len(pids) >= 3:
            break
    os.kill(pids[0], signal.SIGKILL)
    _, said = pull.communicate(timeout=60)
    registry.hold.set()
    assert pull.returncode == 1 and "signal 9" in said
    assert node.leftovers() == []
    # An init that does not reap may leave a zombie; nothing that runs.
    assert all(not pathlib.Path(f"/proc/{x}").exists() or status_of(x)["State"].startswith("Z") for x in pids)


# ---- layers that attack ------------------------------------------------------------------------------


def test_names_that_climb_out(node, registry):
    for name in ("../evil", "a/../../evil", "/evil", "a/.."):
        # tarfile keeps such names; both are told with the entry.
        error = refused(node, registry, Entry(name, b"x"))
        assert error.kind == "invalid" and f'"{name}"' in error.message, name
    assert not (node.root / "evil").exists() and not (node.root / "tmp/evil").exists()


def test_symlinks_that_climb_out_are_not_followed(node, registry, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    for target in (str(outside), "../" * 20 + str(outside), "/"):
        error = refused(node, registry, symlink("way", target), file("way/evil"))
        assert error.kind == "invalid" and '"way/evil"' in error.message
    assert os.listdir(outside) == []


def test_symlink_chain_that_climbs_out(node, registry):
    error = refused(node, registry, directory("a"), symlink("a/up", ".."), symlink("b", "a/up/up2"),
                    symlink("up2", "../../.."), file("b/evil"))
    assert error.kind == "invalid" and '"b/evil"' in error.message


def test_hardlinks_that_climb_out(node, registry, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s")
    for target in (str(secret), "../" * 20 + str(secret)[1:], "way/secret", "absent"):
        error = refused(node, registry, symlink("way", str(tmp_path)), hardlink("evil", target))
        assert error.kind == "invalid" and '"evil"' in error.message
    assert secret.stat().st_nlink == 1


def test_file_over_the_root_directory(node, registry):
    assert refused(node, registry, symlink(".", "/")).kind == "invalid"


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh..."])
def test_whiteouts_of_no_name(node, registry, name):
    assert refused(node, registry, directory("d"), file(name, b"")).kind == "invalid"


def test_file_as_a_parent(node, registry):
    error = refused(node, registry, file("f"), file("f/x"))
    assert error.kind == "invalid" and '"f/x"' in error.message


def test_name_with_a_part_that_is_too_long(node, registry):
    assert refused(node, registry, file("n" * 300)).kind == "invalid"


def test_bomb_is_stopped_with_numbers(node, registry):
    node.options = ["-L", "64"]
    error = refused(node, registry, file("zeros", bytes(100 << 20)))
    assert error.kind == "limit" and "64 MiB" in error.message


def test_disk_reserve_is_kept(node, registry):
    node.options = ["-R", str(1 << 40)]
    error = refused(node, registry, file("a"))
    assert error.kind == "limit" and "reserve" in error.message


def test_truncated_and_damaged_archives(node, registry):
    whole = tar(file("a", b"a" * 5000), file("b", b"b" * 5000))
    for text in (whole[:3000], b"this is no tar" * 100):
        with pytest.raises(Failed) as caught:
            node.pull(registry.push("app", Image(text)))
        assert caught.value.kind == "corrupt"
        assert node.leftovers() == []


def test_gzip_that_is_none(node, registry):
    image = Image(tar(file("a")), compress="none")
    image.document["layers"] = [image.add(b"\x1f\x8b no gzip at all", kit.OCI_LAYER + "+gzip")]
    with pytest.raises(Failed) as caught:
        node.pull(registry.push("app", image))
    assert caught.value.kind == "corrupt" and "gzip" in caught.value.message


# ---- archives ----------------------------------------------------------------------------------------


def tar_of(directory, path):
    subprocess.run(["tar", "-cf", path, "-C", directory, "."], check=True)
    return path


@pytest.mark.parametrize("as_tar", [True, False])
def test_oci_layouts_are_imported(node, tmp_path, as_tar):
    first, second = Image(tar(file("a"))), Image(tar(file("a")), tar(file("b")), compress="zstd")
    kit.oci_layout(tmp_path / "layout", first, second, names=["example.org/first:1", "second"])
    path = tar_of(tmp_path / "layout", tmp_path / "layout.tar") if as_tar else tmp_path / "layout"
    assert node.run("import", str(path), "example.org/named") == [first.id, second.id]
    tags = {x["id"]: x["tags"] for x in node.list()}
    assert tags == {first.id: ["example.org/first:1"], second.id: ["example.org/named:second"]}


def docker_archive(path, image_layers, tags):
    names = [f"{i}/layer.tar" for i in range(len(image_layers))]
    config = json.dumps({"os": "linux", "architecture": kit.ARCH, "config": {},
                         "rootfs": {"type": "layers", "diff_ids": [kit.digest_of(x) for x in image_layers]}}).encode()
    manifest = json.dumps([{"Config": "c.json", "RepoTags": tags, "Layers": names}]).encode()
    entries = [file(n, x) for n, x in zip(names, image_layers)]
    path.write_bytes(tar(*entries, file("c.json", config), file("manifest.json", manifest)))
    return kit.digest_of(config)


def test_docker_archives_are_imported(node, tmp_path):
    layers = [tar(file("a")), gzip.compress(tar(file("b")))]
    config_id = docker_archive(tmp_path / "d.tar", [layers[0]], ["busybox:1", "example.org/x:2"])
    assert node.run("import", str(tmp_path / "d.tar")) == [config_id]
    assert sorted(node.list()[0]["tags"]) == ["docker.io/library/busybox:1", "example.org/x:2"]


def test_docker_archive_whose_layer_lies(node, tmp_path):
    docker_archive(tmp_path / "d.tar", [tar(file("a"))], ["x:1"])
    text = (tmp_path / "d.tar").read_bytes().replace(b"sha256:", b"sha256:0", 1).replace(b'"]}}', b"", 1)
    (tmp_path / "bad.tar").write_bytes(text)
    with pytest.raises(Failed):
        node.run("import", str(tmp_path / "bad.tar"))
    assert node.leftovers() == []


@pytest.mark.parametrize("path", ["../../../../etc/passwd", "/etc/passwd", "link"])
def test_docker_archive_with_paths_that_climb_out(node, tmp_path, path):
    manifest = json.dumps([{"Config": path, "RepoTags": ["x:1"], "Layers": []}]).encode()
    (tmp_path / "d.tar").write_bytes(tar(symlink("link", "/etc/passwd"), file("manifest.json", manifest)))
    with pytest.raises(Failed) as caught:
        node.run("import", str(tmp_path / "d.tar"))
    assert "root:" not in caught.value.log
    assert node.leftovers() == []


def test_archive_that_is_none(node, tmp_path):
    (tmp_path / "x").write_bytes(b"nothing" * 1000)
    with pytest.raises(Failed) as caught:
        node.run("import", str(tmp_path / "x"))
    assert caught.value.kind == "corrupt"


# ---- the real registry and real tools ----------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("docker-registry") or not shutil.which("skopeo"), reason="no docker-registry or skopeo")
def test_real_registry_and_skopeo_archives(node, tmp_path):
    image = Image(tar(directory("bin"), file("bin/x", os.urandom(500000), mode=0o755)), tar(file("bin/y")))
    kit.oci_layout(tmp_path / "layout", image, names=["1"])
    source = f"oci:{tmp_path}/layout:1"
    with kit.docker_registry(tmp_path) as host:
        for target in (f"docker://{host}/team/app:1", f"docker-archive:{tmp_path}/d.tar:example.org/app:1",
                       f"oci-archive:{tmp_path}/o.tar:example.org/oci:1"):
            subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", source, target],
                           check=True)
        pulled = node.pull(f"{host}/team/app:1")
    assert pulled["id"] == image.id
    assert (pathlib.Path(pulled["layers"][0]) / "bin/x").stat().st_size == 500000
    assert node.run("import", f"{tmp_path}/o.tar") == [image.id]
    node.run("import", f"{tmp_path}/d.tar")
    assert "example.org/app:1" in [t for x in node.list() for t in x["tags"]]
