/* Whom a message is for, where other rooms were named before: what is left of them. (Records: test_adapter, test_python.) */
#include <criterion/criterion.h>
#include <stdio.h>

#include "relay/bridge/targets.h"

static bool known = true;

static bool host_known(void *context)
{
    (void)context;
    return known;
}

static bool host_wanted(void *context, struct rc_span name)
{
    (void)context;
    return rc_span_equal(name, RC_SPAN("red"));
}

static struct rc_metrics metrics;
static struct rc_wire wire = {.metrics = &metrics};
static const struct rc_bridge bridge = {.wire = &wire, .host = {.wanted = host_wanted, .known = host_known}};
static char names[RC_EXCLUDE_TEXT_MAX];
static struct rc_client_ref refs[RC_EXCLUDES_MAX];

static struct rc_targets begin(void)
{
    return (struct rc_targets){
        .bridge = &bridge, .instance = "ABCDE", .nsp = RC_SPAN("/"), .refs = refs, .select = {.text = names}};
}

Test(targets, until_workers_have_told_everybody_may_be_anywhere)
{
    cr_assert(rc_targets_wanted(&bridge, RC_SPAN("/"), RC_SPAN("red")));
    cr_assert_not(rc_targets_wanted(&bridge, RC_SPAN("/"), RC_SPAN("blue")));
    known = false;
    cr_assert(rc_targets_wanted(&bridge, RC_SPAN("/"), RC_SPAN("blue")));
}

Test(targets, everybody_forgets_rooms)
{
    struct rc_targets targets = begin();
    struct rc_envelope_view view = {.head = {.flags = 0}};
    rc_targets_room(&targets, RC_SPAN("red"));
    rc_targets_room(&targets, RC_SPAN("ABCDEaaaaaaaaaaaaaaa"));
    rc_targets_everybody(&targets);
    rc_targets_except(&targets);
    cr_assert_eq(rc_targets_view(&targets, &view), RC_DOWN_MESSAGE);
    cr_assert(view.head.channel_bytes == 2 && view.channel[0] == '/' && view.channel[1] == '#');
}

Test(targets, a_selection_that_does_not_fit_is_cut_and_says_so)
{
    struct rc_targets targets = begin();
    struct rc_envelope_view view = {.head = {.flags = 0}};
    for (uint32_t i = 0; i < RC_EXCLUDE_TEXT_MAX / 4 + 1; i++) {
        rc_targets_room(&targets, RC_SPAN("red"));
    }
    rc_targets_except(&targets);
    const enum rc_record_type type = rc_targets_view(&targets, &view);
    cr_assert_eq(type, RC_DOWN_SELECT);
    cr_assert(rc_targets_cut(&targets, type));
}

Test(targets, clients_that_do_not_get_it_have_a_bound)
{
    struct rc_targets targets = begin();
    struct rc_envelope_view view = {.head = {.flags = 0}};
    rc_targets_except(&targets);
    for (uint32_t i = 0; i < RC_EXCLUDES_MAX + 3; i++) {
        rc_targets_excepted(&targets, RC_SPAN("ABCDEaaaaaaaaaaaaaaa"));
    }
    cr_assert_eq(rc_targets_view(&targets, &view), RC_DOWN_MESSAGE);
    cr_assert_eq(view.head.exclude_count, RC_EXCLUDES_MAX);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_EXCLUDES_CUT), 3);
}
