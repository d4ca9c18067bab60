/* Who comes from another worker, as long as it is half here. */
#include <criterion/criterion.h>

#include "tests/support/client_rig.h"
#include "worker/client/client.h"

static struct client_rig rig;

static void open_rig(void)
{
    client_rig_open(&rig, 8);
}

static void close_rig(void)
{
    client_rig_close(&rig);
}

TestSuite(take, .init = open_rig, .fini = close_rig);

/* A worker that is killed right behind this leaves a client that no timer knows. */
Test(take, from_the_moment_on_that_it_is_there_it_is_worked_for)
{
    const struct rc_client_coming coming = {
        .home = {.random = 8, .slot = 1, .worker = (uint16_t)(rig.clients.worker + 1)},
        .endpoint = RC_ENDPOINT_PATH,
        .encoding = rc_encoding_of(RC_CODEC_JSON, RC_FRAMING_WEBSOCKET, 0),
    };
    const struct rc_truth *truth = &rig.rig.truth;
    const uint32_t client = rc_client_came(&rig.clients, RC_SOCKET_NONE, &coming);
    cr_assert_gt(client, 0);
    cr_assert_eq(rc_truth_client(truth, client)->random, 8);
    cr_assert_eq(truth->layout->working_client, client);
    rc_hub_worked(rig.clients.hub, 0);
    rc_client_end(&rig.clients, client);
}
