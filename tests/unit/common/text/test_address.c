/* Addresses of both families as text, from sockets, and with a port. */
#include "common/text/address.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

static struct rc_address address(const char *text)
{
    struct rc_address parsed;
    cr_assert(rc_address_parse(&parsed, text, strlen(text)), "%s", text);
    return parsed;
}

Test(address, both_families_are_read_and_written)
{
    static const char *const vectors[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"2001:DB8:0::1", "2001:db8::1"},
        {"::ffff:c000:201", "192.0.2.1"},
        {"::", "::"},
        {"0.0.0.0", "0.0.0.0"},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(vectors); i++) {
        char text[RC_ADDRESS_TEXT_MAX];
        const struct rc_address parsed = address(vectors[i][0]);
        cr_expect_eq(rc_address_format(text, &parsed), strlen(vectors[i][1]));
        cr_expect_str_eq(text, vectors[i][1]);
    }
    const struct rc_address v4 = address("192.0.2.1"), v6 = address("2001:db8::1");
    cr_expect(rc_address_is_v4(&v4) && !rc_address_is_v4(&v6));
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xC0000201)};
    struct rc_address from;
    cr_assert(rc_address_from_socket(&from, (const struct sockaddr *)&in));
    cr_expect(rc_address_equal(&from, &v4));
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    memcpy(in6.sin6_addr.s6_addr, v6.bytes, 16);
    cr_assert(rc_address_from_socket(&from, (const struct sockaddr *)&in6));
    cr_expect(rc_address_equal(&from, &v6));
    in.sin_family = AF_UNIX;
    cr_expect_not(rc_address_from_socket(&from, (const struct sockaddr *)&in));
}

Test(address, what_is_none_is_refused)
{
    static const char *const wrong[] = {"",           "1.2.3",    "1.2.3.4.5", "256.1.1.1", "01.2.3.4",
                                        "1.2.3.4 ",   " 1.2.3.4", "[::1]",     "::1%lo",    "localhost",
                                        "1.2.3.4:80", "::g",      ":::",       "0x7f.1",    "unknown"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(wrong); i++) {
        struct rc_address parsed;
        cr_expect_not(rc_address_parse(&parsed, wrong[i], strlen(wrong[i])), "%s", wrong[i]);
    }
    struct rc_address parsed;
    cr_expect_not(rc_address_parse(&parsed, "1.2.3.4\0", 8));
}

Test(address, nodes_may_have_a_port)
{
    static const struct {
        const char *text;
        const char *address; /* NULL = none */
    } vectors[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"192.0.2.1:1", "192.0.2.1"},
        {"192.0.2.1:65535", "192.0.2.1"},
        {"2001:db8::1", "2001:db8::1"},
        {"[2001:db8::1]", "2001:db8::1"},
        {"[2001:db8::1]:443", "2001:db8::1"},
        {"[::ffff:192.0.2.1]:1", "192.0.2.1"},
        {"192.0.2.1:", NULL},
        {"192.0.2.1:65536", NULL},
        {"192.0.2.1:123456", NULL},
        {"192.0.2.1:8a", NULL},
        {"[192.0.2.1]:80", NULL},
        {"[2001:db8::1", NULL},
        {"[2001:db8::1]x", NULL},
        {"[2001:db8::1]:", NULL},
        {"[]", NULL},
        {"[", NULL},
        {":80", NULL},
        {"host:80", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(vectors); i++) {
        struct rc_address parsed;
        const size_t n = strlen(vectors[i].text);
        char *exact = malloc(n == 0 ? 1 : n);
        memcpy(exact, vectors[i].text, n);
        const bool read = rc_address_parse_node(&parsed, exact, n);
        cr_expect_eq(read, vectors[i].address != NULL, "%s", vectors[i].text);
        if (read && vectors[i].address != NULL) {
            const struct rc_address expected = address(vectors[i].address);
            cr_expect(rc_address_equal(&parsed, &expected), "%s", vectors[i].text);
        }
        free(exact);
    }
}
