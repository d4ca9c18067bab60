/*
 * log: structured log lines on stderr, `key=value` text or one JSON object a line.
 *
 * Each process owns one logger, set up once in main() before anything else logs (that is the one file-level state the
 * style allows outside main.c, because a log line must be possible anywhere). One write a line, so that lines of several
 * processes never mix. Never payloads, never credentials. Fields that tell who somebody is are known by their keys (log.c) and can be
 * replaced by a keyed hash or left out (rc_log_redact). A line that stderr does not take at once is dropped and counted, never
 * waited for (common/base/sink.h); when there is room again a line `log_dropped lines=N` says so.
 */
#ifndef RC_COMMON_BASE_LOG_H
#define RC_COMMON_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rc_log_level { RC_LOG_DEBUG, RC_LOG_INFO, RC_LOG_WARN, RC_LOG_ERROR, RC_LOG_OFF };
enum rc_log_format { RC_LOG_TEXT, RC_LOG_JSON };

/* `process` is the static name in each line ("acceptor", "worker", "relay"), `index` the worker's or -1. */
void rc_log_open(const char *process, int index, enum rc_log_level level, enum rc_log_format format);
/* From now on no line is waited for. Before it (and in tools, which have no loop to hold up) a line is a plain write(2). */
void rc_log_never_wait(void);

/* Where dropped lines are counted from now on, those so far included: a counter in shared memory of which this process is
 * the only writer. NULL: nowhere, before it is unmapped. */
void rc_log_count_dropped(_Atomic uint64_t *counter);
/* The same for lines that rc_log_limit_pass holds back. */
void rc_log_count_suppressed(_Atomic uint64_t *counter);

/* Says how many lines were dropped, if any were and there is room again. For loops, each time round: it is a comparison while nothing
 * was dropped, and one write a second while there is no room. */
void rc_log_catch_up(void);

/* Every line, cut, is written into this ring of `count` entries as well, which outlives the process (common/base/flight.h): also one that
 * standard error does not take. The process is the ring's only writer. NULL: nowhere, before it is unmapped. */
struct rc_flight;
struct rc_flight_entry;
void rc_log_record(struct rc_flight *head, struct rc_flight_entry *entries, uint32_t count);

/* A text that is no log line (an assertion's), at most 4 KiB, without waiting. */
void rc_log_raw(const char *text, size_t bytes);

void rc_log_set_level(enum rc_log_level level);

/* What personal data a field holds, and what becomes of it. */
enum rc_log_kind { RC_LOG_USER, RC_LOG_NAME, RC_LOG_EMAIL, RC_LOG_ADDRESS, RC_LOG_KINDS };
enum rc_log_redaction { RC_LOG_KEEP, RC_LOG_HASH, RC_LOG_REMOVE };

/*
 * From now on fields of each kind are written as they are, as `#` and 16 hexadecimal digits, or not at all. The digits are the first
 * eight bytes of HMAC-SHA256 (RFC 2104) under `key`, so that one user's lines can be found together and nobody can try names and
 * addresses out; "": under the secret of this boot (common/base/hash.h), which all processes of a broker share.
 */
void rc_log_redact(const enum rc_log_redaction how[RC_LOG_KINDS], const char *key);
bool rc_log_enabled(enum rc_log_level level);

/*
 * One line: `event` is a short stable word pair ("worker_started"), then key=value pairs formatted by `format`, written
 * as `key=%s other=%d`: each space-separated `key=` outside of quotes starts a field; values with spaces stand in
 * double quotes in the format, as in `reason="%s"`. Control characters and quotes inside values are escaped. A `!` behind a key,
 * as in `address!=%s`, is not written: the value is the operator's own and never redacted. Use the macros.
 */
void rc_log_write(enum rc_log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define rc_log_debug(event, ...) \
    (rc_log_enabled(RC_LOG_DEBUG) ? rc_log_write(RC_LOG_DEBUG, event, __VA_ARGS__) : (void)0)
#define rc_log_info(event, ...) rc_log_write(RC_LOG_INFO, event, __VA_ARGS__)
#define rc_log_warn(event, ...) rc_log_write(RC_LOG_WARN, event, __VA_ARGS__)
#define rc_log_error(event, ...) rc_log_write(RC_LOG_ERROR, event, __VA_ARGS__)

/* Bounds a repeated line: at most `burst` lines a second from one place; the next line that passes carries
 * `suppressed=N`. One static instance per call site. */
struct rc_log_limit {
    uint64_t window_ms; /* start of the current second */
    uint32_t count;     /* lines passed in it */
    uint32_t suppressed;
};
bool rc_log_limit_pass(struct rc_log_limit *limit, uint32_t burst, uint32_t *suppressed);

#define rc_log_limited(level, burst, event, format, ...)                                                           \
    do {                                                                                                           \
        static struct rc_log_limit rc_log_limit_here;                                                              \
        uint32_t rc_log_suppressed;                                                                                \
        if (rc_log_limit_pass(&rc_log_limit_here, (burst), &rc_log_suppressed)) {                                  \
            rc_log_write((level), (event), format " suppressed=%u" __VA_OPT__(, ) __VA_ARGS__, rc_log_suppressed); \
        }                                                                                                          \
    } while (0)

#endif
