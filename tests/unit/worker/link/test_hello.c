/* How a link begins: signatures to the byte, answers in every piece, what READY must say. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "worker/link/hello.h"

static const struct rc_link_nonces nonces = {.broker = "0123456789abcdef0123456789abcdef",
                                             .application = "fedcba9876543210fedcba9876543210"};
/* Of openssl dgst -sha256 -hmac, over the text of docs/link.md. */
static const char hello[] = "4e209f33899890872ffc1303b3c1943fa1ba56eaf19a82472312dde9ff5a1d7e";
static const char ready[] = "e69e1ea17504454baf5b16d79b0c502e5ff4bc519332e6202e8848c5b98b9df7";

Test(link_hello, signatures_are_those_of_the_page)
{
    char out[RC_LINK_SIGNATURE_BYTES];
    rc_link_sign(out, RC_LINK_SIGNED_HELLO, "a-secret", &nonces, RC_SPAN("{\"version\":1}"));
    cr_assert_arr_eq(out, hello, sizeof(out));
    rc_link_sign(out, RC_LINK_SIGNED_READY, "a-secret", &nonces, RC_SPAN("{\"version\":1}"));
    cr_assert_arr_eq(out, ready, sizeof(out));
}

Test(link_hello, any_of_the_secrets_will_do_and_nothing_else)
{
    struct rc_config_backend backend = {.secret_count = 2};
    const struct rc_span json = RC_SPAN("{\"version\":1}");
    const struct rc_span signature = rc_span_of(ready, RC_LINK_SIGNATURE_BYTES);
    (void)snprintf(backend.secrets[0].text, sizeof(backend.secrets[0].text), "another");
    (void)snprintf(backend.secrets[1].text, sizeof(backend.secrets[1].text), "a-secret");
    cr_assert(rc_link_signature_right(signature, RC_LINK_SIGNED_READY, &backend, &nonces, json));
    cr_assert_not(rc_link_signature_right(signature, RC_LINK_SIGNED_HELLO, &backend, &nonces, json));
    cr_assert_not(
        rc_link_signature_right(signature, RC_LINK_SIGNED_READY, &backend, &nonces, RC_SPAN("{\"version\":2}")));
    struct rc_link_nonces played = nonces;
    played.broker[0] = '1';
    cr_assert_not(rc_link_signature_right(signature, RC_LINK_SIGNED_READY, &backend, &played, json));
    backend.secret_count = 1;
    cr_assert_not(rc_link_signature_right(signature, RC_LINK_SIGNED_READY, &backend, &nonces, json));
}

Test(link_hello, nonces_are_hex_and_differ)
{
    char one[RC_LINK_NONCE_BYTES];
    char other[RC_LINK_NONCE_BYTES];
    rc_link_nonce(one);
    rc_link_nonce(other);
    for (size_t i = 0; i < sizeof(one); i++) {
        cr_assert(one[i] != '\0' && strchr("0123456789abcdef", one[i]) != NULL);
    }
    cr_assert(memcmp(one, other, sizeof(one)) != 0);
}

Test(link_hello, requests_say_who_dials)
{
    struct rc_text text = {0};
    rc_link_request_write(&text, RC_SPAN("/"), RC_SPAN("app"), "web1", 2, nonces.broker);
    static const char wanted[] =
        "GET /.ringcast HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: ringcast-link\r\n"
        "Ringcast-Link: 1\r\nRingcast-Nonce: 0123456789abcdef0123456789abcdef\r\n"
        "Ringcast-Worker: web1/2\r\n\r\n";
    cr_assert_eq(text.count, sizeof(wanted) - 1);
    cr_assert_arr_eq(text.bytes, wanted, sizeof(wanted) - 1);
    rc_text_free(&text);
    rc_link_request_write(&text, RC_SPAN("/x?y"), RC_SPAN("app"), "web1", 2, nonces.broker);
    cr_assert_eq(memcmp(text.bytes, "GET /x?y HTTP", 13), 0);
    rc_text_free(&text);
}

#define DIALLED                                                                                        \
    "GET /.ringcast?worker=1 HTTP/1.1\r\nHost: b\r\nconnection: upgrade\r\nUPGRADE: Ringcast-Link\r\n" \
    "Ringcast-Link: 1\r\nRingcast-Nonce: fedcba9876543210fedcba9876543210\r\n\r\n"

Test(link_hello, requests_of_applications_are_taken_in_any_pieces)
{
    static const char request[] = DIALLED "frames";
    const size_t bytes = sizeof(DIALLED) - 1;
    char nonce[RC_LINK_NONCE_BYTES];
    const char *why;
    for (size_t count = 0; count < bytes; count++) {
        cr_assert_eq(rc_link_request_read(rc_span_of(request, count), nonce, &why), 0, "%zu", count);
    }
    for (size_t count = bytes; count < sizeof(request); count++) {
        cr_assert_eq(rc_link_request_read(rc_span_of(request, count), nonce, &why), (int)bytes);
        cr_assert_arr_eq(nonce, nonces.application, sizeof(nonce));
    }
    struct rc_text text = {0};
    uint32_t status;
    rc_link_answer_write(&text, nonces.broker);
    cr_assert_eq(rc_link_answer_read(rc_span_of(text.bytes, text.count), nonce, &status, &why), (int)text.count);
    cr_assert_arr_eq(nonce, nonces.broker, sizeof(nonce));
    rc_text_free(&text);
}

Test(link_hello, requests_that_are_none_are_refused_with_a_sentence)
{
    static const struct {
        const char *text;
        const char *why;
    } rows[] = {
        {"POST /.ringcast HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: ringcast-link\r\n\r\n",
         "it does not ask for an upgrade to ringcast-link"},
        {"GET /.ringcast HTTP/1.1\r\nHost: b\r\nUpgrade: ringcast-link\r\n\r\n",
         "it does not ask for an upgrade to ringcast-link"},
        {"GET /.ringcast HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: ringcast-link\r\n\r\n",
         "it does not ask for an upgrade to ringcast-link"},
        {"GET /.ringcast HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: ringcast-link\r\n"
         "Ringcast-Link: 2\r\n\r\n",
         "it speaks another version of the link"},
        {"GET /.ringcast HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: ringcast-link\r\n"
         "Ringcast-Link: 1\r\nRingcast-Nonce: FEDC\r\n\r\n",
         "its Ringcast-Nonce is not 32 hex digits"},
        {"\x01\x02\x03\x04garbage\r\n\r\n", NULL},
    };
    char nonce[RC_LINK_NONCE_BYTES];
    const char *why;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_eq(rc_link_request_read(rc_span_text(rows[i].text), nonce, &why), -EBADMSG, "%zu", i);
        cr_assert(why != NULL && (rows[i].why == NULL || strcmp(why, rows[i].why) == 0), "%zu: %s", i, why);
    }
}

Test(link_hello, answers_are_taken_in_any_pieces)
{
    static const char answer[] =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nUPGRADE:\tRingcast-Link \r\n"
        "Ringcast-Nonce: fedcba9876543210fedcba9876543210\r\n\r\nframes";
    const size_t bytes = sizeof(answer) - 1 - strlen("frames");
    char nonce[RC_LINK_NONCE_BYTES];
    uint32_t status;
    const char *why;
    for (size_t count = 0; count < bytes; count++) {
        cr_assert_eq(rc_link_answer_read(rc_span_of(answer, count), nonce, &status, &why), 0, "%zu", count);
    }
    cr_assert_eq(rc_link_answer_read(rc_span_of(answer, sizeof(answer) - 1), nonce, &status, &why), (int)bytes);
    cr_assert_arr_eq(nonce, nonces.application, sizeof(nonce));
    cr_assert_eq(status, 101);
}

Test(link_hello, answers_that_refuse)
{
    static const char *const answers[] = {
        "HTTP/1.1 404 Not Found\r\n\r\n",
        "HTTP/1.1 1o1 Switching Protocols\r\n\r\n",
        "HTTP/1.0 101 Switching Protocols\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "garbage without an end",
        "HTTP/1.1 101 x\r\n\r\n",
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nRingcast-Nonce: fedcba9876543210fedcba9876543210\r\n\r\n",
        "HTTP/1.1 101 x\r\nUpgrade: ringcast-link\r\nRingcast-Nonce: fedcba9876543210fedcba987654321\r\n\r\n",
        "HTTP/1.1 101 x\r\nUpgrade: ringcast-link\r\nRingcast-Nonce: FEDCBA9876543210FEDCBA9876543210\r\n\r\n",
    };
    char nonce[RC_LINK_NONCE_BYTES];
    uint32_t status;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        const char *why = NULL;
        cr_expect_eq(rc_link_answer_read(rc_span_text(answers[i]), nonce, &status, &why), -EBADMSG, "%zu", i);
        cr_expect_not_null(why);
    }
}

Test(link_hello, ready_says_who_it_is)
{
    struct rc_link_ready said;
    const char *why;
    cr_assert_eq(
        rc_link_ready_read(RC_SPAN("{\"version\":1,\"process\":\"a1\",\"asks\":true,\"resume\":true,\"more\":[1],"
                                   "\"options\":{\"a\":1}}"),
                           &said, &why),
        0);
    cr_assert_str_eq(said.process, "a1");
    cr_assert(said.asks && said.resume);
    cr_assert(rc_span_equal(said.options, RC_SPAN("{\"a\":1}")));
    cr_assert_eq(rc_link_ready_read(RC_SPAN("{\"process\":\"a\\u0031\",\"version\":1}"), &said, &why), 0);
    cr_assert_str_eq(said.process, "a1");
    cr_assert_not(said.asks || said.resume);
    static const char *const refused[] = {
        "",
        "[]",
        "{\"version\":1}",
        "{\"version\":2,\"process\":\"a1\"}",
        "{\"version\":\"1\",\"process\":\"a1\"}",
        "{\"version\":1,\"process\":\"\"}",
        "{\"version\":1,\"process\":7}",
        "{\"version\":1,\"process\":\"a \\\"b\"}",
        "{\"version\":1,\"process\":\"a123456789a123456789a123456789a123456789a123456789a123456789a12345\"}",
        "{\"version\":1,\"process\":\"a1\"",
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        cr_expect_eq(rc_link_ready_read(rc_span_text(refused[i]), &said, &why), -EBADMSG, "%zu", i);
        cr_expect_not_null(why);
    }
}
