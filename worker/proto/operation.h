/*
 * operation: what client protocols have in common: the one list of what can be done for a client, whoever wants it done, and
 * the events that a codec makes bytes of.
 *
 * A codec (native JSON, native binary, Socket.IO) knows no channel logic, and the worker knows no syntax; this header
 * is all that they share. Everything here is borrowed: the spans of an operation point into the frame that was
 * decoded or into the scratch area given with it, and are good until the next operation is asked for. Only a worker
 * uses it, on its one thread; nothing here allocates or can fail.
 */
#ifndef RC_WORKER_PROTO_OPERATION_H
#define RC_WORKER_PROTO_OPERATION_H

#include "common/records/query.h"
#include "common/base/span.h"
#include "common/text/json_scan.h"

#include <stdbool.h>
#include <stdint.h>

/* Limits of the protocol itself, documented in docs/protocol.md; those that can be configured are not here. */
#define RC_CHANNEL_BYTES_MAX 255   /* a channel's name, decoded */
#define RC_CLIENT_ID_BYTES_MAX 128 /* a client id, decoded */
#define RC_REQUEST_ID_BYTES_MAX 64 /* a request's id as written, without quotes */
#define RC_REQUEST_ID_TOKEN_BYTES_MAX (RC_REQUEST_ID_BYTES_MAX + 2)
#define RC_KEY_BYTES_MAX 64               /* a message's key, decoded */
#define RC_EVENT_BYTES_MAX 255            /* a message's event, decoded */
#define RC_EXCLUDE_MAX 64                 /* clients in `exclude` */
#define RC_OFFSET_MAX (UINT64_C(1) << 53) /* what JSON readers hold exactly */
#define RC_EPOCH_BYTES_MAX 64             /* an epoch as a client has it, decoded */
#define RC_BATCH_MAX 128                  /* operations in one frame */

/* Where codecs put strings that are not in the frame as they mean: unescaped names and ids, and made-up id tokens. */
#define RC_OPERATION_SCRATCH_BYTES                                                                          \
    (RC_CHANNEL_BYTES_MAX + RC_CLIENT_ID_BYTES_MAX * (RC_EXCLUDE_MAX + 1) + RC_REQUEST_ID_TOKEN_BYTES_MAX + \
     RC_KEY_BYTES_MAX + RC_EVENT_BYTES_MAX + RC_EPOCH_BYTES_MAX)

/* Where the arguments of an event are, which its decoder has looked through once: nobody has to do it again. */
#define RC_ARGS_INDEXED_MAX 16u
struct rc_args_index {
    uint32_t count; /* of all */
    struct rc_span last;
    struct rc_json_value first[RC_ARGS_INDEXED_MAX]; /* those behind are to be looked for */
};

struct rc_operation_scratch {
    uint8_t bytes[RC_OPERATION_SCRATCH_BYTES];
    struct rc_args_index index;
};

/* Codes of `error` answers: RC_CODE_BAD_REQUEST = 400 and so on. */
enum rc_code {
#define RC_CODE(name, code, reason) RC_CODE_##name = (code),
#include "common/records/codes.def"
};

/* Codes of close frames that the server sends: RC_CLOSE_NORMAL = 1000 and so on. */
enum rc_close_code {
#define RC_CLOSE(name, code, reason, reconnect) RC_CLOSE_##name = (code),
#include "common/records/codes.def"
};

/* The reason's name, "bad_request" for 400; for a code that is not in the table (it may come from another process)
 * "error". */
static inline const char *rc_code_reason(uint32_t code)
{
    switch (code) {
#define RC_CODE(name, number, reason) \
    case number:                      \
        return reason;
#include "common/records/codes.def"
    default:
        return "error";
    }
}

/* The close code's name, "slow_consumer" for 4000; "" for one that is not in the table. */
static inline const char *rc_close_reason(uint32_t code)
{
    switch (code) {
#define RC_CLOSE(name, number, reason, reconnect) \
    case number:                                  \
        return reason;
#include "common/records/codes.def"
    default:
        return "";
    }
}

enum rc_operation_type {
    RC_OPERATION_SUBSCRIBE = 1,
    RC_OPERATION_UNSUBSCRIBE,
    RC_OPERATION_PUBLISH,
    RC_OPERATION_BROADCAST,
    RC_OPERATION_DIRECT,
    RC_OPERATION_PRESENCE,
    RC_OPERATION_HISTORY,
    RC_OPERATION_PING,
    RC_OPERATION_ECHO,       /* debug.echo: the data comes back */
    RC_OPERATION_DISCONNECT, /* the client is sent away */
    RC_OPERATION_RETAIN, /* as publish, but kept as the channel's retained value and not sent; no data: there is none any more */
    RC_OPERATION_AUTH,    /* who the client is; data: the JSON object in which it says so */
    RC_OPERATION_REFRESH, /* the same, of who is somebody: a credential in place of the one that ends */
    /* Of Socket.IO sessions, which worker/engine carries out: */
    RC_OPERATION_CONNECT, /* to `nsp`; data: an object, or nothing */
    RC_OPERATION_LEAVE,   /* `nsp` */
    RC_OPERATION_EVENT,   /* in `nsp`, with an id when an acknowledgement is wanted */
    RC_OPERATION_ACK,     /* of the emit with this id */
};

/* Who wants an operation carried out for a client: what it may, and whether it is answered, depends on that and on nothing else. */
enum rc_author {
    RC_AUTHOR_CLIENT,  /* the client itself: the configuration says what it may; answered in its protocol */
    RC_AUTHOR_BACKEND, /* a call of the HTTP API: may everything that the call's own checks let through */
};

enum rc_data_kind {
    RC_DATA_JSON = 0,   /* the text of one valid JSON value, UTF-8 */
    RC_DATA_BINARY = 1, /* any bytes, also none */
    RC_DATA_ARGS = 2,   /* an event's arguments and their attachments (common/records/args.h) */
};

/* What a client asks for. Members that the operation does not have are zero. Syntax has been checked (lengths, UTF-8,
 * no control characters in a channel's name, data that is valid JSON); permission has not. */
struct rc_operation {
    enum rc_operation_type type;
    enum rc_data_kind data_kind; /* publish, broadcast, direct, echo */
    bool echo;                   /* publish, broadcast: does the sender get it too; true unless it said no */
    bool is_volatile;            /* publish, direct: not for who cannot take it when it comes */
    bool retain;                 /* publish: it is the channel's retained value from now on */
    bool retained;               /* subscribe: the channel's retained values first */
    bool snapshot;               /* subscribe: the newest message of each key first */
    bool delta;                  /* subscribe: messages as deltas where the namespace has them */
    bool presence;               /* subscribe: who is there first, then who comes and goes */
    bool recovers;               /* subscribe: those behind `since` of `epoch` first */
    uint32_t
        limit; /* presence, history: at most so many entries; subscribe: so many of the newest first; 0 = not given */
    bool has_since;         /* history: those behind `since`, else the newest */
    uint64_t since;         /* history, subscribe: an offset */
    struct rc_span epoch;   /* subscribe: as the client was told it, 1 to RC_EPOCH_BYTES_MAX */
    struct rc_span former;  /* subscribe, history: the client id that it had; empty = none */
    struct rc_span id;      /* JSON token (number, or string with its quotes) to echo; empty = none */
    struct rc_span channel; /* subscribe, unsubscribe, publish, presence, history */
    struct rc_span event;   /* publish, broadcast, direct: what it is called; empty = no name */
    struct rc_span key;     /* publish: newer messages of the same key may replace it; empty = none */
    struct rc_span to;      /* direct: client id */
    uint16_t close_code;    /* disconnect */
    struct rc_span reason;  /* disconnect: of the close frame, UTF-8 */
    struct rc_span data;    /* publish, broadcast, direct, echo, auth, refresh: as the sender wrote it; connect; event,
                                               ack: the JSON array of their arguments (the name not among them) behind
                                               its '[', or with RC_DATA_ARGS all of it */
    struct rc_span
        rooms; /* publish: names of channels, each ended by a NUL: for who is in any of them, once, in place of
                             `channel`, which is "{nsp}#" of theirs; empty = for those in `channel` */
    struct rc_span
        except; /* publish: names of channels, each ended by a NUL, whose members do not get it; of sockets' ids, too */
    struct rc_span nsp;                     /* connect, leave, event, ack: the namespace */
    const struct rc_args_index *index;      /* event: of its arguments, in `data`; NULL: nobody has looked */
    uint32_t attachment_count;              /* event, ack: so many are to come; 0 also when they are in `data` */
    uint32_t exclude_count;                 /* publish, broadcast */
    struct rc_span exclude[RC_EXCLUDE_MAX]; /* client ids; entries from exclude_count on are unspecified */
};

/* Why an operation, or a whole frame, could not be decoded: what the client is to be answered. */
#define RC_ERROR_MESSAGE_BYTES_MAX 96
/* An epoch as clients have it (rc_hex_write); 0: it is none of ours. */
uint64_t rc_epoch_read(struct rc_span text);

struct rc_operation_error {
    enum rc_code code;
    struct rc_span id;                        /* as in rc_operation; empty when none was sent or none could be read */
    char message[RC_ERROR_MESSAGE_BYTES_MAX]; /* one English sentence for the client's author, NUL-terminated */
};

/* Makes it an operation that asks for nothing: everything zero but echo. `exclude` stays as it is. */
void rc_operation_reset(struct rc_operation *operation);

/* For codecs: sets code and message (cut off where it is too long; the id stays) and returns -EBADMSG. */
int rc_operation_fail(struct rc_operation_error *error, enum rc_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

enum rc_event_type {
    RC_EVENT_WELCOME = 1,
    RC_EVENT_SUBSCRIBED, /* answers */
    RC_EVENT_UNSUBSCRIBED,
    RC_EVENT_PUBLISHED,
    RC_EVENT_BROADCASTED,
    RC_EVENT_SENT,
    RC_EVENT_PONG,
    RC_EVENT_PRESENCE,
    RC_EVENT_HISTORY, /* data: members of the answer as JSON, each behind a comma */
    RC_EVENT_ERROR,
    RC_EVENT_MESSAGE, /* deliveries */
    RC_EVENT_DIRECT,
    RC_EVENT_GAP,
    RC_EVENT_AUTHENTICATED, /* answer; from: the user */
    RC_EVENT_REFRESHED,     /* likewise */
    RC_EVENT_ECHO,          /* debug.echo */
    /* Of Socket.IO sessions; `channel` is the namespace's: "{nsp}#". */
    RC_EVENT_CONNECTED,     /* data: the sid */
    RC_EVENT_CONNECT_ERROR, /* message; data: JSON, or nothing */
    RC_EVENT_DISCONNECTED,
    RC_EVENT_ACK, /* id; data */
};

/* The first event of a connection. Texts are UTF-8. */
struct rc_welcome {
    struct rc_span client; /* this connection's client id */
    struct rc_span instance;
    struct rc_span user; /* empty = anonymous: null */
    uint32_t ping_interval_ms;
    uint64_t message_size_max; /* bytes of one message towards the server */
};

/* Who is in a channel. */
struct rc_presence_list {
    struct rc_query_answer answer; /* how many, and whether entries were left out */
    struct rc_span entries;        /* answer.count of them, whole: rc_query_entry_next */
};

/* Whether a subscriber who had been there before gets all that it missed. */
enum rc_recovery {
    RC_RECOVERY_NOT_ASKED,
    RC_RECOVERED,
    RC_NOT_RECOVERED,
};

/* A message as who gets deltas is told. */
struct rc_event_delta {
    struct rc_span bytes; /* what makes its data of the base's (common/text/fossil_delta.h); empty: it comes whole */
    struct rc_span key;   /* of the message; empty = none */
    uint32_t base;        /* version of the message that it is against */
    uint32_t version;     /* of this one; never 0 */
};

/* What a client is told. Members that the event does not have are ignored, so a designated initialiser is enough:
 * { .type = RC_EVENT_SUBSCRIBED, .id = id, .channel = name }. */
struct rc_event {
    enum rc_event_type type;
    enum rc_data_kind data_kind; /* message, direct, echo */
    enum rc_code code;           /* error */
    bool retained;               /* message: it is what was kept, not what was just published */
    bool local;                  /* subscribed, presence: of this host only ("scope":"local") */
    bool begins;                 /* message: the first of `epoch` that its receivers hear of */
    enum rc_recovery recovery;   /* subscribed */
    uint64_t epoch;              /* message, published, subscribed: of `offset`; 0 = the channel has no history */
    /* message, published: in the channel's history; 0 = it has none. Subscribed: of the newest message that there was */
    uint64_t offset;
    struct rc_span id;      /* answers: the request's JSON token; message, direct: an acknowledgement is wanted with it;
                                    empty = none */
    struct rc_span channel; /* subscribed, unsubscribed, presence, message; error: may be empty; gap: empty = all */
    struct rc_span channel_json; /* the same as a JSON string with quotes, if made already; else empty */
    struct rc_span data;         /* message, direct, echo */
    struct rc_span event;        /* message, direct: what it is called; empty = it has no name */
    struct rc_span
        standing; /* of sockets that may come back: an offset (common/records/recovery.h); connected: the pid; empty =
                                         none */
    struct rc_span unnamed;           /* message, direct: what protocols call it that have no event without a name */
    struct rc_span from;              /* message, direct: the publisher's client id; empty = not revealed */
    struct rc_span message;           /* error: one English sentence, UTF-8 */
    const struct rc_welcome *welcome; /* borrowed: welcome */
    const struct rc_presence_list *presence; /* borrowed: presence */
    const struct rc_event_delta *delta;      /* borrowed: message, for who gets deltas; NULL = as anybody gets it */
    bool deltas;                             /* subscribed: it gets deltas */
};

#endif
