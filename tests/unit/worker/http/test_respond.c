/*
 * Responses, byte for byte, and with every capacity too small.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/http/respond.h"

static void expect(const struct rc_http_response *response, const char *expected)
{
    size_t n = strlen(expected);
    for (size_t capacity = 0; capacity <= n + 1; capacity++) {
        char *buffer = malloc(capacity + 1);
        size_t written = rc_http_respond(buffer, capacity, response);
        cr_assert_eq(written, capacity < n ? 0 : n, "%zu of %zu at capacity %zu:\n%.*s", written, n, capacity,
                     (int)written, buffer);
        if (written != 0) {
            cr_assert_arr_eq(buffer, expected, n);
        }
        free(buffer);
    }
}

Test(http_respond, a_page)
{
    const struct rc_http_response response = {.status = 200,
                                              .content_type = "text/html; charset=utf-8",
                                              .body = "<p>hi",
                                              .body_bytes = 5,
                                              .keep_alive = true,
                                              .cacheable = true,
                                              .date = "Sun, 06 Nov 1994 08:49:37 GMT",
                                              .headers = "ETag: \"1\"\r\nVary: Accept\r\n"};
    expect(&response, "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                      "Content-Type: text/html; charset=utf-8\r\nContent-Length: 5\r\nConnection: keep-alive\r\n"
                      "X-Content-Type-Options: nosniff\r\nETag: \"1\"\r\nVary: Accept\r\n\r\n<p>hi");
}

Test(http_respond, every_optional_header)
{
    const struct rc_http_response response = {.status = 405, .allow = "GET, HEAD", .retry_after_s = 120};
    expect(&response, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n"
                      "Allow: GET, HEAD\r\nRetry-After: 120\r\nCache-Control: no-store\r\n"
                      "X-Content-Type-Options: nosniff\r\n\r\n");
}

Test(http_respond, what_can_be_upgraded_to_is_of_this_connection)
{
    const struct rc_http_response stays = {.status = 426, .keep_alive = true, .headers = "Upgrade: websocket\r\n"};
    expect(&stays, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: keep-alive, Upgrade\r\n"
                   "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nUpgrade: websocket\r\n\r\n");
    const struct rc_http_response ends = {.status = 426};
    expect(&ends, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: close, Upgrade\r\n"
                  "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n");
}

Test(http_respond, head_has_the_length_and_no_body)
{
    const struct rc_http_response response = {.status = 200, .body = "12345", .body_bytes = 5, .head = true};
    expect(&response, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\nCache-Control: no-store\r\n"
                      "X-Content-Type-Options: nosniff\r\n\r\n");
}

Test(http_respond, a_body_that_the_caller_sends_itself)
{
    const struct rc_http_response response = {.status = 200, .body_bytes = 18446744073709551615u};
    expect(&response, "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\nConnection: close\r\n"
                      "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n");
}

Test(http_respond, no_length_where_no_body_can_be)
{
    const struct rc_http_response none = {.status = 204, .keep_alive = true, .body = "x", .body_bytes = 1};
    expect(&none, "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\nCache-Control: no-store\r\n"
                  "X-Content-Type-Options: nosniff\r\n\r\n");
    const struct rc_http_response go_on = {.status = 100, .keep_alive = true};
    expect(&go_on, "HTTP/1.1 100 Continue\r\n\r\n");
}

Test(http_respond, statuses)
{
    cr_assert_str_eq(rc_http_status_text(404), "Not Found");
    cr_assert_str_eq(rc_http_status_reason(404), "not_found");
    cr_assert_str_eq(rc_http_status_text(299), "Unknown");
    cr_assert_str_eq(rc_http_status_reason(299), "unknown");
    /* Whatever the parsers refuse with has its own words. */
    static const uint16_t used[] = {400, 405, 413, 414, 417, 426, 431, 500, 501, 503, 505};
    for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++) {
        cr_assert_str_neq(rc_http_status_text(used[i]), "Unknown");
    }
}

static void expect_error_body(const char *message, const char *expected)
{
    char *buffer = malloc(4096);
    const struct rc_http_response response = {.status = 404, .body = "ignored", .body_bytes = 7};
    size_t n = rc_http_respond_error(buffer, 4095, &response, message);
    cr_assert_gt(n, 0);
    buffer[n] = '\0';
    const char *body = strstr(buffer, "\r\n\r\n");
    cr_assert_not_null(body);
    cr_expect_str_eq(body + 4, expected);
    const char *length = strstr(buffer, "Content-Length: ");
    cr_assert_not_null(length);
    cr_expect_eq(strtoul(length + 16, NULL, 10), strlen(body + 4));
    cr_expect_not_null(strstr(buffer, "Content-Type: application/json\r\n"));
    free(buffer);
}

Test(http_respond, error_bodies)
{
    expect_error_body("nothing at this path", "{\"error\":{\"code\":404,\"reason\":\"not_found\","
                                              "\"message\":\"nothing at this path\"}}\n");
    expect_error_body(NULL, "{\"error\":{\"code\":404,\"reason\":\"not_found\",\"message\":\"Not Found\"}}\n");
    expect_error_body("a \"b\" \\ \n\x01 \xC3\xA4", "{\"error\":{\"code\":404,\"reason\":\"not_found\","
                                                    "\"message\":\"a \\\"b\\\" \\\\ \\u000a\\u0001 \xC3\xA4\"}}\n");
}

Test(http_respond, long_messages_are_cut_between_code_points_and_the_worst_fits)
{
    char message[1001], expected[4096];
    for (int i = 0; i < 500; i++) {
        memcpy(message + 2 * i, "\xC3\xA4", 2);
    }
    message[1000] = '\0';
    snprintf(expected, sizeof(expected), "{\"error\":{\"code\":404,\"reason\":\"not_found\",\"message\":\"%.512s\"}}\n",
             message);
    expect_error_body(message, expected);
    message[0] = 'x';
    message[1] = 'x';
    message[2] = 'x'; /* now the 512th byte begins a code point */
    memmove(message + 3, message + 4, 997);
    snprintf(expected, sizeof(expected), "{\"error\":{\"code\":404,\"reason\":\"not_found\",\"message\":\"%.511s\"}}\n",
             message);
    expect_error_body(message, expected);

    memset(message, 0x01, 1000);
    char *buffer = malloc(4096);
    const struct rc_http_response response = {.status = 404};
    cr_assert_gt(rc_http_respond_error(buffer, 4096, &response, message), 3072);
    cr_assert_eq(rc_http_respond_error(buffer, 3000, &response, message), 0);
    free(buffer);
}

Test(http_respond, dates)
{
    struct rc_http_date cache = {0};
    cr_assert_str_eq(rc_http_date_at(&cache, 0), "Thu, 01 Jan 1970 00:00:00 GMT");
    cr_assert_str_eq(rc_http_date_at(&cache, 784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
    cr_assert_str_eq(rc_http_date_at(&cache, 1709164800), "Thu, 29 Feb 2024 00:00:00 GMT");
    cr_assert_str_eq(rc_http_date_at(&cache, 4102444799), "Thu, 31 Dec 2099 23:59:59 GMT");
    cr_assert_str_eq(rc_http_date_at(&cache, 253402300799), "Fri, 31 Dec 9999 23:59:59 GMT");
    cr_assert_eq(strlen(rc_http_date_at(&cache, INT64_MAX)), RC_HTTP_DATE_BYTES);
    cr_assert_eq(strlen(rc_http_date_at(&cache, INT64_MIN)), RC_HTTP_DATE_BYTES);
    /* The same second gives the same text without work. */
    const char *text = rc_http_date_at(&cache, 784111777);
    cache.text[0] = '?';
    cr_assert_str_eq(rc_http_date_at(&cache, 784111777), "?un, 06 Nov 1994 08:49:37 GMT");
    cr_assert_eq(text, cache.text);
}
