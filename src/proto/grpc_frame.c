/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/grpc_frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"

static const char *const status_names[GRPC_STATUS_COUNT] = {
	"OK",	    "Canceled",	       "Unknown",	   "InvalidArgument",	"DeadlineExceeded",
	"NotFound", "AlreadyExists",   "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
	"Aborted",  "OutOfRange",      "Unimplemented",	   "Internal",		"Unavailable",
	"DataLoss", "Unauthenticated",
};

const char *grpc_status_name(int status)
{
	if (status < 0 || status >= GRPC_STATUS_COUNT)
		status = GRPC_UNKNOWN;
	return status_names[status];
}

int grpc_status_parse(const char *text, size_t len)
{
	int v = 0;

	if (len == 0 || len > 2)
		return GRPC_UNKNOWN;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return GRPC_UNKNOWN;
		v = v * 10 + (text[i] - '0');
	}
	return v < GRPC_STATUS_COUNT ? v : GRPC_UNKNOWN;
}

void grpc_prefix(uint8_t out[GRPC_PREFIX_SIZE], size_t message_len)
{
	out[0] = 0;
	for (int i = 0; i < 4; i++)
		out[1 + i] = (uint8_t)(message_len >> (24 - 8 * i));
}

static int check_prefix(struct grpc_reader *r, struct error *e)
{
	const uint8_t *p = r->prefix;

	if (p[0] == 1)
		return err_new(e, ERR_UNSUPPORTED, "the message is compressed (only identity is supported)");
	if (p[0] != 0)
		return err_new(e, ERR_INVALID, "the message begins with flag byte %u", p[0]);
	r->message_len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
	if (r->message_len > r->max_bytes)
		return err_new(e, ERR_LIMIT, "a message of %zu bytes is larger than the limit of %zu",
			       r->message_len, r->max_bytes);
	return 0;
}

int grpc_reader_feed(struct grpc_reader *r, const void *data, size_t len, size_t *ret_used, struct error *e)
{
	const uint8_t *p = data;
	size_t used = 0, n;
	int rc;

	while (used < len && r->prefix_len < GRPC_PREFIX_SIZE) {
		r->prefix[r->prefix_len++] = p[used++];
		if (r->prefix_len == GRPC_PREFIX_SIZE) {
			rc = check_prefix(r, e);
			if (rc < 0)
				return rc;
		}
	}
	if (r->prefix_len == GRPC_PREFIX_SIZE) {
		n = r->message_len - r->message.len;
		if (n > len - used)
			n = len - used;
		if (n)
			buf_add(&r->message, p + used, n);
		used += n;
	}
	*ret_used = used;
	return 0;
}

bool grpc_reader_is_complete(const struct grpc_reader *r)
{
	return r->prefix_len == GRPC_PREFIX_SIZE && r->message.len == r->message_len;
}

bool grpc_reader_is_empty(const struct grpc_reader *r)
{
	return r->prefix_len == 0;
}

void grpc_reader_next(struct grpc_reader *r)
{
	r->prefix_len = 0;
	r->message_len = 0;
	buf_clear(&r->message);
}

void grpc_reader_done(struct grpc_reader *r)
{
	buf_done(&r->message);
	*r = GRPC_READER_INIT(r->max_bytes);
}

static const struct {
	char unit;
	int64_t ns;
} units[] = {
	{ 'n', 1 },	   { 'u', 1000 },	   { 'm', NS_PER_MS },
	{ 'S', NS_PER_S }, { 'M', 60 * NS_PER_S }, { 'H', 3600 * NS_PER_S },
};

int grpc_timeout_parse(const char *text, size_t len, int64_t *ret_ns, struct error *e)
{
	int64_t v = 0;

	if (len < 2 || len > 9)
		goto bad;
	for (size_t i = 0; i + 1 < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			goto bad;
		v = v * 10 + (text[i] - '0');
	}
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (units[i].unit != text[len - 1])
			continue;
		/* 99999999 hours are 11,000 years: more than 63 bits of nanoseconds. */
		if (__builtin_mul_overflow(v, units[i].ns, &v))
			v = INT64_MAX;
		*ret_ns = v;
		return 0;
	}
bad:
	return err_new(e, ERR_INVALID, "grpc-timeout \"%.*s\" is not 1 to 8 digits and a unit of H M S m u n",
		       (int)(len < 32 ? len : 32), text);
}

void grpc_timeout_format(int64_t ns, char out[GRPC_TIMEOUT_SIZE])
{
	if (ns < 1)
		ns = 1;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		int64_t v = ns / units[i].ns + (ns % units[i].ns != 0);

		if (v > 99999999)
			continue;
		snprintf(out, GRPC_TIMEOUT_SIZE, "%d%c", (int)v, units[i].unit);
		return;
	}
	snprintf(out, GRPC_TIMEOUT_SIZE, "99999999H");
}

void grpc_message_escape(const char *text, struct buf *out)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p < 0x20 || *p > 0x7e || *p == '%')
			buf_addf(out, "%%%02X", *p);
		else
			buf_addc(out, (char)*p);
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

void grpc_message_unescape(const char *text, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '%' && i + 2 < len && hex_digit(text[i + 1]) >= 0 &&
		    hex_digit(text[i + 2]) >= 0) {
			buf_addc(out, (char)(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2])));
			i += 2;
		} else {
			buf_addc(out, text[i]);
		}
	}
}

bool grpc_content_type_is_ok(const char *text, size_t len)
{
	static const char base[] = "application/grpc", proto[] = "+proto";
	size_t n = sizeof(base) - 1;

	if (len < n || strncasecmp(text, base, n) != 0)
		return false;
	if (len >= n + sizeof(proto) - 1 && strncasecmp(text + n, proto, sizeof(proto) - 1) == 0)
		n += sizeof(proto) - 1;
	return len == n || text[n] == ';' || text[n] == ' ';
}
