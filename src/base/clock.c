/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>

static int64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t clock_wall_ns(void)
{
	return now_ns(CLOCK_REALTIME);
}

int64_t clock_mono_ns(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

void clock_rfc3339(int64_t wall_ns, char out[CLOCK_RFC3339_SIZE])
{
	time_t s = (time_t)(wall_ns / NS_PER_S);
	long ns = (long)(wall_ns % NS_PER_S);
	struct tm tm;
	size_t n;

	if (ns < 0) {
		ns += NS_PER_S;
		s--;
	}
	gmtime_r(&s, &tm);
	n = strftime(out, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, CLOCK_RFC3339_SIZE - n, ".%09ldZ", ns);
}

int64_t deadline_in_ms(int64_t timeout_ms)
{
	return clock_mono_ns() + timeout_ms * NS_PER_MS;
}

int deadline_left_ms(int64_t deadline_ns)
{
	int64_t left;

	if (deadline_ns == 0)
		return -1;
	left = (deadline_ns - clock_mono_ns() + NS_PER_MS - 1) / NS_PER_MS;
	if (left < 0)
		return 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}
