/* client_rig: see client_rig.h. */
#include "tests/support/client_rig.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/check.h"

/* What stands above a hub rig; `port`: the rings of a predecessor, or NULL. */
static void rig_open(struct client_rig *c, const struct rc_port *port)
{
    struct rc_err err = {0};
    RC_ASSERT(rc_clients_open(&c->clients, c->rig.control, c->rig.config, &c->rig.truth, &c->rig.io, &c->rig.hub,
                              &c->uplink, NULL, &c->asks, c->rig.metrics, 0) == 0);
    c->handlers = rc_clients_uplink_handlers(&c->clients);
    const uint64_t bytes = rc_port_bytes(CLIENT_RIG_RING_BYTES, CLIENT_RIG_RING_BYTES);
    RC_ASSERT(posix_memalign((void **)&c->port, 4096, bytes) == 0);
    if (port != NULL) {
        memcpy(c->port, port, bytes);
    } else {
        memset(c->port, 0, bytes);
    }
    c->view = (struct rc_port_view){
        .shared = c->port, .ring_bytes = CLIENT_RIG_RING_BYTES, .overflow_bytes = CLIENT_RIG_RING_BYTES};
    atomic_store(&c->rig.shared->core.workers[0].generation, 1);
    atomic_store(&c->rig.shared->core.relay.generation, 1);
    c->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    RC_ASSERT(c->bell_fd >= 0);
    RC_ASSERT(rc_uplink_open(&c->uplink, c->rig.control, &c->view, &c->rig.truth, c->rig.metrics, 0, c->bell_fd,
                             &c->handlers, &err) == 0);
    rc_asks_open(&c->asks, c->rig.control, c->rig.metrics, &c->rig.io.now_ns);
    RC_ASSERT(rc_ring_attach_consumer(&c->up, &c->port->pairs[1].up, rc_port_data(&c->view, 1, RC_PORT_UP),
                                      CLIENT_RIG_RING_BYTES) == 0);
}

void client_rig_open(struct client_rig *c, uint32_t slots)
{
    hub_rig_open(&c->rig, &(struct hub_rig_options){.slots = slots});
    rig_open(c, NULL);
}

void client_rig_succeed(struct client_rig *c, const struct client_rig *from)
{
    hub_rig_succeed(&c->rig, &from->rig, &(struct hub_rig_options){.slots = from->rig.slots});
    rig_open(c, from->port);
}

void client_rig_close(struct client_rig *c)
{
    for (uint32_t i = 1; i < c->rig.truth.clients.high; i++) {
        if (rc_truth_client(&c->rig.truth, i)->state != RC_CLIENT_FREE) {
            rc_client_forget_user(&c->clients, i);
        }
    }
    rc_clients_close(&c->clients);
    rc_asks_close(&c->asks);
    hub_rig_close(&c->rig);
    rc_uplink_close(&c->uplink);
    free(c->port);
    (void)close(c->bell_fd);
}

void client_rig_user(struct client_rig *c, uint32_t client, const char *id)
{
    const int rc = rc_client_set_user(&c->clients, client, rc_span_text(id));
    RC_ASSERT(rc == 0);
}

uint32_t client_rig_fill(struct client_rig *c, uint32_t bytes)
{
    static const uint8_t data[CLIENT_RIG_RING_BYTES];
    struct rc_envelope_view view = {
        .head = {.data_bytes = bytes, .channel_bytes = 6}, .channel = "filler", .data = data};
    uint32_t count = 0;
    RC_ASSERT(bytes <= sizeof(data));
    while (rc_uplink_write(&c->uplink, RC_UP_PUBLISH, &view) == 0) {
        count++;
    }
    return count;
}

bool client_rig_up(struct client_rig *c, uint32_t *type, struct rc_envelope_view *view)
{
    uint32_t bytes;
    const void *record;
    if (rc_ring_next(&c->up, type, &record, &bytes) != 1) {
        return false;
    }
    RC_ASSERT(rc_envelope_read(view, record, bytes) == 0);
    rc_ring_release(&c->up);
    return true;
}
