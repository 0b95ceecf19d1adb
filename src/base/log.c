/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"

#define FIELDS_MAX 6
#define LINE_MAX_BYTES 8192

static struct {
	int fd;
	enum log_format format;
	int level;
} config = { .fd = STDERR_FILENO, .level = LOG_LEVEL_INFO };

static _Thread_local struct {
	const char *key, *value;
} fields[FIELDS_MAX];

static const char *const names[] = { "error", "warn", "info", "debug" };

void log_setup(int fd, enum log_format format, enum log_level level)
{
	config.fd = fd;
	config.format = format;
	log_set_level(level);
}

void log_set_level(enum log_level level)
{
	__atomic_store_n(&config.level, (int)level, __ATOMIC_RELAXED);
}

bool log_is_on(enum log_level level)
{
	return (int)level <= __atomic_load_n(&config.level, __ATOMIC_RELAXED);
}

int log_level_parse(const char *text, enum log_level *ret, struct error *e)
{
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(text, names[i])) {
			*ret = (enum log_level)i;
			return 0;
		}
	return err_new(e, ERR_INVALID, "log level \"%.32s\" is none of error, warn, info, debug",
		       text ? text : "");
}

void log_field(const char *key, const char *value)
{
	unsigned slot = FIELDS_MAX;

	for (unsigned i = 0; i < FIELDS_MAX; i++) {
		if (fields[i].key && str_eq(fields[i].key, key)) {
			slot = i;
			break;
		}
		if (!fields[i].key && slot == FIELDS_MAX)
			slot = i;
	}
	if (slot == FIELDS_MAX)
		return;
	fields[slot].key = value ? key : NULL;
	fields[slot].value = value;
}

/* A JSON string; bytes that are not UTF-8 become U+FFFD. */
static void add_json(struct buf *b, const char *s)
{
	bool utf8 = str_is_utf8(s, strlen(s));

	buf_addc(b, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			buf_addf(b, "\\%c", c);
		else if (c < 0x20)
			buf_addf(b, "\\u%04x", c);
		else if (c >= 0x80 && !utf8)
			buf_adds(b, "\\ufffd");
		else
			buf_addc(b, (char)c);
	}
	buf_addc(b, '"');
}

static void add_text(struct buf *b, const char *s)
{
	for (; *s; s++)
		buf_addc(b, (unsigned char)*s < 0x20 || *s == 0x7f ? ' ' : *s);
}

static void format_json(struct buf *b, const char *time, enum log_level level, const char *msg)
{
	buf_addf(b, "{\"time\":\"%s\",\"level\":\"%s\"", time, names[level]);
	for (unsigned i = 0; i < FIELDS_MAX; i++)
		if (fields[i].key) {
			buf_addc(b, ',');
			add_json(b, fields[i].key);
			buf_addc(b, ':');
			add_json(b, fields[i].value);
		}
	buf_adds(b, ",\"msg\":");
	add_json(b, msg);
	buf_adds(b, "}\n");
}

static void format_text(struct buf *b, const char *time, enum log_level level, const char *msg)
{
	buf_addf(b, "%s %-5s ", time, names[level]);
	for (unsigned i = 0; i < FIELDS_MAX; i++)
		if (fields[i].key) {
			buf_addf(b, "%s=", fields[i].key);
			add_text(b, fields[i].value);
			buf_addc(b, ' ');
		}
	add_text(b, msg);
	buf_addc(b, '\n');
}

/* A value that is all of these needs no quotes (logrus' rule). */
static bool is_bare(const char *s)
{
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("-._/@^+", *s))
			return false;
	return true;
}

/* As Go's %q. */
static void add_quoted(struct buf *b, const char *s)
{
	bool utf8 = str_is_utf8(s, strlen(s));

	buf_addc(b, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			buf_addf(b, "\\%c", c);
		else if (c == '\n')
			buf_adds(b, "\\n");
		else if (c == '\t')
			buf_adds(b, "\\t");
		else if (c == '\r')
			buf_adds(b, "\\r");
		else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
			buf_addf(b, "\\x%02x", c);
		else
			buf_addc(b, (char)c);
	}
	buf_addc(b, '"');
}

static void format_logfmt(struct buf *b, enum log_level level, const char *msg)
{
	static const char *const words[] = { "error", "warning", "info", "debug" };
	time_t now = (time_t)(clock_wall_ns() / 1000000000);
	char time[32];
	struct tm tm;

	strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	buf_addf(b, "time=\"%s\" level=%s msg=", time, words[level]);
	if (is_bare(msg))
		buf_adds(b, msg);
	else
		add_quoted(b, msg);
	for (unsigned i = 0; i < FIELDS_MAX; i++)
		if (fields[i].key) {
			buf_addf(b, " %s=", fields[i].key);
			if (is_bare(fields[i].value))
				buf_adds(b, fields[i].value);
			else
				add_quoted(b, fields[i].value);
		}
	buf_addc(b, '\n');
}

void log_write(enum log_level level, const char *fmt, ...)
{
	cleanup_buf struct buf line = BUF_INIT;
	char msg[LINE_MAX_BYTES], time[CLOCK_RFC3339_SIZE];
	int saved_errno = errno;
	ssize_t n;
	va_list ap;

	if (!log_is_on(level))
		return;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	clock_rfc3339(clock_wall_ns(), time);
	if (config.format == LOG_FORMAT_JSON)
		format_json(&line, time, level, msg);
	else if (config.format == LOG_FORMAT_LOGFMT)
		format_logfmt(&line, level, msg);
	else
		format_text(&line, time, level, msg);
	n = write(config.fd, line.data, line.len);
	(void)n; /* there is nowhere to report it */
	errno = saved_errno;
}
