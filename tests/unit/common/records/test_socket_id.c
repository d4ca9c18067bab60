/* Socket ids: two numbers that say which client of which boot it is. */
#include "common/records/socket_id.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define NONCE 0xfedcba98u

static enum rc_client_id_kind read_text(const char *text, struct rc_client_ref *ref)
{
    return rc_socket_id_read(text, strlen(text), NONCE, ref);
}

Test(socket_id, says_who_it_is)
{
    static const struct rc_client_ref refs[] = {
        {.random = 1},
        {.random = UINT64_MAX, .slot = UINT32_MAX, .worker = RC_WORKERS_MAX - 1},
        {.random = 12345678901234567890u, .slot = 7, .worker = 3}};
    for (size_t i = 0; i < sizeof(refs) / sizeof(refs[0]); i++) {
        char text[RC_SOCKET_ID_MAX + 1];
        struct rc_client_ref found;
        const size_t bytes = rc_socket_id_write(text, NONCE, &refs[i]);
        cr_assert_leq(bytes, RC_SOCKET_ID_MAX);
        text[bytes] = '\0';
        cr_assert_eq(strspn(text, "0123456789."), bytes);
        cr_assert_eq(read_text(text, &found), RC_CLIENT_ID_LOCAL, "%s", text);
        cr_assert(found.random == refs[i].random && found.slot == refs[i].slot && found.worker == refs[i].worker);
        cr_assert_eq(rc_any_client_id_read(text, bytes, "host", NONCE, &found), RC_CLIENT_ID_LOCAL);
        cr_assert_eq(rc_socket_id_read(text, bytes, NONCE + 1, &found), RC_CLIENT_ID_FOREIGN);
        char id[RC_CLIENT_ID_MAX];
        const size_t count = rc_client_id_write(id, "host", NONCE, &refs[i]);
        cr_assert_eq(rc_any_client_id_read(id, count, "host", NONCE, &found), RC_CLIENT_ID_LOCAL);
    }
}

Test(socket_id, what_is_none)
{
    struct rc_client_ref ref;
    static const char *const bad[] = {"",
                                      ".",
                                      "1",
                                      "1.",
                                      ".1",
                                      "1.2.3",
                                      "-1.2",
                                      "1.-2",
                                      "a.b",
                                      "1. 2",
                                      "01.2",
                                      "1.02",
                                      "0.1",
                                      "18446744073709551616.1",
                                      "1.1208925819614629174706176",
                                      "111111111111111111111.1",
                                      "1.11111111111111111111111111"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_expect_eq(read_text(bad[i], &ref), RC_CLIENT_ID_INVALID, "%s", bad[i]);
    }
    char text[64];
    const unsigned __int128 place = (unsigned __int128)NONCE << 48 | (unsigned __int128)RC_WORKERS_MAX << 32;
    (void)snprintf(text, sizeof(text), "1.%llu%09llu", (unsigned long long)(place / 1000000000u),
                   (unsigned long long)(place % 1000000000u));
    cr_expect_eq(read_text(text, &ref), RC_CLIENT_ID_INVALID, "no such worker");
}
