/*
 * hub: a worker's channels, subscriptions and everything that leaves towards its clients.
 *
 * Owned by the worker's main(); one thread. Messages come down from the relay (rc_hub_message, in sequence), are encoded once per
 * encoding into channel logs, and leave in the turn (rc_hub_turn): one send per connection and round. Replies of the worker
 * itself go into the client's output. Upward calls are in struct rc_hub_handlers.
 *
 *   channel.c   names                              append.c    messages into logs, making room
 *   members.c   lists                              conflate.c  the newest message of each key
 *   cursor.c    places in logs                     hold.c, throttle.c  messages held back by min_interval
 *   place.c     where logs are in histories        replay.c    who gets messages of a history first
 *   socket.c    ids of sockets
 *   subscription.c  who hears what                 turn.c      who is served, and when
 *   pending.c   requests that wait for the relay   deliver.c   what one client gets
 *   recover.c   what was missed, out of histories
 *   output.c    replies, answers                   settle.c    what became of the sends
 *   mark.c, close.c  who is to end, and how        hub.c       the whole
 *   delta.c     what a message is more than the last      exclude.c   who is left out
 *   rebuild.c   the index, from another process's truth        here.c      channels of this worker alone
 *   catch_up.c  what came while nobody served
 */
#ifndef RC_WORKER_HUB_HUB_H
#define RC_WORKER_HUB_HUB_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/records/envelope.h"
#include "common/records/sid.h"
#include "common/base/hashmap.h"
#include "common/metrics/metrics.h"
#include "common/base/span.h"
#include "common/shm/history.h"
#include "common/shm/history_keys.h"
#include "common/records/recovery.h"
#include "worker/hub/channel_log.h"
#include "worker/hub/delta.h"
#include "worker/hub/heat.h"
#include "worker/hub/trace.h"
#include "worker/io/io.h"
#include "worker/proto/codec.h"
#include "worker/store/truth.h"

#define RC_HUB_TIMES_MAX 1024u      /* messages of a turn whose latency is observed */
#define RC_HUB_CLOSE_THEIRS 0x8000u /* the client's own close frame was first: close codes are below 5000 */
#define RC_HUB_OUTPUT_MIN 256u      /* first block of replies */

/* A growing list of indexes; private. */
struct rc_index_list {
    uint32_t *items; /* owned */
    uint32_t count;
    uint32_t capacity;
};

/* The subscriptions of a group, in no order; one alone needs no memory of its own. */
struct rc_members {
    union {
        uint32_t one;    /* capacity 0 */
        uint32_t *items; /* owned, capacity > 0 */
    };
    uint32_t count;
    uint32_t capacity;
};

/* Throttles of a namespace; all have the same interval, so that the first is always due first. */
struct rc_throttle_queue {
    uint32_t first; /* 0 = empty */
    uint32_t last;
};

/* A client that a message is for, and by which of its channels; 0 = by none. */
struct rc_selected {
    uint32_t client;
    uint32_t channel;
};
struct rc_selected_list {
    struct rc_selected *items; /* owned */
    uint32_t count;
    uint32_t capacity;
};

struct rc_hub_handlers {
    void *context; /* borrowed */
    /* The worker's interest in a channel began or ended (channel->flags has RC_CHANNEL_WANTED). */
    void (*interest_changed)(void *context, uint32_t channel);
    /* A channel of this worker alone is gone: what its `token` said. May be NULL. */
    void (*here_gone)(void *context, uint64_t token);
    /* How many of limits.max_channels_per_worker are kept for such channels: others are not made in their place. May be NULL: none. */
    uint32_t (*here_kept)(void *context);
    /* A client subscribed to a channel, or does not any more ("*" is not told). May be NULL. */
    void (*member_changed)(void *context, uint32_t client, uint32_t channel, bool joined);
    /* A client that is still OPEN is about to be in no channel any more: its close frame comes next. Once or more often, maybe in the
     * middle of a turn. May be NULL. */
    void (*leaving)(void *context, uint32_t client);
    /* Everything that the server joined for a client is registered: it may be read. */
    void (*joined)(void *context, uint32_t client);
    /* No subscribe request of a client that is RC_CLIENT_WAITS_SUBSCRIBE waits any more. In the middle of the channel's settling:
     * nothing may be carried out for it here. */
    void (*subscribed)(void *context, uint32_t client);
    /* Retained values of a channel that a client has just been subscribed to (RC_PENDING_VALUES), before anything newer can reach it. In the
     * middle of the channel's settling, as above. May be NULL. */
    void (*values)(void *context, uint32_t client, uint32_t channel, struct rc_span values);
    /* A client that only listens asks for something that it does not get: `code` is an HTTP status, too. In the middle of what asked for it, or of
     * a channel's settling. `message` is valid for the call. May be NULL. */
    void (*refused)(void *context, uint32_t client, uint32_t code, struct rc_span message);
    /* What a socket still has to send of its client's output, or of its own, became less: it may be read again. */
    void (*replies_drained)(void *context, uint32_t socket);
    /* All output of a client, the close frame included, has left. */
    void (*flushed)(void *context, uint32_t client);
    /* All answers of a socket without a client have left. */
    void (*answered)(void *context, uint32_t socket);
    /* There may be something for a client that is RC_CLIENT_POLLED: rc_hub_take has it. Behind a turn. */
    void (*ready)(void *context, uint32_t client);
    /* A client cannot go on: it ends now, with the socket that carries it. */
    void (*end)(void *context, uint32_t client);
    /* A slow consumer that nothing carries: it has left its channels, and what it was to get is gone. */
    void (*cut_off)(void *context, uint32_t client);
    /* A direct message that is for nobody here. 0; -ENOSPC: it is, or is to go to another worker, and there is no room now: again after a turn. May
     * be NULL. */
    int (*stray)(void *context, const struct rc_envelope_view *view);
    /* Once per round: heartbeat, and with has_critical what came down the ring meanwhile. */
    void (*round)(void *context);
};

/* Origin times of messages not sent yet; those beyond the last are not observed. */
struct rc_hub_times {
    uint64_t ns[RC_HUB_TIMES_MAX];
    uint32_t count;
};

struct rc_hub {
    struct rc_truth *truth;         /* borrowed */
    struct rc_truth_hub *kept;      /* borrowed: in the truth */
    uint64_t again;                 /* sequence of the record that a killed worker was in the middle of; 0 = none */
    bool caught_up;                 /* the client that is being served has a cursor where everybody stands */
    struct rc_io *io;               /* borrowed */
    const struct rc_config *config; /* borrowed: the one in force */
    struct rc_metrics *metrics;     /* borrowed */
    struct rc_hub_handlers handlers;
    struct rc_hashmap names;               /* channel hash to channel */
    struct rc_members *members;            /* owned: one per group, index into the groups pool */
    uint64_t members_bytes;                /* of the reservation */
    uint32_t *waiting;                     /* owned: first struct rc_pending of each client; 0 = none */
    uint32_t *replays;                     /* owned: first struct rc_replay in a history of each client; 0 = none */
    const struct rc_history_view *history; /* borrowed */
    uint8_t *entry;                        /* owned: scratch of recover.c: a message of a history */
    uint64_t entry_room;
    struct rc_history_keys keys;                  /* of the snapshot that was told last; keys_max 0: none was */
    struct rc_history_cursor keys_of;             /* its channel's slot and epoch, and the offset up to which it goes */
    uint32_t everybody;                           /* channel "*" */
    uint32_t everybody_groups[RC_ENCODING_COUNT]; /* its groups, always there */
    uint32_t everybody_counts[RC_ENCODING_COUNT]; /* clients that hear "*" */
    uint32_t clients_high;                        /* the highest that may be in use */
    uint32_t turn;                                /* counts turns, as kept->turn; 0 is never a turn */
    bool in_turn;
    uint32_t turn_times;            /* of `times` those that the running turn sends */
    uint32_t turn_single_frames;    /* frames of the turn's only log, 0 when it has several */
    struct deliver_source *sources; /* owned: scratch of deliver.c */
    uint32_t sources_max;
    struct rc_index_list dirty_groups;  /* something was appended since their last turn */
    struct rc_index_list turn_groups;   /* those of the running turn */
    struct rc_index_list dirty_clients; /* output of their own, or unblocked */
    struct rc_index_list turn_clients;
    struct rc_index_list replays_due;   /* clients that are to get a piece of a history */
    struct rc_index_list dirty_sockets; /* answers, of those that carry no client */
    struct rc_index_list turn_sockets;
    struct rc_index_list dirty_critical; /* as dirty_groups, of critical namespaces: served between two rounds */
    struct rc_index_list turn_critical;  /* those that are being served */
    const struct rc_members *serving;    /* of kept->critical, where that is not "*"; NULL = none */
    bool has_critical;                   /* some namespace is critical */
    bool tracing;                        /* messages may be traced: traces */
    uint32_t reclaim_next;               /* group at which the next search for memory begins */
    struct rc_index_list ready;          /* clients that are RC_CLIENT_POLLED and have something to get */
    struct rc_index_list ending;         /* clients that are broken or cut off */
    struct rc_index_list owing_groups;   /* a message was lost, and nobody was told yet */
    uint16_t *closings;      /* owned, by client: code of the close frame it gets, and RC_HUB_CLOSE_THEIRS */
    struct rc_heat *heats;   /* owned: by channel */
    uint64_t log_bytes;      /* heap bytes in logs */
    uint64_t output_bytes;   /* heap bytes in outputs */
    uint64_t input_bytes;    /* heap bytes in undecoded input */
    uint64_t *conflate_keys; /* owned: scratch of conflate.c */
    struct rc_conflate_kept *conflate_kept; /* owned: likewise */
    uint32_t conflate_slots;
    uint32_t conflate_kept_capacity;
    uint64_t conflated;          /* frames that the running batch passes over */
    uint64_t missed;             /* the same, of those that are volatile */
    uint64_t held_bytes;         /* heap bytes in throttled messages */
    struct rc_hashmap throttles; /* channel and key to throttle */
    struct rc_throttle_queue throttled[RC_CONFIG_NAMESPACES_MAX];
    bool draining;          /* nothing is held back any more */
    bool waits;             /* messages were left in the ring for those who read what came while nobody served */
    uint64_t took_over_ns;  /* CLOCK_MONOTONIC when this process took the clients over; 0 = it began with none */
    uint64_t order;         /* of the frame appended last; see struct rc_frame */
    const uint64_t *now_ns; /* borrowed: CLOCK_MONOTONIC of this turn of the loop */
    struct rc_hub_times times;
    struct rc_hub_times critical_times; /* of critical channels: sent between two rounds */
    struct rc_span unnamed;             /* socketio.message_event */
    bool recovers;                      /* sockets of Socket.IO may come back: their messages say where they stand */
    uint32_t returning;                 /* clients that are, and hear their rooms without being in the namespace yet */
    struct rc_hashmap aliases;          /* token to client, of sockets whose sids are not of their place */
    char offsets[RC_OFFSET_ORIGIN_BYTES]; /* how what they say begins */
    char instance[RC_SID_INSTANCE_BYTES];
    struct rc_selected_list selected; /* scratch of select.c */
    struct rc_compressor compressor;
    struct rc_deltas deltas;
    struct rc_hub_traces traces;
    uint32_t worker;         /* own index */
    const char *instance_id; /* borrowed */
    uint32_t boot_nonce;
    uint64_t random_state[2]; /* for reconnect delays and client ids */
};

int rc_hub_open(struct rc_hub *hub, struct rc_truth *truth, struct rc_io *io, struct rc_metrics *metrics,
                const struct rc_hub_handlers *handlers, const struct rc_control *control,
                const struct rc_config *config, uint32_t worker, struct rc_err *err);
void rc_hub_close(struct rc_hub *hub);
/* Of a truth that another process has written (rc_truth_attach), with which the hub was opened and which has been accounted for: what can be
 * computed from it. Between two turns of that process. -ENOMEM; -EBADMSG: it is not of this configuration. Then the hub may
 * only be closed. */
struct rc_truth_found;
int rc_hub_rebuild(struct rc_hub *hub, const struct rc_truth_found *found, struct rc_err *err);
/* Behind that, of a process that was killed: a packet of its batch of which only `sent` bytes have left, and then the turn that was running, whose
 * rest is the next turn's. Both come to the same when they are done again. */
void rc_hub_put_back(struct rc_hub *hub, const struct rc_packet *packet, const struct rc_piece *pieces, uint32_t sent);
void rc_hub_resume(struct rc_hub *hub);
/* Last of all: it serves from here on. What is older was published while nobody did: who takes that as it comes is not cut off as slow, but waited for
 * (-ENOSPC of rc_hub_append, rc_hub_direct and rc_hub_select), 5 s at most. */
void rc_hub_took_over(struct rc_hub *hub);
/* Was somebody waited for since the last call? Then there is nothing to do at once. */
bool rc_hub_waited(struct rc_hub *hub);
/* A new configuration is in force: policies are looked up again. */
void rc_hub_reconfigure(struct rc_hub *hub, const struct rc_config *config);

/* A client opened or ended. With its end its requests that wait end too. */
void rc_hub_opened(struct rc_hub *hub, uint32_t client);
void rc_hub_ended(struct rc_hub *hub, uint32_t client);

/* --- channel.c --- */

/* The channel of that name, or 0. */
uint32_t rc_hub_find(struct rc_hub *hub, uint64_t hash, struct rc_span name);
/* The channel of that name, made if it is not there; 0 when there are max_channels_per_worker, less what is kept for others (here_kept). */
uint32_t rc_hub_channel(struct rc_hub *hub, struct rc_span name);
static inline struct rc_span rc_hub_name(const struct rc_hub *hub, const struct rc_channel *channel)
{
    return rc_truth_channel_name(hub->truth, channel);
}

static inline struct rc_span rc_hub_name_json(const struct rc_hub *hub, const struct rc_channel *channel)
{
    return rc_span_of((const uint8_t *)rc_heap_at(&hub->truth->heap, channel->name) + channel->name_bytes,
                      channel->json_bytes);
}
/* The channel is gone if nobody uses it: no subscriber, nobody pending, and the relay was told. */
void rc_hub_release(struct rc_hub *hub, uint32_t channel);

/* Is the channel's namespace critical? */
static inline bool rc_hub_critical(const struct rc_hub *hub, uint32_t channel)
{
    return RC_UNLIKELY(hub->has_critical) &&
           hub->config->namespaces[rc_truth_channel(hub->truth, channel)->namespace].priority == RC_PRIORITY_CRITICAL;
}

/* The channel is wanted, whether anybody is in it or not; not any more for that. */
void rc_hub_hold_channel(struct rc_hub *hub, uint32_t channel);
void rc_hub_let_go_channel(struct rc_hub *hub, uint32_t channel);

/* --- mark.c --- */

/* Puts the client, or whatever is to leave on the socket, into the next turn; one that is RC_CLIENT_POLLED is marked ready. */
void rc_hub_touch(struct rc_hub *hub, uint32_t client);
void rc_hub_touch_socket(struct rc_hub *hub, uint32_t socket);
/* Is the client to get something volatile that is for it alone? Not when it cannot be given it now, which is counted. */
bool rc_hub_takes_volatile(struct rc_hub *hub, uint32_t client);
/* What the client was to get next is lost for want of memory: the next turn begins with its end. */
void rc_hub_break(struct rc_hub *hub, uint32_t client);
/* The client is a slow consumer, or cannot be told that it is closed: gets nothing more, and the turn's next step closes it. */
void rc_hub_cut_off(struct rc_hub *hub, uint32_t client);

/* --- cursor.c --- */

/* Gives a subscription a cursor (it fell behind), or takes it away (it caught up). */
void rc_hub_set_cursor(struct rc_hub *hub, uint32_t subscription, uint64_t position);
void rc_hub_clear_cursor(struct rc_hub *hub, uint32_t subscription);
/* The client is at `position` of "*", not where everybody else is: its cursor is kept in a subscription. -ENOMEM. */
int rc_hub_everybody_behind(struct rc_hub *hub, uint32_t client, uint64_t position);
void rc_hub_everybody_caught_up(struct rc_hub *hub, uint32_t client);
/* The log of a group when something is kept in it is freed as soon as nobody is behind. */
void rc_hub_log_release(struct rc_hub *hub, uint32_t group);
/* Gives a log back; *index becomes 0. */
void rc_hub_log_free(struct rc_hub *hub, uint32_t *index);

/* --- subscription.c --- */

/* A client's subscription to a channel, or 0. */
uint32_t rc_hub_subscription(const struct rc_hub *hub, uint32_t client, uint32_t channel);
/* Subscribes; the cursor starts at the log's head. 0 when memory is used up. */
uint32_t rc_hub_subscribe(struct rc_hub *hub, uint32_t client, uint32_t channel);
/* What came of the channel since the client was subscribed, of which it has got nothing, is not for it. */
void rc_hub_skip(struct rc_hub *hub, uint32_t subscription);
/* Drops a subscription with what is unsent of it; the rest of a cut frame is kept. */
void rc_hub_unsubscribe(struct rc_hub *hub, uint32_t client, uint32_t subscription);
/* The client ends: drops all its subscriptions, while it is known whose they were. */
void rc_hub_unsubscribe_all(struct rc_hub *hub, uint32_t client);
/* The client hears "*" from now on; no more. */
void rc_hub_everybody_join(struct rc_hub *hub, uint32_t client);
void rc_hub_everybody_leave(struct rc_hub *hub, uint32_t client);

/* A client without a socket, to which nothing is left to send, is to hear its channels in another encoding: may it now, between two
 * turns, without a message in between that it would miss? */
bool rc_hub_may_recode(const struct rc_hub *hub, uint32_t client);
/* It does. -ENOMEM: it hears some in the one and some in the other, and is to end. */
int rc_hub_recode(struct rc_hub *hub, uint32_t client, uint8_t encoding);

/* --- pending.c --- */

/* On whose behalf a client subscribes to a channel by its name, and what became of it. */
enum rc_subscriber {
    RC_SUBSCRIBER_CLIENT, /* its own request: where Redis has not confirmed, it is asked again how far the promise reaches */
    RC_SUBSCRIBER_BACKEND, /* a call of the API */
    RC_SUBSCRIBER_SERVER,  /* joined when it opened; limits.max_channels does not count what the configuration says */
};
enum rc_subscribed {
    RC_SUBSCRIBED,
    RC_SUBSCRIBE_WAITS,   /* for the relay's acknowledgement, which answers the request */
    RC_SUBSCRIBE_LIMITED, /* limits.max_channels */
    RC_SUBSCRIBE_NO_ROOM,
};
/*
 * Where a subscriber begins in a channel with history: behind the last message that it has, if none of those behind it is missing; else,
 * or without that, with so many of the newest; else with what is published from now on.
 *
 * It gets those messages behind the answer to its request and before anything newer, each once, in order, a piece at a time as fast as it
 * reads. Who was left out of one (no echo, exclude) still is, under its own id or that of `former`. When some of them go from the history
 * before they are read it is told a gap. Who is in the channel already begins anew: what it has not been sent of it comes from the history.
 */
struct rc_hub_from {
    bool recovers;               /* epoch and offset are meant */
    uint64_t epoch;              /* as it was told, RC_EVENT_SUBSCRIBED and RC_EVENT_MESSAGE; 0 = none of ours */
    uint64_t offset;             /* of the last message that it has */
    uint32_t last;               /* 0 = none */
    bool snapshot;               /* the newest message of each key, where it does not recover */
    struct rc_client_ref former; /* which client of this boot it was; random 0 = none */
};

/* The one way in. `id` is of a request, which is answered with it by RC_EVENT_SUBSCRIBED, at once or when it has waited; empty: it is not.
 * The answer says how the channel stands (epoch, offset) and what became of `from` (recovery). `wants`: RC_PENDING_RETAINED or
 * RC_PENDING_VALUES; who wants something is in the channel from the place on for which the relay tells it, and gets it before anything
 * newer; who recovers gets it only when it cannot. `from`: NULL = from now on. */
enum rc_subscribed rc_hub_subscribe_from(struct rc_hub *hub, uint32_t client, struct rc_span name,
                                         enum rc_subscriber by, struct rc_span id, uint8_t wants,
                                         const struct rc_hub_from *from);
static inline enum rc_subscribed rc_hub_subscribe_name(struct rc_hub *hub, uint32_t client, struct rc_span name,
                                                       enum rc_subscriber by, struct rc_span id, uint8_t wants)
{
    return rc_hub_subscribe_from(hub, client, name, by, id, wants, NULL);
}

/* Remembers a subscribe request that waits for the relay; `id` may be empty. -ENOMEM. */
int rc_hub_wait(struct rc_hub *hub, uint32_t client, uint32_t channel, struct rc_span id);
/* The same for what the server joins when a client opens: nothing leaves towards it before the relay knows, and then
 * handlers.joined is told. What cannot be registered ends the client. -ENOMEM. */
int rc_hub_join(struct rc_hub *hub, uint32_t client, uint32_t channel);
/* Takes a waiting request of this client back: true and its id when there was one. */
bool rc_hub_wait_cancel(struct rc_hub *hub, uint32_t client, uint32_t channel, uint8_t id[RC_REQUEST_ID_MAX],
                        uint8_t *id_bytes);
/* What the relay said of a registered interest. */
struct rc_hub_acknowledgement {
    uint32_t code;         /* 0, or why it is not registered */
    bool local;            /* Redis has not confirmed */
    bool retained;         /* `values` are the channel's retained values, here and now */
    struct rc_span values; /* entries of common/shm/history.h; of another process */
    bool full;             /* its copy of a shared history has all that can be had */
    bool placed;           /* how the channel stands in its history, here and now; with epoch 0 it has none */
    uint32_t slot;
    uint64_t epoch;
    uint64_t position;
};
/* The relay acknowledged our interest: waiting requests become subscriptions and are answered. */
void rc_hub_acknowledged(struct rc_hub *hub, uint32_t channel, const struct rc_hub_acknowledgement *said);

/* --- recover.c --- */

/* Every client that is due gets a piece of the histories that it reads. Between turns. */
void rc_hub_replay(struct rc_hub *hub);
/* May it get one? Not while unsent output takes half of its budget. */
static inline bool rc_hub_replays(const struct rc_hub *hub)
{
    return hub->replays_due.count > 0 && hub->output_bytes <= hub->config->limits.worker_log_bytes / 2;
}
/* The subscription, which is new, is that of a client which comes from another worker and had `stood` in the history there: it goes on from where it
 * was, since histories are all workers'. -ENOMEM. */
int rc_hub_replay_on(struct rc_hub *hub, uint32_t subscription, const struct rc_replay *stood);
/* Messages of a channel (empty name: of any) did not come down. Those that are in its history go into its logs now; of the others, and of
 * all if some are in no history (`unkept`), its subscribers are told a gap. 0; -ENOSPC: once more, after a turn. */
int rc_hub_lost(struct rc_hub *hub, struct rc_span name, bool unkept);
/* Behind that, of a channel: what was missing is up to `position` of the epoch. The message behind it is the next one, and no second gap. */
void rc_hub_lost_behind(struct rc_hub *hub, struct rc_span name, uint64_t epoch, uint64_t position);

/* --- append.c --- */

/* A message for a channel that is known: into its logs, at once. 0; -ENOSPC: a log is full of what the turn has not sent yet, or somebody is
 * waited for (rc_hub_took_over): send first, then try the same message again. */
int rc_hub_append(struct rc_hub *hub, uint32_t channel, const struct rc_envelope_view *view);
/* What stands for a message's key in logs and throttles; 0 = it has none. */
static inline uint64_t rc_hub_key(const struct rc_envelope_view *view)
{
    return view->head.key_bytes == 0 ? 0 : rc_channel_hash((const char *)view->key, view->head.key_bytes);
}
/* The client whose socket in the namespace has that id (random: its token); 0: nobody here. */
uint32_t rc_hub_socket(const struct rc_hub *hub, const struct rc_client_ref *socket, struct rc_span nsp);
/* The client of that name, wherever its id says it was opened; 0: nobody here. */
uint32_t rc_hub_guest(const struct rc_hub *hub, const struct rc_client_ref *ref);
static inline uint32_t rc_hub_here(const struct rc_hub *hub, const struct rc_client_ref *ref)
{
    if (ref->worker == hub->worker && rc_truth_named(hub->truth, ref->slot, ref->random) != NULL) {
        return ref->slot;
    }
    return RC_LIKELY(hub->aliases.count == 0) ? 0 : rc_hub_guest(hub, ref);
}
/* The client whose session of Engine.IO has that secret, where its sid does not say so; 0: nobody here. */
uint32_t rc_hub_session(const struct rc_hub *hub, uint64_t secret);
/* The client's socket has this token from here on, which its place does not make; not any more. -ENOMEM. */
int rc_hub_alias(struct rc_hub *hub, uint64_t token, uint32_t client);
void rc_hub_alias_end(struct rc_hub *hub, uint64_t token, uint32_t client);
/* A gap notice for a channel (empty name: for every channel). */
int rc_hub_gap(struct rc_hub *hub, struct rc_span name);
/* Messages of the channel did not come here: its subscribers are told before the next one, by rc_hub_tell_gaps at the latest. */
void rc_hub_owe_gap(struct rc_hub *hub, uint32_t channel);
/* Tells those who missed a message for want of memory, or by rc_hub_owe_gap, as far as there is room now; without it they would hear of it with the next
 * message of their channel only. Costs nothing when nobody is owed anything. */
void rc_hub_tell_gaps(struct rc_hub *hub);
/* A sequenced message for one client; counted when that client is not here. -ENOSPC as above. */
int rc_hub_direct(struct rc_hub *hub, const struct rc_envelope_view *view);
/* A sequenced message for the members of several rooms, once each (common/records/select.h). 0; -ENOSPC: somebody is waited for. */
int rc_hub_select(struct rc_hub *hub, const struct rc_envelope_view *view);
/* An event that each of its receivers with a socket in the namespace is to acknowledge; others get it as any message. */
struct rc_hub_asking {
    void *context;    /* borrowed */
    bool is_volatile; /* who cannot take it now is not asked, and counts all the same */
    /* The client's socket with this token (rc_truth_sid_token) gets it: the id, decimal digits valid until the next call, with which it is
     * to answer; empty: it is not asked. */
    struct rc_span (*asked)(void *context, uint32_t client, uint64_t token);
};
/* Sends it to whom the record selects, which has names as an RC_DOWN_SELECT; how many sockets of the namespace. `args`: its arguments. */
uint32_t rc_hub_ask(struct rc_hub *hub, const struct rc_envelope_view *view, struct rc_span args,
                    const struct rc_hub_asking *asking);

/* --- here.c --- */

/* Names of channels of this worker alone begin with this byte, which no other name has. */
#define RC_HUB_HERE_BYTE 0x01
/* The channel of that name, made if it is not there, of which nobody but this worker knows; 0: no room. */
uint32_t rc_hub_channel_here(struct rc_hub *hub, struct rc_span name);
/*
 * A message of this worker's own for such a channel: rc_hub_append, for who is not the down ring. Between turns. `*partial` is 0 before the
 * first try; -ENOSPC: a turn has to come first, then the same message with the same `*partial`.
 */
int rc_hub_append_here(struct rc_hub *hub, uint32_t channel, const struct rc_envelope_view *view, uint64_t *partial);
/* The same for one client, in order with the messages of its channels. Who does not read them is cut off. */
void rc_hub_append_to(struct rc_hub *hub, uint32_t client, struct rc_span data);
/* May the client still be sent anything? */
bool rc_hub_takes(const struct rc_hub *hub, uint32_t client);
/* Bytes that wait for the client alone. */
uint64_t rc_hub_backlog(const struct rc_hub *hub, uint32_t client);
/* The same, and what of its channels it has not got, also what it will pass over. */
uint64_t rc_hub_unread(const struct rc_hub *hub, uint32_t client);
/* Has the subscription got all that came for it? */
bool rc_hub_caught_up(const struct rc_hub *hub, uint32_t subscription);
/* Encodings (bits) in which something waits in the channel's log for who has got all before it: who reads them is not to be sent anything
 * volatile, which is counted for each. */
uint64_t rc_hub_encodings_behind(struct rc_hub *hub, uint32_t channel);
/* Members of a channel, one after another: `*group` and `*member` are 0 at first. 0: there is no more. Not across changes of it. */
uint32_t rc_hub_member_next(struct rc_hub *hub, uint32_t channel, uint32_t *group, uint32_t *member);

/* --- hold.c --- */

/* The channel has no subscriber any more: what is held for it goes. */
void rc_hub_throttle_drop(struct rc_hub *hub, uint32_t channel);
/* Puts the throttles in order again, after channels changed their namespaces or these their intervals. */
void rc_hub_throttle_sort(struct rc_hub *hub);

/* --- throttle.c --- */

/* A sequenced message for a channel with local subscribers. 0 or -ENOSPC, as above. */
int rc_hub_message(struct rc_hub *hub, const struct rc_envelope_view *view);
/* As rc_hub_append for a channel whose namespace has a min_interval: at once after a quiet time, else the message is held and
 * takes the place of the one of its key that was. */
int rc_hub_throttle(struct rc_hub *hub, uint32_t channel, const struct rc_envelope_view *view);
/* Appends what is due. False: more is, but a turn has to come first. */
bool rc_hub_timers(struct rc_hub *hub);
/* Milliseconds until the next message is due, at most `limit`. */
uint32_t rc_hub_sleep_ms(const struct rc_hub *hub, uint32_t limit);
/* From now on nothing is held back; true when nothing is held any more. */
bool rc_hub_drain(struct rc_hub *hub);

/* --- conflate.c --- */

/* Sets RC_FRAME_SUPERSEDED where it is due. */
void rc_hub_conflate_mark(struct rc_hub *hub, uint32_t group, struct rc_channel_log *log);
/* Drops superseded frames of [base, keep), and of the others the oldest beyond `bytes_max`; whoever stands there gets only the
 * latest from now on. `keep` is a frame's beginning, not behind log->served. False: there is no memory to do it. */
bool rc_hub_conflate(struct rc_hub *hub, uint32_t group, struct rc_channel_log *log, uint64_t keep, uint64_t bytes_max);
/* Up to where to conflate, `wanted` at least, so that `free_min` bytes get free; log->served when they do not. *freed: how many
 * do, when nothing but superseded frames goes. */
uint64_t rc_hub_conflate_until(struct rc_hub *hub, uint32_t group, struct rc_channel_log *log, uint64_t wanted,
                               uint64_t free_min, uint64_t *freed);

/* --- output.c --- */

/* Encodes an event for the client and appends it to its output. -ENOMEM when the budget is used up: the caller ends the client. */
int rc_hub_reply_event(struct rc_hub *hub, uint32_t client, const struct rc_event *event);
/* "Are you there?", in the client's protocol. -ENOMEM. */
int rc_hub_heartbeat(struct rc_hub *hub, uint32_t client);
/* One part in the client's framing, not compressed. -ENOMEM. */
int rc_hub_reply_part(struct rc_hub *hub, uint32_t client, enum rc_part_kind kind, const void *bytes, uint32_t count);
/* Appends one WebSocket frame. */
int rc_hub_reply_frame(struct rc_hub *hub, uint32_t client, uint8_t opcode, const uint8_t *payload, uint32_t count);
/* Appends bytes of an HTTP answer to the output of a socket that carries no client. -ENOMEM: the caller ends it. */
int rc_hub_answer(struct rc_hub *hub, uint32_t socket, const void *bytes, uint32_t count);
/* Unsent bytes of a client's output; of the output that is to leave on a socket. */
uint32_t rc_hub_unsent(const struct rc_hub *hub, uint32_t client);
uint32_t rc_hub_unsent_on(const struct rc_hub *hub, uint32_t socket);
/* Gives back output that has left; tells `flushed` (`answered`) when nothing is left of it. */
void rc_hub_output_settle(struct rc_hub *hub, uint32_t client);
void rc_hub_answers_settle(struct rc_hub *hub, uint32_t socket);
/* Frees output and direct log. */
void rc_hub_output_release(struct rc_hub *hub, uint32_t client);
void rc_hub_answers_release(struct rc_hub *hub, uint32_t socket);
/* Keeps the frame that is cut on the wire, so that its log may go. -ENOMEM: the client must end. */
int rc_hub_keep_cut(struct rc_hub *hub, uint32_t client);
/* The same if it is one of this subscription; without memory the client is broken. */
void rc_hub_keep_cut_or_break(struct rc_hub *hub, uint32_t subscription);

/* From here on the socket carries the client. What the socket still has to send leaves first: answers of earlier requests, the
 * response to the upgrade. -ENOMEM: nothing changed. Not while sends are queued. */
int rc_hub_attach(struct rc_hub *hub, uint32_t client, uint32_t socket);
/* Nothing carries the client any more. What its socket took counts as sent; a frame that was begun on it and not finished begins
 * anew on the next. Until then the client keeps its places in the logs, like one whose socket takes nothing: its channels' slow
 * policies bound what is kept for it. */
void rc_hub_detach(struct rc_hub *hub, uint32_t client);

/* The socket of one client carries another one from here on, which had none and has nothing left to send. The wire is the same: what the
 * first has not sent of its own leaves on it first, also the rest of what was begun. */
void rc_hub_move(struct rc_hub *hub, uint32_t from, uint32_t to);

/* --- close.c --- */

/* Queues the close frame. `now`: everything else unsent is dropped, subscriptions included; otherwise it goes after it. A client
 * without a socket is told nothing: the next turn ends it. */
void rc_hub_close_client(struct rc_hub *hub, uint32_t client, uint16_t code, const char *reason, size_t reason_bytes,
                         bool now);

/* --- deliver.c --- */

/* What there is for a client without a socket, as bytes of its framing: whole units, in the order in which a socket would get them. */
struct rc_hub_taken {
    uint8_t *bytes; /* owned */
    size_t count;
    size_t capacity;
};
/* Takes it, up to the size of a send, and of 64 logs. True: there is more. Only when handlers.ready is told of, right behind a turn: what came
 * since then is not ordered yet among the logs. The client has got nothing of it, should this process be killed, before rc_hub_got says so, which
 * has to be before anything else is done for the client; if it does not, the next time takes the same. */
bool rc_hub_take(struct rc_hub *hub, uint32_t client, struct rc_hub_taken *taken);
/* The same of its replies alone: it hears no more of its channels. At any time but within a turn. */
bool rc_hub_take_replies(struct rc_hub *hub, uint32_t client, struct rc_hub_taken *taken);
/* It has got what was taken last; it has not, and stands where it stood (nothing, if it has got it already). */
void rc_hub_got(struct rc_hub *hub);
static inline void rc_hub_not_got(struct rc_hub *hub)
{
    hub->truth->layout->took.client = 0;
    RC_STORE_ORDER();
}

/* --- turn.c --- */

/* True when something waits to be sent. */
static inline bool rc_hub_pending(const struct rc_hub *hub)
{
    return hub->dirty_groups.count > 0 || hub->dirty_clients.count > 0 || hub->dirty_sockets.count > 0 ||
           hub->dirty_critical.count > 0 || hub->ending.count > 0 || hub->ready.count > 0 || rc_hub_replays(hub);
}
/* Serves everybody who has something to get, once. */
void rc_hub_turn(struct rc_hub *hub);
/* Who was marked ready is told of (handlers.ready); between two turns. */
void rc_hub_tell_ready(struct rc_hub *hub);
void rc_hub_short_send(struct rc_hub *hub, const struct rc_packet *packet, const struct rc_piece *pieces, uint32_t sent,
                       int error);
void rc_hub_writable(struct rc_hub *hub, uint32_t socket);

/* --- shared small things --- */

/* What is done for the client until rc_hub_worked is half done if this process is killed in it: then the client ends. Whom something was
 * done for until here, for rc_hub_worked. */
static inline uint32_t rc_hub_works(struct rc_hub *hub, uint32_t client)
{
    const uint32_t outer = hub->truth->layout->working_client;
    hub->truth->layout->working_client = client;
    RC_STORE_ORDER();
    hub->truth->layout->client_rests = 0;
    RC_STORE_ORDER();
    return outer;
}

/* The same, and nothing is half done before rc_hub_begins, but what worker/store/receiving.h says: it stays. It is named if this process crashes. */
static inline uint32_t rc_hub_rests(struct rc_hub *hub, uint32_t client)
{
    const uint32_t outer = hub->truth->layout->working_client;
    hub->truth->layout->client_rests = outer == 0;
    RC_STORE_ORDER();
    hub->truth->layout->working_client = client;
    RC_STORE_ORDER();
    return outer;
}

static inline void rc_hub_begins(struct rc_hub *hub)
{
    RC_STORE_ORDER();
    hub->truth->layout->client_rests = 0;
    RC_STORE_ORDER();
}

static inline void rc_hub_worked(struct rc_hub *hub, uint32_t outer)
{
    RC_STORE_ORDER();
    hub->truth->layout->working_client = outer;
}

int rc_index_list_push(struct rc_index_list *list, uint32_t item);
uint64_t rc_hub_random(struct rc_hub *hub);

static inline uint32_t *rc_members_items(struct rc_members *members)
{
    return members->capacity > 0 ? members->items : &members->one;
}

#endif
