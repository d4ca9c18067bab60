/* What becomes of connections that a predecessor had begun with when it went: rc_clients_taken. */
#include <criterion/criterion.h>

#include "tests/support/client_rig.h"

#define TRIES (3u * RC_LEAVING_TRY)

static struct client_rig rig;

static void open_rig(void)
{
    client_rig_open(&rig, 8);
    rig.rig.config->limits.handshake_timeout_ms = 7000;
}

static void close_rig(void)
{
    client_rig_close(&rig);
}

TestSuite(rebuild, .init = open_rig, .fini = close_rig);

/* A socket on its way to `to`, as a predecessor leaves it. */
static struct rc_socket *leaving(uint32_t to, uint16_t flags)
{
    int far;
    struct rc_socket *socket = &rig.rig.truth.sockets[hub_rig_socket(&rig.rig, HUB_RIG_UNIX, 0, &far)];
    socket->state = RC_SOCKET_LEAVING;
    socket->leaving = to;
    socket->flags |= flags;
    socket->deadline_ds = rig.rig.io.now_ds + 1;
    return socket;
}

Test(rebuild, who_was_leaving_begins_its_request_again_however_often_it_was_tried)
{
    struct rc_socket *once = leaving(1, RC_SOCKET_PAUSED);
    struct rc_socket *often = leaving(1 + TRIES, RC_SOCKET_PAUSED);
    struct rc_socket *crosses = leaving(RC_LEAVING_CROSSES + RC_LEAVING_TRY, RC_SOCKET_PAUSED);
    rc_clients_taken(&rig.clients);
    struct rc_socket *const all[] = {once, often, crosses};
    for (size_t i = 0; i < 3; i++) {
        cr_expect_eq(all[i]->state, RC_SOCKET_HTTP, "%zu", i);
        cr_expect_eq(all[i]->leaving, 0, "%zu", i);
        cr_expect_not(all[i]->flags & RC_SOCKET_PAUSED, "%zu: it is read", i);
        cr_expect_geq(all[i]->deadline_ds, rig.rig.io.now_ds + 69, "%zu: as at first", i);
    }
}

/* It goes on when its time comes: what it waits for is another worker's, or is over. */
Test(rebuild, who_waits_for_a_session_waits_on_however_often_it_was_tried)
{
    struct rc_socket *first = leaving(RC_LEAVING_WAITS, RC_SOCKET_PAUSED);
    struct rc_socket *often = leaving(RC_LEAVING_WAITS + TRIES, RC_SOCKET_PAUSED);
    rc_clients_taken(&rig.clients);
    cr_expect(first->state == RC_SOCKET_LEAVING && first->leaving == RC_LEAVING_WAITS);
    cr_expect(often->state == RC_SOCKET_LEAVING && often->leaving == RC_LEAVING_WAITS + TRIES);
    cr_expect(first->deadline_ds == rig.rig.io.now_ds + 1 && often->deadline_ds == rig.rig.io.now_ds + 1);
}

/* Its far end may have gone with some of what it said. */
Test(rebuild, who_was_leaving_by_a_pipe_ends)
{
    const struct rc_socket *piped = leaving(1, RC_SOCKET_PIPE);
    rc_clients_taken(&rig.clients);
    cr_expect_geq(piped->state, RC_SOCKET_TERMINATING);
}

Test(rebuild, who_has_just_come_has_as_long_for_its_request_as_anybody)
{
    int far;
    struct rc_socket *socket = &rig.rig.truth.sockets[hub_rig_socket(&rig.rig, HUB_RIG_UNIX, 0, &far)];
    socket->state = RC_SOCKET_HTTP;
    socket->deadline_ds = 0;
    rc_clients_taken(&rig.clients);
    cr_expect_geq(socket->deadline_ds, rig.rig.io.now_ds + 69);
    socket->deadline_ds = rig.rig.io.now_ds + 5;
    rc_clients_taken(&rig.clients);
    cr_expect_eq(socket->deadline_ds, rig.rig.io.now_ds + 5, "it is another one's business");
}
