/* What a client may, asked of the one place that carries operations out: the answer, and what went up. The test is the relay. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/client_rig.h"

static struct client_rig c;
static uint32_t anonymous; /* a client without a user */
static uint32_t user;      /* one whose user is `u` */

static void open_all(void)
{
    client_rig_open(&c, 8);
    anonymous = hub_rig_connect(&c.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    user = hub_rig_connect(&c.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    client_rig_user(&c, user, "u");
}

static void close_all(void)
{
    client_rig_close(&c);
}

TestSuite(operation, .init = open_all, .fini = close_all);

static enum rc_carried carry_out(uint32_t client, enum rc_author author, enum rc_operation_type type,
                                 const char *channel)
{
    static struct rc_operation operation;
    rc_operation_reset(&operation);
    operation.type = type;
    operation.channel = rc_span_text(channel);
    operation.id = RC_SPAN("7");
    operation.data = RC_SPAN("1");
    return rc_client_carry_out(&c.clients, client, author, &operation);
}

/* The one answer that the client has: an error of this code, or (0) none. */
static void expect_error(uint32_t client, const char *channel, int code)
{
    uint8_t opcode;
    struct rc_span payload;
    char text[32];
    hub_rig_drain(&c.rig);
    if (code != 0) {
        (void)snprintf(text, sizeof(text), "\"code\":%d", code);
        cr_assert(hub_rig_frame(&c.rig, client, &opcode, &payload), "%s: no error", channel);
        cr_assert(memmem(payload.bytes, payload.count, text, strlen(text)) != NULL, "%s: %.*s instead of %s", channel,
                  (int)payload.count, (const char *)payload.bytes, text);
    }
    cr_assert_eq(c.rig.peers[client].count, 0, "%s: more answers than one", channel);
}

/* Carried out, and what it means went up (or waits for the relay); else refused with `code`, and nothing did. */
static void check(uint32_t client, enum rc_operation_type type, const char *channel, int code)
{
    uint32_t record;
    struct rc_envelope_view view;
    const uint32_t pending = rc_truth_client(&c.rig.truth, client)->pending_count;
    const enum rc_carried carried = carry_out(client, RC_AUTHOR_CLIENT, type, channel);
    cr_assert_eq(carried, code == 0 ? RC_CARRIED_OUT : RC_CARRIED_REFUSED, "%s: %d", channel, (int)carried);
    expect_error(client, channel, code);
    const bool went_up = client_rig_up(&c, &record, &view);
    cr_assert_eq(went_up, code == 0 && type == RC_OPERATION_PUBLISH, "%s", channel);
    if (went_up) {
        cr_assert_eq(record, RC_UP_PUBLISH);
        cr_assert(view.head.channel_bytes == strlen(channel) && memcmp(view.channel, channel, strlen(channel)) == 0);
    }
    const bool waits = rc_truth_client(&c.rig.truth, client)->pending_count > pending;
    cr_assert_eq(waits, code == 0 && type == RC_OPERATION_SUBSCRIBE, "%s", channel);
}

/* `default`: anyone subscribes, nobody publishes. `box`: its owner subscribes, anyone publishes. */
static void two_namespaces(void)
{
    struct rc_config *config = c.rig.config;
    config->namespaces[0].subscribe = RC_WHO_ANYONE;
    config->namespaces[0].publish = RC_WHO_NONE;
    config->namespaces[1] = config->namespaces[0];
    strcpy(config->namespaces[1].name, "box");
    config->namespaces[1].name_bytes = 3;
    config->namespaces[1].subscribe = RC_WHO_OWNER;
    config->namespaces[1].publish = RC_WHO_ANYONE;
    config->namespace_count = 2;
}

Test(operation, namespaces_decide)
{
    two_namespaces();
    check(anonymous, RC_OPERATION_SUBSCRIBE, "news", 0);
    check(anonymous, RC_OPERATION_SUBSCRIBE, "boxes:7", 0);
    check(anonymous, RC_OPERATION_SUBSCRIBE, "box", 0); /* a name without a colon is in `default` */
    check(user, RC_OPERATION_PUBLISH, "news", 403);
    check(anonymous, RC_OPERATION_PUBLISH, "news", 403); /* being a user would not help */
    check(user, RC_OPERATION_SUBSCRIBE, "box:v", 403);
    check(anonymous, RC_OPERATION_SUBSCRIBE, "box:u", 401);
    check(user, RC_OPERATION_SUBSCRIBE, "box:u", 0);
    check(anonymous, RC_OPERATION_PUBLISH, "box:v", 0);
}

Test(operation, reserved_names_never_open)
{
    static const char *const reserved[] = {"*", "user:u", "user:"};
    two_namespaces();
    c.rig.config->namespaces[0].publish = RC_WHO_ANYONE;
    for (size_t i = 0; i < RC_ARRAY_COUNT(reserved); i++) {
        check(user, RC_OPERATION_SUBSCRIBE, reserved[i], 403);
        check(user, RC_OPERATION_PUBLISH, reserved[i], 403);
        check(user, RC_OPERATION_UNSUBSCRIBE, reserved[i], 403);
        check(anonymous, RC_OPERATION_SUBSCRIBE, reserved[i], 403);
    }
    /* Not even where a namespace of that name says so. */
    strcpy(c.rig.config->namespaces[1].name, "user");
    c.rig.config->namespaces[1].name_bytes = 4;
    check(user, RC_OPERATION_SUBSCRIBE, "user:u", 403);
    check(user, RC_OPERATION_PUBLISH, "user:u", 403);
}

/* Its calls were judged with the call: no rule, and no answer to the client. */
Test(operation, backends_may_what_clients_may_not)
{
    two_namespaces();
    cr_assert_eq(carry_out(user, RC_AUTHOR_CLIENT, RC_OPERATION_SUBSCRIBE, "box:v"), RC_CARRIED_REFUSED);
    expect_error(user, "box:v", 403);
    cr_assert_eq(carry_out(user, RC_AUTHOR_BACKEND, RC_OPERATION_SUBSCRIBE, "box:v"), RC_CARRIED_OUT);
    cr_assert_eq(rc_truth_client(&c.rig.truth, user)->pending_count, 1);
    cr_assert_eq(carry_out(user, RC_AUTHOR_CLIENT, RC_OPERATION_DISCONNECT, ""), RC_CARRIED_REFUSED);
    expect_error(user, "", 403);
}

Test(operation, channels_of_apps_of_the_pusher_protocol_are_not_for_others)
{
    static struct rc_config config; /* too large for a stack */
    config = *c.clients.config;
    config.pusher_app_count = 2;
    (void)snprintf(config.pusher_apps[0].id.text, sizeof(config.pusher_apps[0].id.text), "7");
    config.pusher_apps[1].channels = RC_PUSHER_CHANNELS_PLAIN;
    c.clients.config = &config;
    static const char *const theirs[] = {"pusher-7:room", "pusher-7:private-a", "private-a", "presence-a"};
    for (size_t i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++) {
        cr_assert_eq(carry_out(user, RC_AUTHOR_CLIENT, RC_OPERATION_SUBSCRIBE, theirs[i]), RC_CARRIED_REFUSED);
        cr_assert_eq(carry_out(user, RC_AUTHOR_CLIENT, RC_OPERATION_PUBLISH, theirs[i]), RC_CARRIED_REFUSED);
    }
    cr_assert_eq(carry_out(user, RC_AUTHOR_CLIENT, RC_OPERATION_SUBSCRIBE, "room"), RC_CARRIED_OUT);
    cr_assert_eq(carry_out(user, RC_AUTHOR_BACKEND, RC_OPERATION_PUBLISH, theirs[0]), RC_CARRIED_OUT);
}
