/* SPDX-License-Identifier: Apache-2.0 */
/* What plugins print: results, versions, errors. Pure. */
#ifndef HULL_NET_CNI_RESULT_H
#define HULL_NET_CNI_RESULT_H

#include "codec/json.h"
#include "net/cni.h"
#include "net/cni_config.h"

#define CNI_OUTPUT_MAX_BYTES (1U << 20)

/* A result of ADD, of any version from 0.3.0 on, as a tree in the form of the wanted version (prevResult of the
 * next plugin must be: spec 1.1.0, section 3 "Deriving execution configuration"). A result without
 * "cniVersion" is one of the wanted version.
 * Fails: CORRUPT, naming the field. */
int cni_result_read(const char *text, size_t len, enum cni_version wanted, struct json_object **ret,
		    struct error *e) MUST_USE;

/* Such a tree as a struct; record and network are left NULL. ifname tells which interface in the sandbox is
 * the pod's, when a plugin made several. Fails: CORRUPT. */
int cni_result_from_json(struct json_object *o, const char *ifname, struct cni_result **ret,
			 struct error *e) MUST_USE;

/* {"supportedVersions": [...]}: the answer to VERSION. Fails: CORRUPT. */
int cni_versions_read(const char *text, size_t len, struct strv *ret, struct error *e) MUST_USE;

/* {"code", "msg", "details"}: what a plugin prints when it fails. Sets e to msg, details and code (with its
 * meaning where it is a well-known one) and returns a negative kind; 0 when text is no such object. */
int cni_error_read(const char *text, size_t len, struct error *e) MUST_USE;

#endif
