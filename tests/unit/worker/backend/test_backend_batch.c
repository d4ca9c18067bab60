/* What backends are told in batches, and webhooks: each to its own, whatever a reload does meanwhile. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/support/backend_rig.h"
#include "worker/backend/batch.h"
#include "worker/pusher/webhook.h"

TestSuite(backend_batch, .init = begin, .fini = finish);

static struct rc_batches *batches_begin(void)
{
    struct rc_batches *batches = rc_batches_open(backends, &rig.hub, rig.shared->worker.backends);
    cr_assert_not_null(batches);
    rc_batches_reconfigure(batches, rig.config);
    return batches;
}

static void add_gone(struct rc_batches *batches, const char *reason, uint64_t now_ms)
{
    struct rc_backend_frame frame;
    const struct rc_backend_caller caller = {.sid = RC_SPAN("who")};
    rc_backend_frame_begin(&frame, backends, RC_BACKEND_DISCONNECT, &caller);
    rc_backend_frame_text(&frame, "reason", rc_span_text(reason));
    rc_batch_add(batches, 0, &frame, now_ms);
}

/* It is sent, and the answer comes in when `meanwhile` was done. */
static void tell_gone(struct rc_batches *batches, const char *reason, uint64_t now_ms,
                      void (*meanwhile)(struct rc_batches *batches))
{
    rc_batches_work(batches, now_ms);
    struct peer *peer = run_until_asked(&server, 0);
    cr_expect_not_null(strstr(peer->text, reason), "%s", peer->text);
    if (meanwhile != NULL) {
        meanwhile(batches);
    }
    answer(peer, OK(2, "{}"));
    const uint64_t end = rc_clock_ms() + PATIENCE_MS;
    while (rc_backends_busy(backends)) {
        cr_assert_lt(rc_clock_ms(), end);
        pass();
    }
}

/* Another backend has its place for a while; then somebody else goes. */
static void reload_twice(struct rc_batches *batches)
{
    struct rc_config *next = malloc(sizeof(*next));
    *next = *rig.config;
    (void)snprintf(next->backends[0].name.text, RC_CONFIG_TEXT_MAX, "other");
    rc_batches_reconfigure(batches, next);
    cr_expect_eq(rig.truth.tellings.used, 0);
    rc_batches_reconfigure(batches, rig.config);
    free(next);
    add_gone(batches, "second", rc_clock_ms());
}

Test(backend_batch, who_was_never_told_of_is_not_removed_with_those_of_before_a_reload)
{
    backends_begin();
    struct rc_batches *batches = batches_begin();
    const uint64_t now = rc_clock_ms();
    add_gone(batches, "first", now);
    tell_gone(batches, "first", now + RC_BATCH_WAIT_MS, reload_twice);
    cr_expect_eq(rig.truth.tellings.used, 1);
    tell_gone(batches, "second", now + RC_BATCH_KEEP_MS, NULL);
    cr_expect_eq(rig.truth.tellings.used, 0);
    cr_expect_not(rc_batches_busy(batches));
    rc_batches_close(batches);
}

/* "app" is the second of two backends from here on, whose first is nobody's. */
static void app_is_second(struct rc_config *config)
{
    config->backends[1] = config->backends[0];
    (void)snprintf(config->backends[0].name.text, RC_CONFIG_TEXT_MAX, "other");
    config->backends[0].urls[0].text[0] = '\0';
    config->backends[0].url_count = 0;
    config->backend_count = 2;
}

Test(backend_batch, who_is_gone_is_told_to_its_own_backend_where_a_reload_gives_that_another_number)
{
    backends_begin();
    struct rc_batches *batches = batches_begin();
    const uint64_t now = rc_clock_ms();
    add_gone(batches, "first", now);
    app_is_second(rig.config);
    rc_backends_reconfigure(backends, rig.config);
    rc_batches_reconfigure(batches, rig.config);
    cr_expect_eq(rig.truth.tellings.used, 1);
    tell_gone(batches, "first", now + RC_BATCH_WAIT_MS, NULL);
    cr_expect_eq(rig.truth.tellings.used, 0);
    cr_expect_eq(rig.shared->worker.backends[0].dropped + rig.shared->worker.backends[1].dropped, 0);
    rc_batches_close(batches);
}

Test(backend_batch, who_is_gone_is_told_to_its_own_backend_by_a_successor_that_has_read_another_configuration)
{
    backends_begin();
    struct rc_batches *former = batches_begin();
    const uint64_t now = rc_clock_ms();
    add_gone(former, "first", now);
    rc_batches_close(former); /* it died before it had heard of the reload */
    app_is_second(rig.config);
    rc_backends_reconfigure(backends, rig.config);
    struct rc_batches *batches = batches_begin();
    rc_batches_taken(batches);
    tell_gone(batches, "first", now + RC_BATCH_WAIT_MS, NULL);
    cr_expect_eq(rig.truth.tellings.used, 0);
    rc_batches_close(batches);
}

/* It is sent when it is due. */
static struct peer *tell_webhooks(struct rc_webhooks *webhooks, const char *channel)
{
    const uint64_t end = rc_clock_ms() + PATIENCE_MS;
    while (webhooks->of[0].sent == 0) {
        cr_assert_lt(rc_clock_ms(), end);
        rc_webhooks_work(webhooks);
        pass();
    }
    struct peer *peer = run_until_asked(&server, 0);
    cr_expect_not_null(strstr(peer->text, channel), "%s", peer->text);
    return peer;
}

Test(backend_batch, webhooks_that_were_never_sent_are_not_removed_with_those_of_before_a_reload)
{
    static struct rc_webhooks webhooks;
    static struct rc_clients clients;
    struct rc_config_pusher_app *app = &rig.config->pusher_apps[0];
    backends_begin();
    rig.config->pusher_app_count = 1;
    app->webhooks.count = 1;
    (void)snprintf(app->webhooks.items[0].text, RC_CONFIG_TEXT_MAX, "%s", rc_pusher_webhook_name(RC_PUSHER_OCCUPIED));
    (void)snprintf(app->webhook_backend.text, RC_CONFIG_TEXT_MAX, "app");
    (void)snprintf(app->key.text, RC_CONFIG_TEXT_MAX, "key");
    (void)snprintf(app->secret.text, RC_CONFIG_TEXT_MAX, "secret");
    clients.io = &rig.io;
    clients.hub = &rig.hub;
    clients.config = rig.config;
    clients.metrics = rig.metrics;
    clients.backends = backends;
    rc_webhooks_open(&webhooks, &clients);
    rc_webhook_channel(&webhooks, 0, RC_PUSHER_OCCUPIED, RC_SPAN("first"));
    struct peer *peer = tell_webhooks(&webhooks, "first");
    app->webhook_backend.text[0] = '\0'; /* a reload, and another one */
    rc_webhooks_reconfigure(&webhooks);
    cr_expect_eq(rig.truth.tellings.used, 0);
    (void)snprintf(app->webhook_backend.text, RC_CONFIG_TEXT_MAX, "app");
    rc_webhooks_reconfigure(&webhooks);
    rc_webhook_channel(&webhooks, 0, RC_PUSHER_OCCUPIED, RC_SPAN("second"));
    answer(peer, OK(2, "{}"));
    while (rc_backends_busy(backends)) {
        pass();
    }
    cr_expect_eq(rig.truth.tellings.used, 1);
    peer = tell_webhooks(&webhooks, "second");
    answer(peer, OK(2, "{}"));
    while (rc_backends_busy(backends)) {
        pass();
    }
    cr_expect_eq(rig.truth.tellings.used, 0);
    cr_expect_not(rc_webhooks_busy(&webhooks));
}
