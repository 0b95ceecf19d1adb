/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of the built-in network belong to the bridge and its subnet, and are made once, in one chain of
 * ours in each of the tables nat and filter. The plugins' own way (ipMasq of "bridge", and "firewall") is a
 * chain and rules for every pod, made and unmade by some twenty executions of iptables: that was measured to
 * be 40 of 52 ms of an ADD and 99 of 118 ms of a DEL, and leaves them behind when a DEL comes after the
 * namespace has gone.
 *
 * They mean the same: what leaves the subnet is masqueraded, multicast is not; pods may open connections
 * through the host, and get answers and what a host port was mapped to, also where FORWARD drops.
 *
 * Somebody may flush the tables (firewall reloads do), so they are looked for again now and then. Two
 * instances have bridges of different names, and so different chains. */
#include "net/cni_rules.h"

#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "net/cni_exec.h"

#define TRUST_NS (30 * NS_PER_S)
#define WAIT_SECONDS "10" /* for the lock that all users of iptables share */

struct jump {
	const char *table, *chain;
	bool is_there;
};

static bool is_ipv6(const char *subnet)
{
	return strchr(subnet, ':') != NULL;
}

static int find(struct cni *c, const char *program, char **ret_path, struct error *e)
{
	cleanup_strv struct strv dirs = STRV_INIT;

	strv_split(&dirs, c->path, ":");
	return cni_exec_find(&dirs, program, ret_path, e);
}

static const char *tables_program(struct cni *c)
{
	return is_ipv6(c->subnet) ? "ip6tables" : "iptables";
}

static const char *restore_program(struct cni *c)
{
	return is_ipv6(c->subnet) ? "ip6tables-restore" : "iptables-restore";
}

bool rules_are_possible(struct cni *c)
{
	cleanup_free char *tables = NULL, *restore = NULL;

	return find(c, tables_program(c), &tables, NULL) == 0 &&
	       find(c, restore_program(c), &restore, NULL) == 0;
}

void rules_text(const char *bridge, const char *subnet, bool has_nat_jump, bool has_filter_jump,
		struct buf *text)
{
	buf_addf(text, "*nat\n:HULL-%s - [0:0]\n", bridge);
	buf_addf(text, "-A HULL-%s -d %s -j RETURN\n", bridge, subnet);
	buf_addf(text, "-A HULL-%s -d %s -j RETURN\n", bridge, is_ipv6(subnet) ? "ff00::/8" : "224.0.0.0/4");
	buf_addf(text, "-A HULL-%s -j MASQUERADE\n", bridge);
	if (!has_nat_jump)
		buf_addf(text, "-A POSTROUTING -s %s -j HULL-%s\n", subnet, bridge);
	buf_addf(text, "COMMIT\n*filter\n:HULL-%s - [0:0]\n", bridge);
	buf_addf(text, "-A HULL-%s -i %s -j ACCEPT\n", bridge, bridge);
	buf_addf(text, "-A HULL-%s -o %s -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT\n", bridge,
		 bridge);
	/* Before what others there may drop. */
	if (!has_filter_jump)
		buf_addf(text, "-I FORWARD 1 -j HULL-%s\n", bridge);
	buf_adds(text, "COMMIT\n");
}

/* Run iptables or iptables-restore: args[0] is which, and tells the program itself too, as all of them are
 * one. Returns its exit status. */
static int run(struct cni *c, const char *const *args, const struct buf *input, const struct cni_call *call,
	       struct cni_output *output, struct error *e)
{
	cleanup_free char *path = NULL, *env_path = str_fmt("PATH=%s", c->path);
	const char *const env[] = { env_path, NULL };
	int r = find(c, args[0], &path, e);

	if (r == 0)
		r = cni_exec_run(&(struct cni_exec){ .path = path,
						     .argv = args,
						     .env = env,
						     .input = input ? input->data : "",
						     .input_len = input ? input->len : 0,
						     .call = call },
				 output, e);
	if (r < 0)
		return err_ctx(e, "\"%s\"", args[0]);
	return WIFEXITED(output->status) ? WEXITSTATUS(output->status) : 128 + WTERMSIG(output->status);
}

/* Exit status 1 is both "no such rule" and "no such chain"; all else will show when the rules are made. */
static int look_for(struct cni *c, struct jump *jump, const struct cni_call *call, struct error *e)
{
	bool is_nat = str_eq(jump->table, "nat");
	cleanup_free char *target = str_fmt("HULL-%s", c->bridge);
	const char *const nat[] = { tables_program(c), "-w", WAIT_SECONDS, "-t", "nat",	 "-C",
				    jump->chain,       "-s", c->subnet,	   "-j", target, NULL };
	const char *const filter[] = { tables_program(c), "-w", WAIT_SECONDS, "-t", "filter", "-C",
				       jump->chain,	  "-j", target,	      NULL };
	CLEANUP(cni_output_done) struct cni_output output = { 0 };
	int r = run(c, is_nat ? nat : filter, NULL, call, &output, e);

	if (r < 0)
		return r;
	jump->is_there = r == 0;
	return 0;
}

static int make(struct cni *c, const struct jump *nat, const struct jump *filter, const struct cni_call *call,
		struct error *e)
{
	const char *const args[] = { restore_program(c), "-w", WAIT_SECONDS, "--noflush", NULL };
	CLEANUP(cni_output_done) struct cni_output output = { 0 };
	cleanup_buf struct buf text = BUF_INIT;
	char status[64];
	int r;

	rules_text(c->bridge, c->subnet, nat->is_there, filter->is_there, &text);
	r = run(c, args, &text, call, &output, e);
	if (r <= 0)
		return r;
	err_new(e, ERR_UNAVAILABLE, "\"%s\" ended with %s", args[0],
		proc_status_text(output.status, status, sizeof(status)));
	return err_hint(e, "stderr: \"%.300s\"", buf_str(&output.err));
}

static int ensure_locked(struct cni *c, const struct cni_call *call, struct error *e)
{
	struct jump nat = { "nat", "POSTROUTING", false }, filter = { "filter", "FORWARD", false };
	int r;

	if (c->rules_seen_ns && clock_mono_ns() - c->rules_seen_ns < TRUST_NS)
		return 0;
	r = look_for(c, &nat, call, e);
	if (r == 0)
		r = look_for(c, &filter, call, e);
	if (r == 0 && (!nat.is_there || !filter.is_there))
		r = make(c, &nat, &filter, call, e);
	if (r == 0)
		c->rules_seen_ns = clock_mono_ns();
	return r;
}

int rules_ensure(struct cni *c, const struct cni_call *call, struct error *e)
{
	int r;

	if (!rules_are_possible(c))
		return 0;
	pthread_mutex_lock(&c->rules_lock);
	r = ensure_locked(c, call, e);
	pthread_mutex_unlock(&c->rules_lock);
	return r < 0 ? err_ctx(e, "rules of the built-in network \"%s\"", c->bridge) : 0;
}
