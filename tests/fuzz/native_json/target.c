/*
 * native_json: any text message of a native client.
 */
#include "tests/support/native_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rc_test_native_check(RC_NATIVE_JSON, rc_span_of(data, size));
    return 0;
}
