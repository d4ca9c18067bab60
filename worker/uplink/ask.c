/* questions: see questions.h. */
#include "worker/uplink/ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/uplink/uplink.h"

struct rc_question {
    struct rc_client_ref origin; /* random 0: answered, or none */
    uint64_t due_ms;
    uint32_t relay_generation; /* when it was asked */
    uint8_t id_bytes;
    uint8_t id[RC_REQUEST_ID_MAX];
};

static struct rc_question *place(const struct rc_questions *questions, uint64_t token)
{
    return &questions->items[token % RC_QUESTIONS_MAX];
}

static uint64_t now_ms(const struct rc_uplink *uplink)
{
    return uplink->hub->io->now_ns / 1000000u;
}

static uint32_t relay_generation(const struct rc_uplink *uplink)
{
    return rc_control_relay_generation(uplink->control);
}

void rc_questions_close(struct rc_questions *questions)
{
    free(questions->items);
    *questions = (struct rc_questions){0};
}

/* --- telling --------------------------------------------------------------------------------------------------------- */

/* Is the client still who it was? */
static bool is_here(const struct rc_uplink *uplink, const struct rc_client_ref *origin)
{
    return origin->worker == (uint16_t)uplink->worker_index &&
           rc_truth_named(uplink->truth, origin->slot, origin->random) != NULL;
}

static void tell(struct rc_uplink *uplink, const struct rc_question *question, struct rc_event *event)
{
    const struct rc_client_ref *origin = &question->origin;
    event->id = rc_span_of(question->id, question->id_bytes);
    if (is_here(uplink, origin) && rc_hub_reply_event(uplink->hub, origin->slot, event) < 0) {
        rc_hub_close_client(uplink->hub, origin->slot, RC_CLOSE_TRY_AGAIN_LATER, NULL, 0, true);
    }
}

static void fail(struct rc_uplink *uplink, const struct rc_question *question, enum rc_code code,
                 struct rc_span message)
{
    struct rc_event event = {.type = RC_EVENT_ERROR, .code = code, .message = message};
    tell(uplink, question, &event);
}

/* Whole entries, as many as it says; what another process wrote may be anything. */
static bool read_list(const struct rc_envelope_view *view, struct rc_presence_list *list)
{
    struct rc_query_entry entry;
    uint32_t count = 0;
    if (view->head.data_bytes < sizeof(list->answer)) {
        return false;
    }
    memcpy(&list->answer, view->data, sizeof(list->answer));
    list->entries = rc_span_of(view->data + sizeof(list->answer), view->head.data_bytes - sizeof(list->answer));
    struct rc_span rest = list->entries;
    while (rc_query_entry_next(&rest, &entry)) {
        count++;
    }
    return rest.count == 0 && count == list->answer.count;
}

static void answer(struct rc_uplink *uplink, const struct rc_question *question, const struct rc_envelope_view *view)
{
    struct rc_presence_list list;
    if (view->head.code != 0 || !read_list(view, &list)) {
        fail(uplink, question, RC_CODE_UNAVAILABLE, RC_SPAN("too many such questions at once: ask again later"));
        return;
    }
    if (is_here(uplink, &question->origin) &&
        rc_hub_unsent(uplink->hub, question->origin.slot) > RC_UPLINK_UNSENT_MAX) {
        /* A few bytes ask for many: who does not read them is told no more. */
        fail(uplink, question, RC_CODE_LIMITED, RC_SPAN("read the answers that you have before you ask again"));
        return;
    }
    struct rc_event event = {.type = RC_EVENT_PRESENCE,
                             .channel = rc_span_of(view->channel, view->head.channel_bytes),
                             .local = (list.answer.flags & RC_QUERY_LOCAL) != 0,
                             .presence = &list};
    tell(uplink, question, &event);
}

/* --- waiting --------------------------------------------------------------------------------------------------------- */

static void forget_answered(struct rc_questions *questions)
{
    while (questions->first != questions->next && place(questions, questions->first)->origin.random == 0) {
        questions->first++;
    }
}

int rc_questions_ask(struct rc_uplink *uplink, struct rc_envelope_view *view)
{
    struct rc_questions *questions = &uplink->questions;
    if (questions->items == NULL) {
        questions->items = calloc(RC_QUESTIONS_MAX, sizeof(*questions->items));
        if (questions->items == NULL) {
            return -ENOMEM;
        }
        /* A relay that goes on with what an earlier worker asked knows its tokens. */
        questions->first = questions->next = rc_hub_random(uplink->hub) >> 1;
    }
    if (questions->next - questions->first == RC_QUESTIONS_MAX) {
        return -ENOBUFS;
    }
    view->head.token = questions->next;
    const int result = rc_uplink_write(uplink, RC_UP_QUERY, view);
    if (result < 0) {
        return result;
    }
    struct rc_question *question = place(questions, questions->next++);
    *question = (struct rc_question){.origin = view->head.origin,
                                     .due_ms = now_ms(uplink) + RC_QUESTION_MS,
                                     .relay_generation = relay_generation(uplink),
                                     .id_bytes = view->head.request_id_bytes};
    if (question->id_bytes > 0) {
        memcpy(question->id, view->request_id, question->id_bytes);
    }
    return 0;
}

void rc_questions_answered(struct rc_uplink *uplink, const struct rc_envelope_view *view)
{
    struct rc_questions *questions = &uplink->questions;
    const uint64_t token = view->head.token;
    if (questions->items == NULL || token - questions->first >= questions->next - questions->first ||
        place(questions, token)->origin.random == 0) {
        return; /* a relay answered what its predecessor had answered already, or too late */
    }
    struct rc_question *question = place(questions, token);
    answer(uplink, question, view);
    question->origin.random = 0;
    forget_answered(questions);
}

void rc_questions_expire(struct rc_uplink *uplink)
{
    struct rc_questions *questions = &uplink->questions;
    const uint32_t generation = relay_generation(uplink);
    while (questions->first != questions->next) {
        struct rc_question *question = place(questions, questions->first);
        if (question->relay_generation == generation && question->due_ms > now_ms(uplink)) {
            return; /* and so are all behind it */
        }
        fail(uplink, question, RC_CODE_UNAVAILABLE, RC_SPAN("there was no answer: ask again"));
        question->origin.random = 0;
        forget_answered(questions);
    }
}
