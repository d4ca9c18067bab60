/*
 * engineio: Engine.IO 4's polling transport as text, the client's half: requests, answers, payloads.
 *
 * Packets travel in the bodies of requests and answers, several in one with a record separator between. Pure functions; the caller
 * owns all memory.
 */
#ifndef RC_BENCH_ENGINEIO_H
#define RC_BENCH_ENGINEIO_H

#include "common/base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_BENCH_SID_MAX 64             /* a session's id, with the terminator */
#define RC_BENCH_POLL_BODY_MAX 1024u    /* of a POST */
#define RC_BENCH_POLL_REQUEST_MAX 2048u /* a whole request */
#define RC_BENCH_POLL_ANSWER_MAX 16384u /* an answer's head longer than this is none */
#define RC_BENCH_POLL_PAYLOAD_MAX 67108864u

struct rc_bench_poll_answer {
    unsigned status; /* 0 until it is known */
    struct rc_span body;
};

/* Writes a request of the session `sid` ("" begins one): GET where `body` is empty, else POST. Returns its size, or 0 when `room` is too
 * small. `path` has a query already. */
size_t rc_bench_engineio_request(char *out, size_t room, const char *host, const char *path, const char *sid,
                                 struct rc_span body);

/* Reads an answer that says its length. > 0: the size of all of it; 0: more to come; -EPROTO: a status other than 200 (in
 * `answer`), no length, or no HTTP. */
int rc_bench_engineio_answer(const uint8_t *bytes, size_t count, struct rc_bench_poll_answer *answer);

/* The first packet of `payload`, which loses it and the separator behind it. False when nothing is left. */
bool rc_bench_engineio_packet(struct rc_span *payload, struct rc_span *packet);

/* Adds a packet to a payload of `*count` bytes. False, and nothing changed, when `room` is too small. */
bool rc_bench_engineio_append(uint8_t *payload, size_t *count, size_t room, struct rc_span packet);

/* The session's id out of the packet that opens it. False when it is another packet, or the id is empty, has other characters than those
 * of a URL, or more than RC_BENCH_SID_MAX - 1. */
bool rc_bench_engineio_sid(struct rc_span packet, char *sid);

#endif
