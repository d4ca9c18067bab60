/* comeback_marks: see comeback_marks.h. */
#include "relay/cluster/comeback_marks.h"

#include <errno.h>
#include <stdlib.h>

#define WORDS (RC_REDIS_NODES_MAX / 64u)

struct rc_comeback_marked_one {
    uint64_t token;
    uint64_t used;         /* clock; 0 = free */
    uint64_t there[WORDS]; /* a bit for each server of the map: heard at the one through which it was sent */
    uint64_t home[WORDS];  /* and at home */
    uint64_t map;          /* of which servers the bits are */
    bool spent;
};

int rc_comeback_marks_open(struct rc_comeback_marks *marks)
{
    *marks = (struct rc_comeback_marks){.ones = calloc(RC_COMEBACK_MARKS_MAX, sizeof(*marks->ones))};
    return marks->ones != NULL ? 0 : -ENOMEM;
}

void rc_comeback_marks_close(struct rc_comeback_marks *marks)
{
    free(marks->ones);
    *marks = (struct rc_comeback_marks){.ones = NULL};
}

/* That of the token, else a new one in place of the oldest. */
static struct rc_comeback_marked_one *marks_of(struct rc_comeback_marks *marks, uint64_t token)
{
    struct rc_comeback_marked_one *oldest = &marks->ones[0];
    for (uint32_t i = 0; i < RC_COMEBACK_MARKS_MAX; i++) {
        struct rc_comeback_marked_one *one = &marks->ones[i];
        if (one->used != 0 && one->token == token) {
            one->used = ++marks->clock;
            return one;
        }
        oldest = one->used < oldest->used ? one : oldest;
    }
    *oldest = (struct rc_comeback_marked_one){.token = token, .used = ++marks->clock};
    return oldest;
}

bool rc_comeback_marks_spend(struct rc_comeback_marks *marks, uint64_t token)
{
    struct rc_comeback_marked_one *one = marks_of(marks, token);
    const bool first = !one->spent;
    one->spent = true;
    return first;
}

static uint32_t places_find(const struct rc_redis_places *places, uint64_t id)
{
    uint32_t i = 0;
    while (i < places->count && places->ids[i] != id) {
        i++;
    }
    return i;
}

static bool all_set(const uint64_t bits[WORDS], uint32_t count)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < WORDS; i++) {
        set += (uint32_t)__builtin_popcountll(bits[i]);
    }
    return set == count;
}

enum rc_comeback_marked rc_comeback_marks_came(struct rc_comeback_marks *marks, const struct rc_comeback_mark *mark,
                                               const struct rc_redis_places *places)
{
    const uint32_t index = places_find(places, mark->place);
    const bool there = mark->heard == mark->place;
    const bool home = mark->heard == places->ids[0];
    if (index == places->count || mark->count != places->count || (!there && !home)) {
        return RC_COMEBACK_STRAY;
    }
    struct rc_comeback_marked_one *one = marks_of(marks, mark->token);
    if (one->spent) {
        return RC_COMEBACK_SPENT;
    }
    if (one->map != places->map) { /* what was heard under another one says nothing of this one */
        *one = (struct rc_comeback_marked_one){.token = one->token, .used = one->used, .map = places->map};
    }
    one->there[index / 64] |= (uint64_t)there << (index % 64);
    one->home[index / 64] |= (uint64_t)home << (index % 64);
    one->spent = all_set(one->there, places->count) && all_set(one->home, places->count);
    return one->spent ? RC_COMEBACK_WHOLE : RC_COMEBACK_PARTLY;
}
