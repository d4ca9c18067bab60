/* Requests that may wait: bodies, later answers, deadlines, clients that go, and what is pipelined behind. The connection is memory. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/http/exchange.h"

#define KEPT_MAX 4u
#define CONNECTIONS 8u

/* One connection: what came and was not consumed yet, and what went out. */
struct conn {
    uint32_t place;
    bool speaks;
    bool lingers;
    bool failed;
    bool held;
    uint32_t resumed;
    uint64_t deadline_ms;
    char out[65536];
    size_t out_bytes;
    char in[65536];
    size_t in_bytes;
    uint32_t scanned;
    uint32_t began; /* where the request in progress began in what was fed last */
    bool once;      /* the one in progress is not to be begun anew */
    uint32_t over;
};

static struct conn conns[CONNECTIONS];
static struct rc_config config;
static struct rc_metrics metrics;
static struct rc_exchanges exchanges;
static size_t out_max; /* bytes that a connection's output may have */

/* What the resource saw and does. */
static struct {
    enum { ANSWER, READ, WAIT, READ_AND_WAIT, UPGRADE, PUT_BACK, CHAIN } does;
    struct rc_exchange *waits;
    struct rc_exchange *chain[CONNECTIONS]; /* CHAIN: what a request on a connection answers beside itself */
    uint32_t depth;                         /* CHAIN: requests within each other */
    uint32_t depth_max;
    uint32_t begun;
    uint32_t ended;
    uint16_t status; /* of the last one that ended */
    char body[65536];
    size_t body_bytes;
} resource;

/* --- the connection -------------------------------------------------------------------------------------------------- */

static bool conn_speaks(void *context, uint32_t index)
{
    (void)context;
    return conns[index].speaks;
}

static uint32_t *conn_place(void *context, uint32_t index)
{
    (void)context;
    return &conns[index].place;
}

static int conn_write(void *context, uint32_t index, const void *bytes, uint32_t count)
{
    struct conn *conn = &conns[index];
    (void)context;
    if (conn->out_bytes + count > out_max) {
        return -ENOMEM;
    }
    memcpy(conn->out + conn->out_bytes, bytes, count);
    conn->out_bytes += count;
    conn->out[conn->out_bytes] = '\0';
    return 0;
}

static uint32_t conn_unsent(void *context, uint32_t index)
{
    (void)context;
    return (uint32_t)conns[index].out_bytes;
}

static void conn_hold(void *context, uint32_t index)
{
    (void)context;
    conns[index].held = true;
}

static void conn_deadline(void *context, uint32_t index, uint64_t in_ms)
{
    (void)context;
    conns[index].deadline_ms = in_ms;
}

static void conn_linger(void *context, uint32_t index)
{
    (void)context;
    conns[index].lingers = true;
    conns[index].speaks = false;
}

static void conn_fail(void *context, uint32_t index)
{
    (void)context;
    conns[index].failed = true;
    conns[index].speaks = false;
    rc_exchanges_gone(&exchanges, index);
}

static void conn_once(void *context, uint32_t index)
{
    (void)context;
    conns[index].once = true;
}

static void conn_over(void *context, uint32_t index)
{
    (void)context;
    cr_assert(conns[index].once && conns[index].out_bytes > 0, "its answer was written in between");
    conns[index].once = false;
    conns[index].over++;
}

static void feed_parked(uint32_t index)
{
    struct conn *conn = &conns[index];
    const uint32_t used = rc_exchanges_feed(&exchanges, index, (const uint8_t *)conn->in, (uint32_t)conn->in_bytes,
                                            &conn->scanned, &conn->began);
    cr_assert(used <= conn->in_bytes);
    memmove(conn->in, conn->in + used, conn->in_bytes - used);
    conn->in_bytes -= used;
    conn->scanned = used > 0 ? 0 : conn->scanned;
}

static void conn_resume(void *context, uint32_t index)
{
    (void)context;
    conns[index].resumed++;
    feed_parked(index);
}

/* --- the resource ---------------------------------------------------------------------------------------------------- */

static void say(struct rc_exchange *exchange, const char *text)
{
    rc_exchange_answer(exchange,
                       &(struct rc_exchange_answer){
                           .status = 200, .content_type = "text/plain", .body = text, .body_bytes = strlen(text)});
}

static void run(struct rc_exchange *exchange)
{
    cr_assert(exchange->byte_count < sizeof(resource.body));
    memcpy(resource.body, exchange->bytes == NULL ? (const uint8_t *)"" : exchange->bytes, exchange->byte_count);
    resource.body_bytes = exchange->byte_count;
    if (resource.does == READ) {
        say(exchange, "read");
        return;
    }
    cr_assert_eq(rc_exchange_wait(exchange, 700), 0);
    resource.waits = exchange;
}

static void room(struct rc_exchange *exchange)
{
    say(exchange, "room");
}

static void ended(struct rc_exchange *exchange, uint16_t status)
{
    cr_assert_eq(exchange->context, &resource);
    resource.ended++;
    resource.status = status;
    resource.waits = NULL;
}

static const struct rc_exchange_user user = {.run = run, .room = room, .ended = ended};

static void begin(void *context, struct rc_exchange *exchange)
{
    (void)context;
    resource.begun++;
    exchange->user = &user;
    exchange->context = &resource;
    int rc = 0;
    switch (resource.does) {
    case ANSWER:
        say(exchange, "at once");
        break;
    case READ:
    case READ_AND_WAIT:
        rc = rc_exchange_read(exchange, &user, &resource);
        break;
    case WAIT:
        rc = rc_exchange_wait(exchange, 700);
        resource.waits = exchange;
        break;
    case UPGRADE:
        conns[exchange->connection].speaks = false;
        cr_assert_not(rc_exchange_upgraded(exchange));
        break;
    case PUT_BACK:
        conns[exchange->connection].speaks = false;
        rc_exchange_put_back(exchange);
        break;
    case CHAIN:
        resource.depth++;
        resource.depth_max = resource.depth > resource.depth_max ? resource.depth : resource.depth_max;
        if (resource.chain[exchange->connection] != NULL) {
            say(resource.chain[exchange->connection], "by another");
        }
        say(exchange, "chained");
        resource.depth--;
        break;
    }
    if (rc == -ENOBUFS) {
        rc_exchange_error(exchange, (struct rc_exchange_answer){.status = 503, .message = "too many"});
    }
}

/* --- the rig --------------------------------------------------------------------------------------------------------- */

static void open_all(void)
{
    const struct rc_exchange_ops ops = {.speaks = conn_speaks,
                                        .place = conn_place,
                                        .begin = begin,
                                        .write = conn_write,
                                        .unsent = conn_unsent,
                                        .hold = conn_hold,
                                        .deadline = conn_deadline,
                                        .linger = conn_linger,
                                        .fail = conn_fail,
                                        .once = conn_once,
                                        .over = conn_over,
                                        .resume = conn_resume};
    memset(conns, 0, sizeof(conns));
    memset(&resource, 0, sizeof(resource));
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        conns[i].speaks = true;
    }
    out_max = sizeof(conns[0].out) - 1;
    config.limits.max_body_bytes = 1000;
    config.limits.max_request_bytes = 4096;
    config.limits.max_request_headers = 50;
    config.limits.max_reply_bytes = 32768;
    config.limits.worker_log_bytes = 1u << 20;
    config.limits.handshake_timeout_ms = 5000;
    memset(&metrics, 0, sizeof(metrics));
    cr_assert_eq(rc_exchanges_open(&exchanges, &ops, &config, &metrics, KEPT_MAX), 0);
}

/* Nothing is left of what went on. */
static void close_all(void)
{
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        rc_exchanges_gone(&exchanges, i);
        cr_assert_eq(conns[i].place, 0);
    }
    cr_assert_eq(exchanges.kept, 0);
    cr_assert_eq(exchanges.waiting, 0);
    cr_assert_eq(exchanges.bytes, 0);
    cr_assert_eq(resource.ended, resource.begun, "each ends once");
    rc_exchanges_close(&exchanges);
}

TestSuite(exchange, .init = open_all, .fini = close_all);

static void feed(uint32_t index, const char *text, size_t bytes)
{
    struct conn *conn = &conns[index];
    cr_assert(conn->in_bytes + bytes <= sizeof(conn->in));
    memcpy(conn->in + conn->in_bytes, text, bytes);
    conn->in_bytes += bytes;
    feed_parked(index);
}

static void feed_text(uint32_t index, const char *text)
{
    feed(index, text, strlen(text));
}

/* Takes the output: does it have this part (NULL: is there none)? */
static void expect(uint32_t index, const char *part)
{
    struct conn *conn = &conns[index];
    if (part == NULL) {
        cr_assert_eq(conn->out_bytes, 0, "%s", conn->out);
        return;
    }
    cr_assert(conn->out_bytes > 0 && strstr(conn->out, part) != NULL, "%s instead of %s", conn->out, part);
    conn->out_bytes = 0;
}

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST_5 "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
#define POST_CHUNKED \
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nT: r\r\n\r\n"

/* --- tests ----------------------------------------------------------------------------------------------------------- */

/* What another process begins anew: it is told where the request begins, and when it is too late. */
Test(exchange, a_request_in_progress_may_be_begun_anew_until_it_is_done_or_answered)
{
    resource.does = READ_AND_WAIT;
    feed(0, GET POST_5, sizeof(GET) - 1 + 49); /* a GET has nothing to read */
    cr_assert_eq(conns[0].began, 0);
    struct rc_exchange *exchange = rc_exchange_of(&exchanges, 0);
    cr_assert(exchange != NULL && !rc_exchange_repeats(exchange), "its user has not said so");
    exchange->again = true;
    cr_assert(rc_exchange_repeats(exchange));
    say(exchange, "done");
    cr_assert_eq(conns[0].over, 1);
    cr_assert_eq(conns[0].resumed, 1, "the next one begins");
    cr_assert_eq(conns[0].began, 0);
    exchange = rc_exchange_of(&exchanges, 0);
    cr_assert(exchange != NULL && exchange->state == RC_EXCHANGE_READING && rc_exchange_repeats(exchange));
    feed_text(0, &POST_5[49]);
    cr_assert_eq(conns[0].began, RC_EXCHANGE_BEGAN_BEFORE);
    cr_assert_eq(exchange->state, RC_EXCHANGE_WAITING);
    say(exchange, "done");
    cr_assert_eq(conns[0].over, 2);
    expect(0, "done");
}

Test(exchange, is_answered_at_once_and_the_next_one_follows)
{
    feed_text(0, GET GET);
    cr_assert_eq(resource.begun, 2);
    cr_assert_eq(resource.status, 200);
    cr_assert_eq(conns[0].deadline_ms, 5000, "the next request has its time");
    cr_assert_eq(conns[0].resumed, 0, "its owner goes on by itself");
    expect(0, "at once");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_HTTP_REQUESTS), 2);
    feed_text(0, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert(strstr(conns[0].out, "Content-Length: 7") != NULL && strstr(conns[0].out, "at once") == NULL);
    cr_assert_eq(exchanges.kept, 0);
}

/* However the bytes are cut: two requests with bodies, and what they are answered. */
static void split_everywhere(const char *request)
{
    char text[512];
    const int bytes = snprintf(text, sizeof(text), "%s%s", request, request);
    for (int cut = 0; cut <= bytes; cut++) {
        for (int step = 1; step <= 3; step += 2) {
            uint32_t before = resource.begun;
            memset(resource.body, 0, sizeof(resource.body));
            feed(0, text, (size_t)cut);
            for (int at = cut; at < bytes; at += step) {
                feed(0, text + at, (size_t)(at + step < bytes ? step : bytes - at));
            }
            cr_assert_eq(resource.begun, before + 2, "cut at %d", cut);
            cr_assert(resource.body_bytes == 5 && memcmp(resource.body, "hello", 5) == 0);
            cr_assert_eq(exchanges.kept, 0);
            expect(0, "read");
        }
    }
}

Test(exchange, body_comes_in_any_pieces)
{
    resource.does = READ;
    split_everywhere(POST_5);
    split_everywhere(POST_CHUNKED);
    feed_text(0, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    cr_assert_eq(resource.body_bytes, 0);
    expect(0, "read");
    cr_assert(conns[0].speaks);
}

Test(exchange, who_wants_to_be_told_to_go_on_is)
{
    resource.does = READ;
    feed_text(0, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    expect(0, "HTTP/1.1 100 Continue\r\n\r\n");
    feed_text(0, "hello");
    expect(0, "read");
}

Test(exchange, body_that_is_too_large_or_broken_ends_the_connection)
{
    static const struct {
        const char *text;
        const char *answer;
    } cases[] = {
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", "HTTP/1.1 413"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", "HTTP/1.1 413"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX", "HTTP/1.1 400"},
    };
    resource.does = READ;
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        feed_text(i, cases[i].text);
        cr_assert(conns[i].lingers);
        expect(i, cases[i].answer);
        cr_assert_eq(conns[i].in_bytes, 0, "what follows is nothing");
    }
}

Test(exchange, bodies_share_a_budget)
{
    resource.does = READ;
    config.limits.worker_log_bytes = 1500;
    feed_text(0, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx");
    cr_assert_eq(exchanges.bytes, 1024);
    feed_text(1, POST_5);
    expect(1, "HTTP/1.1 503");
    cr_assert(conns[1].lingers);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_MEMORY_REFUSALS), 1);
    rc_exchanges_gone(&exchanges, 0);
    cr_assert_eq(exchanges.bytes, 0);
    feed_text(2, POST_5);
    expect(2, "read");
}

/* Who does not read the body cannot have another request behind it. */
Test(exchange, body_that_nobody_reads_ends_the_connection)
{
    feed_text(0, POST_5);
    cr_assert(conns[0].lingers);
    expect(0, "Connection: close");
}

Test(exchange, answer_comes_later_and_the_connection_stays)
{
    resource.does = WAIT;
    feed_text(0, GET);
    expect(0, NULL);
    cr_assert_eq(conns[0].deadline_ms, 700);
    cr_assert(rc_exchanges_waits(&exchanges, 0));
    cr_assert_eq(exchanges.waiting, 1);
    cr_assert(resource.waits != NULL && resource.waits->request == NULL, "its bytes are gone");
    say(resource.waits, "later");
    expect(0, "later");
    cr_assert_eq(conns[0].resumed, 1);
    cr_assert_eq(conns[0].deadline_ms, 5000);
    cr_assert(conns[0].speaks);
    resource.does = ANSWER;
    feed_text(0, GET);
    expect(0, "at once");
}

Test(exchange, what_is_pipelined_waits_for_its_turn)
{
    resource.does = READ_AND_WAIT;
    feed_text(0, POST_5 POST_CHUNKED GET);
    cr_assert_eq(resource.begun, 1);
    expect(0, NULL);
    for (uint32_t i = 1; i <= 3; i++) {
        cr_assert_eq(resource.begun, i, "one at a time");
        say(resource.waits, "later");
        expect(0, "later");
        cr_assert_eq(conns[0].resumed, i);
    }
    cr_assert_eq(conns[0].in_bytes, 0);
}

/* Else a chain of requests that answer each other would be as many calls within each other. */
Test(exchange, who_is_answered_by_anothers_request_goes_on_behind_it)
{
    for (uint32_t i = 0; i < 3; i++) {
        resource.does = WAIT;
        feed_text(i, GET GET);
        resource.chain[i == 0 ? 3 : i - 1] = resource.waits;
    }
    resource.does = CHAIN;
    feed_text(3, GET);
    cr_assert_eq(resource.depth_max, 1);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(conns[i].resumed, 1);
        cr_assert_eq(conns[i].in_bytes, 0);
        cr_assert_not_null(strstr(conns[i].out, "by another"));
        expect(i, "chained");
    }
    expect(3, "chained");
    cr_assert_eq(exchanges.later_count, 0);
}

Test(exchange, client_may_go_at_any_time)
{
    static const int does[] = {READ, WAIT, READ_AND_WAIT, READ_AND_WAIT};
    static const char *const texts[] = {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel", GET, POST_5,
                                        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"};
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(does); i++) {
        resource.does = (typeof(resource.does))does[i];
        feed_text(i, texts[i]);
        cr_assert_eq(exchanges.kept, 1);
        cr_assert_eq(resource.ended, i);
        rc_exchanges_gone(&exchanges, i);
        rc_exchanges_gone(&exchanges, i);
        cr_assert_eq(resource.ended, i + 1);
        cr_assert_eq(resource.status, 0);
        cr_assert_eq(exchanges.kept, 0);
        expect(i, NULL);
    }
}

Test(exchange, deadlines_are_answered)
{
    resource.does = READ;
    cr_assert_not(rc_exchanges_expired(&exchanges, 0), "the connection itself is late");
    feed_text(0, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    cr_assert_eq(conns[0].deadline_ms, 5000);
    cr_assert_not(rc_exchanges_waits(&exchanges, 0));
    cr_assert(rc_exchanges_expired(&exchanges, 0));
    expect(0, "HTTP/1.1 408");
    cr_assert(conns[0].lingers);
    resource.does = WAIT;
    feed_text(1, GET);
    cr_assert(rc_exchanges_expired(&exchanges, 1));
    expect(1, "HTTP/1.1 504");
    cr_assert_eq(resource.status, 504);
    cr_assert_eq(exchanges.waiting, 0);
}

Test(exchange, those_that_wait_are_bounded_and_the_others_are_served)
{
    resource.does = WAIT;
    for (uint32_t i = 0; i < KEPT_MAX; i++) {
        feed_text(i, GET);
        expect(i, NULL);
    }
    feed_text(KEPT_MAX, GET);
    expect(KEPT_MAX, "HTTP/1.1 503");
    resource.does = READ;
    feed_text(KEPT_MAX + 1, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    expect(KEPT_MAX + 1, "HTTP/1.1 503");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_HTTP_WAITING_FULL), 2);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_HTTP_WAITING), KEPT_MAX);
    resource.does = ANSWER;
    feed_text(KEPT_MAX + 3, GET);
    expect(KEPT_MAX + 3, "at once");
    rc_exchanges_gone(&exchanges, 1);
    conns[1].place = 0;
    resource.does = WAIT;
    feed_text(1, GET);
    expect(1, NULL);
}

Test(exchange, room_in_the_ring_is_told_and_the_owner_goes_on)
{
    resource.does = WAIT;
    rc_exchanges_room(&exchanges, 0); /* nobody asks for it */
    feed_text(0, GET);
    rc_exchanges_room(&exchanges, 0);
    expect(0, "room");
    cr_assert_eq(conns[0].resumed, 0);
}

Test(exchange, draining_lets_nobody_stay)
{
    resource.does = WAIT;
    feed_text(0, GET);
    exchanges.draining = true;
    say(resource.waits, "last");
    expect(0, "Connection: close");
    cr_assert(conns[0].lingers);
    resource.does = ANSWER;
    feed_text(1, GET);
    expect(1, "Connection: close");
}

Test(exchange, upgraded_connection_is_left_alone)
{
    resource.does = UPGRADE;
    feed_text(0, GET "\x81\x80xxxx");
    cr_assert_eq(resource.status, 101);
    cr_assert_eq(conns[0].in_bytes, 6, "that is the WebSocket's");
    expect(0, NULL);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_HTTP_REQUESTS), 0);
}

/* Somebody else had to be asked before the 101. */
Test(exchange, upgrade_may_come_later)
{
    resource.does = WAIT;
    feed_text(0, GET "\x81\x80xxxx");
    cr_assert_eq(conns[0].in_bytes, 6);
    conns[0].speaks = false;
    cr_assert(rc_exchange_upgraded(resource.waits), "its owner has to look at what is parked");
    cr_assert_eq(resource.status, 101);
    cr_assert_eq(exchanges.waiting, 0);
    cr_assert_eq(conns[0].resumed, 0);
}

Test(exchange, what_is_no_request_is_refused)
{
    feed_text(0, "GET / HTTP/1.1\r\nBad Header: x\r\n\r\n" GET);
    expect(0, "HTTP/1.1 400");
    cr_assert(conns[0].lingers);
    cr_assert_eq(conns[0].in_bytes, 0);
    cr_assert_eq(resource.begun, 0);
}

Test(exchange, answers_that_pile_up_stop_the_next_request)
{
    config.limits.max_reply_bytes = 10;
    feed_text(0, GET GET);
    cr_assert(conns[0].held);
    cr_assert_eq(resource.begun, 1);
    conns[0].out_bytes = 0;
    conns[0].held = false;
    feed_parked(0);
    cr_assert_eq(resource.begun, 2);
}

Test(exchange, connection_without_memory_ends_once)
{
    out_max = 20;
    feed_text(0, GET);
    cr_assert(conns[0].failed);
    resource.does = WAIT;
    feed_text(1, GET);
    say(resource.waits, "does not fit");
    cr_assert(conns[1].failed);
    cr_assert_eq(conns[1].resumed, 0);
    resource.does = READ;
    feed_text(2, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    cr_assert(conns[2].failed, "not even 100 fits");
}

/* A request that is to be somebody else's is still there, with what is behind it, and can be read once more. */
Test(exchange, what_is_put_back_was_not_consumed)
{
    static const char first[] = "GET /one HTTP/1.1\r\nHost: x\r\n\r\n";
    static const char rest[] = "POST /two HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbodyGET /three HTTP/1.1\r\n";
    resource.does = ANSWER;
    feed(1, first, strlen(first));
    cr_assert_eq(conns[1].in_bytes, 0);
    resource.does = PUT_BACK;
    feed(1, rest, strlen(rest));
    cr_assert_eq(conns[1].in_bytes, strlen(rest));
    cr_assert_eq(memcmp(conns[1].in, rest, strlen(rest)), 0);
    cr_assert_eq(conns[1].place, 0);
    cr_assert_eq(resource.status, 0, "told as one that was not answered");
    const size_t out_bytes = conns[1].out_bytes;
    feed(1, "Host: x\r\n\r\n", 11);
    cr_assert_eq(resource.begun, 2, "it speaks no more");
    conns[1].speaks = true;
    resource.does = READ;
    feed(1, "", 0);
    cr_assert_eq(resource.begun, 4);
    cr_assert_eq(conns[1].in_bytes, 0);
    cr_assert_gt(conns[1].out_bytes, out_bytes);
}
