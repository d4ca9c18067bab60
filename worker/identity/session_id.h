/*
 * session_id: what a cookie of express-session, and the JSON of a session, say. Pure.
 */
#ifndef RC_WORKER_IDENTITY_SESSION_ID_H
#define RC_WORKER_IDENTITY_SESSION_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/config/values.h"
#include "common/records/query.h"

#define RC_SESSION_ID_MAX 128u

/*
 * The session's id in a credential, decoded. With secrets a cookie has to be "s:ID.SIGNATURE", SIGNATURE being HMAC-SHA256 of ID under
 * one of them, as base64 without padding (cookie-signature, which express-session and cookie-session use); other credentials may be.
 * Without secrets it is the id itself. Letters, digits and "-_,.~", at most RC_SESSION_ID_MAX of them: nothing that means something in a
 * key. 0, or -EACCES with the reason in `why` (static).
 */
int rc_session_id(const struct rc_config_identity *row, struct rc_span credential, bool is_cookie, struct rc_span *id,
                  const char **why);

/* The key of that session: the row's `key` with the id in place of each {id}. Its bytes, or -E2BIG. */
int rc_session_key(const struct rc_config_identity *row, struct rc_span id, char key[RC_QUERY_KEY_MAX]);

/* When a session says that it ends: `cookie.expires` (express-session), `expires` or `expires_at`: ISO 8601 in UTC as JavaScript writes
 * it, or a number of seconds or milliseconds since 1970. CLOCK_REALTIME in milliseconds; 0: it does not say. */
uint64_t rc_session_says_expires(struct rc_span json);

#endif
