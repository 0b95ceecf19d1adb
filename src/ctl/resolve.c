// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "ctl/resolve.h"

/* How well a candidate fits: the best class of all decides. */
enum fit { FIT_NONE, FIT_PREFIX, FIT_NAME, FIT_ID };

static enum fit fit_of(const struct resolve_candidate *k, bool is_pod, const char *text)
{
	char full[1024];

	if (str_eq(k->id, text))
		return FIT_ID;
	if (str_eq(k->name, text))
		return FIT_NAME;
	snprintf(full, sizeof(full), "%s/%s", is_pod ? k->ns : k->pod, k->name);
	if (str_eq(full, text))
		return FIT_NAME;
	snprintf(full, sizeof(full), "%s/%s/%s", k->ns, k->pod, k->name);
	if (!is_pod && str_eq(full, text))
		return FIT_NAME;
	return *text && str_starts(k->id, text) ? FIT_PREFIX : FIT_NONE;
}

static int several(const struct resolve_candidate *list, size_t count, bool is_pod, const char *text,
		   enum fit best, struct error *e)
{
	struct buf names = BUF_INIT;
	int r;

	for (size_t i = 0; i < count; i++) {
		if (fit_of(&list[i], is_pod, text) != best)
			continue;
		buf_addf(&names, "%s%.12s %s/%s", names.len ? ", " : "", list[i].id,
			 is_pod ? list[i].ns : list[i].pod, list[i].name);
		if (names.len > 300) {
			buf_adds(&names, ", ...");
			break;
		}
	}
	r = err_new(e, ERR_INVALID, "\"%s\" could be any of: %s", text, buf_str(&names));
	buf_done(&names);
	return r;
}

int resolve_choose(const struct resolve_candidate *list, size_t count, bool is_pod, const char *text,
		   size_t *ret_index, struct error *e)
{
	size_t matches = 0, alive = 0, newest = 0, living = 0;
	enum fit best = FIT_NONE;

	for (size_t i = 0; i < count; i++) {
		enum fit fit = fit_of(&list[i], is_pod, text);

		best = fit > best ? fit : best;
	}
	if (best == FIT_NONE)
		return err_new(e, ERR_NOT_FOUND, "no %s \"%s\"", is_pod ? "pod" : "container", text);
	for (size_t i = 0; i < count; i++) {
		if (fit_of(&list[i], is_pod, text) != best)
			continue;
		if (matches++ == 0 || list[i].created_at > list[newest].created_at)
			newest = i;
		if (list[i].is_alive) {
			alive++;
			living = i;
		}
	}
	/* Old attempts of one name are no reason to ask; a prefix that fits several is. */
	if (matches > 1 && (best == FIT_PREFIX || alive > 1))
		return several(list, count, is_pod, text, best, e);
	*ret_index = alive == 1 ? living : newest;
	return 0;
}

static int list_pods(struct ctl *c, PB(ListPodSandboxResponse) **ret, struct error *e)
{
	PB(ListPodSandboxRequest) *req = CTL_NEW(c, ListPodSandboxRequest, list_pod_sandbox_request);

	return CTL_CALL(c, "Runtime", "ListPodSandbox", req, list_pod_sandbox_response, ret, e);
}

int resolve_pod(struct ctl *c, const char *text, PB(PodSandbox) **ret, struct error *e)
{
	struct resolve_candidate *list;
	PB(ListPodSandboxResponse) *pods = NULL;
	size_t index = 0;
	int r = list_pods(c, &pods, e);

	if (r < 0)
		return r;
	list = arena_array(&c->arena, pods->n_items, sizeof(*list));
	for (size_t i = 0; i < pods->n_items; i++) {
		PB(PodSandbox) *p = pods->items[i];

		list[i] = (struct resolve_candidate){
			.id = p->id,
			.name = p->metadata ? p->metadata->name : "",
			.ns = p->metadata ? p->metadata->namespace_ : "",
			.pod = "",
			.is_alive = p->state == RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY,
			.created_at = p->created_at,
		};
	}
	r = resolve_choose(list, pods->n_items, true, text, &index, e);
	if (r >= 0)
		*ret = pods->items[index];
	return r;
}

/* The pod's name and namespace stand in the labels that a kubelet and hullctl give every container; where they are
 * not, they come from the list of pods. */
static void name_pod(const PB(ListPodSandboxResponse) *pods, const PB(Container) *ct,
		     struct resolve_candidate *k)
{
	k->pod = k->ns = "";
	for (size_t i = 0; i < pods->n_items; i++) {
		if (str_eq(pods->items[i]->id, ct->pod_sandbox_id) && pods->items[i]->metadata) {
			k->pod = pods->items[i]->metadata->name;
			k->ns = pods->items[i]->metadata->namespace_;
		}
	}
}

/* The only container of the pod that text names. */
static int container_of_pod(struct ctl *c, const char *text, const PB(ListContainersResponse) *all,
			    PB(Container) **ret, struct error *e)
{
	struct error ignored = ERROR_INIT;
	PB(PodSandbox) *pod = NULL;
	PB(Container) *found = NULL;

	if (resolve_pod(c, text, &pod, &ignored) < 0)
		return err_new(e, ERR_NOT_FOUND, "no container \"%s\"", text);
	for (size_t i = 0; i < all->n_containers; i++) {
		if (!str_eq(all->containers[i]->pod_sandbox_id, pod->id))
			continue;
		if (found)
			return err_new(e, ERR_INVALID,
				       "pod \"%s\" has several containers; name one as %s/NAME", text, text);
		found = all->containers[i];
	}
	if (!found)
		return err_new(e, ERR_NOT_FOUND, "pod \"%s\" has no container", text);
	*ret = found;
	return 0;
}

int resolve_container(struct ctl *c, const char *text, PB(Container) **ret, struct error *e)
{
	PB(ListContainersRequest) *req = CTL_NEW(c, ListContainersRequest, list_containers_request);
	PB(ListContainersResponse) *all = NULL;
	PB(ListPodSandboxResponse) *pods = NULL;
	struct resolve_candidate *list;
	size_t index = 0;
	int r;

	r = list_pods(c, &pods, e);
	if (r >= 0)
		r = CTL_CALL(c, "Runtime", "ListContainers", req, list_containers_response, &all, e);
	if (r < 0)
		return r;
	list = arena_array(&c->arena, all->n_containers, sizeof(*list));
	for (size_t i = 0; i < all->n_containers; i++) {
		PB(Container) *ct = all->containers[i];

		list[i] = (struct resolve_candidate){
			.id = ct->id,
			.name = ct->metadata ? ct->metadata->name : "",
			.created_at = ct->created_at,
			.is_alive = ct->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING ||
				    ct->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED,
		};
		name_pod(pods, ct, &list[i]);
	}
	r = resolve_choose(list, all->n_containers, false, text, &index, e);
	if (r == -ERR_NOT_FOUND)
		return container_of_pod(c, text, all, ret, e);
	if (r >= 0)
		*ret = all->containers[index];
	return r;
}

int resolve_any(struct ctl *c, const char *text, PB(PodSandbox) **ret_pod, PB(Container) **ret_container,
		struct error *e)
{
	struct error second = ERROR_INIT;
	int r;

	*ret_pod = NULL;
	*ret_container = NULL;
	if (strchr(text, '/')) {
		r = resolve_container(c, text, ret_container, e);
		return r == -ERR_NOT_FOUND ? resolve_pod(c, text, ret_pod, e) : r;
	}
	r = resolve_pod(c, text, ret_pod, e);
	if (r != -ERR_NOT_FOUND)
		return r;
	r = resolve_container(c, text, ret_container, &second);
	if (r == -ERR_NOT_FOUND)
		return err_new(e, ERR_NOT_FOUND, "no pod and no container \"%s\"", text);
	if (r < 0)
		*e = second;
	return r;
}

const char *resolve_label(const PB(Container) *ct, const char *key)
{
	for (size_t i = 0; i < ct->n_annotations; i++)
		if (str_eq(ct->annotations[i]->key, key))
			return ct->annotations[i]->value;
	for (size_t i = 0; i < ct->n_labels; i++)
		if (str_eq(ct->labels[i]->key, key))
			return ct->labels[i]->value;
	return "";
}
