/*
 * json_schema: a schema and a value, both of any bytes. What is compiled checks anything within its bounds: the same wherever the block
 * lies and however often, and it says what is wrong. A value that holds fails `not`, and the other way round; its steps are never more
 * than there may be (the fuzzer's time limit would show it).
 *
 *   schema | NUL | value
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/text/json_scan.h"
#include "common/text/json_schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

#define BLOCK_BYTES (512u * 1024u)

static uint64_t block[BLOCK_BYTES / 8];

/* In memory of its exact size. */
static struct rc_span exact(const uint8_t *bytes, size_t count)
{
    uint8_t *const copy = malloc(count > 0 ? count : 1);
    RC_ASSERT(copy != NULL);
    if (count > 0) {
        memcpy(copy, bytes, count);
    }
    return rc_span_of(copy, count);
}

static void fault_check(const struct rc_json_schema_fault *fault, enum rc_json_schema_result result)
{
    RC_ASSERT(strnlen(fault->path, sizeof(fault->path)) < sizeof(fault->path));
    RC_ASSERT(strnlen(fault->words, sizeof(fault->words)) < sizeof(fault->words));
    RC_ASSERT((fault->words[0] != '\0') == (result != RC_JSON_SCHEMA_VALID));
    if (result != RC_JSON_SCHEMA_VALID && result != RC_JSON_SCHEMA_NO_JSON) {
        RC_ASSERT(rc_json_utf8_valid(rc_span_text(fault->path)));
    }
}

/* {"not": it} says the opposite; references in it count from its top, so that only schemas without any can be put there. */
static void opposite_check(struct rc_span schema, struct rc_span value, enum rc_json_schema_result result)
{
    struct rc_json_schema_error error;
    struct rc_json_schema_fault fault;
    size_t bytes = 0;
    if (memmem(schema.bytes, schema.count, "ref", 3) != NULL || memmem(schema.bytes, schema.count, "\\u", 2) != NULL ||
        memmem(schema.bytes, schema.count, "id", 2) != NULL || result == RC_JSON_SCHEMA_NO_JSON) {
        return;
    }
    char *const text = malloc(schema.count + 16);
    RC_ASSERT(text != NULL);
    const int count = sprintf(text, "{\"not\":%.*s}", (int)schema.count, (const char *)schema.bytes);
    if (rc_json_schema_compile(rc_span_of(text, (size_t)count), block, sizeof(block), &bytes, &error) == 0) {
        const enum rc_json_schema_result turned = rc_json_schema_validate(block, value, &fault);
        if (turned != RC_JSON_SCHEMA_LIMIT && result != RC_JSON_SCHEMA_LIMIT && strstr(fault.words, "twice") == NULL) {
            RC_ASSERT((turned == RC_JSON_SCHEMA_VALID) != (result == RC_JSON_SCHEMA_VALID));
        }
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
    const uint8_t *const nul = bytes > 0 ? memchr(input, 0, bytes) : NULL;
    const size_t schema_bytes = nul != NULL ? (size_t)(nul - input) : bytes;
    const struct rc_span schema = exact(input, schema_bytes);
    const struct rc_span value = nul != NULL ? exact(nul + 1, bytes - schema_bytes - 1) : exact(NULL, 0);
    struct rc_json_schema_error error;
    struct rc_json_schema_fault fault;
    size_t size = 0;
    const int rc = rc_json_schema_compile(schema, block, sizeof(block), &size, &error);
    RC_ASSERT(rc == 0 || rc == -EINVAL || rc == -ENOBUFS);
    if (rc == -EINVAL) {
        RC_ASSERT(error.what[0] != '\0' && strnlen(error.pointer, sizeof(error.pointer)) < sizeof(error.pointer));
    }
    if (rc == 0) {
        RC_ASSERT(size <= sizeof(block) && size % 4 == 0);
        uint8_t *const moved = malloc(size); /* what is read beyond it is found */
        RC_ASSERT(moved != NULL);
        memcpy(moved, block, size);
        const enum rc_json_schema_result result = rc_json_schema_validate(moved, value, &fault);
        fault_check(&fault, result);
        const bool twice = strstr(fault.words, "twice") != NULL && fault.keyword[0] == '\0';
        RC_ASSERT(rc_json_schema_validate(block, value, &fault) == result);
        (void)rc_json_schema_wants_array(moved);
        free(moved);
        if (!twice) {
            opposite_check(schema, value, result);
        }
    }
    free((void *)(uintptr_t)schema.bytes);
    free((void *)(uintptr_t)value.bytes);
    return 0;
}
