/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of subuid(5) and answers of getsubids(1): what is taken is a range of ids, and every id of it may be mapped. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "userns/subid.h"

static const struct subid_user user = { .uid = 1000, .gid = 1000, .name = "alice" };

static void check(const struct subid_range *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct idmap map = IDMAP_INIT;
		struct error e = ERROR_INIT;

		if (!r[i].count || (uint64_t)r[i].first + r[i].count > UINT32_MAX)
			abort();
		if (idmap_add(&map, (struct idmap_extent){ 0, r[i].first, r[i].count }, &e) < 0 ||
		    subid_check(SUBID_UID, &map, &user, r, n, "here", &e) < 0)
			abort();
	}
	/* Id 4294967294 is in no range that ends before it, and the message holds whatever the list is. */
	if (n) {
		struct idmap map = IDMAP_INIT;
		struct error e = ERROR_INIT;
		uint32_t last = 0;

		for (size_t i = 0; i < n; i++)
			last = r[i].first + (r[i].count - 1) > last ? r[i].first + (r[i].count - 1) : last;
		if (last < UINT32_MAX - 1 && last + 1 != user.uid &&
		    idmap_add(&map, (struct idmap_extent){ 0, last + 1, 1 }, &e) == 0 &&
		    subid_check(SUBID_UID, &map, &user, r, n, "here", &e) != -ERR_DENIED)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct subid_range ranges[SUBID_RANGES_MAX];
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	check(ranges, subid_parse(text, &user, ranges));
	check(ranges, subid_parse_answer(text, ranges));
	free(text);
	return 0;
}
