/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3, newer than Debian 12's headers */
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* ---- writing ----------------------------------------------------------------------------------- */

void wire_out_done(struct wire_out *o)
{
	buf_done(&o->b);
	o->fd_count = 0;
}

void wire_add(struct wire_out *o, unsigned tag, unsigned flags, const void *data, size_t n)
{
	struct wire_tlv t = { .tag = (uint16_t)tag, .flags = (uint16_t)flags, .len = (uint32_t)n };

	buf_add(&o->b, &t, sizeof(t));
	buf_add(&o->b, data, n);
}

static void add_number(struct wire_out *o, const struct wire_field *f, uint64_t v)
{
	if (v != 0)
		wire_add(o, f->tag, f->flags, &v, sizeof(v));
}

static void add_fd(struct wire_out *o, const struct wire_field *f, int fd)
{
	uint64_t index = o->fd_count;

	if (fd < 0 || o->fd_count == FD_PASS_MAX - 1) /* one is left for the body */
		return;
	o->fds[o->fd_count++] = fd;
	wire_add(o, f->tag, f->flags, &index, sizeof(index));
}

static void add_text(struct wire_out *o, const struct wire_field *f, const char *s)
{
	if (s && *s)
		wire_add(o, f->tag, f->flags, s, strlen(s) + 1);
}

static void encode_field(struct wire_out *o, const struct wire_field *f, const void *at)
{
	const struct wire_bytes *bytes = at;

	switch ((enum wire_type)f->type) {
	case WIRE_U64:
		add_number(o, f, *(const uint64_t *)at);
		break;
	case WIRE_I64:
		add_number(o, f, (uint64_t) * (const int64_t *)at);
		break;
	case WIRE_INT:
		add_number(o, f, (uint64_t)(int64_t) * (const int *)at);
		break;
	case WIRE_BOOL:
		add_number(o, f, *(const bool *)at);
		break;
	case WIRE_STR:
		add_text(o, f, *(const char *const *)at);
		break;
	case WIRE_CHARS:
		add_text(o, f, at);
		break;
	case WIRE_BYTES:
		if (bytes->n > 0)
			wire_add(o, f->tag, f->flags, bytes->p, bytes->n);
		break;
	case WIRE_FD:
		add_fd(o, f, *(const int *)at);
		break;
	case WIRE_END:
		break;
	}
}

void wire_encode(struct wire_out *o, const struct wire_field *table, const void *src)
{
	for (const struct wire_field *f = table; f->type != WIRE_END; f++)
		encode_field(o, f, (const char *)src + f->offset);
}

/* The body as a sealed memfd: the reader maps it, and a file that shrinks under a mapping is SIGBUS. */
static int body_memfd(const struct buf *b)
{
	int fd = memfd_create("hull-message", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create("hull-message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	if (fd_write_full(fd, b->data, b->len) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
		int saved_errno = errno;

		close(fd);
		errno = saved_errno;
		return -1;
	}
	return fd;
}

int wire_send(int sock, unsigned op, const struct wire_out *o)
{
	struct wire_header h = { .magic = WIRE_MAGIC,
				 .version = WIRE_VERSION,
				 .op = (uint16_t)op,
				 .len = (uint32_t)(o ? o->b.len : 0) };
	struct iovec iov[2] = { { &h, sizeof(h) }, { o ? o->b.data : NULL, h.len } };
	int fds[FD_PASS_MAX];
	size_t fd_count = o ? o->fd_count : 0;
	cleanup_close int body_fd = -1;

	if (fd_count > 0)
		memcpy(fds, o->fds, fd_count * sizeof(fds[0]));
	if (h.len + sizeof(h) <= WIRE_INLINE_MAX)
		return fd_send(sock, iov, h.len > 0 ? 2 : 1, fds, fd_count);
	if (h.len > WIRE_BODY_MAX || fd_count == FD_PASS_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	body_fd = body_memfd(&o->b);
	if (body_fd < 0)
		return -1;
	fds[fd_count++] = body_fd;
	return fd_send(sock, iov, 1, fds, fd_count);
}

/* ---- reading ----------------------------------------------------------------------------------- */

int wire_next(const void *body, size_t len, size_t *pos, struct wire_tlv *ret_tlv, const char **ret_value,
	      struct error *e)
{
	struct wire_tlv t;

	if (*pos == len)
		return 0;
	if (len - *pos < sizeof(t))
		return err_new(e, ERR_CORRUPT, "message is cut off at byte %zu of %zu", *pos, len);
	memcpy(&t, (const char *)body + *pos, sizeof(t));
	if (t.len > len - *pos - sizeof(t))
		return err_new(e, ERR_CORRUPT,
			       "value of tag %u is %u bytes long, past the end of the message", t.tag, t.len);
	*ret_tlv = t;
	*ret_value = (const char *)body + *pos + sizeof(t);
	*pos += sizeof(t) + t.len;
	return 1;
}

static int decode_number(const struct wire_field *f, const char *p, uint32_t len, uint64_t *ret,
			 struct error *e)
{
	if (len != sizeof(*ret))
		return err_new(e, ERR_CORRUPT, "field %s is %u bytes long, not 8", f->name, len);
	memcpy(ret, p, sizeof(*ret));
	return 0;
}

static int decode_scalar(const struct wire_field *f, uint64_t v, void *at, struct error *e)
{
	int64_t s = (int64_t)v;

	switch ((enum wire_type)f->type) {
	case WIRE_U64:
		*(uint64_t *)at = v;
		return 0;
	case WIRE_I64:
		*(int64_t *)at = s;
		return 0;
	case WIRE_INT:
		if (s < INT_MIN || s > INT_MAX)
			return err_new(e, ERR_INVALID, "field %s is out of range", f->name);
		*(int *)at = (int)s;
		return 0;
	default:
		if (v > 1)
			return err_new(e, ERR_INVALID, "field %s is neither 0 nor 1", f->name);
		*(bool *)at = v;
		return 0;
	}
}

static int decode_text(const struct wire_field *f, const char *p, uint32_t len, void *at, struct error *e)
{
	if (len == 0 || p[len - 1] != '\0' || memchr(p, '\0', len - 1))
		return err_new(e, ERR_CORRUPT, "field %s is not one string", f->name);
	if (f->type == WIRE_STR) {
		if (len - 1 > f->max)
			return err_new(e, ERR_LIMIT, "field %s has %u bytes, more than %u", f->name, len - 1,
				       f->max);
		*(const char **)at = p;
		return 0;
	}
	if (len > f->max)
		len = f->max;
	memcpy(at, p, len - 1);
	((char *)at)[len - 1] = '\0';
	return 0;
}

static int decode_field(const struct wire_field *f, const char *p, uint32_t len, const int *fds,
			size_t fd_count, void *at, struct error *e)
{
	uint64_t v = 0;
	int r;

	switch ((enum wire_type)f->type) {
	case WIRE_STR:
	case WIRE_CHARS:
		return decode_text(f, p, len, at, e);
	case WIRE_BYTES:
		if (len > f->max)
			return err_new(e, ERR_LIMIT, "field %s has %u bytes, more than %u", f->name, len,
				       f->max);
		*(struct wire_bytes *)at = (struct wire_bytes){ p, len };
		return 0;
	case WIRE_FD:
		r = decode_number(f, p, len, &v, e);
		if (r == 0 && v >= fd_count)
			return err_new(e, ERR_CORRUPT, "field %s names fd %llu of %zu", f->name,
				       (unsigned long long)v, fd_count);
		if (r == 0)
			*(int *)at = fds[v];
		return r;
	default:
		r = decode_number(f, p, len, &v, e);
		return r < 0 ? r : decode_scalar(f, v, at, e);
	}
}

int wire_decode(const struct wire_field *table, const void *body, size_t len, const int *fds, size_t fd_count,
		void *dst, struct error *e)
{
	struct wire_tlv t;
	const char *value;
	uint64_t seen = 0;
	size_t pos = 0;
	int r;

	while ((r = wire_next(body, len, &pos, &t, &value, e)) > 0) {
		const struct wire_field *f = table;

		while (f->type != WIRE_END && f->tag != t.tag)
			f++;
		if (f->type == WIRE_END) {
			if (t.flags & WIRE_CRITICAL)
				return err_new(e, ERR_UNSUPPORTED,
					       "tag %u is not known to this version and must not be ignored",
					       t.tag);
			continue;
		}
		if (seen & (UINT64_C(1) << (f - table)))
			return err_new(e, ERR_CORRUPT, "field %s came twice", f->name);
		seen |= UINT64_C(1) << (f - table);
		r = decode_field(f, value, t.len, fds, fd_count, (char *)dst + f->offset, e);
		if (r < 0)
			return r;
	}
	return r;
}

void wire_msg_init(struct wire_msg *m)
{
	m->h = (struct wire_header){ 0 };
	m->body = NULL;
	m->fd_count = 0;
	m->map = NULL;
}

void wire_msg_done(struct wire_msg *m)
{
	for (size_t i = 0; i < m->fd_count; i++)
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	if (m->map)
		munmap(m->map, m->h.len);
	wire_msg_init(m);
}

int wire_check_header(const struct wire_header *h, struct error *e)
{
	if (h->magic != WIRE_MAGIC)
		return err_new(e, ERR_CORRUPT, "message does not begin with the magic number");
	if (h->version != WIRE_VERSION)
		return err_new(e, ERR_UNSUPPORTED, "protocol version %u is not known here, only version %u",
			       h->version, WIRE_VERSION);
	if (h->len > WIRE_BODY_MAX)
		return err_new(e, ERR_LIMIT, "message body has %u bytes, more than %u", h->len,
			       WIRE_BODY_MAX);
	return 0;
}

/* The body is in the last fd. */
static int map_body(struct wire_msg *m, struct error *e)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_WRITE;
	struct stat st;
	int have, fd;

	if (m->fd_count == 0)
		return err_new(e, ERR_CORRUPT, "message has neither its body of %u bytes nor an fd of it",
			       m->h.len);
	fd = m->fds[m->fd_count - 1];
	have = fcntl(fd, F_GET_SEALS);
	if (have < 0 || (have & seals) != seals)
		return err_new(e, ERR_CORRUPT, "the fd of the message's body is not a sealed memfd");
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat the message's body");
	if (st.st_size != m->h.len)
		return err_new(e, ERR_CORRUPT, "the message's body has %lld bytes, its header says %u",
			       (long long)st.st_size, m->h.len);
	m->map = mmap(NULL, m->h.len, PROT_READ, MAP_SHARED, fd, 0);
	if (m->map == MAP_FAILED) {
		m->map = NULL;
		return err_sys(e, "map the message's body of %u bytes", m->h.len);
	}
	close(fd);
	m->fd_count--;
	m->body = m->map;
	return 0;
}

int wire_recv(int sock, struct wire_msg *m, struct error *e)
{
	ssize_t n;
	int r;

	m->fd_count = FD_PASS_MAX;
	n = fd_recv(sock, m->data, sizeof(m->data), m->fds, &m->fd_count);
	if (n < 0) {
		m->fd_count = 0;
		if (errno == EAGAIN)
			return err_sysk(e, ERR_STATE, EAGAIN, "no message");
		if (errno == EMSGSIZE)
			return err_new(e, ERR_LIMIT, "message has more than %d bytes or %d fds",
				       WIRE_INLINE_MAX, FD_PASS_MAX);
		return err_sys(e, "receive");
	}
	if (n == 0 && m->fd_count == 0)
		return 0;
	if ((size_t)n < sizeof(m->h))
		return err_new(e, ERR_CORRUPT, "message of %zd bytes is shorter than a header", n);
	memcpy(&m->h, m->data, sizeof(m->h));
	r = wire_check_header(&m->h, e);
	if (r < 0)
		return r;
	m->body = m->data + sizeof(m->h);
	if ((size_t)n == sizeof(m->h) && m->h.len > 0) {
		r = map_body(m, e);
		return r < 0 ? r : 1;
	}
	if ((size_t)n - sizeof(m->h) != m->h.len)
		return err_new(e, ERR_CORRUPT, "message has %zu bytes behind its header, which says %u",
			       (size_t)n - sizeof(m->h), m->h.len);
	return 1;
}
