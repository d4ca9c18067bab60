/* Lists of ranges against a scan of the ranges one by one. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/text/cidr.h"
#include "common/config/text.h"

static struct rc_address address(const char *text)
{
    struct rc_address parsed;
    cr_assert(rc_address_parse(&parsed, text, strlen(text)), "%s", text);
    return parsed;
}

static void fill(struct rc_config_list *list, uint32_t count, const char *const *texts)
{
    *list = (struct rc_config_list){.count = count};
    for (uint32_t i = 0; i < count; i++) {
        snprintf(list->items[i].text, sizeof(list->items[i].text), "%s", texts[i]);
    }
}

Test(cidr, ranges_contain_their_first_and_last_and_nothing_around)
{
    static const char *const texts[] = {"10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1", "198.51.100.0/23"};
    static const struct {
        const char *text;
        bool in;
    } vectors[] = {
        {"9.255.255.255", false},
        {"10.0.0.0", true},
        {"10.255.255.255", true},
        {"11.0.0.0", false},
        {"192.0.2.0", false},
        {"192.0.2.1", true},
        {"192.0.2.2", false},
        {"::ffff:10.1.1.1", true},
        {"::10.1.1.1", false},
        {"2001:db7:ffff::", false},
        {"2001:db8::", true},
        {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true},
        {"2001:db9::", false},
        {"::1", true},
        {"::", false},
        {"::2", false},
        {"198.51.101.255", true},
        {"198.51.102.0", false},
    };
    struct rc_config_list entries;
    struct rc_cidr_list list;
    fill(&entries, RC_ARRAY_COUNT(texts), texts);
    cr_assert_eq(rc_cidr_list_compile(&list, &entries, NULL), 0);
    cr_expect_eq(list.count, RC_ARRAY_COUNT(texts));
    for (size_t i = 0; i < RC_ARRAY_COUNT(vectors); i++) {
        const struct rc_address a = address(vectors[i].text);
        cr_expect_eq(rc_cidr_list_contains(&list, &a), vectors[i].in, "%s", vectors[i].text);
    }
}

Test(cidr, an_empty_list_contains_nothing_and_a_full_range_everything)
{
    struct rc_cidr_list list = {0};
    const struct rc_address v4 = address("255.255.255.255"), v6 = address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                            zero = address("::");
    cr_expect_not(rc_cidr_list_contains(&list, &v4));
    struct rc_config_list entries;
    fill(&entries, 2, (const char *const[]){"::/0", "10.0.0.0/8"});
    cr_assert_eq(rc_cidr_list_compile(&list, &entries, NULL), 0);
    cr_expect_eq(list.count, 1u);
    cr_expect(rc_cidr_list_contains(&list, &v4) && rc_cidr_list_contains(&list, &v6) &&
              rc_cidr_list_contains(&list, &zero));
    fill(&entries, 1, (const char *const[]){"0.0.0.0/0"});
    cr_assert_eq(rc_cidr_list_compile(&list, &entries, NULL), 0);
    cr_expect(rc_cidr_list_contains(&list, &v4) && !rc_cidr_list_contains(&list, &v6));
}

Test(cidr, neighbours_and_overlaps_become_one_range)
{
    struct rc_config_list entries;
    struct rc_cidr_list list;
    fill(&entries, 5, (const char *const[]){"10.1.0.0/16", "10.0.0.0/16", "10.0.3.0/24", "10.3.0.0/16", "10.0.3.0/24"});
    cr_assert_eq(rc_cidr_list_compile(&list, &entries, NULL), 0);
    cr_expect_eq(list.count, 2u);
}

Test(cidr, random_lists_agree_with_looking_at_each_range)
{
    srand(1);
    for (int round = 0; round < 2000; round++) {
        struct rc_config_list entries = {.count = (uint32_t)(rand() % (RC_CONFIG_LIST_MAX + 1))};
        struct rc_network networks[RC_CONFIG_LIST_MAX];
        for (uint32_t i = 0; i < entries.count; i++) {
            const uint32_t bits = (uint32_t)(rand() % 9), low = (uint32_t)rand() % 256 & (0xFF00u >> bits);
            snprintf(entries.items[i].text, RC_CONFIG_TEXT_MAX, i % 2 ? "10.0.0.%u/%u" : "::%x/%u", low & 0xFF,
                     bits + (i % 2 ? 24 : 120));
            cr_assert_eq(rc_network_parse(&networks[i], entries.items[i].text, strlen(entries.items[i].text), NULL), 0);
        }
        struct rc_cidr_list list;
        cr_assert_eq(rc_cidr_list_compile(&list, &entries, NULL), 0);
        for (unsigned last = 0; last < 256; last++) {
            for (int v6 = 0; v6 < 2; v6++) {
                struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0A000000 | last)};
                struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
                in6.sin6_addr.s6_addr[15] = (uint8_t)last;
                const struct sockaddr *peer = v6 ? (const struct sockaddr *)&in6 : (const struct sockaddr *)&in;
                struct rc_address a;
                rc_address_from_socket(&a, peer);
                bool expected = false;
                for (uint32_t i = 0; i < entries.count; i++) {
                    expected = expected || rc_network_contains(&networks[i], peer);
                }
                if (rc_cidr_list_contains(&list, &a) != expected) {
                    cr_assert_fail("round %d, %s %u", round, v6 ? "::" : "10.0.0.", last);
                }
            }
        }
    }
}

Test(cidr, a_wrong_entry_is_named)
{
    static const char *const wrong[] = {"10.0.0.1/8", "10.0.0.0/33", "banana", "10.0.0.0/", "2001:db8::/129", ""};
    for (size_t i = 0; i < RC_ARRAY_COUNT(wrong); i++) {
        struct rc_config_list entries;
        struct rc_cidr_list list = {.count = 3};
        struct rc_err err = {""};
        fill(&entries, 2, (const char *const[]){"192.0.2.0/24", wrong[i]});
        cr_expect_eq(rc_cidr_list_compile(&list, &entries, &err), -EINVAL);
        char quoted[64];
        snprintf(quoted, sizeof(quoted), "\"%s\": ", wrong[i]);
        cr_expect(strncmp(err.text, quoted, strlen(quoted)) == 0, "%s", err.text);
        cr_expect_eq(list.count, 0u);
        cr_expect_eq(rc_cidr_list_compile(NULL, &entries, NULL), -EINVAL);
    }
}
