/* Session ids: 20 characters that name a client of a host and are read back exactly. */
#include "common/records/sid.h"

#include <criterion/criterion.h>
#include <string.h>

static struct rc_sid read_back(const char text[RC_SID_BYTES])
{
    struct rc_sid sid;
    cr_assert(rc_sid_read(&sid, rc_span_of(text, RC_SID_BYTES)));
    return sid;
}

Test(sid, every_part_comes_back)
{
    char instance[RC_SID_INSTANCE_BYTES];
    rc_sid_instance(instance, "web1");
    static const uint64_t randoms[] = {1, UINT64_MAX >> 2, 0x0123456789abcdefu, 1ull << 61};
    static const uint32_t slots[] = {0, 1, 4095, RC_SID_SLOT_MAX};
    for (uint32_t worker = 0; worker < RC_WORKERS_MAX; worker++) {
        for (size_t i = 0; i < 4; i++) {
            const struct rc_client_ref client = {
                .random = randoms[i], .slot = slots[3 - i], .worker = (uint16_t)worker};
            char text[RC_SID_BYTES];
            rc_sid_write(text, instance, &client);
            for (size_t k = 0; k < sizeof(text); k++) {
                cr_assert(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", text[k]) != NULL);
            }
            const struct rc_sid sid = read_back(text);
            cr_assert(rc_sid_is_of(&sid, instance));
            cr_assert_eq(sid.client.random, client.random);
            cr_assert_eq(sid.client.slot, client.slot);
            cr_assert_eq(sid.client.worker, client.worker);
        }
    }
}

Test(sid, an_instance_is_the_same_five_characters_on_every_host)
{
    char one[RC_SID_INSTANCE_BYTES];
    char other[RC_SID_INSTANCE_BYTES];
    rc_sid_instance(one, "web1");
    rc_sid_instance(other, "web2");
    cr_assert_arr_neq(one, other, sizeof(one));
    cr_assert_arr_eq(one, "pXo6G", sizeof(one), "%.5s: a number that other hosts rely on has changed", one);
    const struct rc_client_ref client = {.random = 7, .slot = 3, .worker = 2};
    char text[RC_SID_BYTES];
    rc_sid_write(text, one, &client);
    const struct rc_sid sid = read_back(text);
    cr_assert(!rc_sid_is_of(&sid, other));
}

Test(sid, what_is_no_sid_is_refused)
{
    static const char *const cases[] = {"",
                                        "AAAAAAAAAAAAAAAAAAA",
                                        "AAAAAAAAAAAAAAAAAAAAA",
                                        "AAAAAAAAAAAAAAAAAAA=",
                                        "AAAAAAAAAAAAAAAAAAA ",
                                        "__proto__",
                                        "+AAAAAAAAAAAAAAAAAAA",
                                        "AAAAAAAAAA\303\244AAAAAAAA",
                                        "toString"};
    struct rc_sid sid;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert(!rc_sid_read(&sid, rc_span_text(cases[i])), "%s", cases[i]);
    }
}

Test(sid, a_namespace_has_a_token_of_its_own)
{
    const uint64_t random = 0x1122334455667788u;
    cr_assert_eq(rc_sid_token(random, RC_SPAN("/"), 0), random);
    const uint64_t admin = rc_sid_token(random, RC_SPAN("/admin"), 0);
    cr_assert_neq(admin, random);
    cr_assert_eq(admin, rc_sid_token(random, RC_SPAN("/admin"), 0));
    cr_assert_neq(admin, rc_sid_token(random, RC_SPAN("/chat"), 0));
    cr_assert_neq(admin, rc_sid_token(random + 1, RC_SPAN("/admin"), 0));
    cr_assert_neq(admin, 0);
    cr_assert_neq(rc_sid_token(random, RC_SPAN("/"), 1), random);
    cr_assert_neq(rc_sid_token(random, RC_SPAN("/admin"), 1), admin);
}
