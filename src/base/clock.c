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

#define S_PER_DAY 86400

/* Not gmtime_r(3): it reads the file of the local time zone first. Days since 1970 are counted from a March before all
 * of them, so that a leap day is the last of its year: 400 years have 146097 days, and the months from March on have in
 * five of them 153. */
static void date_of(int64_t days, unsigned int *ret_year, unsigned int *ret_month, unsigned int *ret_day)
{
	int64_t from = days + 719468; /* 1 March of the year 0 */
	int64_t era = (from >= 0 ? from : from - 146096) / 146097, in_era = from - era * 146097;
	int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	int64_t in_year = in_era - (365 * year + year / 4 - year / 100), month = (5 * in_year + 2) / 153;

	*ret_day = (unsigned int)(in_year - (153 * month + 2) / 5 + 1);
	*ret_month = (unsigned int)(month < 10 ? month + 3 : month - 9);
	*ret_year = (unsigned int)(year + era * 400 + (*ret_month <= 2));
}

void clock_rfc3339(int64_t wall_ns, char out[CLOCK_RFC3339_SIZE])
{
	time_t s = (time_t)(wall_ns / NS_PER_S);
	long ns = (long)(wall_ns % NS_PER_S);
	long in_day;
	unsigned int year, month, day;

	if (ns < 0) {
		ns += NS_PER_S;
		s--;
	}
	in_day = (long)(s % S_PER_DAY);
	s /= S_PER_DAY;
	if (in_day < 0) {
		in_day += S_PER_DAY;
		s--;
	}
	date_of(s, &year, &month, &day);
	snprintf(out, CLOCK_RFC3339_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%09ldZ", year % 10000, month, day,
		 (unsigned int)in_day / 3600 % 24, (unsigned int)in_day / 60 % 60, (unsigned int)in_day % 60,
		 ns);
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
