/*
 * linked: the same for clients of an application behind links (docs/link.md): sessions that its processes keep (KEEP), and what they
 * broadcast, by the offsets that the application gives. See recovery.h, whose memory it is.
 *
 *   worker ── RC_UP_LINK ──▶ a lost session, or an entry of the log             worker ── RC_QUERY_LINK ──▶ the session, and what it missed
 *
 * A session is had once. Who says an offset that is not in the log, or was somewhere where something is known to be missing behind it, is
 * somebody new. All that has an offset is kept: nobody knows before who will be lost.
 *
 * Entries are found by their offset, and by what they are for: one room's, or everybody's of the namespace; each of both is a table of
 * RC_RECOVERY_LINKED_SLOTS chains, so that names cost nothing. Both are index: made anew from the log. One thread.
 */
#ifndef RC_RELAY_RECOVERY_LINKED_H
#define RC_RELAY_RECOVERY_LINKED_H

#include "relay/recovery/recovery_state.h"

/* Finds what a predecessor has kept, behind the opening of the log. 0 or -ENOMEM. */
int rc_recovery_linked_open(struct rc_recovery *recovery);
void rc_recovery_linked_close(struct rc_recovery *recovery);

/* An RC_UP_LINK of a worker, dead or alive. */
void rc_recovery_linked_take(struct rc_recovery *recovery, const struct rc_envelope_view *view, uint64_t now_ms);
/* An RC_QUERY_LINK: 0, and the answer is on its way; or enum rc_sio_session_code. `view` is what answers are made of. */
uint16_t rc_recovery_linked_asked(struct rc_recovery *recovery, uint32_t worker, const struct rc_envelope_view *asked,
                                  struct rc_envelope_view *view, uint64_t now_ms);

#endif
