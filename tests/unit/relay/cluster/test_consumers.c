/* Entries of streams as JSON, and what is before which in a batch. The rest: tests/e2e/consumer.test.mjs. */
#include "tests/support/fake_redis.h"

#include "common/base/check.h"
#include "relay/cluster/consumers.h"
#include "relay/redis/stream.h"

static char out[256];
static size_t bytes;

static int json(const struct rc_span *values, uint32_t count, size_t room)
{
    const int rc = rc_consumer_json(values, count, (uint8_t *)out, room, &bytes);
    out[rc == 0 ? bytes : 0] = '\0';
    return rc;
}

Test(consumers, values_that_are_json_stay_so_and_others_are_texts)
{
    const struct rc_span values[] = {
        RC_SPAN("a"),  RC_SPAN("{\"x\": [1]}"), RC_SPAN("b"),          RC_SPAN("text"), RC_SPAN("c"),
        RC_SPAN("17"), RC_SPAN("d\"\n"),        RC_SPAN("\"quoted\""), RC_SPAN("e"),    RC_SPAN(""),
        RC_SPAN("f"),  RC_SPAN("{\"x\":"),      RC_SPAN("odd")};
    cr_assert_eq(json(values, RC_ARRAY_COUNT(values), sizeof(out) - 1), 0);
    cr_assert_str_eq(
        out, "{\"a\":{\"x\": [1]},\"b\":\"text\",\"c\":17,\"d\\\"\\n\":\"quoted\",\"e\":\"\",\"f\":\"{\\\"x\\\":\"}");
    cr_assert_eq(json(values, 0, 2), 0);
    cr_assert_str_eq(out, "{}");
}

Test(consumers, no_byte_is_written_beyond_the_room)
{
    const struct rc_span values[] = {RC_SPAN("a"), RC_SPAN("{\"x\": [1]}"), RC_SPAN("b"), RC_SPAN("text")};
    cr_assert_eq(json(values, 4, sizeof(out) - 1), 0);
    const size_t need = bytes;
    for (size_t room = 0; room < need; room++) {
        memset(out, '~', sizeof(out));
        cr_assert_eq(rc_consumer_json(values, 4, (uint8_t *)out, room, &bytes), -EMSGSIZE);
        cr_assert_eq(out[room], '~', "%zu", room);
    }
    cr_assert_eq(json(values, 4, need), 0);
}

Test(consumers, what_is_no_text_is_refused)
{
    const struct rc_span values[] = {RC_SPAN("a"), RC_SPAN("\xff\xfe")};
    const struct rc_span names[] = {RC_SPAN("\xc0\x80"), RC_SPAN("a")};
    cr_assert_eq(json(values, 2, sizeof(out) - 1), -EBADMSG);
    cr_assert_eq(json(names, 2, sizeof(out) - 1), -EBADMSG);
}

/* --- a batch --------------------------------------------------------------------------------------------------------- */

#define ENTRIES_MAX 8u

static struct rc_config config;
static struct rc_metrics metrics;
static struct rc_wire wire;
static struct rc_bridge bridge;
static struct rc_application names;
static struct rc_consumers consumers;
static char published[512]; /* "id<before " */

const redisReply *rc_redis_stream_entries(const redisReply *reply)
{
    return reply;
}

/* What is large never fits. */
static enum rc_consumed publish(void *context, const struct rc_envelope_view *view,
                                const struct rc_shared_source *source, uint64_t *sequence)
{
    static uint64_t last;
    cr_assert_eq(context, &consumers);
    const bool large = rc_span_equal(rc_span_of(view->data, view->head.data_bytes), RC_SPAN("\"large\""));
    *sequence = ++last;
    (void)snprintf(published + strlen(published), sizeof(published) - strlen(published), "%.*s<%.*s ",
                   (int)source->id.count, (const char *)source->id.bytes, (int)source->before.count,
                   source->before.count > 0 ? (const char *)source->before.bytes : "");
    return large ? RC_CONSUMED_NEVER : RC_CONSUMED_LATER;
}

/* The lock is this instance's, and it asks for what a former reader left. */
static void open_reader(void)
{
    struct rc_config_consumer *one = &config.consumers[0];
    rc_config_defaults(&config);
    config.consumer_count = 1;
    *one = (struct rc_config_consumer){.stream = {.text = "orders"},
                                       .group = {.text = "g"},
                                       .room = {.text = "{json.room}"},
                                       .nsp = {.text = "/"},
                                       .data = {.text = "{json.data}"}};
    wire = (struct rc_wire){.message_bytes_max = 1000, .metrics = &metrics, .instance_id = "i"};
    bridge = (struct rc_bridge){.wire = &wire, .timers = &fake.timers};
    names = (struct rc_application){.bridge = &bridge, .name_bytes_max = 100};
    fake.up = true;
    const struct rc_consumers_ops ops = {.publish = publish, .context = &consumers};
    rc_consumers_open(&consumers, &bridge, &names, &config, "i", 1, &ops);
    fake_pass(RC_CONSUMER_TICK_MS);
    fake_integer("EVAL script", 1);
    fake_pass(3 * RC_CONSUMER_TICK_MS); /* the next tick is one behind the time that was passed */
}

/* Redis has entries 1-0, 2-0 …: pairs of room and data. */
static void read_entries(const char *const texts[][2], uint32_t count)
{
    static const char *const fields[] = {"room", "data"};
    char ids[ENTRIES_MAX][8];
    redisReply items[ENTRIES_MAX][7];
    redisReply *values[ENTRIES_MAX][4];
    redisReply *pairs[ENTRIES_MAX][2];
    redisReply *entries[ENTRIES_MAX];
    cr_assert_leq(count, ENTRIES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < 4; j++) {
            const char *text = j % 2 == 0 ? fields[j / 2] : texts[i][j / 2];
            items[i][j] = (redisReply){.type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)text, .len = strlen(text)};
            values[i][j] = &items[i][j];
        }
        const int id_bytes = snprintf(ids[i], sizeof(ids[i]), "%u-0", i + 1);
        items[i][4] = (redisReply){.type = REDIS_REPLY_STRING, .str = ids[i], .len = (size_t)id_bytes};
        items[i][5] = (redisReply){.type = REDIS_REPLY_ARRAY, .elements = 4, .element = values[i]};
        pairs[i][0] = &items[i][4];
        pairs[i][1] = &items[i][5];
        items[i][6] = (redisReply){.type = REDIS_REPLY_ARRAY, .elements = 2, .element = pairs[i]};
        entries[i] = &items[i][6];
    }
    const redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = count, .element = entries};
    fake_answer("XREADGROUP GROUP g reader", &reply);
}

Test(consumers, before_an_entry_is_what_was_published_to_its_channel)
{
    static const char *const texts[][2] = {{"a", "1"}, {"b", "2"}, {"a", "3"}, {"b", "4"}};
    open_reader();
    read_entries(texts, RC_ARRAY_COUNT(texts));
    cr_assert_str_eq(published, "1-0< 2-0< 3-0<1-0 4-0<2-0 ");
    rc_consumers_close(&consumers);
}

/* Redis would look for the id of one that it will never have, and refuse what comes behind it. */
Test(consumers, what_never_fits_is_before_nothing)
{
    static const char *const texts[][2] = {{"a", "large"}, {"a", "2"}, {"a", "large"}, {"a", "4"}};
    open_reader();
    read_entries(texts, RC_ARRAY_COUNT(texts));
    cr_assert_str_eq(published, "1-0< 2-0< 3-0<2-0 4-0<2-0 ");
    rc_consumers_close(&consumers);
}
