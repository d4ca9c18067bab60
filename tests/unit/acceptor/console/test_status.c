/* acceptor/status: how ages are shown. */
#include <criterion/criterion.h>

#include "acceptor/console/status.h"

Test(status, ages_have_two_units_at_most)
{
    const struct {
        uint64_t age_ms;
        const char *text;
    } cases[] = {
        {0, "0s"},
        {999, "0s"},
        {59999, "59s"},
        {60000, "1m 0s"},
        {3599999, "59m 59s"},
        {3600000, "1h 0m"},
        {86399999, "23h 59m"},
        {86400000, "1d 0h"},
        {400ull * 86400000 + 5ull * 3600000, "400d 5h"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[32];
        rc_status_format_age(text, sizeof(text), cases[i].age_ms);
        cr_assert_str_eq(text, cases[i].text);
    }
}
