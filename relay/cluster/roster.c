/* roster: see roster.h. */
#include "relay/cluster/roster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

#define NONE UINT32_MAX

struct channel {
    char *name; /* owner; NULL = free */
    uint64_t hash;
    uint32_t bytes;
    uint32_t clients;
    uint32_t users;
    uint32_t first; /* of its people; of a free one the next free one */
    bool announced; /* others know that somebody is there */
};

struct person {
    char *user; /* owner; NULL = anonymous, or free */
    char *info; /* owner; NULL = none */
    uint64_t hash;
    uint32_t bytes;
    uint32_t clients; /* 0 = free */
    uint32_t channel;
    uint32_t next; /* of the channel's people, or of the free list */
    uint32_t previous;
    uint32_t info_bytes;
    struct rc_client_ref ref; /* with which it came */
    bool announced;           /* others know that it is there */
};

struct member {
    struct rc_client_ref ref;
    uint32_t person;
    uint32_t next; /* free list */
    bool used;
    bool stale; /* its worker has not told it again */
};

static struct channel *channel_at(const struct rc_roster *roster, uint32_t index)
{
    return &((struct channel *)roster->channels.items)[index];
}

static struct person *person_at(const struct rc_roster *roster, uint32_t index)
{
    return &((struct person *)roster->people.items)[index];
}

static struct member *member_at(const struct rc_roster *roster, uint32_t index)
{
    return &((struct member *)roster->members.items)[index];
}

/* --- tables ---------------------------------------------------------------------------------------------------------- */

/* A new place at the end; NONE without memory. Free ones are the caller's to look for first. */
static uint32_t table_extend(struct rc_roster_table *table, size_t item_bytes)
{
    if (table->used == table->max) {
        const uint32_t max = table->max == 0 ? 64 : table->max * 2;
        void *more = max > RC_ROSTER_MAX ? NULL : realloc(table->items, max * item_bytes);
        if (more == NULL) {
            return NONE;
        }
        table->items = more;
        table->max = max;
    }
    memset((char *)table->items + table->used * item_bytes, 0, item_bytes);
    return table->used++;
}

/* --- channels -------------------------------------------------------------------------------------------------------- */

struct channel_key {
    const struct rc_roster *roster;
    struct rc_span name;
};

static bool channel_equal(const void *context, uint32_t index)
{
    const struct channel_key *key = context;
    const struct channel *one = channel_at(key->roster, index);
    return rc_span_equal(rc_span_of(one->name, one->bytes), key->name);
}

static uint32_t channel_find(const struct rc_roster *roster, struct rc_span name)
{
    const struct channel_key key = {.roster = roster, .name = name};
    return rc_hashmap_find(&roster->channels.map, rc_channel_hash((const char *)name.bytes, name.count), channel_equal,
                           &key);
}

static void channel_free(struct rc_roster *roster, uint32_t index)
{
    struct channel *one = channel_at(roster, index);
    free(one->name);
    *one = (struct channel){.first = roster->channels.free};
    roster->channels.free = index;
}

static uint32_t channel_get(struct rc_roster *roster, struct rc_span name)
{
    uint32_t index = channel_find(roster, name);
    if (index != RC_HASHMAP_NONE) {
        return index;
    }
    index = roster->channels.free;
    if (index != NONE) {
        roster->channels.free = channel_at(roster, index)->first;
    } else {
        index = table_extend(&roster->channels, sizeof(struct channel));
    }
    if (index == NONE) {
        return NONE;
    }
    struct channel *one = channel_at(roster, index);
    *one = (struct channel){.name = strndup((const char *)name.bytes, name.count),
                            .hash = rc_channel_hash((const char *)name.bytes, name.count),
                            .bytes = (uint32_t)name.count,
                            .first = NONE};
    if (one->name == NULL || rc_hashmap_insert(&roster->channels.map, one->hash, index) < 0) {
        channel_free(roster, index);
        return NONE;
    }
    return index;
}

static void channel_release(struct rc_roster *roster, uint32_t index)
{
    const struct channel *one = channel_at(roster, index);
    if (one->first == NONE) {
        const bool removed = rc_hashmap_remove(&roster->channels.map, one->hash, index);
        RC_ASSERT(removed);
        channel_free(roster, index);
    }
}

/* --- people ---------------------------------------------------------------------------------------------------------- */

struct person_key {
    const struct rc_roster *roster;
    struct rc_span user;
    uint32_t channel;
};

static bool person_equal(const void *context, uint32_t index)
{
    const struct person_key *key = context;
    const struct person *one = person_at(key->roster, index);
    return one->channel == key->channel && rc_span_equal(rc_span_of(one->user, one->bytes), key->user);
}

static uint64_t person_hash(const struct rc_roster *roster, uint32_t channel, struct rc_span user)
{
    const uint64_t parts[2] = {channel_at(roster, channel)->hash,
                               user.count == 0 ? 0 : rc_channel_hash((const char *)user.bytes, user.count)};
    return rc_channel_hash((const char *)parts, sizeof(parts));
}

static void person_free(struct rc_roster *roster, uint32_t index)
{
    struct person *one = person_at(roster, index);
    free(one->user);
    free(one->info);
    *one = (struct person){.next = roster->people.free};
    roster->people.free = index;
}

static uint32_t person_make(struct rc_roster *roster, uint32_t channel, struct rc_span user, struct rc_span info,
                            uint64_t hash)
{
    uint32_t index = roster->people.free;
    if (index != NONE) {
        roster->people.free = person_at(roster, index)->next;
    } else {
        index = table_extend(&roster->people, sizeof(struct person));
    }
    if (index == NONE) {
        return NONE;
    }
    struct person *one = person_at(roster, index);
    struct channel *its = channel_at(roster, channel);
    *one = (struct person){.user = user.count == 0 ? NULL : strndup((const char *)user.bytes, user.count),
                           .info = info.count == 0 ? NULL : strndup((const char *)info.bytes, info.count),
                           .info_bytes = (uint32_t)info.count,
                           .hash = hash,
                           .bytes = (uint32_t)user.count,
                           .channel = channel,
                           .next = its->first,
                           .previous = NONE};
    if ((user.count > 0 && one->user == NULL) || (info.count > 0 && one->info == NULL) ||
        rc_hashmap_insert(&roster->people.map, hash, index) < 0) {
        person_free(roster, index);
        return NONE;
    }
    if (its->first != NONE) {
        person_at(roster, its->first)->previous = index;
    }
    its->first = index;
    its->users += user.count > 0;
    return index;
}

static uint32_t person_find(const struct rc_roster *roster, uint32_t channel, struct rc_span user)
{
    const struct person_key key = {.roster = roster, .user = user, .channel = channel};
    return rc_hashmap_find(&roster->people.map, person_hash(roster, channel, user), person_equal, &key);
}

static uint32_t person_get(struct rc_roster *roster, uint32_t channel, struct rc_span user, struct rc_span info)
{
    const uint32_t index = person_find(roster, channel, user);
    return index != RC_HASHMAP_NONE ? index
                                    : person_make(roster, channel, user, info, person_hash(roster, channel, user));
}

/* Nobody is left of it. */
static void person_remove(struct rc_roster *roster, uint32_t index)
{
    const struct person *one = person_at(roster, index);
    struct channel *its = channel_at(roster, one->channel);
    if (one->previous != NONE) {
        person_at(roster, one->previous)->next = one->next;
    } else {
        its->first = one->next;
    }
    if (one->next != NONE) {
        person_at(roster, one->next)->previous = one->previous;
    }
    its->users -= one->bytes > 0;
    const bool removed = rc_hashmap_remove(&roster->people.map, one->hash, index);
    RC_ASSERT(removed);
    person_free(roster, index);
}

/* One client more, or less. */
static void roster_tell(const struct rc_roster *roster, const struct person *one, bool more, bool quiet)
{
    const struct channel *its = channel_at(roster, one->channel);
    const struct rc_roster_change change = {.channel = rc_span_of(its->name, its->bytes),
                                            .user = rc_span_of(one->user, one->bytes),
                                            .info = rc_span_of(one->info, one->info_bytes),
                                            .ref = one->ref,
                                            .clients = one->clients,
                                            .before = more ? one->clients - 1 : one->clients + 1,
                                            .channel_clients = its->clients,
                                            .channel_before = more ? its->clients - 1 : its->clients + 1,
                                            .quiet = quiet};
    if (roster->ops.changed != NULL) {
        roster->ops.changed(roster->ops.context, &change);
    }
}

static bool is_telling(const struct rc_roster *roster, uint32_t worker)
{
    return worker < RC_WORKERS_MAX && (roster->telling[worker / 64] >> (worker % 64) & 1) != 0;
}

static void set_telling(struct rc_roster *roster, uint32_t worker, bool telling)
{
    if (worker < RC_WORKERS_MAX) {
        const uint64_t bit = UINT64_C(1) << (worker % 64);
        roster->telling[worker / 64] =
            telling ? roster->telling[worker / 64] | bit : roster->telling[worker / 64] & ~bit;
    }
}

/* --- members --------------------------------------------------------------------------------------------------------- */

struct member_key {
    const struct rc_roster *roster;
    const struct rc_client_ref *ref;
    uint32_t channel;
};

static bool member_equal(const void *context, uint32_t index)
{
    const struct member_key *key = context;
    const struct member *one = member_at(key->roster, index);
    return one->ref.random == key->ref->random && one->ref.slot == key->ref->slot &&
           one->ref.worker == key->ref->worker && person_at(key->roster, one->person)->channel == key->channel;
}

static uint64_t member_hash(const struct rc_roster *roster, uint32_t channel, const struct rc_client_ref *ref)
{
    const uint64_t parts[3] = {channel_at(roster, channel)->hash, ref->random, (uint64_t)ref->worker << 32 | ref->slot};
    return rc_channel_hash((const char *)parts, sizeof(parts));
}

static uint32_t member_find(const struct rc_roster *roster, uint32_t channel, const struct rc_client_ref *ref)
{
    const struct member_key key = {.roster = roster, .ref = ref, .channel = channel};
    return rc_hashmap_find(&roster->members.map, member_hash(roster, channel, ref), member_equal, &key);
}

static void roster_set_gauge(const struct rc_roster *roster)
{
    rc_metric_set(roster->metrics, RC_METRIC_PRESENCE_MEMBERS, roster->members.map.count);
}

static uint32_t member_make(struct rc_roster *roster, uint32_t person, const struct rc_client_ref *ref)
{
    uint32_t index = roster->members.free;
    if (index != NONE) {
        roster->members.free = member_at(roster, index)->next;
    } else {
        index = table_extend(&roster->members, sizeof(struct member));
    }
    if (index == NONE) {
        return NONE;
    }
    struct member *one = member_at(roster, index);
    *one = (struct member){.ref = *ref, .person = person, .used = true};
    const uint64_t hash = member_hash(roster, person_at(roster, person)->channel, ref);
    if (rc_hashmap_insert(&roster->members.map, hash, index) < 0) {
        *one = (struct member){.next = roster->members.free};
        roster->members.free = index;
        return NONE;
    }
    return index;
}

static void roster_refuse(struct rc_roster *roster, uint32_t channel, uint32_t person)
{
    rc_metric_add(roster->metrics, RC_METRIC_PRESENCE_REFUSED, 1);
    if (person != NONE && person_at(roster, person)->clients == 0) {
        person_remove(roster, person);
    }
    if (channel != NONE) {
        channel_release(roster, channel);
    }
}

/* What was told to a predecessor of this relay others know. */
static void member_came(struct rc_roster *roster, uint32_t channel, uint32_t person, const struct rc_client_ref *ref)
{
    struct channel *its = channel_at(roster, channel);
    struct person *one = person_at(roster, person);
    const bool quiet = is_telling(roster, ref->worker);
    if (one->clients == 0) {
        one->ref = *ref;
        one->announced = quiet;
    }
    its->announced = its->clients == 0 ? quiet : its->announced;
    its->clients++;
    one->clients++;
    roster_set_gauge(roster);
    roster_tell(roster, one, true, quiet);
}

void rc_roster_add_member(struct rc_roster *roster, struct rc_span name, const struct rc_client_ref *ref,
                          struct rc_span user, struct rc_span info)
{
    const uint32_t channel = channel_get(roster, name);
    uint32_t index = channel != NONE ? member_find(roster, channel, ref) : RC_HASHMAP_NONE;
    if (index != RC_HASHMAP_NONE) {
        member_at(roster, index)->stale = false;
        return;
    }
    const uint32_t person = channel != NONE ? person_get(roster, channel, user, info) : NONE;
    index = person != NONE ? member_make(roster, person, ref) : NONE;
    if (index == NONE) {
        roster_refuse(roster, channel, person);
        return;
    }
    member_came(roster, channel, person, ref);
}

static void member_remove(struct rc_roster *roster, uint32_t index)
{
    struct member *one = member_at(roster, index);
    const uint32_t person = one->person;
    const uint32_t channel = person_at(roster, person)->channel;
    if (person_at(roster, person)->ref.random == one->ref.random) {
        person_at(roster, person)->ref = (struct rc_client_ref){0};
    }
    const bool removed = rc_hashmap_remove(&roster->members.map, member_hash(roster, channel, &one->ref), index);
    RC_ASSERT(removed);
    *one = (struct member){.next = roster->members.free};
    roster->members.free = index;
    channel_at(roster, channel)->clients--;
    person_at(roster, person)->clients--;
    roster_set_gauge(roster);
    roster_tell(roster, person_at(roster, person), false, false);
    if (person_at(roster, person)->clients == 0) {
        person_remove(roster, person);
        channel_release(roster, channel);
    }
}

void rc_roster_remove(struct rc_roster *roster, struct rc_span name, const struct rc_client_ref *ref)
{
    const uint32_t channel = channel_find(roster, name);
    const uint32_t index = channel != RC_HASHMAP_NONE ? member_find(roster, channel, ref) : RC_HASHMAP_NONE;
    if (index != RC_HASHMAP_NONE) {
        member_remove(roster, index);
    }
}

/* --- many at once ---------------------------------------------------------------------------------------------------- */

void rc_roster_worker_begin(struct rc_roster *roster, uint32_t worker)
{
    set_telling(roster, worker, true);
    for (uint32_t i = 0; i < roster->members.used; i++) {
        struct member *one = member_at(roster, i);
        one->stale |= one->used && one->ref.worker == worker;
    }
}

bool rc_roster_told(const struct rc_roster *roster, uint32_t worker)
{
    return worker < RC_WORKERS_MAX && (roster->told[worker / 64] >> (worker % 64) & 1) != 0;
}

void rc_roster_worker_end(struct rc_roster *roster, uint32_t worker)
{
    set_telling(roster, worker, false);
    if (worker < RC_WORKERS_MAX) {
        roster->told[worker / 64] |= UINT64_C(1) << (worker % 64);
    }
    for (uint32_t i = 0; i < roster->members.used; i++) {
        const struct member *one = member_at(roster, i);
        if (one->used && one->stale && one->ref.worker == worker) {
            member_remove(roster, i);
        }
    }
}

void rc_roster_worker_gone(struct rc_roster *roster, uint32_t worker)
{
    rc_roster_worker_begin(roster, worker);
    rc_roster_worker_end(roster, worker);
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */

bool rc_roster_find(const struct rc_roster *roster, struct rc_span name, struct rc_roster_counts *counts)
{
    const uint32_t index = channel_find(roster, name);
    if (index == RC_HASHMAP_NONE) {
        *counts = (struct rc_roster_counts){.channel = NONE};
        return false;
    }
    const struct channel *one = channel_at(roster, index);
    *counts = (struct rc_roster_counts){.channel = index, .clients = one->clients, .users = one->users};
    return true;
}

bool rc_roster_next(const struct rc_roster *roster, const struct rc_roster_counts *counts, uint32_t *cursor,
                    struct rc_span *user, uint32_t *clients)
{
    if (counts->channel == NONE) {
        return false;
    }
    *cursor = *cursor == NONE ? channel_at(roster, counts->channel)->first : person_at(roster, *cursor)->next;
    if (*cursor == NONE) {
        return false;
    }
    const struct person *one = person_at(roster, *cursor);
    *user = rc_span_of(one->user, one->bytes);
    *clients = one->clients;
    return true;
}

struct rc_span rc_roster_info(const struct rc_roster *roster, uint32_t cursor)
{
    const struct person *one = person_at(roster, cursor);
    return rc_span_of(one->info, one->info_bytes);
}

bool rc_roster_announce(struct rc_roster *roster, struct rc_span name, const struct rc_span *user,
                        struct rc_client_ref *ref, struct rc_span *info)
{
    const uint32_t channel = channel_find(roster, name);
    *ref = (struct rc_client_ref){0};
    *info = (struct rc_span){0};
    if (channel == RC_HASHMAP_NONE) {
        return false;
    }
    bool *announced = &channel_at(roster, channel)->announced;
    if (user != NULL) {
        const uint32_t person = person_find(roster, channel, *user);
        if (person == RC_HASHMAP_NONE) {
            return false;
        }
        announced = &person_at(roster, person)->announced;
        *ref = person_at(roster, person)->ref;
        *info = rc_roster_info(roster, person);
    }
    const bool before = *announced;
    *announced = true;
    return before;
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int rc_roster_open(struct rc_roster *roster, struct rc_metrics *metrics)
{
    struct rc_roster_table *const tables[] = {&roster->channels, &roster->people, &roster->members};
    *roster = (struct rc_roster){.metrics = metrics};
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(tables); i++) {
        tables[i]->free = NONE;
        if (rc_hashmap_init(&tables[i]->map, 64, RC_ROSTER_MAX) < 0) {
            rc_roster_close(roster);
            return -ENOMEM;
        }
    }
    roster_set_gauge(roster); /* a predecessor's is not true any more */
    return 0;
}

void rc_roster_close(struct rc_roster *roster)
{
    for (uint32_t i = 0; i < roster->channels.used; i++) {
        free(channel_at(roster, i)->name);
    }
    for (uint32_t i = 0; i < roster->people.used; i++) {
        free(person_at(roster, i)->user);
        free(person_at(roster, i)->info);
    }
    struct rc_roster_table *const tables[] = {&roster->channels, &roster->people, &roster->members};
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(tables); i++) {
        free(tables[i]->items);
        rc_hashmap_free(&tables[i]->map);
    }
}
