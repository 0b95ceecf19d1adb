// SPDX-License-Identifier: Apache-2.0
#include "oci/known.h"

#include <stdlib.h>
#include <string.h>

#include "oci/spec_internal.h"
#include "sys/caps.h"
#include "sys/seccomp.h"

static const struct word *const tables[] = {
	[OCI_KNOWN_SECCOMP_ACTIONS] = oci_seccomp_actions,
	[OCI_KNOWN_SECCOMP_OPERATORS] = oci_seccomp_operators,
	[OCI_KNOWN_SECCOMP_ARCHS] = oci_seccomp_archs,
	[OCI_KNOWN_SECCOMP_FLAGS] = oci_seccomp_flags,
	[OCI_SUPPORTED_SECCOMP_FLAGS] = oci_seccomp_flags,
	[OCI_KNOWN_MEMPOLICY_MODES] = oci_mempolicy_modes,
	[OCI_KNOWN_MEMPOLICY_FLAGS] = oci_mempolicy_flags,
};

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_from(struct strv *names, size_t first)
{
	if (names->n > first)
		qsort(names->v + first, names->n - first, sizeof(*names->v), compare);
}

static void add_words(const struct word *words, bool supported_only, struct strv *names)
{
	for (const struct word *w = words; w->text; w++)
		if (!supported_only || !seccomp_unknown_flags((unsigned int)w->value))
			strv_add(names, w->text);
}

void oci_known_names(enum oci_known which, struct strv *ret_names)
{
	size_t first = ret_names->n;
	const char *name;

	switch (which) {
	case OCI_KNOWN_HOOKS:
		for (enum oci_hook_kind kind = 0; kind < OCI_HOOK_KIND_COUNT; kind++)
			strv_add(ret_names, oci_hook_name(kind));
		return;
	case OCI_KNOWN_CAPABILITIES:
		for (unsigned int n = 0; (name = caps_name(n)); n++)
			strv_add(ret_names, name);
		return;
	case OCI_KNOWN_NAMESPACES:
		for (enum oci_ns ns = 0; ns < OCI_NS_COUNT; ns++)
			strv_add(ret_names, oci_ns_info[ns].name);
		break;
	case OCI_KNOWN_MOUNT_OPTIONS:
		for (size_t i = 0; (name = oci_mount_option_word(i)); i++)
			strv_add(ret_names, name);
		break;
	default:
		add_words(tables[which], which == OCI_SUPPORTED_SECCOMP_FLAGS, ret_names);
		break;
	}
	sort_from(ret_names, first);
}
