/* Entries of streams as JSON. The rest: tests/e2e/consumer.test.mjs. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "relay/cluster/consumers.h"

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
