/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines: the input is split at NUL bytes; the first word says which command. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "hull/hull.h"

#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_alloc(size + 1), *argv[WORDS_MAX + 1], *last;
	const struct command *c;
	struct error e = ERROR_INIT;
	void *fields;
	bool help = false;
	int argc = 0, n, sig;

	memcpy(text, data, size);
	text[size] = '\0';
	for (char *p = text; p <= text + size && argc < WORDS_MAX; p += strlen(p) + 1)
		argv[argc++] = p;
	argv[argc] = NULL;
	last = argv[argc - 1]; /* they are moved about */
	c = command_find(argv[0]);
	if (c) {
		fields = mem_zalloc(c->options_size + 1);
		n = options_take(argc, argv, c->options, c->ends_at_argument, fields, &help, &e);
		if (n >= argc || (n >= 0 && argv[n + 1]))
			abort();
		options_done(c->options, fields);
		free(fields);
	}
	(void)!signal_parse(last, &sig, &e);
	free(text);
	return 0;
}
