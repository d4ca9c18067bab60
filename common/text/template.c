/* template: see template.h. */
#include "common/text/template.h"

#include <errno.h>
#include <string.h>

static int piece_add(struct rc_template *template, const char *from, const char *to, bool field, struct rc_err *err)
{
    if (from == to && !field) {
        return 0;
    }
    if (template->part_count == RC_TEMPLATE_PARTS_MAX) {
        return rc_err_set(err, -EINVAL, "more than %u fields and texts between them", RC_TEMPLATE_PARTS_MAX);
    }
    template->parts[template->part_count++] =
        (struct rc_template_part){.text = rc_span_of(from, (size_t)(to - from)), .field = field};
    return 0;
}

int rc_template_compile(struct rc_template *template, const char *text, rc_template_known *known, struct rc_err *err)
{
    template->part_count = 0;
    for (;;) {
        const char *open = strchr(text, '{');
        const char *literal_end = open != NULL ? open : text + strlen(text);
        if (piece_add(template, text, literal_end, false, err) < 0) {
            return -EINVAL;
        }
        if (open == NULL) {
            return 0;
        }
        const char *close = strchr(open, '}');
        if (close == NULL) {
            return rc_err_set(err, -EINVAL, "\"{\" without \"}\"");
        }
        const struct rc_span name = rc_span_of(open + 1, (size_t)(close - open - 1));
        if (!known(name)) {
            return rc_err_set(err, -EINVAL, "no such field: {%.*s}", (int)name.count, (const char *)name.bytes);
        }
        if (piece_add(template, open + 1, close, true, err) < 0) {
            return -EINVAL;
        }
        text = close + 1;
    }
}

int rc_template_fill(const struct rc_template *template, rc_template_value *value, void *context, char *out,
                     size_t room)
{
    size_t used = 0;
    for (uint32_t i = 0; i < template->part_count; i++) {
        const struct rc_template_part *part = &template->parts[i];
        if (part->field) {
            const int bytes = value(context, part->text, out + used, room - used);
            if (bytes < 0) {
                return bytes;
            }
            used += (size_t)bytes;
        } else if (part->text.count > room - used) {
            return -EMSGSIZE;
        } else {
            memcpy(out + used, part->text.bytes, part->text.count);
            used += part->text.count;
        }
    }
    return (int)used;
}

bool rc_template_known_json(struct rc_span field)
{
    const struct rc_span head = RC_SPAN("json.");
    if (!rc_span_starts_with(field, head) || field.count == head.count || field.bytes[field.count - 1] == '.') {
        return false;
    }
    for (size_t i = head.count; i < field.count; i++) {
        if (field.bytes[i] == '{' || (field.bytes[i] == '.' && field.bytes[i - 1] == '.')) {
            return false;
        }
    }
    return true;
}

bool rc_template_known_channel(struct rc_span field)
{
    return rc_span_equal(field, RC_SPAN("channel")) || rc_span_equal(field, RC_SPAN("name"));
}
