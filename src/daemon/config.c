/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/config.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "codec/arena.h"
#include "codec/yaml_tree.h"
#include "daemon/config_schema.h"
#include "daemon/listen.h"

#define DROP_INS_MAX 128

/* What holds when nobody says otherwise; the paths of tools are those of Debian and of the plugins' own
 * releases. */
static void set_defaults(struct daemon_config *c)
{
	struct node_config *n = &c->node;

	*c = (struct daemon_config){ .limits = { 256, 16, 256, 64, 20 } };
	n->listen = str_dup("unix:///run/hull/hull.sock");
	n->root_dir = str_dup("/var/lib/hull");
	n->state_dir = str_dup("/run/hull");
	n->netns_dir = str_dup("/run/netns");
	n->cgroup_driver = str_dup("cgroupfs");
	n->cni_conf_dir = str_dup("/etc/cni/net.d");
	strv_add(&n->cni_bin_dirs, "/opt/cni/bin");
	strv_add(&n->cni_bin_dirs, "/usr/lib/cni");
	n->cni_default_bridge = str_dup("hull0");
	n->cni_default_subnet = str_dup("10.88.0.0/16");
	n->cni_timeout_s = 60;
	n->enable_unprivileged_ports = true;
	n->enable_unprivileged_icmp = true;
	n->log_level = str_dup("info");
	n->log_format = str_dup("text");
	n->handlers = mem_array(1, sizeof(*n->handlers));
	n->handlers[0] = (struct handler_config){ .name = str_dup(""), .userns_size = 65536 };
	n->handler_count = 1;
	n->userns_user = str_dup("hull");
}

void config_done(struct daemon_config *c)
{
	struct node_config *n = &c->node;
	char *const texts[] = {
		n->listen,
		n->root_dir,
		n->state_dir,
		n->netns_dir,
		n->helper_dir,
		n->cgroup_driver,
		n->cni_conf_dir,
		n->cni_default_bridge,
		n->cni_default_subnet,
		n->cni_default_data_dir,
		n->sandbox_image,
		n->log_level,
		n->log_format,
		n->userns_user,
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	for (size_t i = 0; i < n->handler_count; i++)
		free(n->handlers[i].name);
	free(n->handlers);
	free(n->userns_blocks);
	strv_done(&n->cni_bin_dirs);
	strv_done(&n->pod_annotations);
	strv_done(&n->container_annotations);
	registries_done(&n->registries);
	*c = (struct daemon_config){ 0 };
}

/* --- checks of the whole --- */

static int check_dir(const char *key, const char *path, struct error *e)
{
	if (path && !path_is_clean_abs(path))
		return err_new(e, ERR_INVALID, "%s: \"%.200s\" is not a clean absolute path", key, path);
	return 0;
}

static int check_subnet(const char *text, struct error *e)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : 0;
	uint8_t bytes[16];
	uint32_t bits;
	int family;

	if (n == 0 || n >= sizeof(address))
		goto bad;
	memcpy(address, text, n);
	address[n] = '\0';
	family = strchr(address, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(family, address, bytes) != 1 || str_to_u32(slash + 1, &bits, NULL) < 0 || bits < 8 ||
	    bits > (family == AF_INET ? 29u : 125u))
		goto bad;
	return 0;
bad:
	return err_new(e, ERR_INVALID, "cni.default_subnet: \"%.64s\" is not an address and a prefix length",
		       text);
}

static int check_userns(struct node_config *n, struct error *e)
{
	int r;

	if (n->node_uids.n > 0 && n->node_gids.n == 0)
		n->node_gids = n->node_uids;
	if (n->node_uids.n > 0) {
		r = idmap_check(&n->node_uids, true, "uid", e);
		if (r >= 0)
			r = idmap_check(&n->node_gids, true, "gid", e);
		if (r < 0)
			return err_ctx(e, "userns.node_mapping");
	}
	for (size_t i = 0; i < n->handler_count; i++)
		if (n->handlers[i].userns == USERNS_NODE && n->node_uids.n == 0)
			return err_new(e, ERR_INVALID,
				       "runtimes.%s.userns is \"node\", but userns.node_mapping is not there",
				       *n->handlers[i].name ? n->handlers[i].name : "default");
	return 0;
}

static int check(struct daemon_config *c, struct error *e)
{
	struct node_config *n = &c->node;
	const struct {
		const char *key, *path;
	} dirs[] = {
		{ "root", n->root_dir },
		{ "state", n->state_dir },
		{ "netns_dir", n->netns_dir },
		{ "helper_dir", n->helper_dir },
		{ "cni.conf_dir", n->cni_conf_dir },
		{ "cni.default_data_dir", n->cni_default_data_dir },
	};
	const char *path;
	int r = listen_path(n->listen, &path, e);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(dirs); i++)
		r = check_dir(dirs[i].key, dirs[i].path, e);
	for (size_t i = 0; r == 0 && i < n->cni_bin_dirs.n; i++)
		r = check_dir("cni.bin_dirs", n->cni_bin_dirs.v[i], e);
	if (r == 0 && (!path_is_name(n->cni_default_bridge) || strlen(n->cni_default_bridge) >= IFNAMSIZ))
		r = err_new(e, ERR_INVALID, "cni.default_bridge: \"%.64s\" is no name of an interface",
			    n->cni_default_bridge);
	if (r == 0)
		r = check_subnet(n->cni_default_subnet, e);
	if (r == 0 && n->sandbox_image && !*n->sandbox_image)
		str_set(&n->sandbox_image, NULL);
	return r == 0 ? check_userns(n, e) : r;
}

/* systemd's own test of whether it is the init of this system: sd_booted(3). */
static void choose_cgroup_driver(struct node_config *n)
{
	if (str_eq(n->cgroup_driver, "auto"))
		str_set(&n->cgroup_driver, access("/run/systemd/system", F_OK) == 0 ? "systemd" : "cgroupfs");
}

/* --- files --- */

static int parse_into(struct daemon_config *c, const char *name, const char *text, size_t len,
		      struct error *e)
{
	cleanup_arena struct arena arena = ARENA_INIT;
	struct yaml_node *doc;
	int r;

	r = yaml_parse(name, text, len, &arena, &doc, e);
	if (r < 0 || !doc || yaml_is_null(doc))
		return r;
	if (doc->next)
		return err_new(e, ERR_INVALID, "%s:%u: a second document", name, doc->next->line);
	return yaml_fill(doc, config_schema, c, e);
}

static int read_file(struct daemon_config *c, const char *path, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	int r = file_read(AT_FDCWD, path, YAML_BYTES_MAX, &text, e);

	return r < 0 ? r : parse_into(c, path, buf_str(&text), text.len, e);
}

static int is_drop_in(const struct dirent *d)
{
	return d->d_name[0] != '.' && str_ends(d->d_name, ".yaml");
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_drop_ins(struct daemon_config *c, const char *file, struct error *e)
{
	const char *slash = strrchr(file, '/');
	cleanup_free char *dir = str_fmt("%.*sconfig.d", slash ? (int)(slash - file + 1) : 0, file);
	struct dirent **names;
	int n = scandir(dir, &names, is_drop_in, compare_names), r = 0;

	if (n < 0)
		return errno == ENOENT ? 0 : err_sys(e, "list \"%s\"", dir);
	if (n > DROP_INS_MAX)
		r = err_new(e, ERR_LIMIT, "more than %d files in \"%s\"", DROP_INS_MAX, dir);
	for (int i = 0; i < n; i++) {
		cleanup_free char *path = str_fmt("%s/%s", dir, names[i]->d_name);

		if (r == 0)
			r = read_file(c, path, e);
		free(names[i]);
	}
	free(names);
	return r;
}

static void apply_flags(struct daemon_config *c, const struct config_flags *f)
{
	struct node_config *n = &c->node;
	const struct {
		const char *value;
		char **member;
	} texts[] = {
		{ f->listen, &n->listen },
		{ f->root, &n->root_dir },
		{ f->state, &n->state_dir },
		{ f->cni_conf_dir, &n->cni_conf_dir },
		{ f->cgroup_driver, &n->cgroup_driver },
		{ f->log_level, &n->log_level },
		{ f->log_format, &n->log_format },
		{ f->helper_dir, &n->helper_dir },
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].value)
			str_set(texts[i].member, texts[i].value);
	if (f->cni_bin_dirs.n > 0) {
		strv_done(&n->cni_bin_dirs);
		for (size_t i = 0; i < f->cni_bin_dirs.n; i++)
			strv_add(&n->cni_bin_dirs, f->cni_bin_dirs.v[i]);
	}
	/* An instance with a state directory of its own has its socket there. */
	if (f->state && !f->listen && str_eq(n->listen, "unix:///run/hull/hull.sock")) {
		cleanup_free char *listen = str_fmt("unix://%s/hull.sock", f->state);

		str_set(&n->listen, listen);
	}
}

int config_load(const struct config_flags *flags, struct daemon_config *ret, struct error *e)
{
	CLEANUP(config_done) struct daemon_config c;
	const char *file = flags->file ? flags->file : CONFIG_DEFAULT_FILE;
	int r;

	set_defaults(&c);
	r = read_file(&c, file, e);
	if (r == -ERR_NOT_FOUND && !flags->file)
		r = 0;
	if (r == 0)
		r = read_drop_ins(&c, file, e);
	if (r < 0)
		return r;
	apply_flags(&c, flags);
	choose_cgroup_driver(&c.node);
	r = check(&c, e);
	if (r < 0)
		return r;
	*ret = c;
	c = (struct daemon_config){ 0 };
	return 0;
}

int config_parse(const char *name, const char *text, size_t len, struct daemon_config *ret, struct error *e)
{
	CLEANUP(config_done) struct daemon_config c;
	int r;

	set_defaults(&c);
	r = parse_into(&c, name, text, len, e);
	if (r == 0)
		r = check(&c, e);
	if (r < 0)
		return r;
	*ret = c;
	c = (struct daemon_config){ 0 };
	return 0;
}

void config_limits(const struct daemon_config *c, struct server_limits *limits)
{
	limits->max_connections = c->limits.max_connections;
	limits->workers.max[JOB_SHORT] = c->limits.max_calls;
	limits->workers.max[JOB_LONG] = c->limits.max_long_calls;
	limits->workers.max[JOB_STREAM] = c->limits.max_streams;
	limits->drain_ns = c->limits.drain_s * NS_PER_S;
}
