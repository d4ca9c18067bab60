/*
 * form: what the texts of a configuration may look like, beyond being texts: addresses, paths, names.
 *
 * Pure; any process may call.
 */
#ifndef RC_COMMON_CONFIG_FORM_H
#define RC_COMMON_CONFIG_FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"

/* What a text, or each text of a list, must look like. */
enum rc_config_form {
    RC_FORM_LISTEN,      /* rc_listen_address_parse */
    RC_FORM_ADVERTISE,   /* rc_advertise_address_parse */
    RC_FORM_PATH,        /* of a URL: begins with "/", visible ASCII without ? # % */
    RC_FORM_INSTANCE_ID, /* [A-Za-z0-9_.-] */
    RC_FORM_USER,        /* a user's name */
    RC_FORM_SOCKET_PATH, /* begins with "/" */
    RC_FORM_REDIS_URL,
    RC_FORM_CHANNEL,        /* rc_channel_name_check */
    RC_FORM_CHANNEL_PART,   /* any text without control characters */
    RC_FORM_FILE,           /* begins with "/" */
    RC_FORM_PUSHER_WEBHOOK, /* name of a webhook event */
    RC_FORM_SECRET,         /* visible ASCII, at least 8; never shown */
    RC_FORM_PHRASE,         /* any text without control characters; never shown */
    RC_FORM_ORIGIN,         /* rc_origin_normalize */
    RC_FORM_NETWORK,        /* rc_network_parse */
    RC_FORM_HEADER,         /* a token of RFC 9110 */
    RC_FORM_FORWARD,        /* the same, and none that is about the connection or frames the body */
    RC_FORM_QUERY,          /* [A-Za-z0-9_.-] */
    RC_FORM_NAMESPACE,      /* a channel name without ':' that is not "*" */
    RC_FORM_NSP_NAME,       /* rc_config_nsp_valid, or a beginning of one and "*" */
    RC_FORM_NSP,            /* such a name, or the beginning of one and "*" */
    RC_FORM_TRANSPORT,      /* RC_CONFIG_POLLING, RC_CONFIG_WEBSOCKET */
    RC_FORM_EVENT,          /* a name of a Socket.IO event that is not reserved (rc_config_event_reserved) */
    RC_FORM_ON,             /* such a name, or a beginning and "*", or "connect" or "disconnect" */
    RC_FORM_BACKEND_URL,    /* rc_backend_url_parse */
    RC_FORM_BACKEND_CALL,   /* rc_backend_call_of */
    RC_FORM_UNKNOWN_EVENT,  /* RC_UNKNOWN_EVENT_IGNORE, _ERROR, or _BACKEND and a name */
    RC_FORM_BREAKER,        /* rc_backend_breaker_parse */
    RC_FORM_ROOMS,          /* RULE: a list of rooms */
    RC_FORM_TO,             /* RULE: a room or a list of rooms */
    RC_FORM_EVENT_NAME,     /* RULE: a text */
    RC_FORM_VALUES,         /* RULE: a list of any values */
    RC_FORM_MATCH,          /* RULE: tables, see event_guards.h */
    RC_FORM_RATE,
    RC_FORM_RATE_BYTES,
    RC_FORM_WHO,
    RC_FORM_REFUSE,
    RC_FORM_SET, /* RULE: a table of any values */
    RC_FORM_CLOSE,
    RC_FORM_VALUE,      /* RULE: a text that may hold placeholders */
    RC_FORM_MEMBERS,    /* RULE: a table of any values */
    RC_FORM_CREDENTIAL, /* "auth.x", "query.x", "header.x", "cookie.x" */
    RC_FORM_ALGORITHM,  /* of a JWT */
    RC_FORM_BRIDGE,     /* a text with fields of rc_config_bridge_field */
    RC_FORM_URL,        /* begins with http:// or https:// */
};

/* May a text of this form stand in no message and no print? */
static inline bool rc_config_form_is_secret(enum rc_config_form form)
{
    return form == RC_FORM_SECRET || form == RC_FORM_PHRASE;
}

/* What is wrong with a text of this form, which is known to be short enough, UTF-8 and without control characters; NULL: nothing.
 * NUL-terminated. The answer may lie in `scratch`. */
const char *rc_config_form_problem(enum rc_config_form form, const char *text, size_t bytes, struct rc_err *scratch);

#endif
