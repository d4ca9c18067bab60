/* What a worker has asked: each is answered exactly once, whatever relays, clocks and askers do. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/uplink/ask.h"

static struct rc_core core;
static const struct rc_control control = {.core = &core};
static struct rc_metrics metrics;
static uint64_t now_ns;
static struct rc_asks asks;

/* What an asker heard. */
struct heard {
    uint32_t answers;
    uint32_t late;
    uint32_t replaced;
    uint64_t token; /* of the last one */
    uint64_t random;
    char id[RC_REQUEST_ID_MAX + 1];
    bool asks_again; /* in `unanswered` */
    bool ends;       /* in `answered` */
};

static void answered(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view);
static void unanswered(const struct rc_ask *ask, enum rc_ask_end why);

static const struct rc_asker question = {.kind = RC_ASK_CLIENT,
                                         .in_ms = 3000,
                                         .once = true,
                                         .of_relay = true,
                                         .answered = answered,
                                         .unanswered = unanswered};
static const struct rc_asker call = {.kind = RC_ASK_API, .in_ms = 2000, .answered = answered, .unanswered = unanswered};

static void hear(const struct rc_ask *ask)
{
    struct heard *heard = ask->context;
    heard->token = ask->token;
    heard->random = ask->client.random;
    memcpy(heard->id, ask->id, ask->id_bytes);
    heard->id[ask->id_bytes] = '\0';
}

static void answered(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct heard *heard = ask->context;
    (void)type;
    (void)view;
    hear(ask);
    heard->answers++;
    if (heard->ends) {
        rc_asks_end(&asks, ask->token);
    }
}

static uint64_t ask_as(const struct rc_asker *asker, struct heard *heard)
{
    uint64_t token = 0;
    const struct rc_client_ref client = {.random = 42};
    cr_assert_eq(rc_asks_begin(&asks, asker, heard, &client, RC_SPAN("\"7\""), &token), 0);
    return token;
}

static void unanswered(const struct rc_ask *ask, enum rc_ask_end why)
{
    struct heard *heard = ask->context;
    hear(ask);
    heard->late += why == RC_ASK_LATE;
    heard->replaced += why == RC_ASK_REPLACED;
    if (heard->asks_again) {
        (void)ask_as(&question, heard);
    }
}

static void open_all(void)
{
    atomic_store(&core.relay.generation, 5);
    now_ns = 1000000000;
    rc_asks_open(&asks, &control, &metrics, &now_ns);
}

static void close_all(void)
{
    uint32_t count = 0;
    for (uint32_t i = asks.first; i != 0; i = asks.items[i - 1].next) {
        count++;
    }
    cr_assert_eq(count, asks.counts[RC_ASK_CLIENT] + asks.counts[RC_ASK_API]);
    rc_asks_close(&asks);
}

TestSuite(ask, .init = open_all, .fini = close_all);

static void answer_question(uint64_t token)
{
    const struct rc_envelope_view view = {.head = {.token = token}};
    rc_asks_answered(&asks, RC_DOWN_QUERY, &view);
}

static void answer_call(uint64_t token, uint64_t nonce)
{
    struct rc_call_tag tag = rc_asks_tag(&asks, token, 0);
    tag.nonce = nonce;
    const struct rc_envelope_view view = {.head = {.flags = RC_ENVELOPE_API, .request_id_bytes = sizeof(tag)},
                                          .request_id = (const uint8_t *)&tag};
    rc_asks_answered(&asks, RC_DOWN_ANSWER, &view);
}

static void later(uint64_t ms)
{
    now_ns += ms * 1000000;
    rc_asks_expire(&asks);
}

Test(ask, the_first_answer_counts_and_no_other)
{
    struct heard heard[3] = {0};
    answer_question(0); /* nobody has asked anything */
    uint64_t tokens[3];
    for (uint32_t i = 0; i < 3; i++) {
        tokens[i] = ask_as(&question, &heard[i]);
    }
    answer_question(tokens[1]); /* in any order */
    cr_assert_eq(heard[1].answers, 1);
    cr_assert_eq(heard[1].token, tokens[1]);
    cr_assert_eq(heard[1].random, 42);
    cr_assert_str_eq(heard[1].id, "\"7\"");
    answer_question(tokens[1]); /* once more */
    answer_question(tokens[1] + 1);
    answer_question(tokens[1] + RC_ASKS_MAX); /* of whoever has its place next, or had it before */
    answer_question(tokens[1] - RC_ASKS_MAX);
    cr_assert_eq(heard[0].answers + heard[1].answers + heard[2].answers, 1);
    later(5000);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(heard[i].late, i == 1 ? 0 : 1);
        answer_question(tokens[i]); /* too late */
        cr_assert_eq(heard[i].answers, i == 1 ? 1 : 0);
    }
}

Test(ask, a_place_that_is_used_again_has_another_token)
{
    struct heard heard = {0};
    struct heard next = {0};
    const uint64_t token = ask_as(&question, &heard);
    answer_question(token);
    const uint64_t other = ask_as(&question, &next);
    cr_assert_eq(token % RC_ASKS_MAX, other % RC_ASKS_MAX, "the test wants the same place");
    answer_question(token);
    cr_assert_eq(next.answers, 0);
    answer_question(other);
    cr_assert_eq(next.answers, 1);
    cr_assert_eq(heard.answers, 1);
}

Test(ask, several_records_come_until_the_asker_has_enough)
{
    struct heard heard = {0};
    const uint64_t token = ask_as(&call, &heard);
    for (uint32_t i = 0; i < 3; i++) {
        heard.ends = i == 2;
        answer_call(token, asks.nonce);
        cr_assert_eq(heard.answers, i + 1);
    }
    answer_call(token, asks.nonce);
    later(5000);
    cr_assert_eq(heard.answers, 3);
    cr_assert_eq(heard.late, 0);
    rc_asks_end(&asks, token); /* no mistake */
}

Test(ask, only_its_own_kind_of_record_answers)
{
    struct heard heard[2] = {0};
    const uint64_t of_client = ask_as(&question, &heard[0]);
    const uint64_t of_call = ask_as(&call, &heard[1]);
    answer_question(of_call);
    answer_call(of_client, asks.nonce);
    answer_call(of_call, asks.nonce + 1); /* of this worker's predecessor */
    const uint8_t no_tag[3] = {0};
    const struct rc_envelope_view broken = {.head = {.flags = RC_ENVELOPE_API, .request_id_bytes = sizeof(no_tag)},
                                            .request_id = no_tag};
    const uint64_t corrupt = rc_metric_get(&metrics, RC_METRIC_RING_CORRUPT);
    rc_asks_answered(&asks, RC_DOWN_REPLY, &broken);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_RING_CORRUPT), corrupt + 1);
    cr_assert_eq(heard[0].answers + heard[1].answers, 0);
    answer_question(of_client);
    answer_call(of_call, asks.nonce);
    cr_assert(heard[0].answers == 1 && heard[1].answers == 1);
}

Test(ask, who_is_due_first_is_told_first_and_the_loop_sleeps_no_longer)
{
    struct heard slow = {0};
    struct heard fast = {0};
    cr_assert_eq(rc_asks_sleep_ms(&asks, 1000), 1000);
    (void)ask_as(&question, &slow);
    cr_assert_eq(rc_asks_sleep_ms(&asks, 10000), 3000);
    now_ns += 500 * UINT64_C(1000000);
    (void)ask_as(&call, &fast); /* asked later, due before */
    cr_assert_eq(rc_asks_sleep_ms(&asks, 10000), 2000);
    cr_assert_eq(rc_asks_sleep_ms(&asks, 1000), 1000);
    later(1999);
    cr_assert_eq(fast.late, 0);
    later(1);
    cr_assert_eq(fast.late, 1);
    cr_assert_eq(slow.late, 0);
    cr_assert_eq(rc_asks_sleep_ms(&asks, 10000), 500);
    later(500);
    cr_assert_eq(slow.late, 1);
    cr_assert_eq(rc_asks_sleep_ms(&asks, 1000), 1000);
}

Test(ask, another_relay_knows_nothing_of_what_its_predecessor_kept_for_itself)
{
    struct heard lost = {.asks_again = true};
    struct heard kept = {0};
    const uint64_t token = ask_as(&question, &lost);
    const uint64_t of_call = ask_as(&call, &kept);
    later(0);
    cr_assert_eq(lost.replaced, 0);
    atomic_fetch_add(&core.relay.generation, 1);
    later(0);
    cr_assert_eq(lost.replaced, 1, "and it asks the new one");
    later(0);
    cr_assert_eq(lost.replaced, 1);
    answer_question(token);
    cr_assert_eq(lost.answers, 0);
    answer_call(of_call, asks.nonce); /* that is in the rings, which the new relay goes on with */
    cr_assert_eq(kept.answers, 1);
    lost.asks_again = false;
    later(3000);
    cr_assert_eq(lost.late, 1);
}

Test(ask, who_has_gone_hears_nothing)
{
    struct heard heard = {0};
    const uint64_t token = ask_as(&question, &heard);
    rc_asks_end(&asks, token);
    rc_asks_end(&asks, token);
    answer_question(token);
    atomic_fetch_add(&core.relay.generation, 1);
    later(5000);
    cr_assert_eq(heard.answers + heard.late + heard.replaced, 0);
}

Test(ask, a_full_share_is_refused_and_counted_and_is_nobody_elses)
{
    static struct heard heard[RC_ASKS_OF_KIND_MAX];
    static uint64_t tokens[RC_ASKS_OF_KIND_MAX];
    struct heard other = {0};
    uint64_t token;
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < RC_ASKS_OF_KIND_MAX; i++) {
            heard[i] = (struct heard){0};
            tokens[i] = ask_as(&question, &heard[i]);
        }
        const uint64_t full = rc_metric_get(&metrics, RC_METRIC_ASKS_FULL);
        cr_assert_eq(rc_asks_begin(&asks, &question, &other, NULL, (struct rc_span){0}, &token), -ENOBUFS);
        cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_ASKS_FULL), full + 1);
        token = ask_as(&call, &other);
        rc_asks_end(&asks, token);
        answer_question(tokens[round]);
        cr_assert_eq(rc_asks_begin(&asks, &question, &other, NULL, (struct rc_span){0}, &token), 0);
        rc_asks_end(&asks, token);
        later(3000);
        for (uint32_t i = 0; i < RC_ASKS_OF_KIND_MAX; i++) {
            cr_assert_eq(heard[i].answers + heard[i].late, 1);
        }
    }
}
