/* SPDX-License-Identifier: Apache-2.0 */
#include "userns/subid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#define FILE_MAX_BYTES (8u << 20)

static const struct {
	const char *file, *id, *plural, *field, *usermod;
} kinds[] = {
	[SUBID_UID] = { "/etc/subuid", "uid", "uids", "linux.uidMappings", "--add-subuids" },
	[SUBID_GID] = { "/etc/subgid", "gid", "gids", "linux.gidMappings", "--add-subgids" },
};

/* ---- text ----------------------------------------------------------------------------------------------- */

/* "FIRST:COUNT" with this separator, up to the end of the line. A range that passes the last id is none. */
static bool parse_range(const char *text, char separator, struct subid_range *ret)
{
	char *end;
	unsigned long long first, count;

	if (*text < '0' || *text > '9')
		return false;
	first = strtoull(text, &end, 10);
	if (*end != separator || end[1] < '0' || end[1] > '9')
		return false;
	count = strtoull(end + 1, &end, 10);
	if (*end || !count || first > UINT32_MAX || count > UINT32_MAX || first + count > UINT32_MAX)
		return false;
	ret->first = (uint32_t)first;
	ret->count = (uint32_t)count;
	return true;
}

static bool is_owner(const char *owner, const struct subid_user *user)
{
	uint32_t uid;

	if (user->name[0] && str_eq(owner, user->name))
		return true;
	return str_to_u32(owner, &uid, NULL) == 0 && uid == user->uid;
}

size_t subid_parse(const char *text, const struct subid_user *user, struct subid_range ret[SUBID_RANGES_MAX])
{
	cleanup_free char *copy = str_dup(text);
	char *rest = copy, *line;
	unsigned int number = 0;
	size_t n = 0;

	while ((line = strsep(&rest, "\n")) && n < SUBID_RANGES_MAX) {
		char *colon = strchr(line, ':');

		number++;
		if (!colon)
			continue;
		*colon = '\0';
		if (!is_owner(line, user) || !parse_range(colon + 1, ':', &ret[n]))
			continue;
		ret[n++].line = number;
	}
	return n;
}

size_t subid_parse_answer(const char *text, struct subid_range ret[SUBID_RANGES_MAX])
{
	cleanup_free char *copy = str_dup(text);
	char *rest = copy, *line;
	size_t n = 0;

	while ((line = strsep(&rest, "\n")) && n < SUBID_RANGES_MAX) {
		char *name = strstr(line, ": ");
		char *first = name ? strchr(name + 2, ' ') : NULL;

		if (first && parse_range(first + 1, ' ', &ret[n]))
			ret[n++].line = 0;
	}
	return n;
}

/* ---- check ---------------------------------------------------------------------------------------------- */

/* How many ids from `first` on are allowed, up to `count`. */
static uint32_t covered(const struct subid_range *ranges, size_t n, uint32_t first, uint32_t count)
{
	uint32_t done = 0;

	for (size_t i = 0; i < n && done < count;) {
		uint32_t at = first + done, left;

		if (at < ranges[i].first || at - ranges[i].first >= ranges[i].count) {
			i++;
			continue;
		}
		left = ranges[i].count - (at - ranges[i].first);
		done = left < count - done ? done + left : count;
		i = 0;
	}
	return done;
}

static void list_ranges(const struct subid_range *ranges, size_t n, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n && i < 4 && len < size; i++) {
		len += (size_t)snprintf(out + len, size - len, "%s%u to %u", i ? ", " : "", ranges[i].first,
					ranges[i].first + ranges[i].count - 1);
		if (ranges[i].line && len < size)
			len += (size_t)snprintf(out + len, size - len, " (line %u)", ranges[i].line);
	}
	if (n > 4 && len < size)
		snprintf(out + len, size - len, " and %zu more", n - 4);
}

static int refuse(enum subid_kind kind, const struct idmap *map, size_t i, uint32_t first,
		  const struct subid_user *user, const struct subid_range *ranges, size_t n,
		  const char *source, struct error *e)
{
	const struct idmap_extent *x = &map->x[i];
	uint32_t last = x->host_id + x->length - 1;
	const char *name = user->name[0] ? user->name : "without a name";
	char allowed[320];
	int r;

	list_ranges(ranges, n, allowed, sizeof(allowed));
	r = err_new(e, ERR_DENIED,
		    "%s[%zu]: container %s %u to host %s %u, size %u: host %s %u to %u are not user %s's "
		    "(uid %u) to "
		    "map: %s %s%s",
		    kinds[kind].field, i, kinds[kind].id, x->container_id, kinds[kind].id, x->host_id,
		    x->length, kinds[kind].plural, first, last, name, user->uid, source,
		    n ? "gives it " : "gives it nothing", allowed);
	if (user->name[0])
		err_hint(e, "root can give them: usermod %s %u-%u %s", kinds[kind].usermod, first, last,
			 name);
	else
		err_hint(e, "root can give them: a line \"%u:%u:%u\" in %s", user->uid, first,
			 last - first + 1, kinds[kind].file);
	return r;
}

int subid_check(enum subid_kind kind, const struct idmap *map, const struct subid_user *user,
		const struct subid_range *ranges, size_t count, const char *source, struct error *e)
{
	uint32_t own = kind == SUBID_UID ? user->uid : user->gid;

	for (size_t i = 0; i < map->n; i++) {
		const struct idmap_extent *x = &map->x[i];
		uint32_t done;

		if (x->length == 1 && x->host_id == own)
			continue;
		done = covered(ranges, count, x->host_id, x->length);
		if (done < x->length)
			return refuse(kind, map, i, x->host_id + done, user, ranges, count, source, e);
	}
	return 0;
}

/* ---- this machine ---------------------------------------------------------------------------------------- */

/* A static program has no name service; who is in another directory than the file has no name here, and its ranges are
 * found by uid, or not judged (subid_check_self()). */
void subid_self(struct subid_user *ret)
{
	cleanup_buf struct buf text = BUF_INIT;
	char *rest, *line;

	*ret = (struct subid_user){ .uid = getuid(), .gid = getgid() };
	if (file_read(AT_FDCWD, "/etc/passwd", FILE_MAX_BYTES, &text, NULL) < 0)
		return;
	buf_str(&text);
	rest = text.data;
	while (rest && (line = strsep(&rest, "\n"))) {
		char *name = strsep(&line, ":"), *uid;
		uint32_t n;

		strsep(&line, ":");
		uid = strsep(&line, ":");
		if (!uid || str_to_u32(uid, &n, NULL) < 0 || n != ret->uid ||
		    strlen(name) >= sizeof(ret->name))
			continue;
		memcpy(ret->name, name, strlen(name) + 1);
		return;
	}
}

/* nsswitch.conf(5): "subid: files" is the same as no line. */
static bool files_decide(void)
{
	cleanup_buf struct buf text = BUF_INIT;
	char *rest, *line;

	if (file_read(AT_FDCWD, "/etc/nsswitch.conf", FILE_MAX_BYTES, &text, NULL) < 0)
		return true;
	buf_str(&text);
	rest = text.data;
	while (rest && (line = strsep(&rest, "\n"))) {
		char *word;

		if (!str_starts(line, "subid:"))
			continue;
		line += strlen("subid:");
		while ((word = strsep(&line, " \t#")))
			if (*word && !str_eq(word, "files"))
				return false;
	}
	return true;
}

static int check_by_program(enum subid_kind kind, const struct idmap *map, const struct subid_user *user,
			    struct error *e)
{
	const char *const uid_argv[] = { "getsubids", user->name, NULL };
	const char *const gid_argv[] = { "getsubids", "-g", user->name, NULL };
	struct subid_range ranges[SUBID_RANGES_MAX];
	struct error ignored = ERROR_INIT;
	char out[8192];

	/* Who is not in the files, or no getsubids(1): newuidmap(1) itself will say. */
	if (!user->name[0] ||
	    subid_run(kind == SUBID_UID ? uid_argv : gid_argv, out, sizeof(out), &ignored) != 0)
		return 0;
	return subid_check(kind, map, user, ranges, subid_parse_answer(out, ranges),
			   "the name service (getsubids)", e);
}

int subid_check_self(enum subid_kind kind, const struct idmap *map, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	struct subid_range ranges[SUBID_RANGES_MAX];
	struct subid_user user;
	size_t n = 0;

	subid_self(&user);
	if (!files_decide())
		return check_by_program(kind, map, &user, e);
	if (file_read(AT_FDCWD, kinds[kind].file, FILE_MAX_BYTES, &text, NULL) >= 0)
		n = subid_parse(buf_str(&text), &user, ranges);
	/* Its name may be known to others than us. */
	if (!n && !user.name[0] && text.len)
		return 0;
	return subid_check(kind, map, &user, ranges, n, kinds[kind].file, e);
}
