#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "relay/cluster/shared_script.h"
#include "relay/redis/topology/slot.h"

static struct rc_span text_span(const char *text, uint32_t bytes)
{
    return rc_span_of(text, bytes);
}

Test(shared_script, names_are_in_the_slot_of_the_channel)
{
    static const struct {
        const char *prefix;
        const char *channel;
        bool shared;
    } cases[] = {{"", "log:a", true},       {"app:", "log:a", true},   {"", "log:{a}", true},
                 {"{app}:", "log:a", true}, {"app:", "{a}b{c}", true}, {"", "log:a}b", false},
                 {"", "log:{a", false},     {"", "log:{}a", false},    {"{a", "log:b}", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rc_shared_names names;
        cr_assert_eq(rc_shared_names(&names, cases[i].prefix, rc_span_text(cases[i].channel)), cases[i].shared, "%s%s",
                     cases[i].prefix, cases[i].channel);
        if (cases[i].shared) {
            const uint16_t slot = rc_redis_slot(text_span(names.channel, names.channel_bytes));
            cr_expect_eq(rc_redis_slot(text_span(names.offsets, names.offsets_bytes)), slot, "%s", names.offsets);
            cr_expect_eq(rc_redis_slot(text_span(names.stream, names.stream_bytes)), slot, "%s", names.stream);
            cr_expect_eq(strncmp(names.stream, cases[i].prefix, strlen(cases[i].prefix)), 0);
            cr_expect(strcmp(names.stream, names.offsets) != 0);
        }
    }
    struct rc_shared_names names;
    char longest[RC_CHANNEL_NAME_MAX + 1] = {0};
    memset(longest, 'x', RC_CHANNEL_NAME_MAX);
    cr_assert(rc_shared_names(&names, "0123456789012345678901234567890123456789012345678901234567890123",
                              rc_span_text(longest)));
}

Test(shared_script, what_has_names_is_known_without_them)
{
    static const char *const prefixes[] = {"", "app:", "{app}:", "{a", "x}", "{}"};
    static const char *const channels[] = {"log:a", "log:{a}", "log:a}b", "log:{a", "log:{}a", "{a}b{c}", "}", "{", ""};
    struct rc_shared_names names;
    for (size_t i = 0; i < RC_ARRAY_COUNT(prefixes); i++) {
        for (size_t j = 0; j < RC_ARRAY_COUNT(channels); j++) {
            const struct rc_span channel = rc_span_text(channels[j]);
            cr_expect_eq(rc_shared_nameable(prefixes[i], channel), rc_shared_names(&names, prefixes[i], channel),
                         "%s%s", prefixes[i], channels[j]);
        }
    }
    /* To the byte where there is no room any more. */
    char prefix[RC_REDIS_NAME_MAX] = {0};
    uint32_t named = 0;
    for (size_t bytes = 0; bytes < sizeof(prefix) - 1; bytes++) {
        char longest[RC_CHANNEL_NAME_MAX];
        memset(longest, 'x', sizeof(longest));
        for (size_t count = 1; count <= sizeof(longest); count += 127) {
            const struct rc_span channel = rc_span_of(longest, count);
            const bool has = rc_shared_names(&names, prefix, channel);
            cr_assert_eq(rc_shared_nameable(prefix, channel), has, "%zu + %zu", bytes, count);
            named += has;
        }
        prefix[bytes] = 'p';
    }
    cr_assert(named > 100 && named < 3 * sizeof(prefix) - 100, "%u", named);
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

#define TEXT(literal)                                                                       \
    &(redisReply)                                                                           \
    {                                                                                       \
        .type = REDIS_REPLY_STRING, .str = (char[]){"" literal}, .len = sizeof(literal) - 1 \
    }
#define NUMBER(value)                                   \
    &(redisReply)                                       \
    {                                                   \
        .type = REDIS_REPLY_INTEGER, .integer = (value) \
    }
#define LIST(...)                                                                \
    &(redisReply)                                                                \
    {                                                                            \
        .type = REDIS_REPLY_ARRAY, .element = (redisReply *[]){__VA_ARGS__},     \
        .elements = sizeof((redisReply *[]){__VA_ARGS__}) / sizeof(redisReply *) \
    }

Test(shared_script, an_answer_is_a_number_or_says_all)
{
    struct rc_shared_answer answer;
    cr_assert(rc_shared_answer_read(NUMBER(5), 9, &answer));
    cr_assert(answer.epoch == 9 && answer.offset == 5 && answer.fresh);
    cr_assert(rc_shared_answer_read(LIST(TEXT("12"), TEXT("34"), NUMBER(1)), 9, &answer));
    cr_assert(answer.epoch == 12 && answer.offset == 34 && answer.fresh);
    cr_assert(rc_shared_answer_read(LIST(TEXT("12"), TEXT("34"), NUMBER(0)), 0, &answer));
    cr_assert(!answer.fresh && !answer.early && !answer.placed);
    cr_assert(rc_shared_answer_read(LIST(TEXT("12"), TEXT("33"), NUMBER(3)), 0, &answer));
    cr_assert(!answer.fresh && !answer.early && answer.placed && answer.offset == 33, "a second copy");
    cr_assert(!rc_shared_answer_read(LIST(TEXT("12"), TEXT("0"), NUMBER(3)), 9, &answer));
    cr_assert(rc_shared_answer_read(LIST(TEXT("12"), TEXT("34"), NUMBER(2)), 0, &answer));
    cr_assert(!answer.fresh && answer.early, "the entry before it was not taken");
    cr_assert(!rc_shared_answer_read(NUMBER(5), 0, &answer), "of which epoch?");
    cr_assert(!rc_shared_answer_read(NUMBER(0), 9, &answer));
    cr_assert(!rc_shared_answer_read(LIST(TEXT("0"), TEXT("34"), NUMBER(1)), 9, &answer));
    cr_assert(!rc_shared_answer_read(LIST(TEXT("12"), TEXT("0"), NUMBER(1)), 9, &answer));
    cr_assert(!rc_shared_answer_read(LIST(TEXT("12x"), TEXT("3"), NUMBER(1)), 9, &answer));
    cr_assert(!rc_shared_answer_read(LIST(TEXT("12"), TEXT("3")), 9, &answer));
    cr_assert(!rc_shared_answer_read(TEXT("12"), 9, &answer));
}

Test(shared_script, what_is_fetched_is_checked)
{
    struct rc_shared_fetched fetched;
    const redisReply *good = LIST(TEXT("7"), TEXT("8"), TEXT("a:1:2"), TEXT("99"), LIST(NUMBER(1)), TEXT("{}"));
    cr_assert(rc_shared_fetched_read(good, &fetched));
    cr_assert(fetched.epoch == 7 && fetched.last == 8 && fetched.now_ms == 99 && fetched.entries->elements == 1);
    cr_assert(rc_span_equal(fetched.proof, RC_SPAN("a:1:2")) && rc_span_equal(fetched.held, RC_SPAN("{}")));
    cr_assert(
        rc_shared_fetched_read(LIST(TEXT("0"), TEXT("0"), TEXT(""), TEXT("0"), LIST(NUMBER(1)), TEXT("")), &fetched));
    cr_assert_eq(fetched.epoch, 0u);
    const redisReply *bad[] = {
        LIST(TEXT("7"), TEXT("8"), TEXT(""), TEXT("99")),
        LIST(TEXT("7"), TEXT("8"), TEXT(""), TEXT("99"), LIST(NUMBER(1))),
        LIST(TEXT("7"), TEXT("-8"), TEXT(""), TEXT("99"), LIST(NUMBER(1)), TEXT("")),
        LIST(TEXT("7"), TEXT("8"), NUMBER(1), TEXT("99"), LIST(NUMBER(1)), TEXT("")),
        LIST(TEXT("7"), TEXT("8"), TEXT(""), TEXT("99"), TEXT(""), TEXT("")),
        LIST(TEXT("7"), TEXT("8"), TEXT(""), TEXT("99"), LIST(NUMBER(1)), NUMBER(1)),
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(bad); i++) {
        cr_assert(!rc_shared_fetched_read(bad[i], &fetched), "%zu", i);
    }
    cr_assert(!rc_shared_fetched_read(NUMBER(1), &fetched));
}

Test(shared_script, an_entry_has_a_place_and_perhaps_a_message)
{
    struct rc_shared_entry entry;
    const redisReply *good =
        LIST(TEXT("17-0"), LIST(TEXT("p"), TEXT("a:1:2"), TEXT("t"), TEXT("55"), TEXT("m"), TEXT("{}")));
    cr_assert(rc_shared_entry_read(good, &entry));
    cr_assert(entry.offset == 17 && entry.time_ms == 55 && rc_span_equal(entry.message, RC_SPAN("{}")));
    cr_assert(rc_span_equal(entry.proof, RC_SPAN("a:1:2")));
    cr_assert(rc_shared_entry_read(LIST(TEXT("18-0"), LIST(TEXT("x"), TEXT("y"))), &entry));
    cr_assert(entry.offset == 18 && entry.message.count == 0 && entry.proof.count == 0);
    cr_assert(!rc_shared_entry_read(LIST(TEXT("18-1"), LIST(TEXT("x"), TEXT("y"))), &entry));
    cr_assert(!rc_shared_entry_read(LIST(TEXT("0-0"), LIST(TEXT("x"), TEXT("y"))), &entry));
    cr_assert(!rc_shared_entry_read(LIST(TEXT("x"), LIST(TEXT("x"), TEXT("y"))), &entry));
    cr_assert(!rc_shared_entry_read(LIST(TEXT("18-0")), &entry));
    cr_assert(!rc_shared_entry_read(NUMBER(1), &entry));
}

Test(shared_script, a_proof_names_instance_boot_and_sequence)
{
    char out[RC_SHARED_PROOF_MAX];
    cr_assert(rc_span_equal(rc_span_of(out, rc_shared_proof(out, RC_SPAN("web1"), 7, 99)), RC_SPAN("web1:7:99")));
    char longest[RC_INSTANCE_ID_MAX];
    memset(longest, 'x', sizeof(longest));
    cr_assert_leq(rc_shared_proof(out, rc_span_of(longest, sizeof(longest)), UINT32_MAX, UINT64_MAX), sizeof(out));
}

Test(shared_script, a_later_epoch_is_greater)
{
    const uint64_t now = rc_clock_wall_ms() << 20;
    const uint64_t first = rc_shared_epoch_after(0);
    cr_expect(first >= now && first < now + (UINT64_C(60000) << 20), "%llu", (unsigned long long)first);
    cr_expect_lt(first, UINT64_C(1) << 62, "it can be raised");
    uint64_t known = first;
    for (uint32_t i = 0; i < 1000; i++) { /* also within one millisecond, or by a clock that is behind */
        const uint64_t next = rc_shared_epoch_after(known);
        cr_assert_gt(next, known);
        known = next;
    }
    cr_expect_gt(rc_shared_epoch_after(UINT64_C(1) << 62), UINT64_C(1) << 62);
}

static int epoch_compare(const void *a, const void *b)
{
    const uint64_t first = *(const uint64_t *)a;
    const uint64_t second = *(const uint64_t *)b;
    return first < second ? -1 : first > second;
}

/* Channels that a client comes to all at once; by chance one in a million of them has another's. */
Test(shared_script, epochs_that_begin_at_once_differ)
{
    uint64_t epochs[400];
    uint32_t same = 0;
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(epochs); i++) {
        epochs[i] = rc_shared_epoch_after(0);
    }
    qsort(epochs, RC_ARRAY_COUNT(epochs), sizeof(epochs[0]), epoch_compare);
    for (uint32_t i = 1; i < RC_ARRAY_COUNT(epochs); i++) {
        same += epochs[i] == epochs[i - 1];
    }
    cr_expect_leq(same, 2, "%u", same);
}

/* The epoch that goes with a message, should its channel have none. */
static uint64_t fresh_of(const char *instance, uint64_t sequence, uint64_t known)
{
    static struct rc_redis_run run;
    struct rc_shared_texts texts;
    const struct rc_shared_names names = {.channel_bytes = 0};
    const struct rc_shared_sender sender = {.instance = instance, .boot = 7};
    const struct rc_config_namespace policy = {.history = 10};
    rc_shared_place(&run, &texts, &names, &sender, &policy, sequence,
                    (struct rc_shared_epochs){.known = known, .wall_ms = rc_clock_wall_ms()}, NULL);
    const struct rc_span fresh = run.args[10];
    uint64_t epoch = 0;
    for (size_t i = 0; i < fresh.count; i++) {
        epoch = epoch * 10 + (uint64_t)(fresh.bytes[i] - '0');
    }
    return epoch;
}

/* By what the message is known by, and not by the kernel's random numbers, one system call each. */
Test(shared_script, an_epoch_that_goes_with_a_message_costs_no_random_number)
{
    const uint64_t bits = (1u << 20) - 1;
    uint32_t same = 0;
    for (uint64_t sequence = 1; sequence <= 100; sequence++) {
        const uint64_t epoch = fresh_of("a", sequence, 0);
        cr_assert_geq(epoch >> 20, rc_clock_wall_ms() - 60000);
        cr_assert_lt(epoch, UINT64_C(1) << 62);
        cr_assert_eq(epoch & bits, fresh_of("a", sequence, 0) & bits);
        same += (epoch & bits) == (fresh_of("b", sequence, 0) & bits);
    }
    cr_expect_lt(same, 10, "instances that begin one in the same millisecond differ: %u", same);
    cr_expect_gt(fresh_of("a", 1, UINT64_C(1) << 62), UINT64_C(1) << 62);
}
