/* last_words: see last_words.h. */
#include "acceptor/watch/last_words.h"

#include <string.h>

#include "common/base/log.h"

bool rc_last_words_line(const struct rc_report *report, uint64_t number, char out[RC_FLIGHT_BYTES + 1])
{
    uint8_t record[RC_FLIGHT_BYTES];
    if (!rc_flight_get(report->lines.entries, RC_FLIGHT_LINES, number, record)) {
        return false;
    }
    size_t bytes = strnlen((const char *)record, sizeof(record));
    memcpy(out, record, bytes);
    /* A line that was cut may end in the middle of a character. */
    while (bytes == sizeof(record) && bytes > 0 && ((unsigned char)out[bytes - 1] & 0x80) != 0) {
        bytes--;
    }
    for (size_t i = 0; i < bytes; i++) {
        out[i] = (unsigned char)out[i] < ' ' || out[i] == 0x7f ? ' ' : out[i];
    }
    out[bytes] = '\0';
    return bytes > 0;
}

void rc_last_words_log(const struct rc_report *report, const char *name)
{
    char line[RC_FLIGHT_BYTES + 1];
    const uint64_t last = rc_flight_last(&report->lines.head);
    for (uint64_t number = last >= RC_LAST_WORDS ? last - RC_LAST_WORDS + 1 : 1; number <= last; number++) {
        if (rc_last_words_line(report, number, line)) {
            rc_log_warn("child_last_line", "child=\"%s\" line=\"%s\"", name, line);
        }
    }
}
