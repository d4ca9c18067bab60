/* json_equal: see json_equal.h. */
#include "common/text/json_equal.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/text/json_chars.h"
#include "common/text/json_number.h"

#define STEP_BYTES 16u
#define HASHES_MAX 512u /* that are compared with all behind them at once */
#define SLOTS_MAX (2u * HASHES_MAX)
#define PRIME UINT64_C(0x9e3779b97f4a7c15)

static bool steps_take(int64_t *steps, size_t bytes)
{
    *steps -= 1 + (int64_t)(bytes / STEP_BYTES);
    return *steps >= 0;
}

/* --- equal ----------------------------------------------------------------------------------------------------------- */

static bool strings_equal(const struct rc_json_value *a, const struct rc_json_value *b)
{
    struct rc_json_chars left = rc_json_chars_of(a);
    struct rc_json_chars right = rc_json_chars_of(b);
    uint32_t one = 0;
    uint32_t other = 0;
    if (!a->escaped && !b->escaped) {
        return rc_span_equal(a->raw, b->raw);
    }
    for (;;) {
        const bool more = rc_json_chars_next(&left, &one);
        if (more != rc_json_chars_next(&right, &other) || (more && one != other)) {
            return false;
        }
        if (!more) {
            return true;
        }
    }
}

static int arrays_equal(const struct rc_json_value *a, const struct rc_json_value *b, int64_t *steps)
{
    struct rc_json_cursor left;
    struct rc_json_cursor right;
    struct rc_json_value one;
    struct rc_json_value other;
    if (rc_json_array_begin(&left, a->raw, 0) < 0 || rc_json_array_begin(&right, b->raw, 0) < 0) {
        return 0;
    }
    for (;;) {
        const int more = rc_json_array_next(&left, &one);
        if (more != rc_json_array_next(&right, &other)) {
            return 0;
        }
        if (more != 1) {
            return 1;
        }
        const int rc = rc_json_equal(&one, &other, steps); /* in each other: RC_JSON_DEPTH_MAX */
        if (rc != 1) {
            return rc;
        }
    }
}

/* The object's member of that name: 1, 0, -EOVERFLOW. */
static int member_find(struct rc_span object, const struct rc_json_value *wanted, struct rc_json_value *value,
                       int64_t *steps)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    if (rc_json_object_begin(&cursor, object, 0) < 0) {
        return 0;
    }
    while (rc_json_object_next(&cursor, &name, value) == 1) {
        if (!steps_take(steps, name.raw.count + value->raw.count)) {
            return -EOVERFLOW;
        }
        if (strings_equal(&name, wanted)) {
            return 1;
        }
    }
    return 0;
}

/* No name stands twice in either. */
static int objects_equal(const struct rc_json_value *a, const struct rc_json_value *b, int64_t *steps)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    struct rc_json_value other;
    int64_t more = 0;
    if (rc_json_object_begin(&cursor, b->raw, 0) < 0) {
        return 0;
    }
    while (rc_json_object_next(&cursor, &name, &value) == 1) {
        more++;
    }
    if (rc_json_object_begin(&cursor, a->raw, 0) < 0) {
        return 0;
    }
    while (rc_json_object_next(&cursor, &name, &value) == 1) {
        int rc = member_find(b->raw, &name, &other, steps);
        if (rc == 1) {
            rc = rc_json_equal(&value, &other, steps);
        }
        if (rc != 1) {
            return rc;
        }
        more--;
    }
    return more == 0;
}

int rc_json_equal(const struct rc_json_value *a, const struct rc_json_value *b, int64_t *steps)
{
    if (a->type != b->type) {
        return 0;
    }
    if (!steps_take(steps, a->raw.count + b->raw.count)) {
        return -EOVERFLOW;
    }
    switch (a->type) {
    case RC_JSON_STRING:
        return strings_equal(a, b);
    case RC_JSON_NUMBER: {
        const struct rc_json_number left = rc_json_number_read(a->raw);
        const struct rc_json_number right = rc_json_number_read(b->raw);
        return rc_json_number_compare(&left, &right) == 0;
    }
    case RC_JSON_ARRAY:
        return arrays_equal(a, b, steps);
    case RC_JSON_OBJECT:
        return objects_equal(a, b, steps);
    default:
        return 1;
    }
}

/* --- hashes ---------------------------------------------------------------------------------------------------------- */

static uint64_t hash_mix(uint64_t hash, uint64_t more)
{
    hash = (hash ^ more) * PRIME;
    return hash ^ hash >> 29;
}

/* The same for a string with escapes and without. */
static uint64_t string_hash(const struct rc_json_value *value, uint64_t secret)
{
    struct rc_json_chars chars = rc_json_chars_of(value);
    uint64_t hash = hash_mix(secret, RC_JSON_STRING);
    uint32_t point;
    while (rc_json_chars_next(&chars, &point)) {
        hash = hash_mix(hash, point);
    }
    return hash;
}

/* False: no steps are left. */
static bool value_hash(const struct rc_json_value *value, uint64_t secret, uint64_t *hash, int64_t *steps)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value part;
    uint64_t its = 0;
    if (!steps_take(steps, value->raw.count)) {
        return false;
    }
    *hash = hash_mix(secret, value->type);
    if (value->type == RC_JSON_STRING) {
        *hash = string_hash(value, secret);
    } else if (value->type == RC_JSON_NUMBER) {
        const struct rc_json_number number = rc_json_number_read(value->raw);
        *hash = hash_mix(*hash, rc_json_number_hash(&number));
    } else if (value->type == RC_JSON_ARRAY && rc_json_array_begin(&cursor, value->raw, 0) == 0) {
        while (rc_json_array_next(&cursor, &part) == 1) {
            if (!value_hash(&part, secret, &its, steps)) { /* in each other: RC_JSON_DEPTH_MAX */
                return false;
            }
            *hash = hash_mix(*hash, its);
        }
    } else if (value->type == RC_JSON_OBJECT && rc_json_object_begin(&cursor, value->raw, 0) == 0) {
        while (rc_json_object_next(&cursor, &name, &part) == 1) {
            if (!value_hash(&part, secret, &its, steps)) {
                return false;
            }
            *hash += hash_mix(string_hash(&name, secret), its); /* in any order */
        }
    }
    return true;
}

/* The elements of an array, or the names of an object, as hashes. */
struct walk {
    struct rc_json_cursor cursor;
    bool object;
    uint64_t secret;
    int64_t *steps;
    struct rc_json_value name;
    struct rc_json_value value;
};

static bool walk_begin(struct walk *walk, struct rc_span text)
{
    return (walk->object ? rc_json_object_begin(&walk->cursor, text, 0)
                         : rc_json_array_begin(&walk->cursor, text, 0)) == 0;
}

/* 1, 0 at the end, -EOVERFLOW. */
static int walk_next(struct walk *walk, uint64_t *hash)
{
    if ((walk->object ? rc_json_object_next(&walk->cursor, &walk->name, &walk->value)
                      : rc_json_array_next(&walk->cursor, &walk->value)) != 1) {
        return 0;
    }
    if (!walk->object) {
        return value_hash(&walk->value, walk->secret, hash, walk->steps) ? 1 : -EOVERFLOW;
    }
    *hash = string_hash(&walk->name, walk->secret);
    return steps_take(walk->steps, walk->name.raw.count + walk->value.raw.count) ? 1 : -EOVERFLOW;
}

/* Open addressing; 0 is an empty slot. True: it is there already. */
static bool slots_have(uint64_t *slots, uint32_t mask, uint64_t hash, bool add)
{
    hash += hash == 0;
    uint32_t at = (uint32_t)hash & mask;
    while (slots[at] != 0) {
        if (slots[at] == hash) {
            return true;
        }
        at = (at + 1) & mask;
    }
    if (add) {
        slots[at] = hash;
    }
    return false;
}

/* Compares those from `start` on, up to HASHES_MAX of them, with each other and with all behind them. 1: one is there twice; 0: none,
 * and *all says whether they were the last; -EOVERFLOW. */
static int chunk_repeats(struct walk *walk, struct rc_span text, uint32_t start, uint32_t *index, bool *all)
{
    uint64_t hashes[HASHES_MAX];
    uint64_t slots[SLOTS_MAX];
    uint32_t mask = 15;
    uint32_t count = 0;
    uint64_t hash;
    int more = 0;
    if (!walk_begin(walk, text)) {
        return 0;
    }
    for (*index = 0; count < HASHES_MAX && (more = walk_next(walk, &hash)) == 1; (*index)++) {
        if (*index >= start) {
            hashes[count++] = hash;
        }
    }
    while (mask + 1 < 2 * count) {
        mask = mask * 2 + 1;
    }
    memset(slots, 0, (mask + 1) * sizeof(slots[0]));
    for (uint32_t i = 0; i < count; i++) {
        if (slots_have(slots, mask, hashes[i], true)) {
            *index = start + i;
            return 1;
        }
    }
    *all = count < HASHES_MAX;
    for (; more == 1 && (more = walk_next(walk, &hash)) == 1; (*index)++) {
        if (slots_have(slots, mask, hash, false)) {
            return 1;
        }
    }
    return more;
}

/* For an object's duplicate name: walk->name is only that of the last one that was read. */
static void name_at(struct rc_span object, uint32_t index, struct rc_json_value *name)
{
    struct rc_json_cursor cursor;
    struct rc_json_value value;
    if (rc_json_object_begin(&cursor, object, 0) == 0) {
        for (uint32_t i = 0; i <= index && rc_json_object_next(&cursor, name, &value) == 1; i++) {}
    }
}

static int container_repeats(struct rc_span text, bool object, uint32_t *index, int64_t *steps)
{
    struct walk walk = {.object = object, .secret = rc_hash("", 0), .steps = steps};
    bool all = false;
    int rc = 0;
    for (uint32_t start = 0; rc == 0 && !all; start += HASHES_MAX) {
        rc = chunk_repeats(&walk, text, start, index, &all);
    }
    return rc;
}

int rc_json_array_repeats(struct rc_span array, uint32_t *index, int64_t *steps)
{
    return container_repeats(array, false, index, steps);
}

int rc_json_repeats(const struct rc_json_value *value, struct rc_json_value *name, int64_t *steps)
{
    struct rc_json_cursor cursor;
    struct rc_json_value part;
    uint32_t index;
    int rc = 0;
    if (value->type == RC_JSON_OBJECT) {
        rc = container_repeats(value->raw, true, &index, steps);
        if (rc == 1) {
            name_at(value->raw, index, name);
        }
        if (rc == 0 && rc_json_object_begin(&cursor, value->raw, 0) == 0) {
            struct rc_json_value member;
            while (rc == 0 && rc_json_object_next(&cursor, &member, &part) == 1) {
                rc = rc_json_repeats(&part, name, steps); /* in each other: RC_JSON_DEPTH_MAX */
            }
        }
    } else if (value->type == RC_JSON_ARRAY && rc_json_array_begin(&cursor, value->raw, 0) == 0) {
        while (rc == 0 && rc_json_array_next(&cursor, &part) == 1) {
            rc = steps_take(steps, part.raw.count) ? rc_json_repeats(&part, name, steps) : -EOVERFLOW;
        }
    }
    return rc;
}
