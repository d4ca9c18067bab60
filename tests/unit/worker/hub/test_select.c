/* Messages for several rooms: once to everybody who is in any of them, to nobody who is in one that does not get it, in order. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/select.h"
#include "tests/support/hub_rig.h"

static struct hub_rig rig;

/* `names`: rooms, "|", those that do not get it; a blank between two. */
static void publish(const char *names, const char *data)
{
    char text[RC_EXCLUDE_TEXT_MAX];
    char copy[512];
    struct rc_select select = {.text = text};
    bool except = false;
    (void)snprintf(copy, sizeof(copy), "%s", names);
    for (char *name = strtok(copy, " "); name != NULL; name = strtok(NULL, " ")) {
        if (strcmp(name, "|") == 0) {
            rc_select_except(&select);
            except = true;
        } else {
            rc_select_put(&select, RC_SPAN("/"), rc_span_text(name));
        }
    }
    if (!except) {
        rc_select_except(&select);
    }
    const struct rc_envelope_view view = {.head = {.sequence = ++rig.sequence,
                                                   .channel_bytes = 2,
                                                   .exclude_text_bytes = select.bytes,
                                                   .flags = rig.message_flags,
                                                   .data_bytes = (uint32_t)strlen(data)},
                                          .channel = "/#",
                                          .exclude_text = text,
                                          .data = (const uint8_t *)data};
    cr_assert_eq(rc_hub_select(&rig.hub, &view), 0);
}

/* The data of what the client got, each behind a blank; valid until the next call. */
static const char *got(uint32_t client)
{
    static char text[1024];
    uint8_t opcode;
    struct rc_span payload;
    text[0] = '\0';
    hub_rig_drain(&rig);
    while (hub_rig_frame(&rig, client, &opcode, &payload)) {
        const uint8_t *data = memmem(payload.bytes, payload.count, "\"data\":", 7);
        cr_assert_not_null(data);
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), " %.*s",
                       (int)(payload.bytes + payload.count - data - 8), (const char *)data + 7);
    }
    return text;
}

Test(select, everybody_in_any_of_the_rooms_gets_it_once)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 8});
    uint32_t clients[4];
    for (uint32_t i = 0; i < 4; i++) {
        clients[i] = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    }
    hub_rig_subscribe(&rig, clients[0], "a");
    hub_rig_subscribe(&rig, clients[0], "b");
    hub_rig_subscribe(&rig, clients[1], "b");
    hub_rig_subscribe(&rig, clients[2], "b");
    hub_rig_subscribe(&rig, clients[2], "muted");
    publish("a b", "1");
    publish("a b | muted", "2");
    publish("a | b", "3");
    publish("nobody a", "4");
    cr_assert_eq(hub_rig_publish(&rig, "b", RC_SPAN("5"), NULL, 0), 0);
    publish("b", "6");
    cr_assert_str_eq(got(clients[0]), " 1 2 4 5 6");
    cr_assert_str_eq(got(clients[1]), " 1 2 5 6");
    cr_assert_str_eq(got(clients[2]), " 1 5 6");
    cr_assert_str_eq(got(clients[3]), "");
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

Test(select, without_rooms_it_is_for_everybody_in_the_namespace)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 8});
    const uint32_t one = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    const uint32_t other = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    hub_rig_subscribe(&rig, one, "/#");
    hub_rig_subscribe(&rig, other, "/#");
    hub_rig_subscribe(&rig, other, "x");
    publish("", "1");
    publish("| x", "2");
    publish("nobody", "3");
    cr_assert_str_eq(got(one), " 1 2");
    cr_assert_str_eq(got(other), " 1");
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

Test(select, what_is_volatile_is_not_for_who_cannot_take_it)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    const uint32_t takes = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    const uint32_t blocked = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    hub_rig_subscribe(&rig, takes, "a");
    hub_rig_subscribe(&rig, blocked, "a");
    hub_rig_its_socket(&rig, blocked)->flags |= RC_SOCKET_BLOCKED;
    rig.message_flags = RC_ENVELOPE_VOLATILE;
    publish("a b", "1");
    rig.message_flags = 0;
    publish("a b", "2");
    hub_rig_its_socket(&rig, blocked)->flags &= (uint16_t)~RC_SOCKET_BLOCKED;
    rc_hub_touch(&rig.hub, blocked);
    cr_assert_str_eq(got(takes), " 1 2");
    cr_assert_str_eq(got(blocked), " 2");
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_VOLATILE_DROPPED), 1);
    hub_rig_close(&rig);
}
