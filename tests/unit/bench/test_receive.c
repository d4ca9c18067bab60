/* The load generator's stream parser: the same messages whatever the cuts. */
#include "bench/receive.h"
#include "bench/scenario.h"
#include "bench/ws_client.h"

#include "common/base/check.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static char log_text[4096];
static size_t log_bytes;

static void note_payload(struct rc_bench_client *client, uint32_t slot, struct rc_span payload, uint64_t now_ns)
{
    (void)client;
    (void)slot;
    (void)now_ns;
    memcpy(log_text + log_bytes, payload.bytes, payload.count);
    log_bytes += payload.count;
    log_text[log_bytes++] = '|';
}

static const struct rc_bench_scenario scenario = {.name = "test", .role = RC_BENCH_SUBSCRIBER, .payload = note_payload};
static const struct rc_bench_options options = {.payload_bytes = 32, .prefix = "c", .subscriptions = 1};
static struct rc_bench_plan plan = {.options = &options, .channels = 1, .processes = 1, .subscribers = 1};
static struct rc_bench_tally tally;

static struct rc_bench_client *make(void)
{
    struct rc_bench_client *const client = calloc(1, sizeof(*client));
    plan.protocol = rc_bench_protocol_find("broadcast");
    plan.scenario = &scenario;
    client->plan = &plan;
    client->protocol = plan.protocol;
    client->scenario = &scenario;
    client->tally = &tally;
    client->conns = calloc(1, sizeof(*client->conns));
    client->slots = client->subscribers = 1;
    client->opening = 1;
    client->conns[0].state = RC_BENCH_CONN_UPGRADING;
    client->conns[0].role = RC_BENCH_SUBSCRIBER;
    log_bytes = 0;
    return client;
}

static void destroy(struct rc_bench_client *client)
{
    rc_bench_receive_forget(client, 0);
    free(client->carries);
    free(client->conns);
    free(client);
}

/* An answer, then: whole, empty, fragmented in three with a pong between, whole, 16-bit length. */
static size_t stream(uint8_t *out)
{
    static const char answer[] =
        "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " RC_BENCH_WS_ACCEPT "\r\n\r\n";
    static const uint8_t frames[] = {
        0x81, 3,    'o', 'n', 'e',  0x81, 0,   0x01, 2,   't', 'w', 0x00, 1,   'o', 0x8a, 1,
        'p',  0x80, 1,   '!', 0x82, 5,    't', 'h',  'r', 'e', 'e', 0x81, 126, 0,   130,
    };
    memcpy(out, answer, sizeof(answer) - 1);
    memcpy(out + sizeof(answer) - 1, frames, sizeof(frames));
    memset(out + sizeof(answer) - 1 + sizeof(frames), 'x', 130);
    return sizeof(answer) - 1 + sizeof(frames) + 130;
}

static void check_log(void)
{
    cr_assert_eq(log_bytes, 4 + 1 + 5 + 6 + 131, "%.*s", (int)log_bytes, log_text);
    cr_assert_eq(memcmp(log_text, "one||two!|three|xxxx", 20), 0, "%.*s", (int)log_bytes, log_text);
}

Test(bench_receive, two_cuts_anywhere)
{
    uint8_t bytes[512];
    const size_t count = stream(bytes);
    for (size_t first = 0; first <= count; first++) {
        for (size_t second = first; second <= count; second += 3) {
            struct rc_bench_client *const client = make();
            uint8_t copy[512];
            memcpy(copy, bytes, count);
            if (first > 0) {
                rc_bench_receive(client, 0, copy, (uint32_t)first, 1);
            }
            if (second > first) {
                rc_bench_receive(client, 0, copy + first, (uint32_t)(second - first), 1);
            }
            if (count > second) {
                rc_bench_receive(client, 0, copy + second, (uint32_t)(count - second), 1);
            }
            check_log();
            cr_assert_eq(client->conns[0].state, RC_BENCH_CONN_READY);
            cr_assert_eq(client->opening, 0);
            destroy(client);
        }
    }
}

Test(bench_receive, byte_by_byte_gives_back_what_it_borrowed)
{
    uint8_t bytes[512];
    const size_t count = stream(bytes);
    struct rc_bench_client *const client = make();
    for (size_t i = 0; i < count; i++) {
        rc_bench_receive(client, 0, bytes + i, 1, 1);
    }
    check_log();
    cr_assert_eq(client->conns[0].carry, 0);
    destroy(client);
}

Test(bench_receive, fixed_framing_takes_whole_payloads)
{
    struct rc_bench_client *const client = make();
    client->protocol = rc_bench_protocol_find("tcp");
    client->conns[0].state = RC_BENCH_CONN_READY;
    uint8_t bytes[96];
    memset(bytes, 'a', sizeof(bytes));
    rc_bench_receive(client, 0, bytes, 31, 1);
    cr_assert_eq(log_bytes, 0);
    rc_bench_receive(client, 0, bytes, 1 + 32 + 5, 1);
    cr_assert_eq(log_bytes, 66);
    rc_bench_receive(client, 0, bytes, 27, 1);
    cr_assert_eq(log_bytes, 99);
    destroy(client);
}

/* --- RESP ------------------------------------------------------------------------------------------------------------- */

static struct rc_bench_client *make_resp(void)
{
    struct rc_bench_client *const client = make();
    client->protocol = rc_bench_protocol_find("redis");
    client->conns[0].state = RC_BENCH_CONN_JOINING;
    tally.error[0] = '\0';
    return client;
}

#define RESP_MESSAGE "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$32\r\n"
#define RESP_LINES \
    "*3\r\n$7\r\nmessage\r\n$5\r\n\r\n:*$\r\n" /* an end of a line belongs to a bulk string, if it says so */

/* What subscribing and publishing are answered with, and whatever else a server may say meanwhile. */
static const char resp_stream[] =
    "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n" RESP_MESSAGE
    "one.............................\r\n:12345\r\n+OK\r\n$-1\r\n*-1\r\n*0\r\n$0\r\n\r\n"
    "*2\r\n*1\r\n:7\r\n$3\r\n*9\r\r\n" RESP_MESSAGE "two\r\n$5\r\n*3\r\n.................\r\n\r\n" RESP_LINES
    "$32\r\nthree...........................\r\n";
static const char resp_log[] = "one.............................|two\r\n$5\r\n*3\r\n.................\r\n|three"
                               "...........................|";

static void feed(struct rc_bench_client *client, const char *text, size_t count)
{
    /* In memory of exactly this size: reading on behind it is seen. */
    uint8_t *const bytes = malloc(count > 0 ? count : 1);
    memcpy(bytes, text, count);
    if (count > 0) {
        rc_bench_receive(client, 0, bytes, (uint32_t)count, 1);
    }
    free(bytes);
}

Test(bench_receive, resp_cut_anywhere)
{
    const size_t count = sizeof(resp_stream) - 1;
    for (size_t first = 0; first <= count; first++) {
        for (size_t second = first; second <= count; second++) {
            struct rc_bench_client *const client = make_resp();
            feed(client, resp_stream, first);
            feed(client, resp_stream + first, second - first);
            feed(client, resp_stream + second, count - second);
            cr_assert_eq(log_bytes, sizeof(resp_log) - 1, "cut at %zu and %zu: %.*s", first, second, (int)log_bytes,
                         log_text);
            cr_assert_eq(memcmp(log_text, resp_log, log_bytes), 0, "cut at %zu and %zu", first, second);
            cr_assert_eq(client->conns[0].state, RC_BENCH_CONN_READY);
            cr_assert_eq(client->conns[0].carry, 0, "nothing is left over");
            cr_assert_eq(client->opening, 0);
            destroy(client);
        }
    }
}

Test(bench_receive, resp_byte_by_byte)
{
    struct rc_bench_client *const client = make_resp();
    for (size_t i = 0; i < sizeof(resp_stream) - 1; i++) {
        feed(client, resp_stream + i, 1);
    }
    cr_assert_eq(log_bytes, sizeof(resp_log) - 1);
    cr_assert_eq(memcmp(log_text, resp_log, log_bytes), 0);
    cr_assert_eq(client->conns[0].carry, 0);
    destroy(client);
}

Test(bench_receive, resp_refusal_is_told)
{
    struct rc_bench_client *const client = make_resp();
    feed(client, "-NOAUTH Authentication required.\r\n", 34);
    cr_assert_str_eq(tally.error, "the server answered: -NOAUTH Authentication required.\r\n");
    destroy(client);
}

/* What is no RESP ends the connection: it is neither waited for, nor read beyond its end. */
Test(bench_receive, what_is_no_resp_is_refused)
{
    static const char *const wrong[] = {
        "HTTP/1.1 400 Bad Request\r\n",
        "\r\n",
        "\r",
        "*\r\n",
        "$\r\n",
        "$ 3\r\nabc\r\n",
        "*3x\r\n",
        "$-\r\n",
        "*--1\r\n",
        "$9999999999\r\n",
        "*99999999999999999999\r\n",
        "$999999999\r\n",
        "*2\r\n:1\r\nx",
        "_\r\n",
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(wrong); i++) {
        struct rc_bench_client *const client = make_resp();
        cr_assert_eq(io_uring_queue_init(8, &client->ring, 0), 0);
        feed(client, wrong[i], strlen(wrong[i]));
        cr_expect_neq(client->conns[0].state, RC_BENCH_CONN_JOINING, "\"%s\" is taken", wrong[i]);
        cr_expect_str_eq(tally.error, "the server sent what is no RESP");
        io_uring_queue_exit(&client->ring);
        destroy(client);
    }
}
