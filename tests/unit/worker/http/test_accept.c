/* Which type is the answer: RFC 9110 12.5.1, its own example first. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "worker/http/accept.h"

static struct rc_http_request request;
static char head[2048];

static void parse(const char *lines)
{
    static const struct rc_http_limits limits = {0};
    const char *why = "";
    size_t scanned = 0;
    const int n = snprintf(head, sizeof(head), "GET /metrics HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    cr_assert_gt(rc_http_request_parse((uint8_t *)head, (size_t)n, &scanned, &limits, &request, &why), 0, "%s", why);
}

static uint32_t quality(const char *type)
{
    uint32_t specific;
    return rc_accept_quality(&request, type, &specific);
}

static bool json(const char *accept)
{
    static const char *const types[] = {"text/plain", "application/json"};
    char line[512];
    (void)snprintf(line, sizeof(line), "Accept: %s\r\n", accept);
    parse(line);
    return rc_accept_choose(&request, types, 2) == 1;
}

Test(accept, the_most_specific_range_decides)
{
    parse(
        "Accept: text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, text/plain;format=fixed;q=0.4, */*;q=0.5\r\n");
    cr_expect_eq(quality("text/plain"), 700);
    cr_expect_eq(quality("text/html"), 300);
    cr_expect_eq(quality("image/jpeg"), 500);
    parse("Accept: TEXT/Plain ; Q=0.25 ,\tapplication/* ;q=1.000\r\n");
    cr_expect_eq(quality("text/plain"), 250);
    cr_expect_eq(quality("application/json"), 1000);
    cr_expect_eq(quality("image/png"), 0);
    parse("Accept: text/plain;q=0\r\nAccept: */*;q=0.1\r\n");
    cr_expect_eq(quality("text/plain"), 0, "several headers are one list");
    cr_expect_eq(quality("application/json"), 100);
    parse("");
    cr_expect_eq(quality("text/plain"), 1000, "without the header everything is welcome");
    parse("Accept:\r\n");
    cr_expect_eq(quality("text/plain"), 0);
}

Test(accept, what_is_quoted_separates_nothing)
{
    parse("Accept: text/html;a=\"x,application/json;q=1\\\",\";q=0.5, application/json;a=\"q=0.1\";q=0.2\r\n");
    cr_expect_eq(quality("text/html"), 500);
    cr_expect_eq(quality("application/json"), 200);
    parse("Accept: text/html;a=\"open, application/json\r\n");
    cr_expect_eq(quality("application/json"), 0);
}

Test(accept, a_weight_that_is_none_takes_its_range_along)
{
    static const char *const none[] = {"",   "2",  "1.001", "-1",     "0.1234", "0,5",
                                       ".5", "00", "0x",    "1.0001", "\"1\"",  "0.5 1"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        char accept[64];
        (void)snprintf(accept, sizeof(accept), "application/json;q=%s", none[i]);
        cr_expect_not(json(accept), "%s", accept);
    }
    cr_expect(json("application/json;q=0.001"));
    cr_expect(json("application/json;q=1."));
}

Test(accept, the_client_chooses_and_the_server_between_equals)
{
    cr_expect(json("application/json"));
    cr_expect(json("application/*"));
    cr_expect(json("application/json, */*"), "named before any");
    cr_expect(json("text/html, application/json;q=0.9"));
    cr_expect(json("text/plain;q=0.2, application/json;q=0.3"));
    cr_expect(json("text/plain;q=0, */*"));
    cr_expect_not(json("*/*"));
    cr_expect_not(json("application/json;q=0"));
    cr_expect_not(json("application/json, text/plain"));
    cr_expect_not(json("application/json;q=0.5, text/*;q=0.6"));
    cr_expect_not(json("text/html, application/jsonx"), "of what is accepted nothing is there: the first");
    cr_expect_not(json("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                       "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
                  "Prometheus");
}
