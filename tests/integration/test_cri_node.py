# SPDX-License-Identifier: Apache-2.0
"""What a kubelet asks of the node, and settings that pass through."""
import grpc
import pytest

from crikit import FOREVER, READY, refused


def status(cri, verbose=False):
    return cri.runtime.Status(cri.api.StatusRequest(verbose=verbose))


def test_status_has_what_a_kubelet_needs(cri):
    answer = status(cri)
    conditions = {c.type: c.status for c in answer.status.conditions}
    assert conditions == {"RuntimeReady": True, "NetworkReady": True}
    default = next(h for h in answer.runtime_handlers if h.name == "")
    assert default.features.user_namespaces and default.features.recursive_read_only_mounts
    assert answer.features.supplemental_groups_policy
    assert dict(answer.info) == {} and status(cri, verbose=True).info


def test_runtime_config_names_the_cgroup_driver(cri):
    answer = cri.runtime.RuntimeConfig(cri.api.RuntimeConfigRequest())
    assert answer.HasField("linux") and answer.linux.cgroup_driver == cri.api.CGROUPFS


def test_the_pod_cidr_of_a_kubelet_is_taken(cri):
    a = cri.api
    cri.runtime.UpdateRuntimeConfig(a.UpdateRuntimeConfigRequest(
        runtime_config=a.RuntimeConfig(network_config=a.NetworkConfig(pod_cidr="10.1.0.0/16"))))
    cri.runtime.UpdateRuntimeConfig(a.UpdateRuntimeConfigRequest())


def test_what_later_versions_build_is_unimplemented_and_says_so(cri):
    c = cri.run().container(FOREVER)
    for method in ("ContainerStats", "PodSandboxStats", "UpdateContainerResources", "Exec", "Attach", "PortForward",
                   "CheckpointContainer"):
        request = getattr(cri.api, method + "Request")()
        for field in ("container_id", "pod_sandbox_id"):
            if field in request.DESCRIPTOR.fields_by_name:
                setattr(request, field, c.id)
        try:
            getattr(cri.runtime, method)(request)
        except grpc.RpcError as e:
            if e.code() == grpc.StatusCode.UNIMPLEMENTED:
                assert method in e.details()
    assert cri.containers()[0].id == c.id


def test_selinux_labels_without_a_policy_do_not_matter(cri):
    options = cri.api.SELinuxOption(user="system_u", role="system_r", type="container_t", level="s0:c1,c2")
    pod = cri.run(security={"selinux_options": options})
    assert pod.shell("echo ok", security={"selinux_options": options}) == "ok"


def test_overhead_and_resources_are_kept(cri):
    r = cri.api.LinuxContainerResources
    pod = cri.run(linux={"overhead": r(memory_limit_in_bytes=1 << 20), "resources": r(cpu_shares=77)})
    config = pod.info["config"]["linux"]
    assert config["overhead"]["memory_limit_in_bytes"] == 1 << 20 and config["resources"]["cpu_shares"] == 77
    cri.restart()
    pod.runtime = cri.runtime
    assert pod.info["config"]["linux"] == config


def test_image_volumes_are_refused_by_name(cri):
    m = cri.api.Mount(container_path="/v", image=cri.api.ImageSpec(image=cri.images.busybox))
    with refused("UNIMPLEMENTED", "config.mounts[0].image"):
        cri.run().container(FOREVER, mounts=[m])


def test_annotations_steer_nothing(cri):
    names = {"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri-o.Devices": "/dev/kvm",
             "run.oci.keep_original_groups": "1", "module.wasm.image/variant": "compat", "org.systemd.property.X": "1",
             "io.kubernetes.cri-o.userns-mode": "auto"}
    pod = cri.run(annotations=names)
    c = pod.container(FOREVER, annotations=names)
    assert c.spec["annotations"]["io.kubernetes.cri.container-type"] == "container"
    assert set(c.spec["annotations"]) & (set(names) - {"io.kubernetes.cri.container-type"}) == set()
    assert c.exec("test -e /dev/kvm")[0] == 1
    assert dict(c.status().annotations) == names


def test_annotations_that_the_node_lets_through(make_cri):
    cri = make_cri({"container_annotations": ["exact", "prefix/*"]})
    c = cri.run().container(FOREVER, annotations={"exact": "1", "exact2": "2", "prefix/a": "3", "other": "4"})
    passed = {k for k in c.spec["annotations"] if not k.startswith("io.kubernetes.cri.")}
    assert passed == {"exact", "prefix/a"}


def test_ids_may_be_shortened(cri):
    pod, other = cri.run(), cri.run()
    c = pod.container(FOREVER)
    answer = cri.runtime.ContainerStatus(cri.api.ContainerStatusRequest(container_id=c.id[:12]))
    assert answer.status.id == c.id
    answer = cri.runtime.PodSandboxStatus(cri.api.PodSandboxStatusRequest(pod_sandbox_id=pod.id[:12]))
    assert answer.status.id == pod.id and other.status().state == READY
    with pytest.raises(grpc.RpcError):
        cri.runtime.ContainerStatus(cri.api.ContainerStatusRequest(container_id="../" + c.id))
