/* SPDX-License-Identifier: Apache-2.0 */
/* bpf(2) for cgroup device filters. errno comes back as it is. */
#ifndef HULL_SYS_BPF_H
#define HULL_SYS_BPF_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bpf_insn;

/* Load a BPF_PROG_TYPE_CGROUP_DEVICE program; returns its fd or -1. name has at most 15 bytes. */
int bpf_load_device(const struct bpf_insn *insns, size_t count, const char *name);
/* Attach to a v2 cgroup beside what is attached already, or in place of replace_fd (-1: none; Linux 5.6). */
int bpf_attach_device(int cgroup_dfd, int prog_fd, int replace_fd);
int bpf_detach_device(int cgroup_dfd, int prog_fd);
/* An fd for the program of this name that is attached to the cgroup itself; -1 with ENOENT when there is
 * none. */
int bpf_find_device(int cgroup_dfd, const char *name);

#endif
