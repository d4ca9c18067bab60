/* Recovery against a model: each message once, in order, or a gap, while clients come and go and the history is cut, renewed and taken away. */
#include <criterion/criterion.h>
#include <criterion/logging.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/recover_rig.h"

static struct recover_rig rig;

static void open_rig(void)
{
    recover_rig_open(&rig, &(struct hub_rig_options){.slots = 16, .slow_consumer = RC_SLOW_SKIP}, 1 << 20);
}

static void close_rig(void)
{
    recover_rig_close(&rig);
}

TestSuite(recover_model, .init = open_rig, .fini = close_rig);

#define CLIENTS 6
#define MESSAGES_MAX 20000

struct returning {
    uint32_t client; /* 0 = away */
    bool in;
    bool anywhere; /* the next message may be any */
    uint32_t next; /* the message that must come next */
    uint64_t epoch, offset;
    struct rc_client_ref ref, former;
};

static struct {
    struct returning clients[CLIENTS];
    uint64_t epochs[MESSAGES_MAX];  /* of each message */
    uint64_t offsets[MESSAGES_MAX]; /* likewise */
    struct rc_client_ref origins[MESSAGES_MAX];
    uint32_t count; /* messages, from 1 on */
    uint32_t down;  /* those that came down, or will not any more */
    uint64_t random;
} model;

static uint32_t draw(uint32_t below)
{
    model.random = model.random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(model.random >> 33) % below;
}

static bool same(const struct rc_client_ref *a, const struct rc_client_ref *b)
{
    return a->random != 0 && a->random == b->random;
}

static void check_tokens(struct returning *its, const char *text)
{
    while (*text != '\0') {
        char *end;
        if (*text == 'S') {
            its->in = true;
            its->anywhere = text[1] != '+';
            text += 1 + strcspn(text + 1, " ");
        } else if (*text == 'G') {
            its->anywhere = true;
            text++;
        } else {
            text += *text == 'E';
            const uint64_t offset = strtoull(text, &end, 10);
            cr_assert_eq(*end, '=');
            const uint32_t number = (uint32_t)strtoul(end + 1, &end, 10);
            cr_assert(number > 0 && number <= model.count && model.offsets[number] == offset);
            while (!its->anywhere && its->next < number &&
                   (same(&model.origins[its->next], &its->ref) || same(&model.origins[its->next], &its->former))) {
                its->next++;
            }
            cr_assert(its->anywhere ? number >= its->next : number == its->next, "%u came, and not %u", number,
                      its->next);
            its->anywhere = false;
            its->next = number + 1;
            its->epoch = model.epochs[number];
            its->offset = offset;
            text = end;
        }
        text += *text == ' ';
    }
}

static void model_read(struct returning *its, size_t most)
{
    if (its->client != 0) {
        (void)hub_rig_read(&rig.hub, its->client, most);
        check_tokens(its, recover_rig_heard(&rig, its->client, false));
    }
}

static void model_publish(void)
{
    char text[16];
    const struct returning *by = &model.clients[draw(CLIENTS)];
    const bool echo = by->client == 0 || draw(4) > 0;
    const uint32_t number = ++model.count;
    snprintf(text, sizeof(text), "%u", number);
    const struct rc_envelope_view view = recover_rig_route(&rig, "a", text, echo ? NULL : &by->ref, NULL);
    model.epochs[number] = view.head.epoch;
    model.offsets[number] = view.head.position;
    model.origins[number] = echo ? (struct rc_client_ref){0} : by->ref;
    if (draw(20) == 0) {
        return; /* it is lost on the way down */
    }
    /* That some were is told before the next one comes, at the latest before one of another epoch. */
    if (model.down + 1 < number && (draw(2) == 0 || model.epochs[model.down] != model.epochs[number])) {
        while (rc_hub_lost(&rig.hub.hub, RC_SPAN("a"), false) == -ENOSPC) {
            hub_rig_run(&rig.hub);
        }
    }
    recover_rig_down(&rig, &view);
    model.down = number;
}

static void model_return(struct returning *its)
{
    if (its->client == 0) {
        its->client = hub_rig_connect(&rig.hub, HUB_RIG_UNIX, RC_CODEC_JSON, false, draw(2) == 0 ? 4096 : 0);
        its->former = its->ref;
        its->ref = hub_rig_ref(&rig.hub, its->client);
    }
    const struct rc_hub_from from = {.recovers = its->epoch != 0,
                                     .epoch = its->epoch,
                                     .offset = its->offset,
                                     .last = draw(3),
                                     .former = its->former};
    if (recover_rig_subscribe(&rig, its->client, "a", &from) == RC_SUBSCRIBE_WAITS) {
        recover_rig_acknowledge(&rig, "a");
    }
}

static void model_leave(struct returning *its)
{
    if (its->client != 0 && draw(2) == 0) {
        hub_rig_hang_up(&rig.hub, its->client);
        hub_rig_run(&rig.hub);
        its->client = 0;
        its->in = false;
    } else if (its->client != 0 && its->in && !its->anywhere) {
        /* Once more from where it is: what is unsent of the channel goes, what was sent comes first. */
        hub_rig_drain(&rig.hub);
        model_read(its, 0);
        model_return(its);
    }
}

static void model_step(void)
{
    struct returning *its = &model.clients[draw(CLIENTS)];
    const uint32_t what = draw(100);
    if (what < 60) {
        model_publish();
    } else if (what < 75) {
        model_read(its, 1 + draw(2000));
    } else if (what < 80) {
        if (its->client == 0) {
            model_return(its);
        }
    } else if (what < 83) {
        model_leave(its);
    } else if (what < 84 && draw(4) == 0) {
        rc_history_clear(&rig.kept.store, history_rig_slot(&rig.kept, "a"));
    } else if (what < 84 && draw(4) == 0) {
        rc_history_renew(&rig.kept.store, history_rig_slot(&rig.kept, "a"));
    } else {
        hub_rig_run(&rig.hub);
    }
}

static void run_model(uint64_t seed, enum rc_slow_policy policy)
{
    recover_rig_close(&rig);
    recover_rig_open(&rig,
                     &(struct hub_rig_options){
                         .slots = 16, .slow_consumer = policy, .channel_log_bytes = 2048, .channel_log_messages = 8},
                     1 << 20);
    memset(&model, 0, sizeof(model));
    model.random = seed;
    (void)recover_rig_join(&rig, "a"); /* somebody always is */
    for (uint32_t step = 0; step < 6000 && model.count < MESSAGES_MAX - 2; step++) {
        model_step();
        if (step % 64 == 0) {
            hub_rig_check(&rig.hub);
        }
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        if (model.clients[i].client == 0) {
            model_return(&model.clients[i]);
        }
    }
    model_publish();
    while (model.down != model.count) {
        model_publish();
    }
    hub_rig_drain(&rig.hub);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct returning *its = &model.clients[i];
        model_read(its, 0);
        while (its->next <= model.count && same(&model.origins[its->next], &its->ref)) {
            its->next++;
        }
        cr_assert_eq(its->next, model.count + 1, "seed %llu, client %u has all", (unsigned long long)seed, i);
    }
    cr_assert_eq(rc_metric_get(rig.hub.metrics, RC_METRIC_REPLAYS), 0);
    cr_log_info("seed %llu: %u messages, %llu recovered, %llu gone, %llu replayed, %llu fell off, %llu healed",
                (unsigned long long)seed, model.count,
                (unsigned long long)rc_metric_get(rig.hub.metrics, RC_METRIC_RECOVERIES),
                (unsigned long long)rc_metric_get(rig.hub.metrics, RC_METRIC_RECOVERIES_GONE),
                (unsigned long long)rc_metric_get(rig.hub.metrics, RC_METRIC_REPLAYED),
                (unsigned long long)rc_metric_get(rig.hub.metrics, RC_METRIC_SLOW_HEALED),
                (unsigned long long)rc_metric_get(rig.hub.metrics, RC_METRIC_HEALED));
}

Test(recover_model, each_message_once_whatever_happens_meanwhile)
{
    const char *seed = getenv("HUB_SEED");
    for (uint64_t i = 1; i <= 6; i++) {
        run_model(seed != NULL ? strtoull(seed, NULL, 10) : i, RC_SLOW_SKIP);
    }
    cr_assert(rc_metric_get(rig.hub.metrics, RC_METRIC_SLOW_HEALED) > 0 &&
              rc_metric_get(rig.hub.metrics, RC_METRIC_HEALED) > 0 &&
              rc_metric_get(rig.hub.metrics, RC_METRIC_RECOVERIES) > 0);
}
