/* What a caller of the console wants traced: what is accepted is within its bounds, and says what was written. */
#include <stdlib.h>
#include <string.h>

#include "acceptor/watch/trace_words.h"
#include "common/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_text(const char *text, uint16_t bytes, uint32_t by, uint32_t bit)
{
    RC_ASSERT(bytes <= 255 && (bytes > 0) == ((by & bit) != 0));
    for (size_t i = bytes; i < 256; i++) {
        RC_ASSERT(text[i] == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct rc_trace_wanted wanted = {.serial = 7};
    struct rc_err err = {{0}};
    char *words = malloc(count + 1);
    RC_ASSERT(words != NULL);
    if (count > 0) {
        memcpy(words, bytes, count);
    }
    words[count] = '\0';
    if (rc_trace_words_read(&wanted, "i", 1, words, &err) == 0) {
        RC_ASSERT(wanted.serial == 7 && wanted.by != 0 &&
                  (wanted.by & ~(uint32_t)(RC_TRACE_BY_WHO | RC_TRACE_BY_WHAT)) == 0);
        RC_ASSERT((wanted.client.random != 0) == ((wanted.by & RC_TRACE_BY_CLIENT) != 0));
        check_text(wanted.user, wanted.user_bytes, wanted.by, RC_TRACE_BY_USER);
        check_text(wanted.channel, wanted.channel_bytes, wanted.by, RC_TRACE_BY_CHANNEL);
        check_text(wanted.event, wanted.event_bytes, wanted.by, RC_TRACE_BY_EVENT);
    } else {
        RC_ASSERT(err.text[0] != '\0');
    }
    free(words);
    return 0;
}
