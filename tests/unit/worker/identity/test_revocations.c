/* Revoked tokens as a worker hears of them: those who come wait for one question, those who are there are looked for once a second. The
 * test is the relay, and has the clients. */
#include "worker/identity/revocations.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/records/query.h"
#include "tests/support/client_rig.h"

static struct client_rig c;
static struct rc_revocations revocations;
static uint64_t now_ns = 1000000000;
static uint32_t ready;
static uint32_t client_count;
static uint32_t revoked;
static uint32_t revoked_last;

static void on_ready(void *context, const struct rc_identity_asker *asker)
{
    (void)context;
    (void)asker;
    ready++;
}

static uint32_t on_clients(void *context)
{
    (void)context;
    return client_count;
}

/* Odd ones have a token: t1 of user u1, issued at 2000000001, … */
static uint64_t on_client(void *context, uint32_t index, struct rc_revocable *token)
{
    static char id[16];
    static char user[16];
    (void)context;
    (void)snprintf(id, sizeof(id), "t%u", index);
    (void)snprintf(user, sizeof(user), "u%u", index);
    *token = (struct rc_revocable){.id = rc_span_text(id), .user = rc_span_text(user), .issued_s = 2000000000u + index};
    return index % 2 == 0 ? 0 : 1000 + index;
}

static void on_revoked(void *context, uint32_t index, uint64_t name)
{
    (void)context;
    cr_assert_eq(name, 1000 + index);
    revoked++;
    revoked_last = index;
}

static void open_all(void)
{
    const struct rc_revocations_ops ops = {
        .ready = on_ready, .clients = on_clients, .client = on_client, .revoked = on_revoked};
    client_rig_open(&c, 8);
    c.asks.now_ns = &now_ns;
    rc_revocations_open(&revocations, &c.asks, &c.uplink, c.rig.metrics, 0, &now_ns, &ops);
    rc_revocations_configure(&revocations, "app:", true);
}

static void close_all(void)
{
    rc_asks_close(&c.asks);
    rc_revocations_close(&revocations);
    client_rig_close(&c);
}

TestSuite(revocations, .init = open_all, .fini = close_all);

static void pass_ms(uint64_t ms)
{
    now_ns += ms * 1000000;
    rc_asks_expire(&c.asks);
    rc_revocations_work(&revocations);
}

static enum rc_revocation_state find(const char *id, const char *user, uint64_t issued_s, uint64_t token)
{
    const struct rc_revocable wanted = {.id = rc_span_text(id), .user = rc_span_text(user), .issued_s = issued_s};
    return rc_revocations_find(&revocations, &wanted, &(struct rc_identity_asker){.index = 1, .token = token});
}

/* The keys of the next question, each with ";"; empty: there is none. */
static const char *question(struct rc_envelope_view *view)
{
    static char keys[8192];
    uint32_t type;
    struct rc_query_head head;
    struct rc_span key;
    keys[0] = '\0';
    if (!client_rig_up(&c, &type, view)) {
        return keys;
    }
    memcpy(&head, view->data, sizeof(head));
    cr_assert(type == RC_UP_QUERY && head.kind == RC_QUERY_MARKS && view->head.origin.random != 0);
    struct rc_span rest = rc_span_of(view->data + sizeof(head), view->head.data_bytes - sizeof(head));
    while (rc_query_key_next(&rest, &key)) {
        const size_t used = strlen(keys);
        (void)snprintf(keys + used, sizeof(keys) - used, "%.*s;", (int)key.count, (const char *)key.bytes);
    }
    cr_assert_eq(rest.count, 0);
    return keys;
}

static void answer(const struct rc_envelope_view *asked, uint16_t code, const uint64_t *marks, uint32_t count)
{
    const struct rc_envelope_view view = {
        .head = {.token = asked->head.token, .code = code, .data_bytes = count * (uint32_t)sizeof(*marks)},
        .data = (const uint8_t *)marks};
    rc_asks_answered(&c.asks, RC_DOWN_QUERY, &view);
}

Test(revocations, one_question_serves_all_who_come_in_a_pass)
{
    struct rc_envelope_view asked;
    for (uint64_t token = 1; token <= 100; token++) {
        cr_assert_eq(find("a", "u", 1, token), RC_REVOCATION_WAITS);
    }
    cr_assert_eq(find("", "u", 1, 101), RC_REVOCATION_WAITS, "a token without a name is another one");
    cr_assert_eq(rc_revocations_sleep_ms(&revocations, 1000), 0);
    cr_assert_str_eq(question(&asked), "", "not before the pass ends");
    pass_ms(1);
    cr_assert_str_eq(question(&asked), "app:ws:revoked:jti:a;app:ws:revoked:user:u;app:ws:revoked:user:u;");
    rc_revocations_forget(&revocations, 7);
    rc_revocations_forget(&revocations, 7);
    rc_revocations_forget(&revocations, 4711);
    answer(&asked, 0, (uint64_t[]){1, 0, 0}, 3);
    cr_assert_eq(ready, 100);
    cr_assert_eq(find("a", "u", 1, 1), RC_REVOCATION_REVOKED);
    cr_assert_eq(find("", "u", 1, 1), RC_REVOCATION_VALID);
    answer(&asked, 0, (uint64_t[]){0, 0, 0}, 3); /* doubled */
    cr_assert_eq(find("a", "u", 1, 1), RC_REVOCATION_REVOKED);
    pass_ms(RC_REVOCATIONS_FRESH_MS);
    cr_assert_eq(revocations.count, 0, "what is old is forgotten");
    cr_assert_eq(find("a", "u", 1, 1), RC_REVOCATION_WAITS, "it is asked again");
}

static enum rc_revocation_state with_marks(uint64_t token_mark, uint64_t user_mark, uint64_t issued_s)
{
    struct rc_envelope_view asked;
    cr_assert_eq(find("t", "u", issued_s, 9), RC_REVOCATION_WAITS);
    pass_ms(1);
    (void)question(&asked);
    answer(&asked, 0, (uint64_t[]){token_mark, user_mark}, 2);
    const enum rc_revocation_state state = find("t", "u", issued_s, 9);
    pass_ms(RC_REVOCATIONS_FRESH_MS);
    return state;
}

Test(revocations, what_the_values_mean)
{
    cr_assert_eq(with_marks(0, 0, 5), RC_REVOCATION_VALID);
    cr_assert_eq(with_marks(1, 0, 5), RC_REVOCATION_REVOKED);
    cr_assert_eq(with_marks(RC_QUERY_MARK_TEXT, 0, 5), RC_REVOCATION_REVOKED);
    cr_assert_eq(with_marks(0, 1, 1800000000), RC_REVOCATION_REVOKED, "SET … 1 means all");
    cr_assert_eq(with_marks(0, RC_QUERY_MARK_TEXT, 1800000000), RC_REVOCATION_REVOKED);
    cr_assert_eq(with_marks(0, 1790000000, 1789999999), RC_REVOCATION_REVOKED);
    cr_assert_eq(with_marks(0, 1790000000, 1790000000), RC_REVOCATION_VALID);
    cr_assert_eq(with_marks(0, 1790000000999, 1789999999), RC_REVOCATION_REVOKED, "milliseconds");
    cr_assert_eq(with_marks(0, 1790000000999, 1790000000), RC_REVOCATION_VALID);
    cr_assert_eq(with_marks(0, 1790000000, 0), RC_REVOCATION_REVOKED, "it does not say when it was issued");
}

Test(revocations, who_is_not_answered_is_told_so)
{
    struct rc_envelope_view asked;
    (void)find("a", "u", 1, 1);
    pass_ms(1);
    (void)question(&asked);
    answer(&asked, 503, NULL, 0);
    cr_assert_eq(ready, 1);
    cr_assert_eq(find("a", "u", 1, 2), RC_REVOCATION_UNKNOWN);
    (void)find("b", "u", 1, 3);
    pass_ms(1);
    (void)question(&asked);
    answer(&asked, 0, (uint64_t[]){0}, 1); /* of another length */
    cr_assert_eq(find("b", "u", 1, 4), RC_REVOCATION_UNKNOWN);
    (void)find("c", "u", 1, 5);
    pass_ms(1);
    (void)question(&asked);
    pass_ms(2000);
    cr_assert_eq(ready, 3, "nobody answers");
    cr_assert_eq(find("c", "u", 1, 6), RC_REVOCATION_UNKNOWN);
    cr_assert_eq(rc_metric_get(c.rig.metrics, RC_METRIC_REVOCATIONS_UNKNOWN), 3);
    pass_ms(RC_REVOCATIONS_FRESH_MS);
    cr_assert_eq(find("c", "u", 1, 7), RC_REVOCATION_WAITS, "and asked again after a second");
}

Test(revocations, a_relay_that_was_replaced_is_asked_once_more)
{
    struct rc_envelope_view asked;
    revocations.used = false;
    (void)find("a", "u", 1, 1);
    pass_ms(1);
    (void)question(&asked);
    atomic_store(&c.rig.shared->core.relay.generation, 2);
    pass_ms(1);
    cr_assert_str_neq(question(&asked), "");
    atomic_store(&c.rig.shared->core.relay.generation, 3);
    pass_ms(1);
    cr_assert_eq(find("a", "u", 1, 2), RC_REVOCATION_UNKNOWN);
    cr_assert_eq(ready, 1);
}

/* All that clients are asked about within a second; `marked` is revoked. */
static uint32_t second(const char *marked)
{
    struct rc_envelope_view asked;
    uint32_t keys = 0;
    for (int i = 0; i < 4; i++) {
        pass_ms(250);
        for (const char *text; *(text = question(&asked)) != '\0';) {
            uint64_t marks[RC_QUERY_KEYS_MAX] = {0};
            uint32_t count = 0;
            char copy[8192];
            (void)snprintf(copy, sizeof(copy), "%s", text);
            for (char *key = strtok(copy, ";"); key != NULL; key = strtok(NULL, ";")) {
                marks[count++] = strcmp(key, marked) == 0;
            }
            keys += count;
            answer(&asked, 0, marks, count);
        }
    }
    return keys;
}

Test(revocations, those_who_are_there_are_looked_for_every_second)
{
    client_count = 1000;
    cr_assert_eq(second(""), 1000, "two keys for each of the 500");
    cr_assert_eq(revoked, 0);
    (void)second("app:ws:revoked:jti:t501");
    cr_assert(revoked == 1 && revoked_last == 501);
    (void)second("app:ws:revoked:user:u999");
    cr_assert(revoked == 2 && revoked_last == 999);
    client_count = 1;
    cr_assert_geq(second(""), 2);
    client_count = 0;
    cr_assert_eq(second(""), 0);
    rc_revocations_configure(&revocations, "", false);
    client_count = 1000;
    cr_assert_eq(second(""), 0);
    cr_assert_eq(rc_revocations_sleep_ms(&revocations, 5000), 5000);
}

Test(revocations, checks_that_are_not_answered_end_nobody)
{
    struct rc_envelope_view asked;
    client_count = 8;
    for (int i = 0; i < 20; i++) {
        pass_ms(250);
        while (*question(&asked) != '\0') {
            answer(&asked, 503, NULL, 0);
        }
    }
    cr_assert_eq(revoked, 0);
}

Test(revocations, what_is_too_much_is_unknown)
{
    char id[16];
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < RC_REVOCATIONS_MAX + 10; i++) {
        (void)snprintf(id, sizeof(id), "%u", i);
        waiting += find(id, "u", 1, i + 1) == RC_REVOCATION_WAITS;
    }
    cr_assert_eq(waiting, RC_REVOCATIONS_MAX);
    pass_ms(1); /* the ring does not take them all: those are unknown */
    pass_ms(2000);
    cr_assert_eq(ready, RC_REVOCATIONS_MAX);
    cr_assert_eq(revocations.waiting, 0);
}

Test(revocations, a_key_fits_or_is_none)
{
    uint8_t key[64];
    cr_assert_eq(rc_revocation_key("p:", false, RC_SPAN("x"), key, sizeof(key)), 18);
    cr_assert(memcmp(key, "p:ws:revoked:jti:x", 18) == 0);
    cr_assert_eq(rc_revocation_key("", true, RC_SPAN("x"), key, 17), 17);
    cr_assert_eq(rc_revocation_key("", true, RC_SPAN("x"), key, 16), 0);
}
