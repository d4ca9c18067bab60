/*
 * fake_redis: in place of the link, for tests of what talks to Redis by commands: keeps what was sent, answers when told.
 *
 * Included once by a test file; what it defines stands in for relay/redis/link.c. Replies are made by the test.
 */
#ifndef RC_TESTS_SUPPORT_FAKE_REDIS_H
#define RC_TESTS_SUPPORT_FAKE_REDIS_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "relay/redis/link.h"
#include "relay/redis/places.h"

#define FAKE_COMMANDS_MAX 64u

struct fake_command {
    char text[1024]; /* arguments with one space between them; scripts as "script" */
    rc_redis_replied *replied;
    void *context;
};

static struct {
    bool up;
    bool full; /* no command is taken */
    bool clustered;
    uint64_t up_asked;             /* calls of rc_redis_up */
    struct rc_redis_places places; /* count 0: not known */
    uint32_t differ;               /* calls of rc_redis_places_differ */
    uint64_t order;                /* rc_redis_published */
    uint64_t taken;                /* rc_redis_taken: up to there */
    uint64_t taken_by_ms;          /* rc_redis_taken_by: up to then; 0: all */
    uint64_t at_count;             /* calls of rc_redis_publish_at */
    uint64_t at[16];               /* where, the last ones */
    uint64_t away;                 /* the server that is */
    uint64_t stuck;                /* the server that is there, and takes nothing */
    uint32_t count;
    struct fake_command commands[FAKE_COMMANDS_MAX]; /* without an answer, oldest first */
    uint32_t publish_count;
    char published[16][256]; /* "channel message", up to its first NUL */
    uint8_t said[1024];      /* the last message, whole */
    size_t said_bytes;
    struct rc_timers timers;
    struct rc_redis_observer *observer;
} fake;

bool rc_redis_up(const struct rc_redis_link *link)
{
    (void)link;
    fake.up_asked++;
    return fake.up;
}

bool rc_redis_clustered(const struct rc_redis_link *link)
{
    (void)link;
    return fake.clustered;
}

bool rc_redis_places(const struct rc_redis_link *link, struct rc_redis_places *places)
{
    (void)link;
    *places = fake.places;
    return fake.places.count > 0;
}

bool rc_redis_places_up(const struct rc_redis_link *link, const struct rc_redis_places *places)
{
    bool up = true;
    (void)link;
    for (uint32_t i = 0; i < places->count; i++) {
        up &= fake.away == 0 || places->ids[i] != fake.away;
    }
    return up;
}

void rc_redis_places_differ(struct rc_redis_link *link)
{
    (void)link;
    fake.differ++;
}

uint64_t rc_redis_published(const struct rc_redis_link *link)
{
    (void)link;
    return fake.order;
}

bool rc_redis_taken_by(const struct rc_redis_link *link, uint64_t time_ms)
{
    (void)link;
    return fake.taken_by_ms == 0 || fake.taken_by_ms >= time_ms;
}

bool rc_redis_taken(const struct rc_redis_link *link, uint64_t published)
{
    (void)link;
    return fake.taken >= published;
}

void rc_redis_agree(struct rc_redis_link *link, const char *name)
{
    (void)link;
    (void)name;
}

void rc_redis_observe(struct rc_redis_link *link, struct rc_redis_observer *observer)
{
    (void)link;
    fake.observer = observer;
}

void rc_redis_subscribe(struct rc_redis_link *link, struct rc_redis_subscription *subscription)
{
    (void)link;
    (void)subscription;
}

int rc_redis_publish(struct rc_redis_link *link, struct rc_span channel, const struct rc_span *parts,
                     uint32_t part_count, uint32_t flags)
{
    (void)link;
    (void)flags;
    char *out = fake.published[fake.publish_count++ % 16];
    size_t used = (size_t)snprintf(out, sizeof(fake.published[0]), "%.*s ", (int)channel.count, channel.bytes);
    fake.said_bytes = 0;
    for (uint32_t i = 0; i < part_count && fake.said_bytes + parts[i].count <= sizeof(fake.said); i++) {
        if (parts[i].count > 0) {
            memcpy(fake.said + fake.said_bytes, parts[i].bytes, parts[i].count);
            fake.said_bytes += parts[i].count;
        }
    }
    for (uint32_t i = 0; i < part_count && used < sizeof(fake.published[0]); i++) {
        used +=
            (size_t)snprintf(out + used, sizeof(fake.published[0]) - used, "%.*s", (int)parts[i].count, parts[i].bytes);
    }
    return 0;
}

int rc_redis_publish_at(struct rc_redis_link *link, uint64_t id, struct rc_span channel, struct rc_span message)
{
    if (id == fake.away) {
        return -ENOTCONN;
    }
    if (id == fake.stuck) {
        return -ENOBUFS;
    }
    fake.at[fake.at_count++ % 16] = id;
    return rc_redis_publish(link, channel, &message, 1, 0);
}

struct rc_span rc_redis_key(const struct rc_redis_link *link, char out[RC_REDIS_NAME_MAX], const char *format, ...)
{
    (void)link;
    va_list list;
    va_start(list, format);
    const int bytes = vsnprintf(out, RC_REDIS_NAME_MAX, format, list);
    va_end(list);
    return rc_span_of(out, (size_t)bytes);
}

int rc_redis_command(struct rc_redis_link *link, rc_redis_replied *replied, void *context, uint32_t key, uint32_t argc,
                     const struct rc_span *argv)
{
    (void)link;
    cr_assert_lt(key, argc);
    if (!fake.up) {
        return -ENOTCONN;
    }
    if (fake.full) {
        return -ENOBUFS;
    }
    cr_assert_lt(fake.count, FAKE_COMMANDS_MAX);
    struct fake_command *one = &fake.commands[fake.count++];
    *one = (struct fake_command){.replied = replied, .context = context};
    size_t at = 0;
    for (uint32_t i = 0; i < argc; i++) {
        const bool script = argv[i].count > 60 && memchr(argv[i].bytes, '(', argv[i].count) != NULL;
        at += (size_t)snprintf(one->text + at, sizeof(one->text) - at, "%s%.*s", i > 0 ? " " : "",
                               script ? 6 : (int)argv[i].count, script ? "script" : (const char *)argv[i].bytes);
        cr_assert_lt(at, sizeof(one->text));
    }
    return 0;
}

/* Answers the oldest command; its text must begin with `text`. */
static void fake_answer(const char *text, const redisReply *reply)
{
    cr_assert_gt(fake.count, 0, "no command waits for \"%s\"", text);
    const struct fake_command one = fake.commands[0];
    cr_assert_eq(strncmp(one.text, text, strlen(text)), 0, "\"%s\" was sent, not \"%s\"", one.text, text);
    memmove(fake.commands, fake.commands + 1, --fake.count * sizeof(one));
    if (one.replied != NULL) {
        one.replied(one.context, reply);
    }
}

__attribute__((unused)) static void fake_integer(const char *text, long long value)
{
    const redisReply reply = {.type = REDIS_REPLY_INTEGER, .integer = value};
    fake_answer(text, &reply);
}

__attribute__((unused)) static void fake_string(const char *text, const char *value)
{
    char copy[128];
    (void)snprintf(copy, sizeof(copy), "%s", value);
    const redisReply reply = {.type = REDIS_REPLY_STRING, .str = copy, .len = strlen(copy)};
    fake_answer(text, &reply);
}

__attribute__((unused)) static void fake_ok(const char *text)
{
    char ok[] = "OK";
    const redisReply reply = {.type = REDIS_REPLY_STATUS, .str = ok, .len = 2};
    fake_answer(text, &reply);
}

__attribute__((unused)) static void fake_error(const char *text, const char *why)
{
    char copy[128];
    (void)snprintf(copy, sizeof(copy), "%s", why);
    const redisReply reply = {.type = REDIS_REPLY_ERROR, .str = copy, .len = strlen(copy)};
    fake_answer(text, &reply);
}

/* An answer to a scan: cursor, then names. */
__attribute__((unused)) static void fake_scan(const char *text, const char *cursor, uint32_t count,
                                              const char *const *names)
{
    redisReply items[16];
    redisReply *pointers[16];
    for (uint32_t i = 0; i < count; i++) {
        items[i] =
            (redisReply){.type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)names[i], .len = strlen(names[i])};
        pointers[i] = &items[i];
    }
    redisReply at = {.type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)cursor, .len = strlen(cursor)};
    redisReply list = {.type = REDIS_REPLY_ARRAY, .elements = count, .element = pointers};
    redisReply *both[] = {&at, &list};
    const redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = both};
    fake_answer(text, &reply);
}

/* The connection is lost: what waits is answered with nothing, then the observer hears of it. */
__attribute__((unused)) static void fake_lose(void)
{
    fake.up = false;
    while (fake.count > 0) {
        fake_answer("", NULL);
    }
    if (fake.observer != NULL) {
        fake.observer->changed(fake.observer->context, false);
    }
}

__attribute__((unused)) static void fake_return(void)
{
    fake.up = true;
    if (fake.observer != NULL) {
        fake.observer->changed(fake.observer->context, true);
    }
}

/* Lets time pass: everything that is due within `in_ms` from now. Timers were set by the real clock, which went on. */
__attribute__((unused)) static void fake_pass(uint64_t in_ms)
{
    const uint64_t then_ms = rc_clock_ms() + in_ms;
    for (uint32_t i = 0; i < 100 && rc_timers_due_ms(&fake.timers) <= then_ms; i++) {
        rc_timers_run(&fake.timers, then_ms);
    }
}

#endif
