/*
 * Choosing among the offers of permessage-deflate.
 */
#include "worker/http/deflate_offer.h"

#include <stdio.h>

#include "worker/ws/deflate.h"

#define VALUE_NONE 0u /* the parameter came without a value */
#define BITS_MIN RC_DEFLATE_WINDOW_BITS_MIN
#define BITS_MAX RC_DEFLATE_WINDOW_BITS_MAX

/* One offer, understood. */
struct offer {
    bool server_no_takeover;
    bool client_no_takeover;
    bool server_bits_given;
    bool client_bits_given;
    unsigned server_bits;
    unsigned client_bits; /* VALUE_NONE: understood, any size is fine */
};

/* 8 to 15, no leading zero (RFC 7692 7.1.2.1); 0 for anything else. */
static unsigned window_bits(struct rc_http_view value)
{
    if (value.bytes == 1 && (value.text[0] == '8' || value.text[0] == '9')) {
        return (unsigned)(value.text[0] - '0');
    }
    if (value.bytes == 2 && value.text[0] == '1' && value.text[1] >= '0' && value.text[1] <= '5') {
        return 10u + (unsigned)(value.text[1] - '0');
    }
    return 0;
}

/* A parameter that must not come twice, and its value. False: the offer can not be taken. */
static bool take_flag(bool *seen, struct rc_http_view value)
{
    const bool fine = !*seen && value.text == NULL;
    *seen = true;
    return fine;
}

static bool take_bits(bool *seen, unsigned *bits, struct rc_http_view value)
{
    const bool fine = !*seen;
    *seen = true;
    *bits = window_bits(value);
    return fine && *bits != 0;
}

static bool read_offer(const struct rc_http_extension *extension, struct offer *offer)
{
    *offer = (struct offer){.server_bits = BITS_MAX, .client_bits = BITS_MAX};
    for (uint32_t i = 0; i < extension->parameter_count; i++) {
        const struct rc_http_view name = extension->parameters[i].name;
        const struct rc_http_view value = extension->parameters[i].value;
        bool fine = false;
        if (rc_http_view_equals(name, "server_no_context_takeover")) {
            fine = take_flag(&offer->server_no_takeover, value);
        } else if (rc_http_view_equals(name, "client_no_context_takeover")) {
            fine = take_flag(&offer->client_no_takeover, value);
        } else if (rc_http_view_equals(name, "server_max_window_bits")) {
            fine = take_bits(&offer->server_bits_given, &offer->server_bits, value);
        } else if (rc_http_view_equals(name, "client_max_window_bits")) {
            if (value.text == NULL && !offer->client_bits_given) {
                offer->client_bits_given = fine = true;
                offer->client_bits = VALUE_NONE;
            } else {
                fine = take_bits(&offer->client_bits_given, &offer->client_bits, value);
            }
        }
        if (!fine) {
            return false;
        }
    }
    return true;
}

/* The largest window that we compress with and that is not larger than both. 0: none. */
static unsigned server_window(unsigned asked, const struct rc_deflate_policy *policy)
{
    const unsigned most = asked < policy->server_window_bits ? asked : policy->server_window_bits;
    if (most >= 15) {
        return 15;
    }
    if (most >= 12) {
        return 12;
    }
    if (most >= 9) {
        return 9;
    }
    return policy->serves_256 ? 8 : 0;
}

static bool offer_agree(const struct offer *offer, const struct rc_deflate_policy *policy,
                        struct rc_deflate_agreement *agreement)
{
    const unsigned server_bits = server_window(offer->server_bits, policy);
    if (server_bits == 0) {
        return false;
    }
    /* What the client would use if it is told nothing. */
    unsigned client_bits = offer->client_bits == VALUE_NONE ? BITS_MAX : offer->client_bits;
    const bool takeover = !offer->client_no_takeover && policy->client_window_bits >= BITS_MIN &&
                          (client_bits <= policy->client_window_bits || offer->client_bits_given);
    if (takeover && client_bits > policy->client_window_bits) {
        client_bits = policy->client_window_bits;
    }
    agreement->server_window_bits = (uint8_t)server_bits;
    agreement->client_window_bits = (uint8_t)client_bits;
    agreement->client_no_context_takeover = !takeover;

    char server_text[32] = "";
    char client_text[32] = "";
    if (offer->server_bits_given) {
        (void)snprintf(server_text, sizeof(server_text), "; server_max_window_bits=%u", server_bits);
    }
    if (offer->client_bits_given && client_bits < BITS_MAX) {
        (void)snprintf(client_text, sizeof(client_text), "; client_max_window_bits=%u", client_bits);
    }
    (void)snprintf(agreement->answer, sizeof(agreement->answer), "permessage-deflate%s%s%s%s",
                   offer->server_no_takeover ? "; server_no_context_takeover" : "",
                   takeover ? "" : "; client_no_context_takeover", server_text, client_text);
    return true;
}

bool rc_deflate_offer_choose(const struct rc_http_extension *offers, uint32_t count,
                             const struct rc_deflate_policy *policy, struct rc_deflate_agreement *agreement)
{
    for (uint32_t i = 0; i < count; i++) {
        struct offer offer;
        if (rc_http_view_equals(offers[i].name, "permessage-deflate") && read_offer(&offers[i], &offer) &&
            offer_agree(&offer, policy, agreement)) {
            return true;
        }
    }
    return false;
}
