/*
 * question: what clients ask the relay about a channel: who is in it (presence.c), what was kept of it (history.c).
 *
 * Each is answered exactly once (worker/uplink/ask.h): by what the relay says, or with an error when it says nothing in time. A few bytes ask
 * for many: who does not read the answers that it has gets no more. Owned by the clients.
 */
#ifndef RC_WORKER_CLIENT_QUESTION_H
#define RC_WORKER_CLIENT_QUESTION_H

#include "worker/client/client.h"

#define RC_CLIENT_QUESTION_MS 3000u /* clearly longer than the relay may take (common/records/query.h) */

/* An asker whose answer, an RC_DOWN_QUERY of code 0, is the function's to make an event of; see rc_client_question_good. */
#define RC_CLIENT_ASKER(function)                                                                                      \
    {                                                                                                                  \
        .kind = RC_ASK_CLIENT, .in_ms = RC_CLIENT_QUESTION_MS, .once = true, .of_relay = true, .answered = (function), \
        .unanswered = rc_client_question_unanswered, .wanted = rc_client_question_wanted,                              \
    }

/* Which client of this boot the operation's says that it was; random 0: none, or messages that leave it out name it in another way. */
struct rc_client_ref rc_client_former(const struct rc_clients *clients, const struct rc_operation *operation);
/* Asks about a channel; `data` begins with a struct rc_query_head; the answer has `former` as its target. 0, or why not: -EAGAIN, there is no
 * room in the ring now. */
int rc_client_question(struct rc_clients *clients, uint32_t client, const struct rc_asker *asker,
                       struct rc_span channel, struct rc_span id, struct rc_span data, struct rc_client_ref former);

/* May the answer be told? False: the client has been told why not. */
bool rc_client_question_good(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view);
/* The answer, with the request's id. */
void rc_client_question_tell(const struct rc_ask *ask, struct rc_event *event);
/* It makes no sense, or there is no memory for it. */
void rc_client_question_fail(const struct rc_ask *ask);
void rc_client_question_unanswered(const struct rc_ask *ask, enum rc_ask_end why);
bool rc_client_question_wanted(const struct rc_ask *ask);

#endif
