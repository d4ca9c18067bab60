/* rule_rig: see rule_rig.h. */
#include "tests/support/rule_rig.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/records/args.h"

void rule_rig_open(struct rule_rig *r)
{
    engine_rig_open(&r->engine);
}

void rule_rig_close(struct rule_rig *r)
{
    engine_rig_close(&r->engine);
}

void rule_rig_begin(struct rule_rig *r, const char *rows, bool connected)
{
    engine_rig_rows(&r->engine, rows);
    engine_rig_begin(&r->engine, connected);
    r->get = engine_rig_wire(&r->engine);
    r->post = engine_rig_wire(&r->engine);
}

void rule_rig_posts(struct rule_rig *r, const char *packet)
{
    engine_rig_request(&r->engine, r->post, r->engine.sid, packet);
}

int rule_rig_answer(struct rule_rig *r)
{
    return engine_rig_answer(&r->engine, r->post);
}

void rule_rig_says(struct rule_rig *r, const char *packet)
{
    rule_rig_posts(r, packet);
    cr_assert_eq(rule_rig_answer(r), 200, "%s", packet);
}

void rule_rig_expect(struct rule_rig *r, const char *packets)
{
    engine_rig_request(&r->engine, r->get, r->engine.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r->engine, r->get), 200);
    cr_assert_str_eq(r->get->text, packets);
}

const char *rule_rig_went_up(struct rule_rig *r, struct rc_envelope_view *view)
{
    uint32_t type;
    struct rc_envelope_view its;
    while (client_rig_up(&r->engine.c, &type, &its)) {
        struct rc_args_view args;
        if ((type == RC_UP_PUBLISH || type == RC_UP_DIRECT || type == RC_UP_SELECT) &&
            rc_args_read(rc_span_of(its.data, its.head.data_bytes), &args) == 0) {
            cr_assert_lt(args.json.count, sizeof(r->text));
            memcpy(r->text, args.json.bytes, args.json.count);
            r->text[args.json.count] = '\0';
            if (view != NULL) {
                *view = its;
            }
            return r->text;
        }
    }
    return "";
}

void rule_rig_counted(const struct rule_rig *r, uint32_t row, uint64_t done, uint64_t refused)
{
    const struct rc_row_counters *counters = &r->engine.c.clients.control->own->rows[row];
    cr_assert_eq(atomic_load(&counters->outcomes[0]), done);
    cr_assert_eq(atomic_load(&counters->outcomes[1 + RC_GUARDS]), refused);
}
