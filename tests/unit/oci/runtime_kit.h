/* SPDX-License-Identifier: Apache-2.0 */
/* The box that the tests of oci/runtime.h share within a program, and the namespaces of a pod. */
#ifndef HULL_TESTS_RUNTIME_KIT_H
#define HULL_TESTS_RUNTIME_KIT_H

#include "box.h"
#include "userns/userns.h"

#define HOST_ID 700000
#define USER_NS ",{\"type\":\"user\"}"
#define ALL_NS                                                                                        \
	"[{\"type\":\"pid\"},{\"type\":\"network\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":" \
	"\"mount\"}"
#define MAPPINGS                                                                   \
	",\"uidMappings\":[{\"containerID\":0,\"hostID\":700000,\"size\":65536}]," \
	"\"gidMappings\":[{\"containerID\":0,\"hostID\":700000,\"size\":65536}]"

extern struct box the_box;

int runtime_set_up(void **state);
int runtime_tear_down(void **state);
/* Write the spec, create, start, wait; o may be NULL. */
void run_box(const struct box_spec *s, const struct oci_create *o, struct box_run *r);

/* The namespaces of a pod, its user namespace mapped to HOST_ID; and o told to join them. */
int make_pod(struct podns *pod, bool user);
void give_pod(struct oci_create *o, const struct podns *pod);

#endif
