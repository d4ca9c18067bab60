/*
 * protocol: how each kind of server is joined, published to and listened to.
 *
 * A protocol is a constant table of pure functions over text; connections, framing and counting are the client's. Joining
 * is a number of steps: entering a step may send one message, and an answer ends it. The last step of a subscriber is the
 * subscription itself, repeated for each of its channels. A connection is ready when the last step has ended.
 */
#ifndef RC_BENCH_PROTOCOL_H
#define RC_BENCH_PROTOCOL_H

#include "common/base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_BENCH_NAME_MAX 96            /* channel names and client ids, with the terminator */
#define RC_BENCH_JOIN_BYTES_MAX 512     /* one message of a step */
#define RC_BENCH_ENVELOPE_BYTES_MAX 640 /* what a publish adds to the payload at most */

enum rc_bench_role {
    RC_BENCH_SUBSCRIBER,
    RC_BENCH_TARGET, /* receives direct messages: its join tells its client id */
    RC_BENCH_PUBLISHER,
    RC_BENCH_OPENER, /* begins the session of one that upgrades, by polling, and is gone after that (bench/polling.h) */
    RC_BENCH_ROLE_COUNT,
};

enum rc_bench_framing {
    RC_BENCH_FRAMING_WS,
    RC_BENCH_FRAMING_HTTP,    /* requests on a kept-alive connection; only answers that refuse are looked at */
    RC_BENCH_FRAMING_FIXED,   /* no handshake; every payload's length is known */
    RC_BENCH_FRAMING_POLLING, /* Engine.IO's (bench/polling.h) */
    RC_BENCH_FRAMING_SSE,     /* a request whose answer is a stream of events */
    RC_BENCH_FRAMING_RESP,    /* Redis: https://redis.io/docs/latest/develop/reference/protocol-spec/ */
};

enum rc_bench_verdict {
    RC_BENCH_IGNORED,
    RC_BENCH_STEP,    /* the answer that the current step waits for; for a target `found` is its client id */
    RC_BENCH_PAYLOAD, /* a delivery: `found` is its payload */
    RC_BENCH_FULL,    /* a delivery that is the base of the next: `found` is its text as a string, with the quotes */
    RC_BENCH_DELTA,   /* a delivery as what it is more than the one before: `found` likewise */
    RC_BENCH_REPLY,   /* must be answered with the text in `found` (a protocol's own ping) */
    RC_BENCH_ANSWER,  /* of a publish that asked for one */
    RC_BENCH_GAP,     /* the server says that it left something out */
    RC_BENCH_REFUSED, /* the server says that something went wrong */
};

struct rc_bench_protocol {
    const char *name;
    const char *help;
    const char *paths[RC_BENCH_ROLE_COUNT]; /* used where the URL has none; "%s" is the channel */
    const char *url_subprotocol;            /* Sec-WebSocket-Protocol or NULL */
    enum rc_bench_framing framing[RC_BENCH_ROLE_COUNT];
    uint8_t steps[RC_BENCH_ROLE_COUNT];
    bool channels; /* false: there is one channel, everybody */
    bool direct;   /* has direct messages */
    bool upgrades; /* subscribers and targets have an opener; their first step is the probe, which joining it ends */

    /* What to send on entering `step`; 0 for nothing. Never more than RC_BENCH_JOIN_BYTES_MAX. */
    size_t (*join)(char *out, enum rc_bench_role role, uint8_t step, const char *channel);
    /* Judges one message; `payload_bytes` is the length of the run's payloads, a hint where to look. */
    enum rc_bench_verdict (*judge)(enum rc_bench_role role, uint8_t step, struct rc_span text, size_t payload_bytes,
                                   struct rc_span *found);
    /* Writes what comes before the payload in a publish (or direct) to `name`, and what comes after. Sizes by return value;
     * together at most RC_BENCH_ENVELOPE_BYTES_MAX. */
    size_t (*before)(char *out, bool direct, const char *name, size_t payload_bytes, const char *host);
    size_t (*after)(char *out);
};

/* By name; NULL when there is none. */
const struct rc_bench_protocol *rc_bench_protocol_find(const char *name);

/* The i-th, NULL behind the last: for --help. */
const struct rc_bench_protocol *rc_bench_protocol_at(unsigned index);

#endif
