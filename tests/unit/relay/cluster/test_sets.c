/* Sets of subscribers: their names, and what is written to Redis when, after what loss. */
#include "tests/support/fake_redis.h"

#include "common/base/clock.h"
#include "relay/cluster/sets.h"

static struct rc_config config;
static struct rc_metrics metrics;
static struct rc_entries entries;
static struct rc_subscription_sets sets;
static struct rc_interest interest;
static const struct rc_client_ref client = {.random = 7, .slot = 3, .worker = 1};
static const struct rc_client_ref other = {.random = 8, .slot = 4, .worker = 0};

static int write_entry(void *context, const struct rc_entry *entry, bool add, rc_redis_replied *replied,
                       void *replied_context)
{
    (void)context;
    return rc_subscription_sets_write(&sets, entry, add, replied, replied_context);
}

static void open_all(void)
{
    const struct rc_entries_ops ops = {.write = write_entry};
    rc_config_defaults(&config);
    config.namespaces[config.namespace_count] = config.namespaces[0];
    struct rc_config_namespace *prices = &config.namespaces[config.namespace_count++];
    (void)snprintf(prices->name, sizeof(prices->name), "prices");
    prices->name_bytes = 6;
    (void)snprintf(prices->subscription_set.text, sizeof(prices->subscription_set.text), "{name}");
    cr_assert_eq(rc_entries_open(&entries, NULL, &fake.timers, &metrics, "a", &ops), 0);
    rc_subscription_sets_open(&sets, &entries, &config, "a", 1);
    cr_assert_eq(rc_interest_open(&interest, 100), 0);
    fake.up = true;
}

static void close_all(void)
{
    rc_interest_close(&interest);
    rc_entries_close(&entries);
}

TestSuite(subscription_sets, .init = open_all, .fini = close_all);

static void flush(void)
{
    fake_pass(0);
}

static void change(const char *channel, const struct rc_client_ref *ref, bool subscribed)
{
    rc_subscription_sets_member(&sets, rc_span_text(channel), ref, subscribed);
    flush();
}

static void expect_name(const char *channel, const char *name)
{
    char out[RC_ENTRY_NAME_MAX];
    const uint32_t bytes = rc_subscription_sets_name(&sets, rc_span_text(channel), out);
    cr_assert(rc_span_equal(rc_span_of(out, bytes), rc_span_text(name)), "%s: %.*s", channel, (int)bytes, out);
}

static void reconfigure(void)
{
    rc_subscription_sets_configure(&sets, &config, &interest);
}

Test(subscription_sets, names)
{
    expect_name("BTC", "csubs:BTC");
    expect_name("other:BTC", "csubs:other:BTC");
    expect_name("prices:BTC", "csubs:BTC");
    expect_name("prices:BTC:USD", "csubs:BTC:USD");
    expect_name("*", "");
    sets.mode = RC_SUBSCRIPTION_SETS_INSTANCES;
    expect_name("prices:BTC", "isubs-instances:BTC");
    config.namespaces[1].subscription_set.text[0] = '\0';
    reconfigure();
    expect_name("prices:BTC", "");
    memset(config.namespaces[1].subscription_set.text, 'x', 250);
    strcpy(config.namespaces[1].subscription_set.text + 200, "{channel}{channel}{channel}");
    reconfigure();
    expect_name("prices:0123456789012345678901234567890123456789012345678901234567890123456789", "");
}

Test(subscription_sets, nothing_is_written_before_the_id_is_owned)
{
    change("prices:BTC", &client, true);
    cr_assert_eq(fake.count, 0);
    rc_entries_registered(&entries, true);
    flush();
    fake_integer("SADD ws:instance:a:index csubs:BTC", 1);
    fake_integer("SADD subs:BTC a:a~", 1);
    cr_assert(rc_entries_settled(&entries));
}

Test(subscription_sets, index_holds_the_set_from_first_to_last_member)
{
    rc_entries_registered(&entries, true);
    change("BTC", &client, true);
    change("BTC", &other, true);
    fake_integer("SADD ws:instance:a:index csubs:BTC", 1);
    fake_integer("SADD subs:BTC a:a~", 1);
    fake_integer("SADD subs:BTC a:a~", 1);
    change("BTC", &client, false);
    fake_integer("SREM subs:BTC a:a~", 1);
    change("BTC", &other, false);
    fake_integer("SREM subs:BTC a:a~", 1);
    fake_integer("SREM ws:instance:a:index csubs:BTC", 1);
    cr_assert_eq(fake.count, 0);
    cr_assert_eq(entries.count, 0);
}

Test(subscription_sets, one_command_of_a_member_at_a_time)
{
    rc_entries_registered(&entries, true);
    change("BTC", &client, true);
    change("BTC", &client, false);
    change("BTC", &client, true);
    change("BTC", &client, false);
    cr_assert_eq(fake.count, 2);
    fake_integer("SADD ws:", 1);
    fake_integer("SADD subs:BTC", 1);
    flush();
    fake_integer("SREM subs:BTC", 1);
    fake_integer("SREM ws:", 1);
    cr_assert_eq(entries.count, 0);
}

Test(subscription_sets, two_channels_of_one_set)
{
    rc_entries_registered(&entries, true);
    change("BTC", &client, true);
    fake_integer("SADD ws:", 1);
    fake_integer("SADD subs:BTC", 1);
    change("prices:BTC", &client, true);
    fake_integer("SADD subs:BTC", 0);
    change("BTC", &client, false);
    cr_assert_eq(fake.count, 0, "the other one keeps it");
    change("prices:BTC", &client, false);
    fake_integer("SREM subs:BTC", 1);
    fake_integer("SREM ws:", 1);
    cr_assert_eq(entries.count, 0);
}

Test(subscription_sets, refused_is_written_again_later_others_at_once)
{
    rc_entries_registered(&entries, true);
    change("BTC", &client, true);
    fake_integer("SADD ws:", 1);
    fake_error("SADD subs:BTC", "OOM command not allowed");
    change("ETH", &client, true);
    fake_integer("SADD ws:", 1);
    fake_integer("SADD subs:ETH", 1);
    cr_assert_eq(fake.count, 0);
    fake_pass(RC_ENTRIES_RETRY_MS + 10);
    fake_integer("SADD ws:instance:a:index csubs:BTC", 0);
    fake_integer("SADD subs:BTC", 1);
    cr_assert(rc_entries_settled(&entries));
}

/* BUSY while a script runs: the set is taken a moment later, and without its name in the index nobody would clean it up. */
Test(subscription_sets, a_name_that_redis_refused_is_written_again_though_its_member_was_taken)
{
    rc_entries_registered(&entries, true);
    change("BTC", &client, true);
    fake_error("SADD ws:instance:a:index csubs:BTC", "BUSY Redis is busy running a script");
    fake_integer("SADD subs:BTC a:a~", 1);
    cr_assert_not(rc_entries_settled(&entries));
    fake_pass(RC_ENTRIES_RETRY_MS + 10);
    fake_integer("SADD ws:instance:a:index csubs:BTC", 1);
    cr_assert_eq(fake.count, 0);
    cr_assert(rc_entries_settled(&entries));
}

/* In a Cluster the index is another node's: its answer may come last, or not at all. */
Test(subscription_sets, a_set_ends_when_its_name_is_answered_whatever_the_answer)
{
    rc_entries_registered(&entries, true);
    change("BTC", &client, true);
    const struct fake_command index = fake.commands[0];
    fake.commands[0] = fake.commands[--fake.count];
    fake_integer("SADD subs:BTC a:a~", 1);
    change("BTC", &client, false);
    fake_integer("SREM subs:BTC a:a~", 1);
    cr_assert_eq(fake.count, 0);
    change("ETH", &other, true); /* takes no place that is still waited for */
    fake_integer("SADD ws:instance:a:index csubs:ETH", 1);
    fake_integer("SADD subs:ETH a:a~", 1);
    index.replied(index.context, NULL);
    fake_integer("SREM ws:instance:a:index csubs:BTC", 0);
    cr_assert_eq(fake.count, 0);
    cr_assert(rc_entries_settled(&entries));
}

Test(subscription_sets, everything_again_after_a_loss)
{
    rc_entries_registered(&entries, true);
    change("BTC", &client, true);
    change("BTC", &other, true);
    fake_integer("SADD ws:", 1);
    fake_integer("SADD subs:BTC", 1);
    fake_lose(); /* one answer never came */
    rc_entries_registered(&entries, false);
    change("BTC", &other, false);
    fake_return();
    rc_entries_registered(&entries, true);
    flush();
    uint32_t added = 0;
    uint32_t removed = 0;
    while (fake.count > 0) {
        added += strncmp(fake.commands[0].text, "SADD subs:BTC", 13) == 0;
        removed += strncmp(fake.commands[0].text, "SREM subs:BTC", 13) == 0;
        fake_integer("S", 1);
    }
    cr_assert_eq(added, 1);
    cr_assert_eq(removed, 1);
    cr_assert_eq(entries.count, 1);
}

Test(subscription_sets, what_a_worker_does_not_tell_again_goes)
{
    rc_entries_registered(&entries, true);
    change("BTC", &client, true);
    change("ETH", &client, true);
    change("BTC", &other, true);
    while (fake.count > 0) {
        fake_integer("SADD", 1);
    }
    rc_entries_worker_begin(&entries, 1);
    change("BTC", &client, true);
    rc_entries_worker_end(&entries, 1);
    flush();
    fake_integer("SREM subs:ETH", 1);
    fake_integer("SREM ws:", 1);
    cr_assert_eq(fake.count, 0);
    rc_entries_worker_gone(&entries, 0);
    flush();
    fake_integer("SREM subs:BTC", 1);
    cr_assert_eq(entries.count, 1);
    rc_entries_drop_all(&entries);
    flush();
    fake_integer("SREM subs:BTC", 1);
    fake_integer("SREM ws:", 1);
    cr_assert(rc_entries_settled(&entries) && entries.count == 0);
}

Test(subscription_sets, no_room_for_commands_is_no_loss)
{
    rc_entries_registered(&entries, true);
    fake.full = true;
    change("BTC", &client, true);
    cr_assert_eq(fake.count, 0);
    fake.full = false;
    fake_pass(RC_ENTRIES_RETRY_MS + 10);
    fake_integer("SADD ws:", 1);
    fake_integer("SADD subs:BTC", 1);
    cr_assert(rc_entries_settled(&entries));
}

Test(subscription_sets, instances_mode_has_one_member)
{
    sets.mode = RC_SUBSCRIPTION_SETS_INSTANCES;
    rc_entries_registered(&entries, true);
    change("BTC", &client, true);
    cr_assert_eq(fake.count, 0);
    rc_subscription_sets_interest(&sets, RC_SPAN("BTC"), true);
    flush();
    fake_integer("SADD ws:instance:a:index isubs-instances:BTC", 1);
    fake_integer("SADD subs-instances:BTC a", 1);
    rc_subscription_sets_interest(&sets, RC_SPAN("BTC"), false);
    flush();
    fake_integer("SREM subs-instances:BTC a", 1);
    fake_integer("SREM ws:", 1);
    cr_assert_eq(entries.count, 0);
}

static void want(const char *channel)
{
    const uint32_t bytes = (uint32_t)strlen(channel);
    cr_assert_eq(rc_interest_add(&interest, rc_channel_hash(channel, bytes), channel, bytes, 0), RC_INTEREST_EDGE);
    rc_subscription_sets_interest(&sets, rc_span_text(channel), true);
    flush();
}

/* Another name by a reload: what stood under the old one goes, and only where it has changed. */
Test(subscription_sets, a_reload_renames_sets_of_instances)
{
    static struct rc_config next, none, gone;
    sets.mode = RC_SUBSCRIPTION_SETS_INSTANCES;
    rc_entries_registered(&entries, true);
    want("prices:BTC");
    want("plain");
    for (int i = 0; i < 2; i++) {
        fake_integer("SADD ws:instance:a:index isubs-instances:", 1);
        fake_integer("SADD subs-instances:", 1);
    }
    next = config;
    (void)snprintf(next.namespaces[1].subscription_set.text, sizeof(next.namespaces[1].subscription_set.text),
                   "p-{name}");
    rc_subscription_sets_configure(&sets, &next, &interest);
    flush();
    fake_integer("SREM subs-instances:BTC a", 1);
    fake_integer("SADD ws:instance:a:index isubs-instances:p-BTC", 1);
    fake_integer("SADD subs-instances:p-BTC a", 1);
    flush();
    fake_integer("SREM ws:instance:a:index isubs-instances:BTC", 1);
    cr_assert(rc_entries_settled(&entries));
    /* No set any more; then the namespace is gone, and the channel in `default`. */
    none = config;
    none.namespaces[1].subscription_set.text[0] = '\0';
    rc_subscription_sets_configure(&sets, &none, &interest);
    flush();
    fake_integer("SREM subs-instances:p-BTC a", 1);
    flush();
    fake_integer("SREM ws:instance:a:index isubs-instances:p-BTC", 1);
    gone = config;
    gone.namespace_count = 1;
    rc_subscription_sets_configure(&sets, &gone, &interest);
    rc_subscription_sets_interest(&sets, RC_SPAN("prices:BTC"), false);
    rc_subscription_sets_interest(&sets, RC_SPAN("plain"), false);
    flush();
    cr_assert_eq(fake.count, 1, "what was never written need not go");
    while (fake.count > 0) {
        fake_integer("", 1);
        flush();
    }
    cr_assert(rc_entries_settled(&entries));
    cr_assert_eq(entries.count, 0);
}
