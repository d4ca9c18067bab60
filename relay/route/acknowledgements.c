/* acknowledgements: a ring with both ends here. */
#include "relay/route/acknowledgements.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/check.h"

static int open_memory(struct rc_acknowledgements *queue)
{
    const size_t bytes = sizeof(struct rc_ring_shared) + RC_ACKNOWLEDGEMENTS_BYTES;
    struct rc_ring_shared *memory = calloc(1, bytes); /* pages stay untouched until they are needed */
    if (memory == NULL) {
        return -ENOMEM;
    }
    queue->memory = memory;
    const int in = rc_ring_attach_producer(&queue->in, memory, memory + 1, RC_ACKNOWLEDGEMENTS_BYTES);
    const int out = rc_ring_attach_consumer(&queue->out, memory, memory + 1, RC_ACKNOWLEDGEMENTS_BYTES);
    RC_ASSERT(in == 0 && out == 0);
    return 0;
}

void rc_acknowledgements_close(struct rc_acknowledgements *queue)
{
    free(queue->memory);
    *queue = (struct rc_acknowledgements){0};
}

int rc_acknowledgements_put(struct rc_acknowledgements *queue, const struct rc_envelope_view *view)
{
    const uint32_t bytes = (uint32_t)rc_envelope_bytes(&view->head);
    if (queue->memory == NULL && open_memory(queue) != 0) {
        return -ENOMEM;
    }
    void *record = rc_ring_claim(&queue->in, RC_DOWN_INTEREST, bytes);
    if (record == NULL) {
        return -ENOBUFS;
    }
    rc_envelope_write(record, view);
    rc_ring_commit(&queue->in, bytes);
    return 0;
}

bool rc_acknowledgements_first(struct rc_acknowledgements *queue, struct rc_envelope_view *view)
{
    if (rc_acknowledgements_empty(queue)) {
        return false;
    }
    const uint64_t before = queue->out.position;
    uint32_t type;
    uint32_t bytes;
    const void *record;
    const int rc = rc_ring_next(&queue->out, &type, &record, &bytes);
    queue->out.position = before;
    RC_ASSERT(rc == 1 && rc_envelope_read(view, record, bytes) == 0); /* our own memory */
    return true;
}

void rc_acknowledgements_pop(struct rc_acknowledgements *queue)
{
    uint32_t type;
    uint32_t bytes;
    const void *record;
    const int rc = rc_ring_next(&queue->out, &type, &record, &bytes);
    RC_ASSERT(rc == 1);
    rc_ring_release(&queue->out);
}

void rc_acknowledgements_clear(struct rc_acknowledgements *queue)
{
    while (!rc_acknowledgements_empty(queue)) {
        rc_acknowledgements_pop(queue);
    }
}
