/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in network with the distribution's real plugins, in a network namespace of the test's own that
 * plays the host: nothing of the machine's network is touched. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/ip_icmp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "net/cni.h"

#define SUBNET "10.213.0.0/16"
#define PODS_MAX 16

struct fixture {
	char dir[64];
	char *data_dir, *conf_dir;
	struct cni *cni;
	char *netns[PODS_MAX];
	size_t netns_count;
};

static const struct cni_call patient = { .cancel_fd = -1 };

static void write_text(const char *path, const char *text)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
}

/* A process in a network namespace of its own, which the test pins at a path. */
static const char *new_netns(struct fixture *f)
{
	char *path = str_fmt("%s/netns-%zu", f->dir, f->netns_count), proc[32];
	int ready[2];
	char byte;
	pid_t pid;

	assert_true(f->netns_count < PODS_MAX);
	f->netns[f->netns_count++] = path;
	write_text(path, "");
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	snprintf(proc, sizeof(proc), "/proc/%d/ns/net", pid);
	assert_int_equal(mount(proc, path, NULL, MS_BIND, NULL), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return path;
}

static bool has_plugins(void)
{
	return access("/usr/lib/cni/bridge", X_OK) == 0 && access("/usr/lib/cni/host-local", X_OK) == 0;
}

static int enter_private_host(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	/* Bridges and forwarding are switched below /proc/sys/net, which shows the namespace of the opener.
	 */
	return mount("tmpfs", "/run", "tmpfs", 0, NULL);
}

static int setup(void **state)
{
	static const char *const bin_dirs[] = { "/nonexistent", "/usr/lib/cni", NULL };
	struct fixture *f = NEW(struct fixture);

	*state = f;
	strcpy(f->dir, "/tmp/hull-test-cni-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	f->data_dir = str_fmt("%s/leases", f->dir);
	f->conf_dir = str_fmt("%s/net.d", f->dir);
	f->cni = cni_open(&(struct cni_opts){
		.conf_dir = f->conf_dir,
		.bin_dirs = bin_dirs,
		.fallback = { .bridge = "hulltest0", .subnet = SUBNET, .data_dir = f->data_dir },
	});
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct error e = ERROR_INIT;

	for (size_t i = 0; i < f->netns_count; i++) {
		umount2(f->netns[i], MNT_DETACH);
		free(f->netns[i]);
	}
	free(f->data_dir);
	free(f->conf_dir);
	cni_close(f->cni);
	if (path_remove_tree(AT_FDCWD, f->dir, &e) < 0)
		print_error("%s\n", err_msg(&e));
	free(f);
	return (int)e.kind;
}

static char *prepare(struct fixture *f, const struct cni_pod *pod)
{
	struct buf record = BUF_INIT;
	struct error e = ERROR_INIT;

	if (cni_prepare(f->cni, pod, &record, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return buf_take(&record);
}

static struct cni_result *add(struct fixture *f, const char *record)
{
	struct cni_result *result = NULL;
	struct error e = ERROR_INIT;

	if (cni_add(f->cni, record, &patient, &result, &e) < 0)
		fail_msg("%s", err_msg(&e));
	return result;
}

static void del(struct fixture *f, const char *record)
{
	struct error e = ERROR_INIT;

	if (cni_del(f->cni, record, &patient, &e) < 0)
		fail_msg("%s", err_msg(&e));
}

/* What a shell command prints, without the last newline. */
static char *output_of(const char *command)
{
	char text[8192];
	FILE *p = popen(command, "re");
	size_t n = fread(text, 1, sizeof(text) - 1, p);

	pclose(p);
	while (n > 0 && text[n - 1] == '\n')
		n--;
	text[n] = '\0';
	return str_dup(text);
}

static int count_veths(void)
{
	struct if_nameindex *all = if_nameindex();
	int n = 0;

	for (size_t i = 0; all && all[i].if_name; i++)
		n += str_starts(all[i].if_name, "veth");
	if_freenameindex(all);
	return n;
}

/* Files of leases in data_dir/hulltest0: one named after each address. */
static int count_leases(struct fixture *f)
{
	cleanup_free char *path = str_fmt("%s/hulltest0", f->data_dir);
	DIR *d = opendir(path);
	struct dirent *entry;
	int n = 0;

	while (d && (entry = readdir(d)))
		n += strncmp(entry->d_name, "10.213.", 7) == 0;
	if (d)
		closedir(d);
	return n;
}

static uint16_t checksum(const uint16_t *words, size_t count)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += words[i];
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t) ~(sum + (sum >> 16));
}

/* ICMP echo from where we are; the image of the test machine has no ping. */
static bool answers_ping(const char *address)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct timeval patience = { .tv_sec = 2 };
	cleanup_close int s = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	union {
		struct icmphdr header;
		uint16_t words[8];
	} echo = { .header = { .type = ICMP_ECHO, .un.echo.id = htons(0x4242) } };
	unsigned char answer[256] = { 0 };

	if (s < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1)
		return false;
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	echo.header.checksum = checksum(echo.words, 8);
	if (sendto(s, &echo, sizeof(echo), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return false;
	for (;;) {
		const struct icmphdr *got = (const struct icmphdr *)(answer + 20);
		struct sockaddr_in from = { 0 };
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(s, answer, sizeof(answer), 0, (struct sockaddr *)&from, &from_len);

		if (n < 28)
			return false;
		if (got->type == ICMP_ECHOREPLY && got->un.echo.id == htons(0x4242) &&
		    from.sin_addr.s_addr == to.sin_addr.s_addr)
			return true;
	}
}

static void a_pod_gets_an_address_that_answers_and_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	const struct cni_pod pod = {
		.id = "pod1", .netns_path = new_netns(f), .name = "web", .ns = "default", .uid = "u-1"
	};
	cleanup_free char *record = prepare(f, &pod);
	CLEANUP(cni_result_free) struct cni_result *result = NULL, *again = NULL;
	struct error e = ERROR_INIT;

	assert_int_equal(cni_record_result(record, &again, &e), -ERR_NOT_FOUND);
	result = add(f, record);
	assert_int_equal(result->ip_count, 1);
	assert_true(str_starts(result->ips[0].address, "10.213."));
	assert_int_equal(result->ips[0].prefix, 16);
	assert_string_equal(result->ips[0].gateway, "10.213.0.1");
	assert_string_equal(result->network, "hulltest0");
	assert_int_equal(result->route_count, 1);
	assert_string_equal(result->routes[0].dst, "0.0.0.0/0");
	assert_true(answers_ping(result->ips[0].address));
	assert_int_equal(count_veths(), 1);
	assert_int_equal(count_leases(f), 1);

	/* The record brings it back, as after a restart. */
	assert_int_equal(cni_record_result(result->record, &again, &e), 0);
	assert_int_equal(again->ip_count, 1);
	assert_string_equal(again->ips[0].address, result->ips[0].address);
	assert_string_equal(again->json, result->json);

	if (cni_check(f->cni, result->record, &patient, &e) < 0)
		fail_msg("%s", err_msg(&e));
	del(f, result->record);
	assert_int_equal(count_veths(), 0);
	assert_int_equal(count_leases(f), 0);
	assert_false(answers_ping(result->ips[0].address));
	assert_true(cni_check(f->cni, result->record, &patient, &e) < 0);
	del(f, result->record);
}

static void del_frees_the_address_when_the_namespace_is_gone(void **state)
{
	struct fixture *f = *state;
	const struct cni_pod pods[] = {
		{ .id = "gone1", .netns_path = new_netns(f) },
		{ .id = "gone2", .netns_path = new_netns(f) },
	};

	for (size_t i = 0; i < 2; i++) {
		cleanup_free char *record = prepare(f, &pods[i]);
		CLEANUP(cni_result_free) struct cni_result *result = add(f, record);

		assert_int_equal(count_leases(f), 1);
		assert_int_equal(umount2(pods[i].netns_path, MNT_DETACH), 0);
		/* The first leaves a file that is no namespace, the second nothing. */
		if (i == 1)
			assert_int_equal(unlink(pods[i].netns_path), 0);
		del(f, result->record);
		assert_int_equal(count_leases(f), 0);
		del(f, result->record);
	}
}

static void del_works_with_the_record_from_before_the_add(void **state)
{
	struct fixture *f = *state;
	const struct cni_pod pod = { .id = "killed", .netns_path = new_netns(f) };
	cleanup_free char *record = prepare(f, &pod);

	del(f, record);
	cni_result_free(add(f, record));
	assert_int_equal(count_leases(f), 1);
	del(f, record);
	assert_int_equal(count_leases(f), 0);
	assert_int_equal(count_veths(), 0);
}

static void a_kill_at_any_moment_of_an_add_leaks_nothing(void **state)
{
	struct fixture *f = *state;
	const struct cni_pod pod = { .id = "victim", .netns_path = new_netns(f) };
	cleanup_free char *record = prepare(f, &pod);
	int killed = 0;

	for (int round = 0; round < 24; round++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			struct cni_result *result = NULL;
			struct error e = ERROR_INIT;

			_exit(cni_add(f->cni, record, &patient, &result, &e) < 0);
		}
		usleep((useconds_t)(round * 700));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		killed += WIFSIGNALED(status);
		del(f, record);
		assert_int_equal(count_leases(f), 0);
		assert_int_equal(count_veths(), 0);
	}
	assert_true(killed > 5);
}

/* A connection to a port of the host, from inside of another pod: portmap works in PREROUTING. */
static void ports_of_the_host_are_mapped(void **state)
{
	struct fixture *f = *state;
	const struct cni_port ports[] = { { .host_port = 18080, .container_port = 80, .protocol = "TCP" },
					  { .container_port = 81 } };
	const struct cni_pod pod = {
		.id = "ports", .netns_path = new_netns(f), .ports = ports, .port_count = 2
	};
	cleanup_free char *record = prepare(f, &pod), *rules = NULL, *left = NULL;
	CLEANUP(cni_result_free) struct cni_result *result = add(f, record);

	rules = output_of("iptables -t nat -S");
	assert_non_null(strstr(rules, "--dport 18080"));
	assert_null(strstr(rules, "--dport 81"));
	del(f, result->record);
	left = output_of("iptables -t nat -S");
	assert_null(strstr(left, "18080"));
	assert_int_equal(count_leases(f), 0);
}

static void a_failed_add_takes_back_what_was_made(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *conf = str_fmt(
		"{\"cniVersion\": \"1.0.0\", \"name\": \"hulltest0\", \"plugins\": ["
		"{\"type\": \"bridge\", \"bridge\": \"hulltest0\", \"isGateway\": true, \"ipMasq\": true,"
		" \"ipam\": {\"type\": \"host-local\", \"dataDir\": \"%s\", \"ranges\": [[{\"subnet\": "
		"\"" SUBNET "\"}]]}},"
		"{\"type\": \"tuning\", \"sysctl\": {\"net.nonexistent.sysctl\": \"1\"}}]}",
		f->data_dir);
	cleanup_free char *path = str_fmt("%s/10.conflist", f->conf_dir), *record = NULL;
	const struct cni_pod pod = { .id = "half", .netns_path = new_netns(f) };
	struct cni_result *result = NULL;
	struct error e = ERROR_INIT;

	assert_int_equal(mkdir(f->conf_dir, 0755), 0);
	write_text(path, conf);
	record = prepare(f, &pod);
	assert_int_equal(cni_add(f->cni, record, &patient, &result, &e), -ERR_UNAVAILABLE);
	assert_null(result);
	assert_non_null(strstr(err_msg(&e), "CNI network \"hulltest0\", plugin \"tuning\", ADD of \"eth0\""));
	assert_non_null(strstr(err_msg(&e), "net/nonexistent"));
	assert_int_equal(count_veths(), 0);
	assert_int_equal(count_leases(f), 0);
}

static void ptp_and_single_configurations_work_too(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *conf = str_fmt(
		"{\"cniVersion\": \"0.3.1\", \"name\": \"hulltest0\", \"type\": \"ptp\", \"ipMasq\": true,"
		" \"capabilities\": {\"ipRanges\": true},"
		" \"ipam\": {\"type\": \"host-local\", \"dataDir\": \"%s\"}}",
		f->data_dir);
	cleanup_free char *path = str_fmt("%s/10-ptp.conf", f->conf_dir), *record = NULL;
	const struct cni_range range = { .subnet = "10.213.7.0/24", .start = "10.213.7.100" };
	const struct cni_pod pod = {
		.id = "ptp", .netns_path = new_netns(f), .ifname = "net1", .ranges = &range, .range_count = 1
	};
	CLEANUP(cni_result_free) struct cni_result *result = NULL;

	assert_int_equal(mkdir(f->conf_dir, 0755), 0);
	write_text(path, conf);
	record = prepare(f, &pod);
	result = add(f, record);
	assert_int_equal(result->ip_count, 1);
	assert_string_equal(result->ips[0].address, "10.213.7.100");
	assert_true(answers_ping("10.213.7.100"));
	/* The configuration that it was made with counts, not the one of today. */
	assert_int_equal(unlink(path), 0);
	del(f, result->record);
	assert_int_equal(count_leases(f), 0);
	assert_int_equal(count_veths(), 0);
}

/* A UDP socket made in another namespace stays there. */
static int socket_in(const char *netns)
{
	cleanup_close int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	cleanup_close int other = open(netns, O_RDONLY | O_CLOEXEC);
	int s;

	assert_int_equal(setns(other, CLONE_NEWNET), 0);
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setns(own, CLONE_NEWNET), 0);
	assert_true(s >= 0);
	return s;
}

/* Whether what the pod sends to 192.0.2.2 comes from 192.0.2.1, the host, and an answer comes back. */
static void assert_masqueraded(const char *pod_netns, const char *outside_netns)
{
	cleanup_close int inside = socket_in(pod_netns), outside = socket_in(outside_netns);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(7777) }, from;
	struct timeval patience = { .tv_sec = 5 };
	socklen_t from_len = sizeof(from);
	char text[INET_ADDRSTRLEN], byte;

	inet_pton(AF_INET, "192.0.2.2", &to.sin_addr);
	assert_int_equal(bind(outside, (struct sockaddr *)&to, sizeof(to)), 0);
	setsockopt(outside, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(inside, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(sendto(inside, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	assert_int_equal(recvfrom(outside, &byte, 1, 0, (struct sockaddr *)&from, &from_len), 1);
	assert_string_equal(inet_ntop(AF_INET, &from.sin_addr, text, sizeof(text)), "192.0.2.1");
	assert_int_equal(sendto(outside, "y", 1, 0, (struct sockaddr *)&from, from_len), 1);
	assert_int_equal(recv(inside, &byte, 1, 0), 1);
}

static void pods_reach_the_world_even_where_forwarding_drops(void **state)
{
	struct fixture *f = *state;
	const char *outside = new_netns(f);
	const struct cni_pod pod = { .id = "talker", .netns_path = new_netns(f) };
	cleanup_free char *commands =
		str_fmt("iptables -P FORWARD DROP && ip link add out0 type veth peer name in0 && "
			"ip link set in0 netns %s && ip address add 192.0.2.1/24 dev out0 && "
			"ip link set out0 up && nsenter --net=%s ip address add 192.0.2.2/24 dev in0 && "
			"nsenter --net=%s ip link set in0 up && echo done",
			outside, outside, outside);
	cleanup_free char *record = prepare(f, &pod), *done = output_of(commands), *left = NULL;
	CLEANUP(cni_result_free) struct cni_result *result = NULL;

	assert_string_equal(done, "done");
	result = add(f, record);
	assert_masqueraded(pod.netns_path, outside);
	del(f, result->record);
	left = output_of(
		"iptables -P FORWARD ACCEPT; ip link delete out0; ip -o link show out0 2>&1 | wc -l");
	assert_string_equal(left, "1");
}

static void rules_are_made_once_and_again_after_a_flush(void **state)
{
	static const char count[] =
		"iptables -t nat -S POSTROUTING | grep -c HULL-hulltest0;"
		"iptables -S FORWARD | grep -c HULL-hulltest0; iptables -S HULL-hulltest0 | wc -l";

	for (int i = 0; i < 3; i++) {
		struct fixture *f = *state;
		const struct cni_pod pod = { .id = "ruler", .netns_path = new_netns(f) };
		cleanup_free char *record = prepare(f, &pod), *rules = NULL, *flushed = NULL;
		CLEANUP(cni_result_free) struct cni_result *result = add(f, record);

		rules = output_of(count);
		assert_string_equal(rules, "1\n1\n3");
		del(f, result->record);
		/* Another hulld, which remembers nothing; before the last one the tables are flushed. */
		if (i == 1) {
			flushed = output_of("iptables -t nat -F; iptables -F; iptables -S FORWARD | wc -l");
			assert_string_equal(flushed, "1");
		}
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
	}
}

struct racer {
	struct fixture *f;
	const char *netns;
	char id[16];
	char address[64];
	pthread_t thread;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	const struct cni_pod pod = { .id = r->id, .netns_path = r->netns };
	cleanup_buf struct buf record = BUF_INIT;
	CLEANUP(cni_result_free) struct cni_result *result = NULL;
	struct error e = ERROR_INIT;

	if (cni_prepare(r->f->cni, &pod, &record, &e) < 0 ||
	    cni_add(r->f->cni, buf_str(&record), &patient, &result, &e) < 0) {
		snprintf(r->address, sizeof(r->address), "%.60s", err_msg(&e));
		return (void *)1;
	}
	snprintf(r->address, sizeof(r->address), "%s", result->ips[0].address);
	return cni_del(r->f->cni, result->record, &patient, &e) < 0 ? (void *)1 : NULL;
}

static void pods_are_added_side_by_side(void **state)
{
	struct fixture *f = *state;
	struct racer racers[6] = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(racers); i++) {
		racers[i].f = f;
		racers[i].netns = new_netns(f);
		snprintf(racers[i].id, sizeof(racers[i].id), "racer%zu", i);
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(racers); i++) {
		void *failed;

		pthread_join(racers[i].thread, &failed);
		if (failed)
			fail_msg("%s: %s", racers[i].id, racers[i].address);
		assert_true(str_starts(racers[i].address, "10.213."));
	}
	assert_int_equal(count_leases(f), 0);
	assert_int_equal(count_veths(), 0);
}

static struct cni *another(struct fixture *f, const char *bridge, const char *subnet)
{
	return cni_open(&(struct cni_opts){
		.conf_dir = f->conf_dir,
		.bin_dirs = (const char *[]){ "/usr/lib/cni", NULL },
		.fallback = { .bridge = bridge, .subnet = subnet, .data_dir = f->data_dir } });
}

static void instances_side_by_side_keep_apart(void **state)
{
	struct fixture *f = *state, g = { .cni = another(f, "hulltest1", "10.214.0.0/16") };
	const struct cni_pod pods[] = { { .id = "same", .netns_path = new_netns(f) },
					{ .id = "same", .netns_path = new_netns(f) } };
	cleanup_free char *first = prepare(f, &pods[0]), *second = prepare(&g, &pods[1]);
	CLEANUP(cni_result_free) struct cni_result *a = add(f, first), *b = add(&g, second);

	assert_true(str_starts(a->ips[0].address, "10.213."));
	assert_true(str_starts(b->ips[0].address, "10.214."));
	assert_true(answers_ping(a->ips[0].address) && answers_ping(b->ips[0].address));
	del(&g, b->record);
	assert_true(answers_ping(a->ips[0].address));
	assert_int_equal(count_leases(f), 1);
	del(f, a->record);
	cni_close(g.cni);
}

static void the_subnet_may_be_ipv6(void **state)
{
	struct fixture *f = *state, g = { .cni = another(f, "hulltest6", "fd00:213::/64") };
	const struct cni_pod pod = { .id = "six", .netns_path = new_netns(f) };
	cleanup_free char *record = prepare(&g, &pod), *rules = NULL;
	CLEANUP(cni_result_free) struct cni_result *result = add(&g, record);

	assert_int_equal(result->ip_count, 1);
	assert_true(str_starts(result->ips[0].address, "fd00:213::"));
	assert_string_equal(result->routes[0].dst, "::/0");
	rules = output_of("ip6tables -t nat -S HULL-hulltest6 | grep -c MASQUERADE");
	assert_string_equal(rules, "1");
	del(&g, result->record);
	cni_close(g.cni);
}

static void status_says_that_the_built_in_network_is_used(void **state)
{
	struct fixture *f = *state;
	CLEANUP(cni_status_done) struct cni_status s = { 0 };

	cni_status(f->cni, &patient, &s);
	if (!s.is_ready)
		fail_msg("%s", s.message);
	assert_true(s.is_default);
	assert_string_equal(s.reason, "");
	assert_string_equal(s.network, "hulltest0");
	assert_non_null(strstr(s.message, "no CNI configuration in \""));
	assert_non_null(strstr(s.message, "built-in network \"hulltest0\" (bridge, 10.213.0.0/16)"));
}

static void measure_if_asked(void **state)
{
	struct fixture *f = *state;
	const char *rounds_text = getenv("HULL_BENCH_ROUNDS");
	uint32_t rounds = 0;

	if (!rounds_text || str_to_u32(rounds_text, &rounds, NULL) < 0)
		return;
	for (uint32_t i = 0; i < rounds; i++) {
		const struct cni_pod pod = { .id = "bench",
					     .netns_path = f->netns_count ? f->netns[0] : new_netns(f) };
		cleanup_free char *record = prepare(f, &pod);
		int64_t t0 = clock_mono_ns(), t1;
		CLEANUP(cni_result_free) struct cni_result *result = add(f, record);

		t1 = clock_mono_ns();
		del(f, result->record);
		print_message("add_us %lld del_us %lld\n", (long long)(t1 - t0) / 1000,
			      (long long)(clock_mono_ns() - t1) / 1000);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pod_gets_an_address_that_answers_and_leaves_nothing),
		TEST(del_frees_the_address_when_the_namespace_is_gone),
		TEST(del_works_with_the_record_from_before_the_add),
		TEST(a_kill_at_any_moment_of_an_add_leaks_nothing),
		TEST(ports_of_the_host_are_mapped),
		TEST(a_failed_add_takes_back_what_was_made),
		TEST(ptp_and_single_configurations_work_too),
		TEST(pods_reach_the_world_even_where_forwarding_drops),
		TEST(rules_are_made_once_and_again_after_a_flush),
		TEST(pods_are_added_side_by_side),
		TEST(instances_side_by_side_keep_apart),
		TEST(the_subnet_may_be_ipv6),
		TEST(status_says_that_the_built_in_network_is_used),
		TEST(measure_if_asked),
	};

	if (!has_plugins() || enter_private_host() < 0) {
		puts("skipped: needs root and the plugins of containernetworking-plugins in /usr/lib/cni");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
