/*
 * api: the HTTP API under /api/: calls of backends with a bearer key (docs/api.md).
 *
 * Owned by the worker's main(). A call lives as long as the exchange of its request (worker/http/exchange.h), whose user the API is.
 * Nothing waits: a call that needs the relay or other workers asks (worker/uplink/ask.h) and is answered when their records come
 * (common/records/call.h), or 504 when they do not come in time. Calls are private memory: a worker that hands its connections over
 * answers them first. Every list and table is bounded; beyond the bound callers get 503 or 413.
 *
 *   api.c        keys, routes, requests                    ask.c        calls to all workers: asking, putting together
 *   call.c       life of a call                            serve.c      the same calls carried out on this worker
 *   json.c       members of a body                         stats.c      figures out of shared memory
 *   publish.c    publish, broadcast, direct                do.c         operations for clients, users, rooms
 *                                                          resources.c  health, metrics, the page: what needs no key
 *   query.c      what the relay is asked: presence, instances
 *   clients.c    who is connected, and which channels are hot: asking, putting together
 *   closed.c     who was connected
 *   survey.c     the same, found out on this worker       reply.c      what a worker answers to another one's call
 *   memory.c     who holds memory                      trace.c      messages on their way
 *   revoke.c     tokens that are no good any more       pusher.c, pusher_auth.c, pusher_body.c   server SDKs of the Pusher protocol
 */
#ifndef RC_WORKER_API_API_H
#define RC_WORKER_API_API_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/share.h"
#include "common/records/call.h"
#include "common/text/json_scan.h"
#include "common/records/query.h"
#include "worker/http/text.h"
#include "worker/client/client.h"
#include "worker/http/cached.h"
#include "worker/http/exchange.h"
#include "worker/http/route.h"
#include "worker/uplink/ask.h"

#define RC_API_CALLS_MAX 1024u    /* calls in progress in one worker */
#define RC_API_MESSAGES_MAX 1000u /* messages of one publish */
#define RC_API_CHANNELS_MAX 1000u /* channels in one answer */
#define RC_API_CHANNELS_DEFAULT 100u
#define RC_API_LISTS_MAX 1024u   /* of workers, here and elsewhere, that an answer is made of */
#define RC_API_SCANS_MAX 16u     /* lists of channels that this worker makes at a time */
#define RC_API_SURVEYS_MAX 8u    /* of clients or channels, likewise */
#define RC_API_ANSWER_MS 2000u   /* from the whole request to its answer */
#define RC_API_KEY_BYTES_MAX 64u /* of an idempotency key */
#define RC_API_KEYS_MAX RC_CONFIG_LIST_MAX
#define RC_API_DIGEST_BYTES 32u
#define RC_API_FILES_MAX 8u /* that the program has in it and serves */

struct rc_api;
struct rc_api_call;

/* What a call fails with: the answer's status and its message. */
struct rc_api_fault {
    uint16_t status;
    char message[192];
};

/* One kind of call. Static. */
struct rc_api_route {
    uint32_t number; /* part of what idempotency keys are scoped by: never changes */
    bool body;       /* it has one: `run` is called when it is whole */
    /* 0: answered or waiting, negative: `fault` is to be answered. */
    int (*run)(struct rc_api_call *call, struct rc_api_fault *fault);
    /* RC_API_SENDING: there is room in the up ring again. */
    void (*room)(struct rc_api_call *call);
    /* A record that belongs to what it asked; a reply has its head. */
    void (*record)(struct rc_api_call *call, enum rc_record_type type, const struct rc_envelope_view *view);
    /* Members of an error's answer when a part of it (call->answered) was done. */
    void (*put_partly)(struct rc_text *text, const struct rc_api_call *call);
};

/*
 * Life of a call:  BEGUN (its body is read) -> [SENDING (its messages; waits for room in the up ring)] -> WAITING (for answers) -> gone
 */
enum rc_api_state { RC_API_BEGUN, RC_API_SENDING, RC_API_WAITING };

/* A message that is to be published. The spans point into the call's body or arena. */
struct rc_api_message {
    struct rc_span channel;
    struct rc_span data;
    struct rc_span exclude; /* JSON array of client ids, checked; empty = none */
    struct rc_span key;     /* empty = none */
    struct rc_span event;   /* empty = none */
    enum rc_data_kind kind;
    bool retain; /* it is the channel's retained value from then on */
};

/* What is known of a message that was published. */
struct rc_api_place {
    uint64_t sequence; /* 0 = not answered yet */
    uint64_t epoch;    /* of the offset */
    uint64_t offset;   /* in its channel's history; 0 = it has none, or it is not known */
};

/* Channels that a worker has: its data of an RC_CALL_CHANNELS reply. */
struct rc_api_list {
    uint8_t *bytes; /* owned: entries of {uint32 subscribers, uint8 name bytes, name} in the order of names */
    uint32_t count;
    uint32_t size; /* bytes */
    bool more;
};

struct rc_api_call {
    struct rc_api *api;               /* borrowed */
    struct rc_exchange *exchange;     /* borrowed: ends with the answer, and the call with it; its body is the call's */
    const struct rc_api_route *route; /* borrowed: static */
    enum rc_api_state state;
    bool asking; /* `token` stands in the table of what was asked */
    uint64_t token;
    uint8_t *arena; /* owned: decoded strings of the body */
    size_t arena_used;
    size_t arena_size;
    uint8_t caller[RC_API_DIGEST_BYTES]; /* SHA-256 of the API key that it came with */
    char key[RC_API_KEY_BYTES_MAX];      /* idempotency key */
    uint32_t key_bytes;                  /* 0 = none */

    /* publish, broadcast, direct */
    struct rc_api_message *messages; /* owned, until all are sent */
    struct rc_api_place *places;     /* owned: of each message */
    uint32_t message_count;
    bool listed; /* they came as a list, and so do their places */
    uint32_t sent;
    uint32_t answered;
    uint32_t duplicates;
    struct rc_client_ref target; /* direct */
    struct rc_api_do *does;      /* owned: of do; NULL = it is another call */
    void *own;                   /* owned: of whoever began it */
    void (*free_own)(void *own);

    /* calls to workers */
    enum rc_call_operation operation;
    bool by_user;
    uint32_t limit;
    enum rc_query_kind question; /* of a call that asks the relay; 0 = it does not */
    bool asked_known;            /* the relay has said whom it asked */
    bool found;
    bool
        unfound; /* a worker does not have the client, and the relay has not heard from all of them: another one may answer */
    bool busy;
    struct rc_call_asked asked;
    struct rc_call_asked replied;
    struct rc_call_asked silent; /* of a list: who could not answer, or did not in time */
    uint64_t affected;
    bool others_done;          /* no more replies of other instances come */
    bool local;                /* other instances were not asked: Redis is away */
    bool incomplete;           /* not all of them have answered */
    bool listing;              /* replies are lists */
    struct rc_api_list *lists; /* owned: of each worker and instance that replied */
    uint32_t list_count;
    uint32_t order;                           /* of clients and sorted channels: enum rc_survey_order */
    void (*finish)(struct rc_api_call *call); /* of these: all lists are there; of others that have one: all is there */
    void (*late)(struct rc_api_call *call);   /* what was asked last was not answered in time; NULL: the call fails */
};

struct rc_api_scan;
struct rc_api_survey;

struct rc_api {
    struct rc_clients *clients; /* borrowed */
    struct rc_asks *asks;       /* borrowed */
    uint32_t call_count;
    uint8_t caller[RC_API_DIGEST_BYTES];                   /* key of the request that was let in last */
    uint8_t digests[RC_API_KEYS_MAX][RC_API_DIGEST_BYTES]; /* SHA-256 of the keys in force */
    uint32_t digest_count;
    struct rc_api_scan *scans[RC_API_SCANS_MAX]; /* owned, in the order of their arrival */
    uint32_t scan_count;
    struct rc_cached files[RC_API_FILES_MAX];          /* of resources.c */
    struct rc_api_survey *surveys[RC_API_SURVEYS_MAX]; /* owned, likewise */
    uint32_t survey_count;
    struct rc_share share; /* of a pass, for both */
};

/* What workers are asked (common/records/call.h). */
struct rc_api_question {
    struct rc_span channel;
    struct rc_span user;
    struct rc_span text;
    struct rc_client_ref client;
    struct rc_span foreign; /* id of another instance's client; `client` says so */
    uint16_t close_code;
};

/* --- api.c --- */

void rc_api_open(struct rc_api *api, struct rc_clients *clients);
/* After the exchanges were closed. */
void rc_api_close(struct rc_api *api);
/* Other keys may be in force. */
void rc_api_reconfigure(struct rc_api *api);

/* --- resources.c --- */

void rc_resources_add_routes(struct rc_api *api, struct rc_routes *routes);

/* --- call.c --- */

int rc_api_fault(struct rc_api_fault *fault, uint16_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* NULL when there are too many. */
struct rc_api_call *rc_api_call_open(struct rc_api *api, struct rc_exchange *exchange,
                                     const struct rc_api_route *route);
/* Of its exchange alone. */
void rc_api_call_close(struct rc_api_call *call);
/* The answer; the call is gone afterwards. The text is freed. */
void rc_api_finish(struct rc_api_call *call, struct rc_text *text);
void rc_api_fail(struct rc_api_call *call, const struct rc_api_fault *fault);
/* The same: of the client that it was for nobody who was asked has said that it is there. */
void rc_api_absent(struct rc_api_call *call);
/* Before its records are written: from now on the call waits for answers, up to RC_API_ANSWER_MS. Full tables as a fault. */
int rc_api_ask(struct rc_api_call *call, struct rc_api_fault *fault);
/* Writes a record of a call that does not wait for room. 503 as a fault where there is none, or only what others wait for. */
int rc_api_pass_on(struct rc_api_call *call, enum rc_record_type type, struct rc_envelope_view *view,
                   struct rc_api_fault *fault);
/* The tag of a record. */
struct rc_call_tag rc_api_tag(const struct rc_api_call *call, uint32_t item);
/* Gives body and arena back. */
void rc_api_release_body(struct rc_api_call *call);
/* Room for decoded strings; -ENOMEM as a fault. */
int rc_api_arena(struct rc_api_call *call, struct rc_api_fault *fault);

/* --- json.c --- */

enum rc_api_member {
    RC_API_CHANNEL,
    RC_API_CHANNELS,
    RC_API_MESSAGES,
    RC_API_DATA,
    RC_API_DATA_BASE64,
    RC_API_EXCLUDE,
    RC_API_CLIENT,
    RC_API_USER,
    RC_API_CODE,
    RC_API_REASON,
    RC_API_IDEMPOTENCY_KEY,
    RC_API_KEY,
    RC_API_EVENT,
    RC_API_ARGS,
    RC_API_JTI,
    RC_API_ISSUED_BEFORE,
    RC_API_TTL,
    RC_API_RETAIN,
    RC_API_MEMBER_COUNT,
};

/* The known members of an object; others are ignored, a known one that is there twice is a fault. */
int rc_api_members(struct rc_span object, uint32_t flags, struct rc_json_value members[RC_API_MEMBER_COUNT],
                   struct rc_api_fault *fault);
/* The same of the call's whole body, which must be UTF-8. */
int rc_api_body_members(struct rc_api_call *call, struct rc_json_value members[RC_API_MEMBER_COUNT],
                        struct rc_api_fault *fault);
/* The text of a string member, 1 to `bytes_max` bytes once decoded. */
int rc_api_string(struct rc_api_call *call, const struct rc_json_value *value, const char *name, size_t bytes_max,
                  struct rc_span *out, struct rc_api_fault *fault);
/* A channel's name. */
int rc_api_channel(struct rc_api_call *call, const struct rc_json_value *value, struct rc_span *out,
                   struct rc_api_fault *fault);
/* Strict base64 (RFC 4648 4); decoded into the arena. */
int rc_api_base64(struct rc_api_call *call, const struct rc_json_value *value, struct rc_span *out,
                  struct rc_api_fault *fault);

/* --- of other files, too --- */

/* api.c: of every exchange that is a call; a request that is to become one. `own`, which may be NULL, is freed with it by `free_own`. */
extern const struct rc_exchange_user rc_api_user;
void rc_api_begin(struct rc_api *api, struct rc_exchange *exchange, const struct rc_api_route *route, void *own,
                  void (*free_own)(void *own));
/* ask.c: what workers replied to an earlier question goes: another one may be asked. */
void rc_api_forget_replies(struct rc_api_call *call);
/* Channels that they have named, in the order of names, each once, at most call->limit. The name behind which there are more to *next, of
 * RC_CHANNEL_NAME_MAX bytes; the bytes of it, 0: there are none. -ENOMEM. */
int rc_api_each_channel(const struct rc_api_call *call,
                        int (*each)(void *context, struct rc_span name, uint64_t subscribers), void *context,
                        char *next);
/* query.c: who is in the channel; its retained values. */
int rc_api_ask_members(struct rc_api_call *call, struct rc_span channel, struct rc_api_fault *fault);
int rc_api_ask_retained(struct rc_api_call *call, struct rc_span channel, struct rc_api_fault *fault);
/* pusher.c: what server SDKs of the Pusher Channels protocol ask for, below /apps/. */
void rc_api_pusher_open(struct rc_api *api);

/* --- routes --- */

int rc_api_publish(struct rc_api_call *call, struct rc_api_fault *fault);
int rc_api_retain(struct rc_api_call *call, struct rc_api_fault *fault);
int rc_api_broadcast(struct rc_api_call *call, struct rc_api_fault *fault);
int rc_api_direct(struct rc_api_call *call, struct rc_api_fault *fault);
int rc_api_subscribe(struct rc_api_call *call, struct rc_api_fault *fault);
int rc_api_unsubscribe(struct rc_api_call *call, struct rc_api_fault *fault);
int rc_api_disconnect(struct rc_api_call *call, struct rc_api_fault *fault);
int rc_api_do(struct rc_api_call *call, struct rc_api_fault *fault);
int rc_api_channels(struct rc_api_call *call, struct rc_api_fault *fault); /* in the order of their names */
int rc_api_clients(struct rc_api_call *call, struct rc_api_fault *fault);
int rc_api_closed(struct rc_api_call *call, struct rc_api_fault *fault);      /* of GET /api/clients?closed=true */
int rc_api_channels_of(struct rc_api_call *call, struct rc_api_fault *fault); /* by `sort` */
int rc_api_revoke(struct rc_api_call *call, struct rc_api_fault *fault);
int rc_api_presence(struct rc_api_call *call, struct rc_api_fault *fault);
int rc_api_history(struct rc_api_call *call, struct rc_api_fault *fault); /* GET, and DELETE */
int rc_api_config(struct rc_api_call *call, struct rc_api_fault *fault);
int rc_api_memory(struct rc_api_call *call, struct rc_api_fault *fault);
int rc_api_trace(struct rc_api_call *call, struct rc_api_fault *fault);
int rc_api_stats(struct rc_api_call *call, struct rc_api_fault *fault);
int rc_api_instances(struct rc_api_call *call, struct rc_api_fault *fault);

/* --- what they ask, and what comes down --- */

/* revoke.c: Redis has it, or not. */
void rc_api_revoked(struct rc_api_call *call, enum rc_record_type type, const struct rc_envelope_view *view);
/* publish.c: writes the messages that are not sent yet. */
void rc_api_send(struct rc_api_call *call);
/* 0, or -EINVAL with 413: it is larger than limits.max_message_size, which other instances go by, or than the ring to the relay takes. */
int rc_api_message_fits(const struct rc_api_call *call, const struct rc_api_message *message,
                        struct rc_api_fault *fault);
/* Of a call with messages: one is sequenced, or refused, or its target's worker says whether that is there. */
void rc_api_published(struct rc_api_call *call, enum rc_record_type type, const struct rc_envelope_view *view);
/* A text for the messages answered so far. */
void rc_api_put_published(struct rc_text *text, const struct rc_api_call *call);
/* ask.c: asks this host's workers, and other instances where the operation is for them. */
int rc_api_ask_workers(struct rc_api_call *call, enum rc_call_operation operation,
                       const struct rc_api_question *question, struct rc_api_fault *fault);
/* reply.c: `channel`: to be confirmed by the relay before the reply goes on, or empty. */
void rc_api_reply(struct rc_api *api, uint32_t asker, const uint8_t *request_id, uint64_t position,
                  const struct rc_reply_head *head, const void *entries, uint32_t bytes, struct rc_span channel);
/* A call whose reply would have no room is left alone: its asker learns from the missing reply, and nothing was done. */
bool rc_api_may_reply(struct rc_api *api);
/* ask.c: whom the relay asked, or the reply of one of them. */
void rc_api_gathered(struct rc_api_call *call, enum rc_record_type type, const struct rc_envelope_view *view);
/* ask.c: rc_api_call.late of a list: what has come is the answer, which says that it is not all, and which workers were silent. */
void rc_api_list_late(struct rc_api_call *call);
/* ask.c: `,"incomplete":true,"silent":[0]`, or nothing when everybody has answered. */
void rc_api_put_incomplete(struct rc_text *text, const struct rc_api_call *call);
/* A query's value; `*span` is empty when it is not there. */
int rc_api_query_text(const struct rc_api_call *call, const char *name, char *out, size_t capacity,
                      struct rc_span *span, struct rc_api_fault *fault);
/* The query's `limit`, a number from 1 to `most`; `otherwise` when it is not there. */
int rc_api_query_limit(struct rc_api_call *call, uint32_t otherwise, uint32_t most, struct rc_api_fault *fault);
/* query.c: the relay's answer. */
void rc_api_queried(struct rc_api_call *call, enum rc_record_type type, const struct rc_envelope_view *view);
/* do.c: the same of a call of its; there is room for its emits. */
void rc_api_do_record(struct rc_api_call *call, enum rc_record_type type, const struct rc_envelope_view *view);
void rc_api_do_room(struct rc_api_call *call);
/* serve.c: another worker's call. */
void rc_api_serve(struct rc_api *api, const struct rc_envelope_view *view);
/* An RC_DOWN_DIRECT of a call was handled: is its client here? */
void rc_api_serve_direct(struct rc_api *api, const struct rc_envelope_view *view);
/* Goes on with lists of channels in bounded steps; true while there is more to do. */
bool rc_api_work(struct rc_api *api);
void rc_api_scans_free(struct rc_api *api);
/* stats.c */
/* /metrics for clients that want JSON; negative: no memory. */
int rc_api_metrics_json(struct rc_api *api, struct rc_text *text);

#endif
