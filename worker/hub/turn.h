/*
 * turn: what turn.c (who is served), deliver.c (with what) and settle.c (what became of the sends) have in common. Private to the
 * hub.
 */
#ifndef RC_WORKER_HUB_TURN_H
#define RC_WORKER_HUB_TURN_H

#include <stdbool.h>

#include "worker/hub/hub_internal.h"

/* Where a log ends for this turn. */
static inline uint64_t rc_turn_end(const struct rc_hub *hub, const struct rc_channel_log *log)
{
    return log->turn == hub->turn ? log->target : log->served;
}

/* What was taken last is its client's (rc_hub_got), as the truth says, in whichever process; done again it comes to the same. */
void rc_turn_got(struct rc_hub *hub);

/* Nothing may be sent: the client is gone, or is about to be. */
static inline bool rc_turn_mute(const struct rc_client *client)
{
    return client->state == RC_CLIENT_FREE || (client->flags & (RC_CLIENT_BROKEN | RC_CLIENT_CUT_OFF)) != 0;
}

static inline bool rc_turn_socket_lives(const struct rc_socket *socket)
{
    return socket->state >= RC_SOCKET_HTTP && socket->state <= RC_SOCKET_LINGER;
}

/* Nothing is sent until it is writable; since when, the write timeout wants to know, which is looked at when it is over. */
static inline void rc_turn_block(const struct rc_hub *hub, struct rc_socket *socket)
{
    if (!(socket->flags & RC_SOCKET_BLOCKED)) {
        socket->flags |= RC_SOCKET_BLOCKED;
        socket->blocked_ds = hub->io->now_ds;
        const uint64_t write_ms = hub->config->limits.write_timeout_ms;
        if (write_ms > 0) {
            rc_io_hasten_timer(hub->io, (uint32_t)(socket - hub->truth->sockets), rc_io_deadline(hub->io, write_ms));
        }
    }
}

/* Is the frame, which was there before the client could take it, one that it misses? Not one that it is excluded from. */
static inline bool rc_turn_misses(const struct rc_channel_log *log, const struct rc_heap *heap, uint32_t frame,
                                  const struct rc_client *client)
{
    const uint32_t flags = rc_channel_log_frame(log, heap, frame)->flags;
    return (flags & RC_FRAME_VOLATILE) &&
           !((client->flags & RC_CLIENT_EXCLUDED) && (flags & RC_FRAME_EXCLUDES) &&
             rc_channel_log_excluded(log, heap, rc_channel_log_frame_position(log, heap, frame), client->random));
}

/* --- settle.c --- */

/* Counts what was passed over, once it is sure that it will not be looked at again. */
void rc_turn_count_passed(struct rc_hub *hub);

/* --- deliver.c --- */

enum rc_turn_scope {
    RC_TURN_ALL,      /* everything that there is for the client: its turn */
    RC_TURN_ALONE,    /* the same, when no log but that of subscription `only` has news in this turn */
    RC_TURN_CRITICAL, /* the log of subscription `only` (0: "*") and nothing else: the rest comes with its turn */
};

void rc_turn_serve(struct rc_hub *hub, uint32_t client, enum rc_turn_scope scope, uint32_t only);
/* Sends the answers of a socket that carries no client. */
void rc_turn_serve_socket(struct rc_hub *hub, uint32_t socket);

#endif
