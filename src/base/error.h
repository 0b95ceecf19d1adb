/* SPDX-License-Identifier: Apache-2.0 */
/* One flat, caller-owned error. Functions return int: 0 or more is success, a negative value is
 * -kind, and then the caller's struct error holds the message.
 *
 * Flat means: no allocation, no release, no pointers. A child between clone and exec reports with one
 * write of sizeof(struct error), which is less than PIPE_BUF and so atomic (pipe(7)), and its parent
 * adds context and goes on.
 *
 * The message is built from the back: the cause is written first and each err_ctx() puts its words
 * before it, so that the cause survives any chain of contexts. */
#ifndef HULL_BASE_ERROR_H
#define HULL_BASE_ERROR_H

#include <stdint.h>
#include <stdarg.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))

/* What went wrong, in terms that a caller can act on. An errno does not turn into a kind by itself:
 * the function that knows the meaning chooses it. The number travels between processes (monitor
 * protocol, error pipes): append only. */
enum err_kind {
	ERR_NONE = 0,
	ERR_SYS = 1,	      /* a system call failed; e->sys says with what */
	ERR_INVALID = 2,      /* the caller's input is wrong */
	ERR_NOT_FOUND = 3,    /* the named object does not exist */
	ERR_EXISTS = 4,	      /* the named object exists already, or overlaps one that does */
	ERR_STATE = 5,	      /* the object is not in a state in which this can be done */
	ERR_LIMIT = 6,	      /* a bound was passed: size, count, memory */
	ERR_DENIED = 7,	      /* not permitted */
	ERR_UNSUPPORTED = 8,  /* neither this host nor this version can do it */
	ERR_TIMEOUT = 9,      /* a deadline passed */
	ERR_CANCELED = 10,    /* the client went away */
	ERR_UNAVAILABLE = 11, /* a peer or service does not answer now; a retry may help */
	ERR_CORRUPT = 12,     /* data is not what its digest, format or record says */
	ERR_AUTH = 13,	      /* credentials are missing or refused */
	ERR_INTERNAL = 14,    /* our own fault */
	ERR_KIND_COUNT
};

struct error {
	uint16_t kind, start; /* text + start is the message */
	int32_t sys;	      /* errno of the failed call, or 0 */
	uint32_t lost;	      /* bytes of context that did not fit */
	char text[1012];      /* filled from the back, NUL at its end */
};

#define ERROR_INIT ((struct error){ .start = sizeof(((struct error *)0)->text) - 1 })

/* Empty e: no kind, an empty message. */
void err_clear(struct error *e);

/* Set e to a new error of this kind. Returns -kind. e may be NULL: then only the kind is returned
 * (in every function of this file). */
int err_new(struct error *e, enum err_kind kind, const char *fmt, ...) PRINTF(3, 4);

/* As err_new() with ERR_SYS and errno: the message ends with ": " and strerror(errno). */
int err_sys(struct error *e, const char *fmt, ...) PRINTF(2, 3);

/* As err_sys() with an errno value given, and a kind of the caller's choice. */
int err_sysk(struct error *e, enum err_kind kind, int sys, const char *fmt, ...) PRINTF(4, 5);

/* Put "words: " before the message of e. Returns -e->kind. */
int err_ctx(struct error *e, const char *fmt, ...) PRINTF(2, 3);

/* Append " (words)" behind the message: a remedy, or the ids before and after a mapping. */
int err_hint(struct error *e, const char *fmt, ...) PRINTF(2, 3);

/* Change the kind and keep the message. Returns -kind. */
int err_kind(struct error *e, enum err_kind kind);

/* The message; never NULL. */
const char *err_msg(const struct error *e);

/* The name of a kind, as it stands in logs: "invalid", "not-found", ... */
const char *err_kind_name(enum err_kind kind);

/* Check an error that came from another process (a pipe, a socket): fields in range and text
 * terminated. Returns 0, or -ERR_CORRUPT with e emptied and set to say so. */
int err_import(struct error *e);

/* For static analysis, which sees no other file's functions: what these return is less than 0. */
#if defined(__clang_analyzer__) && !defined(HULL_BASE_ERROR_C)
static inline int err_negative(int r)
{
	if (r >= 0)
		__builtin_unreachable();
	return r;
}
#define err_new(...) err_negative(err_new(__VA_ARGS__))
#define err_sys(...) err_negative(err_sys(__VA_ARGS__))
#define err_sysk(...) err_negative(err_sysk(__VA_ARGS__))
#define err_ctx(...) err_negative(err_ctx(__VA_ARGS__))
#define err_hint(...) err_negative(err_hint(__VA_ARGS__))
#endif

#endif
