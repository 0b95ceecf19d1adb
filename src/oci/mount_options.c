// SPDX-License-Identifier: Apache-2.0
/* Option words of mounts: those of the OCI runtime spec ("Linux mount options"), each with its effect on a
 * mount (mount_setattr(2)), on a file system, or on how it is mounted. */
#include <linux/mount.h>
#include <string.h>
#include <sys/mount.h>

#include "codec/arena.h"
#include "oci/spec.h"

#define DATA_MAX 4095 /* mount(2) takes one page of data */

enum effect { ATTR, REC_ATTR, SUPER, PROPAGATION, BIND, RBIND, REMOUNT, TMPCOPYUP, IDMAP, RIDMAP, NOTHING };
struct option {
	const char *word;
	enum effect effect;
	bool is_clear;	  /* takes the attribute away */
	uint64_t attr;	  /* MOUNT_ATTR_* */
	unsigned long ms; /* MS_* */
};

/* clang-format off */
#define BOTH(on, off, attr, ms) { on, ATTR, false, attr, ms }, { off, ATTR, true, attr, ms }
#define REC_BOTH(on, off, attr) { on, REC_ATTR, false, attr, 0 }, { off, REC_ATTR, true, attr, 0 }
#define SUPER_BOTH(on, off, ms) { on, SUPER, false, 0, ms }, { off, SUPER, true, 0, ms }
static const struct option table[] = {
	BOTH("ro", "rw", MOUNT_ATTR_RDONLY, MS_RDONLY),
	BOTH("nosuid", "suid", MOUNT_ATTR_NOSUID, MS_NOSUID),
	BOTH("nodev", "dev", MOUNT_ATTR_NODEV, MS_NODEV),
	BOTH("noexec", "exec", MOUNT_ATTR_NOEXEC, MS_NOEXEC),
	BOTH("nodiratime", "diratime", MOUNT_ATTR_NODIRATIME, MS_NODIRATIME),
	BOTH("nosymfollow", "symfollow", MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW),
	BOTH("noatime", "atime", MOUNT_ATTR_NOATIME, MS_NOATIME),
	BOTH("strictatime", "nostrictatime", MOUNT_ATTR_STRICTATIME, MS_STRICTATIME),
	BOTH("relatime", "norelatime", MOUNT_ATTR_RELATIME, MS_RELATIME),
	REC_BOTH("rro", "rrw", MOUNT_ATTR_RDONLY),
	REC_BOTH("rnosuid", "rsuid", MOUNT_ATTR_NOSUID),
	REC_BOTH("rnodev", "rdev", MOUNT_ATTR_NODEV),
	REC_BOTH("rnoexec", "rexec", MOUNT_ATTR_NOEXEC),
	REC_BOTH("rnodiratime", "rdiratime", MOUNT_ATTR_NODIRATIME),
	REC_BOTH("rnosymfollow", "rsymfollow", MOUNT_ATTR_NOSYMFOLLOW),
	REC_BOTH("rnoatime", "ratime", MOUNT_ATTR_NOATIME),
	REC_BOTH("rstrictatime", "rnostrictatime", MOUNT_ATTR_STRICTATIME),
	REC_BOTH("rrelatime", "rnorelatime", MOUNT_ATTR_RELATIME),
	SUPER_BOTH("sync", "async", MS_SYNCHRONOUS),
	SUPER_BOTH("dirsync", "nodirsync", MS_DIRSYNC),
	SUPER_BOTH("mand", "nomand", MS_MANDLOCK),
	SUPER_BOTH("lazytime", "nolazytime", MS_LAZYTIME),
	SUPER_BOTH("iversion", "noiversion", MS_I_VERSION),
	SUPER_BOTH("silent", "loud", MS_SILENT),
	{ "private", PROPAGATION, false, 0, MS_PRIVATE },
	{ "rprivate", PROPAGATION, false, 0, MS_PRIVATE | MS_REC },
	{ "slave", PROPAGATION, false, 0, MS_SLAVE },
	{ "rslave", PROPAGATION, false, 0, MS_SLAVE | MS_REC },
	{ "shared", PROPAGATION, false, 0, MS_SHARED },
	{ "rshared", PROPAGATION, false, 0, MS_SHARED | MS_REC },
	{ "unbindable", PROPAGATION, false, 0, MS_UNBINDABLE },
	{ "runbindable", PROPAGATION, false, 0, MS_UNBINDABLE | MS_REC },
	{ "bind", BIND, false, 0, 0 },
	{ "rbind", RBIND, false, 0, 0 },
	{ "remount", REMOUNT, false, 0, 0 },
	{ "tmpcopyup", TMPCOPYUP, false, 0, 0 },
	{ "idmap", IDMAP, false, 0, 0 },
	{ "ridmap", RIDMAP, false, 0, 0 },
	{ "defaults", NOTHING, false, 0, 0 },
};
/* clang-format on */

const char *oci_mount_option_word(size_t i)
{
	return i < ARRAY_LEN(table) ? table[i].word : NULL;
}

static const struct option *find(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (strcmp(table[i].word, word) == 0)
			return &table[i];
	}
	return NULL;
}

/* Access time is one of three, not a bit: mount_setattr(2) wants MOUNT_ATTR__ATIME cleared whenever it is set
 * to something. Taking one away leaves the default, relatime. */
static bool is_atime(uint64_t attr)
{
	return (attr & ~(uint64_t)MOUNT_ATTR__ATIME) == 0;
}

static void apply_attr(const struct option *o, uint64_t *set, uint64_t *clr)
{
	if (is_atime(o->attr)) {
		*set = (*set & ~(uint64_t)MOUNT_ATTR__ATIME) | (o->is_clear ? MOUNT_ATTR_RELATIME : o->attr);
		*clr |= MOUNT_ATTR__ATIME;
	} else if (o->is_clear) {
		*set &= ~o->attr;
		*clr |= o->attr;
	} else {
		*set |= o->attr;
		*clr &= ~o->attr;
	}
}

static void apply_ms(const struct option *o, unsigned long *flags)
{
	if (o->effect == ATTR && is_atime(o->attr))
		*flags &= ~(unsigned long)(MS_NOATIME | MS_RELATIME | MS_STRICTATIME);
	if (o->is_clear)
		*flags &= ~o->ms;
	else
		*flags |= o->ms;
}

static int apply(const struct option *o, struct oci_mount_options *m, struct error *e)
{
	switch (o->effect) {
	case ATTR:
		apply_attr(o, &m->attr_set, &m->attr_clr);
		apply_ms(o, &m->flags);
		break;
	case REC_ATTR:
		apply_attr(o, &m->rec_attr_set, &m->rec_attr_clr);
		break;
	case SUPER:
		apply_ms(o, &m->flags);
		m->sb_set = (m->sb_set & ~o->ms) | (o->is_clear ? 0 : o->ms);
		m->sb_clr = (m->sb_clr & ~o->ms) | (o->is_clear ? o->ms : 0);
		break;
	case PROPAGATION:
		if (m->propagation_count == OCI_MOUNT_PROPAGATIONS_MAX)
			return err_new(e, ERR_INVALID, "more than %d propagation words",
				       OCI_MOUNT_PROPAGATIONS_MAX);
		m->propagation[m->propagation_count++] = o->ms;
		break;
	case RBIND:
		m->is_rbind = true;
		m->is_bind = true;
		break;
	case BIND:
		m->is_bind = true;
		break;
	case REMOUNT:
		m->is_remount = true;
		break;
	case TMPCOPYUP:
		m->tmpcopyup = true;
		break;
	case RIDMAP:
		m->ridmap = true;
		m->idmap = true;
		break;
	case IDMAP:
		m->idmap = true;
		break;
	case NOTHING:
		break;
	}
	return 0;
}

int oci_mount_options_parse(const char *const *words, size_t count, struct arena *arena,
			    struct oci_mount_options *ret_options, struct error *e)
{
	const char **rest = arena_array(arena, count + 1, sizeof(*rest));
	struct oci_mount_options m = { .data_words = { .v = rest } };
	size_t length = 0;
	char *data, *p;
	int r;

	for (size_t i = 0; i < count; i++) {
		const struct option *o = find(words[i]);

		r = o ? apply(o, &m, e) : 0;
		if (r < 0)
			return r;
		if (!o && *words[i]) {
			rest[m.data_words.n++] = words[i];
			length += strlen(words[i]) + 1;
		}
	}
	if (length > DATA_MAX)
		return err_new(e, ERR_LIMIT,
			       "%zu bytes of file system options, more than the %d that mount(2) takes",
			       length, DATA_MAX);
	data = p = arena_alloc(arena, length + 1);
	for (size_t i = 0; i < m.data_words.n; i++) {
		if (i)
			*p++ = ',';
		p = stpcpy(p, rest[i]);
	}
	m.data = data;
	*ret_options = m;
	return 0;
}
