/*
 * polling: HTTP long-polling (engine.io-protocol v4) as what carries a client: no socket is its own; a GET takes what there is for
 * it, or waits until there is something, and a POST brings packets.
 *
 * Owned by the worker's main(), one thread. The requests are exchanges (worker/http/exchange.h), the sessions worker/engine's; a
 * session knows the socket of its GET and of its POST (struct rc_engine), of which it may have one each at a time.
 */
#ifndef RC_WORKER_CARRIER_POLLING_H
#define RC_WORKER_CARRIER_POLLING_H

#include <strings.h>

#include "worker/carrier/handover.h"
#include "worker/engine/engine.h"
#include "worker/http/coding.h"

struct rc_polling {
    struct rc_engines *engines;     /* borrowed */
    struct rc_handovers *handovers; /* borrowed */
    struct rc_coder coder;
    uint8_t *written; /* owned: a payload as clients of Engine.IO 3 take it */
    size_t written_room;
};

/* Wires itself to the sessions and to the routes of their clients. */
void rc_polling_open(struct rc_polling *polling, struct rc_engines *engines, struct rc_handovers *handovers);
void rc_polling_close(struct rc_polling *polling);
/* A GET that waits and is not kept for a successor is answered with a noop, so that its client asks again: nothing of a session is then this
 * process's alone. */
void rc_polling_release(struct rc_polling *polling);

/* What a request asks for by its query, after what engine.io verifies of every request. */
struct rc_engine_query {
    bool websocket;   /* transport=websocket; else polling */
    uint8_t revision; /* EIO=4, or 3; 0: another */
    bool base64;      /* of Engine.IO 3: it takes text alone */
    bool has_sid;
    uint32_t session;  /* the session's client; 0: none of this worker, or no sid */
    struct rc_sid sid; /* of a sid that is one */
    bool known;        /* it is one */
};
/* False: the request was answered, or its connection goes to the worker, or the instance, that has the session. `upgrade`: it wants to become a
 * WebSocket. */
bool rc_polling_query(struct rc_polling *polling, struct rc_exchange *exchange, bool upgrade,
                      struct rc_engine_query *query);

/* Refuses a request as engine.io says it: {"code":…,"message":…}, and to who wanted to upgrade the message alone. */
void rc_polling_refuse(struct rc_exchange *exchange, enum rc_eio_error error, bool upgrade);

/* What payloads are, as their Content-Type says it. */
#define RC_POLLING_TEXT "text/plain; charset=UTF-8"
#define RC_POLLING_OCTETS "application/octet-stream"

/* Does it say that its body is bytes, as clients of Engine.IO 3 do? */
static inline bool rc_polling_is_octets(const struct rc_http_request *request)
{
    static const char octets[] = RC_POLLING_OCTETS;
    uint32_t at = 0;
    const struct rc_http_view *type = rc_http_header_next(request, "content-type", &at);
    return type != NULL && type->bytes == sizeof(octets) - 1 && strncasecmp(type->text, octets, type->bytes) == 0;
}

#endif
