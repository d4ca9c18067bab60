/* redis.url (common/redis_url): any text is refused with a sentence, or gives terminated texts and hosts within bounds. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/redis_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct rc_redis_url url;
    struct rc_err err = {.text = ""};
    char *text = malloc(count + 1);
    RC_ASSERT(text != NULL);
    if (count > 0) {
        memcpy(text, bytes, count);
    }
    text[count] = '\0';
    if (rc_redis_url_parse(&url, text, &err) == 0) {
        RC_ASSERT(url.host_count <= RC_REDIS_HOSTS_MAX);
        RC_ASSERT((url.kind == RC_REDIS_UNIX) == (url.host_count == 0));
        RC_ASSERT((url.kind == RC_REDIS_UNIX) == (url.path[0] == '/'));
        RC_ASSERT((url.kind == RC_REDIS_SENTINEL) == (url.master[0] != '\0'));
        for (uint32_t i = 0; i < url.host_count; i++) {
            RC_ASSERT(url.hosts[i].port != 0 && url.hosts[i].host[0] != '\0');
            RC_ASSERT(memchr(url.hosts[i].host, '\0', sizeof(url.hosts[i].host)) != NULL);
        }
    } else {
        RC_ASSERT(err.text[0] != '\0');
    }
    free(text);
    return 0;
}
