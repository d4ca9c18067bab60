/* Clients that nothing carries and that take what there is for them: once, in order, and told when there is something. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/hub_rig.h"

static struct hub_rig rig;
static struct rc_hub_taken taken;

static struct rc_span text_of(uint32_t number, uint32_t bytes)
{
    static char text[1 << 17];
    const int head = snprintf(text, sizeof(text), "[%u,\"", number);
    RC_ASSERT((size_t)head + bytes + 2 < sizeof(text));
    memset(text + head, 'a' + (int)(number % 26), bytes);
    memcpy(text + head + bytes, "\"]", 2);
    return rc_span_of(text, (size_t)head + bytes + 2);
}

static uint32_t polled_client(void)
{
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 0);
    hub_rig_detach(&rig, client);
    for (int i = 0; i < 100 && !rig.peers[client].ended; i++) {
        hub_rig_run(&rig);
        hub_rig_read(&rig, client, 0);
    }
    cr_assert_eq(rc_truth_client(&rig.truth, client)->socket, RC_SOCKET_NONE);
    rc_truth_client(&rig.truth, client)->flags |= RC_CLIENT_POLLED;
    return client;
}

/* Whoever has not got it gets it again: every third one is taken twice. */
static bool take(uint32_t client)
{
    static uint32_t count;
    bool more = rc_hub_take(&rig.hub, client, &taken);
    if (++count % 3 == 0) {
        static uint8_t before[1 << 20];
        const size_t bytes = taken.count;
        cr_assert_leq(bytes, sizeof(before));
        memcpy(before, taken.bytes, bytes);
        rc_hub_not_got(&rig.hub);
        cr_assert_eq(rc_hub_take(&rig.hub, client, &taken), more);
        cr_assert_eq(taken.count, bytes);
        cr_assert_eq(memcmp(before, taken.bytes, bytes), 0);
    }
    rc_hub_got(&rig.hub);
    return more;
}

/* The numbers of what was taken must go on after `last`; the new last one. */
static uint32_t count_on(uint32_t last)
{
    const uint8_t *at = taken.bytes;
    const uint8_t *end = taken.bytes + taken.count;
    while (at != NULL && at < end && (at = memmem(at, (size_t)(end - at), "\"data\":[", 8)) != NULL) {
        at += 8;
        cr_assert_eq(strtoul((const char *)at, NULL, 10), ++last, "%.20s in place of %u", (const char *)at, last);
    }
    return last;
}

Test(take, everything_comes_once_and_in_order)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 8, .channel_log_bytes = 16 << 20});
    const uint32_t client = polled_client();
    const uint32_t other = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 0); /* the logs move on by it */
    const struct rc_client_ref ref = hub_rig_ref(&rig, client);
    static const char *const channels[] = {"a", "b", "*"};
    for (uint32_t i = 0; i < 2; i++) {
        hub_rig_subscribe(&rig, client, channels[i]);
        hub_rig_subscribe(&rig, other, channels[i]);
    }
    uint32_t seed = 12345;
    uint32_t published = 0;
    uint32_t got = 0;
    uint32_t takes = 0;
    uint32_t partial = 0;
    for (uint32_t step = 0; step < 20000; step++) {
        seed = seed * 1664525u + 1013904223u;
        const uint32_t kind = seed >> 29;
        const uint32_t bytes = (seed >> 8) % ((seed & 0x700) == 0 ? 60000u : 200u);
        if (kind < 3) {
            cr_assert_eq(hub_rig_publish(&rig, channels[kind], text_of(++published, bytes), NULL, 0), 0);
        } else if (kind == 3) {
            cr_assert_eq(hub_rig_direct(&rig, &ref, text_of(++published, bytes)), 0);
        } else if (kind < 6 || (seed & 0x7000) != 0) {
            hub_rig_run(&rig);
            rc_hub_tell_ready(&rig.hub);
            hub_rig_read(&rig, other, 0);
        } else {
            rc_hub_touch(&rig.hub, client);
            hub_rig_run(&rig);
            rc_hub_tell_ready(&rig.hub);
            const bool more = take(client);
            takes += taken.count > 0;
            hub_rig_read(&rig, other, 0);
            partial += more;
            got = count_on(got);
        }
    }
    hub_rig_drain(&rig);
    rc_hub_tell_ready(&rig.hub);
    while (take(client)) {
        got = count_on(got);
    }
    got = count_on(got);
    cr_assert_eq(got, published);
    cr_assert(takes > 100 && partial > 10 && rig.ready > 1000, "%u takes, %u partial, %u told", takes, partial,
              rig.ready);
    cr_assert(!take(client));
    cr_assert_eq(taken.count, 0);
    hub_rig_drain(&rig);
    cr_assert_eq(rig.hub.log_bytes, 0);
    hub_rig_check(&rig);
    free(taken.bytes);
    hub_rig_close(&rig);
}

Test(take, who_does_not_wait_is_not_told)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    const uint32_t client = polled_client();
    hub_rig_subscribe(&rig, client, "c");
    struct rc_client *its = rc_truth_client(&rig.truth, client);
    its->flags &= (uint16_t)~RC_CLIENT_POLLED;
    cr_assert_eq(hub_rig_publish(&rig, "c", text_of(1, 3), NULL, 0), 0);
    hub_rig_run(&rig);
    rc_hub_tell_ready(&rig.hub);
    cr_assert_eq(rig.ready, 0);
    its->flags |= RC_CLIENT_POLLED;
    cr_assert_eq(hub_rig_publish(&rig, "c", text_of(2, 3), NULL, 0), 0);
    hub_rig_run(&rig);
    rc_hub_tell_ready(&rig.hub);
    cr_assert_eq(rig.ready, 1);
    cr_assert(!take(client));
    cr_assert_eq(count_on(0), 2);
    free(taken.bytes);
    hub_rig_close(&rig);
}

Test(take, who_is_excluded_does_not_get_it)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    const uint32_t client = polled_client();
    hub_rig_subscribe(&rig, client, "c");
    const struct rc_client_ref ref = hub_rig_ref(&rig, client);
    cr_assert_eq(hub_rig_publish(&rig, "c", text_of(7, 3), &ref, 1), 0);
    cr_assert_eq(hub_rig_publish(&rig, "c", text_of(1, 3), NULL, 0), 0);
    hub_rig_run(&rig);
    cr_assert(!take(client));
    cr_assert_eq(count_on(0), 1);
    free(taken.bytes);
    hub_rig_close(&rig);
}

/* What is taken is of so many logs at once; the rest comes with the next time, in its order. */
Test(take, who_hears_more_channels_than_are_taken_at_once_gets_them_all)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    const uint32_t client = polled_client();
    char name[16];
    for (uint32_t i = 0; i < 2 * RC_TOOK_MAX; i++) {
        (void)snprintf(name, sizeof(name), "c%u", i);
        hub_rig_subscribe(&rig, client, name);
    }
    uint32_t published = 0;
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 2 * RC_TOOK_MAX; i++) {
            (void)snprintf(name, sizeof(name), "c%u", i);
            cr_assert_eq(hub_rig_publish(&rig, name, text_of(++published, 3), NULL, 0), 0);
        }
    }
    hub_rig_run(&rig);
    rc_hub_tell_ready(&rig.hub);
    cr_assert(take(client), "there is more");
    uint32_t got = count_on(0);
    cr_assert_eq(got, RC_TOOK_MAX);
    for (uint32_t tries = 0; take(client); tries++) {
        cr_assert_lt(tries, 10);
        got = count_on(got);
    }
    cr_assert_eq(count_on(got), published);
    cr_assert_eq(rc_truth_client(&rig.truth, client)->cursor_count, 0);
    free(taken.bytes);
    hub_rig_close(&rig);
}
