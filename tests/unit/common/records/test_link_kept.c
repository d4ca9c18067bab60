/* What is told of clients behind links, to the byte, and that every cut of it is refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/records/link_kept.h"

#define REST "\7\0\0\0{\"a\":1}\2\0\2\0sa\3\0n42"

Test(link_kept, a_session)
{
    uint8_t data[128];
    struct rc_link_kept_session head = {.ms = 5000, .process = 7, .sid_bytes = 3, .pid_bytes = 5};
    const size_t bytes = sizeof(head) + 8 + sizeof(REST) - 1;
    struct rc_span sid;
    struct rc_span pid;
    struct rc_span rest;
    struct rc_span its;
    struct rc_span rooms;
    struct rc_span room;
    memcpy(data, &head, sizeof(head));
    memcpy(data + sizeof(head), "sidpid-1", 8);
    memcpy(data + sizeof(head) + 8, REST, sizeof(REST) - 1);
    cr_assert_eq(rc_link_kept_session_read(rc_span_of(data, bytes), &head, &sid, &pid, &rest), 0);
    cr_assert(rc_span_equal(sid, RC_SPAN("sid")) && rc_span_equal(pid, RC_SPAN("pid-1")));
    cr_assert_eq(rc_link_kept_rest_read(rest, &its, &rooms), 0);
    cr_assert(rc_span_equal(its, RC_SPAN("{\"a\":1}")));
    cr_assert_eq(rc_link_kept_list_begin(&rooms), 2);
    cr_assert(rc_link_kept_list_next(&rooms, &room) && rc_span_equal(room, RC_SPAN("sa")));
    cr_assert(rc_link_kept_list_next(&rooms, &room) && rc_span_equal(room, RC_SPAN("n42")));
    cr_assert_not(rc_link_kept_list_next(&rooms, &room));
    for (size_t cut = 0; cut < bytes; cut++) {
        cr_assert_eq(rc_link_kept_session_read(rc_span_of(data, cut), &head, &sid, &pid, &rest), -EBADMSG, "%zu", cut);
    }
    cr_assert_eq(rc_link_kept_session_read(rc_span_of(data, bytes + 1), &head, &sid, &pid, &rest), -EBADMSG);
}

Test(link_kept, what_was_said)
{
    static const char data[] = "\1\0\2\0sa\1\0\2\0sb"
                               "messages";
    struct rc_span rooms;
    struct rc_span except;
    struct rc_span messages;
    cr_assert_eq(rc_link_kept_said_read(rc_span_of(data, sizeof(data) - 1), &rooms, &except, &messages), 0);
    cr_assert(rc_span_equal(rooms, rc_span_of(data, 6)) && rc_span_equal(except, rc_span_of(data + 6, 6)));
    cr_assert(rc_span_equal(messages, RC_SPAN("messages")));
    for (size_t cut = 0; cut < 12; cut++) {
        cr_assert_eq(rc_link_kept_said_read(rc_span_of(data, cut), &rooms, &except, &messages), -EBADMSG, "%zu", cut);
    }
}

Test(link_kept, a_question)
{
    static const char data[] = "\3pid\6offset";
    struct rc_span pid;
    struct rc_span offset;
    cr_assert_eq(rc_link_kept_question_read(rc_span_of(data, sizeof(data) - 1), &pid, &offset), 0);
    cr_assert(rc_span_equal(pid, RC_SPAN("pid")) && rc_span_equal(offset, RC_SPAN("offset")));
    for (size_t cut = 0; cut < sizeof(data) - 1; cut++) {
        cr_assert_eq(rc_link_kept_question_read(rc_span_of(data, cut), &pid, &offset), -EBADMSG, "%zu", cut);
    }
    cr_assert_eq(rc_link_kept_question_read(RC_SPAN("\0\1x"), &pid, &offset), -EBADMSG, "nobody's");
}
