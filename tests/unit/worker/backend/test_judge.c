/* What a call that has ended says of its backend. */
#include "worker/backend/judge.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "common/base/check.h"
#include "tests/support/backend_rig.h"

TestSuite(judge, .init = begin, .fini = finish);

/* What its caller cannot make anything of is a failure: it is counted, and the breaker hears of it. */
Test(judge, a_status_that_answers_no_such_call_is_a_failure)
{
    static const uint16_t statuses[] = {200, 201, 204, 302, 400, 401, 404, 500};
    static const struct {
        enum rc_backend_call_kind kind;
        bool answers[RC_ARRAY_COUNT(statuses)];
    } cases[] = {
        {RC_BACKEND_CONNECT, {true, false, true, false, true, true, true, false}},
        {RC_BACKEND_SUBSCRIBE, {true, false, true, false, true, true, true, false}},
        {RC_BACKEND_PUBLISH, {true, false, true, false, true, true, true, false}},
        {RC_BACKEND_REFRESH, {true, false, true, false, true, true, true, false}},
        {RC_BACKEND_EVENT, {true, false, true, false, false, false, false, false}},
        {RC_BACKEND_ACK, {true, false, true, false, false, false, false, false}},
        {RC_BACKEND_DISCONNECT, {true, true, true, false, false, false, false, false}},
        {RC_BACKEND_WEBHOOK, {true, true, true, false, false, false, false, false}},
    };
    rig.config->backends[0].breaker.text[0] = '\0';
    backends_begin();
    uint32_t count = 0;
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        uint64_t failed = 0;
        for (uint32_t j = 0; j < RC_ARRAY_COUNT(statuses); j++) {
            char text[64];
            cr_assert_eq(call(cases[i].kind, count), 0);
            (void)snprintf(text, sizeof(text), "HTTP/1.1 %u X\r\n%s\r\n", statuses[j],
                           statuses[j] == 204 ? "" : "Content-Length: 0\r\n");
            answer(run_until_asked(&server, 0), text);
            run_until_told(++count);
            failed += !cases[i].answers[j];
            cr_expect_eq(failures(cases[i].kind, RC_BACKEND_REASON_STATUS), failed, "%s: %u",
                         rc_backend_call_name(cases[i].kind), statuses[j]);
        }
    }
}
