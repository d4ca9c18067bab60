/* presence_view: see presence_view.h. */
#include "relay/cluster/presence_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/envelope.h"
#include "common/text/decimal.h"
#include "common/text/json_scan.h"

#define TEXT_FIRST 1024u
#define MEMBER_AROUND 16u  /* of a user in a text, beside the id */
#define STATE_AROUND 2048u /* of all of them: the channel, counts */
/* Who were too many for a text are named again when they fit into this: else one who comes and goes would have all of them told each time. */
#define NAMED_AGAIN_MAX (RC_PRESENCE_TEXT_MAX / 8 * 7)

struct rc_presence_member {
    uint64_t hash;
    uint32_t round; /* of the last adding */
    bool told;      /* subscribers know that it is there */
    uint8_t bytes;
    uint8_t user[RC_CHANNEL_NAME_MAX]; /* `user:{id}` is a channel's name: no id is longer */
};

/* --- texts ----------------------------------------------------------------------------------------------------------- */

static uint8_t *text_room(struct rc_presence_text *text, size_t bytes)
{
    if (text->count + bytes > RC_PRESENCE_TEXT_MAX) {
        text->failed = true;
    }
    size_t room = text->room == 0 ? TEXT_FIRST : text->room;
    while (room < text->count + bytes) {
        room *= 2;
    }
    if (!text->failed && room > text->room) {
        uint8_t *more = realloc(text->bytes, room);
        text->failed = more == NULL;
        text->bytes = more == NULL ? text->bytes : more;
        text->room = more == NULL ? text->room : room;
    }
    return text->failed ? NULL : text->bytes + text->count;
}

static void text_put(struct rc_presence_text *text, struct rc_span bytes)
{
    uint8_t *out = text_room(text, bytes.count);
    if (out != NULL) {
        memcpy(out, bytes.bytes, bytes.count);
        text->count += bytes.count;
    }
}

static void text_put_string(struct rc_presence_text *text, struct rc_span string)
{
    const size_t max = RC_JSON_STRING_BYTES_MAX(string.count);
    uint8_t *out = text_room(text, max);
    if (out != NULL) {
        text->count += rc_json_string_encode(out, max, string);
    }
}

static void text_put_number(struct rc_presence_text *text, struct rc_span before, uint64_t number)
{
    char digits[RC_DECIMAL_BYTES_MAX];
    text_put(text, before);
    text_put(text, rc_span_of(digits, (size_t)(rc_decimal_write(digits, number) - digits)));
}

static void text_put_user(struct rc_presence_text *text, struct rc_span user, bool *first)
{
    text_put(text, *first ? RC_SPAN("{\"user\":") : RC_SPAN(",{\"user\":"));
    if (user.count > 0) {
        text_put_string(text, user);
    } else {
        text_put(text, RC_SPAN("null"));
    }
    text_put(text, RC_SPAN("}"));
    *first = false;
}

static void text_begin(struct rc_presence_text *text, struct rc_span channel, const struct rc_presence_view *view)
{
    text->count = 0;
    text->failed = false;
    text_put(text, RC_SPAN("{\"channel\":"));
    text_put_string(text, channel);
    text_put_number(text, RC_SPAN(",\"clients\":"), view->clients);
    text_put_number(text, RC_SPAN(",\"users\":"), view->users);
}

void rc_presence_text_free(struct rc_presence_text *text)
{
    free(text->bytes);
    *text = (struct rc_presence_text){0};
}

/* --- members --------------------------------------------------------------------------------------------------------- */

static struct rc_span member_user(const struct rc_presence_member *member)
{
    return rc_span_of(member->user, member->bytes);
}

struct member_key {
    const struct rc_presence_view *view;
    struct rc_span user;
};

static bool view_member_equal(const void *context, uint32_t index)
{
    const struct member_key *key = context;
    return rc_span_equal(member_user(&key->view->members[index]), key->user);
}

static uint64_t view_member_hash(struct rc_span user)
{
    return user.count == 0 ? 1 : rc_channel_hash((const char *)user.bytes, user.count);
}

void rc_presence_view_begin(struct rc_presence_view *view)
{
    view->round++;
}

int rc_presence_view_add(struct rc_presence_view *view, struct rc_span user)
{
    const struct member_key key = {.view = view, .user = user};
    const uint64_t hash = view_member_hash(user);
    if (user.count > RC_CHANNEL_NAME_MAX) {
        return 0; /* nobody has such an id */
    }
    uint32_t index = rc_hashmap_find(&view->names, hash, view_member_equal, &key);
    if (index != RC_HASHMAP_NONE) {
        view->members[index].round = view->round;
        return 0;
    }
    if (view->count == view->max) {
        const uint32_t max = view->max == 0 ? 4 : view->max * 2;
        struct rc_presence_member *more = realloc(view->members, max * sizeof(*more));
        if (more == NULL) {
            return -ENOMEM;
        }
        view->members = more;
        view->max = max;
    }
    index = view->count;
    if (rc_hashmap_insert(&view->names, hash, index) < 0) {
        return -ENOMEM;
    }
    struct rc_presence_member *member = &view->members[index];
    *member = (struct rc_presence_member){.hash = hash, .round = view->round, .bytes = (uint8_t)user.count};
    if (user.count > 0) {
        memcpy(member->user, user.bytes, user.count);
    }
    view->count++;
    return 0;
}

/* The last one takes its place. */
static void view_member_remove(struct rc_presence_view *view, uint32_t index)
{
    const uint32_t last = view->count - 1;
    bool removed = rc_hashmap_remove(&view->names, view->members[index].hash, index);
    RC_ASSERT(removed);
    if (index != last) {
        removed = rc_hashmap_remove(&view->names, view->members[last].hash, last);
        RC_ASSERT(removed);
        view->members[index] = view->members[last];
        const int rc = rc_hashmap_insert(&view->names, view->members[index].hash, index);
        RC_ASSERT(rc == 0); /* there is room for two more */
    }
    view->count--;
}

static void members_clear(struct rc_presence_view *view)
{
    rc_hashmap_clear(&view->names);
    free(view->members);
    view->members = NULL;
    view->count = view->max = 0;
}

/* Who is not there any more goes, and who was added in an earlier round that came to nothing; all others are told. */
static void members_settle(struct rc_presence_view *view, bool leaving)
{
    for (uint32_t i = view->count; i > 0; i--) {
        struct rc_presence_member *member = &view->members[i - 1];
        if (member->round != view->round && (leaving || !member->told)) {
            view_member_remove(view, i - 1);
        } else {
            member->told = true;
        }
    }
}

static uint64_t members_users(const struct rc_presence_view *view, bool leaving)
{
    uint64_t users = 0;
    for (uint32_t i = 0; i < view->count; i++) {
        const struct rc_presence_member *member = &view->members[i];
        users += member->bytes > 0 && (member->round == view->round || (!leaving && member->told));
    }
    return users;
}

/* --- what is told ---------------------------------------------------------------------------------------------------- */

void rc_presence_view_state(const struct rc_presence_view *view, struct rc_span channel, struct rc_presence_text *text)
{
    bool first = true;
    text_begin(text, channel, view);
    text_put(text, RC_SPAN(",\"members\":["));
    for (uint32_t i = 0; !view->many && i < view->count; i++) {
        if (view->members[i].told) {
            text_put_user(text, member_user(&view->members[i]), &first);
        }
    }
    text_put(text, view->many ? RC_SPAN("],\"more\":true") : RC_SPAN("],\"more\":false"));
    text_put(text, view->local ? RC_SPAN(",\"scope\":\"local\"}") : RC_SPAN("}"));
}

/* Who came, and who went; how many. */
static uint32_t write_diff(const struct rc_presence_view *view, struct rc_span channel, bool leaving,
                           struct rc_presence_text *text)
{
    uint32_t count = 0;
    bool first = true;
    text_begin(text, channel, view);
    text_put(text, RC_SPAN(",\"joined\":["));
    for (uint32_t i = 0; i < view->count; i++) {
        if (!view->members[i].told && view->members[i].round == view->round) {
            text_put_user(text, member_user(&view->members[i]), &first);
            count++;
        }
    }
    first = true;
    text_put(text, RC_SPAN("],\"left\":["));
    for (uint32_t i = 0; leaving && i < view->count; i++) {
        if (view->members[i].told && view->members[i].round != view->round) {
            text_put_user(text, member_user(&view->members[i]), &first);
            count++;
        }
    }
    text_put(text, RC_SPAN("]}"));
    return count;
}

/* Can a newcomer be told all of them, in so many bytes? */
static bool state_fits(const struct rc_presence_view *view, struct rc_span channel, size_t bytes_max)
{
    struct rc_presence_text probe = {0};
    size_t most = STATE_AROUND;
    for (uint32_t i = 0; i < view->count; i++) {
        most += RC_JSON_STRING_BYTES_MAX((size_t)view->members[i].bytes) + MEMBER_AROUND;
    }
    if (most > bytes_max) {
        rc_presence_view_state(view, channel, &probe);
    }
    const bool fits = !probe.failed && probe.count <= bytes_max;
    rc_presence_text_free(&probe);
    return fits;
}

/* All of them, or, where that is too much, how many. */
static enum rc_presence_news tell_state(struct rc_presence_view *view, struct rc_span channel,
                                        struct rc_presence_text *text)
{
    rc_presence_view_state(view, channel, text);
    if (text->failed && !view->many) {
        view->many = view->large = true;
        members_clear(view);
        rc_presence_view_state(view, channel, text);
    }
    return text->failed ? RC_PRESENCE_NOTHING : RC_PRESENCE_STATE;
}

enum rc_presence_news rc_presence_view_end(struct rc_presence_view *view, struct rc_span channel,
                                           const struct rc_presence_totals *totals, bool state,
                                           struct rc_presence_text *text)
{
    const uint64_t clients = view->clients;
    const uint64_t users = view->users;
    const bool was_many = view->many;
    const bool was_begun = view->begun;
    const bool was_local = view->local;
    view->clients = totals->clients;
    view->users = totals->users > 0 || !totals->named ? totals->users : members_users(view, totals->leaving);
    view->local = totals->local;
    view->begun = true;
    view->many = !totals->named;
    if (totals->named && view->large) {
        members_settle(view, totals->leaving);
        view->many = !state_fits(view, channel, NAMED_AGAIN_MAX);
    }
    view->large = totals->named && view->many;
    const bool counts = view->clients != clients || view->users != users;
    if (view->many) {
        members_clear(view);
        return state || !was_begun || !was_many || counts || view->local != was_local ? tell_state(view, channel, text)
                                                                                      : RC_PRESENCE_NOTHING;
    }
    if (!state && was_begun && !was_many && view->local == was_local) {
        const uint32_t changed = write_diff(view, channel, totals->leaving, text);
        const bool failed = text->failed;
        members_settle(view, totals->leaving);
        if (!failed && state_fits(view, channel, RC_PRESENCE_TEXT_MAX)) {
            return changed > 0 || counts ? RC_PRESENCE_DIFF : RC_PRESENCE_NOTHING;
        }
        return tell_state(view, channel, text);
    }
    members_settle(view, totals->leaving);
    return tell_state(view, channel, text);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int rc_presence_view_open(struct rc_presence_view *view)
{
    *view = (struct rc_presence_view){0};
    return rc_hashmap_init(&view->names, 4, 1u << 20);
}

void rc_presence_view_close(struct rc_presence_view *view)
{
    members_clear(view);
    rc_hashmap_free(&view->names);
}
