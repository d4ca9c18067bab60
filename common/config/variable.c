/* variable: see variable.h. */
#include "common/config/variable.h"

#include <string.h>

#include "common/base/check.h"
#include "common/config/text.h"

#define PREFIX "RINGCAST_"

const struct rc_config_variable rc_config_variables[] = {
    {"REDIS_URL", "`redis.url`"},
    {"INSTANCE_ID", "`server.instance_id`"},
    {"SERVER_ID", "the same; `INSTANCE_ID` wins"},
    {"WS_HEARTBEAT_INTERVAL", "`cluster.heartbeat_interval`, in milliseconds without a unit"},
    {"WS_DEAD_INSTANCE_THRESHOLD", "`cluster.dead_instance_threshold`, in milliseconds without a unit"},
    {"CORS_ORIGIN", "added to `http.allowed_origins`; several are separated by commas"},
    {"CLIENT_URL", "the same; a path is ignored"},
    {"LOG_LEVEL", "`log.level`; also trace, warning, fatal and silent"},
    {"PORT", "replaces the port of the first TCP address of `server.listen`, which keeps its host"},
    {"ENABLE_WEBSOCKET_CLUSTERING",
     "`false` or `0`: no Redis even if a URL is set; `true` without a URL is an error; unset: Redis exactly when there is a URL"},
    {"RINGCAST_CONFIG", "the file itself, where no `-c` names one"},
    {"PUSHER_APP_SECRET", "`secret` of each `[[pusher_app]]` that has neither `secret` nor `secret_file`"},
    {"RINGCAST_API_KEY", "added to `http.api_keys`"},
    {"RINGCAST_QUICKSTART", NULL}, /* what `make run` sets */
};
const size_t rc_config_variable_count = RC_ARRAY_COUNT(rc_config_variables);

/* What tests do to the processes that this build starts: no part of the configuration, and nothing that another build knows. */
static const char *const hooks[] = {
    "RINGCAST_KERNEL_WITHOUT", /* common/base/uring.h */
#ifdef RC_DEBUG
    "RINGCAST_POISON", /* worker/client/input.c */
#endif
#ifdef __SANITIZE_ADDRESS__
    "RINGCAST_DIES_FILE",   /* the same */
    "RINGCAST_DIES_WITHIN", /* worker/main.c */
#endif
};

/* Is "NAME=value" an entry of this variable? */
static bool entry_is(const char *entry, const char *name)
{
    const size_t bytes = strcspn(entry, "=");
    return strncmp(entry, name, bytes) == 0 && name[bytes] == '\0';
}

bool rc_config_variable_ours(const char *entry)
{
    for (size_t i = 0; i < rc_config_variable_count; i++) {
        if (entry_is(entry, rc_config_variables[i].name)) {
            return true;
        }
    }
    return false;
}

static bool is_hook(const char *entry)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(hooks); i++) {
        if (entry_is(entry, hooks[i])) {
            return true;
        }
    }
    return false;
}

static const char *nearest_name(const char *name, size_t bytes)
{
    const char *best = NULL;
    size_t distance = 1 + (bytes - strlen(PREFIX)) / 3; /* further away it is no typing mistake */
    for (size_t i = 0; i < rc_config_variable_count; i++) {
        const char *known = rc_config_variables[i].name;
        const size_t edits = rc_config_word_distance(name, bytes, known, strlen(known));
        if (edits <= distance && rc_config_variables[i].help != NULL) {
            best = known;
            distance = edits;
        }
    }
    return best;
}

void rc_config_variables_unknown(char *const *environment, struct rc_config_errors *warnings)
{
    for (; *environment != NULL; environment++) {
        const char *entry = *environment;
        if (strncmp(entry, PREFIX, strlen(PREFIX)) != 0 || rc_config_variable_ours(entry) || is_hook(entry)) {
            continue;
        }
        const size_t bytes = strcspn(entry, "=");
        const char *meant = nearest_name(entry, bytes);
        rc_config_errors_add(warnings, "environment variable %.*s is not known and sets nothing%s%s%s",
                             (int)(bytes < 80 ? bytes : 80), entry, meant != NULL ? ": did you mean " : "",
                             meant != NULL ? meant : "", meant != NULL ? "?" : "");
    }
}
