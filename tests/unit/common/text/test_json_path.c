/* Parts of JSON values by their names, numbers and ways. */
#include "common/text/json_path.h"

#include <criterion/criterion.h>

static void expect(struct rc_json_value value, const char *raw)
{
    if (raw == NULL) {
        cr_expect_eq(value.type, RC_JSON_NONE, "%.*s", (int)value.raw.count, (const char *)value.raw.bytes);
    } else {
        cr_expect(value.type != RC_JSON_NONE && rc_span_equal(value.raw, rc_span_text(raw)), "%.*s instead of %s",
                  (int)value.raw.count, (const char *)value.raw.bytes, raw);
    }
}

Test(json_path, members_and_elements)
{
    const struct rc_span object = RC_SPAN("{\"a\":1, \"b\" : {\"c\":[]},\"a\":2,\"\\u0064\":3,\"\":4,\"A\":5}");
    expect(rc_json_member(object, RC_SPAN("a")), "2");
    expect(rc_json_member(object, RC_SPAN("b")), "{\"c\":[]}");
    expect(rc_json_member(object, RC_SPAN("d")), "3");
    expect(rc_json_member(object, RC_SPAN("")), "4");
    expect(rc_json_member(object, RC_SPAN("c")), NULL);
    expect(rc_json_member(RC_SPAN("[1]"), RC_SPAN("0")), NULL);
    expect(rc_json_member(RC_SPAN(""), RC_SPAN("a")), NULL);
    expect(rc_json_element(RC_SPAN("[1,[2],{\"a\":3}]"), 1), "[2]");
    expect(rc_json_element(RC_SPAN("[1,[2]]"), 2), NULL);
    expect(rc_json_element(RC_SPAN("{\"1\":2}"), 1), NULL);
}

Test(json_path, names_in_any_case)
{
    const struct rc_span object = RC_SPAN("{\"X-Token\":\"t\",\"\\u0078\":1}");
    expect(rc_json_member_nocase(object, RC_SPAN("x-token")), "\"t\"");
    expect(rc_json_member_nocase(object, RC_SPAN("X-TOKEN")), "\"t\"");
    expect(rc_json_member_nocase(object, RC_SPAN("x")), NULL);
    expect(rc_json_member(object, RC_SPAN("x-token")), NULL);
}

Test(json_path, ways)
{
    const struct rc_json_value value = {.type = RC_JSON_OBJECT,
                                        .raw = RC_SPAN("{\"a\":{\"0\":\"zero\",\"b\":[{\"c\":true}]},\"n\":null}")};
    expect(rc_json_path(value, RC_SPAN("a.b.0.c")), "true");
    expect(rc_json_path(value, RC_SPAN("a.0")), "\"zero\"");
    expect(rc_json_path(value, RC_SPAN("n")), "null");
    expect(rc_json_path(value, RC_SPAN("")), (const char *)value.raw.bytes);
    static const char *const none[] = {"a.b.1", "a.b.x", "a.b.0.c.d", "n.a", "a..b", ".a", "b"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        expect(rc_json_path(value, rc_span_text(none[i])), NULL);
    }
}
