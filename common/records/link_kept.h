/*
 * link_kept: what the relay keeps for clients of an application behind links that come back (docs/link.md, "When a client comes back"), as it
 * travels on the rings.
 *
 *   RC_UP_LINK     channel: the namespace; code: enum rc_link_kept
 *     SESSION      a socket has ended, and may come back. data: struct rc_link_kept_session | sid | pid | its data and rooms, as KEEP says them
 *     SAID         what was broadcast. event: its offset; token: of whose sockets alone (0: of everybody's); data: rooms | except | messages,
 *                  as BROADCAST says them
 *     LOST         the same, of which there was too much: no messages. Without a channel: nobody knows what was lost, nor for whom
 *   RC_QUERY_LINK  channel: the namespace. data: struct rc_query_head | u8 bytes, pid | u8 bytes, offset. Answer: an RC_DOWN_QUERY with a code
 *                  (enum rc_sio_session_code), or records one behind the other with struct rc_missed_head | a part of what REPLY says
 *                  behind `found`; the last with RC_MISSED_LAST
 *
 * Pure; any process may call. What is read comes out of another process's memory: each step is bounded, nothing is believed.
 */
#ifndef RC_COMMON_RECORDS_LINK_KEPT_H
#define RC_COMMON_RECORDS_LINK_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"

enum rc_link_kept {
    RC_LINK_KEPT_SESSION = 1,
    RC_LINK_KEPT_SAID,
    RC_LINK_KEPT_LOST,
};

struct rc_link_kept_session {
    uint64_t ms;      /* for so long */
    uint64_t process; /* whose socket it was: as the token of SAID; 0 = not known */
    uint8_t sid_bytes;
    uint8_t pid_bytes;
    uint8_t reserved[6];
};
_Static_assert(sizeof(struct rc_link_kept_session) == 24, "kept session layout");

/* -EBADMSG. `rest`: u32 bytes, data | list of rooms. */
int rc_link_kept_session_read(struct rc_span data, struct rc_link_kept_session *head, struct rc_span *sid,
                              struct rc_span *pid, struct rc_span *rest);
/* Both lists with their counts, and what follows them; of LOST that is empty. -EBADMSG. */
int rc_link_kept_said_read(struct rc_span data, struct rc_span *rooms, struct rc_span *except,
                           struct rc_span *messages);
/* What a session's `rest` is made of. -EBADMSG. */
int rc_link_kept_rest_read(struct rc_span rest, struct rc_span *data, struct rc_span *rooms);
/* The pid and offset of a question. -EBADMSG. */
int rc_link_kept_question_read(struct rc_span data, struct rc_span *pid, struct rc_span *offset);

/* A list, u16 count and so often u16 bytes and a text, is at the beginning of `rest`: it is taken off. False: it is not. */
bool rc_link_kept_list_take(struct rc_span *rest, struct rc_span *list);
/* Of a list that was taken off: how many it has, and each; `rest` begins as all of it. */
uint32_t rc_link_kept_list_begin(struct rc_span *rest);
bool rc_link_kept_list_next(struct rc_span *rest, struct rc_span *text);

#endif
