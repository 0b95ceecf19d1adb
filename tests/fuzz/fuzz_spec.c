/* SPDX-License-Identifier: Apache-2.0 */
/* A config.json, and the same bytes as a process. What is accepted keeps the promises of spec.h. */
#include <stdlib.h>

#include "oci/seccomp_bpf.h"
#include "oci/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void check_strs(const struct oci_strs *s)
{
	check(s->v && !s->v[s->n]);
	for (size_t i = 0; i < s->n; i++)
		check(s->v[i]);
}

static void check_process(const struct oci_process *p)
{
	check(p->args.n > 0 && p->cwd[0] == '/');
	check_strs(&p->args);
	check_strs(&p->env);
	check(p->user.uid != UINT32_MAX && p->user.gid != UINT32_MAX);
	for (size_t i = 0; i < p->user.additional_gid_count; i++)
		check(p->user.additional_gids[i] != UINT32_MAX);
	for (size_t i = 0; i < p->rlimits.n; i++)
		check(p->rlimits.v[i].soft <= p->rlimits.v[i].hard);
}

static void check_spec(const struct oci_spec *s)
{
	cleanup_buf struct buf b = BUF_INIT;

	if (s->has_process)
		check_process(&s->process);
	for (size_t i = 0; i < s->mounts.n; i++)
		check(s->mounts.v[i].destination[0] == '/' && s->mounts.v[i].options.data);
	check_strs(&s->linux.masked_paths);
	check_strs(&s->linux.readonly_paths);
	if (s->linux.seccomp)
		oci_seccomp_serialize(s->linux.seccomp, &b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(oci_process_free) struct oci_process *process = NULL;
	CLEANUP(oci_spec_free) struct oci_spec *spec = NULL;
	struct error e = ERROR_INIT;

	if (oci_spec_parse((const char *)data, size, &spec, &e) == 0)
		check_spec(spec);
	else
		check(err_msg(&e)[0] && !spec);
	if (oci_process_parse((const char *)data, size, &process, &e) == 0)
		check_process(process);
	return 0;
}
