/* SPDX-License-Identifier: Apache-2.0 */
/* Values as people read them. Pure. */
#ifndef HULL_CTL_TEXT_H
#define HULL_CTL_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "codec/arena.h"

/* "3 minutes ago", "just now"; "-" when then_ns is 0. */
const char *text_age(struct arena *a, int64_t now_ns, int64_t then_ns);
/* "42 seconds", "3 minutes", "2 days". */
const char *text_duration(struct arena *a, int64_t ns);
/* "512 B", "1.50 MB": decimal units, three digits. */
const char *text_bytes(struct arena *a, uint64_t bytes);
/* The first 12 digits of an id, without "sha256:". */
const char *text_short_id(struct arena *a, const char *id);
/* "docker.io/library/busybox:1.36" -> "busybox:1.36": as a person would have written it. */
const char *text_image(struct arena *a, const char *ref);
/* Without what a terminal would obey: control characters become '?'. */
const char *text_clean(struct arena *a, const char *text);
/* How many columns UTF-8 text takes, each character being one wide. */
size_t text_width(const char *text);
/* At most width columns: longer text is cut and ends with an ellipsis. */
const char *text_cut(struct arena *a, const char *text, size_t width);

#endif
