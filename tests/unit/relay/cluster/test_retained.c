/* Retained values as they stand in Redis: what is read, and what is refused. The rest: tests/e2e/retained_redis.test.mjs. */
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/check.h"
#include "relay/cluster/retained.h"

static struct rc_envelope_view view;
static struct rc_history_stamp stamp;

static bool reads(const char *field, const char *text)
{
    return rc_retained_read(rc_span_text(field), rc_span_text(text), &view, &stamp);
}

Test(relay_retained, a_value_is_read)
{
    cr_assert(reads("state:a\nkey", "1 1700000000000 web.1 0 2\nev{\"a\": 1}"));
    cr_assert(rc_span_equal(rc_span_of(view.channel, view.head.channel_bytes), RC_SPAN("state:a")));
    cr_assert_eq(view.head.channel_hash, rc_channel_hash("state:a", 7));
    cr_assert(rc_span_equal(rc_span_of(view.key, view.head.key_bytes), RC_SPAN("key")));
    cr_assert(rc_span_equal(rc_span_of(view.event, view.head.event_bytes), RC_SPAN("ev")));
    cr_assert(rc_span_equal(rc_span_of(view.data, view.head.data_bytes), RC_SPAN("{\"a\": 1}")));
    cr_assert_eq(view.head.flags, RC_ENVELOPE_REMOTE);
    cr_assert_eq(stamp.ms, 1700000000000);
    cr_assert(rc_span_equal(stamp.instance, RC_SPAN("web.1")));
    cr_assert(reads("a\n", "1 5 x b 0\nno json"));
    cr_assert_eq(view.head.flags, RC_ENVELOPE_REMOTE | RC_ENVELOPE_BINARY);
    cr_assert_eq(view.head.key_bytes, 0);
    cr_assert(reads("a\n", "1 5 x 0 0\n"), "what was taken away");
    cr_assert_eq(view.head.data_bytes, 0);
}

Test(relay_retained, what_is_none_is_refused)
{
    static const char *const texts[] = {"",
                                        "1",
                                        "1 5",
                                        "1 5 x",
                                        "1 5 x 0",
                                        "1 5 x 0 0",
                                        "2 5 x 0 0\n1",
                                        "1 -5 x 0 0\n1",
                                        "1 9007199254740993 x 0 0\n1",
                                        "1 99999999999999999999999 x 0 0\n1",
                                        "1 5  0 0\n1",
                                        "1 5 x,y 0 0\n1",
                                        "1 5 x c 0\n1",
                                        "1 5 x 00 0\n1",
                                        "1 5 x 0 256\n1",
                                        "1 5 x 0 2\n1",
                                        "1 5 x 0 0\nno json",
                                        "1 5 x 0 0\n\"\xff\"",
                                        "1 5 x a 0\n[1]"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(texts); i++) {
        cr_assert_not(reads("a\n", texts[i]), "%s", texts[i]);
    }
    static const char good[] = "1 5 x 0 0\n1";
    char key[RC_MESSAGE_KEY_MAX + 4] = "a\n";
    memset(key + 2, 'k', RC_MESSAGE_KEY_MAX + 1);
    cr_assert_not(reads("a", good));
    cr_assert_not(reads("\n", good));
    cr_assert_not(reads("a\tb\n", good));
    cr_assert_not(reads(key, good));
    key[RC_MESSAGE_KEY_MAX + 2] = '\0';
    cr_assert(reads(key, good));
}
