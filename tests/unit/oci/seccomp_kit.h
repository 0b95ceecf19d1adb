/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of seccomp programs share: profiles out of a config.json, and a small interpreter of classic BPF (the
 * instructions that libseccomp and our prologue use), so that nothing is installed. */
#ifndef HULL_TESTS_SECCOMP_KIT_H
#define HULL_TESTS_SECCOMP_KIT_H

#include <linux/seccomp.h>
#include <stdint.h>

#include "base/buf.h"
#include "oci/spec.h"

/* What the program says of a call. */
uint32_t bpf_run(const struct buf *code, const struct seccomp_data *data);
/* The same, of a call of the native machine, by name and first argument, or by number. */
uint32_t bpf_answer(const struct buf *code, const char *name, uint64_t arg0);
uint32_t bpf_answer_number(const struct buf *code, int number);

/* A config.json with this profile, or the default one; and its program. */
struct oci_spec *seccomp_spec(const char *seccomp);
struct oci_spec *seccomp_default_spec(uint64_t caps);
struct buf seccomp_compiled(const char *seccomp);
struct buf seccomp_compiled_default(uint64_t caps);

#endif
