/* What an acceptor hands to the program that goes on in its process (acceptor/upgrade/state, image): records as they lie in the file, behind its
 * head. Descriptors that they name are looked at, and not closed. */
#include <stdlib.h>
#include <string.h>

#include "acceptor/upgrade/image.h"
#include "acceptor/upgrade/state.h"
#include "common/base/check.h"

#define HEAD_BYTES 16u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void read_image(const struct rc_state *state)
{
    struct rc_err err = {{0}};
    char version[64];
    char numbers[1024];
    struct rc_supervisor *supervisor = calloc(1, sizeof(*supervisor));
    RC_ASSERT(supervisor != NULL);
    supervisor->settings = rc_settings_new(NULL, false);
    RC_ASSERT(supervisor->settings != NULL);
    rc_image_origin(state, version, numbers);
    RC_ASSERT(strlen(version) < sizeof(version) && strlen(numbers) < sizeof(numbers));
    if (rc_image_read(supervisor, state, &err) == 0) {
        RC_ASSERT(supervisor->broker.worker_count >= 1 && supervisor->broker.worker_count <= RC_WORKERS_MAX);
        RC_ASSERT(supervisor->broker.listen_count <= RC_LISTENERS_MAX);
    } else {
        RC_ASSERT(err.text[0] != '\0');
    }
    rc_image_forget(supervisor);
    rc_settings_free(supervisor->settings);
    free(supervisor);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct rc_err err;
    struct rc_state state = {.count = HEAD_BYTES + count, .capacity = HEAD_BYTES + count};
    const uint64_t head[] = {RC_STATE_MAGIC, count};
    state.bytes = malloc(state.count);
    RC_ASSERT(state.bytes != NULL);
    memcpy(state.bytes, head, sizeof(head));
    if (count > 0) {
        memcpy(state.bytes + HEAD_BYTES, bytes, count);
    }
    const bool whole = rc_state_check(&state, &err) == 0;
    size_t at = 0;
    uint32_t tag;
    struct rc_span payload;
    while (rc_state_next(&state, &at, &tag, &payload) == 1) {
        RC_ASSERT((const uint8_t *)payload.bytes >= state.bytes + HEAD_BYTES &&
                  payload.count <= state.count - HEAD_BYTES);
    }
    if (whole) {
        read_image(&state);
    }
    rc_state_close(&state);
    return 0;
}
