/* SPDX-License-Identifier: Apache-2.0 */
/* grpc-server SOCKET: hulld's server with handlers for tests instead of the CRI services. What a handler
 * does follows from its request:
 *	Version             answers the version that it was given, twice
 *	StopContainer       says so on stderr and sleeps for timeout seconds, or until it is canceled: then says that
 *	ListImages          one image whose id has as many bytes as the filter's image says
 *	GetContainerEvents  sends 1000 events of 10 kB each, in order
 * SIGTERM drains. Limits come from the environment: MAX_CONNECTIONS, HANDSHAKE_MS, REQUEST_MS, STALL_MS,
 * DRAIN_MS, MAX_SHORT, MAX_LONG. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/listen.h"
#include "daemon/server.h"

#define EVENT_COUNT 1000
#define EVENT_BYTES 10000

static int version(struct node *n, struct call *call, const void *request, void *response, struct error *e)
{
	const Runtime__V1__VersionRequest *req = request;
	Runtime__V1__VersionResponse *resp = response;

	(void)n;
	(void)e;
	resp->version = req->version;
	resp->runtime_name = arena_str(call->arena, "grpc-server");
	resp->runtime_version = req->version;
	return 0;
}

static int stop_container(struct node *n, struct call *call, const void *request, void *response,
			  struct error *e)
{
	const Runtime__V1__StopContainerRequest *req = request;
	struct pollfd p = { .fd = call->cancel_fd, .events = POLLIN };
	int64_t until = clock_mono_ns() + req->timeout * NS_PER_S;
	int r;

	(void)n;
	(void)response;
	if (call->deadline_ns && call->deadline_ns < until)
		until = call->deadline_ns;
	fprintf(stderr, "StopContainer %s begins\n", req->container_id);
	poll(&p, 1, deadline_left_ms(until));
	r = call_check(call, e);
	if (r < 0)
		fprintf(stderr, "StopContainer %s: %s\n", req->container_id, err_msg(e));
	return r;
}

static int list_images(struct node *n, struct call *call, const void *request, void *response,
		       struct error *e)
{
	const Runtime__V1__ListImagesRequest *req = request;
	Runtime__V1__ListImagesResponse *resp = response;
	size_t size = 0;

	(void)n;
	(void)e;
	if (req->filter && req->filter->image)
		size = strtoul(req->filter->image->image, NULL, 10);
	resp->n_images = 1;
	resp->images = arena_array(call->arena, 1, sizeof(*resp->images));
	resp->images[0] = PB_NEW(call->arena, Runtime__V1__Image, runtime__v1__image);
	resp->images[0]->id = arena_alloc(call->arena, size + 1);
	memset(resp->images[0]->id, 'x', size);
	return 0;
}

static int events(struct node *n, struct call *call, const void *request, void *response, struct error *e)
{
	Runtime__V1__ContainerEventResponse *event = response;
	int r;

	(void)n;
	(void)request;
	event->container_id = arena_alloc(call->arena, EVENT_BYTES + 1);
	memset(event->container_id, 'e', EVENT_BYTES);
	for (int i = 0; i < EVENT_COUNT; i++) {
		event->created_at = i;
		r = call_send(call, event, e);
		if (r < 0) {
			fprintf(stderr, "GetContainerEvents: event %d: %s\n", i, err_msg(e));
			return r;
		}
	}
	return 0;
}

#define ROW(service, name, request, response, handler, ...)                             \
	{                                                                               \
		"/runtime.v1." service "/" name, &runtime__v1__##request##__descriptor, \
			&runtime__v1__##response##__descriptor, handler, __VA_ARGS__    \
	}

static const struct cri_method methods[] = {
	ROW("RuntimeService", "Version", version_request, version_response, version, false, false),
	ROW("RuntimeService", "Status", status_request, status_response, NULL, false, false),
	ROW("RuntimeService", "StopContainer", stop_container_request, stop_container_response,
	    stop_container, true, false),
	ROW("RuntimeService", "GetContainerEvents", get_events_request, container_event_response, events,
	    true, true),
	ROW("ImageService", "ListImages", list_images_request, list_images_response, list_images, false,
	    false),
};

static void on_signal(void *arg, int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) == sizeof(info))
		server_stop(arg);
}

static int64_t env_number(const char *name, int64_t otherwise)
{
	const char *text = getenv(name);

	return text ? atoll(text) : otherwise;
}

static int serve(const char *socket_path, struct error *e)
{
	CLEANUP(server_free) struct server *server = NULL;
	struct server_opts opts = { methods, ARRAY_LEN(methods), NULL, server_limits_default };
	struct server_limits *l = &opts.limits;
	cleanup_close int signal_fd = -1;
	int fd, r;
	sigset_t set;

	l->max_connections = (unsigned)env_number("MAX_CONNECTIONS", l->max_connections);
	l->handshake_ns = env_number("HANDSHAKE_MS", l->handshake_ns / NS_PER_MS) * NS_PER_MS;
	l->grpc.request_timeout_ns =
		env_number("REQUEST_MS", l->grpc.request_timeout_ns / NS_PER_MS) * NS_PER_MS;
	l->stall_ns = env_number("STALL_MS", l->stall_ns / NS_PER_MS) * NS_PER_MS;
	l->drain_ns = env_number("DRAIN_MS", l->drain_ns / NS_PER_MS) * NS_PER_MS;
	l->workers.max[JOB_SHORT] = (unsigned)env_number("MAX_SHORT", l->workers.max[JOB_SHORT]);
	l->workers.max[JOB_LONG] = (unsigned)env_number("MAX_LONG", l->workers.max[JOB_LONG]);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	r = server_new(&opts, &server, e);
	if (r == 0)
		r = server_watch(server, signal_fd, on_signal, server, e);
	if (r == 0)
		r = listen_unix(socket_path, &fd, e);
	if (r == 0)
		r = server_listen(server, fd, e);
	return r == 0 ? server_run(server, e) : r;
}

int main(int argc, char **argv)
{
	struct error e = ERROR_INIT;

	if (argc != 2)
		return 2;
	server_tune_malloc();
	log_setup(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_DEBUG);
	if (serve(argv[1], &e) < 0) {
		fprintf(stderr, "grpc-server: %s\n", err_msg(&e));
		return 1;
	}
	return 0;
}
