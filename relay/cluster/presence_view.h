/*
 * presence_view: who is in a channel as its subscribers were told last, and what they are to be told next.
 *
 *   begin ──▶ add: the users who are there now ──▶ end: nothing, who came and went, or all of them anew
 *
 * Of more users than are named it knows how many there are, and no names. Texts are the JSON of docs/protocol.md; none is longer than
 * RC_PRESENCE_TEXT_MAX: what would be is said shorter (all in place of a difference, how many in place of all). Private to the relay's
 * presence_events; one thread. Only adding and texts allocate. What a newcomer is told fits always: a list that differences have let grow beyond that
 * becomes how many, for everybody, until it is well below.
 */
#ifndef RC_RELAY_CLUSTER_PRESENCE_VIEW_H
#define RC_RELAY_CLUSTER_PRESENCE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/hashmap.h"
#include "common/base/span.h"

#define RC_PRESENCE_TEXT_MAX 65536u

struct rc_presence_member;

struct rc_presence_view {
    struct rc_hashmap names;            /* owner: hash of a user's id to its place in members */
    struct rc_presence_member *members; /* owner */
    uint32_t count;
    uint32_t max;
    uint32_t round; /* of the adding that runs, or was last */
    bool begun;     /* something was told, or could have been */
    bool many;      /* nobody is named... */
    bool large;     /* ...since all of them would be too long */
    bool local;     /* told were those of this host only */
    uint64_t clients;
    uint64_t users; /* the anonymous not counted */
};

/* A text; grows. */
struct rc_presence_text {
    uint8_t *bytes; /* owner */
    size_t count;
    size_t room;
    bool failed; /* too long, or no memory: what is there is not whole */
};

struct rc_presence_totals {
    uint64_t clients;
    uint64_t users; /* of all; 0 = as many as were added */
    bool named;     /* everybody who is there was added */
    bool leaving;   /* who was not added has gone; else it may be that nobody has asked for them */
    bool local;     /* those of this host only */
};

enum rc_presence_news { RC_PRESENCE_NOTHING, RC_PRESENCE_STATE, RC_PRESENCE_DIFF };

/* 0 or -ENOMEM. */
int rc_presence_view_open(struct rc_presence_view *view);
void rc_presence_view_close(struct rc_presence_view *view);

void rc_presence_view_begin(struct rc_presence_view *view);
/* The user (empty: the anonymous together) is there; once or more often. -ENOMEM: it is left out, and named must not be said. */
int rc_presence_view_add(struct rc_presence_view *view, struct rc_span user);
/* What is to be told, as `text`; `state`: all, whatever was told before. */
enum rc_presence_news rc_presence_view_end(struct rc_presence_view *view, struct rc_span channel,
                                           const struct rc_presence_totals *totals, bool state,
                                           struct rc_presence_text *text);
/* All that was told, as a newcomer gets it. */
void rc_presence_view_state(const struct rc_presence_view *view, struct rc_span channel, struct rc_presence_text *text);

void rc_presence_text_free(struct rc_presence_text *text);

#endif
