/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime_kit.h"

struct box the_box;

int runtime_set_up(void **state)
{
	(void)state;
	if (box_is_possible())
		box_make(&the_box);
	return 0;
}

int runtime_tear_down(void **state)
{
	(void)state;
	if (box_is_possible())
		box_remove(&the_box);
	return 0;
}

void run_box(const struct box_spec *s, const struct oci_create *o, struct box_run *r)
{
	box_spec(&the_box, s);
	box_run(&the_box, o, r);
}

int make_pod(struct podns *pod, bool user)
{
	struct idmap map = IDMAP_INIT;
	struct error e = ERROR_INIT;
	struct podns_opts opts = { .user = user,
				   .net = true,
				   .ipc = true,
				   .uts = true,
				   .uids = &map,
				   .gids = &map,
				   .hostname = "the-pod" };
	int r;

	assert_int_equal(idmap_add(&map, (struct idmap_extent){ 0, HOST_ID, 65536 }, &e), 0);
	r = podns_create(&opts, pod, &e);
	if (r < 0)
		fail_msg("%s", err_msg(&e));
	return r;
}

void give_pod(struct oci_create *o, const struct podns *pod)
{
	o->ns_fd[OCI_NS_USER] = pod->user_fd;
	o->ns_fd[OCI_NS_NETWORK] = pod->net_fd;
	o->ns_fd[OCI_NS_IPC] = pod->ipc_fd;
	o->ns_fd[OCI_NS_UTS] = pod->uts_fd;
}
