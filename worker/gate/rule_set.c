/* rule_set: see rule_set.h. */
#include "worker/gate/rule_set.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/config/values.h"
#include "common/text/json_scan.h"

/* A JSON object that is put together. */
struct object {
    uint8_t text[RC_RULE_SET_MAX];
    size_t bytes;
    uint32_t members;
};

/* False: there is no room. */
static bool object_put(struct object *object, const void *bytes, size_t count)
{
    if (count > sizeof(object->text) - 1 - object->bytes) { /* its end has room in any case */
        return false;
    }
    memcpy(object->text + object->bytes, bytes, count);
    object->bytes += count;
    return true;
}

static bool object_add(struct object *object, const struct rc_json_value *name, const struct rc_json_value *value)
{
    return object->members++ < RC_RULE_SET_MEMBERS_MAX && object_put(object, object->members > 1 ? "," : "{", 1) &&
           object_put(object, name->raw.bytes, name->raw.count) && object_put(object, ":", 1) &&
           object_put(object, value->raw.bytes, value->raw.count);
}

/* Is there a member of that name behind `at`? 1, 0, -EBADMSG. */
static int member_is_in(struct rc_span object, const struct rc_json_value *name, const uint8_t *at)
{
    uint8_t decoded[RC_EVENT_STEP_MAX]; /* longer ones could not be asked for */
    struct rc_span text;
    struct rc_json_cursor cursor;
    struct rc_json_value key;
    struct rc_json_value value;
    if (rc_json_string_decode(name, decoded, sizeof(decoded), &text) != 0 ||
        rc_json_object_begin(&cursor, object, 0) != 0) {
        return -EBADMSG;
    }
    int got;
    while ((got = rc_json_object_next(&cursor, &key, &value)) == 1) {
        if (key.raw.bytes > at && rc_json_string_is(&key, text)) {
            return 1;
        }
    }
    return got < 0 ? -EBADMSG : 0;
}

/* The members of an object that neither it itself nor `others` has again. 0, -EBADMSG, -E2BIG. */
static int members_copy(struct object *out, struct rc_span from, struct rc_span others)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    int got = rc_json_object_begin(&cursor, from, 0);
    while (got == 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        const int again = others.count == 0 ? 0 : member_is_in(others, &name, NULL);
        const int later = member_is_in(from, &name, name.raw.bytes);
        if (again < 0 || later < 0) {
            return -EBADMSG;
        }
        if (again == 0 && later == 0 && !object_add(out, &name, &value)) {
            return -E2BIG;
        }
        got = 0;
    }
    return got < 0 ? -EBADMSG : 0;
}

int rc_rule_set_merged(struct rc_span before, struct rc_span members, uint8_t out[RC_RULE_SET_MAX], size_t *bytes)
{
    struct object object = {.bytes = 0};
    if (members.count > RC_RULE_SET_MAX) {
        return -E2BIG;
    }
    int rc = before.count == 0 ? 0 : members_copy(&object, before, members);
    if (rc == 0) {
        rc = members_copy(&object, members, (struct rc_span){0});
    }
    if (rc != 0) {
        return rc;
    }
    if (object.members > 0) {
        object.text[object.bytes++] = '}';
    }
    memcpy(out, object.text, object.bytes);
    *bytes = object.bytes;
    return 0;
}
