/* SPDX-License-Identifier: Apache-2.0 */
/* Pod sandboxes: the way from a request to namespaces, files and an address, and back. Internal to
 * src/cri. */
#ifndef HULL_CRI_SANDBOX_H
#define HULL_CRI_SANDBOX_H

#include "cri/state.h"
#include "pod/client.h"
#include "userns/sysctl.h"

/* What a request comes to on this node: pure, computed before anything is made. */
struct sandbox_plan {
	const struct handler_config *handler;
	bool new_user, new_net, new_ipc, new_uts;
	bool host_pid, shared_pid;
	bool alloc_range; /* the id range is to be taken from the node's blocks */
	bool idmap_all;	  /* volumes are id-mapped by policy */
	struct idmap uids, gids;
	char note[256];		     /* why there is or is not a user namespace */
	struct sysctl_item *sysctls; /* borrowed strings, owned array */
	size_t sysctl_count;
	char ping_range[SYSCTL_PING_RANGE_SIZE];
};
void sandbox_plan_done(struct sandbox_plan *p);
DEFINE_CLEANUP_VALUE(struct sandbox_plan, sandbox_plan_done)

/* Decide the handler, the namespaces and the id maps. Fails: INVALID, UNSUPPORTED. */
int sandbox_plan(struct node *n, const PB(PodSandboxConfig) *config, const char *runtime_handler,
		 struct sandbox_plan *ret, struct error *e) MUST_USE;
/* The sysctls, once the id maps are known: the pod's own, then the node's defaults that it did not set.
 * Fails: INVALID, DENIED (sysctl_check()). */
int sandbox_plan_sysctls(struct node *n, const PB(PodSandboxConfig) *config, struct sandbox_plan *p,
			 struct error *e) MUST_USE;

/* hostname, hosts and resolv.conf in the pod's directory, given to the pod's root. */
int sandbox_files_write(const struct sandbox *s, struct error *e) MUST_USE;

/* A call to the monitor of a sandbox within the limits of a request. */
struct monitor_call sandbox_call(const struct sandbox *s, const struct call *call);
/* The same for what must be done whether or not a client waits. */
struct monitor_call sandbox_call_ms(const struct sandbox *s, int64_t timeout_ms);

/* Bring what lives of a sandbox down to nothing, in reverse order of its making: processes, address,
 * namespaces, cgroups. What has gone already is fine; what cannot be undone stays journaled and is
 * retried. Containers get their final states. With s->op held. */
int sandbox_down(struct node *n, struct sandbox *s, struct error *e) MUST_USE;
/* Undo the open entries of the journal (all of them: nothing of the pod may live). */
int sandbox_undo_journal(struct node *n, struct sandbox *s, struct error *e) MUST_USE;
/* Forget a sandbox that is down: its containers, directory and record. */
int sandbox_forget(struct node *n, struct sandbox *s, struct error *e) MUST_USE;

/* The network part (sandbox_net.c). */
/* What the pod's annotations say of its traffic (bandwidth.c). Fails: INVALID. */
int sandbox_bandwidth(const PB(PodSandboxConfig) *c, struct cni_bandwidth *ret, struct error *e) MUST_USE;
int sandbox_net_up(struct node *n, struct sandbox *s, struct error *e) MUST_USE;
int sandbox_net_down(struct node *n, struct sandbox *s, struct error *e) MUST_USE;

/* The pause container of a node with sandbox_image (pause.c). */
int pause_create(struct node *n, struct sandbox *s, struct call *call, struct error *e) MUST_USE;

/* The systemd cgroup driver's part (sandbox_scope.c); without that driver these do nothing. The name goes into the
 * record; the scope is started for the monitor, which runs. */
int sandbox_scope_name(struct node *n, struct sandbox *s, struct error *e) MUST_USE;
int sandbox_scope_start(struct node *n, const struct sandbox *s, struct error *e) MUST_USE;
bool sandbox_scope_is(const struct node *n, const char *path);
int sandbox_scope_remove(const struct node *n, const char *path, struct error *e) MUST_USE;

/* Where pods without a cgroup_parent have their cgroups: cgroupfs and systemd driver. */
#define OWN_CGROUPS "/hull"
#define OWN_SLICE "/hull.slice"

/* Kinds of journal entries. */
#define JOURNAL_NETNS "netns"	/* argument: path of the pin */
#define JOURNAL_CGROUP "cgroup" /* path */
#define JOURNAL_CNI "cni"	/* network name */

#endif
