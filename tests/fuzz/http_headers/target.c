/*
 * Headers that say who a client is, whose page asks and what it accepts: forwarded addresses, Origin and CORS, Accept,
 * Accept-Encoding, on any head that parses.
 *
 * Input: a byte that picks policies, then header lines that follow "Host: example.com".
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/http/accept.h"
#include "worker/http/coding.h"
#include "worker/http/cors.h"
#include "worker/http/forwarded.h"

static void check_forwarded(const struct rc_http_request *request, uint32_t sources, bool peer_is_trusted)
{
    static struct rc_cidr_list trusted;
    if (trusted.count == 0) {
        struct rc_config_list entries = {.count = 2};
        strcpy(entries.items[0].text, "10.0.0.0/8");
        strcpy(entries.items[1].text, "fd00::/8");
        RC_ASSERT(rc_cidr_list_compile(&trusted, &entries, NULL) == 0);
    }
    struct rc_address peer;
    struct rc_forwarded out;
    RC_ASSERT(rc_address_parse(&peer, peer_is_trusted ? "10.0.0.1" : "192.0.2.1", peer_is_trusted ? 8 : 9));
    rc_forwarded_client(request, &peer, &trusted, sources, &out);
    RC_ASSERT(peer_is_trusted || (out.hops == 0 && rc_address_equal(&out.client, &peer)));
    RC_ASSERT(out.hops <= RC_FORWARDED_HOPS_MAX && (out.hops == 0) == (out.source == RC_FORWARDED_NONE));
    RC_ASSERT(out.source == RC_FORWARDED_NONE || (out.source & sources));

    /* What a proxy appends decides, whatever the client wrote to the left of it. */
    struct rc_http_request appended = *request;
    if (peer_is_trusted && appended.header_count < RC_HTTP_HEADERS_MAX) {
        static const char address[] = "198.51.100.7";
        appended.headers[appended.header_count++] =
            (struct rc_http_header){{"X-Forwarded-For", 15}, {address, sizeof(address) - 1}};
        const uint32_t all = RC_FORWARDED_X_FORWARDED_FOR | RC_FORWARDED_FORWARDED | RC_FORWARDED_X_REAL_IP;
        rc_forwarded_client(&appended, &peer, &trusted, all, &out);
        char text[RC_ADDRESS_TEXT_MAX];
        rc_address_format(text, &out.client);
        RC_ASSERT(strcmp(text, address) == 0);
    }
}

static void check_cors(const struct rc_http_request *request, uint8_t picks)
{
    static const char *const entries[][2] = {
        {"https://example.com", NULL}, {"https://*.example.com", "http://localhost:3000"}, {"*", NULL}, {NULL, NULL}};
    struct rc_config_list list = {0};
    for (size_t i = 0; i < 2; i++) {
        if (entries[picks & 3][i] != NULL) {
            snprintf(list.items[list.count++].text, RC_CONFIG_TEXT_MAX, "%s", entries[picks & 3][i]);
        }
    }
    const struct rc_cors_policy policy = {.origins = &list,
                                          .methods = "GET, HEAD, POST",
                                          .headers = picks & 4 ? "authorization, content-type" : "",
                                          .credentials = picks & 8,
                                          .max_age_s = picks & 16 ? 60 : 0};
    const size_t capacity = picks & 32 ? 1u + picks : RC_CORS_HEADERS_BYTES_MAX + 70000u;
    char *out = malloc(capacity);
    RC_ASSERT(out != NULL);
    const enum rc_cors_verdict verdict = rc_cors_judge(&policy, request, out, capacity);
    const size_t n = strnlen(out, capacity);
    RC_ASSERT(n < capacity && (n == 0 || (n > 2 && memcmp(out + n - 2, "\r\n", 2) == 0)));
    const bool leave = strstr(out, "Access-Control-Allow-Origin:") != NULL;
    RC_ASSERT(leave == (verdict == RC_CORS_ALLOWED));
    RC_ASSERT(strstr(out, "Allow-Credentials") == NULL || strstr(out, "Allow-Origin: *") == NULL);
    for (size_t i = 0; i < n; i++) { /* nobody smuggles a line of their own into our answer */
        RC_ASSERT(out[i] != '\r' || strncmp(out + i, "\r\nAccess-", 9) == 0 || strncmp(out + i, "\r\nVary: ", 8) == 0 ||
                  i + 2 == n);
    }
    free(out);
}

static void check_accept(const struct rc_http_request *request)
{
    static const char *const types[] = {"text/plain", "application/json"};
    uint32_t specific[2];
    uint32_t quality[2];
    for (size_t i = 0; i < 2; i++) {
        quality[i] = rc_accept_quality(request, types[i], &specific[i]);
        RC_ASSERT(quality[i] <= RC_ACCEPT_QUALITY_MAX && specific[i] <= 3 &&
                  (quality[i] == 0 || specific[i] > 0 || rc_http_header(request, "Accept") == NULL));
    }
    RC_ASSERT(rc_accept_choose(request, types, 2) ==
              (quality[1] > quality[0] || (quality[1] == quality[0] && quality[1] > 0 && specific[1] > specific[0])));
}

/* A coding is only chosen if it, or any, is named, and one that is named alone behind everything else is the one. */
static void check_coding(const struct rc_http_request *request)
{
    static const char *const names[] = {"identity;q=1, gzip;q=0, deflate;q=0, x-gzip;q=0",
                                        "identity;q=0, gzip, deflate;q=0", "identity;q=0, gzip;q=0, deflate"};
    const enum rc_content_coding chosen = rc_content_coding_choose(request);
    RC_ASSERT(chosen <= RC_CODING_DEFLATE);
    RC_ASSERT(chosen == RC_CODING_IDENTITY || rc_http_header(request, "accept-encoding") != NULL);
    struct rc_http_request appended = *request;
    for (size_t i = 0; i < 3 && request->header_count < RC_HTTP_HEADERS_MAX; i++) {
        appended.headers[request->header_count] =
            (struct rc_http_header){{"Accept-Encoding", 15}, {names[i], strlen(names[i])}};
        appended.header_count = request->header_count + 1;
        RC_ASSERT(rc_content_coding_choose(&appended) == (enum rc_content_coding)i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char get[] = "GET / HTTP/1.1\r\nHost: example.com\r\n";
    static const char options[] = "OPTIONS / HTTP/1.1\r\nHost: example.com\r\n";
    static const struct rc_http_limits limits = {.head_bytes_max = RC_HTTP_HEAD_BYTES_MAX, .headers_max = 100};
    static struct rc_http_request request;
    if (size < 1) {
        return 0;
    }
    const char *start = data[0] & 64 ? options : get;
    const size_t start_bytes = strlen(start), n = start_bytes + size - 1 + 4;
    char *head = malloc(n);
    size_t scanned = 0;
    const char *why;
    RC_ASSERT(head != NULL);
    memcpy(head, start, start_bytes);
    memcpy(head + start_bytes, data + 1, size - 1);
    memcpy(head + n - 4, "\r\n\r\n", 4);
    if (rc_http_request_parse((const uint8_t *)head, n, &scanned, &limits, &request, &why) > 0) {
        check_forwarded(&request, data[0] & 7, data[0] & 128);
        check_cors(&request, data[0]);
        check_accept(&request);
        check_coding(&request);
    }
    free(head);
    return 0;
}
