/* sid_places: see sid_places.h. */
#include "common/shm/sid_places.h"

#include <errno.h>

#include "common/base/check.h"

#define PLACE_NOWHERE UINT64_MAX        /* of a session that may have gone, or ended: it holds no more */
#define PLACE_CLAIMED (UINT64_MAX - 1u) /* likewise, and somebody makes the entry another's, under the lock */

static uint64_t place_of(const struct rc_core *core, uint32_t worker)
{
    return (uint64_t)worker << 32 | atomic_load_explicit(&core->workers[worker].generation, memory_order_relaxed);
}

/* Is it of a worker that still has the clients that it had then? */
static bool place_holds(const struct rc_core *core, uint64_t place)
{
    const uint64_t worker = place >> 32;
    return worker < RC_WORKERS_MAX && place == place_of(core, (uint32_t)worker);
}

/* UINT32_MAX: there is none. */
static uint32_t places_find(const struct rc_sid_place_set *set, uint64_t secret)
{
    for (uint32_t i = 0; i < RC_SID_PLACE_WAYS; i++) {
        /* SP2 pairs with SP1 in set_make: whoever sees the secret sees its place. */
        if (atomic_load_explicit(&set->secrets[i], memory_order_acquire) == secret) {
            return i;
        }
    }
    return UINT32_MAX;
}

/* Takes the entry of a session that is nowhere, under the lock. False: it is somewhere, or was said to be meanwhile (place_put). */
static bool set_claim(struct rc_sid_place_set *set, const struct rc_core *core, uint32_t at)
{
    /* Relaxed: free entries are made under the lock only; of the others the place decides, one word. */
    if (atomic_load_explicit(&set->secrets[at], memory_order_relaxed) == 0) {
        return true;
    }
    uint64_t place = atomic_load_explicit(&set->places[at], memory_order_relaxed);
    return !place_holds(core, place) &&
           atomic_compare_exchange_strong_explicit(&set->places[at], &place, PLACE_CLAIMED, memory_order_relaxed,
                                                   memory_order_relaxed);
}

/* Under the lock, for a secret that is not there. */
static int set_make(struct rc_sid_place_set *set, const struct rc_core *core, uint64_t secret, uint64_t place)
{
    for (uint32_t i = 0; i < RC_SID_PLACE_WAYS; i++) {
        if (!set_claim(set, core, i)) {
            continue;
        }
        atomic_store_explicit(&set->secrets[i], 0, memory_order_relaxed);
        /* SP3 pairs with SP4 in place_of_secret: who sees this place sees that it is not the former secret's. */
        atomic_store_explicit(&set->places[i], place, memory_order_release);
        /* SP1 pairs with SP2 in places_find. */
        atomic_store_explicit(&set->secrets[i], secret, memory_order_release);
        return 0;
    }
    return -ENOSPC;
}

/* What the entry says of this secret. False: it is another's by now. */
static bool place_of_secret(const struct rc_sid_place_set *set, uint32_t at, uint64_t secret, uint64_t *place)
{
    /* SP4 pairs with SP3 in set_make. */
    *place = atomic_load_explicit(&set->places[at], memory_order_acquire);
    return atomic_load_explicit(&set->secrets[at], memory_order_relaxed) == secret;
}

/* Another place in the entry, without the lock. False: it is being made another's, or was changed meanwhile. The place that is changed is this secret's: one
 * that somebody else's entry says is never the same again, since entries are made anew only of places that do not hold, and say one that does. */
static bool place_put(struct rc_sid_place_set *set, uint32_t at, uint64_t secret, uint64_t place)
{
    uint64_t former;
    return place_of_secret(set, at, secret, &former) && former != PLACE_CLAIMED &&
           atomic_compare_exchange_strong_explicit(&set->places[at], &former, place, memory_order_relaxed,
                                                   memory_order_relaxed);
}

int rc_sid_places_put(struct rc_sid_places *places, const struct rc_core *core, uint64_t secret, uint32_t worker)
{
    RC_ASSERT(secret != 0 && worker < RC_WORKERS_MAX);
    const uint32_t index = (uint32_t)(secret % RC_SID_PLACE_SETS);
    struct rc_sid_place_set *set = &places->sets[index];
    const uint64_t place = place_of(core, worker);
    uint32_t at = places_find(set, secret);
    if (at != UINT32_MAX && place_put(set, at, secret, place)) {
        return 0;
    }
    if (!rc_window_lock(&places->locks[index])) {
        return -ENOSPC;
    }
    int rc = 0;
    at = places_find(set, secret); /* nobody makes it here now, nor another of it */
    if (at != UINT32_MAX) {
        atomic_store_explicit(&set->places[at], place, memory_order_relaxed);
    } else {
        rc = set_make(set, core, secret, place);
    }
    rc_window_unlock(&places->locks[index]);
    return rc;
}

void rc_sid_places_went(struct rc_sid_places *places, const struct rc_core *core, uint64_t secret, uint32_t from,
                        uint32_t to)
{
    RC_ASSERT(from < RC_WORKERS_MAX && (to < RC_WORKERS_MAX || to == RC_SID_PLACE_NOWHERE));
    struct rc_sid_place_set *set = &places->sets[secret % RC_SID_PLACE_SETS];
    const uint32_t at = secret == 0 ? UINT32_MAX : places_find(set, secret);
    uint64_t former = place_of(core, from);
    /* If another secret has the entry by now it says something else: it is `from` that makes entries of its own, and puts right those of who comes. */
    if (at != UINT32_MAX) {
        (void)atomic_compare_exchange_strong_explicit(&set->places[at], &former,
                                                      to == RC_SID_PLACE_NOWHERE ? PLACE_NOWHERE : place_of(core, to),
                                                      memory_order_relaxed, memory_order_relaxed);
    }
}

void rc_sid_places_remove(struct rc_sid_places *places, uint64_t secret)
{
    struct rc_sid_place_set *set = &places->sets[secret % RC_SID_PLACE_SETS];
    const uint32_t at = secret == 0 ? UINT32_MAX : places_find(set, secret);
    if (at != UINT32_MAX) { /* its place stays: it may be another's in the next moment, and the entry is already */
        (void)atomic_compare_exchange_strong_explicit(&set->secrets[at], &secret, 0, memory_order_relaxed,
                                                      memory_order_relaxed);
    }
}

uint32_t rc_sid_places_find(const struct rc_sid_places *places, const struct rc_core *core, uint64_t secret)
{
    const struct rc_sid_place_set *set = &places->sets[secret % RC_SID_PLACE_SETS];
    const uint32_t at = secret == 0 ? UINT32_MAX : places_find(set, secret);
    if (at == UINT32_MAX) {
        return UINT32_MAX;
    }
    uint64_t place;
    return place_of_secret(set, at, secret, &place) && place_holds(core, place) ? (uint32_t)(place >> 32) : UINT32_MAX;
}
