/* SPDX-License-Identifier: Apache-2.0 */
/* From linux.seccomp to BPF. Compiling some 400 names with libseccomp takes 10 to 20 ms, which is more than the
 * rest of a container's start; so the result is kept. */
#ifndef HULL_OCI_SECCOMP_BPF_H
#define HULL_OCI_SECCOMP_BPF_H

#include <linux/filter.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "oci/spec.h"

/* The program, as struct sock_filter's appended to ret_code. Names that no architecture of the filter has are
 * passed over, as every runtime does: profiles list the calls of newer kernels and of other machines.
 * Fails: UNSUPPORTED an action, a flag or an architecture that the kernel or this libseccomp lacks
 *        INVALID     a rule that libseccomp refuses; its names are in the message
 *        LIMIT       more than 4096 instructions */
int oci_seccomp_compile(const struct oci_seccomp *profile, struct buf *ret_code, struct error *e) MUST_USE;

/* Append a program that answers the same to every call, in fewer instructions. False, and nothing appended, when
 * there is none that is found: it has instructions that libseccomp does not use, or is short already. */
bool oci_seccomp_shrink(const struct sock_filter *code, size_t count, struct buf *ret_code);

/* oci_seccomp_compile() through a cache in cache_dfd (-1: none): a file for each profile. A file that is not ours, not
 * complete or of another profile is passed over and replaced; a cache that cannot be written is none. */
int oci_seccomp_get(const struct oci_seccomp *profile, int cache_dfd, struct buf *ret_code,
		    struct error *e) MUST_USE;

/* All of a profile that matters to the program, as bytes; equal bytes, equal program. */
void oci_seccomp_serialize(const struct oci_seccomp *profile, struct buf *b);

#endif
