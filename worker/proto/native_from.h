/*
 * native_from: where a subscriber begins, in the JSON form: `recover` and `since`. Pure code, as native.h; only that calls it.
 */
#ifndef RC_WORKER_PROTO_NATIVE_FROM_H
#define RC_WORKER_PROTO_NATIVE_FROM_H

#include "common/text/json_scan.h"
#include "worker/proto/codec.h"
#include "worker/proto/operation.h"

/* Of history: an offset. Of subscribe: "last N". 0 or -EBADMSG. */
int rc_native_since_take(const struct rc_json_value *value, struct rc_operation *operation,
                         struct rc_operation_error *error);
/* The object, which has been scanned: epoch and offset, and maybe client. 0 or -EBADMSG. */
int rc_native_recover_take(struct rc_reader *reader, const struct rc_json_value *value, struct rc_operation *operation,
                           struct rc_operation_error *error);

#endif
