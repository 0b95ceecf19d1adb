/* SPDX-License-Identifier: Apache-2.0 */
#include "cri/service.h"

#include "base/str.h"
#include "cri/handlers.h"
#include "hull.pb-c.h"

enum { LONG = 1, STREAM = 2 };

#define ROW(service, name, request, response, handler, flags)                                           \
	{                                                                                               \
		.path = "/runtime.v1." service "/" #name, .req = &runtime__v1__##request##__descriptor, \
		.resp = &runtime__v1__##response##__descriptor, .fn = (handler),                        \
		.is_long = ((flags)&LONG) != 0, .is_stream = ((flags)&STREAM) != 0,                     \
	}
#define RUNTIME(name, stem, ...) ROW("RuntimeService", name, stem##_request, stem##_response, __VA_ARGS__)
#define IMAGE(name, stem, ...) ROW("ImageService", name, stem##_request, stem##_response, __VA_ARGS__)

const struct cri_method cri_methods[] = {
	/* name, stem of its messages, handler (NULL: later), flags */
	RUNTIME(Version, version, cri_version, 0),
	RUNTIME(RunPodSandbox, run_pod_sandbox, cri_run_pod_sandbox, LONG),
	RUNTIME(StopPodSandbox, stop_pod_sandbox, cri_stop_pod_sandbox, LONG),
	RUNTIME(RemovePodSandbox, remove_pod_sandbox, cri_remove_pod_sandbox, LONG),
	RUNTIME(PodSandboxStatus, pod_sandbox_status, cri_pod_sandbox_status, 0),
	RUNTIME(ListPodSandbox, list_pod_sandbox, cri_list_pod_sandbox, 0),
	RUNTIME(StreamPodSandboxes, stream_pod_sandboxes, NULL, LONG | STREAM),
	RUNTIME(CreateContainer, create_container, cri_create_container, LONG),
	RUNTIME(StartContainer, start_container, cri_start_container, LONG),
	RUNTIME(StopContainer, stop_container, cri_stop_container, LONG),
	RUNTIME(RemoveContainer, remove_container, cri_remove_container, LONG),
	RUNTIME(ListContainers, list_containers, cri_list_containers, 0),
	RUNTIME(StreamContainers, stream_containers, NULL, LONG | STREAM),
	RUNTIME(ContainerStatus, container_status, cri_container_status, 0),
	RUNTIME(UpdateContainerResources, update_container_resources, NULL, 0),
	RUNTIME(ReopenContainerLog, reopen_container_log, cri_reopen_container_log, 0),
	RUNTIME(ExecSync, exec_sync, cri_exec_sync, LONG),
	RUNTIME(Exec, exec, NULL, 0),
	RUNTIME(Attach, attach, NULL, 0),
	RUNTIME(PortForward, port_forward, NULL, 0),
	RUNTIME(ContainerStats, container_stats, NULL, 0),
	RUNTIME(ListContainerStats, list_container_stats, NULL, 0),
	RUNTIME(StreamContainerStats, stream_container_stats, NULL, LONG | STREAM),
	RUNTIME(PodSandboxStats, pod_sandbox_stats, NULL, 0),
	RUNTIME(ListPodSandboxStats, list_pod_sandbox_stats, NULL, 0),
	RUNTIME(StreamPodSandboxStats, stream_pod_sandbox_stats, NULL, LONG | STREAM),
	RUNTIME(UpdateRuntimeConfig, update_runtime_config, cri_update_runtime_config, 0),
	RUNTIME(Status, status, cri_status, 0),
	RUNTIME(CheckpointContainer, checkpoint_container, NULL, LONG),
	RUNTIME(CheckpointPod, checkpoint_pod, NULL, LONG),
	RUNTIME(RestorePod, restore_pod, NULL, LONG),
	ROW("RuntimeService", GetContainerEvents, get_events_request, container_event_response, NULL,
	    LONG | STREAM),
	RUNTIME(ListMetricDescriptors, list_metric_descriptors, NULL, 0),
	RUNTIME(ListPodSandboxMetrics, list_pod_sandbox_metrics, NULL, 0),
	RUNTIME(StreamPodSandboxMetrics, stream_pod_sandbox_metrics, NULL, LONG | STREAM),
	RUNTIME(RuntimeConfig, runtime_config, cri_runtime_config, 0),
	RUNTIME(UpdatePodSandboxResources, update_pod_sandbox_resources, NULL, 0),
	IMAGE(ListImages, list_images, cri_list_images, 0),
	IMAGE(StreamImages, stream_images, NULL, LONG | STREAM),
	IMAGE(ImageStatus, image_status, cri_image_status, 0),
	IMAGE(PullImage, pull_image, cri_pull_image, LONG),
	IMAGE(RemoveImage, remove_image, cri_remove_image, LONG),
	IMAGE(ImageFsInfo, image_fs_info, cri_image_fs_info, 0),
	/* Ours, for hullctl (proto/hull.proto). */
	{ .path = "/hull.v1.Node/LoadImages",
	  .req = &hull__v1__load_images_request__descriptor,
	  .resp = &hull__v1__load_images_response__descriptor,
	  .fn = node_load_images,
	  .is_long = true },
	{ .path = "/hull.v1.Node/PullImage",
	  .req = &hull__v1__pull_image_request__descriptor,
	  .resp = &hull__v1__pull_image_progress__descriptor,
	  .fn = node_pull_image,
	  .is_long = true,
	  .is_stream = true },
};
_Static_assert(ARRAY_LEN(cri_methods) == CRI_METHOD_COUNT + NODE_METHOD_COUNT, "every method has its row");
