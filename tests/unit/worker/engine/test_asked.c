/* What backends are asked, and their replies that wait, as they stand in the truth: nothing stays there for who is gone. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <sys/mman.h>

#include "tests/support/engine_rig.h"
#include "worker/engine/acks.h"
#include "worker/engine/asked.h"

#define REPLY RC_SPAN("{\"emit\":[{\"event\":\"hello\"}]}")
#define NO_NAMESPACE rc_span_of(NULL, 0)

static struct engine_rig r;

static void open_all(void)
{
    engine_rig_open(&r);
    struct rc_config *config = r.c.rig.config;
    config->backend_count = 2;
    for (uint32_t i = 0; i < 2; i++) {
        (void)snprintf(config->backends[i].name.text, RC_CONFIG_TEXT_MAX, "%c", 'a' + (char)i);
        config->backends[i].per_client = 1 + 4 * i;
    }
}

static void close_all(void)
{
    engine_rig_close(&r);
}

TestSuite(asked, .init = open_all, .fini = close_all);

static uint32_t hooks(void)
{
    return r.c.rig.truth.hooks.used;
}

/* The only one. */
static struct rc_hook *hook(void)
{
    cr_assert_eq(hooks(), 1);
    for (uint32_t i = 1; i < r.c.rig.truth.hooks.high; i++) {
        if (rc_truth_hook(&r.c.rig.truth, i)->attempt != 0) {
            return rc_truth_hook(&r.c.rig.truth, i);
        }
    }
    return NULL;
}

/* All that is private is forgotten, as with the process. */
static void forget(void)
{
    rc_asked_close(&r.engines);
    cr_assert_eq(rc_asked_open(&r.engines), 0);
    r.engines.asked_waiting = r.engines.asked_early = 0;
}

Test(asked, what_waits_for_a_namespace_goes_with_its_client)
{
    engine_rig_begin(&r, false);
    rc_asked_connected(&r.engines, r.session, 0, NO_NAMESPACE, REPLY);
    cr_expect(hook()->flags & RC_HOOK_EARLY);
    cr_expect_eq(r.engines.asked_early, 1);
    rc_client_end(&r.c.clients, r.session);
    cr_expect_eq(hooks(), 0);
    cr_expect_eq(r.engines.asked_early, 0);
}

Test(asked, nothing_waits_for_a_client_of_a_linked_application)
{
    engine_rig_begin(&r, false);
    struct rc_client *client = rc_truth_client(&r.c.rig.truth, r.session);
    const uint8_t before = client->encoding;
    client->encoding = rc_encoding_of(RC_CODEC_LINK, RC_FRAMING_WEBSOCKET, 0);
    rc_asked_connected(&r.engines, r.session, 0, NO_NAMESPACE, REPLY);
    client->encoding = before;
    cr_expect_eq(hooks(), 0);
    cr_expect_eq(r.engines.asked_early, 0);
}

Test(asked, another_client_of_the_same_place_is_none_of_it)
{
    engine_rig_begin(&r, false);
    rc_asked_connected(&r.engines, r.session, 0, NO_NAMESPACE, REPLY);
    hook()->random ^= 1;
    rc_asked_forget(&r.engines, r.session);
    cr_expect_eq(hooks(), 1);
    hook()->random ^= 1;
    rc_asked_forget(&r.engines, r.session);
    cr_expect_eq(hooks(), 0);
}

Test(asked, a_successor_takes_what_waits_for_who_is_there_and_drops_the_rest)
{
    engine_rig_begin(&r, false);
    rc_asked_connected(&r.engines, r.session, 0, NO_NAMESPACE, REPLY);
    forget();
    rc_asked_taken(&r.engines);
    cr_expect_eq(hooks(), 1);
    cr_expect_eq(r.engines.asked_early, 1);
    forget();
    hook()->random ^= 1;
    rc_asked_taken(&r.engines);
    cr_expect_eq(hooks(), 0);
    cr_expect_eq(r.engines.asked_early, 0);
}

/* What kills processes over and over is given up; what was handed over from one to the next killed none. */
Test(asked, deaths_are_counted_and_hand_overs_are_not)
{
    engine_rig_begin(&r, false);
    rc_asked_connected(&r.engines, r.session, 0, NO_NAMESPACE, REPLY);
    const uint32_t reply = hook()->reply;
    hook()->reply = 0; /* as while it is asked */
    hook()->flags |= RC_HOOK_LEFT;
    for (int i = 0; i < 5; i++) {
        forget();
        rc_asked_taken(&r.engines);
        cr_expect_eq(hook()->deaths, 0);
    }
    for (uint8_t i = 1; i <= 2; i++) {
        hook()->flags &= (uint8_t)~RC_HOOK_LEFT;
        forget();
        rc_asked_taken(&r.engines);
        cr_expect_eq(hook()->deaths, i);
    }
    forget();
    rc_asked_taken(&r.engines);
    cr_expect_eq(hook()->deaths, 2, "who took it over has not asked it again");
    hook()->flags &= (uint8_t)~RC_HOOK_LEFT;
    hook()->reply = reply;
    forget();
    rc_asked_taken(&r.engines);
    cr_expect_eq(hook()->deaths, 2, "it is not being asked any more");
    rc_client_end(&r.c.clients, r.session);
    cr_expect_eq(hooks(), 0);
}

Test(asked, whose_answer_cannot_be_waited_for_any_more_is_ended)
{
    engine_rig_begin(&r, true);
    rc_asked_connected(&r.engines, r.session, 0, RC_SPAN("/"), REPLY);
    forget();
    hook()->flags |= RC_HOOK_UNTAKEN;
    r.engines.asked_untaken = 1;
    cr_expect_leq(rc_asked_sleep_ms(&r.engines, 1000), 2);
    rc_asked_work(&r.engines);
    cr_expect_eq(hooks(), 0);
    cr_expect_eq(r.engines.asked_untaken, 0);
    engine_rig_pass(&r);
    cr_expect_not(engine_rig_lives(&r, r.session));
    cr_expect_eq(rc_metric_get(r.c.rig.metrics, RC_METRIC_MEMORY_REFUSALS), 1);
}

/* Killed between the call that tells of an ack and the ack's own end: it is told by the call alone. */
Test(asked, an_ack_whose_end_a_predecessor_has_begun_to_tell_is_told_once)
{
    struct rc_truth *truth = &r.c.rig.truth;
    engine_rig_begin(&r, true);
    rc_asked_connected(&r.engines, r.session, 0, RC_SPAN("/"), REPLY);
    for (int same = 0; same < 2; same++) {
        const uint32_t emit = rc_pool_alloc(&truth->emits);
        const uint32_t ack = rc_pool_alloc(&truth->acks);
        *rc_truth_emit(truth, emit) = (struct rc_emit){.id = RC_ACKS_ID_FIRST, .first = ack, .waiting = 1};
        *rc_truth_ack(truth, ack) = (struct rc_ack){.token = 1, .emit = emit, .client = r.session};
        r.engines.acks[r.session] = ack;
        hook()->ack = ack;
        hook()->ack_emit = RC_ACKS_ID_FIRST + 1 - (uint32_t)same;
        forget();
        rc_asked_taken(&r.engines);
        cr_expect_eq(hook()->ack, 0);
        cr_expect_eq(r.engines.acks[r.session], same ? 0 : ack, "another emit's is none of it");
        cr_expect_eq(rc_truth_emit(truth, emit)->waiting, same ? 0 : 1);
        r.engines.acks[r.session] = 0;
        if (!same) {
            rc_pool_free(&truth->acks, ack);
        }
        rc_truth_emit(truth, emit)->id = 0;
        rc_pool_free(&truth->emits, emit);
    }
    rc_client_end(&r.c.clients, r.session);
    rc_asked_work(&r.engines);
    cr_expect_eq(hooks(), 0);
}

Test(asked, a_backend_is_known_by_its_name_wherever_a_reload_puts_it)
{
    struct rc_config *config = r.c.rig.config;
    engine_rig_begin(&r, true);
    rc_asked_connected(&r.engines, r.session, 1, RC_SPAN("/"), REPLY);
    hook()->kind = RC_BACKEND_EVENT;
    cr_expect_not(rc_asked_stops(&r.engines, r.session), "b lets five be asked");
    const struct rc_config_backend a = config->backends[0];
    config->backends[0] = config->backends[1];
    config->backends[1] = a;
    cr_expect_not(rc_asked_stops(&r.engines, r.session), "in another place as well");
    config->backends[0] = a;
    config->backend_count = 1;
    cr_expect(rc_asked_stops(&r.engines, r.session), "it is gone");
    rc_client_end(&r.c.clients, r.session);
    rc_asked_work(&r.engines);
    cr_expect_eq(hooks(), 0);
}

/* When a slow backend has answered, each client is looked at with each answer: it must not cost a walk over what all others wait for. */
Test(asked, what_is_asked_for_others_is_not_looked_at)
{
    enum { OTHERS = 20000, BYTES = (OTHERS + 2) * sizeof(struct rc_hook) };
    struct rc_hook *objects = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(objects, MAP_FAILED);
    struct rc_truth *truth = &r.c.rig.truth;
    const struct rc_pool before = truth->hooks;
    engine_rig_begin(&r, false);
    const struct rc_hook waits = {.client = r.session,
                                  .random = rc_truth_client(truth, r.session)->random,
                                  .attempt = 1,
                                  .flags = RC_HOOK_LEFT,
                                  .kind = RC_BACKEND_EVENT};
    engine_rig_begin(&r, false);
    rc_pool_init(&truth->hooks, objects, sizeof(objects[0]), OTHERS + 2);
    for (uint32_t i = 0; i < OTHERS; i++) {
        *rc_truth_hook(truth, rc_pool_alloc(&truth->hooks)) = waits;
    }
    rc_asked_taken(&r.engines);
    cr_assert(rc_asked_stops(&r.engines, waits.client) && rc_asked_is(&r.engines, waits.client));

    cr_assert_eq(mprotect(objects, BYTES, PROT_NONE), 0); /* who looks at any of them ends here */
    cr_expect_not(rc_asked_stops(&r.engines, r.session));
    cr_expect_not(rc_asked_is(&r.engines, r.session));
    cr_assert_eq(mprotect(objects, BYTES, PROT_READ | PROT_WRITE), 0);
    forget();
    truth->hooks = before;
    munmap(objects, BYTES);
}

/* Of a backend that lets one be asked at a time: its client is not read before the last answer is there. */
Test(asked, one_answer_of_two_does_not_let_the_client_be_read)
{
    const struct rc_truth *truth = &r.c.rig.truth;
    struct rc_hook *its[2];
    engine_rig_begin(&r, true);
    rc_asked_connected(&r.engines, r.session, 0, RC_SPAN("/"), REPLY);
    its[0] = hook();
    rc_asked_connected(&r.engines, r.session, 0, RC_SPAN("/"), REPLY);
    its[1] = rc_truth_hook(truth, truth->hooks.high - 1);
    cr_assert(hooks() == 2 && its[0] != its[1]);
    its[0]->kind = its[1]->kind = RC_BACKEND_EVENT;
    its[1]->flags |= RC_HOOK_EARLY; /* it waits on */
    rc_truth_client(truth, r.session)->flags |= RC_CLIENT_WAITS_ANSWER;
    cr_assert(rc_asked_stops(&r.engines, r.session));
    rc_asked_work(&r.engines);
    cr_assert_eq(hooks(), 1);
    cr_expect(rc_truth_client(truth, r.session)->flags & RC_CLIENT_WAITS_ANSWER, "the other one's is to come");
    its[1]->flags &= (uint8_t)~RC_HOOK_EARLY;
    r.engines.asked_waiting = 1;
    rc_asked_work(&r.engines);
    cr_expect_eq(hooks(), 0);
    cr_expect_not(rc_truth_client(truth, r.session)->flags & RC_CLIENT_WAITS_ANSWER, "that was it");
    rc_client_end(&r.c.clients, r.session);
}
