/*
 * The opening handshake on any head that parses: it is refused with a reason or let in with an answer that is sound.
 *
 * Input: one byte that picks the policy, then the headers that follow a fixed request line and the handshake's fixed
 * headers (bit 7 clear), or a whole head (bit 7 set).
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/http/parse.h"
#include "worker/http/upgrade.h"

static void check_view(struct rc_http_view view, const char *head, size_t n)
{
    if (view.bytes != 0) {
        RC_ASSERT(view.text >= head && view.text + view.bytes <= head + n);
    }
}

static void check_extensions(const struct rc_http_upgrade *upgrade, const char *head, size_t n)
{
    RC_ASSERT(upgrade->extension_count <= RC_HTTP_EXTENSIONS_MAX);
    for (uint32_t i = 0; i < upgrade->extension_count; i++) {
        const struct rc_http_extension *offer = &upgrade->extensions[i];
        check_view(offer->name, head, n);
        RC_ASSERT(rc_http_view_is_token(offer->name));
        RC_ASSERT(offer->parameter_count <= RC_HTTP_EXTENSION_PARAMETERS_MAX);
        for (uint32_t j = 0; j < offer->parameter_count; j++) {
            check_view(offer->parameters[j].name, head, n);
            check_view(offer->parameters[j].value, head, n);
            RC_ASSERT(rc_http_view_is_token(offer->parameters[j].name));
            RC_ASSERT(offer->parameters[j].value.text == NULL || rc_http_view_is_token(offer->parameters[j].value));
        }
    }
}

static void check_response(const struct rc_http_upgrade *upgrade, size_t capacity)
{
    char *response = malloc(capacity);
    RC_ASSERT(response != NULL);
    size_t n = rc_http_upgrade_response(upgrade, response, capacity);
    RC_ASSERT(n <= capacity);
    RC_ASSERT(capacity < 512 || n > 0);
    if (n > 0) {
        RC_ASSERT(memcmp(response, "HTTP/1.1 101 ", 13) == 0 && memcmp(response + n - 4, "\r\n\r\n", 4) == 0);
    }
    free(response);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char start[] = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    static const char *const spoken[] = {"ringcast.v1", "raw"};
    static const struct rc_http_limits limits = {0};
    static struct rc_http_request request;
    static struct rc_http_upgrade upgrade;
    if (size < 1) {
        return 0;
    }
    const struct rc_http_upgrade_policy policy = {.subprotocols = spoken, .subprotocol_count = data[0] & 0x03 ? 2 : 0};
    bool whole_head = data[0] & 0x80;
    size_t start_bytes = whole_head ? 0 : sizeof(start) - 1, n = start_bytes + size - 1, scanned = 0;
    const char *why = NULL;

    if (n == 0) {
        return 0;
    }
    char *head = malloc(n);
    RC_ASSERT(head != NULL);
    memcpy(head, start, start_bytes);
    memcpy(head + start_bytes, data + 1, size - 1);
    if (rc_http_request_parse((const uint8_t *)head, n, &scanned, &limits, &request, &why) > 0) {
        int outcome = rc_http_upgrade_check(&request, &policy, &upgrade);
        if (outcome < 0) {
            RC_ASSERT(upgrade.why != NULL && upgrade.failure_headers != NULL);
            RC_ASSERT(outcome == -400 || outcome == -405 || outcome == -426);
        } else {
            RC_ASSERT(outcome == 0 && rc_http_upgrade_wanted(&request));
            RC_ASSERT(strlen(upgrade.accept) == RC_HTTP_ACCEPT_BYTES);
            check_view(upgrade.origin, head, n);
            check_extensions(&upgrade, head, n);
            check_response(&upgrade, 512);
            check_response(&upgrade, 1 + data[0]);
        }
    }
    free(head);
    return 0;
}
