/* json_format: texts of each format. */
#include "common/text/json_format.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"

static const struct {
    const char *format;
    const char *text;
    bool valid;
} cases[] = {
    {"date-time", "2026-11-28T23:20:50.52Z", true},
    {"date-time", "2026-11-28t23:20:50z", true},
    {"date-time", "1998-12-31T23:59:60Z", true},
    {"date-time", "1998-12-31T15:59:60.123-08:00", true},
    {"date-time", "1998-12-31T22:59:60Z", false},
    {"date-time", "2026-11-28 23:20:50Z", false},
    {"date-time", "2026-11-28T24:00:00Z", false},
    {"date-time", "2026-11-28T23:20:50", false},
    {"date-time", "2026-11-28T23:20:50.Z", false},
    {"date-time", "2026-11-28T23:20:50+24:00", false},
    {"date-time", "2026-11-28T23:20:50Zx", false},
    {"date", "2024-02-29", true},
    {"date", "2023-02-29", false},
    {"date", "1900-02-29", false},
    {"date", "2000-02-29", true},
    {"date", "2026-13-01", false},
    {"date", "2026-04-31", false},
    {"date", "2026-1-01", false},
    {"date", "", false},
    {"time", "08:30:06Z", true},
    {"time", "08:30:06.283185+00:20", true},
    {"time", "08:30Z", false},
    {"time", "08:60:00Z", false},
    {"email", "joe.bloggs@example.com", true},
    {"email", "te~st@example.com", true},
    {"email", "\"joe bloggs\"@example.com", true},
    {"email", "\"joe@bloggs\"@example.com", true},
    {"email", "joe@[127.0.0.1]", true},
    {"email", "joe@[IPv6:::1]", true},
    {"email", "joe@[127.0.0.300]", false},
    {"email", ".joe@example.com", false},
    {"email", "joe.@example.com", false},
    {"email", "j..o@example.com", false},
    {"email", "example.com", false},
    {"email", "joe@", false},
    {"email", "joe@exa mple.com", false},
    {"email", "\"\"@example.com", false},
    {"hostname", "www.example.com", true},
    {"hostname", "localhost", true},
    {"hostname", "xn--4gbwdl.xn--wgbh1c", true},
    {"hostname", "-a.example", false},
    {"hostname", "a-.example", false},
    {"hostname", "a..b", false},
    {"hostname", "a.", false},
    {"hostname", "a_b", false},
    {"hostname", "", false},
    {"hostname", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl.com", false},
    {"ipv4", "192.168.0.1", true},
    {"ipv4", "256.0.0.1", false},
    {"ipv4", "1.2.3", false},
    {"ipv4", "087.10.0.1", false},
    {"ipv4", "", false},
    {"ipv6", "::1", true},
    {"ipv6", "2001:db8::ff00:42:8329", true},
    {"ipv6", "::ffff:192.168.0.1", true},
    {"ipv6", "fe80::a%eth1", false},
    {"ipv6", "12345::", false},
    {"ipv6", "1:2:3:4:5:6:7:8:9", false},
    {"uri", "http://foo.bar/?baz=qux#quux", true},
    {"uri", "https://user:pw@[::1]:8080/a%20b", true},
    {"uri", "urn:oasis:names:specification:docbook:dtd:xml:4.1.2", true},
    {"uri", "mailto:a@b.example", true},
    {"uri", "//foo.bar/", false},
    {"uri", "/abc", false},
    {"uri", "http:// a", false},
    {"uri", "http://a.example/%2", false},
    {"uri", "http://a.example:x/", false},
    {"uri", "http://[::1/", false},
    {"uri", "http://[::1]x/", false},
    {"uri", "http://a[b", false},
    {"uri", "http://a/b[c]", false},
    {"uri", "a:b#c#d", false},
    {"uri", ":a", false},
    {"uri", "http://a/é", false},
    {"uuid", "2EB8AA08-aa98-11ea-b4aa-73b441d16380", true},
    {"uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d1638", false},
    {"uuid", "2eb8aa08aa98-11ea-b4aa-73b441d163800", false},
    {"uuid", "2eb8aa08-aa98-11ea-b4ga-73b441d16380", false},
};

Test(json_format, texts_of_each_format)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        const uint32_t format = rc_json_format_find(rc_span_text(cases[i].format));
        cr_assert_gt(format, 0u, "%s", cases[i].format);
        cr_expect_str_eq(rc_json_format_name(format), cases[i].format);
        cr_expect_eq(rc_json_format_valid(format, rc_span_text(cases[i].text)), cases[i].valid, "%s \"%s\"",
                     cases[i].format, cases[i].text);
    }
}

Test(json_format, names_are_those_of_the_table)
{
    cr_expect_eq(rc_json_format_find(RC_SPAN("regex")), 0u);
    cr_expect_eq(rc_json_format_find(RC_SPAN("")), 0u);
    char text[128];
    (void)snprintf(text, sizeof(text), "%s", rc_json_format_names());
    uint32_t count = 0;
    for (char *name = strtok(text, ", "); name != NULL; name = strtok(NULL, ", ")) {
        cr_expect_eq(rc_json_format_find(rc_span_text(name)), ++count, "%s", name);
    }
    cr_expect_eq(count, 9u);
}
