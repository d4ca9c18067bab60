/*
 * Whose address a request has behind trusted proxies, and what somebody who is not trusted can not make it.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/http/forwarded.h"

#define ALL (RC_FORWARDED_X_FORWARDED_FOR | RC_FORWARDED_FORWARDED | RC_FORWARDED_X_REAL_IP)

/* Trusted: 10.0.0.0/8 and fd00::/8. */
static const char *client(const char *peer, uint32_t sources, const char *headers, struct rc_forwarded *out)
{
    static char text[RC_ADDRESS_TEXT_MAX];
    static struct rc_http_request request;
    static const struct rc_http_limits limits = {0};
    struct rc_config_list entries = {.count = 2};
    struct rc_cidr_list trusted;
    struct rc_address address;
    const char *why = "";
    char head[4096];
    size_t scanned = 0;
    strcpy(entries.items[0].text, "10.0.0.0/8");
    strcpy(entries.items[1].text, "fd00::/8");
    cr_assert_eq(rc_cidr_list_compile(&trusted, &entries, NULL), 0);
    cr_assert(rc_address_parse(&address, peer, strlen(peer)));
    const int n = snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", headers);
    cr_assert_gt(rc_http_request_parse((uint8_t *)head, (size_t)n, &scanned, &limits, &request, &why), 0, "%s", why);
    rc_forwarded_client(&request, &address, &trusted, sources, out);
    rc_address_format(text, &out->client);
    return text;
}

struct vector {
    const char *peer;
    const char *headers;
    const char *client;
    uint32_t hops;
};

static void expect(uint32_t sources, const struct vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct rc_forwarded out;
        cr_expect_str_eq(client(vectors[i].peer, sources, vectors[i].headers, &out), vectors[i].client, "%s",
                         vectors[i].headers);
        cr_expect_eq(out.hops, vectors[i].hops, "%s", vectors[i].headers);
        cr_expect_eq(out.source == RC_FORWARDED_NONE, out.hops == 0);
    }
}

#define XFF "X-Forwarded-For: "

Test(http_forwarded, x_forwarded_for_is_walked_from_the_right_over_trusted_hops)
{
    static const struct vector vectors[] = {
        {"192.0.2.1", XFF "198.51.100.1\r\n", "192.0.2.1", 0}, /* the peer is nobody we know */
        {"10.0.0.1", "", "10.0.0.1", 0},
        {"10.0.0.1", XFF "198.51.100.1\r\n", "198.51.100.1", 1},
        {"fd00::1", XFF "2001:db8::5\r\n", "2001:db8::5", 1},
        {"10.0.0.1", XFF "6.6.6.6, 198.51.100.1\r\n", "198.51.100.1", 1}, /* 6.6.6.6 wrote itself */
        {"10.0.0.1", XFF "6.6.6.6, 198.51.100.1, 10.0.0.2\r\n", "198.51.100.1", 2},
        {"10.0.0.1", XFF "6.6.6.6\r\n" XFF "198.51.100.1\r\n" XFF "10.0.0.2\r\n", "198.51.100.1", 2},
        {"10.0.0.1", XFF "10.0.0.3,10.0.0.2\r\n", "10.0.0.3", 2}, /* a client within the trusted network */
        {"10.0.0.1", XFF " ,, 198.51.100.1 ,,\r\n", "198.51.100.1", 1},
        {"10.0.0.1", XFF "198.51.100.1:4711\r\n", "198.51.100.1", 1},
        {"10.0.0.1", XFF "[2001:db8::5]:4711\r\n", "2001:db8::5", 1},
        {"10.0.0.1", XFF "unknown\r\n", "10.0.0.1", 0},
        {"10.0.0.1", XFF "198.51.100.1, unknown, 10.0.0.2\r\n", "10.0.0.2", 1}, /* the walk ends at what is not read */
        {"10.0.0.1", XFF "\r\n", "10.0.0.1", 0},
        {"10.0.0.1", XFF "\"6.6.6.6, 198.51.100.1\r\n", "198.51.100.1", 1}, /* a quote that swallows nothing */
        {"::ffff:10.0.0.1", XFF "::ffff:198.51.100.1\r\n", "198.51.100.1", 1},
    };
    expect(ALL, vectors, RC_ARRAY_COUNT(vectors));
}

Test(http_forwarded, forwarded_is_read_as_rfc_7239_says)
{
    static const struct vector vectors[] = {
        {"10.0.0.1", "Forwarded: for=198.51.100.1\r\n", "198.51.100.1", 1},
        {"10.0.0.1", "Forwarded: For=\"[2001:db8:cafe::17]:4711\"\r\n", "2001:db8:cafe::17", 1},
        {"10.0.0.1", "Forwarded: for=198.51.100.1;proto=http;by=203.0.113.43\r\n", "198.51.100.1", 1},
        {"10.0.0.1", "Forwarded: by=203.0.113.43; for=\"198.51.100.1:80\"\r\n", "198.51.100.1", 1},
        {"10.0.0.1", "Forwarded: for=6.6.6.6, for=198.51.100.1, for=10.0.0.2\r\n", "198.51.100.1", 2},
        {"10.0.0.1", "Forwarded: for=6.6.6.6\r\nForwarded: for=198.51.100.1\r\n", "198.51.100.1", 1},
        {"10.0.0.1", "Forwarded: for=\"6.6.6.6, for=198.51.100.1\r\n", "198.51.100.1", 1},
        {"10.0.0.1", "Forwarded: for=\"6.6.6.6, for=\"[2001:db8::5]\"\r\n", "2001:db8::5", 1},
        {"10.0.0.1", "Forwarded: for=6.6.6.6;x=\"a,b\", for=198.51.100.1;x=\"c,for=7.7.7.7\"\r\n", "198.51.100.1", 1},
        {"10.0.0.1", "Forwarded: for=198.51.100.1;x=\"a\\\",b\"\r\n", "10.0.0.1", 0}, /* escapes: not understood */
        {"10.0.0.1", "Forwarded: for=unknown\r\n", "10.0.0.1", 0},
        {"10.0.0.1", "Forwarded: for=_hidden, for=10.0.0.2\r\n", "10.0.0.2", 1},
        {"10.0.0.1", "Forwarded: for=198.51.100.1;for=6.6.6.6\r\n", "10.0.0.1", 0},
        {"10.0.0.1", "Forwarded: for=\"2001:db8::1\"\r\n", "10.0.0.1", 0}, /* no brackets */
        {"10.0.0.1", "Forwarded: for=[2001:db8::1]\r\n", "10.0.0.1", 0},   /* no quotes */
        {"10.0.0.1", "Forwarded: for\r\n", "10.0.0.1", 0},
        {"10.0.0.1", "Forwarded: for=\r\n", "10.0.0.1", 0},
        {"10.0.0.1", "Forwarded: proto=https\r\n", "10.0.0.1", 0},
        {"10.0.0.1", "Forwarded: for=198.51.100.1 proto=https\r\n", "10.0.0.1", 0},
    };
    expect(ALL, vectors, RC_ARRAY_COUNT(vectors));
}

Test(http_forwarded, one_header_counts_and_only_those_that_are_believed)
{
    struct rc_forwarded out;
    static const char all[] = "X-Real-IP: 3.3.3.3\r\nForwarded: for=2.2.2.2\r\n" XFF "1.1.1.1\r\n";
    cr_expect_str_eq(client("10.0.0.1", ALL, all, &out), "1.1.1.1");
    cr_expect_eq(out.source, RC_FORWARDED_X_FORWARDED_FOR);
    cr_expect_str_eq(client("10.0.0.1", RC_FORWARDED_FORWARDED | RC_FORWARDED_X_REAL_IP, all, &out), "2.2.2.2");
    cr_expect_eq(out.source, RC_FORWARDED_FORWARDED);
    cr_expect_str_eq(client("10.0.0.1", RC_FORWARDED_X_REAL_IP, all, &out), "3.3.3.3");
    cr_expect_str_eq(client("10.0.0.1", RC_FORWARDED_NONE, all, &out), "10.0.0.1");
    /* What is there but broken is not made up for by another header: that one would be the client's. */
    cr_expect_str_eq(client("10.0.0.1", ALL, XFF "x\r\nX-Real-IP: 3.3.3.3\r\n", &out), "10.0.0.1");
    /* X-Real-IP is one address. */
    cr_expect_str_eq(client("10.0.0.1", ALL, "X-Real-IP: 3.3.3.3, 10.0.0.9\r\n", &out), "10.0.0.9");
}

Test(http_forwarded, a_walk_has_an_end)
{
    struct rc_forwarded out;
    char headers[2000] = XFF "1.1.1.1";
    for (int i = 0; i < 100; i++) {
        strcat(headers, ",10.0.0.9");
    }
    strcat(headers, "\r\n");
    cr_expect_str_eq(client("10.0.0.1", ALL, headers, &out), "10.0.0.9");
    cr_expect_eq(out.hops, RC_FORWARDED_HOPS_MAX);
}
