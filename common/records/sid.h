/*
 * sid: session ids of Engine.IO and Socket.IO: who of which host is meant, in 20 characters.
 *
 *   5 characters: the instance | 15: worker (8 bits), slot of the client (20), token (62), big endian
 *
 * in the alphabet of RFC 4648's URL-safe base64. Twenty, because @socket.io/redis-adapter takes a room of exactly 20 characters for
 * one socket; the instance first, because whatever is for one socket of an instance is then one pattern in Redis. The Engine.IO sid
 * of a session is a secret (who has it may poll), its Socket.IO sids are public, one for each namespace: tokens that tell nothing of
 * one another. Pure; any process may call.
 */
#ifndef RC_COMMON_RECORDS_SID_H
#define RC_COMMON_RECORDS_SID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/records/envelope.h"

#define RC_SID_BYTES 20u
#define RC_SID_INSTANCE_BYTES 5u
#define RC_SID_SLOT_MAX ((1u << 20) - 1u) /* clients of a worker beyond it have no sid */
#define RC_SID_TOKEN_BITS 62u             /* random bits of all clients are so few, never 0 */

struct rc_sid {
    char instance[RC_SID_INSTANCE_BYTES]; /* as it stands in the sid */
    struct rc_client_ref client;          /* random: the token */
};

/* The first five characters of all sids of an instance, the same on every host. */
void rc_sid_instance(char out[RC_SID_INSTANCE_BYTES], const char *instance_id);
/* No NUL. `client`: slot at most RC_SID_SLOT_MAX, random of RC_SID_TOKEN_BITS. */
void rc_sid_write(char out[RC_SID_BYTES], const char instance[RC_SID_INSTANCE_BYTES],
                  const struct rc_client_ref *client);
/* False: these are not 20 characters of the alphabet. */
bool rc_sid_read(struct rc_sid *sid, struct rc_span text);
/* Is it one of that instance? */
bool rc_sid_is_of(const struct rc_sid *sid, const char instance[RC_SID_INSTANCE_BYTES]);

/* Token of the client's sid in a Socket.IO namespace that it has joined after it left `times` others: its own random bits in "/", so
 * that they are a client ref's, unless it has been there before. Never 0; the same in all processes of a host and boot. */
uint64_t rc_sid_token(uint64_t random, struct rc_span nsp, uint8_t times);

#endif
