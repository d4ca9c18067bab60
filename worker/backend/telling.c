/* telling: see telling.h. */
#include "worker/backend/telling.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

static void telling_append(struct rc_hub *hub, struct rc_telling_queue *queue, uint32_t index)
{
    struct rc_telling *telling = rc_truth_telling(hub->truth, index);
    telling->next = 0;
    *(queue->last != 0 ? &rc_truth_telling(hub->truth, queue->last)->next : &queue->first) = index;
    queue->last = index;
    queue->count++;
    queue->bytes += telling->bytes + sizeof(*telling);
}

static void telling_free(struct rc_hub *hub, uint32_t index)
{
    struct rc_telling *telling = rc_truth_telling(hub->truth, index);
    telling->number = 0; /* nobody names its text any more */
    RC_STORE_ORDER();
    hub->input_bytes -= rc_heap_block_bytes(&hub->truth->heap, telling->text);
    rc_heap_give(&hub->truth->heap, &telling->text);
    rc_pool_free(&hub->truth->tellings, index);
}

int rc_telling_add(struct rc_hub *hub, struct rc_telling_queue *queue, enum rc_telling_kind kind,
                   struct rc_telling_to to, struct rc_span text, uint64_t now_ms)
{
    struct rc_truth *truth = hub->truth;
    const bool room =
        text.count <= UINT32_MAX && hub->input_bytes + text.count <= hub->config->limits.worker_log_bytes / 2;
    const uint32_t index = room ? rc_pool_alloc(&truth->tellings) : 0;
    const uint32_t block = index == 0 ? 0 : rc_heap_alloc(&truth->heap, text.count > 0 ? text.count : 1);
    if (block == 0) {
        if (index != 0) {
            rc_pool_free(&truth->tellings, index);
        }
        return -ENOMEM;
    }
    if (text.count > 0) {
        memcpy(rc_heap_at(&truth->heap, block), text.bytes, text.count);
    }
    *rc_truth_telling(truth, index) = (struct rc_telling){.added_ms = now_ms,
                                                          .text = block,
                                                          .bytes = (uint32_t)text.count,
                                                          .kind = (uint8_t)kind,
                                                          .to = to.number,
                                                          .mark = to.mark};
    hub->input_bytes += rc_heap_block_bytes(&truth->heap, block);
    RC_STORE_ORDER();
    rc_truth_telling(truth, index)->number = ++truth->layout->telling_count; /* it is there from here on */
    telling_append(hub, queue, index);
    return 0;
}

void rc_telling_remove_first(struct rc_hub *hub, struct rc_telling_queue *queue)
{
    const uint32_t index = queue->first;
    const struct rc_telling *telling = rc_truth_telling(hub->truth, index);
    queue->first = telling->next;
    queue->last = queue->first == 0 ? 0 : queue->last;
    queue->count--;
    queue->bytes -= telling->bytes + sizeof(*telling);
    telling_free(hub, index);
}

struct rc_span rc_telling_text(const struct rc_hub *hub, uint32_t telling)
{
    const struct rc_telling *its = rc_truth_telling(hub->truth, telling);
    return rc_span_of(rc_heap_at(&hub->truth->heap, its->text), its->bytes);
}

uint32_t rc_telling_next(const struct rc_hub *hub, uint32_t telling)
{
    return rc_truth_telling(hub->truth, telling)->next;
}

uint64_t rc_telling_since_ms(const struct rc_hub *hub, const struct rc_telling_queue *queue)
{
    RC_ASSERT(queue->first != 0);
    return rc_truth_telling(hub->truth, queue->first)->added_ms;
}

static struct rc_telling_to telling_to(const struct rc_telling *telling)
{
    return (struct rc_telling_to){.number = telling->to, .mark = telling->mark};
}

static int telling_order(const void *a, const void *b, void *context)
{
    const struct rc_truth *truth = context;
    const uint64_t one = rc_truth_telling(truth, *(const uint32_t *)a)->number;
    const uint64_t other = rc_truth_telling(truth, *(const uint32_t *)b)->number;
    return one < other ? -1 : one > other;
}

uint32_t rc_tellings_take(struct rc_hub *hub, enum rc_telling_kind kind, void *context,
                          struct rc_telling_queue *(*queue_of)(void *context, struct rc_telling_to to))
{
    struct rc_truth *truth = hub->truth;
    uint32_t *found = calloc(truth->tellings.high, sizeof(*found));
    uint32_t count = 0;
    uint32_t dropped = 0;
    for (uint32_t i = 1; i < truth->tellings.high; i++) {
        const struct rc_telling *telling = rc_truth_telling(truth, i);
        if (telling->number != 0 && telling->kind == kind) {
            if (found == NULL || queue_of(context, telling_to(telling)) == NULL) {
                telling_free(hub, i);
                dropped++;
            } else {
                found[count++] = i;
            }
        }
    }
    if (count > 0) {
        qsort_r(found, count, sizeof(*found), telling_order, truth);
    }
    for (uint32_t i = 0; i < count; i++) {
        telling_append(hub, queue_of(context, telling_to(rc_truth_telling(truth, found[i]))), found[i]);
    }
    free(found);
    return dropped;
}
