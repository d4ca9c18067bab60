/* members: see members.h. */
#include "common/identity/members.h"

#include <errno.h>
#include <string.h>

struct names {
    uint32_t count;
    size_t bytes;
    struct rc_span items[RC_MEMBERS_MAX];
    uint8_t arena[RC_MEMBERS_NAME_BYTES];
};

/* The name as it reads, whatever escapes it is written with. */
static int names_add(struct names *names, const struct rc_json_value *name)
{
    struct rc_span text;
    if (names->count == RC_MEMBERS_MAX) {
        return -EMSGSIZE;
    }
    const int rc = rc_json_string_decode(name, names->arena + names->bytes, sizeof(names->arena) - names->bytes, &text);
    if (rc < 0) {
        return rc;
    }
    if (text.bytes == names->arena + names->bytes) {
        names->bytes += text.count;
    }
    for (uint32_t i = 0; i < names->count; i++) {
        if (rc_span_equal(names->items[i], text)) {
            return -EEXIST;
        }
    }
    names->items[names->count++] = text;
    return 0;
}

int rc_members_take(struct rc_span text, struct rc_member *wanted, size_t count)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    struct names names;
    names.count = 0;
    names.bytes = 0;
    for (size_t i = 0; i < count; i++) {
        wanted[i].value.type = RC_JSON_NONE;
    }
    int got = rc_json_object_begin(&cursor, text, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        const int rc = names_add(&names, &name);
        if (rc < 0) {
            return rc;
        }
        for (size_t i = 0; i < count; i++) {
            if (rc_span_equal(wanted[i].name, names.items[names.count - 1])) {
                wanted[i].value = value;
            }
        }
    }
    return got;
}
