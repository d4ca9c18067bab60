/* Who comes back to an application behind links, and what they get: rooms, exceptions, themselves, offsets, bounds, holes, a relay's death. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/link_kept.h"
#include "common/records/query.h"
#include "relay/recovery/linked.h"
#include "relay/recovery/recovery.h"
#include "tests/support/recovery_host.h"

#define RECORD_MAX 64u /* answers are of several records */

static void *memory;
static uint64_t room = 256u << 10; /* of memory */
static struct rc_recovery_view view;
static struct rc_recovery recovery;
static struct rc_config config;
static struct rc_metrics metrics;
static uint64_t now_ms;
static uint16_t code; /* of the answer */
static uint8_t answer[1 << 16];
static size_t answer_bytes;
static uint32_t records;
static bool full; /* the worker takes nothing */

static int on_send(void *context, uint32_t worker, const struct rc_envelope_view *down)
{
    struct rc_missed_head head;
    (void)context;
    (void)worker;
    if (full) {
        return -1;
    }
    code = down->head.code;
    records++;
    if (code == 0) {
        cr_assert_geq(down->head.data_bytes, sizeof(head));
        cr_assert_leq(down->head.data_bytes, RECORD_MAX);
        memcpy(answer + answer_bytes, down->data + sizeof(head), down->head.data_bytes - sizeof(head));
        answer_bytes += down->head.data_bytes - sizeof(head);
    }
    return 0;
}

static void reopen(void)
{
    struct rc_recovery_setup setup = host_setup(&view, &config, &metrics);
    setup.record_bytes_max = RECORD_MAX;
    setup.send = on_send;
    host_begins(&recovery, &setup);
    cr_assert(rc_recovery_is_linked(&recovery) && !recovery.on);
}

static void open_linked(void)
{
    memory = calloc(1, room);
    host_view(&view, memory, room, &config, 0);
    (void)snprintf(config.socketio.link.text, sizeof(config.socketio.link.text), "app");
    now_ms = 100000;
    reopen();
}

static void close_linked(void)
{
    rc_recovery_close(&recovery);
    free(memory);
}

TestSuite(linked, .init = open_linked, .fini = close_linked);

/* --- what workers tell ----------------------------------------------------------------------------------------------- */

static size_t put(uint8_t *out, size_t at, const void *bytes, size_t count)
{
    memcpy(out + at, bytes, count);
    return at + count;
}

/* "a,b": a list of both; "": of none. */
static size_t put_list(uint8_t *out, size_t at, const char *texts)
{
    const size_t begin = at;
    uint16_t count = 0;
    at += 2;
    while (*texts != '\0') {
        const uint16_t bytes = (uint16_t)strcspn(texts, ",");
        at = put(out, at, &bytes, 2);
        at = put(out, at, texts, bytes);
        texts += bytes + (texts[bytes] == ',');
        count++;
    }
    memcpy(out + begin, &count, 2);
    return at;
}

static void tell(enum rc_link_kept what, const char *nsp, const char *offset, uint64_t process, const uint8_t *data,
                 size_t bytes)
{
    const struct rc_envelope_view up = {.head = {.code = (uint16_t)what,
                                                 .token = process,
                                                 .channel_bytes = (uint8_t)strlen(nsp),
                                                 .event_bytes = (uint8_t)strlen(offset),
                                                 .data_bytes = (uint32_t)bytes},
                                        .channel = nsp,
                                        .event = offset,
                                        .data = data};
    rc_recovery_linked_take(&recovery, &up, now_ms);
}

static void keep_for(uint64_t ms, const char *nsp, const char *pid, const char *rooms)
{
    uint8_t data[512];
    const uint32_t none = 2;
    const struct rc_link_kept_session head = {
        .ms = ms, .process = 5, .sid_bytes = 3, .pid_bytes = (uint8_t)strlen(pid)};
    size_t at = put(data, 0, &head, sizeof(head));
    at = put(data, at, "sid", 3);
    at = put(data, at, pid, strlen(pid));
    at = put(data, at, &none, 4);
    at = put(data, at, "{}", 2);
    at = put_list(data, at, rooms);
    tell(RC_LINK_KEPT_SESSION, nsp, "", 0, data, at);
}

static void keep(const char *nsp, const char *pid, const char *rooms)
{
    keep_for(1000, nsp, pid, rooms);
}

static void say_as(enum rc_link_kept what, const char *nsp, const char *offset, uint64_t process, const char *rooms,
                   const char *except, const char *text)
{
    static uint8_t data[1 << 17];
    const uint32_t bytes = (uint32_t)strlen(text);
    size_t at = put_list(data, 0, rooms);
    at = put_list(data, at, except);
    if (what == RC_LINK_KEPT_SAID) {
        at = put(data, at, "\1\0\0", 3);
        at = put(data, at, &bytes, 4);
        at = put(data, at, text, bytes);
    }
    tell(what, nsp, offset, process, data, at);
}

static void say(const char *offset, const char *rooms, const char *except)
{
    say_as(RC_LINK_KEPT_SAID, "/", offset, 0, rooms, except, offset);
}

static uint16_t ask(const char *nsp, const char *pid, const char *offset)
{
    uint8_t data[512];
    const struct rc_query_head head = {.kind = RC_QUERY_LINK};
    const uint8_t pid_bytes = (uint8_t)strlen(pid);
    const uint8_t offset_bytes = (uint8_t)strlen(offset);
    size_t at = put(data, 0, &head, sizeof(head));
    at = put(data, at, &pid_bytes, 1);
    at = put(data, at, pid, pid_bytes);
    at = put(data, at, &offset_bytes, 1);
    at = put(data, at, offset, offset_bytes);
    const struct rc_envelope_view up = {
        .head = {.origin = {.random = 1}, .channel_bytes = (uint8_t)strlen(nsp), .data_bytes = (uint32_t)at},
        .channel = nsp,
        .data = data};
    answer_bytes = 0;
    records = 0;
    code = 999;
    cr_assert(rc_recovery_asked(&recovery, 1, &up, now_ms));
    return code;
}

/* What was missed, with a space behind each. */
static const char *missed(void)
{
    static char text[1 << 16];
    struct rc_span rest = rc_span_of(answer, answer_bytes);
    uint16_t count;
    uint32_t bytes;
    size_t used = 0;
    cr_assert_eq(memcmp(rest.bytes, "\3\0sid\2\0\0\0{}", 11), 0);
    rest = rc_span_of(rest.bytes + 11, rest.count - 11);
    struct rc_span rooms;
    cr_assert(rc_link_kept_list_take(&rest, &rooms));
    memcpy(&count, rest.bytes, 2);
    const uint8_t *at = rest.bytes + 2;
    text[0] = '\0';
    for (; count > 0; count--) {
        memcpy(&bytes, at + 3, 4);
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%.*s ", (int)bytes, (const char *)at + 7);
        at += 7 + bytes;
    }
    cr_assert_eq(at, answer + answer_bytes);
    return text;
}

/* --- tests ----------------------------------------------------------------------------------------------------------- */

Test(linked, it_gets_what_was_for_it_behind_its_offset_once)
{
    say("a0", "", "");
    say("a1", "", "");
    keep("/", "pid", "sid,n42,sroom");
    say("everybody", "", "");
    say("room", "sroom", "");
    say("itself", "ssid", "");
    say("two", "sother,n42", "");
    say("other", "sother", "");
    say("ids", "s42", "");
    say("excepted", "", "sroom");
    say("not itself", "sroom", "ssid");
    say_as(RC_LINK_KEPT_SAID, "/other", "elsewhere", 0, "", "", "elsewhere");
    say_as(RC_LINK_KEPT_SAID, "/", "of its process", 5, "", "", "its");
    say_as(RC_LINK_KEPT_SAID, "/", "of another", 6, "", "", "another");
    cr_assert_eq(ask("/other", "pid", "a1"), RC_SIO_SESSION_UNKNOWN);
    cr_assert_eq(ask("/", "pid", "a1"), 0);
    cr_assert_gt(records, 1);
    cr_assert_str_eq(missed(), "everybody room itself two its ");
    cr_assert_eq(ask("/", "pid", "a1"), RC_SIO_SESSION_UNKNOWN, "once");
    cr_assert_eq(recovery.sessions.count, 0);
}

Test(linked, what_the_last_one_kept_counts)
{
    say("a", "", "");
    keep("/", "pid", "sold");
    keep("/", "pid", "snew");
    cr_assert_eq(recovery.sessions.count, 1);
    say("b", "sold", "");
    say("c", "snew", "");
    cr_assert_eq(ask("/", "pid", "a"), 0);
    cr_assert_str_eq(missed(), "c ");
}

Test(linked, told_twice_it_is_there_once)
{
    say("a", "", "");
    keep("/", "pid", "");
    say("b", "", "");
    say("b", "", "");
    cr_assert_eq(ask("/", "pid", "a"), 0);
    cr_assert_str_eq(missed(), "b ");
}

Test(linked, an_offset_that_is_not_there_is_no_place_and_too_late_is_too_late)
{
    say("a", "", "");
    keep("/", "one", "");
    keep("/", "two", "");
    cr_assert_eq(ask("/", "one", "b"), RC_SIO_SESSION_TOO_OLD);
    cr_assert_eq(ask("/", "one", "a"), 0, "nobody has had it");
    now_ms += 1001;
    cr_assert_eq(ask("/", "two", "a"), RC_SIO_SESSION_UNKNOWN);
    rc_recovery_sweep(&recovery, now_ms);
    cr_assert_eq(recovery.sessions.count, 0);
}

/* Each has a time of its own, whoever was lost before it: also those of more sessions than a sweep would look at in vain. */
Test(linked, who_is_kept_for_a_moment_goes_in_time_behind_thousands_who_are_kept_long)
{
    const uint64_t ms[] = {3600000, 200, 6 * 3600000, 60000};
    char pid[16];
    close_linked();
    room = 32u << 20;
    open_linked();
    for (uint32_t i = 0; i < 4000; i++) {
        (void)snprintf(pid, sizeof(pid), "long %u", i);
        keep_for(ms[i % 2 * 2], "/", pid, "");
    }
    for (uint32_t i = 0; i < 20; i++) {
        (void)snprintf(pid, sizeof(pid), "short %u", i);
        keep_for(ms[1 + i % 2 * 2], "/", pid, "");
    }
    rc_recovery_sweep(&recovery, now_ms + 200);
    cr_assert_eq(recovery.sessions.count, 4020);
    rc_recovery_sweep(&recovery, now_ms + 201);
    cr_assert_eq(recovery.sessions.count, 4010);
    rc_recovery_close(&recovery);
    reopen(); /* a relay's successor knows the same times */
    rc_recovery_sweep(&recovery, now_ms + 60000);
    cr_assert_eq(recovery.sessions.count, 4010);
    rc_recovery_sweep(&recovery, now_ms + 60001);
    cr_assert_eq(recovery.sessions.count, 4000);
    for (uint64_t at = 0; at <= ms[2] + 1; at += 1000) {
        rc_recovery_sweep(&recovery, now_ms + at);
        cr_assert_eq(recovery.sessions.count,
                     at > ms[2]   ? 0
                     : at > ms[0] ? 2000
                                  : 4000,
                     "%llu ms", (unsigned long long)at);
    }
    rc_recovery_sweep(&recovery, now_ms + ms[2] + 1);
    cr_assert_eq(recovery.sessions.count, 0);
}

Test(linked, who_may_have_missed_what_is_not_there_is_somebody_new)
{
    say("a", "", "");
    keep("/", "in", "sroom");
    keep("/", "out", "");
    keep("/", "all", "");
    say_as(RC_LINK_KEPT_LOST, "/", "b", 0, "sroom", "", "");
    cr_assert_eq(ask("/", "in", "a"), RC_SIO_SESSION_TOO_OLD);
    cr_assert_eq(ask("/", "out", "a"), 0);
    tell(RC_LINK_KEPT_LOST, "", "", 0, NULL, 0);
    cr_assert_eq(ask("/", "all", "a"), RC_SIO_SESSION_TOO_OLD);
    say("c", "", "");
    keep("/", "later", "sroom");
    say("d", "sroom", "");
    cr_assert_eq(ask("/", "later", "c"), 0, "it has got all before");
    cr_assert_str_eq(missed(), "d ");
}

Test(linked, what_is_too_large_is_known_to_be_missing)
{
    static char text[100000];
    memset(text, 'x', sizeof(text) - 1);
    say("a", "", "");
    keep("/", "pid", "");
    keep("/", "other", "");
    say_as(RC_LINK_KEPT_SAID, "/", "b", 0, "sroom", "", text);
    cr_assert_eq(ask("/", "other", "a"), 0, "it was not for it");
    say_as(RC_LINK_KEPT_SAID, "/", "c", 0, "", "", text);
    cr_assert_eq(ask("/", "pid", "a"), RC_SIO_SESSION_TOO_OLD);
}

Test(linked, bounds_of_what_one_missed_and_of_all)
{
    static char text[8000];
    char offset[16];
    memset(text, 'x', sizeof(text) - 1);
    say("a", "", "");
    keep("/", "much", "");
    for (int i = 0; i < 3; i++) {
        (void)snprintf(offset, sizeof(offset), "b%d", i);
        say_as(RC_LINK_KEPT_SAID, "/", offset, 0, "", "", text);
    }
    cr_assert_eq(ask("/", "much", "a"), RC_SIO_SESSION_TOO_MUCH);
    keep("/", "old", "");
    for (int i = 0; i < 100; i++) {
        (void)snprintf(offset, sizeof(offset), "c%d", i);
        say_as(RC_LINK_KEPT_SAID, "/", offset, 0, "snobody", "", text);
    }
    cr_assert_eq(ask("/", "old", "a"), RC_SIO_SESSION_TOO_OLD, "its offset is there no more");
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(offset, sizeof(offset), "pid%d", i);
        keep("/", offset, "");
    }
    cr_assert_lt(recovery.sessions.count, 2000);
    cr_assert_eq(ask("/", "pid1999", "c99"), 0, "the oldest have gone");
}

Test(linked, who_cannot_be_answered_now_may_ask_again)
{
    say("a", "", "");
    keep("/", "pid", "");
    full = true;
    (void)ask("/", "pid", "a");
    full = false;
    cr_assert_eq(ask("/", "pid", "a"), 0);
}

Test(linked, a_successor_goes_on_with_all_of_it)
{
    say("a", "", "");
    keep("/", "pid", "sroom");
    keep("/", "other", "");
    say("b", "sroom", "");
    rc_recovery_close(&recovery);
    reopen();
    say("b", "sroom", ""); /* its worker's ring still had it */
    say("c", "", "");
    cr_assert_eq(ask("/", "pid", "a"), 0);
    cr_assert_str_eq(missed(), "b c ");
    tell(RC_LINK_KEPT_LOST, "", "", 0, NULL, 0);
    rc_recovery_close(&recovery);
    reopen();
    cr_assert_eq(ask("/", "other", "a"), RC_SIO_SESSION_TOO_OLD, "what is missing is missing");
}

Test(linked, what_is_none_is_counted)
{
    const uint8_t nonsense[] = {9, 9, 9};
    tell(RC_LINK_KEPT_SAID, "/", "a", 0, nonsense, sizeof(nonsense));
    tell(RC_LINK_KEPT_SESSION, "/", "", 0, nonsense, sizeof(nonsense));
    cr_assert_eq(recovery.sessions.count, 0);
    cr_assert_eq(recovery.log.head, 0);
    cr_assert_eq(ask("", "pid", "a"), RC_SIO_SESSION_UNKNOWN);
}
