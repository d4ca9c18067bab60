/*
 * rule_cost: what an event costs that an [[event]] row relays to a room, in the worker, up to the record in its up ring, beside a native
 * publish of the same size.
 *
 *   rule_cost [messages] [native|event|guarded]
 *
 * Instructions, which do not depend on what else the machine does, are counted by
 * `valgrind --tool=callgrind --toggle-collect=rc_client_operations --toggle-collect=rc_engine_packet`. rule_cost.mjs does so, and fails
 * when an event costs more than 1.2 times a native publish.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "tests/support/engine_rig.h"

#define ROWS                                                                                    \
    "[[event]]\non = \"event\"\nemit = [{ to = \"room:{args.0}\", args = [\"{args.1..}\"] }]\n" \
    "[[event]]\non = \"guarded\"\nwho = \"user\"\nmatch = { \"args.0\" = \"a\" }\n"             \
    "emit = [{ to = \"room:{args.0}\", args = [\"{args.1..}\", \"{user.id}\"] }]\n"

static struct engine_rig r;

/* Carries the message out; the record has gone up. */
static void message_send(bool native, uint32_t client, const char *text)
{
    static uint8_t bytes[1024];
    uint32_t done = 0;
    uint32_t type;
    struct rc_envelope_view view;
    const size_t count = strlen(text);
    memcpy(bytes, text, count);
    if (native) {
        const bool whole = rc_client_operations(&r.c.clients, client, RC_PART_TEXT, bytes, count, &done);
        RC_ASSERT(whole);
    } else {
        const enum rc_engine_result result = rc_engine_packet(&r.engines, client, RC_PART_TEXT, bytes, count, &done);
        RC_ASSERT(result == RC_ENGINE_DONE);
    }
    const bool went = client_rig_up(&r.c, &type, &view);
    RC_ASSERT(went && type == RC_UP_PUBLISH);
}

int main(int argc, char **argv)
{
    const uint32_t messages = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 20000;
    const char *const mode = argc > 2 ? argv[2] : "event";
    const bool native = strcmp(mode, "native") == 0;
    char data[129];
    char text[512];
    uint32_t type;
    struct rc_envelope_view view;
    rc_log_set_level(RC_LOG_ERROR);
    memset(data, 'x', sizeof(data) - 1);
    data[sizeof(data) - 1] = '\0';
    engine_rig_open(&r);
    engine_rig_rows(&r, ROWS);
    r.c.rig.config->namespaces[0].publish = RC_WHO_ANYONE;
    engine_rig_begin(&r, true);
    client_rig_user(&r.c, r.session, "42");
    uint32_t client = r.session;
    if (native) {
        client = hub_rig_connect(&r.c.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
        rc_truth_client(r.c.clients.truth, client)->endpoint = RC_ENDPOINT_PATH;
        (void)snprintf(text, sizeof(text), "{\"type\":\"publish\",\"channel\":\"room:a\",\"data\":{\"text\":\"%s\"}}",
                       data);
    } else {
        (void)snprintf(text, sizeof(text), "42[\"%s\",\"a\",{\"text\":\"%s\"}]", mode, data);
    }
    while (client_rig_up(&r.c, &type, &view)) {}
    const uint64_t began_ns = rc_clock_ns();
    for (uint32_t n = 0; n < messages; n++) {
        message_send(native, client, text);
    }
    printf("%-8s %u messages: %.0f ns each\n", mode, messages, (double)(rc_clock_ns() - began_ns) / messages);
    return 0; /* what is left is the process's */
}
