/* SPDX-License-Identifier: Apache-2.0 */
/* hullctl: what all commands share. One command runs in a process, so its memory is one arena that ends with
 * it. */
#ifndef HULL_CTL_CTL_H
#define HULL_CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api.pb-c.h"
#include "base/error.h"
#include "codec/arena.h"
#include "codec/pb.h"
#include "proto/grpc_client.h"

#define PB(name) Runtime__V1__##name
/* An empty message in the command's arena: CTL_NEW(c, VersionRequest, version_request). */
#define CTL_NEW(c, name, lower) PB_NEW(&(c)->arena, PB(name), runtime__v1__##lower)

#define CTL_DEFAULT_ADDRESS "unix:///run/hull/hull.sock"
/* Exit statuses, besides that of a program run by exec. */
enum { CTL_OK = 0, CTL_FAILED = 1, CTL_USAGE = 2 };

struct ctl_command;
struct ctl {
	const char *socket_path;
	const struct ctl_command *command;
	bool is_json;
	bool is_quiet; /* -q: ids only */
	struct arena arena;
	struct grpc_client *client; /* connected by the first call */
	int status; /* gRPC status of the last failed call, or -1 when the failure is our own */
};

struct ctl_command {
	const char *name, *args, *summary;
	const char *help; /* more lines, or NULL */
	/* argv[0] is the command's name; options by getopt. Returns an exit status, or -kind with e set. */
	int (*run)(struct ctl *c, int argc, char **argv, struct error *e);
};
extern const struct ctl_command ctl_commands[];

/* Print how the command is used, on stderr; returns CTL_USAGE. */
int ctl_usage(const struct ctl *c, const char *fmt, ...) PRINTF(2, 3);

/* Call a method of CRI: service is "Runtime" or "Image". Fails as grpc_client_unary(). */
int ctl_call(struct ctl *c, const char *service, const char *method, const void *request,
	     const ProtobufCMessageDescriptor *response_type, void **ret_response, struct error *e) MUST_USE;
#define CTL_CALL(c, service, method, request, lower, ret, e) \
	ctl_call(c, service, method, request, &runtime__v1__##lower##__descriptor, (void **)(ret), e)
/* Connect now. Fails: UNAVAILABLE, DENIED, SYS. */
int ctl_connect(struct ctl *c, struct error *e) MUST_USE;

/* Options of commands: sets a variable for each -x or --xxx; see options.c. */
enum ctl_option_kind { CTL_FLAG, CTL_TEXT, CTL_NUMBER };
struct ctl_option {
	char letter; /* 0: long only */
	const char *name;
	enum ctl_option_kind kind;
	void *value; /* bool *, const char **, int64_t * */
};
/* Parse the options of a command, which end at the first argument that is none, or at "--". Returns the index of
 * the first argument, or -1 when the usage was printed (return CTL_USAGE then). */
int ctl_options(const struct ctl *c, int argc, char **argv, const struct ctl_option *options,
		size_t count) MUST_USE;

/* The commands. */
int ctl_version(struct ctl *c, int argc, char **argv, struct error *e);
int ctl_info(struct ctl *c, int argc, char **argv, struct error *e);
int ctl_pull(struct ctl *c, int argc, char **argv, struct error *e);
int ctl_load(struct ctl *c, int argc, char **argv, struct error *e);
int ctl_images(struct ctl *c, int argc, char **argv, struct error *e);
int ctl_rmi(struct ctl *c, int argc, char **argv, struct error *e);
int ctl_run(struct ctl *c, int argc, char **argv, struct error *e);
int ctl_pods(struct ctl *c, int argc, char **argv, struct error *e);
int ctl_ps(struct ctl *c, int argc, char **argv, struct error *e);
int ctl_inspect(struct ctl *c, int argc, char **argv, struct error *e);
int ctl_exec(struct ctl *c, int argc, char **argv, struct error *e);
int ctl_logs(struct ctl *c, int argc, char **argv, struct error *e);
int ctl_stop(struct ctl *c, int argc, char **argv, struct error *e);
int ctl_rm(struct ctl *c, int argc, char **argv, struct error *e);

#endif
