/* cleanup: see cleanup.h. */
#include "relay/cluster/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"

#define SCAN_COUNT "256"
#define MEMBERS_MAX 512u /* of one SREM or HDEL; a scan may return more than it was asked for */

/* The lock is released or renewed only by who holds it: it may have expired and be another's. */
static const char renew_script[] =
    "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('PEXPIRE',KEYS[1],ARGV[2]) end return 0";
static const char unlock_script[] =
    "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0";

/* KEYS: a hash of users. ARGV: instance, cursor, count. Takes the instance out of a page of values "id:clients,id:clients", behind which
 * after a line's end is what is known of the user. The cursor of the next page; whether nobody is left; then of each user that was there: its id, and
 * how many clients it has elsewhere. */
static const char members_script[] = "local page=redis.call('HSCAN',KEYS[1],ARGV[2],'COUNT',ARGV[3])\n"
                                     "local told={page[1],0}\n"
                                     "local any=false\n"
                                     "for i=1,#page[2],2 do\n"
                                     "  local places,info=string.match(page[2][i+1],'^([^\\n]*)(.*)$')\n"
                                     "  local rest={}\n"
                                     "  local left=0\n"
                                     "  local found=false\n"
                                     "  for id,n in string.gmatch(places,'([^,:]+):(%d+)') do\n"
                                     "    if id==ARGV[1] then found=true\n"
                                     "    else rest[#rest+1]=id..':'..n left=left+tonumber(n) end\n"
                                     "  end\n"
                                     "  if found then\n"
                                     "    any=true\n"
                                     "    told[#told+1]=page[2][i]\n"
                                     "    told[#told+1]=left\n"
                                     "    if #rest==0 then\n"
                                     "      redis.call('HDEL',KEYS[1],page[2][i])\n"
                                     "    else\n"
                                     "      redis.call('HSET',KEYS[1],page[2][i],table.concat(rest,',')..info)\n"
                                     "    end\n"
                                     "  end\n"
                                     "end\n"
                                     "if any and redis.call('EXISTS',KEYS[1])==0 then told[2]=1 end\n"
                                     "return told";

void rc_cleanup_init(struct rc_cleanup *cleanup, struct rc_redis_link *link, const char *nonce,
                     const struct rc_cleanup_ops *ops)
{
    *cleanup = (struct rc_cleanup){.link = link, .nonce = nonce, .ops = *ops};
    for (uint32_t i = 0; i < RC_CLEANUP_PAGE_MAX; i++) {
        cleanup->items[i].cleanup = cleanup;
    }
}

static void free_items(struct rc_cleanup *cleanup)
{
    for (uint32_t i = 0; i < cleanup->item_count; i++) {
        free(cleanup->items[i].text);
        cleanup->items[i].text = NULL;
    }
    cleanup->item_count = 0;
}

void rc_cleanup_close(struct rc_cleanup *cleanup)
{
    free_items(cleanup);
    cleanup->running = false;
}

static struct rc_span cleanup_key_of(const struct rc_cleanup *cleanup, char out[RC_REDIS_NAME_MAX], const char *what)
{
    return rc_redis_key(cleanup->link, out, "ws:instance:%s:%s", cleanup->victim, what);
}

static void cleanup_unlock(struct rc_cleanup *cleanup)
{
    char key[RC_REDIS_NAME_MAX];
    const struct rc_span argv[] = {RC_SPAN("EVAL"), rc_span_text(unlock_script), RC_SPAN("1"),
                                   cleanup_key_of(cleanup, key, "cleanup"), rc_span_text(cleanup->nonce)};
    (void)rc_redis_command(cleanup->link, NULL, NULL, 3, RC_ARRAY_COUNT(argv), argv); /* else it expires */
}

/* `locked`: we hold the lock as far as we know. */
static void cleanup_finish(struct rc_cleanup *cleanup, enum rc_cleanup_result result, bool locked)
{
    RC_ASSERT(cleanup->outstanding == 0);
    if (locked) {
        cleanup_unlock(cleanup);
    }
    free_items(cleanup);
    cleanup->running = false;
    cleanup->ops.done(cleanup->ops.context, cleanup->victim, result);
}

static void next_page(struct rc_cleanup *cleanup);

static bool cleanup_failed(const redisReply *reply)
{
    return reply == NULL || reply->type == REDIS_REPLY_ERROR;
}

/* --- one name of the page -------------------------------------------------------------------------------------------- */

static void item_scanned(void *context, const redisReply *reply);
static void item_stripped(void *context, const redisReply *reply);
static void item_removed(void *context, const redisReply *reply);
static void item_forgotten(void *context, const redisReply *reply);

static void item_done(struct rc_cleanup_item *item, bool good)
{
    struct rc_cleanup *cleanup = item->cleanup;
    cleanup->failed |= !good;
    RC_ASSERT(cleanup->outstanding > 0);
    if (--cleanup->outstanding > 0) {
        return;
    }
    free_items(cleanup);
    if (cleanup->failed) {
        cleanup_finish(cleanup, RC_CLEANUP_FAILED, true);
    } else {
        next_page(cleanup);
    }
}

/* Sends a command for the item; when it cannot be sent the item has failed. */
static void item_send(struct rc_cleanup_item *item, rc_redis_replied *replied, uint32_t argc,
                      const struct rc_span *argv)
{
    if (rc_redis_command(item->cleanup->link, replied, item, 1, argc, argv) < 0) {
        item_done(item, false);
    }
}

static struct rc_span item_name(const struct rc_cleanup_item *item)
{
    return rc_span_of(item->text + 1, item->bytes - 1);
}

/* The names in the index are without redis.prefix. */
static struct rc_span item_key(const struct rc_cleanup_item *item, char out[RC_REDIS_NAME_MAX])
{
    return rc_redis_key(item->cleanup->link, out, "%.*s", (int)(item->bytes - 1), item->text + 1);
}

static void item_forget(struct rc_cleanup_item *item)
{
    char key[RC_REDIS_NAME_MAX];
    const struct rc_span argv[] = {RC_SPAN("SREM"), cleanup_key_of(item->cleanup, key, "index"),
                                   rc_span_of(item->text, item->bytes)};
    item_send(item, item_forgotten, RC_ARRAY_COUNT(argv), argv);
}

static void item_forgotten(void *context, const redisReply *reply)
{
    item_done(context, !cleanup_failed(reply));
}

/* The same in one step for a hash whose values name instances. */
static void item_strip(struct rc_cleanup_item *item)
{
    char key[RC_REDIS_NAME_MAX];
    const struct rc_span argv[] = {RC_SPAN("EVAL"),     rc_span_text(members_script),        RC_SPAN("1"),
                                   item_key(item, key), rc_span_text(item->cleanup->victim), rc_span_text(item->cursor),
                                   RC_SPAN(SCAN_COUNT)};
    if (rc_redis_command(item->cleanup->link, item_stripped, item, 3, RC_ARRAY_COUNT(argv), argv) < 0) {
        item_done(item, false);
    }
}

/* Others hear that they are gone. Of a predecessor of this instance they are not, or will be here again in a moment. */
static void tell_gone(const struct rc_cleanup_item *item, const redisReply *reply)
{
    const struct rc_cleanup *cleanup = item->cleanup;
    const struct rc_span head = RC_SPAN("mws:presence:members:");
    const struct rc_span name = rc_span_of(item->text, item->bytes);
    const struct rc_span channel = rc_span_of(name.bytes + head.count, name.count - head.count);
    if (cleanup->own || cleanup->ops.member == NULL) {
        return;
    }
    for (size_t i = 2; i + 1 < reply->elements; i += 2) {
        const redisReply *user = reply->element[i];
        const redisReply *left = reply->element[i + 1];
        if (user->type == REDIS_REPLY_STRING && left->type == REDIS_REPLY_INTEGER) {
            const bool last = i + 3 >= reply->elements;
            const bool vacated = last && reply->element[1]->type == REDIS_REPLY_INTEGER && reply->element[1]->integer;
            cleanup->ops.member(cleanup->ops.context, channel, rc_span_of(user->str, user->len), left->integer == 0,
                                vacated, (uint32_t)left->integer);
        }
    }
}

static void item_stripped(void *context, const redisReply *reply)
{
    struct rc_cleanup_item *item = context;
    if (cleanup_failed(reply) || reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING || reply->element[0]->len >= RC_CLEANUP_CURSOR_MAX) {
        item_done(item, false);
        return;
    }
    memcpy(item->cursor, reply->element[0]->str, reply->element[0]->len);
    item->cursor[reply->element[0]->len] = '\0';
    tell_gone(item, reply);
    if (strcmp(item->cursor, "0") == 0) {
        item_forget(item);
    } else {
        item_strip(item);
    }
}

static void item_scan(struct rc_cleanup_item *item)
{
    char key[RC_REDIS_NAME_MAX];
    char match[RC_INSTANCE_ID_MAX + 8];
    const bool hash = item->text[0] == 'p';
    (void)snprintf(match, sizeof(match), "%s%s", item->cleanup->victim,
                   hash ? "~*" : ":*"); /* no id is special in a glob */
    const struct rc_span argv[] = {hash ? RC_SPAN("HSCAN") : RC_SPAN("SSCAN"),
                                   item_key(item, key),
                                   rc_span_text(item->cursor),
                                   RC_SPAN("MATCH"),
                                   rc_span_text(match),
                                   RC_SPAN("COUNT"),
                                   RC_SPAN(SCAN_COUNT)};
    item_send(item, item_scanned, RC_ARRAY_COUNT(argv), argv);
}

static void item_next(struct rc_cleanup_item *item)
{
    if (strcmp(item->cursor, "0") == 0) {
        item_forget(item);
    } else {
        item_scan(item);
    }
}

/* [cursor, [elements]]; false when it is something else. */
static bool scan_answer(const redisReply *reply, char cursor[RC_CLEANUP_CURSOR_MAX], const redisReply **elements)
{
    if (cleanup_failed(reply) || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING || reply->element[0]->len >= RC_CLEANUP_CURSOR_MAX ||
        (reply->element[1]->type != REDIS_REPLY_ARRAY && reply->element[1]->type != REDIS_REPLY_SET)) {
        return false;
    }
    memcpy(cursor, reply->element[0]->str, reply->element[0]->len);
    cursor[reply->element[0]->len] = '\0';
    *elements = reply->element[1];
    return true;
}

static void item_scanned(void *context, const redisReply *reply)
{
    struct rc_cleanup_item *item = context;
    const redisReply *elements;
    if (!scan_answer(reply, item->cursor, &elements)) {
        item_done(item, false);
        return;
    }
    char key[RC_REDIS_NAME_MAX];
    const bool hash = item->text[0] == 'p';
    const uint32_t step = hash ? 2 : 1; /* fields come with their values */
    struct rc_span argv[2 + MEMBERS_MAX] = {hash ? RC_SPAN("HDEL") : RC_SPAN("SREM"), item_key(item, key)};
    uint32_t argc = 2;
    for (size_t i = 0; i < elements->elements; i += step) {
        if (argc == RC_ARRAY_COUNT(argv)) {
            item->again = true; /* more than one command takes: scanned from the beginning again, without those */
            break;
        }
        if (elements->element[i]->type == REDIS_REPLY_STRING) {
            argv[argc++] = rc_span_of(elements->element[i]->str, elements->element[i]->len);
        }
    }
    if (argc == 2) {
        item_next(item);
        return;
    }
    item->cleanup->removed += argc - 2;
    item_send(item, item_removed, argc, argv);
}

static void item_removed(void *context, const redisReply *reply)
{
    struct rc_cleanup_item *item = context;
    if (cleanup_failed(reply)) {
        item_done(item, false);
    } else if (item->again) {
        item->again = false;
        (void)strcpy(item->cursor, "0");
        item_scan(item);
    } else {
        item_next(item);
    }
}

static void item_begin(struct rc_cleanup_item *item)
{
    struct rc_cleanup *cleanup = item->cleanup;
    char key[RC_REDIS_NAME_MAX];
    (void)strcpy(item->cursor, "0");
    item->again = false;
    if (item->text[0] == 'u') {
        if (cleanup->ops.user(cleanup->ops.context, item_name(item), cleanup->victim, item_removed, item) < 0) {
            item_done(item, false);
        }
    } else if (item->text[0] == 'i') {
        const struct rc_span argv[] = {RC_SPAN("SREM"), item_key(item, key), rc_span_text(cleanup->victim)};
        item_send(item, item_removed, RC_ARRAY_COUNT(argv), argv);
    } else if (item->text[0] == 'm') {
        item_strip(item);
    } else {
        item_scan(item);
    }
}

/* --- pages ----------------------------------------------------------------------------------------------------------- */

bool rc_cleanup_known(struct rc_span name)
{
    const struct rc_span rest = rc_span_of(name.bytes + 1, name.count > 0 ? name.count - 1 : 0);
    if (name.count < 2 || name.count > RC_REDIS_NAME_MAX / 2 || memchr(name.bytes, '\0', name.count) != NULL) {
        return false;
    }
    switch (name.bytes[0]) {
    case 'c':
        return rc_span_starts_with(rest, RC_SPAN("subs:"));
    case 'i':
        return rc_span_starts_with(rest, RC_SPAN("subs-instances:"));
    case 'p':
        return rc_span_starts_with(rest, RC_SPAN("ws:presence:channel:"));
    case 'm':
        return rc_span_starts_with(rest, RC_SPAN("ws:presence:members:"));
    case 'u':
        return true;
    default:
        return false;
    }
}

static void cleanup_forgotten(void *context, const redisReply *reply)
{
    struct rc_cleanup *cleanup = context;
    cleanup_finish(cleanup, cleanup_failed(reply) ? RC_CLEANUP_FAILED : RC_CLEANUP_DONE, true);
}

/* The index is empty: index and instance go. */
static void forget_instance(struct rc_cleanup *cleanup)
{
    char key[RC_REDIS_NAME_MAX];
    const struct rc_span index[] = {RC_SPAN("DEL"), cleanup_key_of(cleanup, key, "index")};
    if (cleanup->own) {
        cleanup_finish(cleanup, RC_CLEANUP_DONE, true);
        return;
    }
    if (rc_redis_command(cleanup->link, NULL, NULL, 1, RC_ARRAY_COUNT(index), index) < 0) {
        cleanup_finish(cleanup, RC_CLEANUP_FAILED, true);
        return;
    }
    const struct rc_span list[] = {RC_SPAN("SREM"), rc_redis_key(cleanup->link, key, "ws:instances"),
                                   rc_span_text(cleanup->victim)};
    if (rc_redis_command(cleanup->link, cleanup_forgotten, cleanup, 1, RC_ARRAY_COUNT(list), list) < 0) {
        cleanup_finish(cleanup, RC_CLEANUP_FAILED, true);
    }
}

static void page_empty(struct rc_cleanup *cleanup)
{
    if (strcmp(cleanup->cursor, "0") != 0) {
        next_page(cleanup);
    } else if (cleanup->empty) {
        forget_instance(cleanup);
    } else {
        /* A scan over a set that shrinks promises nothing about the rest: once more, until nothing is found. */
        cleanup->empty = true;
        next_page(cleanup);
    }
}

static void page_scanned(void *context, const redisReply *reply)
{
    struct rc_cleanup *cleanup = context;
    const redisReply *elements;
    if (!scan_answer(reply, cleanup->cursor, &elements)) {
        cleanup_finish(cleanup, RC_CLEANUP_FAILED, true);
        return;
    }
    for (size_t i = 0; i < elements->elements && cleanup->item_count < RC_CLEANUP_PAGE_MAX; i++) {
        const redisReply *one = elements->element[i];
        if (one->type != REDIS_REPLY_STRING || !rc_cleanup_known(rc_span_of(one->str, one->len))) {
            rc_log_limited(RC_LOG_WARN, 1, "cleanup_unknown",
                           "instance=%s reason=\"the index names nothing of ringcast\"", cleanup->victim);
            continue;
        }
        if (cleanup->own && one->str[0] == 'u') {
            /* Still connected, when only the relay was replaced. */
            (void)cleanup->ops.user(cleanup->ops.context, rc_span_of(one->str + 1, one->len - 1), cleanup->victim, NULL,
                                    NULL);
            continue;
        }
        struct rc_cleanup_item *item = &cleanup->items[cleanup->item_count];
        item->text = strndup(one->str, one->len);
        item->bytes = (uint32_t)one->len;
        if (item->text == NULL) {
            break; /* found again by the next scan */
        }
        cleanup->item_count++;
    }
    if (cleanup->item_count == 0) {
        page_empty(cleanup);
        return;
    }
    cleanup->empty = false;
    cleanup->failed = false;
    cleanup->outstanding = cleanup->item_count;
    for (uint32_t i = 0, count = cleanup->item_count; i < count; i++) {
        item_begin(&cleanup->items[i]);
        if (!cleanup->running || cleanup->item_count != count) {
            return; /* the last one failed at once, and that was the end */
        }
    }
}

static void scan_page(struct rc_cleanup *cleanup)
{
    char key[RC_REDIS_NAME_MAX];
    const struct rc_span argv[] = {RC_SPAN("SSCAN"), cleanup_key_of(cleanup, key, "index"),
                                   rc_span_text(cleanup->cursor), RC_SPAN("COUNT"), RC_SPAN("64")};
    if (rc_redis_command(cleanup->link, page_scanned, cleanup, 1, RC_ARRAY_COUNT(argv), argv) < 0) {
        cleanup_finish(cleanup, RC_CLEANUP_FAILED, true);
    }
}

static void owner_looked(void *context, const redisReply *reply)
{
    struct rc_cleanup *cleanup = context;
    if (cleanup_failed(reply)) {
        cleanup_finish(cleanup, RC_CLEANUP_FAILED, true);
    } else if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 0) {
        scan_page(cleanup);
    } else {
        cleanup_finish(cleanup, RC_CLEANUP_ALIVE, true);
    }
}

static void cleanup_renewed(void *context, const redisReply *reply)
{
    struct rc_cleanup *cleanup = context;
    char key[RC_REDIS_NAME_MAX];
    if (cleanup_failed(reply) || reply->type != REDIS_REPLY_INTEGER || reply->integer != 1) {
        cleanup_finish(cleanup, RC_CLEANUP_FAILED, false);
        return;
    }
    if (cleanup->own) {
        scan_page(cleanup);
        return;
    }
    const struct rc_span argv[] = {RC_SPAN("EXISTS"), cleanup_key_of(cleanup, key, "owner")};
    if (rc_redis_command(cleanup->link, owner_looked, cleanup, 1, RC_ARRAY_COUNT(argv), argv) < 0) {
        cleanup_finish(cleanup, RC_CLEANUP_FAILED, true);
    }
}

static void next_page(struct rc_cleanup *cleanup)
{
    char key[RC_REDIS_NAME_MAX];
    char lock_ms[16];
    (void)snprintf(lock_ms, sizeof(lock_ms), "%u", RC_CLEANUP_LOCK_MS);
    const struct rc_span argv[] = {RC_SPAN("EVAL"),
                                   rc_span_text(renew_script),
                                   RC_SPAN("1"),
                                   cleanup_key_of(cleanup, key, "cleanup"),
                                   rc_span_text(cleanup->nonce),
                                   rc_span_text(lock_ms)};
    if (rc_redis_command(cleanup->link, cleanup_renewed, cleanup, 3, RC_ARRAY_COUNT(argv), argv) < 0) {
        cleanup_finish(cleanup, RC_CLEANUP_FAILED, true);
    }
}

static void cleanup_locked(void *context, const redisReply *reply)
{
    struct rc_cleanup *cleanup = context;
    if (cleanup_failed(reply)) {
        cleanup_finish(cleanup, RC_CLEANUP_FAILED, false);
    } else if (reply->type != REDIS_REPLY_STATUS && reply->type != REDIS_REPLY_STRING) {
        cleanup_finish(cleanup, RC_CLEANUP_BUSY, false); /* nil: it is held */
    } else {
        next_page(cleanup);
    }
}

int rc_cleanup_start(struct rc_cleanup *cleanup, const char *victim, bool own)
{
    char key[RC_REDIS_NAME_MAX];
    char lock_ms[16];
    RC_ASSERT(!cleanup->running);
    (void)snprintf(cleanup->victim, sizeof(cleanup->victim), "%s", victim);
    (void)snprintf(lock_ms, sizeof(lock_ms), "%u", RC_CLEANUP_LOCK_MS);
    (void)strcpy(cleanup->cursor, "0");
    cleanup->own = own;
    cleanup->empty = true;
    cleanup->removed = 0;
    const struct rc_span argv[] = {RC_SPAN("SET"),
                                   cleanup_key_of(cleanup, key, "cleanup"),
                                   rc_span_text(cleanup->nonce),
                                   RC_SPAN("NX"),
                                   RC_SPAN("PX"),
                                   rc_span_text(lock_ms)};
    const int rc = rc_redis_command(cleanup->link, cleanup_locked, cleanup, 1, RC_ARRAY_COUNT(argv), argv);
    cleanup->running = rc == 0;
    return rc;
}
