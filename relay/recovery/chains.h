/*
 * chains: in which chains of the log (log.h) what a session may have missed stands: of each of its rooms, of itself, of everybody, and the one
 * of holes, where something is known to be missing.
 *
 * Owned by recovery.h; one thread.
 */
#ifndef RC_RELAY_RECOVERY_CHAINS_H
#define RC_RELAY_RECOVERY_CHAINS_H

#include "relay/recovery/recovery_state.h"

#define RC_RECOVERY_CHAIN_HOLES UINT64_C(1)

/* What is for a socket, or for a client, by its token. */
uint64_t rc_recovery_chain_of_token(uint64_t token);
/* What is for a channel. */
uint64_t rc_recovery_chain_of_name(struct rc_span name);

/* One more session wants all of its chains: from here on they are kept. False: one of them cannot be, and then it wants none, for what it missed
 * would not be there. */
bool rc_recovery_chains_want(struct rc_recovery *recovery, const struct rc_recovery_session *session);
void rc_recovery_chains_unwant(struct rc_recovery *recovery, const struct rc_recovery_session *session);
/* The session stands like that from now on; `old`: as which it was known, or RC_SIO_SESSION_NONE. Of one that is spoilt only what comes from here on is
 * kept. The new one; without room for it the old one, which is spoilt then; or none. */
uint32_t rc_recovery_put(struct rc_recovery *recovery, uint32_t old, const struct rc_recovery_session *head,
                         const struct rc_sio_session_parts *parts, enum rc_sio_session_state state);
/* The session is gone. */
void rc_recovery_drop(struct rc_recovery *recovery, uint32_t unit);
/* Tells setup.room of its rooms. */
void rc_recovery_chains_tell(struct rc_recovery *recovery, const struct rc_recovery_session *session);

/* Messages of the channel (no name: of any) before the sequence are not all kept. */
void rc_recovery_chains_hole(struct rc_recovery *recovery, struct rc_span channel, uint64_t sequence, uint64_t now_ms);

#endif
