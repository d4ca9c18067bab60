/* Origins: entries match what they say and nothing more. */
#include <criterion/criterion.h>

#include <stdio.h>

#include "common/base/check.h"
#include "worker/http/origin.h"

static struct rc_config_list list_of(const char *a, const char *b)
{
    struct rc_config_list list = {0};
    if (a != NULL) {
        snprintf(list.items[list.count++].text, RC_CONFIG_TEXT_MAX, "%s", a);
    }
    if (b != NULL) {
        snprintf(list.items[list.count++].text, RC_CONFIG_TEXT_MAX, "%s", b);
    }
    return list;
}

Test(http_origin, entries_match_what_they_say_and_nothing_more)
{
    static const struct {
        const char *entry; /* NULL = no entry */
        const char *origin;
        const char *host;
        bool allowed;
    } vectors[] = {
        {"https://example.com", "https://example.com", "x", true},
        {"https://example.com", "HTTPS://Example.COM", "x", true},
        {"https://example.com", "http://example.com", "x", false},
        {"https://example.com", "https://example.com:8443", "x", false},
        {"https://example.com", "https://example.com.evil.org", "x", false},
        {"https://example.com", "https://sub.example.com", "x", false},
        {"https://example.com", "https://example.co", "example.com", false},
        {"https://example.com", "null", "x", false},
        {"https://example.com", "", "x", true},
        {"https://*.example.com", "https://a.example.com", "x", true},
        {"https://*.example.com", "https://A.b.EXAMPLE.com", "x", true},
        {"https://*.example.com", "https://example.com", "x", false},
        {"https://*.example.com", "https://.example.com", "x", false},
        {"https://*.example.com", "https://evilexample.com", "x", false},
        {"https://*.example.com", "https://a..example.com", "x", false},
        {"https://*.example.com", "https://evil.org/.example.com", "x", false},
        {"https://*.example.com", "https://evil.org:80#.example.com", "x", false},
        {"https://*.example.com", "https://user@a.example.com", "x", false},
        {"https://*.example.com", "http://a.example.com", "x", false},
        {"https://*.example.com", "https://a.example.com:8443", "x", false},
        {"https://*.example.com:8443", "https://a.example.com:8443", "x", true},
        {"https://*.example.com", "https://a.example.com.evil.org", "x", false},
        {"*", "https://anything", "x", true},
        {"*", "null", "x", true},
        {"null", "null", "x", true},
        {"null", "file://", "x", false},
        {"file://", "file://", "x", true},
        {"file://", "file:///", "x", true},
        {"file://", "null", "x", false},
        {"capacitor://localhost", "capacitor://localhost", "x", true},
        {"capacitor://localhost", "ionic://localhost", "x", false},
        {"capacitor://localhost", "http://localhost", "x", false},
        {"https://example.com", "https://example.com:443", "x", true},
        {"https://example.com", "wss://example.com:443", "x", true},
        {"https://example.com", "wss://EXAMPLE.com", "x", true},
        {"https://example.com", "ws://example.com", "x", false},
        {"https://example.com", "ws://example.com:443", "x", false},
        {"http://example.com", "ws://example.com:80", "x", true},
        {"https://*.example.com", "wss://a.example.com:443", "x", true},
        {"https://*.example.com", "https://*.example.com", "x", false},
        {NULL, "ws://example.com", "example.com", true},
        {NULL, "ws://127.0.0.1:8080", "127.0.0.1:8080", true},
        {NULL, "ws://example.com:80", "example.com", true},
        {NULL, "wss://example.com:443", "example.com", true},
        {NULL, "wss://example.com", "example.com:443", true},
        {NULL, "ws://example.com", "example.com:443", false},
        {NULL, "ws://other.com", "example.com", false},
        {NULL, "http://example.com:80", "Example.com", true},
        {NULL, "http://[::1]:8080", "[::1]:8080", true},
        {NULL, "http://[::1]", "[::1]:80", true},
        {NULL, "file://", "", false},
        {NULL, "https://example.com", "example.com", true},
        {NULL, "http://Example.com:8080", "example.com:8080", true},
        {NULL, "https://example.com", "example.com:443", true},
        {NULL, "http://example.com", "example.com:80", true},
        {NULL, "https://example.com", "example.com:80", false},
        {NULL, "http://example.com", "example.com:8080", false},
        {NULL, "https://example.com:8080", "example.com", false},
        {NULL, "https://example.com", "", false},
        {NULL, "https://", "", false},
        {NULL, "chrome-extension://example.com", "example.com", false},
        {NULL, "null", "null", false},
        {NULL, "", "example.com", true},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(vectors); i++) {
        const struct rc_config_list list = list_of(vectors[i].entry, NULL);
        cr_expect_eq(rc_origin_allowed(&list, rc_span_text(vectors[i].origin), rc_span_text(vectors[i].host)),
                     vectors[i].allowed, "%s: %s at %s", vectors[i].entry, vectors[i].origin, vectors[i].host);
    }
}

Test(http_origin, a_page_of_the_server_itself_is_known)
{
    cr_expect(rc_origin_own(RC_SPAN("http://x:8080"), RC_SPAN("x:8080")));
    cr_expect(rc_origin_own(RC_SPAN("https://X"), RC_SPAN("x:443")));
    cr_expect_not(rc_origin_own(RC_SPAN("http://x:8081"), RC_SPAN("x:8080")));
    cr_expect_not(rc_origin_own(RC_SPAN("null"), RC_SPAN("x")));
    cr_expect_not(rc_origin_own(RC_SPAN(""), RC_SPAN("x")), "no page asks");
}

Test(http_origin, a_star_among_the_entries_is_all)
{
    struct rc_config_list list = list_of("https://a.example", "*");
    cr_assert(rc_origin_any(&list));
    cr_assert(rc_origin_allowed(&list, RC_SPAN("https://b.example"), RC_SPAN("x")));
    list = list_of("https://*.example", NULL);
    cr_assert_not(rc_origin_any(&list));
    list = list_of(NULL, NULL);
    cr_assert_not(rc_origin_any(&list));
}
