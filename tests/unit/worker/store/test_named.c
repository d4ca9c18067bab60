/* Who is ended by policy is named in the log, and the log is not flooded with it. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/log.h"
#include "tests/support/hub_rig.h"
#include "worker/store/named.h"

#define SMALL 4608

static struct hub_rig rig;
static int log_fd;
static char text[65536];

/* What is logged from here on. */
static void capture(void)
{
    rc_log_open("test", -1, RC_LOG_INFO, RC_LOG_TEXT);
    log_fd = memfd_create("log", MFD_CLOEXEC);
    cr_assert_geq(log_fd, 0);
    cr_assert_eq(dup2(log_fd, STDERR_FILENO), STDERR_FILENO);
}

static const char *logged(void)
{
    const ssize_t bytes = pread(log_fd, text, sizeof(text) - 1, 0);
    text[bytes < 0 ? 0 : bytes] = '\0';
    return text;
}

static uint32_t lines_with(const char *what)
{
    uint32_t count = 0;
    for (const char *at = logged(); (at = strstr(at, what)) != NULL; at++) {
        count++;
    }
    return count;
}

/* "alice" from 192.0.2.7. */
static uint32_t alice(enum rc_codec_id codec)
{
    static const uint8_t address[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 7};
    const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, codec, false, SMALL);
    struct rc_client *client = rc_truth_client(&rig.truth, slot);
    memcpy(rig.truth.peers[client->socket].bytes, address, sizeof(address));
    client->user = rc_pool_alloc(&rig.truth.users);
    *rc_truth_user(&rig.truth, client->user) = (struct rc_user){.id_bytes = 5, .id = "alice"};
    return slot;
}

#define ALICE " address=192.0.2.7 user=\"alice\""

Test(named, a_slow_consumer_of_a_channel_is_named)
{
    capture();
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 8, .channel_log_bytes = 65536});
    const uint32_t slot = alice(RC_CODEC_RAW);
    hub_rig_subscribe(&rig, slot, "prices");
    static char large[20000];
    memset(large, 'x', sizeof(large));
    for (uint32_t i = 0; i < 10 && rc_truth_client(&rig.truth, slot)->state == RC_CLIENT_OPEN; i++) {
        cr_assert_eq(hub_rig_publish(&rig, "prices", rc_span_of(large, sizeof(large)), NULL, 0), 0);
        hub_rig_run(&rig);
    }
    cr_assert_neq(rc_truth_client(&rig.truth, slot)->state, RC_CLIENT_OPEN);
    cr_assert(strstr(logged(), "slow_consumer_disconnected slot=7") != NULL && strstr(text, ALICE) != NULL &&
                  strstr(text, "channel=\"prices\"") != NULL && strstr(text, "behind_messages=") != NULL,
              "%s", text);
    hub_rig_close(&rig);
    (void)close(log_fd);
}

Test(named, a_slow_consumer_of_direct_messages_is_named)
{
    capture();
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 40, .channel_log_bytes = 65536});
    static char large[20000];
    memset(large, 'x', sizeof(large));
    for (uint32_t n = 0; n < 20; n++) {
        const uint32_t slot = alice(RC_CODEC_RAW);
        const struct rc_client_ref ref = hub_rig_ref(&rig, slot);
        for (uint32_t i = 0; i < 10 && rc_truth_client(&rig.truth, slot)->state == RC_CLIENT_OPEN; i++) {
            cr_assert_eq(hub_rig_direct(&rig, &ref, rc_span_of(large, sizeof(large))), 0);
            hub_rig_run(&rig);
        }
        cr_assert_neq(rc_truth_client(&rig.truth, slot)->state, RC_CLIENT_OPEN);
    }
    cr_assert(strstr(logged(), ALICE " reason=\"behind in its direct messages\"") != NULL, "%s", text);
    cr_assert_geq(lines_with("slow_consumer_disconnected"), 1);
    cr_assert_lt(lines_with("slow_consumer_disconnected"), 20, "not a line for each");
    hub_rig_close(&rig);
    (void)close(log_fd);
}

Test(named, a_connection_that_cannot_go_on_for_want_of_memory_is_named)
{
    capture();
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    const uint32_t slot = alice(RC_CODEC_RAW);
    rc_hub_break(&rig.hub, slot);
    hub_rig_run(&rig);
    cr_assert(strstr(logged(), "memory_disconnected slot=3" ALICE) != NULL, "%s", text);
    hub_rig_close(&rig);
    (void)close(log_fd);
}

Test(named, of_a_unix_socket_and_nobody)
{
    struct rc_named who;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_RAW, false, 0);
    const uint32_t socket = hub_rig_socket_of(&rig, slot);
    cr_assert_str_eq(rc_named_address(&rig.truth, socket, &who), "::");
    rig.truth.sockets[socket].flags |= RC_SOCKET_UNIX;
    cr_assert_str_eq(rc_named_address(&rig.truth, socket, &who), "unix");
    cr_assert_str_eq(rc_named_address(&rig.truth, RC_SOCKET_NONE, &who), "none");
    cr_assert_str_eq(rc_named_user(&rig.truth, slot, &who), "");
    hub_rig_close(&rig);
}
