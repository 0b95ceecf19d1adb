/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that hold here:
 * - Our terminal is ours only while we are in its foreground. A shell's job in the background must not change the
 *   modes under its shell; with SIGTTOU blocked, as it is here, the kernel would let it.
 * - stdout is shared with whoever started us, so it is not made non-blocking: its file description is opened anew.
 *   Where that cannot be, small pieces are written after poll(2) said that there is room.
 * - The end of our input is not the end of the container's: a terminal has none but a hangup.
 * - Nobody reads our output any more: the container goes on, and what it says is thrown away. */
#include "hull/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"

#define PIECE_BYTES 4096      /* what a pipe or socket takes without blocking when it can be written to */
#define REST_BYTES (1u << 18) /* more than a terminal holds; processes that live on may write for ever */
#define FRONT_CHECK_MS 500

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

/* ---- our own terminal -------------------------------------------------------------------------------------- */

bool relay_own_size(struct winsize *ret)
{
	for (int fd = 0; fd < 3; fd++)
		if (ioctl(fd, TIOCGWINSZ, ret) == 0)
			return true;
	return false;
}

void relay_resize(const struct relay *r)
{
	struct winsize size;

	if (r->master >= 0 && relay_own_size(&size))
		ioctl(r->master, TIOCSWINSZ, &size);
}

/* Of a terminal that does not control us, no shell is in charge either. */
static bool is_in_front(void)
{
	pid_t front = tcgetpgrp(STDIN_FILENO);

	return front < 0 || front == getpgrp();
}

static void take_terminal(struct relay *r)
{
	struct termios mode;

	r->is_front = !r->is_own_tty || is_in_front();
	if (!r->is_own_tty || !r->is_front)
		return;
	if (!r->is_raw && tcgetattr(STDIN_FILENO, &r->saved) < 0)
		return;
	mode = r->saved;
	cfmakeraw(&mode);
	/* The carriage returns are our terminal's to add: the container's has no ONLCR. */
	mode.c_oflag |= OPOST;
	r->is_raw = tcsetattr(STDIN_FILENO, TCSANOW, &mode) == 0;
	relay_resize(r);
}

void relay_end(struct relay *r)
{
	if (r->is_raw && is_in_front())
		tcsetattr(STDIN_FILENO, TCSANOW, &r->saved);
	r->is_raw = false;
	if (r->peer_fd >= 0)
		close(take_fd(r->peer_fd));
	if (r->is_out_own)
		close(take_fd(r->out_fd));
	r->is_out_own = false;
}

void relay_suspend(struct relay *r)
{
	if (r->is_raw && is_in_front())
		tcsetattr(STDIN_FILENO, TCSANOW, &r->saved);
	r->is_raw = false;
}

void relay_resume(struct relay *r)
{
	if (r->master >= 0)
		take_terminal(r);
}

/* ---- begin ------------------------------------------------------------------------------------------------- */

/* -1: the one that we have must do. A master is not opened again by this, it would be a new terminal. */
static int open_again(int fd)
{
	char path[PATH_FD_SIZE];
	struct stat sb;

	if (fstat(fd, &sb) < 0 || (!S_ISFIFO(sb.st_mode) && !isatty(fd)) || sb.st_rdev == makedev(5, 2))
		return -1;
	return open(path_of_fd(fd, path), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void relay_begin(struct relay *r, int master)
{
	*r = (struct relay){ .master = master, .peer_fd = -1, .out_fd = -1 };
	if (master < 0)
		return;
	r->input_open = r->output_open = true;
	fcntl(master, F_SETFL, fcntl(master, F_GETFL) | O_NONBLOCK);
	/* While somebody has the other side open, the master does not report a hangup: the process may close its fds and
	 * still write to /dev/tty. */
	r->peer_fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	r->out_fd = open_again(STDOUT_FILENO);
	r->is_out_own = r->out_fd >= 0;
	if (!r->is_out_own)
		r->out_fd = STDOUT_FILENO;
	r->is_own_tty = isatty(STDIN_FILENO);
	relay_resize(r);
	take_terminal(r);
}

/* ---- bytes --------------------------------------------------------------------------------------------------- */

static bool is_empty(const struct relay_buffer *b)
{
	return b->start == b->end;
}

/* Into an empty buffer. Returns false at the end. */
static bool fill(struct relay_buffer *b, int fd)
{
	ssize_t n = read(fd, b->data, sizeof(b->data));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n <= 0)
		return false;
	b->start = 0;
	b->end = (size_t)n;
	return true;
}

/* Returns false when nobody takes it any more. */
static bool drain(struct relay_buffer *b, int fd, size_t most)
{
	size_t left = b->end - b->start;
	ssize_t n = write(fd, b->data + b->start, left < most ? left : most);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	b->start += (size_t)n;
	return true;
}

int relay_wants(const struct relay *r, struct pollfd p[RELAY_POLLS])
{
	bool reads_own = r->input_open && r->is_front && !r->is_ending && is_empty(&r->in);

	p[0] = p[1] = p[2] = (struct pollfd){ .fd = -1 };
	if (r->master < 0)
		return -1;
	if (r->output_open && !r->is_ending && is_empty(&r->out))
		p[0].events |= POLLIN;
	if (!is_empty(&r->in) && !r->is_ending)
		p[0].events |= POLLOUT;
	if (p[0].events)
		p[0].fd = r->master;
	if (reads_own)
		p[1] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	if (!is_empty(&r->out))
		p[2] = (struct pollfd){ .fd = r->out_fd, .events = POLLOUT };
	/* No signal tells a job that runs that it was put into the foreground. */
	return r->is_own_tty && !r->is_front && !r->is_ending ? FRONT_CHECK_MS : -1;
}

static void move_out(struct relay *r)
{
	if (r->out_fd < 0 || !drain(&r->out, r->out_fd, r->is_out_own ? sizeof(r->out.data) : PIECE_BYTES)) {
		if (r->is_out_own)
			close(r->out_fd);
		r->is_out_own = false;
		r->out_fd = -1;
		r->out.start = r->out.end;
	}
}

void relay_move(struct relay *r, const struct pollfd p[RELAY_POLLS])
{
	if (r->master < 0)
		return;
	if (!r->is_front && is_in_front())
		take_terminal(r);
	if (p[2].revents)
		move_out(r);
	if (p[0].revents & POLLOUT)
		drain(&r->in, r->master, sizeof(r->in.data));
	if ((p[0].events & POLLIN) && (p[0].revents & (POLLIN | POLLHUP | POLLERR)))
		r->output_open = fill(&r->out, r->master);
	if (r->out_fd < 0)
		r->out.start = r->out.end;
	if (p[1].revents)
		r->input_open = fill(&r->in, STDIN_FILENO);
}

void relay_last(struct relay *r)
{
	r->is_ending = true;
	r->rest = REST_BYTES;
}

/* What the process wrote before its end is there to be read: read(2) of a master does not say EAGAIN before it has
 * looked into all of the kernel's queues. */
bool relay_has_rest(struct relay *r)
{
	if (r->master < 0 || r->out_fd < 0)
		return false;
	if (is_empty(&r->out) && r->output_open && r->rest > 0) {
		r->output_open = fill(&r->out, r->master) && !is_empty(&r->out);
		r->rest -= r->rest < sizeof(r->out.data) ? r->rest : sizeof(r->out.data);
	}
	return !is_empty(&r->out);
}
