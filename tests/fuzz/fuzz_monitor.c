/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as a message to or from hull-pod: the first byte chooses the body's table. Nothing is read past the
 * end, strings are terminated inside the message, and what was decoded, encoded again, decodes alike. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "pod/protocol.h"

union any {
	struct req_sandbox sandbox;
	struct req_container container;
	struct req_object object;
	struct req_exec exec;
	struct rep rep;
	struct monitor_container_status status;
	struct monitor_status pod;
	struct wire_event event;
};

static const struct wire_field *const tables[] = {
	fields_sandbox, fields_container, fields_object, fields_exec,
	fields_reply,	fields_status,	  fields_pod,	 fields_event,
};
static const int fds[] = { 10, 11, 12 };

/* Touch all that was decoded. */
static size_t touch(const struct wire_field *table, const union any *a)
{
	size_t sum = 0, pos = 0;

	for (const struct wire_field *f = table; f->type != WIRE_END; f++) {
		const void *at = (const char *)a + f->offset;
		const struct wire_bytes *bytes = at;

		if (f->type == WIRE_STR && *(const char *const *)at)
			sum += strlen(*(const char *const *)at);
		if (f->type == WIRE_CHARS && strlen(at) >= f->max)
			abort();
		if (f->type == WIRE_FD && *(const int *)at != 0 &&
		    (*(const int *)at < 10 || *(const int *)at > 12))
			abort();
		if (f->type != WIRE_BYTES)
			continue;
		if (bytes->n > f->max)
			abort();
		for (pos = 0; bytes->p && proto_next_string(bytes, &pos);)
			sum++;
	}
	return sum;
}

static void round_trip(const struct wire_field *table, const union any *a)
{
	cleanup_wire_out struct wire_out o = WIRE_OUT_INIT, again = WIRE_OUT_INIT;
	union any b;

	memset(&b, 0, sizeof(b));
	wire_encode(&o, table, a);
	if (wire_decode(table, o.b.data, o.b.len, o.fds, o.fd_count, &b, NULL) < 0)
		abort();
	wire_encode(&again, table, &b);
	if (o.b.len != again.b.len || (o.b.len > 0 && memcmp(o.b.data, again.b.data, o.b.len) != 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_monitor_status struct monitor_status status = { 0 };
	const struct wire_field *table;
	struct monitor_event event;
	struct wire_header h;
	cleanup_free char *body = NULL;
	struct error e = ERROR_INIT;
	union any a;

	if (size == 0)
		return 0;
	/* A copy of the exact size, so that a read past the end is seen. */
	body = malloc(size > 1 ? size - 1 : 1);
	memcpy(body, data + 1, size - 1);
	table = tables[data[0] % ARRAY_LEN(tables)];
	memset(&a, 0, sizeof(a));
	if (size - 1 >= sizeof(h)) {
		memcpy(&h, body, sizeof(h));
		(void)!wire_check_header(&h, &e);
	}
	if (wire_decode(table, body, size - 1, fds, ARRAY_LEN(fds), &a, &e) == 0 &&
	    touch(table, &a) < SIZE_MAX)
		round_trip(table, &a);
	(void)!proto_read_status(body, size - 1, &status, &e);
	(void)!proto_read_event(body, size - 1, &event, &e);
	return 0;
}
