/* SPDX-License-Identifier: Apache-2.0 */
/* hulld's command line. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/config.h"
#include "daemon/daemon.h"

enum { OPT_CHECK = 256, OPT_VERSION, OPT_HELP, OPT_CNI_BIN_DIR, OPT_TEXT };

struct args {
	struct config_flags flags;
	bool is_check;
};

/* Options with one text each; the rest is in parse(). */
static const struct {
	const char *name, *value, *help;
	size_t offset;
} texts[] = {
#define TEXT(name, value, member, help)                                  \
	{                                                                \
		name, value, help, offsetof(struct config_flags, member) \
	}
	TEXT("config", "FILE", file,
	     "configuration (default: " CONFIG_DEFAULT_FILE "), with config.d/*.yaml beside it"),
	TEXT("listen", "unix:///PATH", listen, "socket of the CRI service (default: STATE/hull.sock)"),
	TEXT("root", "DIR", root, "images, layers, database (default: /var/lib/hull)"),
	TEXT("state", "DIR", state, "what does not outlive a reboot (default: /run/hull)"),
	TEXT("cni-conf-dir", "DIR", cni_conf_dir, "CNI configurations (default: /etc/cni/net.d)"),
	TEXT("cgroup-driver", "cgroupfs|systemd|auto", cgroup_driver, "who makes cgroups"),
	TEXT("log-level", "error|warn|info|debug", log_level, "how much is logged"),
	TEXT("log-format", "text|json", log_format, "how it is logged"),
	TEXT("helper-dir", "DIR", helper_dir, "where hull-pod and hull-unpack are"),
#undef TEXT
};

static void print_help(void)
{
	puts("Usage: hulld [OPTION]...\n"
	     "A Kubernetes pod runtime: serves the Container Runtime Interface, v1, on a unix socket.\n");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		printf("  --%s %s\n        %s\n", texts[i].name, texts[i].value, texts[i].help);
	puts("  --cni-bin-dir DIR\n        CNI plugins; may be given several times\n"
	     "  --check-config\n        print what is wrong with the configuration and exit\n"
	     "  --version, --help\n\n"
	     "SIGTERM ends hulld when its calls have ended; pods go on. SIGHUP reads the configuration "
	     "again.");
}

/* --cgroup-driver and the like are checked as the same values in a file are. */
static int check_words(const struct config_flags *f, struct error *e)
{
	static const struct {
		size_t offset;
		const char *name, *words[4];
	} checks[] = {
		{ offsetof(struct config_flags, cgroup_driver),
		  "cgroup-driver",
		  { "cgroupfs", "systemd", "auto" } },
		{ offsetof(struct config_flags, log_level),
		  "log-level",
		  { "error", "warn", "info", "debug" } },
		{ offsetof(struct config_flags, log_format), "log-format", { "text", "json" } },
	};

	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		const char *value = *(const char *const *)((const char *)f + checks[i].offset);
		bool is_known = !value;

		for (size_t k = 0; !is_known && k < 4 && checks[i].words[k]; k++)
			is_known = str_eq(value, checks[i].words[k]);
		if (!is_known)
			return err_new(e, ERR_INVALID, "--%s: unknown value \"%.64s\"", checks[i].name,
				       value);
	}
	return 0;
}

/* Returns an exit status, or -1 to go on. */
static int parse(int argc, char **argv, struct args *a)
{
	struct option options[ARRAY_LEN(texts) + 5] = {
		{ "check-config", no_argument, NULL, OPT_CHECK },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ "help", no_argument, NULL, OPT_HELP },
		{ "cni-bin-dir", required_argument, NULL, OPT_CNI_BIN_DIR },
	};
	struct error e = ERROR_INIT;
	int c;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		options[4 + i] = (struct option){ texts[i].name, required_argument, NULL, OPT_TEXT + (int)i };
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case OPT_CHECK:
			a->is_check = true;
			break;
		case OPT_VERSION:
			puts("hulld " HULL_VERSION);
			return 0;
		case 'h':
		case OPT_HELP:
			print_help();
			return 0;
		case OPT_CNI_BIN_DIR:
			strv_add(&a->flags.cni_bin_dirs, optarg);
			break;
		case '?':
			return 2;
		default:
			*(const char **)((char *)&a->flags + texts[c - OPT_TEXT].offset) = optarg;
			break;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "hulld: unexpected argument \"%s\"\n", argv[optind]);
		return 2;
	}
	if (check_words(&a->flags, &e) < 0) {
		fprintf(stderr, "hulld: %s\n", err_msg(&e));
		return 2;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct args args = { 0 };
	struct daemon_config config;
	struct error e = ERROR_INIT;
	int r = parse(argc, argv, &args);

	if (r >= 0)
		goto out;
	r = config_load(&args.flags, &config, &e);
	if (r < 0) {
		fprintf(stderr, "hulld: configuration: %s\n", err_msg(&e));
		r = 1;
		goto out;
	}
	if (args.is_check) {
		config_done(&config);
		r = 0;
		goto out;
	}
	r = 0;
	if (daemon_run(&config, &args.flags, &e) < 0) {
		log_error("%s", err_msg(&e));
		r = 1;
	}
out:
	strv_done(&args.flags.cni_bin_dirs);
	return r;
}
