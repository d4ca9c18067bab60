/*
 * client_rig: clients of a worker in the test's own process: a hub rig, and above it asks, the worker's rings and struct rc_clients.
 * The test is the relay: it reads the up ring and calls what the uplink would.
 *
 * One rig per test; single thread. Everything that fails here fails the test (RC_ASSERT).
 */
#ifndef RC_TESTS_SUPPORT_CLIENT_RIG_H
#define RC_TESTS_SUPPORT_CLIENT_RIG_H

#include <stdint.h>

#include "common/shm/ring.h"
#include "tests/support/hub_rig.h"
#include "worker/client/client.h"
#include "worker/uplink/ask.h"
#include "worker/uplink/uplink.h"

#define CLIENT_RIG_RING_BYTES 65536u

struct client_rig {
    struct hub_rig rig;
    struct rc_uplink uplink;
    struct rc_asks asks;
    struct rc_clients clients; /* without interests, and no handler of io or hub is its own */
    struct rc_uplink_handlers handlers;
    struct rc_port *port; /* owned */
    struct rc_port_view view;
    struct rc_ring up; /* consumer */
    int bell_fd;
};

void client_rig_open(struct client_rig *c, uint32_t slots);
/* On copies of another one's truth and rings (hub_rig_succeed): nothing is rebuilt yet. */
void client_rig_succeed(struct client_rig *c, const struct client_rig *from);
void client_rig_close(struct client_rig *c);

/* The client is a user from here on. */
void client_rig_user(struct client_rig *c, uint32_t client, const char *id);

/* Fills the up ring with records of so many bytes of data; how many. */
uint32_t client_rig_fill(struct client_rig *c, uint32_t bytes);
/* The next record that went up, which is given back at once; false: none. The view lives until the next record is written. */
bool client_rig_up(struct client_rig *c, uint32_t *type, struct rc_envelope_view *view);

#endif
