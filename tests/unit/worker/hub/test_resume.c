/* worker/hub/resume: a turn that was cut in the middle: who was served gets nothing twice, who was not gets all, in the next one. */
#include <criterion/criterion.h>

#include <string.h>

#include "tests/support/hub_rig.h"
#include "worker/adopt/rebuild.h"

enum { CLIENTS = 6 };

static struct hub_rig first;
static struct hub_rig second;
static const struct hub_rig_options options = {.slots = 2 * CLIENTS};
static uint32_t clients[CLIENTS];

/* The successor of a worker that was killed now. */
static void succeed(void)
{
    struct rc_err err = {0};
    hub_rig_succeed(&second, &first, &options);
    second.truth.cut = true;
    const struct rc_adopt adopt = {.truth = &second.truth, .hub = &second.hub};
    cr_assert_eq(rc_adopt_rebuild(&adopt, &err), 0, "%s", err.text);
    rc_hub_resume(&second.hub);
    rc_hub_resume(&second.hub); /* as one that was killed in it once */
    cr_assert_eq(second.hub.kept->in_turn, 0);
    for (uint32_t i = 0; i < second.slots; i++) {
        const struct rc_socket *socket = &second.truth.sockets[i];
        if (socket->state != RC_SOCKET_FREE) {
            second.peers[socket->client].fd = hub_rig_take_socket(&second, i, 0);
            second.peers[socket->client].total = socket->sent_bytes;
        }
    }
    hub_rig_drain(&second);
}

static uint32_t frames_of(uint32_t client)
{
    uint8_t opcode;
    struct rc_span payload;
    uint32_t count = 0;
    while (hub_rig_frame(&second, client, &opcode, &payload)) {
        count++;
    }
    return count;
}

/* A turn in which those below `served` had theirs. */
static void cut(const char *channel, bool everybody, uint32_t served)
{
    struct rc_hub *hub = &first.hub;
    hub_rig_open(&first, &options);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        clients[i] = hub_rig_connect(&first, HUB_RIG_UNIX, RC_CODEC_JSON, everybody, 0);
        if (!everybody) {
            (void)hub_rig_subscribe(&first, clients[i], channel);
        }
    }
    hub_rig_drain(&first);
    cr_assert_eq(hub_rig_publish(&first, channel, RC_SPAN("1"), NULL, 0), 0);
    hub->kept->turn = hub->turn + 1;
    hub->kept->in_turn = 1;
    for (uint32_t g = 1; g < first.truth.groups.high; g++) {
        struct rc_group *group = rc_truth_group(&first.truth, g);
        if (group->log != 0) {
            struct rc_channel_log *log = rc_truth_log(&first.truth, group->log);
            log->target = log->head;
            log->turn = hub->kept->turn;
        }
    }
    for (uint32_t i = 0; i < served; i++) {
        rc_truth_client(&first.truth, clients[i])->turn = hub->kept->turn;
    }
    /* What comes behind the turn is for all. */
    cr_assert_eq(hub_rig_publish(&first, channel, RC_SPAN("2"), NULL, 0), 0);
}

static void expect(uint32_t served)
{
    succeed();
    for (uint32_t i = 0; i < CLIENTS; i++) {
        cr_assert_eq(frames_of(clients[i]), i < served ? 1u : 2u, "client %u", i);
    }
    hub_rig_check(&second);
    hub_rig_close(&second);
    first.hub.kept->in_turn = 0; /* it goes on as if nothing had been */
    hub_rig_drain(&first);
    hub_rig_close(&first);
}

Test(hub_resume, members_that_were_not_served_are_behind)
{
    cut("news", false, 2);
    expect(2);
}

Test(hub_resume, so_is_everybody)
{
    cut("*", true, 4);
    expect(4);
}

Test(hub_resume, of_a_critical_group_by_their_places)
{
    cut("news", false, CLIENTS); /* the turn's marks say nothing of it */
    struct rc_hub *hub = &first.hub;
    for (uint32_t g = 1; g < first.truth.groups.high; g++) {
        if (rc_truth_group(&first.truth, g)->log != 0) {
            hub->kept->critical = g;
        }
    }
    hub->kept->unserved = 3; /* they are served from the last one on */
    succeed();
    uint32_t both = 0;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        both += frames_of(clients[i]) == 2;
    }
    cr_assert_eq(both, 3);
    hub_rig_close(&second);
    hub->kept->critical = hub->kept->in_turn = 0;
    hub_rig_drain(&first);
    hub_rig_close(&first);
}
