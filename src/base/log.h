/* SPDX-License-Identifier: Apache-2.0 */
/* The log, on stderr or another fd: one line a record, written with one write(2). Text:
 *	2026-01-02T03:04:05.123456789Z info  pod=1234 message
 * or JSON lines: {"time":"...","level":"info","pod":"1234","msg":"message"},
 * or logfmt as Go's logrus writes it, which callers of OCI runtimes read:
 *	time="2026-01-02T03:04:05Z" level=warning msg="message" pod=1234
 * Secrets (the CRI fields marked debug_redact, env values) never come here: the caller's duty. */
#ifndef HULL_BASE_LOG_H
#define HULL_BASE_LOG_H

#include <stdbool.h>

#include "base/error.h"

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON, LOG_FORMAT_LOGFMT };
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Not thread-safe: called at start, and on reload for the level (a plain int store). */
void log_setup(int fd, enum log_format format, enum log_level level);
void log_set_level(enum log_level level);
/* "error", "warn", "info", "debug". Fails: INVALID, naming the known ones. */
int log_level_parse(const char *text, enum log_level *ret, struct error *e) MUST_USE;

/* Fields of this thread's records until they are set to NULL again; the strings are borrowed. */
void log_field(const char *key, const char *value);

void log_write(enum log_level level, const char *fmt, ...) PRINTF(2, 3);
bool log_is_on(enum log_level level);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                           \
	do {                                                     \
		if (log_is_on(LOG_LEVEL_DEBUG))                  \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
