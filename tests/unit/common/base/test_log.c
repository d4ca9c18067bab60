/* Log lines as they arrive on stderr: format, escaping, bounds, levels, limits. JSON lines are read back with
 * jansson. */
#include "common/base/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUTPUT_MAX 65536

static int pipe_read = -1;
static int real_stderr = -1;

/* From here on stderr is a pipe. */
static void capture(void)
{
    int fds[2];
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    cr_assert_geq(fcntl(fds[1], F_SETPIPE_SZ, OUTPUT_MAX), OUTPUT_MAX);
    cr_assert_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    real_stderr = dup(STDERR_FILENO);
    cr_assert_geq(dup2(fds[1], STDERR_FILENO), 0);
    close(fds[1]);
    pipe_read = fds[0];
}

/* What was written; stderr is stderr again. */
static const char *captured(void)
{
    static char output[OUTPUT_MAX + 1];
    const ssize_t bytes = read(pipe_read, output, OUTPUT_MAX);
    output[bytes > 0 ? bytes : 0] = '\0';
    cr_assert_geq(dup2(real_stderr, STDERR_FILENO), 0);
    close(real_stderr);
    close(pipe_read);
    return output;
}

/* The line behind "time LEVEL process ". */
static const char *fields(const char *line, const char *start)
{
    const char *const found = strstr(line, start);
    cr_assert_not_null(found, "%s", line);
    return found + strlen(start);
}

Test(log, text_line_has_time_level_process_event_and_fields)
{
    rc_log_open("worker", 3, RC_LOG_INFO, RC_LOG_TEXT);
    capture();
    rc_log_info("worker_started", "pid=%d cpu=%u", 17, 2u);
    const char *const line = captured();
    regex_t pattern;
    cr_assert_eq(
        regcomp(
            &pattern,
            "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z INFO worker/3 worker_started pid=17 cpu=2\n$",
            REG_EXTENDED),
        0);
    cr_expect_eq(regexec(&pattern, line, 0, NULL, 0), 0, "%s", line);
    regfree(&pattern);
}

Test(log, process_without_index_has_its_name_alone)
{
    rc_log_open("acceptor", -1, RC_LOG_INFO, RC_LOG_TEXT);
    capture();
    rc_log_warn("a", "b=%d", 1);
    rc_log_error("c", " ");
    const char *const lines = captured();
    cr_expect_not_null(strstr(lines, " WARN acceptor a b=1\n"), "%s", lines);
    cr_expect_not_null(strstr(lines, " ERROR acceptor c\n"), "%s", lines);
}

Test(log, every_conversion_is_formatted)
{
    rc_log_open("w", -1, RC_LOG_INFO, RC_LOG_TEXT);
    capture();
    errno = ENOENT;
    int marker = 0;
    rc_log_info("e",
                "d=%d i=%i u=%u x=%x X=%X o=%o hd=%hd hhu=%hhu ld=%ld lu=%lu lld=%lld llu=%llu zu=%zu jd=%jd td=%td",
                -1, -2, 3u, 255u, 255u, 8u, (short)-5, (unsigned char)200, -6L, 7UL, -8LL, 18446744073709551615ULL,
                (size_t)9, (intmax_t)-10, (ptrdiff_t)11);
    rc_log_info("f", "f=%.2f e=%e g=%G c=%c s=%s cut=%.*s cut2=%.3s pad=%5d zero=%05d percent=100%% m=\"%m\" null=%s",
                1.5, 2.0, 0.25, 'x', "text", 2, "abc", "abcdef", 42, 42, (char *)NULL);
    rc_log_info("p", "p=%p", (void *)&marker);
    const char *const lines = captured();
    cr_expect_not_null(
        strstr(
            lines,
            " e d=-1 i=-2 u=3 x=ff X=FF o=10 hd=-5 hhu=200 ld=-6 lu=7 lld=-8 llu=18446744073709551615 zu=9 jd=-10 td=11\n"),
        "%s", lines);
    cr_expect_not_null(
        strstr(lines,
               " f f=1.50 e=2.000000e+00 g=0.25 c=x s=text cut=ab cut2=abc pad=\"   42\" zero=00042 percent=100% "
               "m=\"No such file or directory\" null=(null)\n"),
        "%s", lines);
    cr_expect_not_null(strstr(lines, " p p=0x"), "%s", lines);
    cr_expect_eq(errno, ENOENT, "logging does not change errno");
}

Test(log, a_text_that_is_not_terminated_is_read_to_its_precision_only)
{
    rc_log_open("w", -1, RC_LOG_INFO, RC_LOG_TEXT);
    char *const text = malloc(3);
    memcpy(text, "abc", 3);
    capture();
    rc_log_info("e", "v=%.*s", 3, text);
    cr_expect_str_eq(fields(captured(), "w e"), " v=abc\n");
    free(text);
}

Test(log, a_value_cannot_start_a_field_or_a_line)
{
    rc_log_open("w", -1, RC_LOG_INFO, RC_LOG_TEXT);
    capture();
    rc_log_info("e", "a=%s b=\"%s\" c=%d", "x admin=1\n2026 ERROR", "y\" admin=\"1", 7);
    cr_expect_str_eq(fields(captured(), "w e"), " a=\"x admin=1\\n2026 ERROR\" b=\"y\\\" admin=\\\"1\" c=7\n");
}

Test(log, what_terminals_act_on_is_escaped)
{
    rc_log_open("w", -1, RC_LOG_INFO, RC_LOG_TEXT);
    capture();
    rc_log_info("e", "a=%s",
                "\x1b[2J\r\t\x7f\\\xc2\x9b\xe2\x80\xa8\xffgr\xc3\xbc\xc3\x9f"
                "e");
    cr_expect_str_eq(fields(captured(), "w e"), " a=\"\\u001b[2J\\r\\t\\u007f\\\\\\u009b\\u2028\\xffgrüße\"\n");
}

Test(log, values_are_quoted_only_when_needed)
{
    rc_log_open("w", -1, RC_LOG_INFO, RC_LOG_TEXT);
    capture();
    rc_log_info("e", "a=%s b=%s c=%s d=\"%s\" e=pre-%d-post f=\"two words %d\"", "plain", "", "a=b", "quoted", 5, 6);
    cr_expect_str_eq(fields(captured(), "w e"),
                     " a=plain b=\"\" c=\"a=b\" d=\"quoted\" e=pre-5-post f=\"two words 6\"\n");
}

Test(log, json_lines_are_json)
{
    rc_log_open("worker", 2, RC_LOG_DEBUG, RC_LOG_JSON);
    capture();
    rc_log_debug("it_happened", "n=%d big=%lu f=%.1f zero=%05d s=%s id=\"%d\" q=\"%s\" mixed=a%d nan=%f", -7,
                 9007199254740993ul, 2.5, 42, "123", 5, "a \"b\"\n\xff\x01", 3, __builtin_nan(""));
    json_error_t problem;
    json_t *const line = json_loads(captured(), JSON_REJECT_DUPLICATES, &problem);
    cr_assert_not_null(line, "%s", problem.text);
    cr_expect_str_eq(json_string_value(json_object_get(line, "level")), "debug");
    cr_expect_str_eq(json_string_value(json_object_get(line, "process")), "worker/2");
    cr_expect_str_eq(json_string_value(json_object_get(line, "event")), "it_happened");
    cr_expect_eq(strlen(json_string_value(json_object_get(line, "time"))), 24u);
    cr_expect_eq(json_integer_value(json_object_get(line, "n")), -7);
    cr_expect_eq(json_integer_value(json_object_get(line, "big")), 9007199254740993);
    cr_expect_eq(json_real_value(json_object_get(line, "f")), 2.5);
    cr_expect_str_eq(json_string_value(json_object_get(line, "zero")), "00042", "no JSON number has leading zeros");
    cr_expect_str_eq(json_string_value(json_object_get(line, "s")), "123", "a text stays a text");
    cr_expect_str_eq(json_string_value(json_object_get(line, "id")), "5", "what the format quotes is a text");
    cr_expect_str_eq(json_string_value(json_object_get(line, "q")), "a \"b\"\n\xef\xbf\xbd\x01");
    cr_expect_str_eq(json_string_value(json_object_get(line, "mixed")), "a3");
    cr_expect_not_null(strstr(json_string_value(json_object_get(line, "nan")), "nan"));
    json_decref(line);
}

/* Values of every length around the line's bound, in both formats: never longer than 4 KiB, always whole. */
Test(log, long_lines_are_cut_and_say_so)
{
    static char value[8192];
    static const char *const fillers[] = {"x", "\n", "\xff", "ü", "\xf0\x9f\x98\x80", "\x01"};
    for (int format = 0; format < 2; format++) {
        rc_log_open("worker", 2, RC_LOG_INFO, format == 0 ? RC_LOG_TEXT : RC_LOG_JSON);
        for (size_t filler = 0; filler < sizeof(fillers) / sizeof(fillers[0]); filler++) {
            for (size_t bytes = 600; bytes < 4400; bytes += bytes < 3900 ? 97 : 1) {
                const size_t step = strlen(fillers[filler]);
                size_t at = 0;
                for (; at + step <= bytes; at += step) {
                    memcpy(value + at, fillers[filler], step);
                }
                value[at] = '\0';
                capture();
                rc_log_info("e", "v=%s w=%d long_name=%s x=%d", value, 5, value, 6);
                const char *const line = captured();
                const size_t length = strlen(line);
                cr_assert_gt(length, 0u);
                cr_assert_leq(length, 4096u);
                cr_assert_eq(line[length - 1], '\n');
                cr_assert_eq(strchr(line, '\n'), line + length - 1);
                if (format == 1) {
                    json_error_t problem;
                    json_t *const parsed = json_loads(line, JSON_REJECT_DUPLICATES, &problem);
                    cr_assert_not_null(parsed, "%s in %s", problem.text, line);
                    cr_assert_eq(json_is_true(json_object_get(parsed, "cut")), json_object_get(parsed, "x") == NULL);
                    json_decref(parsed);
                } else {
                    cr_assert((strstr(line, " cut=true\n") != NULL) == (strstr(line, " x=6") == NULL), "%s", line);
                }
            }
        }
    }
}

Test(log, levels_filter)
{
    rc_log_open("w", -1, RC_LOG_WARN, RC_LOG_TEXT);
    capture();
    rc_log_debug("debug", " ");
    rc_log_info("info", " ");
    rc_log_warn("warn", " ");
    rc_log_set_level(RC_LOG_DEBUG);
    rc_log_debug("debug_2", " ");
    rc_log_set_level(RC_LOG_OFF);
    rc_log_error("error", " ");
    cr_expect_not(rc_log_enabled(RC_LOG_ERROR));
    cr_expect_not(rc_log_enabled(RC_LOG_OFF));
    const char *const lines = captured();
    cr_expect_null(strstr(lines, "info"));
    cr_expect_null(strstr(lines, "error"));
    cr_expect_not_null(strstr(lines, "WARN w warn\n"));
    cr_expect_not_null(strstr(lines, "DEBUG w debug_2\n"));
}

Test(log, lines_that_stderr_does_not_take_are_counted_before_the_next)
{
    rc_log_open("w", -1, RC_LOG_INFO, RC_LOG_TEXT);
    int fds[2];
    cr_assert_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    const int saved = dup(STDERR_FILENO);
    static char block[4096];
    while (write(fds[1], block, sizeof(block)) > 0) {}
    dup2(fds[1], STDERR_FILENO);
    rc_log_info("one", " ");
    rc_log_info("two", " ");
    while (read(fds[0], block, sizeof(block)) > 0) {}
    rc_log_info("three", "a=%d", 1);
    rc_log_info("four", " ");
    dup2(saved, STDERR_FILENO);
    const ssize_t bytes = read(fds[0], block, sizeof(block) - 1);
    cr_assert_gt(bytes, 0);
    block[bytes] = '\0';
    cr_expect_not_null(strstr(block, "WARN w log_dropped lines=2\n"), "%s", block);
    cr_expect_not_null(strstr(block, "w three a=1\n"), "%s", block);
    cr_expect_not_null(strstr(block, "w four\n"), "%s", block);
}

Test(log, limit_passes_a_burst_a_second_and_counts_the_rest)
{
    struct rc_log_limit limit = {0};
    uint32_t suppressed = 99;
    for (int i = 0; i < 3; i++) {
        cr_expect(rc_log_limit_pass(&limit, 3, &suppressed));
        cr_expect_eq(suppressed, 0u);
    }
    cr_expect_not(rc_log_limit_pass(&limit, 3, &suppressed));
    cr_expect_not(rc_log_limit_pass(&limit, 3, &suppressed));
    limit.window_ms -= 1000; /* as if a second had passed */
    cr_expect(rc_log_limit_pass(&limit, 3, &suppressed));
    cr_expect_eq(suppressed, 2u);
    cr_expect(rc_log_limit_pass(&limit, 3, &suppressed));
    cr_expect_eq(suppressed, 0u, "told once");
}

Test(log, suppressed_lines_are_counted_those_before_the_counter_too)
{
    struct rc_log_limit limit = {0};
    uint32_t suppressed = 0;
    _Atomic uint64_t counter = 5;
    cr_expect_not(rc_log_limit_pass(&limit, 0, &suppressed));
    rc_log_count_suppressed(&counter);
    cr_expect_eq(counter, 6);
    cr_expect_not(rc_log_limit_pass(&limit, 0, &suppressed));
    cr_expect_eq(counter, 7);
    rc_log_count_suppressed(NULL);
    cr_expect_not(rc_log_limit_pass(&limit, 0, &suppressed));
    cr_expect_eq(counter, 7);
}

Test(log, limited_lines_say_how_many_are_missing)
{
    rc_log_open("w", -1, RC_LOG_INFO, RC_LOG_TEXT);
    capture();
    for (int i = 0; i < 5; i++) {
        rc_log_limited(RC_LOG_WARN, 1, "often", "i=%d", i);
    }
    rc_log_limited(RC_LOG_WARN, 1, "once", "");
    const char *const lines = captured();
    cr_expect_not_null(strstr(lines, "w often i=0\n"), "no count while nothing is missing: %s", lines);
    cr_expect_null(strstr(lines, "i=1"));
    cr_expect_not_null(strstr(lines, "w once\n"), "%s", lines);
}

/* One line with a field of each kind. */
static const char *personal_line(enum rc_log_format format)
{
    rc_log_open("w", -1, RC_LOG_INFO, format);
    capture();
    rc_log_info("ended",
                "slot=%d address=%s peer=%s user=\"%s\" user_name=\"%s\" email=%s channel=\"%.*s\" reason=\"%s\"", 3,
                "192.0.2.7", "unix", "anna", "Anna A.", "anna@example.com", 9, "user:anna...", "left");
    return captured();
}

static void redact(enum rc_log_redaction user, enum rc_log_redaction name, enum rc_log_redaction email,
                   enum rc_log_redaction address, const char *key)
{
    const enum rc_log_redaction how[RC_LOG_KINDS] = {
        [RC_LOG_USER] = user, [RC_LOG_NAME] = name, [RC_LOG_EMAIL] = email, [RC_LOG_ADDRESS] = address};
    rc_log_redact(how, key);
}

Test(log, personal_data_is_shown_unless_it_is_to_be_redacted)
{
    redact(RC_LOG_KEEP, RC_LOG_KEEP, RC_LOG_KEEP, RC_LOG_KEEP, "");
    cr_expect_str_eq(
        fields(personal_line(RC_LOG_TEXT), "ended "),
        "slot=3 address=192.0.2.7 peer=unix user=\"anna\" user_name=\"Anna A.\" email=anna@example.com channel=\"user:anna\" "
        "reason=\"left\"\n");
}

Test(log, personal_data_is_left_out)
{
    redact(RC_LOG_REMOVE, RC_LOG_REMOVE, RC_LOG_REMOVE, RC_LOG_REMOVE, "");
    cr_expect_str_eq(fields(personal_line(RC_LOG_TEXT), "ended "),
                     "slot=3 peer=unix channel=\"user:\" reason=\"left\"\n");
    cr_expect_str_eq(fields(personal_line(RC_LOG_JSON), "\"ended\","),
                     "\"slot\":3,\"peer\":\"unix\",\"channel\":\"user:\",\"reason\":\"left\"}\n");
}

/* HMAC-SHA256 by another implementation: python3 -c "import hmac; print(hmac.digest(b'key of the test', b'anna', 'sha256').hex()[:16])" */
Test(log, a_hash_is_the_same_wherever_the_value_is_the_same)
{
    redact(RC_LOG_HASH, RC_LOG_HASH, RC_LOG_KEEP, RC_LOG_HASH, "key of the test");
    cr_expect_str_eq(
        fields(personal_line(RC_LOG_TEXT), "ended "),
        "slot=3 address=#854d7ae8f775cc39 peer=unix user=\"#c43972869536e048\" user_name=\"#705f2e5a81625cb5\" "
        "email=anna@example.com channel=\"user:#c43972869536e048\" reason=\"left\"\n");
}

Test(log, without_a_key_the_hash_is_of_this_boot)
{
    char first[512];
    redact(RC_LOG_HASH, RC_LOG_KEEP, RC_LOG_KEEP, RC_LOG_KEEP, "");
    (void)snprintf(first, sizeof(first), "%s", fields(personal_line(RC_LOG_TEXT), "ended "));
    cr_expect_str_eq(fields(personal_line(RC_LOG_TEXT), "ended "), first);
    cr_expect_null(strstr(first, "anna\""), "%s", first);
    redact(RC_LOG_HASH, RC_LOG_KEEP, RC_LOG_KEEP, RC_LOG_KEEP, "another key");
    cr_expect_str_neq(fields(personal_line(RC_LOG_TEXT), "ended "), first);
}

Test(log, what_is_the_operators_own_is_not_redacted)
{
    redact(RC_LOG_REMOVE, RC_LOG_REMOVE, RC_LOG_REMOVE, RC_LOG_REMOVE, "");
    rc_log_open("w", -1, RC_LOG_INFO, RC_LOG_TEXT);
    capture();
    rc_log_info("listening", "address!=%s user=\"%s\" channel=\"ws:instance:*:heartbeat\"", "127.0.0.1:1", "");
    rc_log_info("other", "channel=\"%s\" users=%d", "news", 7);
    const char *const lines = captured();
    cr_expect_not_null(strstr(lines, "listening address=127.0.0.1:1 user=\"\" channel=\"ws:instance:*:heartbeat\"\n"),
                       "%s", lines);
    cr_expect_not_null(strstr(lines, "other channel=\"news\" users=7\n"), "%s", lines);
}
