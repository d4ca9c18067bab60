/*
 * Offers of permessage-deflate: any text is declined or answered, and an answer keeps to what was offered and allowed.
 *
 * Input: a byte that picks the policy, then the value of Sec-WebSocket-Extensions.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/http/deflate_offer.h"

static bool is_in(const struct rc_http_extension *offer, const char *name)
{
    for (uint32_t i = 0; i < offer->parameter_count; i++) {
        if (rc_http_view_equals(offer->parameters[i].name, name)) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rc_http_request request;
    struct rc_http_extension offers[RC_HTTP_EXTENSIONS_MAX];
    struct rc_deflate_agreement agreement;
    if (size < 1) {
        return 0;
    }
    const struct rc_deflate_policy policy = {.server_window_bits = (uint8_t)(9 + data[0] % 7),
                                             .client_window_bits = data[0] & 0x40 ? 0 : (uint8_t)(8 + data[0] / 8 % 8),
                                             .serves_256 = data[0] & 0x80};
    char *value = malloc(size);
    RC_ASSERT(value != NULL);
    memcpy(value, data + 1, size - 1);
    request.header_count = 1;
    request.headers[0].name = (struct rc_http_view){"sec-websocket-extensions", 24};
    request.headers[0].value = (struct rc_http_view){value, size - 1};
    const int count = rc_http_upgrade_extensions(&request, offers, RC_HTTP_EXTENSIONS_MAX);
    if (count >= 0 && rc_deflate_offer_choose(offers, (uint32_t)count, &policy, &agreement)) {
        RC_ASSERT(memchr(agreement.answer, '\0', sizeof(agreement.answer)) != NULL);
        RC_ASSERT(agreement.server_window_bits <= policy.server_window_bits);
        RC_ASSERT(agreement.server_window_bits >= (policy.serves_256 ? 8 : 9));
        RC_ASSERT(agreement.client_window_bits >= 8 && agreement.client_window_bits <= 15);
        RC_ASSERT(agreement.client_no_context_takeover || agreement.client_window_bits <= policy.client_window_bits);
        RC_ASSERT(agreement.client_no_context_takeover == (strstr(agreement.answer, "; client_no_context") != NULL));
        /* Some offer must allow each thing that the client has to allow first. */
        bool client_bits = false, server_bits = false, server_fresh = false;
        for (int i = 0; i < count; i++) {
            client_bits = client_bits || is_in(&offers[i], "client_max_window_bits");
            server_bits = server_bits || is_in(&offers[i], "server_max_window_bits");
            server_fresh = server_fresh || is_in(&offers[i], "server_no_context_takeover");
        }
        RC_ASSERT(client_bits || strstr(agreement.answer, "client_max_window_bits") == NULL);
        RC_ASSERT(server_bits || strstr(agreement.answer, "server_max_window_bits") == NULL);
        RC_ASSERT(server_fresh || strstr(agreement.answer, "server_no_context_takeover") == NULL);
        /* What we answer is itself an offer that we would take. */
        request.headers[0].value = (struct rc_http_view){agreement.answer, strlen(agreement.answer)};
        struct rc_deflate_agreement again;
        const int answers = rc_http_upgrade_extensions(&request, offers, RC_HTTP_EXTENSIONS_MAX);
        RC_ASSERT(answers == 1 && rc_deflate_offer_choose(offers, 1, &policy, &again));
        RC_ASSERT(again.server_window_bits == agreement.server_window_bits);
        RC_ASSERT(again.client_no_context_takeover == agreement.client_no_context_takeover);
    }
    free(value);
    return 0;
}
