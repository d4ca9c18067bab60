/* trace_words: see trace_words.h. */
#include "acceptor/watch/trace_words.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* A value up to its space; its bytes, -EINVAL when it is too long or not rightly encoded. */
static int value_read(const char *value, char *out, size_t capacity)
{
    size_t bytes = 0;
    while (*value != '\0' && *value != ' ') {
        int c = (unsigned char)*value++;
        if (c == '%') {
            const int high = hex_digit(value[0]);
            const int low = high < 0 ? -1 : hex_digit(value[1]);
            if (low < 0) {
                return -EINVAL;
            }
            c = high * 16 + low;
            value += 2;
        }
        if (bytes == capacity) {
            return -EINVAL;
        }
        out[bytes++] = (char)c;
    }
    return (int)bytes;
}

int rc_trace_words_read(struct rc_trace_wanted *wanted, const char *instance_id, uint32_t boot_nonce, const char *words,
                        struct rc_err *err)
{
    static const struct {
        const char *word;
        uint32_t by;
    } kinds[] = {{"client=", RC_TRACE_BY_CLIENT},
                 {"user=", RC_TRACE_BY_USER},
                 {"channel=", RC_TRACE_BY_CHANNEL},
                 {"event=", RC_TRACE_BY_EVENT}};
    while (*words != '\0') {
        size_t kind = 0;
        while (kind < RC_ARRAY_COUNT(kinds) && strncmp(words, kinds[kind].word, strlen(kinds[kind].word)) != 0) {
            kind++;
        }
        if (kind == RC_ARRAY_COUNT(kinds)) {
            return rc_err_set(err, -EINVAL, "it can be looked for client, user, channel and event");
        }
        if ((wanted->by & kinds[kind].by) != 0) {
            return rc_err_set(err, -EINVAL, "%s is there twice", kinds[kind].word);
        }
        char id[RC_CLIENT_ID_MAX];
        const char *value = words + strlen(kinds[kind].word);
        char *const places[] = {id, wanted->user, wanted->channel, wanted->event};
        const size_t sizes[] = {sizeof(id), 255, 255, 255};
        const int bytes = value_read(value, places[kind], sizes[kind]);
        if (bytes <= 0) {
            return rc_err_set(err, -EINVAL, "the value of %s is empty, too long or not rightly encoded",
                              kinds[kind].word);
        }
        uint16_t *const lengths[] = {NULL, &wanted->user_bytes, &wanted->channel_bytes, &wanted->event_bytes};
        if (lengths[kind] != NULL) {
            *lengths[kind] = (uint16_t)bytes;
        } else if (rc_client_id_read(id, (size_t)bytes, instance_id, boot_nonce, &wanted->client) !=
                   RC_CLIENT_ID_LOCAL) {
            return rc_err_set(err, -EINVAL, "no client that has been here since this instance was started has this id");
        }
        wanted->by |= kinds[kind].by;
        words = value + strcspn(value, " ");
        words += strspn(words, " ");
    }
    return wanted->by != 0 ? 0 : rc_err_set(err, -EINVAL, "what is to be looked for is missing");
}
