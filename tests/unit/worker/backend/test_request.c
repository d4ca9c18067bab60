/* The head of a call and its signature. */
#include "worker/backend/request.h"

#include <criterion/criterion.h>
#include <string.h>

static const uint8_t trace[24] = {1, 2, 3, [23] = 0xff};

Test(backend_request, signature_is_hmac_sha256_of_time_and_body)
{
    /* printf '1700000000.{"call":"connect"}' | openssl dgst -sha256 -hmac secret-of-tests */
    static const char expected[] = "c557fc7d7c9893601df3d0e4169c9d3cacceaca7f30417d668ab8e964cc7523d";
    struct rc_backend_signer *signer = rc_backend_signer_open("secret-of-tests");
    char signature[RC_BACKEND_SIGNATURE_BYTES + 1];
    for (int i = 0; i < 2; i++) { /* the second finds the key again */
        cr_assert_eq(rc_backend_sign(signer, "1700000000", RC_SPAN("{\"call\":\"connect\"}"), signature), 0);
        cr_expect_str_eq(signature, expected);
    }
    cr_assert_eq(rc_backend_sign(signer, "1700000001", RC_SPAN("{\"call\":\"connect\"}"), signature), 0);
    cr_expect_str_neq(signature, expected);
    rc_backend_signer_close(signer);
}

static void expect_head(const char *url_text, const char *line, const char *host)
{
    char out[RC_BACKEND_HEAD_MAX];
    struct rc_backend_url url;
    struct rc_err err;
    cr_assert_eq(rc_backend_url_parse(&url, url_text, &err), 0);
    const struct rc_backend_head head = {.url = &url,
                                         .kind = RC_BACKEND_EVENT,
                                         .id = "web1~0-1-2",
                                         .body = RC_SPAN("{}"),
                                         .time_s = 1700000000,
                                         .trace = trace};
    const int bytes = rc_backend_head_write(out, &head);
    cr_assert_gt(bytes, 0);
    cr_expect_eq(strncmp(out, line, strlen(line)), 0, "%s", out);
    cr_expect_not_null(strstr(out, host), "%s in %s", host, out);
    cr_expect_not_null(strstr(out, "\r\ncontent-length: 2\r\n"));
    cr_expect_not_null(
        strstr(out, "\r\nringcast-call: event\r\nringcast-id: web1~0-1-2\r\nringcast-time: 1700000000\r\n"));
    cr_expect_not_null(strstr(out, "\r\ntraceparent: 00-01020300000000000000000000000000-00000000000000ff-00\r\n"));
    cr_expect_null(strstr(out, "signature"));
    cr_expect_eq(memcmp(out + bytes - 2, "\r\n", 2), 0);
}

Test(backend_request, head_names_target_and_host)
{
    expect_head("http://127.0.0.1:3000/ringcast?a=b", "POST /ringcast?a=b HTTP/1.1\r\n",
                "\r\nhost: 127.0.0.1:3000\r\n");
    expect_head("https://app.example", "POST / HTTP/1.1\r\n", "\r\nhost: app.example\r\n");
    expect_head("https://[::1]:8443/x", "POST /x HTTP/1.1\r\n", "\r\nhost: [::1]:8443\r\n");
    expect_head("http://app:443/x", "POST /x HTTP/1.1\r\n", "\r\nhost: app:443\r\n");
    expect_head("unix:/run/app.sock:/r", "POST /r HTTP/1.1\r\n", "\r\nhost: localhost\r\n");
}

Test(backend_request, a_client_s_user_agent_stands_in_place_of_ours)
{
    char out[RC_BACKEND_HEAD_MAX];
    struct rc_backend_url url;
    struct rc_err err;
    cr_assert_eq(rc_backend_url_parse(&url, "http://127.0.0.1:1/", &err), 0);
    struct rc_backend_head head = {
        .url = &url, .kind = RC_BACKEND_CONNECT, .id = "1", .body = RC_SPAN("{}"), .trace = trace};
    cr_assert_gt(rc_backend_head_write(out, &head), 0);
    cr_expect_not_null(strstr(out, "\r\nuser-agent: ringcast\r\n"));
    head.forwarded = RC_SPAN("cookie: user-agent: x\r\n");
    cr_assert_gt(rc_backend_head_write(out, &head), 0);
    cr_expect_not_null(strstr(out, "\r\nuser-agent: ringcast\r\n"));
    head.forwarded = RC_SPAN("cookie: a=b\r\nUser-Agent: Firefox\r\n");
    cr_assert_gt(rc_backend_head_write(out, &head), 0);
    cr_expect_null(strstr(out, "user-agent"));
}

Test(backend_request, the_longest_head_fits)
{
    char text[RC_CONFIG_TEXT_MAX];
    char id[96];
    char out[RC_BACKEND_HEAD_MAX];
    struct rc_backend_url url;
    struct rc_err err;
    memset(text, 'a', sizeof(text));
    memcpy(text, "http://", 7);
    text[127] = '/';
    text[sizeof(text) - 1] = '\0';
    memset(id, 'i', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    cr_assert_eq(rc_backend_url_parse(&url, text, &err), 0);
    struct rc_backend_signer *signer = rc_backend_signer_open("secret-of-tests");
    const struct rc_backend_head head = {.url = &url,
                                         .kind = RC_BACKEND_DISCONNECT,
                                         .id = id,
                                         .body = {.bytes = trace, .count = 1},
                                         .time_s = UINT64_MAX,
                                         .trace = trace,
                                         .signer = signer};
    const int bytes = rc_backend_head_write(out, &head);
    cr_expect_gt(bytes, 0);
    cr_expect_lt((unsigned)bytes, RC_BACKEND_HEAD_MAX);
    cr_expect_eq(strlen(out), (size_t)bytes);
    rc_backend_signer_close(signer);
}
