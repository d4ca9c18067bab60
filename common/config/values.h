/*
 * values: the broker's configuration as plain memory without pointers, so that it lives in a segment of its own.
 *
 * Which key is which member, its unit, default, bounds, and whether a reload may change it stand in config.def alone. The
 * acceptor fills it (common/config/config.h) and publishes it; workers and the relay only read.
 */
#ifndef RC_COMMON_CONFIG_VALUES_H
#define RC_COMMON_CONFIG_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_CONFIG_TEXT_MAX 256       /* bytes of a string value, NUL included */
#define RC_CONFIG_LIST_MAX 32        /* items of a list value */
#define RC_CONFIG_NAMESPACES_MAX 64  /* [[namespace]] tables */
#define RC_CONFIG_PUSHER_APPS_MAX 16 /* [[pusher_app]] tables */
#define RC_CONFIG_ENDPOINTS_MAX 16   /* [[endpoint]] tables */
#define RC_CONFIG_BRIDGES_MAX 64     /* [[bridge]] tables */
#define RC_CONFIG_CONSUMERS_MAX 16   /* [[consumer]] tables */
#define RC_CONFIG_IDENTITIES_MAX 8   /* [[identity]] tables */
#define RC_CONFIG_JOIN_MAX 8         /* channels that an endpoint joins */
#define RC_CONFIG_NSPS_MAX 64        /* names and patterns of Socket.IO namespaces */
#define RC_CONFIG_TRANSPORTS_MAX 2
#define RC_CONFIG_POLLING "polling"
#define RC_CONFIG_WEBSOCKET "websocket"
#define RC_CONFIG_ATTACHMENTS_MAX 256 /* of a Socket.IO packet */
#define RC_NSP_MAX 128                /* bytes of a Socket.IO namespace's name: a room's channel is named by it, too */
#define RC_CONFIG_X_FORWARDED_FOR "x-forwarded-for"
#define RC_CONFIG_FORWARDED "forwarded"
#define RC_CONFIG_X_REAL_IP "x-real-ip"
#define RC_CONFIG_CORS_HEADERS_MAX 512
#define RC_CHANNEL_NAME_MAX 255    /* bytes of a channel name */
#define RC_CONFIG_EVENTS_MAX 256   /* [[event]] tables */
#define RC_EVENT_NAME_MAX 255      /* bytes of an event's name */
#define RC_EVENT_OPERATIONS_MAX 16 /* of an [[event]]: rooms to join and to leave, the ack, emits */
#define RC_EVENT_ROOMS_MAX 16      /* that one emit goes to */
#define RC_EVENT_TEMPLATE_MAX 4096 /* bytes of a template */
#define RC_EVENT_ARGUMENT_MAX 9999 /* N in {args.N} */
#define RC_EVENT_STEP_MAX 63       /* bytes of a name in {args.0.name} */
#define RC_EVENT_WANTED_MAX 255    /* bytes of a text that a value is compared with */
#define RC_EVENT_QUESTIONS_MAX 16  /* that a row asks */
#define RC_EVENT_SET_MAX 16        /* attributes that a row sets */
#define RC_EVENT_BUCKETS 512u
#define RC_EVENT_ARENA_BYTES (256u * 1024u)
#define RC_CONFIG_SCHEMAS_MAX 64     /* in [schemas] */
#define RC_CONFIG_SCHEMA_NAME_MAX 63 /* bytes */
#define RC_CONFIG_SCHEMA_BYTES_MAX (64u * 1024u)
#define RC_SCHEMA_STORE_BYTES (256u * 1024u)
#define RC_INSTANCE_ID_MAX 64        /* bytes of an instance id */
#define RC_CONFIG_BACKENDS_MAX 16    /* [[backend]] tables */
#define RC_CONFIG_BACKEND_URLS_MAX 8 /* of one of them */
#define RC_CONFIG_BACKEND_SECRETS_MAX 4
#define RC_CONFIG_BACKEND_FORWARD_MAX 16
#define RC_CONFIG_BACKEND_CALLS_MAX 5
#define RC_WORKERS_MAX 128

struct rc_config_text {
    char text[RC_CONFIG_TEXT_MAX]; /* NUL-terminated UTF-8 */
};

struct rc_config_list {
    uint32_t count;
    struct rc_config_text items[RC_CONFIG_LIST_MAX];
};

/* Who may do a thing (design: "who may"). RC_WHO_DEFAULT resolves at load: `anyone` while only this machine's clients come
 * (rc_config_outsiders); else subscribe stays `anyone` and publish, broadcast and direct become `none`; policies.h says what of
 * channels that [[event]] rows guard. */
enum rc_who {
    RC_WHO_DEFAULT,
    RC_WHO_ANYONE,
    RC_WHO_USER,
    RC_WHO_OWNER,
    RC_WHO_MEMBER, /* who is subscribed; not of subscribe */
    RC_WHO_RULES,  /* [[event]] rows and backends alone; of subscribe and publish */
    RC_WHO_NONE,
};
enum rc_history_scope { RC_HISTORY_SCOPE_HOST, RC_HISTORY_SCOPE_CLUSTER };
enum rc_slow_policy { RC_SLOW_DISCONNECT, RC_SLOW_SKIP, RC_SLOW_LATEST };
enum rc_delta_format { RC_DELTA_NONE, RC_DELTA_FOSSIL };
/* What happens to a client that sends faster than it may: it is read more slowly, or its connection is closed (1008). */
enum rc_rate_policy { RC_RATE_DELAY, RC_RATE_CLOSE };
enum rc_priority { RC_PRIORITY_NORMAL, RC_PRIORITY_CRITICAL };
enum rc_endpoint_protocol {
    RC_ENDPOINT_NATIVE,
    RC_ENDPOINT_RAW,
    RC_ENDPOINT_ENGINEIO,
    RC_ENDPOINT_SOCKETIO,
    RC_ENDPOINT_SSE,
    RC_ENDPOINT_PUSHER,
};
/* Which channels are an app's: those of a channel namespace "pusher-{id}", or those without a namespace. */
enum rc_pusher_channels { RC_PUSHER_CHANNELS_OWN, RC_PUSHER_CHANNELS_PLAIN };
#define RC_UNKNOWN_EVENT_IGNORE "ignore"
#define RC_UNKNOWN_EVENT_ERROR "error"
#define RC_UNKNOWN_EVENT_BACKEND "backend:" /* and its name */
enum rc_adapter { RC_ADAPTER_NONE, RC_ADAPTER_CLASSIC, RC_ADAPTER_SHARDED, RC_ADAPTER_STREAMS };
enum rc_subscription_sets_mode { RC_SUBSCRIPTION_SETS_CLIENTS, RC_SUBSCRIPTION_SETS_INSTANCES };
/* What becomes of a client's connect, subscribe or publish when its backend gave no answer. */
enum rc_backend_failure { RC_BACKEND_FAILURE_DENY, RC_BACKEND_FAILURE_ALLOW };
/* How the application is spoken to: asked by HTTP, or by links, which have its Socket.IO clients (docs/link.md). */
enum rc_backend_kind { RC_BACKEND_KIND_HTTP, RC_BACKEND_KIND_LINK };
/* Which process of an application a client comes to: the one with the fewest, or always the same of its user. */
enum rc_backend_balance { RC_BACKEND_BALANCE_LEAST, RC_BACKEND_BALANCE_USER };
enum rc_endpoint_incoming { RC_INCOMING_IGNORE, RC_INCOMING_BROADCAST, RC_INCOMING_PUBLISH };

/* At most `count` in any `window_ms`, as "100/1m"; count 0: no limit. */
struct rc_config_rate {
    uint32_t count;
    uint32_t window_ms;
};

/* Of which connections a second reference is kept. */
enum rc_keep { RC_KEEP_NONE, RC_KEEP_WEBSOCKET, RC_KEEP_ALL };

struct rc_config_server {
    struct rc_config_list listen; /* "address:port", "[v6]:port", "port", "unix:/path" */
    uint32_t workers;             /* 0 = auto: one per CPU that the process may run on */
    uint32_t rebalance_percent;   /* 0 = never */
    uint32_t max_workers;         /* places for workers; 0 or less than there are = as many as there are */
    struct rc_config_text instance_id;
    bool proxy_protocol;        /* http.trusted_proxies begin connections with a PROXY header */
    struct rc_config_text path; /* native end point */
    uint64_t max_connections;   /* 0 = what the descriptor limit allows */
    uint64_t drain_timeout_ms;
    struct rc_config_text user;
    bool pin_cpus;
    struct rc_config_text control_socket; /* "" = derived from the instance id under the run directory */
    uint64_t ring_bytes;                  /* each ring, power of two; at least 2 x (max_message_size + header) */
    uint64_t overflow_bytes;              /* relay's overflow per worker */
    uint64_t stuck_timeout_ms;            /* a heartbeat older than this marks a child stuck */
    uint64_t stuck_kill_timeout_ms;       /* one older than this gets it killed and restarted, 0 = never */
    uint64_t receive_buffers_bytes;       /* provided receive buffers per worker */
    enum rc_keep keep;
    bool adopt_crashed;
};

struct rc_config_limits {
    uint64_t max_message_size_bytes;
    uint64_t handshake_timeout_ms;
    uint64_t idle_timeout_ms;  /* 0 = off */
    uint64_t ping_interval_ms; /* 0 = off */
    uint64_t pong_timeout_ms;
    uint64_t close_timeout_ms; /* closing handshake and draining of the last bytes */
    uint32_t max_channels;     /* per connection */
    uint32_t max_channels_per_worker;
    uint32_t max_channel_name; /* bytes */
    uint32_t max_frames_per_message;
    /* per worker; 0 = no limit */
    uint32_t max_connections_per_address;
    uint32_t max_connections_per_network; /* IPv4 /24, IPv6 /64 */
    uint32_t max_connections_per_user;    /* of all workers together */
    uint32_t accept_rate;                 /* connections a second */
    /* per connection; 0 = no limit */
    uint32_t message_rate; /* messages a second */
    uint64_t byte_rate_bytes;
    enum rc_rate_policy rate_policy;
    uint64_t write_timeout_ms;
    uint64_t max_request_bytes; /* HTTP head */
    uint32_t max_request_headers;
    uint64_t max_body_bytes;       /* HTTP body */
    uint64_t channel_log_bytes;    /* log budget per channel and encoding */
    uint64_t worker_log_bytes;     /* log budget of a worker, all channels */
    uint32_t channel_log_messages; /* beyond channel_log_bytes, of large messages */
    uint64_t history_memory_bytes; /* of the history segment; 0 = nothing is kept */
    struct rc_config_text history_file;
    uint64_t max_reply_bytes;     /* unsent private replies of one connection before it is not read */
    uint64_t notsent_lowat_bytes; /* TCP_NOTSENT_LOWAT on listeners */
    uint64_t send_buffer_bytes;   /* SO_SNDBUF, 0 = kernel's */
};

struct rc_config_overload {
    uint64_t max_turn_ms;         /* 0 = no limit */
    uint64_t max_memory_bytes;    /* resident, of a worker; 0 = no limit */
    uint64_t min_available_bytes; /* of the host; 0 = no limit */
    uint32_t max_handshakes;      /* of a worker; 0 = no limit */
};

struct rc_config_sse {
    struct rc_config_text path; /* "" = off */
    uint64_t retry_ms;          /* that streams tell, give or take a half */
};

struct rc_config_socketio {
    struct rc_config_text path; /* "" = off */
    struct rc_config_text link; /* the [[backend]] of kind "link" that has all its clients; "" = none */
    uint32_t namespace_count;
    struct rc_config_text namespaces[RC_CONFIG_NSPS_MAX]; /* names, or "beginning*" */
    uint32_t transport_count;
    struct rc_config_text transports[RC_CONFIG_TRANSPORTS_MAX]; /* the two above */
    uint64_t ping_interval_ms;
    uint64_t ping_timeout_ms;
    uint64_t upgrade_timeout_ms;
    uint64_t connect_timeout_ms;
    uint64_t ack_timeout_ms;
    uint64_t recovery_ms; /* 0 = who comes back is somebody new */
    uint64_t recovery_memory_bytes;
    uint64_t recovery_max_bytes;
    bool recovery_rules; /* rows of "connect" run for who has come back, too */
    uint64_t max_payload_bytes;
    bool http_compression; /* of answers to polls */
    bool allow_eio3;
    uint32_t max_attachments;
    uint32_t max_unjoined;             /* on a worker; 0 = no bound */
    uint32_t max_unjoined_per_address; /* likewise */
    struct rc_config_rate event_rate;
    struct rc_config_text unknown_event; /* one of the three above */
    struct rc_config_text message_event;
    struct rc_config_text error_event;
    struct rc_config_text notification_event; /* "" = they have none */
    enum rc_adapter adapter;
    struct rc_config_text adapter_key;
    struct rc_config_text python_channel; /* "" = none */
    struct rc_config_text cookie;         /* "" = none */
    struct rc_config_text client_files;   /* "" = none */
};

struct rc_config_compression {
    bool enabled;
    uint64_t threshold_bytes; /* smaller messages are sent as they are */
    uint32_t level;
    uint32_t memory_level;
    uint32_t server_window_bits;
    uint32_t client_window_bits; /* history kept for a client with context takeover; 0 = none is kept */
};

struct rc_config_http {
    struct rc_config_list api_keys;
    struct rc_config_list allowed_origins;
    struct rc_config_list cors_methods;
    struct rc_config_list cors_headers; /* together below RC_CONFIG_CORS_HEADERS_MAX with ", " between them */
    bool cors_credentials;
    uint64_t cors_max_age_ms;
    struct rc_config_list trusted_proxies;   /* addresses or CIDR */
    struct rc_config_list forwarded_headers; /* the three above, whatever their case */
    struct rc_config_text admin_listen;
    bool public_metrics;         /* /metrics on public listeners too */
    bool metrics_instance_label; /* each of its series has the instance's id */
    bool public_page;            /* / on public listeners too */
};

struct rc_config_permissions {
    enum rc_who broadcast;
    enum rc_who direct;
};

#define RC_LOG_REDACT_DEFAULT UINT32_MAX /* as `redact` */
struct rc_config_log {
    uint32_t level;        /* enum rc_log_level */
    uint32_t format;       /* enum rc_log_format */
    uint32_t redact;       /* enum rc_log_redaction */
    uint32_t redact_users; /* enum rc_log_redaction, or RC_LOG_REDACT_DEFAULT; these four */
    uint32_t redact_names;
    uint32_t redact_emails;
    uint32_t redact_addresses;
    struct rc_config_text redact_key;
};

struct rc_config_debug {
    struct rc_config_text echo; /* path of the echo end point, "" = off */
    struct rc_config_text engineio_echo;
    struct rc_config_text handover;
    bool adopt_verify;
    struct rc_config_text user_query;
};

/* Where applications dial that no worker can dial (docs/link.md). */
struct rc_config_link {
    struct rc_config_list listen;     /* as server.listen */
    struct rc_config_list tls_listen; /* with tls.certificates */
};

struct rc_config_redis {
    struct rc_config_text url;
    struct rc_config_text prefix;
    uint64_t outbox_bytes;
    uint64_t outbox_max_age_ms;
    uint64_t history_wait_ms;
    bool sharded;
    struct rc_config_text tls_ca;
    struct rc_config_text tls_certificate;
    struct rc_config_text tls_key;
    struct rc_config_text tls_server_name;
    struct rc_config_text sentinel_user;
    struct rc_config_text sentinel_password;
};

struct rc_config_cluster {
    uint64_t heartbeat_interval_ms;
    uint64_t dead_instance_threshold_ms;
    uint32_t subscription_sets; /* enum rc_subscription_sets_mode */
    struct rc_config_text advertise;
};

struct rc_config_presence {
    bool users;
    struct rc_config_text events_channel; /* "" = none */
    struct rc_config_text online_event;
    struct rc_config_text offline_event;
    uint64_t offline_delay_ms;
};

struct rc_config_auth {
    struct rc_config_text user_header;
};

enum rc_tls_version { RC_TLS_12 = 12, RC_TLS_13 = 13 };

struct rc_config_tls {
    struct rc_config_list listen;
    struct rc_config_list certificates; /* PEM files: chain and key; the first is the default */
    enum rc_tls_version min_version;
    struct rc_config_text client_ca; /* "" = clients are not asked for certificates */
    bool client_required;
};

struct rc_config_namespace {
    char name[RC_CHANNEL_NAME_MAX + 1];
    uint32_t name_bytes;
    enum rc_who subscribe;
    enum rc_who publish;
    enum rc_who presence_who;
    enum rc_who history_who;
    struct rc_config_rate publish_rate;
    struct rc_config_rate publish_rate_bytes;
    struct rc_config_rate subscribe_rate;
    struct rc_config_rate unsubscribe_rate;
    uint32_t history;
    enum rc_history_scope history_scope;
    uint64_t history_ttl_ms; /* 0 = no bound */
    uint64_t history_bytes;  /* of a channel; 0 = no bound */
    enum rc_who retain;
    uint32_t retained_keys;
    enum rc_slow_policy slow_consumer;
    enum rc_delta_format delta;
    uint64_t min_interval_ms;
    uint32_t max_keys;
    enum rc_priority priority;
    bool presence;
    bool presence_events; /* who comes and goes is told; `presence` is on, too */
    uint64_t presence_interval_ms;
    uint32_t presence_members; /* of more users only how many there are is told */
    bool reveal_publisher;
    struct rc_config_text subscription_set; /* template; "" = none */
    bool compression;
    bool outbox; /* messages wait for Redis while it is away */
    bool made;   /* no table of the file: what rows guard (policies.h) */
    bool whole;  /* of channels without ':': this one name */
};

struct rc_config_endpoint {
    struct rc_config_text path;
    enum rc_endpoint_protocol protocol;
    uint32_t join_count;
    char join[RC_CONFIG_JOIN_MAX][RC_CHANNEL_NAME_MAX + 1];
    enum rc_endpoint_incoming incoming;
    char incoming_channel[RC_CHANNEL_NAME_MAX + 1];
};

/* [[pusher_app]]: an app of the Pusher Channels protocol (common/config/pusher.h). */
struct rc_config_pusher_app {
    struct rc_config_text id;
    struct rc_config_text key;
    struct rc_config_text secret;
    struct rc_config_text secret_file; /* "" = none; read into `secret` with the file */
    enum rc_pusher_channels channels;
    bool client_events;
    struct rc_config_rate client_event_rate; /* of a connection */
    uint32_t max_members;                    /* of a presence channel */
    uint32_t max_event_channels;             /* that one event is for */
    uint32_t max_batch;                      /* events of a batch */
    uint64_t max_event_bytes;                /* of an event's data */
    uint64_t activity_timeout_ms;
    bool subscription_count;
    bool watchlists;
    uint64_t authorize_within_ms;          /* 0 = nobody has to */
    struct rc_config_text webhook_backend; /* name of a [[backend]]; "" = none */
    struct rc_config_list webhooks;        /* what it is told */
};

/* Whether Redis is asked for tokens that were revoked; and when it does not answer, whether clients are refused or let in. */
enum rc_revocation_check { RC_REVOCATION_OFF, RC_REVOCATION_STRICT, RC_REVOCATION_LENIENT };

/* What an [[identity]] row of kind "jwt" says: config.def's keys of these names. The acceptor alone reads the files and the URL
 * (common/identity/material.h); what workers check signatures with is in the segment of keys (common/identity/key_board.h). */
struct rc_identity_jwt {
    struct rc_config_text secret;      /* TEXT: HMAC, its bytes as they stand; "" = none */
    struct rc_config_text secret_file; /* TEXT(PATH of a file): the same, without line breaks at its end */
    struct rc_config_list key_file;    /* LIST: PEM public keys and certificates */
    struct rc_config_text jwks_file;   /* TEXT: RFC 7517, a JWK Set or one JWK */
    struct rc_config_text jwks_url;    /* TEXT: https://…, or http:// on loopback */
    struct rc_config_text jwks_ca;     /* TEXT: PEM of the authorities of jwks_url; "" = the system's */
    uint64_t jwks_refresh_ms; /* DURATION "1h", 1m to 24h: how old keys of jwks_url become; less by Cache-Control */
    bool jwks_insecure;       /* BOOL false: http:// to other machines too */
    struct rc_config_list algorithms;    /* LIST: "RS256", …; none = those that fit the keys */
    struct rc_config_list issuer;        /* LIST: `iss` must be one of them; none = it is not looked at */
    struct rc_config_list audience;      /* LIST: `aud` must be, or have, one of them; none = it is not looked at */
    uint64_t leeway_ms;                  /* DURATION "60s", 0 to 10m */
    bool require_exp;                    /* BOOL true */
    enum rc_revocation_check revocation; /* WORD "off" */
};

/* common/config/bridge.h says what its texts may hold. */
#define RC_CONFIG_BRIDGE_ARGS_MAX 8
struct rc_config_bridge {
    struct rc_config_text redis;   /* "" = pattern */
    struct rc_config_text pattern; /* "" = redis */
    struct rc_config_text room;
    struct rc_config_text event;
    struct rc_config_text nsp;
    struct rc_config_text except; /* "" = nobody */
    uint32_t args_count;          /* 0 = the message is the data */
    struct rc_config_text args[RC_CONFIG_BRIDGE_ARGS_MAX];
    bool retain;
};

enum rc_consumer_from {
    RC_CONSUMER_NEWEST,
    RC_CONSUMER_OLDEST,
};

/* common/config/bridge.h says what its texts may hold, but for {match.N}. */
struct rc_config_consumer {
    struct rc_config_text stream;
    struct rc_config_text group;
    enum rc_consumer_from from; /* WORD "newest" */
    struct rc_config_text room;
    struct rc_config_text nsp;
    struct rc_config_text event; /* "" = none */
    struct rc_config_text key;   /* "" = none */
    struct rc_config_text data;
    bool retain;
};

/* common/config/backend.h says what its texts mean. */
struct rc_config_backend {
    struct rc_config_text name;
    enum rc_backend_kind kind;
    uint32_t url_count;
    struct rc_config_text urls[RC_CONFIG_BACKEND_URLS_MAX];
    uint32_t secret_count;
    struct rc_config_text secrets[RC_CONFIG_BACKEND_SECRETS_MAX]; /* the first signs */
    uint64_t timeout_ms;
    uint32_t connections; /* of a worker, to each address */
    uint32_t max_waiting; /* calls of a worker */
    uint32_t per_client;  /* calls in flight of one client */
    uint32_t forward_count;
    struct rc_config_text forward[RC_CONFIG_BACKEND_FORWARD_MAX]; /* names of request headers */
    uint32_t call_count;
    struct rc_config_text calls[RC_CONFIG_BACKEND_CALLS_MAX];
    enum rc_backend_failure on_failure;
    struct rc_config_text breaker;   /* "" = never opens */
    bool ask_again;                  /* events of a worker that was replaced or has died, by its successor */
    uint64_t max_body_bytes;         /* of an answer */
    uint64_t max_frame_bytes;        /* LINK: payload of a frame */
    uint64_t max_unsent_bytes;       /* LINK: for one process, before its clients are not read */
    uint64_t grace_ms;               /* LINK: how long clients of a process that is gone stay; 0 = they do not */
    uint64_t max_held_bytes;         /* LINK: what is held of one of them meanwhile */
    uint64_t max_held_all_bytes;     /* LINK: of all, in a worker */
    enum rc_backend_balance balance; /* LINK */
    struct rc_config_text tls_ca;    /* "" = the system's */
};

/*
 * [[event]]: what is done when a client of Socket.IO, or a Node server, says something. Compiled once, when the file is read: rows,
 * and behind them an arena that holds their operations, templates and texts; places in it are offsets. common/config/event_rules.h
 * reads it, event_build.h makes it.
 *
 *   row ─▶ operations ─▶ templates (rooms, event, args) ─▶ pieces ─▶ literal text, or a value and the way into it
 */
enum rc_event_from { RC_EVENT_FROM_CLIENT, RC_EVENT_FROM_SERVER };

enum rc_event_source {
    RC_EVENT_SOURCE_ARGUMENT, /* {args.N}, {args.N.a.b} */
    RC_EVENT_SOURCE_REST,     /* {args.N..}, the list from the Nth on; {args} is from the first on */
    /* documents: {auth}, {auth.a.b} */
    RC_EVENT_SOURCE_AUTH,   /* what the client sent when it connected */
    RC_EVENT_SOURCE_USER,   /* who it is: attributes, and `id` */
    RC_EVENT_SOURCE_CLIENT, /* what rows have set on its connection */
    RC_EVENT_SOURCE_QUERY,  /* of its handshake's request */
    RC_EVENT_SOURCE_HEADER,
    RC_EVENT_SOURCE_COOKIE,
    RC_EVENT_SOURCE_CLAIMS,  /* [[identity]]: of its token */
    RC_EVENT_SOURCE_SESSION, /* [[identity]]: its session */
    RC_EVENT_SOURCE_ERROR,   /* of refuse.ack: `code` and `message` */
    /* names */
    RC_EVENT_SOURCE_SID,
    RC_EVENT_SOURCE_NSP,
    RC_EVENT_SOURCE_EVENT,
    RC_EVENT_SOURCE_ADDRESS, /* the client's, behind trusted proxies */
    RC_EVENT_SOURCE_INSTANCE,
    RC_EVENT_SOURCE_NOW, /* ISO 8601, milliseconds, Z; like the two below the same in all of one event */
    RC_EVENT_SOURCE_UUID,
    RC_EVENT_SOURCE_ROOM,      /* `each`: the room that is gone through; its whole name */
    RC_EVENT_SOURCE_ROOM_PART, /* {room.NAME}: what stands in the place of {NAME} */
    /* JSON */
    RC_EVENT_SOURCE_NOW_MS, /* a number */
    RC_EVENT_SOURCE_ANSWER, /* {count:ROOM} and its like: of the row's question of that index */
};
#define RC_EVENT_SOURCE_BIT(source) (1u << (source))
#define RC_EVENT_DOCUMENTS (RC_EVENT_SOURCE_ERROR - RC_EVENT_SOURCE_AUTH + 1)

/* Is it a document: JSON, whose parts a path leads to? */
static inline bool rc_event_source_is_document(uint8_t source)
{
    return source >= RC_EVENT_SOURCE_AUTH && source <= RC_EVENT_SOURCE_ERROR;
}

enum rc_event_piece_type {
    RC_EVENT_PIECE_LITERAL, /* its text, which is JSON in a message */
    RC_EVENT_PIECE_VALUE,   /* messages: the value itself, null where there is none */
    RC_EVENT_PIECE_TEXT,    /* what a string, number or boolean reads as; in messages within a JSON string */
    RC_EVENT_PIECE_SPLICE,  /* messages: elements of a list, each behind a comma where something is before it */
    RC_EVENT_PIECE_COMMA,   /* messages: a comma where something is before it in its list */
};

struct rc_event_piece {
    uint8_t type;   /* enum rc_event_piece_type */
    uint8_t source; /* enum rc_event_source, unless LITERAL or COMMA */
    uint16_t index; /* N of ARGUMENT and REST */
    uint32_t
        at; /* LITERAL: its bytes; ARGUMENT and documents: names with dots between, of 0 bytes for the value itself */
    uint32_t bytes;
};

/* Bytes of the arena; none: it was not given. */
struct rc_event_text {
    uint32_t at;
    uint32_t bytes;
};

/* A room of which the client says in what channel namespace it is: what stands before its first ":" comes from the client. */
#define RC_EVENT_CLIENT_CHOOSES 1u

struct rc_event_template {
    uint32_t pieces; /* where they are: struct rc_event_piece[piece_count] */
    uint16_t piece_count;
    uint16_t flags;  /* of a room: RC_EVENT_CLIENT_CHOOSES */
    uint32_t source; /* the template in TOML, to show it; of 0 bytes: the default */
    uint32_t source_bytes;
};

/* Of `match`, and of `who` by attributes: a value that has to be one of some. */
struct rc_event_condition {
    struct rc_event_piece value;     /* a VALUE */
    struct rc_event_template wanted; /* a constant: a string, number or boolean, or a list of them */
    struct rc_event_text key;        /* as the file has it */
};

enum rc_event_who { RC_EVENT_WHO_ANYONE, RC_EVENT_WHO_USER, RC_EVENT_WHO_ATTRIBUTES };

/* What may keep an event from being carried out, in the order in which it is looked at. */
enum rc_event_guard { RC_GUARD_RATE, RC_GUARD_WHO, RC_GUARD_SCHEMA, RC_GUARD_INSIDE, RC_GUARD_IDENTIFY, RC_GUARDS };

struct rc_event_rate {
    uint32_t count; /* 0 = no limit */
    uint32_t window_ms;
    struct rc_event_text text; /* as the file has it */
};

struct rc_event_guards {
    uint32_t match; /* where they are: struct rc_event_condition[match_count], all of which must hold */
    uint32_t match_count;
    enum rc_event_who who;
    uint32_t attributes; /* ATTRIBUTES: struct rc_event_condition[attribute_count] */
    uint32_t attribute_count;
    uint32_t inside_count;           /* 1: there is one */
    struct rc_event_template inside; /* a room */
    uint32_t rated;                  /* of these there are so many */
    struct rc_event_rate rate;       /* of events */
    struct rc_event_rate rate_bytes; /* of what they say */
    uint32_t rate_group;             /* index + 1 of the rates that rows share; 0: they are the event's own */
    struct rc_event_text rate_group_name;
    /* how it is told: JSON, where it was given */
    uint32_t refuse_count; /* keys that were given */
    struct rc_event_text code;
    struct rc_event_text texts[RC_GUARDS];
    struct rc_event_text event;
    struct rc_event_template ack; /* a list; of 0 pieces: [{ error = { code, message } }] */
};

/* What a row asks about a room, of this host. */
enum rc_event_question_kind {
    RC_QUESTION_COUNT,    /* how many are in it */
    RC_QUESTION_MEMBERS,  /* ids of its sockets */
    RC_QUESTION_USERS,    /* ids of their users, each once */
    RC_QUESTION_OTHERS,   /* `when`: how many besides who sent the event */
    RC_QUESTION_RETAINED, /* its retained value */
};

struct rc_event_question {
    uint32_t kind;      /* enum rc_event_question_kind */
    uint32_t everybody; /* 1: of everybody in the namespace ("*"), and there is no room */
    struct rc_event_template room;
};

enum rc_event_when { RC_EVENT_ALWAYS, RC_EVENT_WHEN_ALONE, RC_EVENT_WHEN_COMPANY };

/* A row's operations are in this order. */
enum rc_event_operation_type {
    RC_RULE_LEAVE,
    RC_RULE_SET, /* args: a JSON object of what is set on the connection */
    RC_RULE_JOIN,
    RC_RULE_RETAIN, /* rooms: one, whose retained value the event's arguments are from then on */
    RC_RULE_ACK,
    RC_RULE_EMIT,
    RC_RULE_CLOSE, /* args: the reason, a JSON string */
};

/* Flags of EMIT. */
#define RC_EVENT_TO_SENDER 1u    /* no rooms: to who sent the event */
#define RC_EVENT_TO_EVERYBODY 2u /* no rooms: to all in the namespace */
#define RC_EVENT_OTHERS 4u       /* but not to who sent the event */
#define RC_EVENT_VOLATILE 8u     /* not to who cannot take it when it comes */

struct rc_event_operation {
    uint32_t type; /* enum rc_event_operation_type */
    uint32_t flags;
    uint32_t rooms; /* LEAVE, JOIN, RETAIN, EMIT. Where they are: struct rc_event_template[room_count] */
    uint32_t room_count;
    uint32_t excepts; /* EMIT: likewise, rooms whose members do not get it: except_count */
    uint32_t except_count;
    uint16_t when;                  /* EMIT: enum rc_event_when */
    uint16_t when_question;         /* its index */
    struct rc_event_template event; /* EMIT: a text */
    struct rc_event_template args;  /* SET: a JSON object; ACK, EMIT: an array; CLOSE: a string */
};

struct rc_config_event {
    struct rc_config_text on; /* "connect" and "disconnect" of clients are the life cycle */
    struct rc_config_text nsp;
    struct rc_config_text ask; /* "" = no backend */
    enum rc_event_from from;
    struct rc_config_text schema;   /* its name, "": none */
    uint32_t schema_at;             /* where it is (rc_config_schema_at), 0: none */
    struct rc_config_text identify; /* name of an [[identity]], "": none */
    uint32_t identify_at;           /* its index + 1, 0: none */
    struct rc_event_guards guards;
    uint32_t leave_count;  /* rooms */
    uint32_t set_count;    /* attributes */
    uint32_t join_count;   /* rooms */
    uint32_t retain_count; /* 1: it sets a retained value */
    uint32_t ack_count;    /* 1: it is acknowledged */
    uint32_t emit_count;
    uint32_t close_count; /* 1: it closes the connection */
    uint32_t uses;        /* a bit for each enum rc_event_source that its templates name */
    uint32_t operations;  /* where they are: struct rc_event_operation[operation_count] */
    uint32_t operation_count;
    uint32_t chosen_count; /* rooms of these whose channel namespace the client names: RC_EVENT_CLIENT_CHOOSES */
    uint32_t questions;    /* where they are: struct rc_event_question[question_count] */
    uint32_t question_count;
    uint32_t each_count;       /* 1: it is carried out for each of the client's rooms that fit */
    struct rc_event_text each; /* as the file has it: what stands before a name, the name, and what stands behind it */
    struct rc_event_text each_head;
    struct rc_event_text each_name; /* none: `each` is one room */
    struct rc_event_text each_tail;
    uint32_t next; /* index + 1 of the next row for the same event, or, of a pattern, of the next pattern; 0: none */
};

static inline bool rc_event_uses(const struct rc_config_event *row, enum rc_event_source source)
{
    return (row->uses & RC_EVENT_SOURCE_BIT(source)) != 0;
}

/* One of [schemas]; common/config/schemas.h. */
struct rc_config_schemas {
    char name[RC_CONFIG_SCHEMA_NAME_MAX + 1];
    uint32_t at; /* in the store: what it was compiled to (common/text/json_schema.h) */
    uint32_t source;
    uint32_t source_bytes;
};

struct rc_schema_store {
    uint32_t bytes; /* in use; the first ones are nobody's */
    uint8_t memory[RC_SCHEMA_STORE_BYTES] __attribute__((aligned(8)));
};

/* An emit while it is read. */
struct rc_config_emit {
    uint32_t to_count;
    uint32_t excepts; /* where they are: struct rc_event_template[except_count] */
    uint32_t except_count;
    uint32_t when_count;
    bool others;
    uint16_t when;
    uint16_t when_question;
    bool is_volatile;
    struct rc_event_template event;
    struct rc_event_template args;
};

/*
 * [[identity]]: who a client is. Its templates lie in the same arena as those of rows.
 */
enum rc_identity_kind {
    RC_IDENTITY_JWT,
    RC_IDENTITY_SESSION,
    RC_IDENTITY_BACKEND,
    RC_IDENTITY_PROXY,
    RC_IDENTITY_CERTIFICATE
};
enum rc_identity_at { RC_IDENTITY_AT_CONNECT, RC_IDENTITY_AT_HANDSHAKE };

struct rc_config_identity {
    struct rc_config_text name; /* "" = none */
    struct rc_config_list from; /* "auth.token", "query.token", "header.authorization", "cookie.session" */
    enum rc_identity_kind kind;
    enum rc_identity_at at;
    bool required;
    struct rc_config_text refused;
    struct rc_config_text refused_data;  /* a JSON value; "" = none */
    struct rc_event_template user;       /* a JSON value; of 0 pieces: the kind's own */
    struct rc_event_template attributes; /* a JSON object; of 0 pieces: none */
    struct rc_event_template same;       /* a JSON array: pairs of values that must read alike; of 0 pieces: none */
    struct rc_config_text key;           /* SESSION: template of the Redis key, with {id} */
    struct rc_config_list secrets;       /* SESSION: of signed cookies; none = they are not signed */
    struct rc_config_text backend;       /* BACKEND: its name */
    struct rc_identity_jwt jwt;
};

/* What is kept of handshakes' requests, because some template or `from` names it. */
#define RC_HANDSHAKE_NAMES_MAX 32
struct rc_handshake_name {
    uint8_t source; /* enum rc_event_source: QUERY, HEADER, COOKIE */
    uint8_t bytes;
    char text[RC_EVENT_STEP_MAX + 1]; /* of a header, in whatever case */
};

struct rc_event_rules {
    uint32_t arena_bytes; /* in use */
    uint32_t rows_bytes;  /* of them, those of rows: templates of [[identity]] come behind */
    uint32_t rate_group_count;
    uint32_t first_pattern;             /* index + 1 of the first row whose namespace or event is a pattern; 0: none */
    uint16_t buckets[RC_EVENT_BUCKETS]; /* index + 1 of the first row for an event, 0: none */
    uint8_t arena[RC_EVENT_ARENA_BYTES] __attribute__((aligned(8)));
};

struct rc_config {
    struct rc_config_server server;
    struct rc_config_limits limits;
    struct rc_config_overload overload;
    struct rc_config_sse sse;
    struct rc_config_socketio socketio;
    struct rc_config_link link;
    struct rc_config_redis redis;
    struct rc_config_cluster cluster;
    struct rc_config_presence presence;
    struct rc_config_tls tls;
    struct rc_config_compression compression;
    struct rc_config_http http;
    struct rc_config_auth auth;
    struct rc_config_permissions permissions;
    struct rc_config_log log;
    struct rc_config_debug debug;
    uint32_t namespace_count;
    uint32_t whole_count; /* of them for whole names */
    uint32_t
        presence_namespace; /* of channels that carry presence events (common/records/channel_name.h); 0 = there are none */
    uint32_t endpoint_count;
    uint32_t pusher_app_count;
    uint32_t bridge_count;
    uint32_t consumer_count;
    uint32_t event_count;
    uint32_t schemas_count;
    uint32_t backend_count;
    uint32_t identity_count;
    uint32_t handshake_name_count; /* rc_config_finish */
    /* namespaces[0] is `default`: names without ':' and names whose namespace has no table of its own */
    struct rc_config_namespace namespaces[RC_CONFIG_NAMESPACES_MAX];
    struct rc_config_endpoint endpoints[RC_CONFIG_ENDPOINTS_MAX];
    struct rc_config_pusher_app pusher_apps[RC_CONFIG_PUSHER_APPS_MAX];
    struct rc_config_bridge bridges[RC_CONFIG_BRIDGES_MAX];
    struct rc_config_consumer consumers[RC_CONFIG_CONSUMERS_MAX];
    struct rc_config_backend backends[RC_CONFIG_BACKENDS_MAX];
    struct rc_config_event events[RC_CONFIG_EVENTS_MAX];
    uint32_t
        event_lines[RC_CONFIG_EVENTS_MAX]; /* of the file, for people: not what the rows are (rc_event_rules_equal) */
    struct rc_config_identity identities[RC_CONFIG_IDENTITIES_MAX];
    struct rc_handshake_name handshake_names[RC_HANDSHAKE_NAMES_MAX];
    struct rc_event_rules event_rules;
    struct rc_config_schemas schemas[RC_CONFIG_SCHEMAS_MAX];
    struct rc_schema_store schema_store;
};

#endif
