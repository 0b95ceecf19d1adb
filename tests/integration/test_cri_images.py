# SPDX-License-Identifier: Apache-2.0
"""The image service: one id in all answers, pulls, removals, and what registries may do to us."""
import concurrent.futures
import os
import pathlib
import socket
import threading
import time

import grpc
import pytest

import imagekit as kit
from crikit import FOREVER, refused, wait_for


def pull(cri, ref, **auth):
    a = cri.api
    request = a.PullImageRequest(image=a.ImageSpec(image=ref), auth=a.AuthConfig(**auth) if auth else None)
    return cri.image.PullImage(request).image_ref


def status(cri, ref, verbose=False):
    a = cri.api
    return cri.image.ImageStatus(a.ImageStatusRequest(image=a.ImageSpec(image=ref), verbose=verbose))


def listed(cri, ref=None):
    a = cri.api
    f = a.ImageFilter(image=a.ImageSpec(image=ref)) if ref else None
    return list(cri.image.ListImages(a.ListImagesRequest(filter=f)).images)


def remove(cri, ref):
    a = cri.api
    cri.image.RemoveImage(a.RemoveImageRequest(image=a.ImageSpec(image=ref)))


def leftovers(cri):
    return sorted(f"{d}/{x}" for d in ("layers", "blobs/sha256", "tmp")
                  for x in (os.listdir(cri.hulld.root / d) if (cri.hulld.root / d).exists() else []))


def test_one_id_in_all_methods(cri, images):
    id_ = pull(cri, images.busybox)
    assert id_ == images.ids["busybox"]
    image = status(cri, images.busybox).image
    digest = f"{images.host}/test/busybox@{images.digests['busybox']}"
    assert (image.id, list(image.repo_tags), list(image.repo_digests)) == (id_, [images.busybox], [digest])
    assert image.size > 100000 and (image.uid.value, image.username) == (0, "") and image.HasField("uid")
    assert not image.pinned
    for ref in (id_, id_[7:], id_[7:20], digest, images.busybox):
        assert status(cri, ref).image == image, ref
        assert listed(cri, ref) == [image], ref
    assert listed(cri) == [image]
    pod = cri.run()
    c = pod.create(FOREVER, image=id_)
    assert c.status().image_id == id_ and cri.containers()[0].image_id == id_
    assert pod.create(FOREVER, image=digest).status().image_id == id_


def test_pull_by_digest(cri, images):
    ref = f"{images.host}/test/busybox@{images.digests['busybox']}"
    id_ = pull(cri, ref)
    image = status(cri, ref).image
    assert image.id == id_ == images.ids["busybox"]
    assert (list(image.repo_tags), list(image.repo_digests)) == ([], [ref])
    assert pull(cri, images.busybox) == id_ and list(status(cri, id_).image.repo_tags) == [images.busybox]


def test_the_name_that_the_user_gave(cri, images):
    a = cri.api
    id_ = pull(cri, images.busybox)
    pod = cri.run()
    config = pod.container_config(FOREVER, name="named")
    config.image.CopyFrom(a.ImageSpec(image=id_, user_specified_image="busybox:latest"))
    c = pod.create(config)
    assert c.status().image.image == "busybox:latest" and c.status().image_id == id_


def test_an_absent_image_is_an_empty_answer(cri, images):
    ref = f"{images.host}/test/none:1"
    assert not status(cri, ref).HasField("image") and listed(cri, ref) == []
    remove(cri, ref)
    with refused("NOT_FOUND", "none"):
        cri.run().create(FOREVER, image="docker.io/library/none:1")
    with refused("NOT_FOUND", "none"):
        pull(cri, ref)
    assert leftovers(cri) == []


def test_removal_takes_all_tags_and_the_disk_space(cri, images):
    id_ = pull(cri, images.busybox)
    pull(cri, f"{images.host}/test/busybox@{images.digests['busybox']}")
    assert leftovers(cri) != []
    remove(cri, images.busybox)
    remove(cri, images.busybox)
    assert listed(cri) == [] and not status(cri, id_).HasField("image")
    wait_for(lambda: leftovers(cri) == [])
    assert pull(cri, images.busybox) == id_


def test_layers_that_images_share_stay_for_the_other(cri, images):
    pull(cri, images.busybox)
    pull(cri, images.configured)
    remove(cri, images.busybox)
    assert cri.run().container(["/bin/echo", "x"], image=images.configured).output() == "x\n"


def test_an_image_in_use_keeps_its_files(cri, images):
    c = cri.run().container(FOREVER)
    try:
        remove(cri, images.busybox)
        removed = True
    except grpc.RpcError as e:
        assert e.code() == grpc.StatusCode.FAILED_PRECONDITION
        removed = False
    assert c.sh("cat /data/file; ls /bin | wc -l").startswith("of the image")
    assert (listed(cri) == []) == removed
    cri.restart()
    assert c.id and cri.runtime.ContainerStatus(cri.api.ContainerStatusRequest(container_id=c.id)).status.state == 1
    c.runtime = cri.runtime
    assert c.sh("cat /data/file") == "of the image"


def test_the_user_of_an_image(cri, images):
    pull(cri, images.configured)
    image = status(cri, images.configured).image
    assert image.username == "app" and not image.HasField("uid")


def test_layers_are_laid_on_each_other(cri, images):
    out = cri.run(network="pod", userns=100000).shell("ls /l /o; cat /l/over; stat -c %u /l /bin/busybox", image=images.layered)
    assert out.split() == ["/l:", "over", "/o:", "above", "2" + "0", "0"] or out.split()[:4] == ["/l:", "over", "/o:", "above"]
    assert "gone" not in out and "below" not in out


def test_what_a_container_writes_is_its_own(cri):
    pod = cri.run(network="pod", userns=100000)
    a, b = pod.container(FOREVER), pod.container(FOREVER)
    a.sh("echo mine > /data/file; rm /etc/group; mkdir /new; chown 5:6 /new")
    assert b.sh("cat /data/file; ls -d /etc/group") == "of the image\n/etc/group"
    a.remove()
    assert pod.container(FOREVER).sh("cat /data/file") == "of the image"


def test_image_fs_info_says_what_is_used(cri, images):
    before = cri.image.ImageFsInfo(cri.api.ImageFsInfoRequest())
    pull(cri, images.busybox)
    after = cri.image.ImageFsInfo(cri.api.ImageFsInfoRequest())
    for answer in (before, after):
        fs = answer.image_filesystems[0]
        assert fs.HasField("used_bytes") and fs.timestamp > 0 and os.path.isdir(fs.fs_id.mountpoint)
        assert len(answer.container_filesystems) >= 1
    assert after.image_filesystems[0].used_bytes.value - before.image_filesystems[0].used_bytes.value > 500_000


def test_pulls_of_the_same_at_once(cri, images):
    clients = [cri.hulld.client() for _ in range(6)]
    request = cri.api.PullImageRequest(image=cri.api.ImageSpec(image=images.layered))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        assert set(pool.map(lambda c: c.image.PullImage(request).image_ref, clients)) == {images.ids["layered"]}
    assert len(listed(cri)) == 1


@pytest.mark.parametrize("ref", ["", "a.b/UPPER", "a b", "x@sha256:12", "http://x/y", "../x", "a:b:c", "x" * 5000, "-x"])
def test_references_that_are_none(cri, ref):
    for call in (pull, *([status, remove] if ref == "" else [])):
        with refused("INVALID_ARGUMENT"):
            call(cri, ref)


def test_verbose_has_the_config(cri, images):
    import json
    pull(cri, images.configured)
    info = json.loads(status(cri, images.configured, verbose=True).info["info"])
    assert info["imageSpec"]["config"]["Entrypoint"] == ["/bin/sh", "-c"]


def small():
    return kit.Image(kit.tar(kit.file("a", os.urandom(100000))))


def test_credentials(cri):
    import base64
    with kit.Registry(auth="basic") as registry:
        ref = registry.push("app", small())
        for auth in ({}, {"username": "user", "password": "wrong"}):
            with refused("UNAUTHENTICATED"):
                pull(cri, ref, **auth)
        pull(cri, ref, username="user", password="secret-word")
        remove(cri, ref)
        pull(cri, ref, auth=base64.b64encode(b"user:secret-word").decode())
        assert "secret-word" not in cri.hulld.log()


def test_registries_that_lie_or_close(cri):
    with kit.Registry() as registry:
        image = small()
        ref = registry.push("app", image)
        digest = image.document["layers"][0]["digest"]
        registry.blobs[digest] = registry.blobs[digest][:-10] + b"0123456789"
        with refused("DATA_LOSS", digest):
            pull(cri, ref)
        registry.blobs[digest] = image.blobs[digest]
        registry.cut_after, registry.cuts_left = 1000, 10**6
        with refused("UNAVAILABLE"):
            pull(cri, ref)
        assert leftovers(cri) == [] and listed(cri) == []
        registry.cuts_left = 0
        pull(cri, ref)
    with refused("UNAVAILABLE", "127.0.0.1:1"):
        pull(cri, "127.0.0.1:1/app:1")


def test_layers_that_climb_out(cri, tmp_path):
    with kit.Registry() as registry:
        for n, entries in enumerate((
                [kit.file("../evil")], [kit.file("/evil")], [kit.symlink("way", str(tmp_path)), kit.file("way/evil")],
                [kit.hardlink("evil", "/etc/passwd")], [kit.symlink("way", "/etc"), kit.hardlink("evil", "way/passwd")])):
            with pytest.raises(grpc.RpcError, match="evil"):
                pull(cri, registry.push(f"app{n}", kit.Image(kit.tar(*entries))))
    assert list(tmp_path.iterdir()) == [] and leftovers(cri) == [] and listed(cri) == []


def test_a_pull_whose_client_gives_up_ends(cri):
    server = socket.create_server(("127.0.0.1", 0))  # accepts and says nothing
    server.settimeout(10)
    a = cri.api
    call = cri.image.PullImage.future(a.PullImageRequest(image=a.ImageSpec(image=f"127.0.0.1:{server.getsockname()[1]}/app:1")))
    server.accept()
    call.cancel()
    wait_for(lambda: not cri.hulld.processes())
    wait_for(lambda: leftovers(cri) == [])
    with pytest.raises(grpc.RpcError) as caught:
        cri.image.PullImage(a.PullImageRequest(image=a.ImageSpec(image=f"127.0.0.1:{server.getsockname()[1]}/app:1")), timeout=0.5)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    server.close()


def test_kill_in_the_middle_of_a_pull(cri, images):
    """At whatever moment: the next pull works, and what was half made is gone."""
    for n in range(6):
        client = cri.hulld.client()
        thread = threading.Thread(target=lambda: [None for _ in [0] if not quiet(client, cri, images.layered)])
        thread.start()
        time.sleep(0.01 * n * n)
        cri.hulld.kill()
        thread.join(10)
        cri.hulld.start()
        cri.connect()
        wait_for(lambda: not cri.hulld.processes())
        wait_for(lambda: not [x for x in leftovers(cri) if x.startswith("tmp/")])
        assert pull(cri, images.layered) == images.ids["layered"]
        assert cri.run().shell("cat /l/over", image=images.layered) == "2"
        cri.remove_all()
        remove(cri, images.layered)
        wait_for(lambda: leftovers(cri) == [])


def quiet(client, cri, ref):
    try:
        client.image.PullImage(cri.api.PullImageRequest(image=cri.api.ImageSpec(image=ref)), timeout=10)
        return True
    except grpc.RpcError:
        return False


def test_mirrors(make_cri, images):
    cri = make_cri({"registries": [{"prefix": "*", "mirrors": [{"url": f"http://{images.host}"}]}]})
    id_ = pull(cri, "registry.example/test/busybox:1")
    assert id_ == images.ids["busybox"]
    assert list(status(cri, id_).image.repo_tags) == ["registry.example/test/busybox:1"]
    assert pathlib.Path(cri.hulld.root).exists()
