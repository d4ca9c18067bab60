/* form: see form.h. */
#include "common/config/form.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/config/backend.h"
#include "common/config/bridge.h"
#include "common/config/pusher.h"
#include "common/config/redis_url.h"
#include "common/config/socketio.h"
#include "common/config/text.h"
#include "common/config/values.h"
#include "common/text/template.h"

#define WORD_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

/* True when every byte of a NUL-terminated text is one of `allowed`. */
static bool made_of(const char *text, const char *allowed)
{
    return text[strspn(text, allowed)] == '\0';
}

static bool visible_ascii(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~') {
            return false;
        }
    }
    return true;
}

/* A namespace's name, or a pattern: the beginning of one and "*". */
static bool nsp_or_pattern(const char *text, size_t bytes)
{
    const size_t name = bytes > 1 && text[bytes - 1] == '*' ? bytes - 1 : bytes;
    return rc_config_nsp_valid(rc_span_of(text, name));
}

/* Which part of what a client sends, and its name there. */
static bool is_credential(const char *text)
{
    static const char *const parts[] = {"auth.", "query.", "header.", "cookie."};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const size_t bytes = strlen(parts[i]);
        if (strncmp(text, parts[i], bytes) == 0) {
            return text[bytes] != '\0' && strlen(text + bytes) <= RC_EVENT_STEP_MAX && visible_ascii(text);
        }
    }
    return false;
}

static int bridge_text_parse(const char *text, struct rc_err *err)
{
    struct rc_template template;
    struct rc_err why;
    return rc_template_compile(&template, text, rc_config_bridge_field, &why) == 0
               ? 0
               : rc_err_set(err, -EINVAL,
                            "%s; write {json.field}, {json.field.field}, or {match.1} where there is a pattern",
                            why.text);
}

/*
 * A header that a request may have passed on: not one of this connection alone (RFC 9110 7.6.1), of where the body ends (RFC 9112 6), of
 * whom it is for, or one that every call has of its own: there would be two of it, and they would say different things.
 */
static const char *forward_problem(const char *text)
{
    static const char *const own[] = {"accept",           "connection",  "content-length",  "content-type",
                                      "expect",           "host",        "http2-settings",  "keep-alive",
                                      "proxy-connection", "te",          "trailer",         "transfer-encoding",
                                      "upgrade",          "traceparent", "content-encoding"};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (strcasecmp(text, own[i]) == 0) {
            return "a header of this connection or of the call itself, which a client's must not stand beside: leave it out";
        }
    }
    return strncasecmp(text, "ringcast-", strlen("ringcast-")) == 0
               ? "the headers that begin with \"ringcast-\" are the call's own: leave it out"
           : made_of(text, WORD_BYTES "!#$%&'*+-.^_`|~") ? NULL
                                                         : "expected the name of a request header";
}

/* Those with a parser of their own: 0, negative with what is wrong in `err`; 1: it is none of them. */
static int form_parse(enum rc_config_form form, const char *text, size_t bytes, struct rc_err *err)
{
    struct rc_listen_address address;
    struct rc_network network;
    struct rc_redis_url redis;
    struct rc_backend_url backend;
    uint32_t failures;
    uint64_t within_ms;
    switch (form) {
    case RC_FORM_LISTEN:
        return rc_listen_address_parse(&address, text, bytes, err);
    case RC_FORM_ADVERTISE:
        return rc_advertise_address_parse(&address, text, bytes, err);
    case RC_FORM_NETWORK:
        return rc_network_parse(&network, text, bytes, err);
    case RC_FORM_BACKEND_URL:
        return rc_backend_url_parse(&backend, text, err);
    case RC_FORM_BREAKER:
        return rc_backend_breaker_parse(text, &failures, &within_ms, err);
    case RC_FORM_BRIDGE:
        return bridge_text_parse(text, err);
    case RC_FORM_REDIS_URL:
        return visible_ascii(text) ? rc_redis_url_parse(&redis, text, err)
                                   : rc_err_set(err, -EINVAL, "expected visible ASCII characters without spaces");
    default:
        return 1;
    }
}

/* "ignore", "error" or "backend:NAME". */
static const char *unknown_event_problem(const char *text, size_t bytes)
{
    return strcmp(text, RC_UNKNOWN_EVENT_IGNORE) == 0 || strcmp(text, RC_UNKNOWN_EVENT_ERROR) == 0 ||
                   (strncmp(text, RC_UNKNOWN_EVENT_BACKEND, strlen(RC_UNKNOWN_EVENT_BACKEND)) == 0 &&
                    bytes > strlen(RC_UNKNOWN_EVENT_BACKEND) &&
                    made_of(text + strlen(RC_UNKNOWN_EVENT_BACKEND), WORD_BYTES "_.-"))
               ? NULL
               : "expected \"ignore\", \"error\" or \"backend:NAME\"";
}

static const char *pusher_webhook_problem(const char *text, size_t bytes)
{
    return rc_pusher_webhook_of(rc_span_of(text, bytes)) != 0
               ? NULL
               : "expected \"channel_occupied\", \"channel_vacated\", \"member_added\", \"member_removed\", "
                 "\"client_event\", \"cache_miss\" or \"subscription_count\"";
}

static const char *backend_call_problem(const char *text)
{
    return rc_backend_call_of(text) >= 0
               ? NULL
               : "expected \"connect\", \"disconnect\", \"subscribe\", \"publish\" or \"refresh\"";
}

const char *rc_config_form_problem(enum rc_config_form form, const char *text, size_t bytes, struct rc_err *scratch)
{
    const int parsed = form_parse(form, text, bytes, scratch);
    if (parsed <= 0) {
        return parsed == 0 ? NULL : scratch->text;
    }
    switch (form) {
    case RC_FORM_LISTEN: /* form_parse */
    case RC_FORM_ADVERTISE:
    case RC_FORM_NETWORK:
    case RC_FORM_BACKEND_URL:
    case RC_FORM_BREAKER:
    case RC_FORM_BRIDGE:
    case RC_FORM_REDIS_URL:
        break;
    case RC_FORM_PATH:
        return text[0] == '/' && visible_ascii(text) && strpbrk(text, "?#%") == NULL
                   ? NULL
                   : "expected a path such as \"/live\" (begins with /, without spaces, ?, # and %)";
    case RC_FORM_INSTANCE_ID:
    case RC_FORM_QUERY:
        return made_of(text, WORD_BYTES "_.-") ? NULL : "expected letters, digits, _, . and -";
    case RC_FORM_BACKEND_CALL:
        return backend_call_problem(text);
    case RC_FORM_PUSHER_WEBHOOK:
        return pusher_webhook_problem(text, bytes);
    case RC_FORM_UNKNOWN_EVENT:
        return unknown_event_problem(text, bytes);
    case RC_FORM_USER:
        return made_of(text, WORD_BYTES "_.-") && text[0] != '-' ? NULL : "expected a user's name";
    case RC_FORM_SOCKET_PATH:
    case RC_FORM_FILE:
        return text[0] == '/' ? NULL : "expected an absolute path (one that begins with /)";
    case RC_FORM_SECRET:
        return visible_ascii(text) && bytes >= 8 ? NULL : "expected at least 8 visible ASCII characters without spaces";
    case RC_FORM_HEADER:
        return made_of(text, WORD_BYTES "!#$%&'*+-.^_`|~") ? NULL : "expected the name of a request header";
    case RC_FORM_FORWARD:
        return forward_problem(text);
    case RC_FORM_NAMESPACE:
        return strchr(text, ':') == NULL && strcmp(text, "*") != 0 ? NULL
                                                                   : "expected a name without \":\" that is not \"*\"";
    case RC_FORM_ON:
        return !rc_config_event_reserved(rc_span_of(text, bytes)) || strcmp(text, "connect") == 0 ||
                       strcmp(text, "disconnect") == 0
                   ? NULL
                   : "expected a name that Socket.IO does not reserve, \"connect\" or \"disconnect\"";
    case RC_FORM_NSP_NAME:
        return rc_config_nsp_valid(rc_span_of(text, bytes - (bytes > 1 && text[bytes - 1] == '*')))
                   ? NULL
                   : "expected a namespace such as \"/\" or \"/admin\" (without commas, ? and #), or a beginning and *";
    case RC_FORM_NSP:
        return nsp_or_pattern(text, bytes)
                   ? NULL
                   : "expected a namespace such as \"/\" or \"/admin\", or a beginning with a \"*\" such as \"/room-*\" "
                     "(without commas, ?, # and other *)";
    case RC_FORM_TRANSPORT:
        return strcmp(text, RC_CONFIG_POLLING) == 0 || strcmp(text, RC_CONFIG_WEBSOCKET) == 0
                   ? NULL
                   : "expected \"polling\" or \"websocket\"";
    case RC_FORM_EVENT:
        return rc_config_event_reserved(rc_span_of(text, bytes)) ? "expected a name that Socket.IO does not reserve"
                                                                 : NULL;
    case RC_FORM_CREDENTIAL:
        return is_credential(text) ? NULL
                                   : "expected where a credential is: \"auth.token\", \"query.token\", "
                                     "\"header.authorization\" or \"cookie.session\"";
    case RC_FORM_ALGORITHM:
        return made_of(text, WORD_BYTES) ? NULL : "expected the name of an algorithm, such as \"RS256\"";
    case RC_FORM_URL:
        return visible_ascii(text) && (strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0)
                   ? NULL
                   : "expected a URL that begins with https:// (or http://)";
    case RC_FORM_CHANNEL:
    case RC_FORM_CHANNEL_PART:
    case RC_FORM_PHRASE:
    case RC_FORM_VALUES:
    default: /* no more than the kind of its key asks for, or form_parse looks at it */
        break;
    }
    return NULL;
}
