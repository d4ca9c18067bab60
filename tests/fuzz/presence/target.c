/*
 * presence: who is in a channel, in whatever rounds it becomes known, told to a client that keeps a list: what it is told is JSON within its bound,
 * nobody joins twice or leaves who is not there, and where everybody is named its list is who is there. And a member's record as rings carry it.
 *
 *   round: how it ends (1): 1 = as a state, 2 = all were named, 4 = who was not added has gone, 8 = this host's only | clients (1) | users (1) |
 *          each of them: bytes (1) | that many
 */
#include <jansson.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/values.h"
#include "common/records/member.h"
#include "common/text/json_scan.h"
#include "relay/cluster/presence_view.h"

#define CHANNEL "a\"\xc3\xa9"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void member_record(struct rc_span data)
{
    static uint8_t again[RC_MEMBER_BYTES_MAX];
    struct rc_span user;
    struct rc_span info;
    if (rc_member_read(data, &user, &info)) {
        RC_ASSERT(rc_span_equal(rc_span_of(again, rc_member_write(again, user, info)), data));
    }
}

/* "" stands for the anonymous. */
static const char *name_of(const json_t *user)
{
    const char *text = json_string_value(json_object_get(user, "user"));
    RC_ASSERT(text != NULL || json_is_null(json_object_get(user, "user")));
    return text != NULL ? text : "";
}

/* The client's list after what it is told. */
static void told(json_t *list, enum rc_presence_news news, const struct rc_presence_text *text)
{
    RC_ASSERT(!text->failed && text->count <= RC_PRESENCE_TEXT_MAX);
    json_t *value = json_loadb((const char *)text->bytes, text->count, JSON_REJECT_DUPLICATES, NULL);
    RC_ASSERT(value != NULL && strcmp(json_string_value(json_object_get(value, "channel")), CHANNEL) == 0);
    size_t i;
    const json_t *user;
    if (news == RC_PRESENCE_STATE) {
        json_object_clear(list);
    }
    json_array_foreach(json_object_get(value, news == RC_PRESENCE_STATE ? "members" : "joined"), i, user)
    {
        RC_ASSERT(json_object_get(list, name_of(user)) == NULL);
        (void)json_object_set_new(list, name_of(user), json_true());
    }
    json_array_foreach(json_object_get(value, "left"), i, user)
    {
        RC_ASSERT(json_object_del(list, name_of(user)) == 0);
    }
    json_decref(value);
}

/* Those who are there now; without those whom the relay leaves out, or who cannot be compared (a NUL, which jansson's keys do not have). */
static void add_users(struct rc_presence_view *view, struct rc_span *rest, uint32_t count, json_t *there)
{
    char name[UINT8_MAX + 1];
    for (uint32_t i = 0; i < count && rest->count > 0; i++) {
        const size_t room = rest->count - 1;
        const struct rc_span user = rc_span_of(rest->bytes + 1, rest->bytes[0] < room ? rest->bytes[0] : room);
        *rest = rc_span_of(user.bytes + user.count, room - user.count);
        if (!rc_json_utf8_valid(user) || (user.count > 0 && memchr(user.bytes, '\0', user.count) != NULL)) {
            continue;
        }
        RC_ASSERT(rc_presence_view_add(view, user) == 0);
        if (user.count <= RC_CHANNEL_NAME_MAX) {
            memcpy(name, user.bytes, user.count);
            name[user.count] = '\0';
            (void)json_object_set_new(there, name, json_true());
        }
    }
}

static void rounds(struct rc_presence_view *view, struct rc_presence_text *text, struct rc_span rest)
{
    json_t *list = json_object();
    json_t *there = json_object();
    while (rest.count >= 3) {
        const uint8_t how = rest.bytes[0];
        const struct rc_presence_totals totals = {.clients = rest.bytes[1],
                                                  .users = (how & 2) != 0 ? 0 : rest.bytes[2],
                                                  .named = (how & 2) != 0,
                                                  .leaving = (how & 4) != 0,
                                                  .local = (how & 8) != 0};
        const uint32_t users = rest.bytes[2];
        rest = rc_span_of(rest.bytes + 3, rest.count - 3);
        json_object_clear(there);
        rc_presence_view_begin(view);
        add_users(view, &rest, users, there);
        const enum rc_presence_news news = rc_presence_view_end(view, RC_SPAN(CHANNEL), &totals, (how & 1) != 0, text);
        if (news != RC_PRESENCE_NOTHING) {
            told(list, news, text);
        }
        RC_ASSERT(news == RC_PRESENCE_STATE || (how & 1) == 0);
        RC_ASSERT(view->many ? json_object_size(list) == 0 : json_object_size(list) == view->count);
        RC_ASSERT(!totals.named || view->many || !totals.leaving || json_equal(list, there));
        json_t *newcomer = json_object();
        rc_presence_view_state(view, RC_SPAN(CHANNEL), text);
        told(newcomer, RC_PRESENCE_STATE, text);
        RC_ASSERT(json_equal(list, newcomer));
        json_decref(newcomer);
    }
    json_decref(list);
    json_decref(there);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct rc_presence_view view;
    struct rc_presence_text text = {0};
    member_record(rc_span_of(bytes, count));
    RC_ASSERT(rc_presence_view_open(&view) == 0);
    rounds(&view, &text, rc_span_of(bytes, count));
    rc_presence_view_close(&view);
    rc_presence_text_free(&text);
    return 0;
}
