/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever idmap_parse() takes obeys the rules, translates both ways, and survives a round trip. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "userns/idmap.h"
#include "userns/sysctl.h"

static void check_extent(const struct idmap *map, const struct idmap_extent *x)
{
	const uint32_t offsets[] = { 0, x->length / 2, x->length - 1 };

	for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
		uint32_t host = 0, container = 0;

		if (idmap_to_host(map, x->container_id + offsets[i], &host, NULL) < 0 ||
		    host != x->host_id + offsets[i])
			abort();
		if (idmap_to_container(map, host, &container, NULL) < 0 ||
		    container != x->container_id + offsets[i])
			abort();
	}
}

static void check_round_trip(const struct idmap *map)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct idmap again = IDMAP_INIT;

	idmap_format(map, &text);
	if (idmap_parse(&again, buf_str(&text), text.len, NULL) < 0 || !idmap_equal(map, &again) ||
	    again.n != map->n)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of the exact size, so that a read past the end is seen. */
	char *text = malloc(size ? size : 1), range[SYSCTL_PING_RANGE_SIZE];
	struct idmap map = IDMAP_INIT;
	struct error e = ERROR_INIT;
	int r;

	memcpy(text, data, size);
	r = idmap_parse(&map, text, size, &e);
	free(text);
	if (r < 0) {
		if (map.n != 0 || strncmp(err_msg(&e), "line ", 5) != 0)
			abort();
		return 0;
	}
	if (map.n > 0 && idmap_check(&map, false, "uid", &e) < 0)
		abort();
	for (size_t i = 0; i < map.n; i++)
		check_extent(&map, &map.x[i]);
	check_round_trip(&map);
	(void)!sysctl_ping_group_range(&map, range, NULL);
	return 0;
}
