/* SPDX-License-Identifier: Apache-2.0 */
/* What the node knows in memory, and the rules of locking. Internal to src/cri.
 *
 * Three kinds of locks, taken in this order:
 *	object->op	one a sandbox and one a container: held over a whole operation that changes the object
 *			(run, stop, remove; create, start, remove), also while others are asked. Never two of
 *			one kind; a sandbox's before a container's.
 *	node->save	held while one record is packed and put, so that records reach the database in the
 *			order of their changes.
 *	node->lock	guards the maps and all fields of all objects; held for memory work only.
 * Objects are counted: whoever uses one without node->lock holds a reference. */
#ifndef HULL_CRI_STATE_H
#define HULL_CRI_STATE_H

#include <pthread.h>
#include <stdbool.h>

#include "base/map.h"
#include "base/proc.h"
#include "cgroup/cgroup.h"
#include "cri/api.h"
#include "cri/config.h"
#include "cri/service.h"
#include "image/images.h"
#include "net/cni.h"
#include "store/store.h"
#include "userns/idrange.h"

struct node;
struct container;

struct sandbox {
	REC(Sandbox) *rec; /* owned */
	unsigned refs;
	pthread_mutex_t op;
	struct container *containers; /* of this sandbox, newest first */

	bool is_creating;	   /* RunPodSandbox is under way; others may wait for node->changed */
	bool is_unclaimed;	   /* the client of the creation went away before it had the id */
	bool is_stopping;	   /* no new containers */
	bool is_removed;	   /* out of the maps */
	struct error create_error; /* why the creation failed, for those who joined it */

	int pod_dfd;	     /* STATE/pods/ID, or -1 */
	int event_fd;	     /* monitor_subscribe(), or -1; watched */
	struct proc monitor; /* our child; pid_fd -1 when hull-pod is somebody else's */
	int mapping_fd;	     /* user namespace for idmapped mounts of hulld's own, or -1 */
};

struct container {
	REC(Container) *rec; /* owned */
	unsigned refs;
	pthread_mutex_t op;
	struct sandbox *sandbox; /* a reference */
	struct container *next;	 /* in sandbox->containers */
	bool is_creating;	 /* not shown yet */
	bool is_unclaimed;
	bool is_removed;
	struct error create_error;
};

struct watch; /* watch.c: the thread that listens to all monitors */

struct features {
	bool idmapped_mounts, recursive_read_only, user_namespaces;
	char missing[256]; /* why user_namespaces is false */
};

struct node {
	const struct node_config *config; /* by node_config() */
	int root_dfd, state_dfd, pods_dfd, containers_dfd;
	char *helper_pod, *helper_unpack;
	char *mount_points; /* the lowest layer of every container (node.c) */
	char *seccomp_dir;  /* compiled filters of all pods, below the state directory */
	struct store *store;
	struct images *images;
	struct cgroup_host *cgroups;
	struct features features;
	char *pod_cidr; /* UpdateRuntimeConfig */

	pthread_mutex_t save;
	pthread_mutex_t lock;
	pthread_cond_t changed;			/* a creation ended */
	struct map sandboxes, sandbox_names;	/* by id; by "name_namespace_uid_attempt" */
	struct map containers, container_names; /* by id; by "sandbox id/name/attempt" */
	struct cni *cni;
	struct idrange *ranges;
	struct idrange_pool pool;
	bool has_pool;
	char pool_note[256]; /* why there is none */
	struct watch *watch;
};

/* The configuration in force; one that was replaced by a reload stays valid (node.h). */
static inline const struct node_config *node_config(const struct node *n)
{
	return __atomic_load_n(&n->config, __ATOMIC_ACQUIRE);
}

/* --- objects (state.c) ---------------------------------------------------------------------------- */

struct sandbox *sandbox_new(REC(Sandbox) *rec);	 /* takes rec; one reference */
struct sandbox *sandbox_hold(struct sandbox *s); /* with node->lock held, or another reference */
void sandbox_unref(struct node *n, struct sandbox *s);
struct container *container_new(REC(Container) *rec, struct sandbox *s);
struct container *container_hold(struct container *c);
void container_unref(struct node *n, struct container *c);

/* By id, or by an unambiguous prefix of at least 4 digits; a reference for the caller.
 * Fails: NOT_FOUND, INVALID. Sandboxes and containers still being made are not found. */
int sandbox_find(struct node *n, const char *id, struct sandbox **ret, struct error *e) MUST_USE;
int container_find(struct node *n, const char *id, struct container **ret, struct error *e) MUST_USE;

/* The keys of the name maps; the caller frees them. */
char *sandbox_key(const PB(PodSandboxMetadata) *m);
char *container_key(const char *sandbox_id, const PB(ContainerMetadata) *m);

/* Write the record. SAFE: it outlives us, not a power cut; sandboxes do not outlive one either. */
int sandbox_save(struct node *n, struct sandbox *s, struct error *e) MUST_USE;
int container_save(struct node *n, struct container *c, struct error *e) MUST_USE;

/* The pod as messages and users know it: "namespace/name (id prefix)". */
const char *sandbox_text(const struct sandbox *s, char *out, size_t size);

/* All of a sandbox's containers at this moment, referenced; the caller unrefs each and frees the array. */
struct container **sandbox_containers(struct node *n, struct sandbox *s, size_t *ret_count);

/* --- records (record.c) --------------------------------------------------------------------------- */

/* Set a string field of a record; "" and NULL are the same. */
void rec_set(char **field, const char *value);
/* Deep copies on the heap, for records. */
PB(PodSandboxConfig) *rec_copy_sandbox_config(const PB(PodSandboxConfig) *c);
PB(ContainerConfig) *rec_copy_container_config(const PB(ContainerConfig) *c);
PB(LinuxContainerResources) *rec_copy_resources(const PB(LinuxContainerResources) *r);
void rec_set_map(PB(IDMapping) ***field, size_t *n, const struct idmap *map);
int rec_get_map(PB(IDMapping) *const *maps, size_t n, struct idmap *ret, struct error *e) MUST_USE;
void rec_set_strv(char ***field, size_t *n, const struct strv *v);

#define SANDBOX_HAS_USERNS(rec) ((rec)->n_uids > 0)

#endif
