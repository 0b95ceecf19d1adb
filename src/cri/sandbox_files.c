/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a pod that its containers see as /etc/hostname, /etc/hosts and /etc/resolv.conf. The
 * kubelet gives /etc/hosts as a mount of its own; ours is for everybody else. */
#include "cri/sandbox.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define HOST_FILE_MAX (1024 * 1024)

/* Owned by the pod's root, so that root in a container may change it; an id-mapped mount does the same
 * for kubelet's files. */
static int write_file(const struct sandbox *s, const char *name, const struct buf *b, struct error *e)
{
	uint32_t uid = s->rec->n_uids ? s->rec->uids[0]->host_id : 0;
	uint32_t gid = s->rec->n_gids ? s->rec->gids[0]->host_id : 0;
	int r = file_write_atomic(s->pod_dfd, name, b->data ? b->data : "", b->len, 0644, false, e);

	if (r < 0)
		return r;
	if ((uid || gid) && fchownat(s->pod_dfd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "give \"%s\" to the pod's root %u:%u", name, uid, gid);
	return 0;
}

static int write_hostname(const struct sandbox *s, struct error *e)
{
	cleanup_buf struct buf b = BUF_INIT;
	char host[HOST_NAME_MAX + 1] = "";

	if (*s->rec->config->hostname)
		buf_addf(&b, "%s\n", s->rec->config->hostname);
	else if (gethostname(host, sizeof(host) - 1) == 0)
		buf_addf(&b, "%s\n", host);
	return write_file(s, "hostname", &b, e);
}

static int write_hosts(const struct sandbox *s, struct error *e)
{
	cleanup_buf struct buf b = BUF_INIT;

	if (!*s->rec->netns_path) { /* on the host's network its names hold too */
		struct error ignored;

		if (file_read(AT_FDCWD, "/etc/hosts", HOST_FILE_MAX, &b, &ignored) == 0)
			return write_file(s, "hosts", &b, e);
	}
	buf_adds(&b, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
		     "fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-"
		     "allrouters\n");
	if (*s->rec->config->hostname)
		buf_addf(&b, "127.0.1.1\t%s\n", s->rec->config->hostname);
	return write_file(s, "hosts", &b, e);
}

/* resolv.conf(5) from the DNSConfig; empty: the host's copy. */
static int write_resolv_conf(const struct sandbox *s, struct error *e)
{
	const PB(DNSConfig) *d = s->rec->config->dns_config;
	cleanup_buf struct buf b = BUF_INIT;

	if (!d || (d->n_servers == 0 && d->n_searches == 0 && d->n_options == 0)) {
		struct error ignored;

		if (file_read(AT_FDCWD, "/etc/resolv.conf", HOST_FILE_MAX, &b, &ignored) < 0)
			buf_clear(&b);
		return write_file(s, "resolv.conf", &b, e);
	}
	if (d->n_searches) {
		buf_adds(&b, "search");
		for (size_t i = 0; i < d->n_searches; i++)
			buf_addf(&b, " %s", d->searches[i]);
		buf_addc(&b, '\n');
	}
	for (size_t i = 0; i < d->n_servers; i++)
		buf_addf(&b, "nameserver %s\n", d->servers[i]);
	if (d->n_options) {
		buf_adds(&b, "options");
		for (size_t i = 0; i < d->n_options; i++)
			buf_addf(&b, " %s", d->options[i]);
		buf_addc(&b, '\n');
	}
	return write_file(s, "resolv.conf", &b, e);
}

int sandbox_files_write(const struct sandbox *s, struct error *e)
{
	int r;

	if ((r = write_hostname(s, e)) < 0 || (r = write_hosts(s, e)) < 0 ||
	    (r = write_resolv_conf(s, e)) < 0)
		return err_ctx(e, "write the pod's files");
	return 0;
}
