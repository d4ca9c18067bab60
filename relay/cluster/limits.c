/* limits: see limits.h. */
#include "relay/cluster/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/base/check.h"
#include "common/records/limit.h"

#define CODE_UNAVAILABLE 503
#define KEY_HEAD "rate:"
#define NAME_IN_KEY_MAX 256u /* longer ones are hashed: a key with its prefix has to fit RC_REDIS_NAME_MAX */

/* KEYS: what is counted. ARGV: how many, in how many ms; how many of them now. {1, 0}, or {0, ms until there is room}. The log in one value:
 * the current entry, then time and count of each, filled as common/shm/windows.c fills its own. A clock that was set back makes nobody
 * younger. */
static const char script[] = "local n=tonumber(ARGV[1])\n"
                             "local w=tonumber(ARGV[2])\n"
                             "local m=tonumber(ARGV[3])\n"
                             "local t=redis.call('TIME')\n"
                             "local now=tonumber(t[1])*1000+math.floor(tonumber(t[2])/1000)\n"
                             "local p=math.min(n,28)\n"
                             "local raw=redis.call('GET',KEYS[1])\n"
                             "local s=nil\n"
                             "if raw then\n"
                             "  local good,was=pcall(cmsgpack.unpack,raw)\n"
                             "  if good and type(was)=='table' and #was==2*p+1 then s=was end\n"
                             "end\n"
                             "if not s then\n"
                             "  s={}\n"
                             "  for i=1,2*p+1 do s[i]=0 end\n"
                             "end\n"
                             "local c=s[1]\n"
                             "if now<s[2+2*c] then now=s[2+2*c] end\n"
                             "local function share(i) return math.floor((i+1)*n/p)-math.floor(i*n/p) end\n"
                             "local used=math.min(s[3+2*c],share(c))\n"
                             "local room=share(c)-used\n"
                             "local wait=0\n"
                             "local i=c\n"
                             "for k=1,p do\n"
                             "  if room>=m then break end\n"
                             "  i=(i+1)%p\n"
                             "  local age=now-s[2+2*i]\n"
                             "  if s[3+2*i]>0 and age<w then wait=math.max(wait,w-age) end\n"
                             "  room=room+(i==c and used or share(i))\n"
                             "end\n"
                             "if wait>0 then return {0,wait} end\n"
                             "while m>0 do\n"
                             "  if s[3+2*c]>=share(c) then\n"
                             "    c=(c+1)%p\n"
                             "    s[3+2*c]=0\n"
                             "  end\n"
                             "  local part=math.min(m,share(c)-s[3+2*c])\n"
                             "  s[2+2*c]=now\n"
                             "  s[3+2*c]=s[3+2*c]+part\n"
                             "  m=m-part\n"
                             "end\n"
                             "s[1]=c\n"
                             "redis.call('SET',KEYS[1],cmsgpack.pack(s),'PX',w)\n"
                             "return {1,0}";

/* One question on its way. */
struct rc_limit_flight {
    struct rc_cluster_limits *limits;
    struct rc_limit_flight *next; /* of the free ones */
    uint32_t worker;
    bool whole; /* the script went along */
    struct rc_envelope asked;
    struct rc_limit_head head;
    size_t name_bytes;
    char name[NAME_IN_KEY_MAX];
};

/* --- answers --------------------------------------------------------------------------------------------------------- */

static void limits_send(struct rc_cluster_limits *limits, uint32_t worker, const struct rc_envelope *asked,
                        uint16_t code, const struct rc_limit_result *result)
{
    const struct rc_envelope_view view = {.head = {.origin = asked->origin,
                                                   .token = asked->token,
                                                   .code = code,
                                                   .data_bytes = result == NULL ? 0 : (uint32_t)sizeof(*result)},
                                          .data = (const uint8_t *)result};
    (void)rc_router_send(limits->router, worker, RC_DOWN_LIMIT,
                         &view); /* what is not told the worker decides by itself */
}

static void flight_end(struct rc_limit_flight *flight, const struct rc_limit_result *result)
{
    struct rc_cluster_limits *limits = flight->limits;
    limits_send(limits, flight->worker, &flight->asked, result == NULL ? CODE_UNAVAILABLE : 0, result);
    flight->next = limits->free;
    limits->free = flight;
}

/* --- Redis ----------------------------------------------------------------------------------------------------------- */

static void flight_replied(void *context, const redisReply *reply);

static int flight_send(struct rc_limit_flight *flight)
{
    const struct rc_cluster_limits *limits = flight->limits;
    char key[RC_REDIS_NAME_MAX];
    char count[12];
    char window[12];
    char cost[12];
    (void)snprintf(count, sizeof(count), "%u", flight->head.count);
    (void)snprintf(window, sizeof(window), "%u", flight->head.window_ms);
    (void)snprintf(cost, sizeof(cost), "%u", flight->head.cost);
    const struct rc_span argv[] = {
        flight->whole ? RC_SPAN("EVAL") : RC_SPAN("EVALSHA"),
        flight->whole ? rc_span_text(script) : rc_span_text(limits->sha1),
        RC_SPAN("1"),
        rc_redis_key(limits->link, key, KEY_HEAD "%.*s", (int)flight->name_bytes, flight->name),
        rc_span_text(count),
        rc_span_text(window),
        rc_span_text(cost)};
    return rc_redis_command(limits->link, flight_replied, flight, 3, RC_ARRAY_COUNT(argv), argv);
}

static void flight_replied(void *context, const redisReply *reply)
{
    struct rc_limit_flight *flight = context;
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR && !flight->whole &&
        strncmp(reply->str, "NOSCRIPT", 8) == 0) {
        flight->whole = true; /* another node, or one that was told to forget it */
        if (flight_send(flight) == 0) {
            return;
        }
    } else if (reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
               reply->element[0]->type == REDIS_REPLY_INTEGER && reply->element[1]->type == REDIS_REPLY_INTEGER) {
        const long long wait_ms = reply->element[1]->integer;
        const struct rc_limit_result result = {.allowed = reply->element[0]->integer == 1,
                                               .retry_ms = wait_ms < 0            ? 0
                                                           : wait_ms > UINT32_MAX ? UINT32_MAX
                                                                                  : (uint32_t)wait_ms};
        flight->limits->loaded = true;
        flight_end(flight, &result);
        return;
    }
    flight_end(flight, NULL);
}

/* --- questions ------------------------------------------------------------------------------------------------------- */

static bool sha1_text(const void *bytes, size_t count, char out[RC_LIMIT_SHA1_TEXT])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned int digest_bytes = 0;
    if (EVP_Digest(bytes, count, digest, &digest_bytes, EVP_sha1(), NULL) != 1 || digest_bytes != 20) {
        return false;
    }
    for (uint32_t i = 0; i < digest_bytes; i++) {
        (void)snprintf(out + (size_t)i * 2, 3, "%02x", digest[i]);
    }
    return true;
}

static struct rc_limit_flight *limits_place(struct rc_cluster_limits *limits)
{
    struct rc_limit_flight *flight = limits->free;
    if (flight != NULL) {
        limits->free = flight->next;
    } else if (limits->used < RC_LIMIT_FLIGHTS_MAX) {
        flight = &limits->all[limits->used++];
    }
    return flight;
}

/* The name as it is, or its hash. False: it cannot be made. */
static bool flight_name(struct rc_limit_flight *flight, struct rc_span name)
{
    char sha1[RC_LIMIT_SHA1_TEXT];
    const bool whole = name.count <= sizeof(flight->name) && memchr(name.bytes, 0, name.count) == NULL;
    if (!whole && !sha1_text(name.bytes, name.count, sha1)) {
        return false;
    }
    const struct rc_span used = whole ? name : rc_span_text(sha1);
    memcpy(flight->name, used.bytes, used.count);
    flight->name_bytes = used.count;
    return true;
}

void rc_cluster_limits_take(void *context, uint32_t worker, const struct rc_envelope_view *view)
{
    struct rc_cluster_limits *limits = context;
    struct rc_limit_head head;
    struct rc_span name;
    struct rc_limit_flight *flight = NULL;
    if (limits->link != NULL && rc_redis_up(limits->link) && rc_limit_head_read(view, &head, &name)) {
        flight = limits_place(limits);
    }
    if (flight == NULL) {
        limits_send(limits, worker, &view->head, CODE_UNAVAILABLE, NULL);
        return;
    }
    *flight = (struct rc_limit_flight){
        .limits = limits, .worker = worker, .whole = !limits->loaded, .asked = view->head, .head = head};
    if (!flight_name(flight, name) || flight_send(flight) != 0) {
        flight_end(flight, NULL);
    }
}

static void limits_redis_changed(void *context, bool up)
{
    struct rc_cluster_limits *limits = context;
    (void)up;
    limits->loaded = false; /* it may be another one, or have been started anew */
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int rc_cluster_limits_open(struct rc_cluster_limits *limits, struct rc_router *router, struct rc_redis_link *link)
{
    *limits = (struct rc_cluster_limits){.router = router, .link = link};
    if (link == NULL) {
        return 0;
    }
    limits->observer = (struct rc_redis_observer){.changed = limits_redis_changed, .context = limits};
    rc_redis_observe(link, &limits->observer);
    limits->all = calloc(RC_LIMIT_FLIGHTS_MAX, sizeof(*limits->all));
    return limits->all != NULL && sha1_text(script, sizeof(script) - 1, limits->sha1) ? 0 : -ENOMEM;
}

void rc_cluster_limits_close(struct rc_cluster_limits *limits)
{
    free(limits->all);
    limits->all = NULL;
}
