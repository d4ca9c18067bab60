/* Limits that instances share: each question answered once, by the script, which Redis is given when it has it not, or not at all. */
#include "tests/support/fake_redis.h"

#include "common/records/limit.h"
#include "relay/cluster/limits.h"
#include "tests/support/relay_host.h"

static struct relay_host host;
static struct rc_cluster_limits limits;
static struct rc_redis_link *const link_there =
    (struct rc_redis_link *)(uintptr_t)8; /* only its address is looked at */

static void open_all(void)
{
    relay_host_open(&host, 1, 65536, 65536);
    relay_host_start_worker(&host, 0);
    relay_host_start_relay(&host);
    fake.up = true;
    cr_assert_eq(rc_cluster_limits_open(&limits, &host.router, link_there), 0);
}

static void close_all(void)
{
    while (fake.count > 0) {
        fake_answer("", NULL);
    }
    rc_cluster_limits_close(&limits);
    relay_host_close(&host);
}

TestSuite(cluster_limits, .init = open_all, .fini = close_all);

static void ask_cost(uint64_t token, uint32_t count, uint32_t cost, const char *name, size_t name_bytes)
{
    const struct rc_limit_head head = {.count = count, .window_ms = 60000, .cost = cost};
    uint8_t data[sizeof(head) + 2048];
    memcpy(data, &head, sizeof(head));
    memcpy(data + sizeof(head), name, name_bytes);
    const struct rc_envelope_view view = {
        .head = {.origin = {.random = 9}, .token = token, .data_bytes = (uint32_t)(sizeof(head) + name_bytes)},
        .data = data};
    rc_cluster_limits_take(&limits, 0, &view);
}

static void ask(uint64_t token, uint32_t count, const char *name, size_t name_bytes)
{
    ask_cost(token, count, 1, name, name_bytes);
}

/* "token code allowed/retry" of the next answer; "" when there is none. */
static const char *answer(void)
{
    static char text[64];
    struct rc_envelope_view view;
    struct rc_limit_result result = {0};
    uint32_t type;
    text[0] = '\0';
    if (relay_host_down(&host, 0, &type, &view)) {
        cr_assert_eq(type, RC_DOWN_LIMIT);
        cr_assert_eq(view.head.origin.random, 9);
        cr_assert_eq(rc_limit_result_read(&view, &result), view.head.code == 0);
        (void)snprintf(text, sizeof(text), "%llu %u %u/%u", (unsigned long long)view.head.token, view.head.code,
                       result.allowed, result.retry_ms);
    }
    return text;
}

static void script_says(const char *command, long long allowed, long long retry_ms)
{
    redisReply items[2] = {{.type = REDIS_REPLY_INTEGER, .integer = allowed},
                           {.type = REDIS_REPLY_INTEGER, .integer = retry_ms}};
    redisReply *pointers[2] = {&items[0], &items[1]};
    const redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = pointers};
    fake_answer(command, &reply);
}

Test(cluster_limits, the_script_goes_along_until_redis_has_it)
{
    char by_hash[96];
    (void)snprintf(by_hash, sizeof(by_hash), "EVALSHA %s 1 rate:b 5 60000 1", limits.sha1);
    ask(1, 5, "a", 1);
    script_says("EVAL script 1 rate:a 5 60000 1", 1, 0);
    cr_assert_str_eq(answer(), "1 0 1/0");
    ask(2, 5, "b", 1);
    script_says(by_hash, 0, 1234);
    cr_assert_str_eq(answer(), "2 0 0/1234");
    fake.observer->changed(fake.observer->context, false); /* another Redis may come */
    ask(3, 5, "b", 1);
    script_says("EVAL script 1 rate:b 5 60000 1", 1, 0);
    cr_assert_str_eq(answer(), "3 0 1/0");
}

Test(cluster_limits, a_node_without_the_script_gets_it)
{
    limits.loaded = true;
    ask(1, 5, "a", 1);
    fake_error("EVALSHA", "NOSCRIPT No matching script.");
    cr_assert_str_eq(answer(), "");
    script_says("EVAL script 1 rate:a 5 60000 1", 1, 0);
    cr_assert_str_eq(answer(), "1 0 1/0");
}

Test(cluster_limits, who_cannot_be_asked_is_told_so_at_once)
{
    fake.up = false;
    ask(1, 5, "a", 1);
    cr_assert_str_eq(answer(), "1 503 0/0");
    fake.up = true;
    fake.full = true;
    ask(2, 5, "a", 1);
    cr_assert_str_eq(answer(), "2 503 0/0");
    fake.full = false;
    ask(3, 5, "a", 1);
    fake_answer("EVAL", NULL);
    cr_assert_str_eq(answer(), "3 503 0/0");
    ask(4, 5, "a", 1);
    fake_error("EVAL", "WRONGTYPE");
    cr_assert_str_eq(answer(), "4 503 0/0");
    ask(5, 5, "a", 1);
    fake_integer("EVAL", 7);
    cr_assert_str_eq(answer(), "5 503 0/0");
    ask(6, 0, "a", 1); /* no limit at all */
    cr_assert_str_eq(answer(), "6 503 0/0");
    ask(7, 5, "", 0);
    cr_assert_str_eq(answer(), "7 503 0/0");
    ask_cost(8, 5, 6, "a", 1); /* more than there may ever be */
    cr_assert_str_eq(answer(), "8 503 0/0");
    ask_cost(9, 5, 0, "a", 1);
    cr_assert_str_eq(answer(), "9 503 0/0");
    cr_assert_eq(fake.count, 0);
}

Test(cluster_limits, what_costs_more_is_told_the_script)
{
    ask_cost(1, 1000, 300, "a", 1);
    script_says("EVAL script 1 rate:a 1000 60000 300", 1, 0);
    cr_assert_str_eq(answer(), "1 0 1/0");
}

/* A key has to fit, and has to be text. */
Test(cluster_limits, long_names_and_those_with_nul_are_hashed)
{
    char name[RC_LIMIT_NAME_MAX];
    memset(name, 'n', sizeof(name));
    ask(1, 5, name, sizeof(name));
    script_says("EVAL script 1 rate:52523e753b02cb8611432639224d8e9315db59de 5 60000 1", 1, 0);
    ask(2, 5, "a\0b", 3);
    cr_assert_eq(strlen(fake.commands[0].text), strlen("EVALSHA  1 rate: 5 60000 1") + 80);
}
