/* SPDX-License-Identifier: Apache-2.0 */
/* CNI spec 1.1.0, section 1 "Network configuration format"; for a single plugin's file, spec 0.4.0
 * "Network Configuration". Members that we do not know are the plugins' and passed on. */
#include "net/cni_config.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"

#define NAME_MAX_BYTES 200 /* it becomes a directory of host-local */
#define FILES_MAX 1000

static const char *const version_text[CNI_VERSION_COUNT] = {
	[CNI_0_3_0] = "0.3.0", [CNI_0_3_1] = "0.3.1", [CNI_0_4_0] = "0.4.0",
	[CNI_1_0_0] = "1.0.0", [CNI_1_1_0] = "1.1.0",
};

const char *cni_version_text(enum cni_version v)
{
	return version_text[v];
}

int cni_version_parse(const char *text)
{
	for (int i = 0; i < CNI_VERSION_COUNT; i++)
		if (str_eq(text, version_text[i]))
			return i;
	return -1;
}

bool cni_is_name(const char *s)
{
	static const char alnum[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t len = s ? strlen(s) : 0;

	return len > 0 && len <= NAME_MAX_BYTES && !strchr("_.-", s[0]) && strspn(s, alnum) == len;
}

bool cni_is_ifname(const char *s)
{
	size_t len = s ? strlen(s) : 0;

	return len > 0 && len <= 15 && !str_eq(s, ".") && !str_eq(s, "..") &&
	       strcspn(s, "/: \t\n\v\f\r") == len;
}

bool cni_is_ip(const char *s)
{
	struct in6_addr a;

	return s && inet_pton(strchr(s, ':') ? AF_INET6 : AF_INET, s, &a) == 1;
}

bool cni_is_cidr(const char *s, bool need_prefix)
{
	cleanup_free char *copy = str_dup(s);
	char *slash = copy ? strchr(copy, '/') : NULL;
	uint32_t prefix = 0;

	if (slash)
		*slash = '\0';
	if (slash ? str_to_u32(slash + 1, &prefix, NULL) < 0 : need_prefix)
		return false;
	return cni_is_ip(copy) && prefix <= (strchr(copy, ':') ? 128U : 32U);
}

void cni_config_free(struct cni_config *c)
{
	if (!c)
		return;
	free(c->name);
	free(c->path);
	json_free(c->plugins);
	free(c);
}

struct json_object *cni_config_plugin(const struct cni_config *c, size_t i)
{
	return json_object_array_get_idx(c->plugins, i);
}

const char *cni_plugin_type(struct json_object *plugin)
{
	return json_object_get_string(json_object_object_get(plugin, "type"));
}

/* "cniVersion", and of "cniVersions" (1.1.0) the highest that we know too. */
static int read_version(struct json_object *o, enum cni_version *ret, struct error *e)
{
	cleanup_strv struct strv all = STRV_INIT;
	const char *text = NULL;
	int r, best = -1;

	r = json_get_str(o, "cniVersion", &text, e);
	if (r >= 0)
		r = json_get_strv(o, "cniVersions", 64, &all, e);
	if (r < 0)
		return r;
	if (text)
		strv_add(&all, text);
	for (size_t i = 0; i < all.n; i++)
		if (cni_version_parse(all.v[i]) > best)
			best = cni_version_parse(all.v[i]);
	if (all.n == 0)
		return err_new(e, ERR_INVALID, "\"cniVersion\" is missing; %s to %s are known",
			       version_text[0], version_text[CNI_VERSION_COUNT - 1]);
	if (best < 0)
		return err_new(e, ERR_INVALID, "\"cniVersion\" is \"%s\"; %s to %s are known",
			       all.v[all.n - 1], version_text[0], version_text[CNI_VERSION_COUNT - 1]);
	*ret = (enum cni_version)best;
	return 0;
}

/* libcni also takes the strings "true" and "false" here, and files with them exist. */
static int read_flag(struct json_object *o, const char *key, bool *ret, struct error *e)
{
	struct json_object *value = json_object_object_get(o, key);
	const char *text;

	if (!json_object_is_type(value, json_type_string))
		return json_get_bool(o, key, ret, e);
	text = json_object_get_string(value);
	if (!str_eq(text, "true") && !str_eq(text, "false"))
		return err_new(e, ERR_INVALID, "\"%s\" is \"%s\", not true or false", key, text);
	*ret = str_eq(text, "true");
	return 1;
}

/* A plugin's name becomes a part of a path (spec: "must not contain characters disallowed in file paths"). */
static bool is_plugin_type(const char *type)
{
	return !str_is_empty(type) && strlen(type) <= 255 && !strchr(type, '/') && !str_eq(type, ".") &&
	       !str_eq(type, "..");
}

static int check_type(struct json_object *o, struct error *e)
{
	const char *type = NULL;
	int r = json_need(json_get_str(o, "type", &type, e), "type", e);

	if (r < 0)
		return r;
	if (!is_plugin_type(type))
		return err_new(e, ERR_INVALID, "\"type\" is \"%s\", which is not the name of a plugin", type);
	return 0;
}

static int check_plugin(struct json_object *plugin, struct error *e)
{
	struct json_object *caps = NULL, *ipam = NULL;
	int r;

	if (!json_object_is_type(plugin, json_type_object))
		return err_new(e, ERR_INVALID, "%s, not an object", json_kind_text(plugin));
	r = check_type(plugin, e);
	if (r >= 0)
		r = json_get_object(plugin, "capabilities", &caps, e);
	if (r >= 0)
		r = json_get_object(plugin, "ipam", &ipam, e);
	if (r < 0)
		return r;
	if (caps) {
		json_object_object_foreach(caps, key, value) {
			if (!json_object_is_type(value, json_type_boolean))
				return err_new(e, ERR_INVALID,
					       "\"capabilities\": \"%s\" is %s, not true or false", key,
					       json_kind_text(value));
		}
	}
	/* host-device and others take an empty "ipam". */
	if (ipam && json_object_object_get(ipam, "type") && check_type(ipam, e) < 0)
		return err_ctx(e, "\"ipam\"");
	return 0;
}

static int check_plugins(struct cni_config *c, struct error *e)
{
	c->plugin_count = json_object_array_length(c->plugins);
	if (c->plugin_count == 0 || c->plugin_count > CNI_PLUGINS_MAX)
		return err_new(e, ERR_INVALID, "\"plugins\" has %zu entries, 1 to %d are possible",
			       c->plugin_count, CNI_PLUGINS_MAX);
	for (size_t i = 0; i < c->plugin_count; i++)
		if (check_plugin(cni_config_plugin(c, i), e) < 0)
			return err_ctx(e, "plugin %zu of \"plugins\"", i + 1);
	return 0;
}

static int read_plugins(struct json_object *o, bool is_list, struct cni_config *c, struct error *e)
{
	struct json_object *plugins = NULL;
	int r;

	if (is_list) {
		r = json_need(json_get_array(o, "plugins", &plugins, e), "plugins", e);
		if (r < 0)
			return r;
		c->plugins = json_object_get(plugins);
		return check_plugins(c, e);
	}
	if (json_object_object_get(o, "plugins")) {
		err_new(e, ERR_INVALID, "\"plugins\" stands in the configuration of a single plugin");
		return err_hint(e, "the name of a list's file ends in .conflist");
	}
	c->plugins = json_new_array();
	c->plugin_count = 1;
	json_push(c->plugins, json_object_get(o));
	return check_plugin(o, e);
}

static int from_object(struct json_object *o, bool is_list, struct cni_config **ret, struct error *e)
{
	CLEANUP(cni_config_free) struct cni_config *c = NEW(struct cni_config);
	const char *name = NULL;
	int r;

	r = read_version(o, &c->version, e);
	if (r >= 0)
		r = json_need(json_get_str(o, "name", &name, e), "name", e);
	if (r < 0)
		return r;
	if (!cni_is_name(name))
		return err_new(e, ERR_INVALID,
			       "\"name\" is \"%s\"; it begins with a letter or digit and has only those "
			       "and _.-",
			       name);
	c->name = str_dup(name);
	if (is_list)
		r = read_flag(o, "disableCheck", &c->disable_check, e);
	if (r >= 0 && is_list)
		r = read_flag(o, "disableGC", &c->disable_gc, e);
	if (r >= 0)
		r = read_plugins(o, is_list, c, e);
	if (r < 0)
		return r;
	*ret = take_ptr(c);
	return 0;
}

int cni_config_parse(const char *text, size_t len, bool is_list, struct cni_config **ret, struct error *e)
{
	cleanup_json struct json_object *o = NULL;
	int r = json_parse_object(text, len, CNI_CONFIG_MAX_BYTES, &o, e);

	return r < 0 ? r : from_object(o, is_list, ret, e);
}

/* ---- in a directory ---------------------------------------------------------------------------------- */

static bool is_config_name(const char *name)
{
	return str_ends(name, ".conflist") || str_ends(name, ".conf") || str_ends(name, ".json");
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_files(const char *dir, int *ret_dfd, struct strv *names, struct error *e)
{
	cleanup_close int dfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *stream;
	int copy;

	if (dfd < 0)
		return err_sysk(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS, errno,
				"open CNI directory \"%s\"", dir);
	copy = fcntl(dfd, F_DUPFD_CLOEXEC, 3);
	stream = copy < 0 ? NULL : fdopendir(copy);
	if (!stream) {
		err_sys(e, "read CNI directory \"%s\"", dir);
		if (copy >= 0)
			close(copy);
		return -ERR_SYS;
	}
	while ((entry = readdir(stream)) && names->n < FILES_MAX)
		if (is_config_name(entry->d_name))
			strv_add(names, entry->d_name);
	closedir(stream);
	if (names->n == 0)
		return err_new(e, ERR_NOT_FOUND, "no *.conflist, *.conf or *.json in CNI directory \"%s\"",
			       dir);
	qsort(names->v, names->n, sizeof(*names->v), compare_names);
	*ret_dfd = take_fd(dfd);
	return 0;
}

static int load_file(const char *dir, int dfd, const char *name, struct cni_config **ret, struct error *e)
{
	cleanup_buf struct buf text = BUF_INIT;
	int r = file_read(dfd, name, CNI_CONFIG_MAX_BYTES, &text, e);

	if (r == 0)
		r = cni_config_parse(buf_str(&text), text.len, str_ends(name, ".conflist"), ret, e);
	/* The file was named in a listing that came before: its absence is no "no configuration". */
	if (r == -ERR_NOT_FOUND)
		r = err_kind(e, ERR_SYS);
	if (r < 0)
		return err_ctx(e, "CNI configuration \"%s/%s\"", dir, name);
	(*ret)->path = str_fmt("%s/%s", dir, name);
	return 0;
}

int cni_config_load(const char *dir, struct cni_config **ret, struct buf *skipped, struct error *e)
{
	cleanup_strv struct strv names = STRV_INIT;
	cleanup_close int dfd = -1;
	struct error first = ERROR_INIT;
	int r = list_files(dir, &dfd, &names, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < names.n; i++) {
		struct error one = ERROR_INIT;

		r = load_file(dir, dfd, names.v[i], ret, &one);
		if (r == 0)
			return 0;
		buf_addf(skipped, "%s%s", skipped->len ? "; " : "", err_msg(&one));
		if (i == 0)
			first = one;
	}
	if (e)
		*e = first;
	return -(int)first.kind;
}

/* ---- built in ---------------------------------------------------------------------------------------- */

/* Masquerading and forwarding are rules of the whole bridge: see cni_rules.c. */
static void add_bridge(struct json_object *plugins, const struct cni_default_opts *o)
{
	struct json_object *bridge = json_push_object(plugins), *ipam, *range, *route;

	json_put_str(bridge, "type", "bridge");
	json_put_str(bridge, "bridge", o->bridge);
	json_put_bool(bridge, "isGateway", true);
	json_put_bool(bridge, "hairpinMode", true);
	ipam = json_put_object(bridge, "ipam");
	json_put_str(ipam, "type", "host-local");
	json_put_str(ipam, "dataDir", o->data_dir);
	range = json_new_array();
	json_put_str(json_push_object(range), "subnet", o->subnet);
	json_push(json_put_array(ipam, "ranges"), range);
	route = json_push_object(json_put_array(ipam, "routes"));
	json_put_str(route, "dst", strchr(o->subnet, ':') ? "::/0" : "0.0.0.0/0");
}

int cni_config_default(const struct cni_default_opts *o, bool with_portmap, struct cni_config **ret,
		       struct error *e)
{
	cleanup_json struct json_object *list = json_new();
	struct json_object *plugins;
	int r;

	if (!cni_is_ifname(o->bridge) || !cni_is_name(o->bridge))
		return err_new(e, ERR_INVALID, "default network: \"%s\" cannot be the name of a bridge",
			       o->bridge);
	if (!cni_is_cidr(o->subnet, true))
		return err_new(e, ERR_INVALID, "default network: \"%s\" is no subnet", o->subnet);
	json_put_str(list, "cniVersion", cni_version_text(CNI_1_0_0));
	/* host-local has a directory a name, so that two instances are apart in the same data_dir too. */
	json_put_str(list, "name", o->bridge);
	plugins = json_put_array(list, "plugins");
	add_bridge(plugins, o);
	if (with_portmap) {
		struct json_object *portmap = json_push_object(plugins);

		json_put_str(portmap, "type", "portmap");
		json_put_bool(json_put_object(portmap, "capabilities"), "portMappings", true);
	}
	r = from_object(list, true, ret, e);
	if (r < 0)
		return err_ctx(e, "default network");
	(*ret)->is_default = true;
	return 0;
}

/* ---- in a record ------------------------------------------------------------------------------------- */

struct json_object *cni_config_to_json(const struct cni_config *c)
{
	struct json_object *o = json_new();

	json_put_str(o, "cniVersion", cni_version_text(c->version));
	json_put_str(o, "name", c->name);
	json_put_bool(o, "disableCheck", c->disable_check);
	json_put_str(o, "path", c->path);
	json_put_bool(o, "default", c->is_default);
	json_put(o, "plugins", json_object_get(c->plugins));
	return o;
}

int cni_config_from_json(struct json_object *o, struct cni_config **ret, struct error *e)
{
	CLEANUP(cni_config_free) struct cni_config *c = NULL;
	const char *path = NULL;
	int r = from_object(o, true, &c, e);

	if (r < 0 || !c)
		return r;
	r = json_get_str(o, "path", &path, e);
	if (r >= 0)
		r = json_get_bool(o, "default", &c->is_default, e);
	if (r < 0)
		return r;
	c->path = str_dup(path);
	*ret = take_ptr(c);
	return 0;
}
