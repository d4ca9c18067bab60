/*
 * watch: who of a watchlist is online. See pusher.h.
 *
 * Each user of an app has a channel of the broker's own, `#watch-{id}`. Whoever signs in as the user is a member of it; whoever has the user in
 * its watchlist is subscribed, and no member. So the relays know, as of any presence channel, when the first connection of a user comes and
 * the last one goes, over all workers and instances, and a successor has in the truth who is still to be told (pusher_members.h).
 */
#include "worker/pusher/pusher.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/member.h"

/* The event's data; its bytes. */
static size_t watch_text(uint8_t out[RC_PUSHER_WATCH_NEWS_MAX], struct rc_span user, bool online)
{
    uint8_t text[RC_PUSHER_WATCH_NEWS_MAX / 2];
    size_t bytes = (size_t)snprintf((char *)text, sizeof(text), "{\"events\":[{\"name\":\"%s\",\"user_ids\":[",
                                    online ? "online" : "offline");
    bytes += rc_json_string_encode(text + bytes, sizeof(text) - bytes - 4, user);
    memcpy(text + bytes, "]}]}", 4);
    return rc_json_string_encode(out, RC_PUSHER_WATCH_NEWS_MAX, rc_span_of(text, bytes + 4));
}

size_t rc_pusher_watch_news(struct rc_span name, uint32_t changes, uint8_t data[RC_PUSHER_WATCH_NEWS_MAX])
{
    uint8_t scratch[RC_PUSHER_USER_MAX];
    const struct rc_span user = rc_pusher_watch_user(name, scratch);
    const bool told = user.count > 0 && (changes & (RC_MEMBER_ADDED | RC_MEMBER_REMOVED)) != 0;
    return told ? watch_text(data, user, (changes & RC_MEMBER_ADDED) != 0) : 0;
}

void rc_pusher_watch_answer(struct rc_pushers *pushers, uint32_t client, struct rc_span name, bool online)
{
    static const char head[] = "{\"event\":\"" RC_PUSHER_WATCH_EVENT "\",\"data\":";
    uint8_t scratch[RC_PUSHER_USER_MAX];
    uint8_t text[sizeof(head) + RC_PUSHER_WATCH_NEWS_MAX + 1];
    const struct rc_span user = rc_pusher_watch_user(name, scratch);
    memcpy(text, head, sizeof(head) - 1);
    size_t bytes = sizeof(head) - 1;
    bytes += watch_text(text + bytes, user, online);
    text[bytes++] = '}';
    rc_pusher_reply(pushers, client, text, bytes);
}

struct rc_span rc_pusher_user_id(struct rc_span user_data, uint8_t scratch[RC_PUSHER_USER_MAX])
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    struct rc_span id = {0};
    int got = rc_json_object_begin(&cursor, user_data, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        if (!rc_json_string_is(&name, RC_SPAN("id"))) {
            continue;
        }
        if (value.type == RC_JSON_NUMBER && value.raw.count <= RC_PUSHER_USER_MAX) {
            id = value.raw;
        } else if (rc_json_string_decode(&value, scratch, RC_PUSHER_USER_MAX, &id) < 0) {
            id = (struct rc_span){0};
        }
    }
    return got < 0 ? rc_span_of(NULL, 0) : id;
}

/* Into the channel of that user: as the user itself (`member`), to hear of it (`hears`), or both. False: the client can be in no more. */
static bool watch_join(struct rc_pushers *pushers, uint32_t client, struct rc_span user, bool member, bool hears)
{
    char name[RC_PUSHER_NAME_MAX];
    char text[RC_CHANNEL_NAME_MAX];
    struct rc_pusher_member entry;
    const struct rc_span its = rc_span_of(name, rc_pusher_watch_write(user, name));
    const struct rc_span channel =
        rc_span_of(text, its.count == 0 ? 0 : rc_pusher_channel_write(rc_pusher_app(pushers, client), its, text));
    if (channel.count == 0 || channel.count > pushers->clients->config->limits.max_channel_name ||
        rc_pusher_member_find(pushers->clients->truth, client, channel, &entry)) {
        return true; /* it cannot be watched, or is already */
    }
    if (rc_pusher_member_put(pushers, client, channel, member ? user : (struct rc_span){0}, (struct rc_span){0}) < 0) {
        return false;
    }
    if (!hears && rc_pusher_member_find(pushers->clients->truth, client, channel, &entry)) {
        rc_pusher_member_mark(pushers, client, &entry, RC_PUSHER_TOLD);
    }
    switch (rc_hub_subscribe_from(pushers->clients->hub, client, channel, RC_SUBSCRIBER_BACKEND, (struct rc_span){0}, 0,
                                  NULL)) {
    case RC_SUBSCRIBED:
    case RC_SUBSCRIBE_WAITS:
        return true;
    default:
        rc_pusher_member_drop(pushers, client, channel);
        return false;
    }
}

/* The members of `watchlist` by and by: strings, or numbers' texts. */
struct watchlist {
    struct rc_json_cursor cursor;
    uint8_t scratch[RC_PUSHER_USER_MAX];
    bool some;
};

static void watchlist_begin(struct watchlist *list, struct rc_span user_data)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    struct rc_span found = {0};
    int got = rc_json_object_begin(&cursor, user_data, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        if (rc_json_string_is(&name, RC_SPAN("watchlist"))) {
            found = value.type == RC_JSON_ARRAY ? value.raw : (struct rc_span){0};
        }
    }
    list->some = got >= 0 && found.count > 0 && rc_json_array_begin(&list->cursor, found, 0) == 0;
}

static bool watchlist_next(struct watchlist *list, struct rc_span *user)
{
    struct rc_json_value value;
    *user = (struct rc_span){0};
    if (!list->some || rc_json_array_next(&list->cursor, &value) != 1) {
        return false;
    }
    if (value.type == RC_JSON_NUMBER && value.raw.count <= RC_PUSHER_USER_MAX) {
        *user = value.raw;
    } else if (rc_json_string_decode(&value, list->scratch, RC_PUSHER_USER_MAX, user) < 0) {
        *user = (struct rc_span){0};
    }
    return true;
}

void rc_pusher_watch(struct rc_pushers *pushers, uint32_t client, struct rc_span user_data)
{
    uint8_t scratch[RC_PUSHER_USER_MAX];
    struct watchlist list;
    struct rc_span user;
    bool room = true;
    bool itself = false;
    uint32_t count = 0;
    const struct rc_span own = rc_pusher_user_id(user_data, scratch);
    for (watchlist_begin(&list, user_data); watchlist_next(&list, &user) && count < RC_PUSHER_WATCHED_MAX; count++) {
        itself |= rc_span_equal(user, own);
    }
    room = watch_join(pushers, client, own, true, itself);
    count = 0;
    for (watchlist_begin(&list, user_data); room && watchlist_next(&list, &user); count++) {
        if (count == RC_PUSHER_WATCHED_MAX) {
            rc_pusher_error(pushers, client, 0, "the watchlist has more than 100 users: the first 100 are watched");
            return;
        }
        room = watch_join(pushers, client, user, false, true);
    }
    if (!room) {
        rc_pusher_error(pushers, client, 0, "there is no room for the whole watchlist: each user is a channel");
    }
}
