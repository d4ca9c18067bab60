/* Recovery: each message once, in order, out of the history or the log, or a gap; whatever happens meanwhile. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/recover_rig.h"
#include "worker/ws/frame.h"

static struct recover_rig rig;

static void open_rig(void)
{
    recover_rig_open(&rig, &(struct hub_rig_options){.slots = 16, .slow_consumer = RC_SLOW_SKIP}, 1 << 20);
}

static void close_rig(void)
{
    recover_rig_close(&rig);
}

TestSuite(recover, .init = open_rig, .fini = close_rig);

Test(recover, what_was_missed_comes_before_what_is_new)
{
    const uint32_t other = recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 5);
    cr_assert_str_eq(recover_rig_heard(&rig, other, true), "S0 1=1 2=2 3=3 4=4 5=5");
    const uint32_t client = recover_rig_connect(&rig);
    const struct rc_hub_from from = {.recovers = true, .epoch = recover_rig_epoch(&rig, "a"), .offset = 2};
    cr_assert_eq(recover_rig_subscribe(&rig, client, "a", &from), RC_SUBSCRIBED);
    recover_rig_publish(&rig, "a", 6, 7);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S+5 3=3 4=4 5=5 6=6 7=7");
    recover_rig_publish(&rig, "a", 8, 8);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "8=8");
    cr_assert_str_eq(recover_rig_heard(&rig, other, true), "6=6 7=7 8=8");
    cr_assert_eq(rc_metric_get(rig.hub.metrics, RC_METRIC_RECOVERIES), 1);
    cr_assert_eq(rc_metric_get(rig.hub.metrics, RC_METRIC_REPLAYED), 5, "the log has it from then on");
    cr_assert_eq(rc_metric_get(rig.hub.metrics, RC_METRIC_REPLAYS), 0);
    hub_rig_check(&rig.hub);
}

Test(recover, the_relay_says_where_the_channel_stands)
{
    for (int i = 1; i <= 4; i++) {
        (void)history_rig_append(&rig.kept, "a", "0", 1); /* nobody here listens */
    }
    const uint32_t client = recover_rig_connect(&rig);
    const struct rc_hub_from from = {.recovers = true, .epoch = recover_rig_epoch(&rig, "a"), .offset = 3};
    cr_assert_eq(recover_rig_subscribe(&rig, client, "a", &from), RC_SUBSCRIBE_WAITS);
    recover_rig_acknowledge(&rig, "a");
    recover_rig_publish(&rig, "a", 5, 5);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S+4 4=0 5=5");
}

Test(recover, what_cannot_be_had_is_said)
{
    const uint32_t other = recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 120); /* 21 to 120 are there */
    (void)recover_rig_heard(&rig, other, true);
    const uint64_t epoch = recover_rig_epoch(&rig, "a");
    const struct {
        struct rc_hub_from from;
        const char *heard;
        uint32_t metric;
    } cases[] = {
        {{.recovers = true, .epoch = epoch, .offset = 19}, "S-120", RC_METRIC_RECOVERIES_GONE},
        {{.recovers = true, .epoch = epoch + 1, .offset = 119}, "S-120", RC_METRIC_RECOVERIES_EPOCH},
        {{.recovers = true, .epoch = epoch, .offset = 121}, "S-120", RC_METRIC_RECOVERIES_EPOCH},
        {{.recovers = true, .epoch = epoch, .offset = 120}, "S+120", RC_METRIC_RECOVERIES},
        {{.recovers = true, .epoch = epoch, .offset = 119}, "S+120 120=120", RC_METRIC_RECOVERIES},
        {{.recovers = true, .epoch = 0, .offset = 119, .last = 2}, "S-120 119=119 120=120", RC_METRIC_RECOVERIES_EPOCH},
        {{.last = 1}, "S120 120=120", RC_METRIC_RECOVERIES},
        {{.last = 0}, "S120", RC_METRIC_RECOVERIES},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        const uint32_t client = recover_rig_connect(&rig);
        const uint64_t before = rc_metric_get(rig.hub.metrics, cases[i].metric);
        cr_assert_eq(recover_rig_subscribe(&rig, client, "a", &cases[i].from), RC_SUBSCRIBED);
        cr_assert_str_eq(recover_rig_heard(&rig, client, true), cases[i].heard);
        cr_assert_eq(rc_metric_get(rig.hub.metrics, cases[i].metric) - before, cases[i].from.recovers ? 1 : 0);
        hub_rig_hang_up(&rig.hub, client);
        hub_rig_run(&rig.hub);
    }
    rig.hub.config->namespaces[0].history = 0;
    rc_hub_reconfigure(&rig.hub.hub, rig.hub.config);
    const uint32_t client = recover_rig_connect(&rig);
    cr_assert_eq(recover_rig_subscribe(&rig, client, "a", &cases[4].from), RC_SUBSCRIBED);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S-?");
    cr_assert_eq(rc_metric_get(rig.hub.metrics, RC_METRIC_RECOVERIES_NO_HISTORY), 1);
}

/* Where a history is as long as it may be the oldest message goes with each that comes. */
Test(recover, who_rewinds_gets_what_there_is_and_is_told_no_gap_before_it)
{
    const uint32_t other = recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 120); /* 21 to 120 are there */
    (void)recover_rig_heard(&rig, other, true);
    const struct rc_hub_from from = {.last = 100};
    const struct rc_hub_from recovers = {.recovers = true, .epoch = recover_rig_epoch(&rig, "a"), .offset = 20};
    const uint32_t client = recover_rig_connect(&rig);
    const uint32_t back = recover_rig_connect(&rig);
    const uint32_t short_of = recover_rig_connect(&rig);
    cr_assert_eq(recover_rig_subscribe(&rig, client, "a", &from), RC_SUBSCRIBED);
    cr_assert_eq(recover_rig_subscribe(&rig, back, "a", &recovers), RC_SUBSCRIBED);
    for (int i = 0; i < 97; i++) { /* which go down later */
        (void)history_rig_append(&rig.kept, "a", "0", 1);
    }
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S120 118=118 119=119 120=120");
    cr_assert_str_eq(recover_rig_heard(&rig, back, true), "S+120 G 118=118 119=119 120=120", "it lacks something");
    /* As does who is not told what came behind the answer. */
    cr_assert_eq(recover_rig_subscribe(&rig, short_of, "a", &from), RC_SUBSCRIBED);
    for (int i = 0; i < 10; i++) {
        (void)history_rig_append(&rig.kept, "a", "0", 1);
    }
    recover_rig_publish(&rig, "a", 228, 228);
    cr_assert_eq(strncmp(recover_rig_heard(&rig, short_of, true), "S120 G ", 7), 0);
}

/* A message gets the place that Redis gave it, or has it; `sent`: it comes down. */
static void message_of(uint64_t epoch, uint64_t offset, bool keep, bool sent)
{
    char text[16];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)offset);
    struct rc_envelope_view view = history_rig_record(&rig.kept, "a", "", text, (uint32_t)strlen(text));
    view.head.target.slot =
        keep ? rc_history_append_at(&rig.kept.store, &view, rc_history_policy(&rig.kept.store, RC_SPAN("a")), epoch,
                                    offset, rig.kept.now_ms)
             : history_rig_slot(&rig.kept, "a");
    view.head.epoch = epoch;
    view.head.position = offset;
    if (sent) {
        recover_rig_down(&rig, &view);
    }
}

static void placed(uint64_t epoch, uint64_t offset, bool sent)
{
    message_of(epoch, offset, true, sent);
}

/* Another epoch has begun of which nothing has come down: those who were there go on as they were, until it does. Who asks for the past is told that
 * epoch at once, gets what it has, and then what comes, once. */
Test(recover, of_an_epoch_that_has_begun_unheard_one_gets_the_past_at_once)
{
    const uint32_t other = recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 5);
    cr_assert_str_eq(recover_rig_heard(&rig, other, true), "S0 1=1 2=2 3=3 4=4 5=5");
    const uint64_t before = recover_rig_epoch(&rig, "a");
    rc_history_begin_at(&rig.kept.store, rc_channel_hash("a", 1), RC_SPAN("a"), before + 1, 2, rig.kept.now_ms);
    for (uint64_t offset = 3; offset <= 5; offset++) {
        placed(before + 1, offset, false); /* it was there already */
    }
    const struct {
        struct rc_hub_from from;
        const char *heard;
    } cases[] = {{{.recovers = true, .epoch = before, .offset = 5}, "S-5"},
                 {{.recovers = true, .epoch = before, .offset = 3, .last = 2}, "S-5 4=4 5=5"},
                 {{.last = 10}, "S5 3=3 4=4 5=5"},
                 {{.snapshot = true}, "S5 5=5"},
                 {{.recovers = true, .epoch = before, .offset = 5, .snapshot = true}, "S-5 5=5"},
                 {{.recovers = true, .epoch = before + 1, .offset = 4}, "S+5 5=5"},
                 {{.recovers = true, .epoch = before + 1, .offset = 5}, "S+5"}};
    uint32_t clients[RC_ARRAY_COUNT(cases)];
    rig.hub.config->namespaces[0].max_keys = 8;
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        clients[i] = recover_rig_connect(&rig);
        cr_assert_eq(recover_rig_subscribe(&rig, clients[i], "a", &cases[i].from), RC_SUBSCRIBED);
        cr_assert_str_eq(recover_rig_heard(&rig, clients[i], true), cases[i].heard);
    }
    cr_assert_eq(recover_rig_subscribe(&rig, other, "a", &cases[1].from), RC_SUBSCRIBED, "who was in begins anew");
    cr_assert_str_eq(recover_rig_heard(&rig, other, true), cases[1].heard);
    const uint32_t plain = recover_rig_join(&rig, "a");
    hub_rig_check(&rig.hub);
    placed(before + 1, 6, true);
    placed(before + 1, 7, true);
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        cr_assert_str_eq(recover_rig_heard(&rig, clients[i], true), "6=6 7=7");
    }
    cr_assert_str_eq(recover_rig_heard(&rig, other, true), "6=6 7=7");
    cr_assert_str_eq(recover_rig_heard(&rig, plain, true), "S5 E6=6 7=7",
                     "in the epoch that was, until a message says otherwise");
    cr_assert_eq(rc_metric_get(rig.hub.metrics, RC_METRIC_REPLAYS), 0, "the logs have it from then on");
    hub_rig_check(&rig.hub);
}

/* The channel's history has begun another epoch, of which there are messages up to `last` that have not come down; a client reads them and waits. */
static uint32_t waiting(uint64_t before, uint64_t last)
{
    rc_history_begin_at(&rig.kept.store, rc_channel_hash("a", 1), RC_SPAN("a"), before + 1, 2, rig.kept.now_ms);
    for (uint64_t offset = 3; offset <= last; offset++) {
        placed(before + 1, offset, false);
    }
    const uint32_t client = recover_rig_connect(&rig);
    const struct rc_hub_from from = {.recovers = true, .epoch = before, .offset = 5};
    cr_assert_eq(recover_rig_subscribe(&rig, client, "a", &from), RC_SUBSCRIBED);
    return client;
}

/* It costs nothing until something of its channel comes. */
Test(recover, who_waits_in_one_channel_is_not_looked_at_for_another)
{
    (void)recover_rig_join(&rig, "a");
    (void)recover_rig_join(&rig, "b");
    recover_rig_publish(&rig, "a", 1, 5);
    const uint64_t before = recover_rig_epoch(&rig, "a");
    const uint32_t client = waiting(before, 5);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S-5");
    recover_rig_publish(&rig, "b", 1, 3);
    cr_assert_eq(rig.hub.hub.replays_due.count, 0);
    placed(before + 1, 6, true);
    cr_assert_eq(rig.hub.hub.replays_due.count, 1);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "6=6");
    cr_assert_eq(rc_metric_get(rig.hub.metrics, RC_METRIC_REPLAYS), 0);
    placed(before + 1, 7, true);
    cr_assert_eq(rig.hub.hub.replays_due.count, 0, "nobody waits any more");
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "7=7");
}

/* That stands in no history, also not for who reads that. */
Test(recover, who_waits_is_told_of_what_was_kept_nowhere)
{
    const uint32_t other = recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 5);
    (void)recover_rig_heard(&rig, other, true);
    const uint32_t client = waiting(recover_rig_epoch(&rig, "a"), 5);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S-5");
    cr_assert_eq(rc_hub_lost(&rig.hub.hub, RC_SPAN("a"), true), 0);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "G");
    cr_assert_str_eq(recover_rig_heard(&rig, other, true), "G");
    hub_rig_check(&rig.hub);
}

/* A client that waits goes to another worker, which stands at the same place of the order, and has the same histories. */
Test(recover, who_comes_from_another_worker_goes_on_in_the_history)
{
    const struct rc_truth *truth = &rig.hub.truth;
    (void)recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 5);
    const uint64_t before = recover_rig_epoch(&rig, "a");
    const uint32_t client = waiting(before, 5);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S-5");
    const uint32_t channel = rc_hub_channel(&rig.hub.hub, RC_SPAN("a"));
    const uint32_t its = rc_hub_subscription(&rig.hub.hub, client, channel);
    const struct rc_replay stood = *rc_truth_replay(truth, rc_truth_subscription(truth, its)->replay);
    placed(before + 1, 6, false);
    const uint32_t came = recover_rig_connect(&rig);
    cr_assert_eq(rc_hub_replay_on(&rig.hub.hub, rc_hub_subscribe(&rig.hub.hub, came, channel), &stood), 0);
    cr_assert_str_eq(recover_rig_heard(&rig, came, true), "6=6");
    placed(before + 1, 7, true);
    placed(before + 1, 8, true);
    cr_assert_str_eq(recover_rig_heard(&rig, came, true), "7=7 8=8");
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "6=6 7=7 8=8");
    cr_assert_eq(rc_metric_get(rig.hub.metrics, RC_METRIC_REPLAYS), 0);
    hub_rig_check(&rig.hub);
}

/* More than the history has is in the ring still, when somebody comes who wants the newest of it. */
Test(recover, who_rewinds_where_the_log_is_behind_the_history_misses_nothing)
{
    const uint32_t other = recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 5);
    (void)recover_rig_heard(&rig, other, true);
    const uint64_t epoch = recover_rig_epoch(&rig, "a");
    for (uint64_t offset = 6; offset <= 110; offset++) {
        placed(epoch, offset, false); /* 11 to 110 are there */
    }
    const uint32_t client = recover_rig_connect(&rig);
    cr_assert_eq(recover_rig_subscribe(&rig, client, "a", &(struct rc_hub_from){.last = 3}), RC_SUBSCRIBED);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S5");
    for (uint64_t offset = 6; offset <= 12; offset++) {
        message_of(epoch, offset, false, true);
    }
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "6=6 7=7 8=8 9=9 10=10 11=11 12=12");
    cr_assert_str_eq(recover_rig_heard(&rig, other, true), "6=6 7=7 8=8 9=9 10=10 11=11 12=12");
    hub_rig_check(&rig.hub);
}

/* Its first messages are in the ring still when they are taken away, from who has not read them yet: those that it has come once all the same. */
Test(recover, what_is_taken_away_of_an_unheard_epoch_doubles_nothing)
{
    char wanted[2048] = "S110";
    const uint32_t other = recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 5);
    (void)recover_rig_heard(&rig, other, true);
    const uint64_t before = recover_rig_epoch(&rig, "a");
    rc_history_begin_at(&rig.kept.store, rc_channel_hash("a", 1), RC_SPAN("a"), before + 1, 2, rig.kept.now_ms);
    for (uint64_t offset = 3; offset <= 110; offset++) {
        placed(before + 1, offset, false);
    }
    const uint32_t client = recover_rig_connect(&rig);
    cr_assert_eq(recover_rig_subscribe(&rig, client, "a", &(struct rc_hub_from){.last = 99}), RC_SUBSCRIBED);
    for (uint64_t offset = 111; offset <= 160; offset++) {
        placed(before + 1, offset, false); /* 61 to 160 are there */
    }
    for (int offset = 61; offset <= 160; offset++) {
        const size_t used = strlen(wanted);
        (void)snprintf(wanted + used, sizeof(wanted) - used, " %d=%d", offset, offset);
    }
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), wanted);
    for (uint64_t offset = 3; offset <= 160; offset++) {
        message_of(before + 1, offset, false, true);
        cr_assert_str_eq(recover_rig_heard(&rig, client, true), "", "%llu comes again", (unsigned long long)offset);
    }
    placed(before + 1, 161, true);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "161=161");
    hub_rig_check(&rig.hub);
}

/* A reload takes the history away for which it waits: it hears what comes, and that something may be missing. */
Test(recover, who_waits_for_a_history_that_is_configured_no_more_is_told)
{
    (void)recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 5);
    const uint32_t client = waiting(recover_rig_epoch(&rig, "a"), 5);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S-5");
    rig.hub.config->namespaces[0].history = 0;
    rc_hub_reconfigure(&rig.hub.hub, rig.hub.config);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "G");
    cr_assert_eq(rc_metric_get(rig.hub.metrics, RC_METRIC_REPLAYS), 0);
    cr_assert_eq(hub_rig_publish(&rig.hub, "a", RC_SPAN("7"), NULL, 0), 0);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "?=7");
    hub_rig_check(&rig.hub);
}

/* The epoch in which somebody waits ends as well; and a slot that has become another channel's has nothing of this one. */
Test(recover, who_waits_in_an_epoch_that_ends_unheard_is_told)
{
    (void)recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 5);
    const uint64_t before = recover_rig_epoch(&rig, "a");
    rc_history_begin_at(&rig.kept.store, rc_channel_hash("a", 1), RC_SPAN("a"), before + 1, 2, rig.kept.now_ms);
    const uint32_t client = recover_rig_connect(&rig);
    const struct rc_hub_from from = {.last = 10};
    cr_assert_eq(recover_rig_subscribe(&rig, client, "a", &from), RC_SUBSCRIBED);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S2");
    rc_history_begin_at(&rig.kept.store, rc_channel_hash("a", 1), RC_SPAN("a"), before + 2, 7, rig.kept.now_ms);
    cr_assert_eq(rc_hub_lost(&rig.hub.hub, RC_SPAN("a"), false), 0);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "G");
    placed(before + 2, 8, true);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "E8=8");
    hub_rig_check(&rig.hub);
    struct rc_history_slot *slot = &rig.kept.view.slots[history_rig_slot(&rig.kept, "a")];
    slot->name[0] = 'b';
    atomic_store(&slot->epoch, before + 3);
    const uint32_t late = recover_rig_connect(&rig);
    cr_assert_eq(recover_rig_subscribe(&rig, late, "a", &from), RC_SUBSCRIBED);
    cr_assert_str_eq(recover_rig_heard(&rig, late, true), "S8");
    slot->name[0] = 'a';
}

/* There was no room for its history: nothing tells what it had. */
Test(recover, of_what_is_not_kept_nothing_is_recovered)
{
    const uint32_t other = recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 5);
    (void)recover_rig_heard(&rig, other, true);
    struct rc_hub_from from = {.recovers = true, .epoch = recover_rig_epoch(&rig, "a"), .offset = 2};
    const struct rc_channel *channel = rc_truth_channel(&rig.hub.truth, rc_hub_channel(&rig.hub.hub, RC_SPAN("a")));
    rc_truth_place(&rig.hub.truth, channel->place)->slot = RC_HISTORY_NO_SLOT;
    rig.hub.config->namespaces[0].history_scope = RC_HISTORY_SCOPE_HOST; /* of others a stream may have it */
    const uint32_t client = recover_rig_connect(&rig);
    cr_assert_eq(recover_rig_subscribe(&rig, client, "a", &from), RC_SUBSCRIBED);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S-5");
    const uint32_t current = recover_rig_connect(&rig);
    from.offset = 5;
    cr_assert_eq(recover_rig_subscribe(&rig, current, "a", &from), RC_SUBSCRIBED);
    cr_assert_str_eq(recover_rig_heard(&rig, current, true), "S+5");
}

/* The stream of a shared history may have what this host's copy has not: who lacks it waits until the relay has looked. */
Test(recover, who_lacks_what_the_copy_of_a_shared_history_has_not_waits_until_the_stream_was_looked_at)
{
    const uint32_t other = recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 5);
    (void)recover_rig_heard(&rig, other, true);
    const uint64_t epoch = recover_rig_epoch(&rig, "a");
    const struct rc_hub_from from = {.recovers = true, .epoch = epoch, .offset = 2};
    const uint32_t index = rc_hub_channel(&rig.hub.hub, RC_SPAN("a"));
    const struct rc_channel *channel = rc_truth_channel(&rig.hub.truth, index);
    const uint32_t slot = rc_truth_place(&rig.hub.truth, channel->place)->slot;
    rc_truth_place(&rig.hub.truth, channel->place)->slot = RC_HISTORY_NO_SLOT;
    const uint32_t client = recover_rig_connect(&rig);
    cr_assert_eq(recover_rig_subscribe(&rig, client, "a", &from), RC_SUBSCRIBE_WAITS);
    cr_assert(channel->flags & RC_CHANNEL_WANTS_FULL);
    recover_rig_acknowledge(&rig, "a"); /* of one who asked before, for less */
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "");
    cr_assert(channel->flags & RC_CHANNEL_WANTS_FULL);
    struct rc_hub_acknowledgement said = {.placed = true, .full = true, .slot = slot, .epoch = epoch, .position = 5};
    rc_hub_acknowledged(&rig.hub.hub, index, &said);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S+5 3=3 4=4 5=5");
    cr_assert_eq(channel->flags & RC_CHANNEL_WANTS_FULL, 0);
    /* It was in vain. */
    rc_truth_place(&rig.hub.truth, channel->place)->slot = RC_HISTORY_NO_SLOT;
    const uint32_t late = recover_rig_connect(&rig);
    cr_assert_eq(recover_rig_subscribe(&rig, late, "a", &from), RC_SUBSCRIBE_WAITS);
    said.slot = RC_HISTORY_NO_SLOT;
    rc_hub_acknowledged(&rig.hub.hub, index, &said);
    cr_assert_str_eq(recover_rig_heard(&rig, late, true), "S-5");
    cr_assert_eq(channel->flags & RC_CHANNEL_WANTS_FULL, 0);
}

static void share(bool shared)
{
    rig.kept.view.slots[history_rig_slot(&rig.kept, "a")].shared = shared;
}

/* It was on another instance, which had messages of the shared history that have not come here yet. */
Test(recover, who_has_more_than_this_host_gets_what_it_lacks_once)
{
    const uint32_t other = recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 5);
    (void)recover_rig_heard(&rig, other, true);
    const uint32_t client = recover_rig_connect(&rig);
    struct rc_hub_from from = {.recovers = true, .epoch = recover_rig_epoch(&rig, "a"), .offset = 7};
    share(true);
    cr_assert_eq(recover_rig_subscribe(&rig, client, "a", &from), RC_SUBSCRIBED);
    share(false);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S+7");
    cr_assert_eq(rig.hub.hub.replays_due.count, 0, "it waits, and costs nothing");
    recover_rig_publish(&rig, "a", 6, 6);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "");
    recover_rig_publish(&rig, "a", 7, 9);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "8=8 9=9");
    recover_rig_publish(&rig, "a", 10, 10);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "10=10");
    cr_assert_str_eq(recover_rig_heard(&rig, other, true), "6=6 7=7 8=8 9=9 10=10");
    cr_assert_eq(rc_metric_get(rig.hub.metrics, RC_METRIC_REPLAYS), 0);
    /* What it has never comes: the epoch ends before. */
    const uint32_t lost = recover_rig_connect(&rig);
    from.offset = 12;
    share(true);
    cr_assert_eq(recover_rig_subscribe(&rig, lost, "a", &from), RC_SUBSCRIBED);
    share(false);
    cr_assert_str_eq(recover_rig_heard(&rig, lost, true), "S+12");
    rc_history_renew(&rig.kept.store, history_rig_slot(&rig.kept, "a"));
    recover_rig_publish(&rig, "a", 11, 11);
    const char *heard = recover_rig_heard(&rig, lost, true);
    cr_assert_eq(heard[0], 'G', "%s", heard);
    cr_assert_not_null(strstr(heard, "11=11"), "%s", heard);
    hub_rig_check(&rig.hub);
}

Test(recover, who_was_left_out_is_left_out)
{
    const uint32_t writer = recover_rig_join(&rig, "a");
    const uint32_t other = recover_rig_join(&rig, "a");
    const struct rc_client_ref refs[] = {hub_rig_ref(&rig.hub, writer), hub_rig_ref(&rig.hub, other)};
    struct rc_envelope_view view = recover_rig_route(&rig, "a", "1", &refs[0], NULL);
    recover_rig_down(&rig, &view);
    view = recover_rig_route(&rig, "a", "2", NULL, &refs[1]);
    recover_rig_down(&rig, &view);
    cr_assert_str_eq(recover_rig_heard(&rig, writer, true), "S0 2=2");
    struct rc_hub_from from = {.recovers = true, .epoch = recover_rig_epoch(&rig, "a")};
    cr_assert_eq(recover_rig_subscribe(&rig, writer, "a", &from), RC_SUBSCRIBED);
    cr_assert_str_eq(recover_rig_heard(&rig, writer, true), "S+2 2=2", "the same connection");
    from.former = refs[1];
    const uint32_t back = recover_rig_connect(&rig);
    cr_assert_eq(recover_rig_subscribe(&rig, back, "a", &from), RC_SUBSCRIBED);
    cr_assert_str_eq(recover_rig_heard(&rig, back, true), "S+2 1=1", "what it was before");
}

Test(recover, a_past_that_is_taken_away_is_a_gap)
{
    const uint32_t other = recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 50);
    (void)recover_rig_heard(&rig, other, true);
    const uint32_t client = recover_rig_connect(&rig);
    const struct rc_hub_from from = {.recovers = true, .epoch = recover_rig_epoch(&rig, "a"), .offset = 10};
    cr_assert_eq(recover_rig_subscribe(&rig, client, "a", &from), RC_SUBSCRIBED);
    rc_history_clear(&rig.kept.store, history_rig_slot(&rig.kept, "a")); /* before it has read any of it */
    recover_rig_publish(&rig, "a", 51, 52);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S+50 G 51=51 52=52");
    cr_assert_eq(recover_rig_subscribe(&rig, client, "a", &(struct rc_hub_from){.last = 2}), RC_SUBSCRIBED);
    rc_history_renew(&rig.kept.store, history_rig_slot(&rig.kept, "a"));
    recover_rig_publish(&rig, "a", 53, 54);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S52 G E53=53 54=54");
    cr_assert_str_eq(recover_rig_heard(&rig, other, true), "51=51 52=52 E53=53 54=54", "it has missed nothing");
}

Test(recover, what_is_in_no_history_comes_by_itself)
{
    const uint32_t other = recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 2);
    (void)recover_rig_heard(&rig, other, true);
    const uint32_t client = recover_rig_connect(&rig);
    const struct rc_hub_from from = {.recovers = true, .epoch = recover_rig_epoch(&rig, "a")};
    cr_assert_eq(recover_rig_subscribe(&rig, client, "a", &from), RC_SUBSCRIBED);
    cr_assert_eq(hub_rig_publish(&rig.hub, "a", RC_SPAN("7"), NULL, 0), 0);
    recover_rig_publish(&rig, "a", 3, 3);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S+2 1=1 2=2 3=3 ?=7");
    cr_assert_str_eq(recover_rig_heard(&rig, other, true), "?=7 3=3");
}

/* Who falls off behind it would not find it in the history. */
Test(recover, what_is_in_no_history_is_a_gap_for_who_falls_off)
{
    static uint8_t filler[400000];
    rig.hub.config->limits.channel_log_bytes = 2048;
    const uint32_t slow = recover_rig_join(&rig, "a");
    cr_assert_str_eq(recover_rig_heard(&rig, slow, true), "S0");
    memset(filler, ' ', sizeof(filler));
    cr_assert_eq(rc_hub_reply_frame(&rig.hub.hub, slow, RC_WS_TEXT, filler, sizeof(filler)), 0);
    hub_rig_run(&rig.hub);
    recover_rig_publish(&rig, "a", 1, 2);
    hub_rig_run(&rig.hub);
    cr_assert_eq(hub_rig_publish(&rig.hub, "a", RC_SPAN("7"), NULL, 0), 0);
    for (int i = 3; i <= 60; i++) {
        recover_rig_publish(&rig, "a", i, i);
        hub_rig_run(&rig.hub);
    }
    const char *heard = recover_rig_heard(&rig, slow, true);
    cr_assert_eq(heard[0], 'G', "%s", heard);
    cr_assert_eq(strchr(heard + 1, 'G'), NULL, "what came behind it is in the history: %s", heard);
    int next = (int)strtol(heard + 2, NULL, 10);
    for (const char *at = heard + 1; *at != '\0'; next++) {
        char text[32];
        const int count = snprintf(text, sizeof(text), " %d=%d", next, next);
        cr_assert_eq(strncmp(at, text, (size_t)count), 0, "%d does not come: %s", next, heard);
        at += count;
    }
    cr_assert_eq(next, 61);
    cr_assert(rc_metric_get(rig.hub.metrics, RC_METRIC_SLOW_HEALED) > 0);
}

/* --- a record that is tried again --- */

/* Two groups of different encodings, whose logs are small: what has room in one may have none in the other. */
struct two_groups {
    uint32_t json, binary;
};

static struct two_groups join_two(const char *channel, const struct two_groups *present)
{
    struct two_groups both;
    if (present == NULL) {
        rig.hub.config->limits.channel_log_bytes = 2048;
        both.json = recover_rig_connect(&rig);
        both.binary = hub_rig_connect(&rig.hub, HUB_RIG_UNIX, RC_CODEC_BINARY, false, 0);
    } else {
        both = *present;
    }
    cr_assert_eq(recover_rig_subscribe(&rig, both.json, channel, NULL), RC_SUBSCRIBE_WAITS);
    recover_rig_acknowledge(&rig, channel);
    cr_assert_eq(recover_rig_subscribe(&rig, both.binary, channel, NULL), RC_SUBSCRIBED);
    (void)recover_rig_heard(&rig, both.json, true);
    (void)recover_rig_heard(&rig, both.binary, true);
    return both;
}

static void expect_both(const struct two_groups *both, const char *heard)
{
    cr_assert_str_eq(recover_rig_heard(&rig, both->json, true), heard);
    cr_assert_str_eq(recover_rig_heard(&rig, both->binary, true), heard);
}

static void try_again(const char *channel)
{
    int rc;
    hub_rig_run(&rig.hub);
    while ((rc = rc_hub_lost(&rig.hub.hub, rc_span_text(channel), true)) == -ENOSPC) {
        hub_rig_run(&rig.hub);
    }
    cr_assert_eq(rc, 0);
    cr_assert_eq(rig.hub.hub.kept->partial_mask, 0);
}

Test(recover, a_notice_that_one_encoding_has_got_mutes_no_newer_message)
{
    const struct two_groups both = join_two("a", NULL);
    char heard[4096] = "";
    size_t used = 0;
    int rc;
    while ((rc = rc_hub_lost(&rig.hub.hub, RC_SPAN("a"), true)) == 0) {
        used += (size_t)snprintf(heard + used, sizeof(heard) - used, "G ");
        cr_assert(used < sizeof(heard) - 8);
    }
    cr_assert_eq(rc, -ENOSPC);
    cr_assert(rig.hub.hub.kept->partial_mask != 0, "the test needs the binary group first");
    const struct rc_envelope_view newer = recover_rig_route(&rig, "a", "1", NULL, NULL);
    try_again("a");
    recover_rig_down(&rig, &newer);
    (void)snprintf(heard + used, sizeof(heard) - used, "G 1=1");
    expect_both(&both, heard);
    hub_rig_check(&rig.hub);
}

/* Of a loss everywhere: the channel with the lower place has something new when the other one's heal goes on. */
Test(recover, a_heal_that_goes_on_mutes_no_other_channel)
{
    const struct two_groups both = join_two("a", NULL);
    (void)join_two("b", &both);
    char heard[4096] = "";
    size_t used = 0;
    for (int i = 1; i <= 60; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        (void)recover_rig_route(&rig, "b", text, NULL, NULL);
        used += (size_t)snprintf(heard + used, sizeof(heard) - used, "%s%d=%d", i == 1 ? "" : " ", i, i);
    }
    cr_assert_eq(rc_hub_lost(&rig.hub.hub, RC_SPAN(""), true), -ENOSPC);
    cr_assert(rig.hub.hub.kept->partial_mask != 0, "the test needs the binary group first");
    (void)recover_rig_route(&rig, "a", "77", NULL, NULL);
    try_again("");
    for (uint32_t i = 0; i < 2; i++) {
        char got[4096];
        snprintf(got, sizeof(got), "%s", recover_rig_heard(&rig, i == 0 ? both.json : both.binary, true));
        char *other = strstr(got, " 1=77");
        cr_assert_not_null(other, "client %u lacks a message of the other channel: %s", i, got);
        memmove(other, other + strlen(" 1=77"), strlen(other + strlen(" 1=77")) + 1);
        cr_assert_str_eq(got, heard);
    }
    hub_rig_check(&rig.hub);
}

/* Nobody of the channel is left whose message was tried: what was said of it holds for no other. */
Test(recover, a_heal_whose_channel_has_gone_mutes_nobody)
{
    const struct two_groups both = join_two("a", NULL);
    (void)join_two("b", &both);
    for (int i = 1; i <= 60; i++) {
        (void)recover_rig_route(&rig, "b", "0", NULL, NULL);
    }
    cr_assert_eq(rc_hub_lost(&rig.hub.hub, RC_SPAN(""), true), -ENOSPC);
    cr_assert(rig.hub.hub.kept->partial_mask != 0, "the test needs the binary group first");
    hub_rig_unsubscribe(&rig.hub, both.json, "b");
    hub_rig_unsubscribe(&rig.hub, both.binary, "b");
    hub_rig_drain(&rig.hub);
    (void)recover_rig_heard(&rig, both.json, true);
    (void)recover_rig_heard(&rig, both.binary, true);
    (void)recover_rig_route(&rig, "a", "77", NULL, NULL);
    try_again("");
    expect_both(&both, "1=77");
    hub_rig_check(&rig.hub);
}
