// SPDX-License-Identifier: Apache-2.0
/* hullctl's command line: hullctl [--address A] [--json] COMMAND [OPTION]... [ARGUMENT]... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "ctl/ctl.h"

const struct ctl_command ctl_commands[] = {
	{ "version", "", "Show the versions of hullctl and of hulld", NULL, ctl_version },
	{ "info", "", "Show how the node is and what its runtime can do", NULL, ctl_info },
	{ "pull", "[-q] [--creds USER:PASSWORD] IMAGE...", "Fetch images from their registries",
	  "  -q, --quiet              print only the images' ids\n"
	  "  --creds USER:PASSWORD    credentials for the registry\n",
	  ctl_pull },
	{ "load", "[--name NAME] FILE", "Import the images of a docker-archive or an OCI archive",
	  "  --name NAME              name of an image that the archive gives none\n"
	  "FILE is read by hulld, on the node.\n",
	  ctl_load },
	{ "images", "[-q] [IMAGE]", "List images", "  -q, --quiet              print only their ids\n",
	  ctl_images },
	{ "rmi", "IMAGE...", "Remove images with all their names", NULL, ctl_rmi },
	{ "run", "[OPTION]... FILE", "Run the pods of a Kubernetes manifest",
	  "  --userns START:LENGTH    host ids of a pod with hostUsers: false; otherwise a free block is "
	  "chosen out of\n"
	  "                           the lines of user hull, or else of root, in /etc/subuid and "
	  "/etc/subgid\n"
	  "  --runtime-handler NAME   in place of the manifest's runtimeClassName\n"
	  "  --dry-run                print the requests to hulld as JSON and make nothing\n"
	  "FILE is YAML or JSON, - is the standard input. Fields that have no effect here are named in "
	  "warnings.\n"
	  "Volumes are kept in --data (default /var/lib/hull-pods), logs in --log-dir (default "
	  "/var/log/pods), until\n"
	  "\"hullctl rm\" removes the pod.\n",
	  ctl_run },
	{ "pods", "[-a] [-q]", "List pods",
	  "  -a, --all                stopped ones too\n"
	  "  -q, --quiet              print only their ids\n",
	  ctl_pods },
	{ "ps", "[-a] [-q] [POD]", "List containers",
	  "  -a, --all                stopped ones too\n"
	  "  -q, --quiet              print only their ids\n",
	  ctl_ps },
	{ "inspect", "NAME...", "Show all that is known of pods, containers or images, as JSON", NULL,
	  ctl_inspect },
	{ "exec", "[--timeout SECONDS] CONTAINER [--] COMMAND [ARGUMENT]...", "Run a command in a container",
	  "  --timeout SECONDS        kill it then\n"
	  "CONTAINER is POD/NAME, an id, or the pod when it has one container. The command has no standard "
	  "input and no\n"
	  "terminal, and its output comes when it has ended (ExecSync). The exit status is the command's.\n",
	  ctl_exec },
	{ "logs", "[-f] [-t] [--tail N] CONTAINER", "Print what a container wrote",
	  "  -f, --follow             go on until the container ends\n"
	  "  -t, --timestamps         put the time before each line\n"
	  "  --tail N                 only the last N lines\n",
	  ctl_logs },
	{ "stop", "[--timeout SECONDS] POD|CONTAINER...", "Stop pods or containers",
	  "  --timeout SECONDS        how long a container has before it is killed (default: as its manifest "
	  "says, or 10)\n",
	  ctl_stop },
	{ "rm", "[-f] POD|CONTAINER...", "Remove stopped pods or containers",
	  "  -f, --force              running ones too: their processes are killed\n", ctl_rm },
	{ 0 },
};

static void print_help(FILE *out)
{
	fputs("usage: hullctl [--address unix:///PATH] [--json] COMMAND [OPTION]... [ARGUMENT]...\n\n"
	      "The client of hulld, on its own node.\n\n",
	      out);
	for (const struct ctl_command *k = ctl_commands; k->name; k++)
		fprintf(out, "  %-8s  %s\n", k->name, k->summary);
	fputs("\n  --address A   hulld's socket (default: HULL_ADDRESS, or " CTL_DEFAULT_ADDRESS ")\n"
	      "  --json        print JSON\n"
	      "  --help        of hullctl, or behind a command of that\n"
	      "\nPods are named by NAME, NAMESPACE/NAME or the beginning of their id; containers by "
	      "POD/NAME, by a name that\n"
	      "only one has, or by id.\n",
	      out);
}

/* Global options stand before the command or, for those who forget, behind it. Returns the number of arguments
 * taken, or -1. */
static int global_option(struct ctl *c, char **argv, const char **address)
{
	if (str_eq(argv[0], "--json")) {
		c->is_json = true;
		return 1;
	}
	if (str_starts(argv[0], "--address=")) {
		*address = argv[0] + strlen("--address=");
		return 1;
	}
	if (str_eq(argv[0], "--address") && argv[1]) {
		*address = argv[1];
		return 2;
	}
	return -1;
}

static const struct ctl_command *find(const char *name)
{
	for (const struct ctl_command *k = ctl_commands; k->name; k++)
		if (str_eq(k->name, name))
			return k;
	return NULL;
}

/* The command's own words; only in front of the first argument that is no option may global ones be mixed in. */
static int run(struct ctl *c, int argc, char **argv, const char **address)
{
	struct error e = ERROR_INIT;
	int kept = 1, i = 1, r;

	for (; i < argc && argv[i][0] == '-' && !str_eq(argv[i], "--") && !str_eq(argv[i], "-");) {
		int n = global_option(c, argv + i, address);

		if (str_eq(argv[i], "--help") || str_eq(argv[i], "-h")) {
			ctl_usage(c, NULL);
			return CTL_OK;
		}
		if (n < 0)
			argv[kept++] = argv[i++];
		else
			i += n;
	}
	while (i < argc)
		argv[kept++] = argv[i++];
	argv[kept] = NULL;
	if (!str_starts(*address, "unix://") && **address != '/') {
		fprintf(stderr, "hullctl: address \"%s\": want unix:///PATH\n", *address);
		return CTL_USAGE;
	}
	c->socket_path = str_starts(*address, "unix://") ? *address + strlen("unix://") : *address;
	r = c->command->run(c, kept, argv, &e);
	if (r >= 0)
		return r;
	fflush(stdout);
	fprintf(stderr, "hullctl: %s", err_msg(&e));
	if (c->status > 0)
		fprintf(stderr, " (%s)", grpc_status_name(c->status));
	fputc('\n', stderr);
	return CTL_FAILED;
}

int main(int argc, char **argv)
{
	struct ctl c = { .arena = ARENA_INIT, .status = -1 };
	const char *address = getenv("HULL_ADDRESS");
	int i = 1, n, status;

	if (str_is_empty(address))
		address = CTL_DEFAULT_ADDRESS;
	while (i < argc && (n = global_option(&c, argv + i, &address)) > 0)
		i += n;
	if (i < argc && (str_eq(argv[i], "--help") || str_eq(argv[i], "-h") || str_eq(argv[i], "help"))) {
		print_help(stdout);
		return CTL_OK;
	}
	if (i >= argc) {
		print_help(stderr);
		return CTL_USAGE;
	}
	c.command = find(str_eq(argv[i], "--version") ? "version" : argv[i]);
	if (!c.command) {
		fprintf(stderr, "hullctl: unknown command \"%s\"; hullctl --help lists them\n", argv[i]);
		return CTL_USAGE;
	}
	status = run(&c, argc - i, argv + i, &address);
	grpc_client_free_p(&c.client);
	arena_done(&c.arena);
	if (fflush(stdout) != 0 && status == CTL_OK) {
		perror("hullctl: standard output");
		status = CTL_FAILED;
	}
	return status;
}
