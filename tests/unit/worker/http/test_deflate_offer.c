/*
 * Which offers of permessage-deflate are taken, and what is answered (RFC 7692 5 and 7.1).
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/http/deflate_offer.h"

static const struct rc_deflate_policy full = {.server_window_bits = 15, .client_window_bits = 15, .serves_256 = true};
static const struct rc_deflate_policy none = {.server_window_bits = 15, .client_window_bits = 0, .serves_256 = true};
static const struct rc_deflate_policy small = {.server_window_bits = 12, .client_window_bits = 11, .serves_256 = false};

/* The answer to the header's value, or NULL. The agreement is in `agreement`. */
static struct rc_deflate_agreement agreement;
static const char *answer(const char *offers, const struct rc_deflate_policy *policy)
{
    static struct rc_http_request request;
    struct rc_http_extension extensions[RC_HTTP_EXTENSIONS_MAX];
    request = (struct rc_http_request){.header_count = 1};
    request.headers[0].name = (struct rc_http_view){"Sec-WebSocket-Extensions", 24};
    request.headers[0].value = (struct rc_http_view){offers, strlen(offers)};
    const int count = rc_http_upgrade_extensions(&request, extensions, RC_HTTP_EXTENSIONS_MAX);
    cr_assert_geq(count, 0, "%s", offers);
    memset(&agreement, 0xAA, sizeof(agreement));
    return rc_deflate_offer_choose(extensions, (uint32_t)count, policy, &agreement) ? agreement.answer : NULL;
}

#define PMD "permessage-deflate"
#define TAKEOVER "permessage-deflate"
#define NONE "permessage-deflate; client_no_context_takeover"
#define FRESH "permessage-deflate; server_no_context_takeover"

struct vector {
    const struct rc_deflate_policy *policy;
    const char *offers;
    const char *answer; /* NULL: no offer can be taken */
    unsigned server_bits;
    unsigned client_bits; /* 0: no takeover, does not matter */
};

Test(http_deflate_offer, offers_are_answered_as_the_policy_says)
{
    static const struct vector vectors[] = {
        {&full, PMD, TAKEOVER, 15, 15},
        {&full, PMD "; client_max_window_bits", TAKEOVER, 15, 15}, /* what browsers send */
        {&full, PMD "; client_max_window_bits=15", TAKEOVER, 15, 15},
        {&full, PMD "; client_max_window_bits=\"10\"", TAKEOVER "; client_max_window_bits=10", 15, 10},
        {&full, PMD "; client_max_window_bits=8", TAKEOVER "; client_max_window_bits=8", 15, 8},
        {&full, PMD "; server_no_context_takeover", FRESH, 15, 15}, /* said when asked for, and only then */
        {&none, PMD "; server_no_context_takeover", FRESH "; client_no_context_takeover", 15, 0},
        {&full, PMD "; server_no_context_takeover; unknown, " PMD, TAKEOVER, 15, 15},
        {&full, PMD "; client_no_context_takeover", NONE, 15, 0},
        {&full, PMD "; server_max_window_bits=15", TAKEOVER "; server_max_window_bits=15", 15, 15},
        {&full, PMD "; server_max_window_bits=14", TAKEOVER "; server_max_window_bits=12", 12, 15},
        {&full, PMD "; server_max_window_bits=12", TAKEOVER "; server_max_window_bits=12", 12, 15},
        {&full, PMD "; server_max_window_bits=11", TAKEOVER "; server_max_window_bits=9", 9, 15},
        {&full, PMD "; server_max_window_bits=9", TAKEOVER "; server_max_window_bits=9", 9, 15},
        {&full, PMD "; server_max_window_bits=8", TAKEOVER "; server_max_window_bits=8", 8, 15},
        {&full,
         PMD "; server_max_window_bits=10; client_no_context_takeover; client_max_window_bits=9; "
             "server_no_context_takeover",
         FRESH "; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=9", 9, 0},
        {&none, PMD, NONE, 15, 0},
        {&none, PMD "; client_max_window_bits", NONE, 15, 0},
        {&none, PMD "; client_max_window_bits=10", NONE "; client_max_window_bits=10", 15, 0},
        {&small, PMD, NONE, 12, 0}, /* can not be told of a smaller window: then none is kept */
        {&small, PMD "; client_max_window_bits", TAKEOVER "; client_max_window_bits=11", 12, 11},
        {&small, PMD "; client_max_window_bits=13", TAKEOVER "; client_max_window_bits=11", 12, 11},
        {&small, PMD "; client_max_window_bits=9", TAKEOVER "; client_max_window_bits=9", 12, 9},
        {&small, PMD "; server_max_window_bits=15", NONE "; server_max_window_bits=12", 12, 0},
        {&small, PMD "; server_max_window_bits=8", NULL, 0, 0}, /* this zlib could not */
        /* The next one is tried. */
        {&small, PMD "; server_max_window_bits=8, " PMD "; server_max_window_bits=10",
         NONE "; server_max_window_bits=9", 9, 0},
        {&full, "x-webkit-deflate-frame, " PMD, TAKEOVER, 15, 15},
        {&full, PMD "; unknown, " PMD "; client_no_context_takeover", NONE, 15, 0},
        {&full, PMD "; client_no_context_takeover, " PMD, NONE, 15, 0},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(vectors); i++) {
        const struct vector *const v = &vectors[i];
        const char *const got = answer(v->offers, v->policy);
        if (v->answer == NULL) {
            cr_expect_null(got, "%s -> %s", v->offers, got);
            continue;
        }
        cr_assert_not_null(got, "%s was declined", v->offers);
        cr_expect_str_eq(got, v->answer, "%s -> %s", v->offers, got);
        cr_expect_eq(agreement.server_window_bits, v->server_bits, "%s", v->offers);
        cr_expect_eq(agreement.client_no_context_takeover, v->client_bits == 0, "%s", v->offers);
        if (v->client_bits != 0) {
            cr_expect_eq(agreement.client_window_bits, v->client_bits, "%s", v->offers);
        }
    }
}

Test(http_deflate_offer, offers_that_rfc_7692_forbids_are_declined)
{
    static const char *const parameters[] = {
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=010",
        "server_max_window_bits=1",
        "server_max_window_bits=100",
        "server_max_window_bits=9x",
        "server_max_window_bits=+9",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=0x9",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits=9; client_max_window_bits",
        "client_max_window_bits; client_max_window_bits=9",
        "Server_No_Context_Takeover",
        "mode=fast",
        "a; b; c; d; e; f; g; h",
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(parameters); i++) {
        char offers[300];
        snprintf(offers, sizeof(offers), PMD "; %s", parameters[i]);
        cr_expect_null(answer(offers, &full), "%s -> %s", offers, agreement.answer);
        snprintf(offers, sizeof(offers), PMD "; %s, " PMD "; client_no_context_takeover", parameters[i]);
        const char *const got = answer(offers, &full);
        cr_assert_not_null(got, "%s", offers);
        cr_expect_str_eq(got, NONE, "%s", offers);
    }
    cr_expect_null(answer("permessage-deflate2, Permessage-Deflate, permessage", &full));
    cr_expect_null(answer("", &full));
}
