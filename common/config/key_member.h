/*
 * key_member: the member that a key stands for, in the struct that holds its section (`item`, see key.h): for the files that set, compare and
 * print keys.
 */
#ifndef RC_COMMON_CONFIG_KEY_MEMBER_H
#define RC_COMMON_CONFIG_KEY_MEMBER_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/key.h"

static inline void *rc_config_member(const struct rc_config_key *key, void *item)
{
    return (char *)item + key->offset;
}

static inline const void *rc_config_member_const(const struct rc_config_key *key, const void *item)
{
    return (const char *)item + key->offset;
}

static inline void rc_config_member_number_set(const struct rc_config_key *key, void *item, uint64_t number)
{
    if (key->bytes == sizeof(uint32_t)) {
        const uint32_t narrow = (uint32_t)number;
        memcpy(rc_config_member(key, item), &narrow, sizeof(narrow));
    } else if (key->bytes == sizeof(bool)) {
        const bool flag = number != 0;
        memcpy(rc_config_member(key, item), &flag, sizeof(flag));
    } else {
        RC_ASSERT(key->bytes == sizeof(uint64_t));
        memcpy(rc_config_member(key, item), &number, sizeof(number));
    }
}

static inline uint64_t rc_config_member_number(const struct rc_config_key *key, const void *item)
{
    const void *const member = rc_config_member_const(key, item);
    uint64_t number = 0;
    if (key->bytes == sizeof(uint32_t)) {
        uint32_t narrow;
        memcpy(&narrow, member, sizeof(narrow));
        number = narrow;
    } else if (key->bytes == sizeof(bool)) {
        bool flag;
        memcpy(&flag, member, sizeof(flag));
        number = flag;
    } else {
        memcpy(&number, member, sizeof(number));
    }
    return number;
}

static inline uint32_t rc_config_member_count(const struct rc_config_key *key, const void *item)
{
    uint32_t count;
    memcpy(&count, rc_config_member_const(key, item), sizeof(count));
    return count;
}

static inline const char *rc_config_member_text(const struct rc_config_key *key, const void *item, uint32_t index)
{
    return (const char *)rc_config_member_const(key, item) + sizeof(uint32_t) + (size_t)index * RC_CONFIG_TEXT_MAX;
}

/* A number as the file has it. */
static inline void rc_config_member_format(char *out, size_t capacity, const struct rc_config_key *key, uint64_t number)
{
    if (key->kind == RC_CONFIG_SIZE) {
        rc_config_size_format(out, capacity, number);
    } else if (key->kind == RC_CONFIG_DURATION) {
        rc_config_duration_format(out, capacity, number);
    } else {
        (void)snprintf(out, capacity, "%" PRIu64, number);
    }
}

#endif
