/* recoverable: messages that Socket.IO clients which come back will ask for. Part of the router: see router.h. */
#include "relay/route/router.h"

#include "common/base/clock.h"
#include "relay/bridge/wire.h"

/* As it is known on other hosts: by what came with it from there, or by the sequence with which it goes there. */
static uint32_t message_identity(const struct rc_router *router, const struct rc_fanout_message *message)
{
    const struct rc_envelope *up = &message->up->head;
    if ((up->flags & RC_ENVELOPE_REMOTE) != 0) {
        return (up->flags & RC_ENVELOPE_RETAIN) != 0 ? 0 : (uint32_t)up->token;
    }
    const uint64_t sequence = up->sequence != 0 ? up->sequence : message->copy.head.sequence;
    const struct rc_recovery_setup *own = &router->setup.recovery->setup;
    return rc_wire_identity(rc_span_text(own->instance_id), own->boot_nonce, sequence);
}

void rc_router_recoverable(const struct rc_router *router, const struct rc_fanout_message *message)
{
    rc_recovery_keep(router->setup.recovery, message->type, &message->copy, message_identity(router, message),
                     rc_clock_ms());
}
