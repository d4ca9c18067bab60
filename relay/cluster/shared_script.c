/* shared_script: see shared_script.h. */
#include "relay/cluster/shared_script.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/text/decimal.h"
#include "relay/bridge/channel.h"
#include "relay/bridge/placed.h"
#include "relay/bridge/wire.h"
#include "relay/redis/link.h"

#define OFFSETS_HEAD "ws:offsets:"
#define STREAM_HEAD "ws:history:"
static_assert(sizeof(OFFSETS_HEAD) == sizeof(STREAM_HEAD), "what has room for one name has it for the other");
#define GRACE_MS 3600000u /* offsets are remembered longer than the messages */
/* Milliseconds since 1970, then what differs by chance: an EventSource of several channels says by the epoch which one it has a place in, and hundreds of them
 * may begin in one millisecond. Lua and JavaScript have an epoch as a text; what is read is below 2^63, so that one can always be raised. */
#define EPOCH_BITS 62u
#define EPOCH_RANDOM_BITS 20u

/* What stands in the hash may be anybody's: sound(epoch, offset) is true for what a script wrote there. Of anything else neither is known any more, and both begin
 * anew. An epoch keeps far enough from 2^63 for later ones to be greater, an offset from 2^53, where numbers of a script are not whole any more. */
#define SOUND_TEXT                                                                                    \
    "local function whole(t,n) return t and #t<=n and (t=='0' or string.match(t,'^[1-9]%d*$')) end\n" \
    "local function sound(e,o)\n"                                                                     \
    "  return whole(e,19) and e~='0' and (#e<19 or e<'9000000000000000000') and whole(o,15)\n"        \
    "end\n"

/* KEYS: offsets, stream. ARGV: channel, PUBLISH or SPUBLISH, instance, boot, sequence, entries at most, milliseconds of the stream, and of the offsets,
 * a new epoch, the epoch that the sender knows, whose answer is a number, s:{stream} of an application's stream, the id of its entry that the
 * message is (empty: of none), the id of the one before it for this channel (empty: not known), how far the sender has seen the epoch of ARGV[10]: if that
 * is farther than it goes here, or another epoch is here that began before it, writes were lost and a new one begins, before an offset is given twice;
 * the message. A channel that has no epoch gets the one that the sender knows if nothing was said in it. Of a second copy the
 * place of the first is told, if it is among the newest 256.
 *
 * The entry is the first thing that is written: nothing is rolled back, and what Redis refuses (a key of another type, no right, no memory) must have cost no
 * offset. Where somebody has moved the stream ahead of what was counted (XSETID), it is moved back; where he has put entries there, it is of no use, and a new
 * epoch begins. */
const char rc_shared_place_text[] = SOUND_TEXT
    "local h=redis.call('HMGET',KEYS[1],'epoch','offset','i:'..ARGV[3],ARGV[11])\n"
    "local e,n,k=h[1],h[2],ARGV[10]\n"
    "if not sound(e,n) then e=nil end\n"
    "if ARGV[12]~='' and e then\n"
    "  local a,b=string.match(h[4] or '','^(%d+)-(%d+)$')\n"
    "  local c,d=string.match(ARGV[12],'^(%d+)-(%d+)$')\n"
    "  if a and (#a>#c or (#a==#c and (a>c or (a==c and (#b>#d or (#b==#d and b>=d)))))) then\n"
    "    return {e,n,0}\n"
    "  end\n"
    "  if ARGV[13]~='' and h[4]~=ARGV[13] then return {e,n,2} end\n"
    "end\n"
    "local p=ARGV[3]..':'..ARGV[4]..':'..ARGV[5]\n"
    "if not e then\n"
    "  e=k\n"
    "  if e=='0' or ARGV[14]~='0' or h[1] or h[2] then e=ARGV[9] end\n"
    "  n=0\n"
    "  redis.call('DEL',KEYS[2])\n"
    "else\n"
    "  local b,q=string.match(h[3] or '','^(%d+):(%d+)$')\n"
    "  if b==ARGV[4] and tonumber(q)>=tonumber(ARGV[5]) then\n"
    "    local f,c='+',0\n"
    "    repeat\n"
    "      local x=redis.call('XREVRANGE',KEYS[2],f,'-','COUNT',16)\n"
    "      for i=1,#x do\n"
    "        if x[i][2][2]==p then return {e,string.match(x[i][1],'^%d+'),3} end\n"
    "      end\n"
    "      c=c+#x\n"
    "      if #x==16 then f='('..x[16][1] end\n"
    "    until #x<16 or c>=256\n"
    "    return {e,n,0}\n"
    "  end\n"
    "  n=tonumber(n)\n"
    "  if (e==k and n<tonumber(ARGV[14])) or #e<#k or (#e==#k and e<k) then e=ARGV[9] end\n"
    "end\n"
    "local o=string.format('%.0f',n+1)\n"
    "local t=redis.call('TIME')\n"
    "local m=ARGV[15]\n"
    "local function add()\n"
    "  local x=redis.pcall('XADD',KEYS[2],'MAXLEN','~',ARGV[6],o..'-0','p',p,\n"
    "    't',t[1]..string.format('%03d',math.floor(tonumber(t[2])/1000)),'m',m)\n"
    "  return type(x)=='table' and x.err and x or nil\n"
    "end\n"
    "local function ahead(x) return x and (string.find(x.err,'ID specified') or string.find(x.err,'exhausted')) end\n"
    "local x=add()\n"
    "if ahead(x) then\n"
    "  redis.pcall('XSETID',KEYS[2],string.format('%.0f-0',n))\n"
    "  x=add()\n"
    "end\n"
    "if ahead(x) then\n"
    "  redis.call('DEL',KEYS[2])\n"
    "  e=ARGV[9]\n"
    "  x=add()\n"
    "end\n"
    "if x then return x end\n"
    "redis.call('HSET',KEYS[1],'epoch',e,'offset',o,'i:'..ARGV[3],ARGV[4]..':'..ARGV[5])\n"
    "if ARGV[12]~='' then redis.call('HSET',KEYS[1],ARGV[11],ARGV[12]) end\n"
    "redis.call('PEXPIRE',KEYS[2],ARGV[7])\n"
    "redis.call('PEXPIRE',KEYS[1],ARGV[8])\n"
    "if string.byte(m)==1 then\n"
    "  local p=e..' '..o\n"
    "  m='\\2'..string.char(#p)..p..m\n"
    "else\n"
    "  m='{\"epoch\":\"'..e..'\",\"offset\":'..o..','..string.sub(m,2)\n"
    "end\n"
    "redis.call(ARGV[2],ARGV[1],m)\n"
    "if e==k then return tonumber(o) end\n"
    "return {e,o,1}";

/* KEYS: offsets, stream. ARGV: the epoch that is known, offset of the last message of it, entries wanted where it is another, 1: these anyway, entries of this
 * answer, their bytes, the epoch of a channel that has none (empty: it is to have none), for how long while it has no message, 1: the last message
 * itself, too. Entries that were not counted are somebody else's. */
static const char fetch_text[] =
    SOUND_TEXT "local h=redis.call('HMGET',KEYS[1],'epoch','offset')\n"
               "local e,o=h[1],h[2]\n"
               "if not sound(e,o) then\n"
               "  e,o='0','0'\n"
               "  if ARGV[7]~='' then\n"
               "    e=ARGV[7]\n"
               "    redis.call('DEL',KEYS[2])\n"
               "    redis.call('HSET',KEYS[1],'epoch',e,'offset',o)\n"
               "  end\n"
               "end\n"
               "local to=o..'-0'\n"
               "o=tonumber(o)\n"
               "if ARGV[7]~='' and o==0 then redis.call('PEXPIRE',KEYS[1],ARGV[8]) end\n"
               "local last,proof,held,from=tonumber(ARGV[2]),'','',math.max(o-tonumber(ARGV[3]),0)\n"
               "if e==ARGV[1] then\n"
               "  local x=redis.call('XRANGE',KEYS[2],ARGV[2]..'-0',ARGV[2]..'-0')\n"
               "  if x[1] then proof=x[1][2][2] end\n"
               "  if x[1] and ARGV[9]=='1' then held=x[1][2][6] or '' end\n"
               "  if ARGV[4]~='1' then from=last end\n"
               "end\n"
               "local list,n,b={},0,0\n"
               "while n<tonumber(ARGV[5]) and b<tonumber(ARGV[6]) do\n"
               "  local part=redis.call('XRANGE',KEYS[2],string.format('%.0f-0',from+1),to,'COUNT',16)\n"
               "  for i=1,#part do\n"
               "    local m=part[i][2][6]\n"
               "    n=n+1\n"
               "    list[n]=part[i]\n"
               "    b=b+(m and #m or 0)\n"
               "  end\n"
               "  if #part<16 then break end\n"
               "  from=tonumber(string.match(part[16][1],'^%d+'))\n"
               "end\n"
               "local t=redis.call('TIME')\n"
               "return {e,string.format('%.0f',o),proof,\n"
               "  t[1]..string.format('%03d',math.floor(tonumber(t[2])/1000)),list,held}";

/* KEYS: offsets, stream. ARGV: offset of the asker's last message, the entries that are wanted, back from the one to the other, entries of this answer, their
 * bytes: only the first one may be larger. Redis reads no more than about so much either: how many there are to one piece is known from those before. */
static const char refetch_text[] =
    SOUND_TEXT "local h=redis.call('HMGET',KEYS[1],'epoch','offset')\n"
               "local e,o=h[1],h[2]\n"
               "if not sound(e,o) then e,o='0','0' end\n"
               "local x=redis.call('XRANGE',KEYS[2],ARGV[1]..'-0',ARGV[1]..'-0')\n"
               "local list,n,b,to={},0,0,ARGV[2]..'-0'\n"
               "local most,bytes,c=tonumber(ARGV[4]),tonumber(ARGV[5]),1\n"
               "while c>0 do\n"
               "  local part=redis.call('XREVRANGE',KEYS[2],to,ARGV[3]..'-0','COUNT',c)\n"
               "  for i=1,#part do\n"
               "    local m=#(part[i][2][6] or '')\n"
               "    if n>=most or (n>0 and b+m>bytes) then c=0 break end\n"
               "    n=n+1\n"
               "    list[n]=part[i]\n"
               "    b=b+m\n"
               "  end\n"
               "  if #part<c or c==0 then break end\n"
               "  to='('..part[#part][1]\n"
               "  c=math.min(16,b==0 and 16 or math.ceil((bytes-b)*n/b))\n"
               "end\n"
               "local t=redis.call('TIME')\n"
               "return {e,o,x[1] and x[1][2][2] or '',\n"
               "  t[1]..string.format('%03d',math.floor(tonumber(t[2])/1000)),list,''}";

/* KEYS: offsets. ARGV: the epoch of a channel without a message, for how long. */
static const char keep_text[] = "local h=redis.call('HMGET',KEYS[1],'epoch','offset')\n"
                                "if not h[1] then redis.call('HSET',KEYS[1],'epoch',ARGV[1],'offset','0') end\n"
                                "if tonumber(h[2] or '0')~=0 then return 0 end\n"
                                "return redis.call('PEXPIRE',KEYS[1],ARGV[2])";

/* KEYS: offsets, stream. ARGV: the epoch that is to end (0: whichever it is), the new one, 1: messages go, too, and all instances are told so by PUBLISH
 * or SPUBLISH on the channel: a place of the new epoch that they do not know. Entries ahead of what was counted would end the new one at its first message:
 * a stream that has such goes at once. */
static const char renew_text[] =
    "local h=redis.call('HMGET',KEYS[1],'epoch','offset')\n"
    "local e,o=h[1],h[2]\n"
    "if not e or (ARGV[1]~='0' and e~=ARGV[1]) then return 0 end\n"
    "o=o and string.match(o,'^[1-9]%d*$')\n"
    "redis.call('HSET',KEYS[1],'epoch',ARGV[2])\n"
    "if ARGV[3]=='1' then\n"
    "  redis.call('DEL',KEYS[2])\n"
    "  if o then redis.call(ARGV[4],ARGV[5],'{\"epoch\":\"'..ARGV[2]..'\",\"offset\":'..o..',\"renewed\":true}') end\n"
    "else\n"
    "  local x=redis.pcall('XREVRANGE',KEYS[2],'+','-','COUNT',1)\n"
    "  if x[1] and tonumber(string.match(x[1][1],'^%d+'))>tonumber(o or '0') then redis.call('DEL',KEYS[2]) end\n"
    "end\n"
    "return 1";

/* --- names ----------------------------------------------------------------------------------------------------------- */

static uint32_t name_put(char out[RC_REDIS_NAME_MAX], const char *prefix, const char *head, struct rc_span tag,
                         bool bare)
{
    const int bytes = snprintf(out, RC_REDIS_NAME_MAX, bare ? "%s%s%.*s" : "%s%s{%.*s}", prefix, head, (int)tag.count,
                               (const char *)tag.bytes);
    return bytes > 0 && (size_t)bytes < RC_REDIS_NAME_MAX ? (uint32_t)bytes : 0;
}

bool rc_shared_names(struct rc_shared_names *names, const char *prefix, struct rc_span channel)
{
    names->channel_bytes = name_put(names->channel, prefix, RC_CHANNEL_BRIDGE_HEAD, channel, true);
    const char *name = names->channel;
    const size_t bytes = names->channel_bytes;
    const char *open = bytes == 0 ? NULL : memchr(name, '{', bytes);
    const char *close = open == NULL ? NULL : memchr(open, '}', (size_t)(name + bytes - open));
    const size_t prefix_bytes = strlen(prefix);
    const bool split = close != NULL && open < name + prefix_bytes && close >= name + prefix_bytes;
    const bool tagged = close != NULL && close > open + 1 && !split;
    struct rc_span tag = rc_span_of(name, bytes);
    if (tagged) {
        tag = rc_span_of(open + 1, (size_t)(close - open) - 1);
    } else if (bytes == 0 || memchr(name, '{', bytes) != NULL || memchr(name, '}', bytes) != NULL) {
        return false;
    }
    if (!tagged) {
        names->offsets_bytes = name_put(names->offsets, prefix, OFFSETS_HEAD, tag, false);
        names->stream_bytes = name_put(names->stream, prefix, STREAM_HEAD, tag, false);
    } else { /* the whole name, whose first tag Redis takes; the prefix may have it */
        names->offsets_bytes = name_put(names->offsets, prefix, OFFSETS_HEAD, channel, true);
        names->stream_bytes = name_put(names->stream, prefix, STREAM_HEAD, channel, true);
    }
    return names->offsets_bytes > 0 && names->stream_bytes > 0;
}

bool rc_shared_nameable(const char *prefix, struct rc_span channel)
{
    struct rc_shared_names names;
    const size_t prefix_bytes = strlen(prefix);
    /* Without a tag of its own: prefix ws:offsets:{prefix ws:channel:NAME}, where the two NULs stand for the braces. */
    const size_t longest = 2 * prefix_bytes + sizeof(OFFSETS_HEAD) + sizeof(RC_CHANNEL_BRIDGE_HEAD) + channel.count;
    const bool plain = channel.count > 0 && memchr(channel.bytes, '{', channel.count) == NULL &&
                       memchr(channel.bytes, '}', channel.count) == NULL && strpbrk(prefix, "{}") == NULL;
    return (plain && longest < RC_REDIS_NAME_MAX) || rc_shared_names(&names, prefix, channel);
}

/* --- questions ------------------------------------------------------------------------------------------------------- */

static struct rc_span number_put(char *out, uint64_t number)
{
    return rc_span_of(out, (size_t)(rc_decimal_write(out, number) - out));
}

/* `random`: of its bits the lower ones. */
static uint64_t epoch_of(uint64_t known, uint64_t wall_ms, uint64_t random)
{
    const uint64_t now = (wall_ms & ((UINT64_C(1) << (EPOCH_BITS - EPOCH_RANDOM_BITS)) - 1)) << EPOCH_RANDOM_BITS;
    const uint64_t epoch = now | (random & ((UINT64_C(1) << EPOCH_RANDOM_BITS) - 1));
    return epoch > known ? epoch : known + 1 + (random & ((UINT64_C(1) << EPOCH_RANDOM_BITS) - 1));
}

void rc_shared_place(struct rc_redis_run *run, struct rc_shared_texts *texts, const struct rc_shared_names *names,
                     const struct rc_shared_sender *sender, const struct rc_config_namespace *policy, uint64_t sequence,
                     struct rc_shared_epochs epochs, const struct rc_shared_source *source)
{
    static const struct rc_shared_source none = {.field = {(const uint8_t *)"s", 1}};
    const uint64_t stream_ms = policy->history_ttl_ms > 0 ? policy->history_ttl_ms : RC_SHARED_IDLE_MS;
    /* Each message brings an epoch, which Redis needs once in a channel's life: two instances' differ by chance, and no system call is worth it. The lowest
     * bit of an identity is always set. */
    const uint64_t random = rc_wire_identity(rc_span_text(sender->instance), sender->boot, sequence) >> 1;
    const struct rc_span args[] = {rc_span_of(names->offsets, names->offsets_bytes),
                                   rc_span_of(names->stream, names->stream_bytes),
                                   rc_span_of(names->channel, names->channel_bytes),
                                   sender->sharded ? RC_SPAN("SPUBLISH") : RC_SPAN("PUBLISH"),
                                   rc_span_text(sender->instance),
                                   number_put(texts->boot, sender->boot),
                                   number_put(texts->sequence, sequence),
                                   number_put(texts->most, policy->history),
                                   number_put(texts->stream_ms, stream_ms),
                                   number_put(texts->offsets_ms, stream_ms + GRACE_MS),
                                   number_put(texts->fresh, epoch_of(epochs.known, epochs.wall_ms, random)),
                                   epochs.known != 0 ? number_put(texts->known, epochs.known) : RC_SPAN("0"),
                                   (source != NULL ? source : &none)->field,
                                   (source != NULL ? source : &none)->id,
                                   (source != NULL ? source : &none)->before,
                                   number_put(texts->seen, epochs.known != 0 ? epochs.seen : 0)};
    _Static_assert(RC_ARRAY_COUNT(args) <= RC_REDIS_RUN_ARGS_MAX, "arguments of a run");
    memcpy(run->args, args, sizeof(args));
    run->arg_count = RC_ARRAY_COUNT(args);
    run->key_count = 2;
    run->channel = 2;
}

int rc_shared_fetch(struct rc_redis_link *link, const struct rc_shared_names *names,
                    const struct rc_shared_question *question, rc_redis_replied *replied, void *context)
{
    char epoch[24];
    char last[24];
    char most[24];
    char count[12];
    char bytes[12];
    char fresh[24];
    char offsets_ms[24];
    const struct rc_span argv[] = {RC_SPAN("EVAL"),
                                   rc_span_text(fetch_text),
                                   RC_SPAN("2"),
                                   rc_span_of(names->offsets, names->offsets_bytes),
                                   rc_span_of(names->stream, names->stream_bytes),
                                   number_put(epoch, question->epoch),
                                   number_put(last, question->last),
                                   number_put(most, question->most),
                                   question->all ? RC_SPAN("1") : RC_SPAN("0"),
                                   number_put(count, RC_SHARED_FETCH_COUNT),
                                   number_put(bytes, RC_SHARED_FETCH_BYTES),
                                   question->begins ? number_put(fresh, rc_shared_epoch_after(question->epoch))
                                                    : RC_SPAN(""),
                                   number_put(offsets_ms, RC_SHARED_QUIET_MS),
                                   question->unproved ? RC_SPAN("1") : RC_SPAN("0")};
    return rc_redis_command(link, replied, context, 3, RC_ARRAY_COUNT(argv), argv);
}

int rc_shared_refetch(struct rc_redis_link *link, const struct rc_shared_names *names,
                      const struct rc_shared_range *range, rc_redis_replied *replied, void *context)
{
    char last[24];
    char from[24];
    char to[24];
    char count[12];
    char bytes[24];
    const struct rc_span argv[] = {RC_SPAN("EVAL"),
                                   rc_span_text(refetch_text),
                                   RC_SPAN("2"),
                                   rc_span_of(names->offsets, names->offsets_bytes),
                                   rc_span_of(names->stream, names->stream_bytes),
                                   number_put(last, range->last),
                                   number_put(from, range->from),
                                   number_put(to, range->to),
                                   number_put(count, RC_SHARED_FETCH_COUNT),
                                   number_put(bytes, range->bytes)};
    return rc_redis_command(link, replied, context, 3, RC_ARRAY_COUNT(argv), argv);
}

int rc_shared_keep(struct rc_redis_link *link, const struct rc_shared_names *names, uint64_t epoch,
                   rc_redis_replied *replied, void *context)
{
    char text[24];
    char quiet_ms[24];
    const struct rc_span argv[] = {RC_SPAN("EVAL"),
                                   rc_span_text(keep_text),
                                   RC_SPAN("1"),
                                   rc_span_of(names->offsets, names->offsets_bytes),
                                   number_put(text, epoch),
                                   number_put(quiet_ms, RC_SHARED_QUIET_MS)};
    return rc_redis_command(link, replied, context, 3, RC_ARRAY_COUNT(argv), argv);
}

int rc_shared_renew(struct rc_redis_link *link, const struct rc_shared_names *names, uint64_t epoch, uint64_t known,
                    bool drop, bool sharded, rc_redis_replied *replied, void *context)
{
    char before[24];
    char after[24];
    const struct rc_span argv[] = {RC_SPAN("EVAL"),
                                   rc_span_text(renew_text),
                                   RC_SPAN("2"),
                                   rc_span_of(names->offsets, names->offsets_bytes),
                                   rc_span_of(names->stream, names->stream_bytes),
                                   number_put(before, epoch),
                                   number_put(after, rc_shared_epoch_after(epoch > known ? epoch : known)),
                                   drop ? RC_SPAN("1") : RC_SPAN("0"),
                                   sharded ? RC_SPAN("SPUBLISH") : RC_SPAN("PUBLISH"),
                                   rc_span_of(names->channel, names->channel_bytes)};
    return rc_redis_command(link, replied, context, 3, RC_ARRAY_COUNT(argv), argv);
}

size_t rc_shared_proof(char out[RC_SHARED_PROOF_MAX], struct rc_span instance, uint64_t boot, uint64_t sequence)
{
    const size_t count = instance.count <= RC_INSTANCE_ID_MAX ? instance.count : 0;
    if (count > 0) {
        memcpy(out, instance.bytes, count);
    }
    char *end = out + count;
    *end++ = ':';
    end = rc_decimal_write(end, boot & UINT32_MAX);
    *end++ = ':';
    return (size_t)(rc_decimal_write(end, sequence) - out);
}

uint64_t rc_shared_epoch_after(uint64_t known)
{
    uint64_t random = 0;
    const ssize_t got = getrandom(&random, sizeof(random), 0);
    RC_ASSERT(got == (ssize_t)sizeof(random)); /* up to 256 bytes are never short or interrupted */
    return epoch_of(known, rc_clock_wall_ms(), random);
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

static bool reply_text(const redisReply *reply, struct rc_span *text)
{
    if (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS) {
        return false;
    }
    *text = rc_span_of(reply->str, reply->len);
    return true;
}

static bool reply_number(const redisReply *reply, uint64_t most, uint64_t *number)
{
    struct rc_span text;
    return reply_text(reply, &text) && rc_placed_number(&text, most, number) && text.count == 0;
}

bool rc_shared_answer_read(const redisReply *reply, uint64_t known, struct rc_shared_answer *answer)
{
    if (reply->type == REDIS_REPLY_INTEGER && reply->integer > 0 && known != 0) {
        *answer = (struct rc_shared_answer){
            .epoch = known, .offset = (uint64_t)reply->integer, .fresh = true, .placed = true};
        return true;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 || reply->element[2]->type != REDIS_REPLY_INTEGER ||
        !reply_number(reply->element[0], UINT64_MAX / 2, &answer->epoch) || answer->epoch == 0 ||
        !reply_number(reply->element[1], RC_PLACED_OFFSET_MAX, &answer->offset)) {
        return false;
    }
    answer->fresh = reply->element[2]->integer == 1;
    answer->early = reply->element[2]->integer == 2;
    answer->placed = answer->fresh || reply->element[2]->integer == 3;
    return !answer->placed || answer->offset != 0;
}

bool rc_shared_fetched_read(const redisReply *reply, struct rc_shared_fetched *fetched)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 6 ||
        !reply_number(reply->element[0], UINT64_MAX / 2, &fetched->epoch) ||
        !reply_number(reply->element[1], RC_PLACED_OFFSET_MAX, &fetched->last) ||
        !reply_text(reply->element[2], &fetched->proof) ||
        !reply_number(reply->element[3], UINT64_MAX / 2, &fetched->now_ms) ||
        reply->element[4]->type != REDIS_REPLY_ARRAY || !reply_text(reply->element[5], &fetched->held)) {
        return false;
    }
    fetched->entries = reply->element[4];
    return true;
}

bool rc_shared_entry_read(const redisReply *reply, struct rc_shared_entry *entry)
{
    struct rc_span id;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !reply_text(reply->element[0], &id) ||
        !rc_placed_number(&id, RC_PLACED_OFFSET_MAX, &entry->offset) || entry->offset == 0 ||
        !rc_span_equal(id, RC_SPAN("-0"))) {
        return false;
    }
    const redisReply *list = reply->element[1];
    if (list->type != REDIS_REPLY_ARRAY || list->elements != 6 || !reply_text(list->element[1], &entry->proof) ||
        !reply_number(list->element[3], UINT64_MAX / 2, &entry->time_ms) ||
        !reply_text(list->element[5], &entry->message)) {
        entry->proof = entry->message = (struct rc_span){0};
        entry->time_ms = 0;
    }
    return true;
}
