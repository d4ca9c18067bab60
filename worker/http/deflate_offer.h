/*
 * permessage-deflate in the opening handshake (RFC 7692 5 and 7.1): which of a client's offers is taken, and the answer.
 *
 * Pure; any process may call. An offer with anything in it that is unknown, double, out of range or against the policy
 * is declined and the next one tried; when none is left the connection goes on without compression, which is no error.
 *
 * What is agreed upon, and why:
 *   server_no_context_takeover  if asked for. It is so anyhow: one compressed payload serves all clients with the same window. A server
 *                               may say it without being asked (7.1.1.1), but there are clients that fail the connection then, and
 *                               one that expects takeover reads fresh windows as well.
 *   server_max_window_bits      only if asked for, and rounded down to one of few sizes, so that a message is compressed
 *                               at most RC_DEFLATE_SERVER_WINDOWS times whatever clients ask for.
 *   client_no_context_takeover  if asked for, or if the policy allows no takeover, or if the client's window would be larger
 *                               than the policy's and it did not say that it can be told a smaller one.
 *   client_max_window_bits      only if the client said that it understands it (7.1.2.2).
 */
#ifndef RC_WORKER_HTTP_DEFLATE_OFFER_H
#define RC_WORKER_HTTP_DEFLATE_OFFER_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/http/upgrade.h"

#define RC_DEFLATE_SERVER_WINDOWS 4u /* sizes of window that messages are compressed with: 8, 9, 12, 15 bits */
#define RC_DEFLATE_ANSWER_BYTES_MAX 160u

struct rc_deflate_policy {
    uint8_t server_window_bits; /* largest window to compress with: 9 to 15, rounded down to 9, 12 or 15 */
    uint8_t client_window_bits; /* largest history kept for a client with context takeover: 8 to 15; 0 = no takeover */
    bool serves_256;            /* rc_deflate_serves_256() */
};

struct rc_deflate_agreement {
    uint8_t server_window_bits;               /* 8, 9, 12 or 15: for rc_deflate */
    uint8_t client_window_bits;               /* 8 to 15: for rc_inflate_remember; only matters with takeover */
    bool client_no_context_takeover;          /* no history is kept */
    char answer[RC_DEFLATE_ANSWER_BYTES_MAX]; /* value of Sec-WebSocket-Extensions, terminated */
};

/* Takes the first acceptable of the `count` offers. False when there is none. */
bool rc_deflate_offer_choose(const struct rc_http_extension *offers, uint32_t count,
                             const struct rc_deflate_policy *policy, struct rc_deflate_agreement *agreement);

#endif
