/*
 * pusher: clients of the Pusher Channels protocol: what they ask for, checked and carried out (docs/pusher.md).
 *
 *   pusher.c     a client's life; its messages, one by one       sign.c      signatures
 *   subscribe.c  channels: who may, who is there, what was last  member.c    who comes and goes, as the relay finds
 *   presence.c   who is in a channel: the relay is asked         webhook.c   what the app's server is told
 *   members.c    who a client is in its presence channels        tell.c      answers and errors, whose a client is
 *   count.c      how often a channel is told how many there are
 *   watch.c      who of a watchlist is online
 *   moving.c     a client on its way to another worker
 *
 * Owned by the worker's main(), above client; one thread. What a successor needs is in the truth: struct rc_pusher, and who a client is
 * in its presence channels. Questions to the relay are private: a successor asks again.
 */
#ifndef RC_WORKER_PUSHER_PUSHER_H
#define RC_WORKER_PUSHER_PUSHER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/pusher.h"
#include "worker/client/client.h"
#include "worker/proto/pusher.h"
#include "worker/pusher/count.h"
#include "worker/pusher/webhook.h"
#include "worker/store/pusher_members.h"

struct rc_pushers {
    struct rc_clients *clients; /* borrowed */
    uint8_t *room;              /* owned: what is put together for one client */
    size_t room_bytes;
    struct rc_index_list asking; /* clients that are to be told who is in a channel */
    uint64_t asking_ns;          /* not before that: the last question had no answer */
    struct rc_webhooks webhooks;
    struct rc_pusher_counts counts;
    uint8_t *telling; /* owned: records of member.c that wait for room in the ring */
    size_t telling_bytes;
    size_t telling_room;
};

void rc_pushers_open(struct rc_pushers *pushers, struct rc_clients *clients);
void rc_pushers_close(struct rc_pushers *pushers);
void rc_pushers_reconfigure(struct rc_pushers *pushers);
/* Of a truth that another process has written: who was not told yet who is in a channel is. */
void rc_pushers_rebuild(struct rc_pushers *pushers);
/* Asks for those who are to be told who is there, and sends counts that are due (webhooks: webhook.h). Every pass of the loop. `leaves`: another process
 * goes on with the clients soon, and counts that wait are told before. */
void rc_pushers_work(struct rc_pushers *pushers, bool leaves);
uint32_t rc_pushers_sleep_ms(const struct rc_pushers *pushers, uint32_t most_ms);

/* Hub handlers. In the middle of a channel's settling: nothing is carried out here. */
void rc_pusher_member_changed(struct rc_pushers *pushers, uint32_t client, uint32_t channel, bool joined);
void rc_pusher_values(struct rc_pushers *pushers, uint32_t client, uint32_t channel, struct rc_span values);
/* The relay found that somebody came or went (common/records/member.h). */
void rc_pusher_member_told(struct rc_pushers *pushers, const struct rc_envelope_view *view);

/* --- shared by the files of worker/pusher --- */

/* tell.c */

/* The app of a client. */
const struct rc_config_pusher_app *rc_pusher_app(const struct rc_pushers *pushers, uint32_t client);
/* A signature of it was right: it may stay. */
void rc_pusher_authorized(struct rc_pushers *pushers, uint32_t client);
/* Room for `bytes` until the next call. NULL: no memory. */
uint8_t *rc_pusher_room(struct rc_pushers *pushers, size_t bytes);
/* Sends one text; without memory the client ends. */
void rc_pusher_reply(struct rc_pushers *pushers, uint32_t client, const void *text, size_t bytes);
/* pusher:error; 0: a code that is none of the protocol's. */
void rc_pusher_error(struct rc_pushers *pushers, uint32_t client, uint32_t code, const char *message);
/* pusher:subscription_error of a channel, as the broker has it. */
void rc_pusher_subscription_error(struct rc_pushers *pushers, uint32_t client, struct rc_span channel,
                                  enum rc_code code, const char *message);

/* member.c: an event of the broker's own, published behind what waits; random 0 of `except`: for all. */
void rc_pusher_member_tell(struct rc_pushers *pushers, struct rc_span channel, struct rc_span event,
                           struct rc_span data, const struct rc_client_ref *except);
/* counts that are to be told now, or all that wait. */
void rc_pusher_counts_tell(struct rc_pushers *pushers, bool all);
/* What waits for room in the ring is published as far as there is some. */
void rc_pusher_members_flush(struct rc_pushers *pushers);

/* watch.c: "id" of what an app says of a user: a string, or a number's text; empty: there is none. */
struct rc_span rc_pusher_user_id(struct rc_span user_data, uint8_t scratch[RC_PUSHER_USER_MAX]);

/* subscribe.c: true: done; false: it waits, and is to come again. */
bool rc_pusher_subscribe(struct rc_pushers *pushers, uint32_t client, const struct rc_operation *operation);
bool rc_pusher_unsubscribe(struct rc_pushers *pushers, uint32_t client, const struct rc_operation *operation);
/* presence.c: the relay is asked who is in the client's channels that it was not told of; false: there is no room in the ring. */
bool rc_pusher_ask(struct rc_pushers *pushers, uint32_t client);
/* What was asked for it is asked once more. */
void rc_pusher_ask_again(struct rc_pushers *pushers, uint32_t client);

/* watch.c: it has signed in: it is seen to be here, and told who of its watchlist is. */
void rc_pusher_watch(struct rc_pushers *pushers, uint32_t client, struct rc_span user_data);
#define RC_PUSHER_WATCH_EVENT "pusher_internal:watchlist_events"
/* {"events":[{"name":"offline","user_ids":["..."]}]} as a JSON string: of the user each byte is six at most, and those twelve. */
#define RC_PUSHER_WATCH_NEWS_MAX (2u * (128u + 2u * RC_JSON_STRING_BYTES_MAX(RC_PUSHER_USER_MAX)))
/* The relay found that somebody came or went in a channel where a user is watched: its event's data, in bytes; 0: that is no news. */
size_t rc_pusher_watch_news(struct rc_span name, uint32_t changes, uint8_t data[RC_PUSHER_WATCH_NEWS_MAX]);
/* The relay answered whether the user is there. */
void rc_pusher_watch_answer(struct rc_pushers *pushers, uint32_t client, struct rc_span name, bool online);

/* moving.c: as struct rc_moving_ops; the context is the pushers. */
const char *rc_pusher_hindrance(void *context, uint32_t client);
uint64_t rc_pusher_moving_bytes(void *context, uint32_t client);
uint32_t rc_pusher_goes(void *context, uint32_t client, uint8_t *out, uint32_t room);
int rc_pusher_came(void *context, uint32_t client, struct rc_span bytes);

/* Does a subscription of it to the channel (its index) wait for the relay? */
bool rc_pusher_waits(const struct rc_pushers *pushers, uint32_t client, uint32_t channel);

/* members.c: is it in the channel of this entry, or does it wait for that? Else the subscription was refused. */
bool rc_pusher_member_stands(const struct rc_pushers *pushers, uint32_t client, struct rc_span channel);
/* members.c: it is that user in the channel from here on; empty: it only watches. -ENOMEM: unchanged. */
int rc_pusher_member_put(struct rc_pushers *pushers, uint32_t client, struct rc_span channel, struct rc_span user,
                         struct rc_span info);
/* It is those of its block (worker/store/pusher_members.h) from here on, and was none. -ENOMEM. */
int rc_pusher_members_put(struct rc_pushers *pushers, uint32_t client, struct rc_span members);
void rc_pusher_member_drop(struct rc_pushers *pushers, uint32_t client, struct rc_span channel);
/* Whether it has been told who is there. */
void rc_pusher_member_mark(struct rc_pushers *pushers, uint32_t client, const struct rc_pusher_member *member,
                           enum rc_pusher_told told);
/* The client ends. */
void rc_pusher_members_free(struct rc_pushers *pushers, uint32_t client);

#endif
