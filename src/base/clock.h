/* SPDX-License-Identifier: Apache-2.0 */
/* Time: nanoseconds since the epoch (CLOCK_REALTIME) for records, since boot for deadlines. */
#ifndef HULL_BASE_CLOCK_H
#define HULL_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_wall_ns(void);
int64_t clock_mono_ns(void);

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

/* "2026-01-02T03:04:05.123456789Z": RFC 3339 in UTC with all nine digits, 30 characters and a NUL. */
#define CLOCK_RFC3339_SIZE 32
void clock_rfc3339(int64_t wall_ns, char out[CLOCK_RFC3339_SIZE]);

/* A deadline on the monotonic clock; 0 means none. */
int64_t deadline_in_ms(int64_t timeout_ms);
/* Milliseconds left, at least 0, for poll(2); -1 when there is no deadline. */
int deadline_left_ms(int64_t deadline_ns);

#endif
