/* groups: see groups.h. */
#include "acceptor/console/groups.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

/* What is added up, as rows have it. */
static const char *const sums[] = {"behind_bytes", "sent_bytes", "received_bytes"};
#define SUMS RC_ARRAY_COUNT(sums)

struct rc_group {
    json_t *is; /* owned: what the member says; null where there is none */
    size_t clients;
    double sum[SUMS];
};

/* Of the text, which is made to differ by type: user "1" is not worker 1. Owned; NULL: no memory. */
static char *place_of(const json_t *is)
{
    return json_dumps(is, JSON_ENCODE_ANY | JSON_COMPACT);
}

/* Room for one more. */
static bool groups_grow(struct rc_groups *groups)
{
    if (groups->count < groups->room) {
        return true;
    }
    const size_t room = groups->room == 0 ? 64 : 2 * groups->room;
    struct rc_group *larger = realloc(groups->all, room * sizeof(*larger));
    if (larger == NULL) {
        return false;
    }
    groups->all = larger;
    groups->room = room;
    return true;
}

static struct rc_group *group_of(struct rc_groups *groups, json_t *is)
{
    char *place = place_of(is);
    if (groups->places == NULL) {
        groups->places = json_object();
    }
    const json_t *there = place == NULL ? NULL : json_object_get(groups->places, place);
    size_t index = there != NULL ? (size_t)json_integer_value(there) : groups->count;
    bool good = place != NULL && groups->places != NULL;
    if (good && there == NULL) {
        good = groups_grow(groups) && json_object_set_new(groups->places, place, json_integer((json_int_t)index)) == 0;
        if (good) {
            groups->all[groups->count++] = (struct rc_group){.is = json_incref(is)};
        }
    }
    free(place);
    return good ? &groups->all[index] : NULL;
}

bool rc_groups_add(struct rc_groups *groups, const json_t *row)
{
    json_t *is = json_object_get(row, groups->by);
    struct rc_group *group = group_of(groups, is == NULL ? json_null() : is);
    if (group == NULL) {
        return false;
    }
    group->clients++;
    for (size_t i = 0; i < SUMS; i++) {
        group->sum[i] += json_number_value(json_object_get(row, sums[i]));
    }
    return true;
}

/* The largest first; those of one size by what they are, so that two looks can be compared. */
static int compare_groups(const void *left, const void *right)
{
    const struct rc_group *a = left;
    const struct rc_group *b = right;
    if (a->clients != b->clients) {
        return a->clients < b->clients ? 1 : -1;
    }
    const char *one = json_string_value(a->is);
    const char *other = json_string_value(b->is);
    return one != NULL && other != NULL ? strcmp(one, other) : 0;
}

json_t *rc_groups_json(struct rc_groups *groups, size_t limit, bool *more)
{
    json_t *rows = json_array();
    if (groups->count > 0) {
        qsort(groups->all, groups->count, sizeof(*groups->all), compare_groups);
    }
    *more = groups->count > limit;
    for (size_t i = 0; rows != NULL && i < groups->count && i < limit; i++) {
        const struct rc_group *group = &groups->all[i];
        json_t *row = json_pack("{s:O, s:I}", groups->by, group->is, "clients", (json_int_t)group->clients);
        bool good = row != NULL;
        for (size_t j = 0; good && j < SUMS; j++) {
            good = json_object_set_new(row, sums[j], json_integer((json_int_t)group->sum[j])) == 0;
        }
        if (!good || json_array_append_new(rows, row) != 0) {
            json_decref(rows);
            return NULL;
        }
    }
    return rows;
}

void rc_groups_free(struct rc_groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        json_decref(groups->all[i].is);
    }
    free(groups->all);
    json_decref(groups->places);
    *groups = (struct rc_groups){0};
}
