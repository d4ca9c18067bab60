/* CORS: what is answered to whose scripts. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/http/cors.h"

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

static char headers[RC_CORS_HEADERS_BYTES_MAX];
static enum rc_cors_verdict judge(const struct rc_cors_policy *policy, const char *method, const char *lines)
{
    static struct rc_http_request request;
    static const struct rc_http_limits limits = {0};
    static char head[2048];
    const char *why = "";
    size_t scanned = 0;
    const int n = snprintf(head, sizeof(head), "%s /api/x HTTP/1.1\r\nHost: api.example.com\r\n%s\r\n", method, lines);
    cr_assert_gt(rc_http_request_parse((uint8_t *)head, (size_t)n, &scanned, &limits, &request, &why), 0, "%s", why);
    for (size_t capacity = 0; capacity < 400; capacity++) {
        char *small = malloc(capacity == 0 ? 1 : capacity);
        rc_cors_judge(policy, &request, small, capacity);
        free(small);
    }
    return rc_cors_judge(policy, &request, headers, sizeof(headers));
}

#define ORIGIN "Origin: https://app.example.com\r\n"
#define PREFLIGHT ORIGIN "Access-Control-Request-Method: POST\r\n"
#define VARY_PREFLIGHT "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n"

Test(http_cors, answers_to_simple_requests)
{
    const struct rc_config_list some = list_of("https://app.example.com", "https://*.example.org");
    const struct rc_config_list any = list_of("*", NULL), none = {0};
    struct rc_cors_policy policy = {.origins = &some, .methods = "GET, HEAD, POST", .headers = "authorization"};
    cr_expect_eq(judge(&policy, "GET", ""), RC_CORS_NONE);
    cr_expect_str_eq(headers, "Vary: Origin\r\n");
    cr_expect_eq(judge(&policy, "GET", ORIGIN), RC_CORS_ALLOWED);
    cr_expect_str_eq(headers, "Access-Control-Allow-Origin: https://app.example.com\r\nVary: Origin\r\n");
    cr_expect_eq(judge(&policy, "POST", "Origin: https://x.y.example.org\r\n"), RC_CORS_ALLOWED);
    cr_expect_eq(judge(&policy, "GET", "Origin: https://evil.example\r\n"), RC_CORS_REFUSED);
    cr_expect_str_eq(headers, "Vary: Origin\r\n");
    cr_expect_eq(judge(&policy, "GET", ORIGIN ORIGIN), RC_CORS_REFUSED);
    cr_expect_eq(judge(&policy, "GET", "Origin:\r\n"), RC_CORS_REFUSED);
    policy.credentials = true;
    cr_expect_eq(judge(&policy, "GET", ORIGIN), RC_CORS_ALLOWED);
    cr_expect_str_eq(headers, "Access-Control-Allow-Origin: https://app.example.com\r\n"
                              "Access-Control-Allow-Credentials: true\r\nVary: Origin\r\n");
    policy.credentials = false;
    policy.origins = &any;
    cr_expect_eq(judge(&policy, "GET", "Origin: null\r\n"), RC_CORS_ALLOWED);
    cr_expect_str_eq(headers, "Access-Control-Allow-Origin: *\r\n");
    policy.origins = &none;
    cr_expect_eq(judge(&policy, "GET", ORIGIN), RC_CORS_REFUSED);
    cr_expect_eq(judge(&policy, "GET", "Origin: https://api.example.com\r\n"), RC_CORS_ALLOWED);
}

Test(http_cors, answers_to_preflights)
{
    const struct rc_config_list some = list_of("https://app.example.com", NULL);
    struct rc_cors_policy policy = {
        .origins = &some, .methods = "GET, HEAD, POST", .headers = "Authorization, content-type", .max_age_s = 600};
    cr_expect_eq(judge(&policy, "OPTIONS", PREFLIGHT), RC_CORS_ALLOWED);
    cr_expect_str_eq(headers, "Access-Control-Allow-Origin: https://app.example.com\r\n"
                              "Access-Control-Allow-Methods: GET, HEAD, POST\r\n"
                              "Access-Control-Allow-Headers: Authorization, content-type\r\n"
                              "Access-Control-Max-Age: 600\r\n" VARY_PREFLIGHT);
    cr_expect_eq(judge(&policy, "OPTIONS", PREFLIGHT "Access-Control-Request-Headers: authorization,Content-Type\r\n"),
                 RC_CORS_ALLOWED);
    static const char *const refused[] = {
        PREFLIGHT "Access-Control-Request-Headers: authorization, x-other\r\n",
        PREFLIGHT "Access-Control-Request-Headers: authorization\r\nAccess-Control-Request-Headers: x\r\n",
        PREFLIGHT "Access-Control-Request-Method: GET\r\n",
        ORIGIN "Access-Control-Request-Method: DELETE\r\n",
        ORIGIN "Access-Control-Request-Method: post\r\n",
        ORIGIN "Access-Control-Request-Method:\r\n",
        ORIGIN "Access-Control-Request-Method: GET, HEAD\r\n",
        "Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n",
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(refused); i++) {
        cr_expect_eq(judge(&policy, "OPTIONS", refused[i]), RC_CORS_REFUSED, "%s", refused[i]);
        cr_expect_str_eq(headers, VARY_PREFLIGHT);
    }
    /* OPTIONS that is no preflight. */
    cr_expect_eq(judge(&policy, "OPTIONS", ORIGIN), RC_CORS_ALLOWED);
    cr_expect_null(strstr(headers, "Allow-Methods"));
}

Test(http_cors, a_star_gives_no_credentials_away_whatever_the_policy_says)
{
    const struct rc_config_list any = list_of("https://a.example", "*");
    const struct rc_cors_policy policy = {.origins = &any, .methods = "GET", .headers = "", .credentials = true};
    cr_expect_eq(judge(&policy, "GET", ORIGIN), RC_CORS_ALLOWED);
    cr_expect_str_eq(headers, "Access-Control-Allow-Origin: *\r\n");
}
