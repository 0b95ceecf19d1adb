/* SPDX-License-Identifier: Apache-2.0 */
/* Cleanup by attribute. Every function here accepts the empty value and keeps errno. */
#ifndef HULL_BASE_CLEANUP_H
#define HULL_BASE_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* DEFINE_CLEANUP(struct x, x_free) makes x_free_p(), for
 *	__attribute__((cleanup(x_free_p))) struct x *x = NULL;
 * or shorter: CLEANUP(x_free) struct x *x = NULL; */
#define DEFINE_CLEANUP(type, func)            \
	static inline void func##_p(type **p) \
	{                                     \
		int saved_errno = errno;      \
		if (*p)                       \
			func(*p);             \
		errno = saved_errno;          \
	}
/* The same for a struct by value: DEFINE_CLEANUP_VALUE(struct buf, buf_done). */
#define DEFINE_CLEANUP_VALUE(type, func)     \
	static inline void func##_p(type *p) \
	{                                    \
		int saved_errno = errno;     \
		func(p);                     \
		errno = saved_errno;         \
	}
#define CLEANUP(func) __attribute__((cleanup(func##_p)))

static inline void cleanup_free_p(void *p)
{
	int saved_errno = errno;

	free(*(void **)p);
	errno = saved_errno;
}

static inline void cleanup_close_p(int *fd)
{
	int saved_errno = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved_errno;
}

#define cleanup_free __attribute__((cleanup(cleanup_free_p)))
#define cleanup_close __attribute__((cleanup(cleanup_close_p)))

/* Hand a pointer or an fd over to another owner: the variable becomes empty. */
#define take_ptr(p)                         \
	({                                  \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;                 \
		taken_;                     \
	})
#define take_fd(fd)                \
	({                         \
		int taken_ = (fd); \
		(fd) = -1;         \
		taken_;            \
	})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
