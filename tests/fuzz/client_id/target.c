/*
 * client_id: arbitrary bytes as the client id that a client gives. An id that is taken for one of ours must be
 * written again exactly as it came: no two texts name one client.
 *
 *   first byte: how many bytes are the instance id of the reader (0..64) | instance id | the id
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/envelope.h"

#define NONCE UINT32_C(0x01020304)

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
    char instance[RC_INSTANCE_ID_MAX + 1] = "";
    char again[RC_CLIENT_ID_MAX];
    struct rc_client_ref ref = {0};
    if (bytes == 0) {
        return 0;
    }
    size_t instance_bytes = input[0] % (RC_INSTANCE_ID_MAX + 1);
    instance_bytes = instance_bytes < bytes - 1 ? instance_bytes : bytes - 1;
    memcpy(instance, input + 1, instance_bytes);
    const size_t id_bytes = bytes - 1 - instance_bytes;
    char *id = malloc(id_bytes + 1);
    memcpy(id, input + 1 + instance_bytes, id_bytes);

    const enum rc_client_id_kind kind = rc_client_id_read(id, id_bytes, instance, NONCE, &ref);
    if (kind == RC_CLIENT_ID_LOCAL) {
        RC_ASSERT(rc_client_id_write(again, instance, NONCE, &ref) == id_bytes);
        RC_ASSERT(memcmp(again, id, id_bytes) == 0);
        RC_ASSERT(ref.random != 0 && ref.worker < RC_WORKERS_MAX);
    } else {
        RC_ASSERT(ref.random == 0); /* untouched */
    }
    free(id);
    return 0;
}
