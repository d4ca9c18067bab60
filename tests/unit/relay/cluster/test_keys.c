/* Keys of others in Redis, read for workers: each question is answered once, whatever Redis says. */
#include "tests/support/fake_redis.h"

#include "relay/cluster/keys.h"
#include "tests/support/relay_host.h"

static struct relay_host host;
static struct rc_keys keys;
static struct rc_redis_link *const link_there =
    (struct rc_redis_link *)(uintptr_t)8; /* only its address is looked at */

static void open_all(void)
{
    relay_host_open(&host, 1, 65536, 65536);
    relay_host_start_worker(&host, 0);
    relay_host_start_relay(&host);
    fake.up = true;
    keys = (struct rc_keys){.router = &host.router, .link = link_there};
}

static void close_all(void)
{
    cr_assert_eq(fake.count, 0);
    cr_assert_eq(keys.asked, 0, "every question ends");
    relay_host_close(&host);
}

TestSuite(keys, .init = open_all, .fini = close_all);

static void ask_bytes(enum rc_query_kind kind, const void *text, size_t bytes)
{
    uint8_t data[2048];
    const struct rc_query_head head = {.kind = (uint8_t)kind};
    memcpy(data, &head, sizeof(head));
    memcpy(data + sizeof(head), text, bytes);
    const struct rc_envelope_view view = {
        .head = {.origin = {.random = 9}, .token = 17, .data_bytes = (uint32_t)(sizeof(head) + bytes)}, .data = data};
    rc_keys_take(&keys, 0, &view);
}

static void ask_keys(const char *const *all, uint32_t count)
{
    uint8_t data[2048];
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        used = rc_query_key_put(data, used, sizeof(data), rc_span_text(all[i]));
        cr_assert_gt(used, 0);
    }
    ask_bytes(RC_QUERY_KEYS, data, used);
}

static bool answer_came(struct rc_envelope_view *view)
{
    uint32_t type;
    if (!relay_host_down(&host, 0, &type, view)) {
        return false;
    }
    cr_assert(type == RC_DOWN_QUERY && view->head.token == 17 && view->head.origin.random == 9);
    return true;
}

/* "code", or "code state lives_ms value". */
static const char *value_answer(void)
{
    static char text[256];
    struct rc_envelope_view view;
    struct rc_query_value value;
    if (!answer_came(&view)) {
        return "";
    }
    if (view.head.code != 0) {
        (void)snprintf(text, sizeof(text), "%u", view.head.code);
        return text;
    }
    memcpy(&value, view.data, sizeof(value));
    cr_assert_eq(value.bytes, view.head.data_bytes - sizeof(value));
    (void)snprintf(text, sizeof(text), "0 %u %lld %.*s", value.state, (long long)value.lives_ms,
                   (int)(value.bytes < 32 ? value.bytes : 32), (const char *)view.data + sizeof(value));
    return text;
}

static const char *there(void)
{
    static char text[256];
    struct rc_envelope_view view;
    if (!answer_came(&view)) {
        return "";
    }
    if (view.head.code != 0) {
        return "503";
    }
    for (uint32_t i = 0; i < view.head.data_bytes; i++) {
        text[i] = view.data[i] ? '1' : '0';
    }
    text[view.head.data_bytes] = '\0';
    return text;
}

static redisReply text_reply(const char *text)
{
    return (redisReply){.type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)text, .len = strlen(text)};
}

static redisReply number_reply(long long number)
{
    return (redisReply){.type = REDIS_REPLY_INTEGER, .integer = number};
}

static void ask_value(const redisReply *got, const redisReply *lives)
{
    ask_bytes(RC_QUERY_VALUE, "sess:1", 6);
    cr_assert_eq(fake.count, 2);
    fake_answer("GET sess:1", got);
    cr_assert_str_eq(value_answer(), "", "not before both are there");
    fake_answer("PTTL sess:1", lives);
}

Test(keys, a_value_and_how_long_it_lives)
{
    const redisReply text = text_reply("{\"a\":1}");
    const redisReply nil = {.type = REDIS_REPLY_NIL};
    const redisReply empty = text_reply("");
    const redisReply wrong = {.type = REDIS_REPLY_ERROR, .str = (char *)(uintptr_t) "WRONGTYPE Operation", .len = 19};
    const redisReply loading = {.type = REDIS_REPLY_ERROR, .str = (char *)(uintptr_t) "LOADING Redis is", .len = 16};
    const redisReply seconds = number_reply(60000);
    const redisReply ever = number_reply(-1);
    const redisReply none = number_reply(-2);
    ask_value(&text, &seconds);
    cr_assert_str_eq(value_answer(), "0 1 60000 {\"a\":1}");
    ask_value(&text, &ever);
    cr_assert_str_eq(value_answer(), "0 1 -1 {\"a\":1}");
    ask_value(&text, &none);
    cr_assert_str_eq(value_answer(), "0 1 0 {\"a\":1}");
    ask_value(&empty, &ever);
    cr_assert_str_eq(value_answer(), "0 1 -1 ");
    ask_value(&nil, &none);
    cr_assert_str_eq(value_answer(), "0 0 0 ");
    ask_value(&wrong, &ever);
    cr_assert_str_eq(value_answer(), "0 3 -1 ");
    ask_value(&loading, &ever);
    cr_assert_str_eq(value_answer(), "503");
    ask_value(&text, NULL);
    cr_assert_str_eq(value_answer(), "503");
    ask_value(NULL, &ever);
    cr_assert_str_eq(value_answer(), "503");
    ask_value(&seconds, &ever);
    cr_assert_str_eq(value_answer(), "503");
}

Test(keys, a_value_that_is_too_large_is_told)
{
    static char large[RC_QUERY_VALUE_BYTES_MAX + 2];
    const redisReply ever = number_reply(-1);
    memset(large, 'x', sizeof(large) - 1);
    const redisReply text = text_reply(large);
    ask_value(&text, &ever);
    cr_assert_str_eq(value_answer(), "0 2 -1 ");
}

Test(keys, all_of_them_at_once_and_each_where_some_are_missing)
{
    const char *const all[] = {"a", "b", "c"};
    const redisReply three = number_reply(3);
    const redisReply two = number_reply(2);
    const redisReply one = number_reply(1);
    const redisReply none = number_reply(0);
    ask_keys(all, 3);
    cr_assert_eq(fake.count, 1);
    fake_answer("EXISTS a b c", &three);
    cr_assert_str_eq(there(), "111");
    ask_keys(all, 3);
    fake_answer("EXISTS a b c", &none);
    cr_assert_str_eq(there(), "000");
    ask_keys(all, 3);
    fake_answer("EXISTS a b c", &two);
    cr_assert_eq(fake.count, 3);
    fake_answer("EXISTS a", &one);
    fake_answer("EXISTS b", &none);
    fake_answer("EXISTS c", &one);
    cr_assert_str_eq(there(), "101");
    ask_keys(all, 3);
    fake_answer("EXISTS a b c", NULL);
    cr_assert_str_eq(there(), "503");
    fake.clustered = true;
    ask_keys(all, 2);
    fake_answer("EXISTS a", &none);
    fake_answer("EXISTS b", &one);
    cr_assert_str_eq(there(), "01");
}

Test(keys, what_cannot_be_asked_is_refused)
{
    const char *const all[] = {"a", "b"};
    ask_bytes(RC_QUERY_VALUE, "", 0);
    cr_assert_str_eq(value_answer(), "400");
    ask_bytes(RC_QUERY_KEYS, "", 0);
    cr_assert_str_eq(value_answer(), "400");
    ask_bytes(RC_QUERY_KEYS,
              "\x05\0"
              "ab",
              4);
    cr_assert_str_eq(value_answer(), "400");
    fake.up = false;
    ask_bytes(RC_QUERY_VALUE, "a", 1);
    cr_assert_str_eq(value_answer(), "503");
    ask_keys(all, 2);
    cr_assert_str_eq(there(), "503");
    fake.up = true;
    fake.full = true;
    ask_bytes(RC_QUERY_VALUE, "a", 1);
    cr_assert_str_eq(value_answer(), "503");
    ask_keys(all, 2);
    cr_assert_str_eq(there(), "503");
    fake.full = false;
    keys.asked = RC_KEYS_MAX;
    ask_bytes(RC_QUERY_VALUE, "a", 1);
    cr_assert_str_eq(value_answer(), "503");
    keys.asked = 0;
    keys.link = NULL;
    ask_bytes(RC_QUERY_VALUE, "a", 1);
    cr_assert_str_eq(value_answer(), "503");
}

/* "code", or what each key says: -, t, or its number. */
static const char *marks(void)
{
    static char text[256];
    struct rc_envelope_view view;
    size_t used = 0;
    if (!answer_came(&view)) {
        return "";
    }
    text[0] = '\0';
    if (view.head.code != 0) {
        (void)snprintf(text, sizeof(text), "%u", view.head.code);
    }
    for (uint32_t i = 0; i < view.head.data_bytes / sizeof(uint64_t); i++) {
        uint64_t mark;
        memcpy(&mark, view.data + i * sizeof(mark), sizeof(mark));
        used += (size_t)(mark == RC_QUERY_MARK_NONE ? snprintf(text + used, sizeof(text) - used, "- ")
                         : mark == RC_QUERY_MARK_TEXT
                             ? snprintf(text + used, sizeof(text) - used, "t ")
                             : snprintf(text + used, sizeof(text) - used, "%llu ", (unsigned long long)mark));
    }
    return text;
}

static void ask_marks(const char *const *all, uint32_t count)
{
    uint8_t data[2048];
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        used = rc_query_key_put(data, used, sizeof(data), rc_span_text(all[i]));
    }
    ask_bytes(RC_QUERY_MARKS, data, used);
}

Test(keys, what_keys_say)
{
    const char *const all[] = {"a", "b", "c", "d", "e", "f"};
    redisReply replies[] = {{.type = REDIS_REPLY_NIL}, text_reply(""),   text_reply("1790000000"),
                            text_reply("0"),           text_reply("-1"), text_reply("1000000000000000000000")};
    redisReply *elements[6];
    for (int i = 0; i < 6; i++) {
        elements[i] = &replies[i];
    }
    const redisReply array = {.type = REDIS_REPLY_ARRAY, .elements = 6, .element = elements};
    const redisReply wrong = {.type = REDIS_REPLY_ERROR, .str = (char *)(uintptr_t) "WRONGTYPE Operation", .len = 19};
    const redisReply loading = {.type = REDIS_REPLY_ERROR, .str = (char *)(uintptr_t) "LOADING Redis is", .len = 16};
    ask_marks(all, 6);
    fake_answer("MGET a b c d e f", &array);
    cr_assert_str_eq(marks(), "- t 1790000000 t t t ");
    ask_marks(all, 5); /* an answer of another length */
    fake_answer("MGET a b c d e", &array);
    cr_assert_str_eq(marks(), "503");
    ask_marks(all, 1);
    fake_answer("MGET a", &loading);
    cr_assert_str_eq(marks(), "503");
    ask_marks(all, 1);
    fake_answer("MGET a", NULL);
    cr_assert_str_eq(marks(), "503");
    fake.clustered = true;
    ask_marks(all, 3);
    fake_answer("GET a", &replies[0]);
    fake_answer("GET b", &wrong);
    fake_answer("GET c", &replies[2]);
    cr_assert_str_eq(marks(), "- t 1790000000 ");
    ask_marks(all, 2);
    fake_answer("GET a", &replies[0]);
    fake_answer("GET b", &loading);
    cr_assert_str_eq(marks(), "503");
}

static void ask_set(uint32_t lives_s, const char *key, const char *value, uint32_t more)
{
    uint8_t data[512];
    const struct rc_query_set set = {
        .lives_s = lives_s, .key_bytes = (uint16_t)strlen(key), .value_bytes = (uint16_t)strlen(value)};
    memcpy(data, &set, sizeof(set));
    memcpy(data + sizeof(set), key, set.key_bytes);
    memcpy(data + sizeof(set) + set.key_bytes, value, set.value_bytes);
    ask_bytes(RC_QUERY_SET, data, sizeof(set) + set.key_bytes + set.value_bytes + more);
}

Test(keys, a_key_is_written_with_a_time_to_live)
{
    const redisReply ok = {.type = REDIS_REPLY_STATUS, .str = (char *)(uintptr_t) "OK", .len = 2};
    const redisReply refused = {.type = REDIS_REPLY_ERROR, .str = (char *)(uintptr_t) "NOPERM no", .len = 9};
    ask_set(60, "app:k", "1", 0);
    cr_assert_str_eq(marks(), "", "not before Redis has it");
    fake_answer("SET app:k 1 EX 60", &ok);
    struct rc_envelope_view done;
    cr_assert(answer_came(&done) && done.head.code == 0);
    ask_set(60, "k", "1", 0);
    fake_answer("SET k 1 EX 60", &refused);
    cr_assert_str_eq(marks(), "503");
    ask_set(60, "k", "1", 0);
    fake_answer("SET k 1 EX 60", NULL);
    cr_assert_str_eq(marks(), "503");
    ask_set(0, "k", "1", 0);
    cr_assert_str_eq(marks(), "400");
    ask_set(60, "", "1", 0);
    cr_assert_str_eq(marks(), "400");
    ask_set(60, "k", "1", 1);
    cr_assert_str_eq(marks(), "400");
    ask_bytes(RC_QUERY_SET, "abc", 3);
    cr_assert_str_eq(marks(), "400");
}
