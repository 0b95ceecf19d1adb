// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "base/str.h"
#include "ctl/userns_choice.h"

/* 1024 blocks of 65536 from 2^28 on: above login ids, systemd's dynamic users and containers of 524288 on, and below
 * 2^31 (systemd.io/UIDS-GIDS). */
#define DEFAULT_FIRST 0x10000000u
#define DEFAULT_LENGTH (1024u * USERNS_LENGTH)

int userns_range_parse(const char *text, struct idrange_block *ret, struct error *e)
{
	const char *colon = strchr(text, ':');
	cleanup_free char *first = str_ndup(text, colon ? (size_t)(colon - text) : 0);
	struct idrange_block block;

	if (!colon || str_to_u32(first, &block.first, NULL) < 0 ||
	    str_to_u32(colon + 1, &block.length, NULL) < 0 || block.length == 0 ||
	    block.first > UINT32_MAX - block.length)
		return err_new(e, ERR_INVALID, "--userns \"%s\": want START:LENGTH, as in 100000:65536",
			       text);
	*ret = block;
	return 0;
}

static int load_pool(struct idrange_pool *pool, struct error *e)
{
	static const struct {
		const char *user, *uid;
	} users[] = { { "hull", NULL }, { "root", "0" } };

	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		struct idrange_pool uids = IDRANGE_POOL_INIT, gids = IDRANGE_POOL_INIT;
		int r = idrange_pool_load_subid(&uids, "/etc/subuid", users[i].user, users[i].uid, e);

		if (r == 0)
			r = idrange_pool_load_subid(&gids, "/etc/subgid", users[i].user, users[i].uid, e);
		if (r == 0)
			return idrange_pool_intersect(&uids, &gids, pool, e);
		if (r != -ERR_NOT_FOUND)
			return r;
		err_clear(e);
	}
	return idrange_pool_add(pool, (struct idrange_block){ DEFAULT_FIRST, DEFAULT_LENGTH }, e);
}

/* Enter a pod's ids, uids and gids alike. Ranges that overlap each other are hulld's affair: here they are taken. */
static void claim(struct idrange *taken, const char *holder, PB(IDMapping) *const *maps, size_t n)
{
	struct idmap map = IDMAP_INIT;

	for (size_t i = 0; i < n; i++)
		if (idmap_add(
			    &map,
			    (struct idmap_extent){ maps[i]->container_id, maps[i]->host_id, maps[i]->length },
			    NULL) < 0)
			continue;
	if (map.n > 0 && idrange_claim(taken, holder, holder, &map, NULL) < 0)
		return;
}

static int add_pod(struct ctl *c, const char *id, struct idrange *taken, struct error *e)
{
	PB(PodSandboxStatusRequest) *req = CTL_NEW(c, PodSandboxStatusRequest, pod_sandbox_status_request);
	PB(PodSandboxStatusResponse) *resp = NULL;
	const PB(UserNamespace) *u;
	int r;

	req->pod_sandbox_id = (char *)id;
	r = CTL_CALL(c, "Runtime", "PodSandboxStatus", req, pod_sandbox_status_response, &resp, e);
	if (r == -ERR_NOT_FOUND) {
		err_clear(e);
		return 0;
	}
	if (r < 0 || !resp->status || !resp->status->linux || !resp->status->linux->namespaces ||
	    !resp->status->linux->namespaces->options)
		return r;
	u = resp->status->linux->namespaces->options->userns_options;
	if (u) {
		claim(taken, id, u->uids, u->n_uids);
		claim(taken, id, u->gids, u->n_gids);
	}
	return 0;
}

int userns_choose(struct ctl *c, struct idrange_block *ret, struct error *e)
{
	PB(ListPodSandboxRequest) *req = CTL_NEW(c, ListPodSandboxRequest, list_pod_sandbox_request);
	PB(ListPodSandboxResponse) *pods = NULL;
	cleanup_idrange struct idrange *taken = idrange_new();
	struct idrange_pool pool = IDRANGE_POOL_INIT;
	int r = load_pool(&pool, e);

	if (r == 0)
		r = CTL_CALL(c, "Runtime", "ListPodSandbox", req, list_pod_sandbox_response, &pods, e);
	for (size_t i = 0; r == 0 && i < pods->n_items; i++)
		r = add_pod(c, pods->items[i]->id, taken, e);
	if (r == 0)
		r = idrange_alloc(taken, "new", "new", USERNS_LENGTH, &pool, &ret->first, e);
	if (r < 0)
		return err_ctx(e, "choose host ids for a pod with hostUsers: false");
	ret->length = USERNS_LENGTH;
	return 0;
}
