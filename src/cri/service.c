/* SPDX-License-Identifier: Apache-2.0 */
#include "cri/service.h"

#include "base/str.h"

enum { LONG = 1, STREAM = 2 };

#define ROW(service, name, request, response, handler, flags)              \
	{                                                                  \
		.path = "/runtime.v1." service "/" #name,                  \
		.req = &runtime__v1__##request##__descriptor,                      \
		.resp = &runtime__v1__##response##__descriptor,                    \
		.fn = (handler),                                           \
		.is_long = ((flags) & LONG) != 0,                          \
		.is_stream = ((flags) & STREAM) != 0,                      \
	}
#define RUNTIME(name, stem, ...) ROW("RuntimeService", name, stem##_request, stem##_response, __VA_ARGS__)
#define IMAGE(name, stem, ...) ROW("ImageService", name, stem##_request, stem##_response, __VA_ARGS__)

const struct cri_method cri_methods[] = {
	/* name, stem of its messages, handler (NULL: later), flags */
	RUNTIME(Version, version, NULL, 0),
	RUNTIME(RunPodSandbox, run_pod_sandbox, NULL, LONG),
	RUNTIME(StopPodSandbox, stop_pod_sandbox, NULL, LONG),
	RUNTIME(RemovePodSandbox, remove_pod_sandbox, NULL, LONG),
	RUNTIME(PodSandboxStatus, pod_sandbox_status, NULL, 0),
	RUNTIME(ListPodSandbox, list_pod_sandbox, NULL, 0),
	RUNTIME(StreamPodSandboxes, stream_pod_sandboxes, NULL, LONG | STREAM),
	RUNTIME(CreateContainer, create_container, NULL, LONG),
	RUNTIME(StartContainer, start_container, NULL, LONG),
	RUNTIME(StopContainer, stop_container, NULL, LONG),
	RUNTIME(RemoveContainer, remove_container, NULL, LONG),
	RUNTIME(ListContainers, list_containers, NULL, 0),
	RUNTIME(StreamContainers, stream_containers, NULL, LONG | STREAM),
	RUNTIME(ContainerStatus, container_status, NULL, 0),
	RUNTIME(UpdateContainerResources, update_container_resources, NULL, 0),
	RUNTIME(ReopenContainerLog, reopen_container_log, NULL, 0),
	RUNTIME(ExecSync, exec_sync, NULL, LONG),
	RUNTIME(Exec, exec, NULL, 0),
	RUNTIME(Attach, attach, NULL, 0),
	RUNTIME(PortForward, port_forward, NULL, 0),
	RUNTIME(ContainerStats, container_stats, NULL, 0),
	RUNTIME(ListContainerStats, list_container_stats, NULL, 0),
	RUNTIME(StreamContainerStats, stream_container_stats, NULL, LONG | STREAM),
	RUNTIME(PodSandboxStats, pod_sandbox_stats, NULL, 0),
	RUNTIME(ListPodSandboxStats, list_pod_sandbox_stats, NULL, 0),
	RUNTIME(StreamPodSandboxStats, stream_pod_sandbox_stats, NULL, LONG | STREAM),
	RUNTIME(UpdateRuntimeConfig, update_runtime_config, NULL, 0),
	RUNTIME(Status, status, NULL, 0),
	RUNTIME(CheckpointContainer, checkpoint_container, NULL, LONG),
	RUNTIME(CheckpointPod, checkpoint_pod, NULL, LONG),
	RUNTIME(RestorePod, restore_pod, NULL, LONG),
	ROW("RuntimeService", GetContainerEvents, get_events_request, container_event_response, NULL, LONG | STREAM),
	RUNTIME(ListMetricDescriptors, list_metric_descriptors, NULL, 0),
	RUNTIME(ListPodSandboxMetrics, list_pod_sandbox_metrics, NULL, 0),
	RUNTIME(StreamPodSandboxMetrics, stream_pod_sandbox_metrics, NULL, LONG | STREAM),
	RUNTIME(RuntimeConfig, runtime_config, NULL, 0),
	RUNTIME(UpdatePodSandboxResources, update_pod_sandbox_resources, NULL, 0),
	IMAGE(ListImages, list_images, NULL, 0),
	IMAGE(StreamImages, stream_images, NULL, LONG | STREAM),
	IMAGE(ImageStatus, image_status, NULL, 0),
	IMAGE(PullImage, pull_image, NULL, LONG),
	IMAGE(RemoveImage, remove_image, NULL, LONG),
	IMAGE(ImageFsInfo, image_fs_info, NULL, 0),
};
_Static_assert(ARRAY_LEN(cri_methods) == CRI_METHOD_COUNT, "every method of CRI v1 has its row");

const struct cri_method *cri_method_find(const char *path)
{
	for (size_t i = 0; i < CRI_METHOD_COUNT; i++)
		if (str_eq(cri_methods[i].path, path))
			return &cri_methods[i];
	return NULL;
}
