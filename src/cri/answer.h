/* SPDX-License-Identifier: Apache-2.0 */
/* Parts that several answers share. Everything is copied into the call's arena: an answer is packed after
 * its handler has returned, when the objects may be gone. Internal to src/cri. */
#ifndef HULL_CRI_ANSWER_H
#define HULL_CRI_ANSWER_H

#include "codec/json.h"
#include "cri/state.h"

/* A deep copy of any message in the call's arena; NULL gives NULL. */
void *answer_copy(struct call *call, const void *message);

/* Copy a map<string,string>: the entry types of two fields differ in their descriptor only. */
#define ANSWER_MAP(call, dst, src, type)                                                            \
	do {                                                                                        \
		(dst)->n_##src = from_->n_##src;                                                    \
		(dst)->src = arena_array((call)->arena, from_->n_##src, sizeof(*(dst)->src));       \
		for (size_t i_ = 0; i_ < from_->n_##src; i_++) {                                    \
			(dst)->src[i_] = pb_new((call)->arena, &runtime__v1__##type##__descriptor); \
			(dst)->src[i_]->key = arena_str((call)->arena, from_->src[i_]->key);        \
			(dst)->src[i_]->value = arena_str((call)->arena, from_->src[i_]->value);    \
		}                                                                                   \
	} while (0)

/* Add an entry to an info map ("info" of the verbose answers). */
#define ANSWER_INFO(call, resp, type, name, text)                                                        \
	do {                                                                                             \
		(resp)->info = arena_array((call)->arena, 1, sizeof(*(resp)->info));                     \
		(resp)->n_info = 1;                                                                      \
		(resp)->info[0] = pb_new((call)->arena, &runtime__v1__##type##__info_entry__descriptor); \
		(resp)->info[0]->key = arena_str((call)->arena, (name));                                 \
		(resp)->info[0]->value = arena_str((call)->arena, (text));                               \
	} while (0)

/* Do all pairs of a label selector stand in these labels? Entries are any generated map entry. */
#define LABELS_MATCH(selector, n_selector, labels, n_labels)                               \
	({                                                                                 \
		bool all_ = true;                                                          \
		for (size_t i_ = 0; all_ && i_ < (n_selector); i_++) {                     \
			bool one_ = false;                                                 \
			for (size_t k_ = 0; !one_ && k_ < (n_labels); k_++)                \
				one_ = str_eq((selector)[i_]->key, (labels)[k_]->key) &&   \
				       str_eq((selector)[i_]->value, (labels)[k_]->value); \
			all_ = one_;                                                       \
		}                                                                          \
		all_;                                                                      \
	})

/* With node->lock held. */
PB(ContainerStatus) *answer_container_status(struct call *call, const struct container *c);
unsigned answer_sandbox_state(const struct sandbox *s);

/* Any message as JSON, in the proto's field names, absent values left out. */
struct json_object *answer_json(const void *message);

#endif
