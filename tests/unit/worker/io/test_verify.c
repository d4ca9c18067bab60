/* A successor and the kernel count the same; where they do not, each difference is found. */
#include <criterion/criterion.h>

#include <sys/socket.h>

#include "tests/support/hub_rig_listen.h"
#include "worker/io/io_internal.h"

static struct hub_rig rig;
static struct sockaddr_in address;
static int listener;
static uint32_t clients[3];

static void open_rig(void)
{
    listener = hub_rig_listen_open(&rig, 16, &address);
    for (int i = 0; i < 3; i++) {
        clients[i] = hub_rig_connect(&rig, i < 2 ? HUB_RIG_TCP : HUB_RIG_UNIX, RC_CODEC_RAW, false, 0);
        (void)hub_rig_subscribe(&rig, clients[i], "news");
    }
    cr_assert_eq(hub_rig_publish(&rig, "news", RC_SPAN("\"to all\""), NULL, 0), 0);
    for (int i = 0; i < 3; i++) {
        hub_rig_say(&rig, clients[i], "said");
    }
    hub_rig_drain(&rig);
    hub_rig_run(&rig);
}

static void close_rig(void)
{
    hub_rig_listen_close(&rig, listener);
}

TestSuite(verify, .init = open_rig, .fini = close_rig);

Test(verify, nothing_differs_and_unix_sockets_are_not_counted)
{
    uint32_t looked;
    cr_expect_eq(rc_io_verify(&rig.io, &looked), 0);
    cr_expect_eq(looked, 2);
    hub_rig_say(&rig, clients[0], "more"); /* lies in the socket */
    cr_expect_eq(rc_io_verify(&rig.io, &looked), 0);
    cr_expect_eq(hub_rig_hand_over(&rig), 3);
    cr_expect_eq(rc_io_verify(&rig.io, &looked), 0);
}

Test(verify, what_differs_is_found_in_either_direction)
{
    uint32_t looked;
    hub_rig_its_socket(&rig, clients[0])->sent_bytes--;
    cr_expect_eq(rc_io_verify(&rig.io, &looked), 1);
    hub_rig_its_socket(&rig, clients[1])->received_bytes++;
    cr_expect_eq(rc_io_verify(&rig.io, &looked), 2);
    cr_expect_eq(rc_metric_get(rig.metrics, RC_METRIC_ADOPT_DIFFERENCES), 3);
}
