/*
 * hub_internal: what the files of worker/hub share with each other and nobody else. Each calls only those above it:
 *
 *   members  record  place  channel  mark  hold
 *                                         lists, what records have added, places in histories, names, whom the turn looks at, held messages
 *   cursor  replay                        places in logs; who gets messages of a history first
 *   output  conflate                      what is for one client alone; the newest of each key
 *   delta                                 messages as deltas, and to whom
 *   subscription  exclude                 who hears what, and what it is left out of
 *   catch_up                              who is waited for, behind a worker that was dead
 *   close  append                         how a client ends; messages into logs
 *   recover                               what was missed, out of histories
 *   pending  throttle  select             requests that wait; messages that wait, or are for several rooms
 *   deliver  settle                       what one client gets, and what became of it
 *   turn  hub  rebuild  resume            everybody; the whole
 */
#ifndef RC_WORKER_HUB_HUB_INTERNAL_H
#define RC_WORKER_HUB_HUB_INTERNAL_H

#include "worker/hub/hub.h"

static inline uint32_t rc_hub_log_index(const struct rc_hub *hub, const struct rc_channel_log *log)
{
    return (uint32_t)(log - (const struct rc_channel_log *)(const void *)hub->truth->logs.base);
}

/* Bytes of a log, and words that say where they are, are changed in place between these two: rare, where there is no memory for a copy. */
static inline void rc_hub_fragile_log(struct rc_hub *hub, const struct rc_channel_log *log)
{
    hub->kept->fragile_log = rc_hub_log_index(hub, log);
    RC_STORE_ORDER();
}

static inline void rc_hub_whole_log(struct rc_hub *hub)
{
    RC_STORE_ORDER();
    hub->kept->fragile_log = 0;
}

/* --- members.c --- */

/* -ENOMEM. */
int rc_members_add(struct rc_members *members, uint32_t subscription);
void rc_members_remove(struct rc_hub *hub, struct rc_members *members, uint32_t position);

/* --- record.c --- */

/* A record of that sequence begins: what it adds to logs is newer than hub.kept->order from here on, also should a successor handle it again. */
void rc_record_begin(struct rc_hub *hub, uint64_t sequence);
/* The same of one that a killed worker was in the middle of. */
bool rc_record_was_added(const struct rc_hub *hub, uint32_t log);
/* Was the record, which is the one that a killed worker was in the middle of, added to the log (0: there is none) by that? */
static inline bool rc_record_is_in(const struct rc_hub *hub, uint64_t sequence, uint32_t log)
{
    return RC_UNLIKELY(sequence != 0 && sequence == hub->again) && rc_record_was_added(hub, log);
}

/* --- place.c --- */

/* Do the channel's messages have a place in its history, which clients may come back to? Not where they are throttled: those that come
 * are not in the order of their offsets. */
bool rc_place_wanted(const struct rc_hub *hub, const struct rc_channel *channel);
/* What goes into the channel's logs next is behind this. Without memory for it nothing is known of the channel. */
void rc_place_set(struct rc_hub *hub, uint32_t channel, uint64_t epoch, uint64_t position, uint32_t slot);
/* Nothing is known of the channel's history any more. */
void rc_place_drop(struct rc_hub *hub, struct rc_channel *channel);
/* Offset of the message that went last into the log of this encoding. */
static inline uint64_t rc_place_position(const struct rc_hub *hub, const struct rc_place *place, uint8_t encoding)
{
    const bool partial = hub->kept->partial_place == place->channel && (hub->kept->partial_mask >> encoding & 1) != 0;
    return place->position + (partial ? 1 : 0);
}

/* The newest message of each key up to where the subscription begins goes to the client, oldest first; `was_in`: what of the channel is on its
 * way to it does not. At most namespace.max_keys of them; of those that find no room in its output a gap is told. */
void rc_recover_snapshot(struct rc_hub *hub, uint32_t subscription, bool was_in);

/* --- replay.c --- */

/* A request for messages of a history; 0: no memory. */
uint32_t rc_replay_ask(struct rc_hub *hub, const struct rc_hub_from *from);
void rc_replay_forget(struct rc_hub *hub, uint32_t request);
/* The replay, or request, has given all that was asked for: how long that took is observed, if it is one that recovers. */
void rc_replay_recovered(struct rc_hub *hub, uint32_t index);
/* The subscription, no frame of which is cut on the wire, gets messages of the history from replay->cursor on, which is set. */
void rc_replay_begin(struct rc_hub *hub, uint32_t subscription, uint32_t replay);
/* It does not any more; where it stands in the log is the caller's to say. */
void rc_replay_end(struct rc_hub *hub, uint32_t subscription);
/* The client may have room for more. */
void rc_replay_due(struct rc_hub *hub, uint32_t client);
/* The subscription, which is behind in its log, goes on from that frame (or from the head) in the history in its place. False: the frame's
 * message is not there, or no memory. */
bool rc_replay_behind(struct rc_hub *hub, uint32_t subscription, const struct rc_channel_log *log, uint32_t frame);

/* --- channel.c --- */

/* ringcast_channels is as many as there are with subscribers. */
void rc_hub_count_channels(const struct rc_hub *hub);
/* The index of the name's namespace in the configuration. */
uint8_t rc_hub_namespace(const struct rc_hub *hub, struct rc_span name);
/* Is the channel wanted by somebody, and was it? Tells handlers.interest_changed. */
void rc_hub_update_interest(struct rc_hub *hub, uint32_t channel);

/* --- hold.c --- */

/* The throttle of that channel and key, or 0. */
uint32_t rc_hold_find(const struct rc_hub *hub, uint32_t channel, uint64_t key);
uint64_t rc_hold_now_ms(const struct rc_hub *hub);
/* A message has gone into the logs: the next one has to wait. */
void rc_hold_open(struct rc_hub *hub, uint32_t channel, uint64_t key);
void rc_hold_close(struct rc_hub *hub, uint32_t throttle);
/* Keeps the message, whose key is `key`, in the place of the one that is held. False: there is no memory, and nothing is held any
 * more. */
bool rc_hold_keep(struct rc_hub *hub, uint32_t throttle, const struct rc_envelope_view *view, uint64_t key);
/* What was held has gone into the logs: nothing is held, and the time begins anew. */
void rc_hold_renew(struct rc_hub *hub, uint32_t throttle);

/* The queues of namespaces and what is found by channel and key, from the truth's throttles. -ENOMEM, -EBADMSG. */
int rc_hold_rebuild(struct rc_hub *hub, const struct rc_truth_found *found, struct rc_err *err);

/* --- mark.c --- */

/* There is something for the client: if it is RC_CLIENT_POLLED, handlers.ready is told between this turn and the next. */
void rc_hub_mark_ready(struct rc_hub *hub, uint32_t client);

/* --- output.c --- */

/* The output that `link` (client.output or socket.output) names, made if there is none; NULL: no memory. */
struct rc_output *rc_hub_output_of(struct rc_hub *hub, uint32_t *link);
/* Nothing may be added: the client is gone, or its close frame has left or begun to. */
bool rc_hub_silent(const struct rc_hub *hub, const struct rc_client *client);
/* Gives back what has left of a client's output. True: nothing is left of it, and it is gone. */
bool rc_hub_output_left(struct rc_hub *hub, struct rc_client *client);

/* --- exclude.c --- */

static inline uint32_t rc_hub_client_index(const struct rc_hub *hub, const struct rc_client *client)
{
    return (uint32_t)(client - (const struct rc_client *)(const void *)hub->truth->clients.base);
}

/* Leaves members of the group out of the newest frame, as the message says. How many. */
uint32_t rc_hub_exclude(struct rc_hub *hub, uint32_t group, struct rc_channel_log *log,
                        const struct rc_envelope_view *view);

/* --- delta.c --- */

int rc_delta_open(struct rc_hub *hub); /* -ENOMEM */
void rc_delta_close(struct rc_hub *hub);
/* Do messages of the channel go out as deltas? Not where some of them may be left out. */
bool rc_delta_wanted(const struct rc_hub *hub, uint32_t channel);
/* The subscription is in a group that gets deltas, and gets its next message whole. */
void rc_delta_join(struct rc_hub *hub, uint32_t subscription);
/* The subscription, which gets deltas, has not got, or will not get, what the next one is against; `excluded`: the message that is being
 * appended. */
void rc_delta_lacks(struct rc_hub *hub, uint32_t subscription, bool excluded);
/* It is about to end. A group that got deltas is gone. */
void rc_delta_left(struct rc_hub *hub, uint32_t channel, uint32_t subscription);
void rc_delta_released(struct rc_hub *hub, uint32_t channel);
/* A message for the channel, before it goes into its logs: *event says so if it is a version, with *delta. Again after -ENOSPC. */
void rc_delta_prepare(struct rc_hub *hub, uint32_t channel, const struct rc_envelope_view *view, struct rc_event *event,
                      struct rc_event_delta *delta);
/* The next subscription, from *at on, that is to get it whole; 0: there is none. */
uint32_t rc_delta_lacking(const struct rc_hub *hub, uint32_t channel, uint32_t *at);
/* A group did not get it. */
void rc_delta_lost(struct rc_hub *hub, uint32_t channel);
/* It is in all logs. */
void rc_delta_commit(struct rc_hub *hub, uint32_t channel, const struct rc_envelope_view *view,
                     const struct rc_event *event);

/* --- catch_up.c --- */

/* Was the message published before this process served, and may somebody be waited for because of that? */
bool rc_catch_up_late(const struct rc_hub *hub, const struct rc_envelope_view *view);
/* Is one of those waited for who are behind `keep` in the group's log? */
bool rc_catch_up_waits(struct rc_hub *hub, uint32_t group, uint64_t keep);
/* The same of a client that is to get so many bytes more for it alone. */
bool rc_catch_up_waits_own(struct rc_hub *hub, uint32_t client, uint64_t bytes);

/* --- append.c --- */

/* An event for one client alone, in order with the messages of its channels. Who does not read them is cut off. */
void rc_hub_append_own(struct rc_hub *hub, uint32_t client, const struct rc_event *event);

/* What a record with a message says, with what that takes. */
struct rc_hub_texts {
    char from[RC_CLIENT_ID_MAX];
    char offset[RC_OFFSET_BYTES_MAX];
};
struct rc_event rc_hub_event_of(const struct rc_hub *hub, enum rc_event_type type, const struct rc_envelope_view *view,
                                struct rc_hub_texts *texts);
/* The latency of a message that has gone into logs is observed when the turn has sent it. */
void rc_hub_note_time(struct rc_hub_times *times, uint64_t time_ns);

/* What a message of the channel says to its subscribers, with what that takes. */
struct rc_event rc_hub_message_event(const struct rc_hub *hub, uint32_t channel, const struct rc_envelope_view *view,
                                     struct rc_hub_texts *texts);

/* --- subscription.c --- */

/* The channel's group of that encoding, made if there is none; 0: no memory. */
uint32_t rc_hub_group(struct rc_hub *hub, uint32_t channel, uint8_t encoding);
/* Without members it goes, with its log. */
void rc_hub_group_release(struct rc_hub *hub, uint32_t index);
/* The subscription, which has just been made, is another encoding's group's from here on. -ENOMEM. */
int rc_hub_regroup(struct rc_hub *hub, uint32_t subscription, uint8_t encoding);
/* No channel sends to the client any more. */
void rc_hub_leave(struct rc_hub *hub, uint32_t client);

/* --- close.c --- */

/* Ends those who were marked (rc_hub_break, rc_hub_cut_off). Nothing is queued that may point into what goes with them. */
void rc_hub_end_them(struct rc_hub *hub);
static inline void rc_hub_end_marked(struct rc_hub *hub)
{
    if (RC_UNLIKELY(hub->ending.count > 0)) {
        rc_hub_end_them(hub);
    }
}

/* --- recover.c --- */

/* What becomes of a new subscription's request for the history, 0 = there is none; `was_in`: it is not new. The answer's epoch, offset and
 * recovery are filled in. */
void rc_recover_begin(struct rc_hub *hub, uint32_t subscription, uint32_t request, bool was_in,
                      struct rc_event *answer);
/* The client has all that there is of its histories, and waits until something of one of them comes. */
void rc_recover_waits(struct rc_hub *hub, uint32_t client);
/* Something of the channel has come, or its place is another one: who waits for it is due. */
void rc_recover_wake(struct rc_hub *hub, uint32_t channel);
/* A message that has an epoch, or is of a channel that has a place. Not of one that is throttled. As rc_hub_append. */
int rc_recover_message(struct rc_hub *hub, uint32_t channel, const struct rc_envelope_view *view);

/* --- pending.c --- */

/* The client ends: its requests that wait do, too. */
void rc_hub_wait_end(struct rc_hub *hub, uint32_t client);

#endif
