/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that never fails: the process is ended with a message when memory is out. Sizes that
 * others chose are bounded before they come here (a limit error, not an abort). */
#ifndef HULL_BASE_MEM_H
#define HULL_BASE_MEM_H

#include <stddef.h>

#include "base/error.h"

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull)) MUST_USE;
void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull)) MUST_USE;
/* count * size bytes, zeroed; overflow ends the process. */
void *mem_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull)) MUST_USE;
/* As reallocarray(3). */
void *mem_regrow(void *p, size_t count, size_t size) __attribute__((returns_nonnull)) MUST_USE;
void *mem_dup(const void *p, size_t size) __attribute__((malloc, returns_nonnull)) MUST_USE;

#define NEW(type) ((type *)mem_zalloc(sizeof(type)))

#endif
