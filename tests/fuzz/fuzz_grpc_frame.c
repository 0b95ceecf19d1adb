/* SPDX-License-Identifier: Apache-2.0 */
/* Framing gives the same result however the bytes are cut; escaping survives a round trip. The first
 * byte is the size of the pieces. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "proto/grpc_frame.h"

#define MAX 4096

/* Feed in pieces; returns how many messages came whole, or the error. */
static int read_all(const uint8_t *data, size_t size, size_t piece, struct buf *all)
{
	struct grpc_reader r = GRPC_READER_INIT(MAX);
	int count = 0, rc = 0;

	for (size_t at = 0; rc == 0 && at < size;) {
		size_t n = size - at < piece ? size - at : piece, used = 0;

		rc = grpc_reader_feed(&r, data + at, n, &used, NULL);
		if (rc == 0 && used == 0)
			abort();
		at += used;
		if (rc == 0 && grpc_reader_is_complete(&r)) {
			count++;
			buf_add(all, buf_str(&r.message), r.message.len);
			grpc_reader_next(&r);
		}
	}
	grpc_reader_done(&r);
	return rc < 0 ? rc : count;
}

static void check_escape(const uint8_t *data, size_t size)
{
	cleanup_buf struct buf escaped = BUF_INIT, back = BUF_INIT;
	cleanup_free char *text = str_ndup((const char *)data, size);

	grpc_message_escape(text, &escaped);
	for (size_t i = 0; i < escaped.len; i++)
		if (escaped.data[i] < 0x20 || escaped.data[i] > 0x7e)
			abort();
	grpc_message_unescape(buf_str(&escaped), escaped.len, &back);
	if (strcmp(buf_str(&back), text) != 0)
		abort();
}

static void check_timeout(const uint8_t *data, size_t size)
{
	char text[GRPC_TIMEOUT_SIZE];
	int64_t ns, again;

	if (grpc_timeout_parse((const char *)data, size, &ns, NULL) < 0 || ns == 0)
		return;
	grpc_timeout_format(ns, text);
	if (grpc_timeout_parse(text, strlen(text), &again, NULL) < 0)
		abort();
	/* Rounded up by less than a unit. */
	if (again < ns && strcmp(text, "99999999H") != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_buf struct buf whole = BUF_INIT, pieces = BUF_INIT, unescaped = BUF_INIT;

	if (size == 0)
		return 0;
	if (read_all(data + 1, size - 1, size, &whole) != read_all(data + 1, size - 1, data[0] + 1u, &pieces))
		abort();
	if (whole.len != pieces.len || memcmp(buf_str(&whole), buf_str(&pieces), whole.len) != 0)
		abort();
	check_escape(data, size);
	check_timeout(data, size);
	grpc_message_unescape((const char *)data, size, &unescaped);
	grpc_content_type_is_ok((const char *)data, size);
	grpc_status_parse((const char *)data, size);
	return 0;
}
