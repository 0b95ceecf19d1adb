/* SPDX-License-Identifier: Apache-2.0 */
/* Between a container's terminal and our own stdin and stdout, which may be a terminal (then it is made raw: the
 * container's does the echoing and the signals) or anything else. Never blocks: signals have to be served, whether or
 * not somebody reads what the container writes. */
#ifndef HULL_HULL_RELAY_H
#define HULL_HULL_RELAY_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <termios.h>

struct relay_buffer {
	size_t start, end;
	char data[8192];
};

struct relay {
	int master;	 /* borrowed; -1: no terminal, and all here does nothing */
	int peer_fd;	 /* the other side, held open */
	int out_fd;	 /* stdout, as a file description of our own where that can be had */
	bool is_out_own; /* it is one */
	bool input_open, output_open;
	bool is_own_tty; /* stdin is a terminal */
	bool is_front;	 /* we are what it runs in the foreground, so that it is ours to read and to set */
	bool is_raw;
	bool is_ending; /* the container's process is gone */
	size_t rest;	/* bytes that may still come after that */
	struct termios saved;
	struct relay_buffer in, out; /* to the container, from it */
};

/* The size of the terminal that we run on (stdin, stdout or stderr). Returns false without one. */
bool relay_own_size(struct winsize *ret);

void relay_begin(struct relay *r, int master);
/* Put our terminal back as it was. */
void relay_end(struct relay *r);

#define RELAY_POLLS 3
/* What to wait for, and for how long at most. */
int relay_wants(const struct relay *r, struct pollfd p[RELAY_POLLS]);
void relay_move(struct relay *r, const struct pollfd p[RELAY_POLLS]);
/* The size of our terminal changed. */
void relay_resize(const struct relay *r);
/* Around a stop of ours (SIGTSTP, SIGCONT): the terminal goes back to the shell, or is taken again. */
void relay_suspend(struct relay *r);
void relay_resume(struct relay *r);
/* The process is gone: from now on only what it wrote before is of interest. */
void relay_last(struct relay *r);
bool relay_has_rest(struct relay *r);

#endif
