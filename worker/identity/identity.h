/*
 * identity: who is it? The [[identity]] tables asked about one client.
 *
 *   what it said ──▶ rc_identities_judge ──▶ tables in their order; the first whose credential is there decides
 *                          │                    jwt: verified here · proxy, certificate: taken as they are
 *                          │                    session, backend: somebody else is asked ──▶ RC_IDENTITY_IS_WAITS
 *                          │                          ◀──────── ready ─────┘   later, once; or rc_identities_forget
 *                          ▼
 *                    a connection begins: the [[backend]] with the call "connect" is told who it is, and may refuse it,
 *                    say more of it, and what is to be done
 *
 * A client is judged with its first request and, where it may say who it is later, once more then. Owned by the worker's main(), one
 * thread; it knows no clients. Nothing of a credential goes to a log.
 */
#ifndef RC_WORKER_IDENTITY_IDENTITY_H
#define RC_WORKER_IDENTITY_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/config/values.h"
#include "common/identity/jwt_gate.h"
#include "common/metrics/metrics.h"
#include "common/shm/control.h"
#include "common/text/address.h"
#include "worker/identity/callers.h"
#include "worker/identity/credentials.h"
#include "worker/identity/revocations.h"
#include "worker/identity/sessions.h"

#define RC_IDENTITY_ATTRIBUTES_MAX 4096u                /* bytes of a user as JSON */
#define RC_IDENTITY_USER_MAX (RC_CHANNEL_NAME_MAX - 5u) /* bytes of an id: it is part of the channel user:{id} */

/* Which tables are asked. */
enum rc_identity_moment {
    RC_IDENTITY_HANDSHAKE, /* of a protocol whose clients connect later: those with at = "handshake" */
    RC_IDENTITY_CONNECT,   /* it connects: the others */
    RC_IDENTITY_ALL,       /* of protocols without a connect */
    RC_IDENTITY_ROW,       /* one alone, whatever it says of moments; `auth` may be the credential itself, no object */
    RC_IDENTITY_NO_ROW,    /* none: who it is was said by somebody whom that is believed */
};

/* What a client said, for one judgement. Spans are borrowed for the call. */
struct rc_identity_question {
    enum rc_identity_moment moment;
    struct rc_identity_asker asker; /* who wants to know; its token names the judgement, whatever is waited for in it */
    bool known;                     /* it is somebody already: nothing is missing */
    bool connects;                  /* it begins: the [[backend]] whose `calls` have "connect" has a say, too */
    uint32_t row;                   /* ROW: its index */
    bool later;                     /* it may still say something: a table that wants auth.NAME is not missing it yet */
    struct rc_span auth;            /* JSON; empty: it said nothing yet */
    struct rc_span request;         /* rc_credentials_of */
    struct rc_span nsp;             /* the Socket.IO namespace that it connects to; empty: of other protocols */
    struct rc_span user;            /* JSON of who it is already; empty: nobody */
    const char *transport;          /* "websocket", "polling" */
    struct rc_address address;
};

enum rc_identity_verdict {
    RC_IDENTITY_IS_NOBODY,  /* no credential is there, and none has to be */
    RC_IDENTITY_IS_MISSING, /* question.later: it has to say who it is yet */
    RC_IDENTITY_IS_KNOWN,
    RC_IDENTITY_IS_REFUSED,
    RC_IDENTITY_IS_WAITS,
};

/* Of a token that may be revoked while its client is there: by what it is looked for. */
struct rc_identity_token {
    uint64_t issued_s;
    uint16_t id_bytes;
    bool revocable; /* else nothing here counts */
    uint8_t id[RC_TOKEN_ID_MAX];
};

/* Valid until the next judgement. */
struct rc_judgement {
    enum rc_identity_verdict verdict;
    struct rc_span user;       /* KNOWN: the id */
    struct rc_span attributes; /* KNOWN: a JSON object, `id` first */
    uint64_t expires_ms;       /* KNOWN: of its credential, CLOCK_REALTIME; 0 = never */
    uint64_t
        bound_ms; /* KNOWN, NOBODY: likewise, of the connection, by a backend that did not tell who it is; 0 = none */
    uint32_t session; /* KNOWN: names its session (rc_session_first), until the loop goes on; 0 = it has none */
    uint8_t row;      /* index of the table that decided, also that it is nobody, and 1; 0 = none did */
    const struct rc_identity_token *token; /* KNOWN: that it came with; NULL: none that may be revoked */
    struct rc_span refused;                /* REFUSED: what the client is told */
    struct rc_span data;                   /* REFUSED: JSON, with it; empty: none */
    struct rc_span set;   /* KNOWN, NOBODY: a JSON object to be set on the connection; empty: nothing */
    struct rc_span reply; /* likewise: a backend's, with operations for when it is connected; empty: there are none */
    uint32_t backend;     /* with `reply`: whose */
    bool unavailable;     /* REFUSED: nobody could say; not now */
};

struct rc_identities {
    const struct rc_config *config; /* borrowed: the one in force */
    struct rc_control *control;     /* borrowed: where new keys are asked for */
    struct rc_metrics *metrics;     /* borrowed */
    struct rc_sessions sessions;
    struct rc_revocations revocations;
    struct rc_callers callers;
    struct rc_backend_connect_reply answer; /* of the running judgement */
    uint8_t *reply;                         /* owned: the body that it points into; NULL = none */
    struct rc_jwt_gate gate;
    struct rc_jwt_result token; /* of the running judgement */
    struct rc_identity_token token_name;
    uint8_t user[RC_IDENTITY_USER_MAX];
    uint8_t attributes[RC_IDENTITY_ATTRIBUTES_MAX];
    uint8_t values[RC_IDENTITY_ATTRIBUTES_MAX];
    uint8_t credential[RC_JWT_TOKEN_BYTES_MAX];
};

/* Nobody wants to know any more. */
void rc_identities_forget(struct rc_identities *identities, uint64_t token);

/* rc_sessions_open and rc_revocations_open are the caller's; rc_identities_close closes them, too. */
void rc_identities_open(struct rc_identities *identities, const struct rc_config *config, uint32_t generation,
                        struct rc_control *control, const struct rc_key_board *board, struct rc_metrics *metrics);
void rc_identities_close(struct rc_identities *identities);
void rc_identities_reconfigure(struct rc_identities *identities, const struct rc_config *config, uint32_t generation);

/* Redis answered about sessions, or it did not: for /health/database. */
void rc_identities_heard(struct rc_identities *identities, bool answered);

/* Is there anything to be asked at all, of who begins? */
bool rc_identities_any(const struct rc_config *config);

/* WAITS: the same question again, once `ready` has been called with its token; or rc_identities_forget. */
void rc_identities_judge(struct rc_identities *identities, const struct rc_identity_question *question,
                         struct rc_judgement *judgement);

#endif
