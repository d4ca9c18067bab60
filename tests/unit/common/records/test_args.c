/* args: round trips, every wrong size, in place. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/args.h"

#define JSON "[1,{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":2}]"

static const struct rc_span attachments[3] = {{.bytes = (const uint8_t *)"\0\1\2", .count = 3},
                                              {.bytes = NULL, .count = 0},
                                              {.bytes = (const uint8_t *)"xy", .count = 2}};

/* In memory of exactly its size. */
static uint8_t *args_make(size_t *bytes)
{
    const uint32_t sizes[3] = {3, 0, 2};
    *bytes = rc_args_bytes(strlen(JSON), 3, sizes);
    uint8_t *data = malloc(*bytes);
    rc_args_write(data, RC_SPAN(JSON), attachments, 3);
    return data;
}

static void expect_all(struct rc_span data)
{
    struct rc_args_view view;
    cr_assert_eq(rc_args_read(data, &view), 0);
    cr_assert(rc_span_equal(view.json, RC_SPAN(JSON)));
    cr_assert_eq(view.attachment_count, 3);
    struct rc_span one;
    uint32_t index = 0;
    size_t offset = 0;
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(rc_args_next(&view, &index, &offset, &one));
        cr_assert(rc_span_equal(one, attachments[i]));
        cr_assert(rc_span_equal(rc_args_attachment(&view, i), attachments[i]));
    }
    cr_assert_not(rc_args_next(&view, &index, &offset, &one));
}

Test(args, all_parts_come_back)
{
    size_t bytes;
    uint8_t *data = args_make(&bytes);
    expect_all(rc_span_of(data, bytes));
    free(data);
}

Test(args, without_attachments)
{
    uint8_t data[sizeof(struct rc_args_head) + 2];
    struct rc_args_view view;
    cr_assert_eq(rc_args_bytes(2, 0, NULL), sizeof(data));
    rc_args_write(data, RC_SPAN("[]"), NULL, 0);
    cr_assert_eq(rc_args_read(rc_span_of(data, sizeof(data)), &view), 0);
    cr_assert(rc_span_equal(view.json, RC_SPAN("[]")));
    cr_assert_eq(view.attachment_count, 0);
}

Test(args, any_other_size_is_refused)
{
    size_t bytes;
    uint8_t *data = args_make(&bytes);
    for (size_t cut = 0; cut < bytes; cut++) {
        struct rc_args_view view;
        uint8_t *part = malloc(cut > 0 ? cut : 1);
        memcpy(part, data, cut);
        cr_assert_eq(rc_args_read(rc_span_of(part, cut), &view), -EBADMSG, "%zu", cut);
        free(part);
    }
    uint8_t *longer = malloc(bytes + 1);
    memcpy(longer, data, bytes);
    struct rc_args_view view;
    cr_assert_eq(rc_args_read(rc_span_of(longer, bytes + 1), &view), -EBADMSG);
    free(longer);
    free(data);
}

Test(args, counts_that_lie_are_refused)
{
    const struct rc_args_head heads[] = {{UINT32_MAX, 0}, {0, UINT32_MAX}, {0, RC_ARGS_ATTACHMENTS_MAX + 1}, {17, 0}};
    for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
        uint8_t data[sizeof(struct rc_args_head) + 16] = {0};
        struct rc_args_view view;
        memcpy(data, &heads[i], sizeof(heads[i]));
        cr_assert_eq(rc_args_read(rc_span_of(data, sizeof(data)), &view), -EBADMSG, "%zu", i);
    }
}

Test(args, wraps_text_where_it_lies)
{
    uint8_t buffer[RC_ARGS_BEFORE_MAX + sizeof(JSON) - 1 + 5];
    uint8_t *json = buffer + RC_ARGS_BEFORE_MAX;
    memcpy(json, JSON, sizeof(JSON) - 1);
    cr_assert_eq(rc_args_wrap(json, sizeof(JSON) - 1, 4, attachments, 3).count, 0);
    expect_all(rc_args_wrap(json, sizeof(JSON) - 1, 5, attachments, 3));
}
