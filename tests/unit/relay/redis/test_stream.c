/*
 * A stream that is read against a scripted server: where it begins, that it goes on where it stopped, and that what may have gone unread
 * is told.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "relay/redis/stream.h"
#include "tests/support/scripted_redis.h"

TestSuite(relay_redis_stream, .fini = scripted_close);

/* What the server has: "milliseconds-0=text", in order; some may have been cut off the front. */
static const char *kept[16];
static uint32_t kept_count;
static char got[512];
static uint32_t missed_count;
static uint32_t reads;
static const char *refusal; /* what XREAD is answered with */
static int reader;          /* the peer that reads */
static bool held;           /* nobody is told which entry is the newest */
static int asker = -1;      /* the peer that wants to know */
static struct rc_redis_stream stream;

static void entry_got(void *context, const struct rc_span *values, uint32_t value_count)
{
    const size_t used = strlen(got);
    (void)context;
    cr_assert_eq(value_count, 2);
    cr_assert(rc_span_equal(values[0], RC_SPAN("data")));
    (void)snprintf(got + used, sizeof(got) - used, "%.*s ", (int)values[1].count, (const char *)values[1].bytes);
}

static void entries_missed(void *context)
{
    (void)context;
    missed_count++;
    (void)strncat(got, "gap ", sizeof(got) - strlen(got) - 1);
}

static unsigned long id_of(const char *text)
{
    return strtoul(text, NULL, 10);
}

/* Entries behind `after`, at most `count`, in the order that `step` says. */
static void put_entries(char *out, size_t room, unsigned long after, bool newest)
{
    size_t used = 0;
    uint32_t count = 0;
    char body[1024] = "";
    for (uint32_t i = newest && kept_count > 0 ? kept_count - 1 : 0; i < kept_count; i++) {
        const char *text = strchr(kept[i], '=') + 1;
        const int id_bytes = (int)(text - 1 - kept[i]);
        if (id_of(kept[i]) > after) {
            used += (size_t)snprintf(body + used, sizeof(body) - used,
                                     "*2\r\n$%d\r\n%.*s\r\n*2\r\n$4\r\ndata\r\n$%zu\r\n%s\r\n", id_bytes, id_bytes,
                                     kept[i], strlen(text), text);
            count++;
        }
    }
    (void)snprintf(out, room, "*%u\r\n%s", count, body);
}

static bool is_kept(const char *id)
{
    for (uint32_t i = 0; i < kept_count; i++) {
        if (id_of(kept[i]) == id_of(id)) {
            return true;
        }
    }
    return false;
}

static const char *with_stream(struct fixture *f, int peer, const char *command)
{
    static char text[2048];
    char entries[1536];
    char id[64];
    if (begins(command, "XREVRANGE p:events + - COUNT 1")) {
        put_entries(text, sizeof(text), 0, true);
        asker = peer;
        return held ? NULL : text;
    }
    if (sscanf(command, "XRANGE p:events %63s", id) == 1) {
        return is_kept(id) ? "*1\r\n*2\r\n$1\r\nx\r\n*0\r\n" : "*0\r\n";
    }
    if (sscanf(command, "XREAD COUNT 100 BLOCK 500 STREAMS p:events %63s", id) != 1) {
        return good(f, peer, command);
    }
    reader = peer;
    reads++;
    if (refusal != NULL) {
        return refusal;
    }
    put_entries(entries, sizeof(entries), id_of(id), false);
    if (begins(entries, "*0")) {
        return "_\r\n"; /* as when its time is over */
    }
    (void)snprintf(text, sizeof(text), "%%1\r\n$8\r\np:events\r\n%s", entries);
    return text;
}

static bool read_some(struct fixture *f)
{
    (void)f;
    return reads >= 3;
}

static void add(const char *entry)
{
    kept[kept_count++] = entry;
}

static void open_stream(void)
{
    static const struct rc_redis_stream_ops ops = {.entry = entry_got, .missed = entries_missed};
    fixture.script = with_stream;
    (void)snprintf(fixture.config.prefix.text, sizeof(fixture.config.prefix.text), "p:");
    open_link("redis://127.0.0.1:", "");
    rc_redis_stream_open(&stream, fixture.link, RC_SPAN("events"), &ops);
    run_until(is_connected, 5000);
}

/* Reads until it has been told that there is no more. */
static void read_on(void)
{
    reads = 0;
    run_until(read_some, 5000);
}

Test(relay_redis_stream, it_begins_behind_what_is_there)
{
    add("1-0=old");
    open_stream();
    read_on();
    cr_assert_str_eq(got, "");
    add("2-0=a");
    add("3-0=b");
    read_on();
    cr_assert_str_eq(got, "a b ");
    cr_assert_eq(missed_count, 0);
}

Test(relay_redis_stream, an_empty_one_is_read_from_its_first_entry)
{
    open_stream();
    read_on();
    add("2-0=a");
    read_on();
    cr_assert_str_eq(got, "a ");
}

static bool gone(struct fixture *f)
{
    return !is_connected(f);
}

static void lose(void)
{
    hang_up(&fixture, reader);
    run_until(gone, 5000);
}

Test(relay_redis_stream, it_goes_on_where_it_stopped)
{
    add("1-0=old");
    open_stream();
    add("2-0=a");
    read_on();
    lose();
    add("3-0=b");
    run_until(is_connected, 5000);
    read_on();
    cr_assert_str_eq(got, "a b ");
    cr_assert_eq(missed_count, 0);
}

static bool is_asked_and_told(struct fixture *f)
{
    return asker >= 0 && rc_metric_get(&f->metrics, RC_METRIC_REDIS_MISSED) > 0;
}

static bool is_told(struct fixture *f)
{
    return rc_metric_get(&f->metrics, RC_METRIC_REDIS_MISSED) > 0;
}

/* Where its predecessor was nobody knows. The notice for all came first: it does not cover what the stream got since. */
Test(relay_redis_stream, a_successor_tells_that_it_begins_behind_what_is_there)
{
    char text[1024];
    add("1-0=old");
    held = fixture.successor = true;
    open_stream();
    run_until(is_asked_and_told, 5000);
    cr_assert_str_eq(got, "");
    add("2-0=unread");
    held = false;
    put_entries(text, sizeof(text), 0, true);
    say(&fixture, asker, text);
    read_on();
    add("3-0=a");
    read_on();
    cr_assert_str_eq(got, "gap a ");
    lose();
    run_until(is_connected, 5000);
    read_on();
    cr_assert_str_eq(got, "gap a ", "once");
}

Test(relay_redis_stream, a_successor_that_begins_before_the_notice_for_all_leaves_it_to_that)
{
    add("1-0=old");
    fixture.successor = fixture.unknown = true;
    open_stream();
    read_on();
    cr_assert_eq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_MISSED), 0);
    fixture.unknown = false;
    run_until(is_told, 5000);
    add("2-0=a");
    read_on();
    cr_assert_str_eq(got, "a ");
    cr_assert_eq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_MISSED), 1);
}

Test(relay_redis_stream, what_was_cut_meanwhile_is_told)
{
    add("1-0=old");
    open_stream();
    read_on();
    lose();
    kept_count = 0;
    add("3-0=b"); /* and 2-0, which nobody read */
    run_until(is_connected, 5000);
    read_on();
    cr_assert_str_eq(got, "gap b ");
    cr_assert_eq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_MISSED), 1);
}

Test(relay_redis_stream, a_redis_that_has_lost_its_data_is_read_from_the_beginning)
{
    add("7-0=old");
    open_stream();
    read_on();
    lose();
    kept_count = 0;
    add("3-0=new");
    run_until(is_connected, 5000);
    read_on();
    cr_assert_str_eq(got, "gap new ");
    lose();
    kept_count = 0;
    run_until(is_connected, 5000);
    read_on();
    add("1-0=first");
    read_on();
    cr_assert_str_eq(got, "gap new gap first ");
}

Test(relay_redis_stream, what_is_refused_or_makes_no_sense_is_asked_for_again)
{
    static const char *const answers[] = {"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
                                          ":7\r\n", "*0\r\n", "%1\r\n$8\r\np:events\r\n*1\r\n:3\r\n",
                                          "%1\r\n$8\r\np:events\r\n:3\r\n"};
    add("1-0=old");
    open_stream();
    for (uint32_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        refusal = answers[i];
        read_on();
        refusal = NULL; /* else it is asked for ever more seldom */
        read_on();
    }
    add("2-0=a");
    read_on();
    cr_assert_str_eq(got, "a ");
}

static bool refused_thrice(struct fixture *f)
{
    (void)f;
    return reads >= 4;
}

Test(relay_redis_stream, what_stays_refused_is_asked_for_ever_more_seldom)
{
    add("1-0=old");
    open_stream();
    const uint64_t begun_ms = rc_clock_ms();
    refusal = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";
    reads = 0;
    run_until(refused_thrice, 20000);
    cr_assert_geq(rc_clock_ms() - begun_ms, 1750); /* 250 + 500 + 1000 */
    cr_assert_geq(stream.refusals, 3);
    refusal = NULL;
    add("2-0=a");
    reads = 0;
    run_until(read_some, 20000);
    cr_assert_str_eq(got, "a ");
    cr_assert_eq(stream.refusals, 0);
}

Test(relay_redis_stream, entries_of_another_form_are_counted_and_passed_over)
{
    add("1-0=old");
    open_stream();
    refusal =
        "*1\r\n*2\r\n$8\r\np:events\r\n*2\r\n*2\r\n$3\r\n2-0\r\n*-1\r\n*2\r\n$3\r\n3-0\r\n*2\r\n$4\r\ndata\r\n$1\r\na\r\n";
    reads = 0;
    run_until(read_some, 5000);
    cr_assert(begins(got, "a a "));
    cr_assert_geq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_MALFORMED), 2);
    cr_assert_str_eq(stream.last, "3-0");
}
