// Each guard that keeps tenants apart, and how it is taken away: a function that gives the answer of who is let in at once, or a text that is
// replaced; `test`, the file that has to see it (isolation unless it says another one), and `named`, how its tests' names begin ("nothing of
// bob"). tests/stress/isolation.mjs builds without each of them; tests/e2e/isolation.test.mjs sees that the list is true.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./util.mjs";

const opened = (name, gives) => ({ name: `${name}()`, where: new RegExp(`^[a-z][^;{}=]*\\b${name}\\([^;{}]*\\)\\n\\{\\n`, "m"), put: (text) => `${text}    return ${gives};\n` });
const replaced = (name, from, to) => ({ name, where: from, put: () => to });

const SAID = "return source == RC_EVENT_SOURCE_AUTH || source == RC_EVENT_SOURCE_CLIENT || source == RC_EVENT_SOURCE_QUERY ||\n           source == RC_EVENT_SOURCE_HEADER || source == RC_EVENT_SOURCE_COOKIE;";
const unsaid = (source) => replaced(`{${source.toLowerCase()}.x} is the client's word`, SAID, SAID.replace(`source == RC_EVENT_SOURCE_${source}`, "false"));

const KEY_OF_ITS_TYPE = `if (key->type != alg->key || (key->algs & RC_JWT_ALG_BIT(token->alg)) == 0) {
            continue;
        }
        refusal = RC_JWT_SIGNATURE_WRONG;
        if (key->type == RC_JWT_KEY_SECRET ?`;
const KEY_OF_ANY_TYPE = "refusal = RC_JWT_SIGNATURE_WRONG;\n        if (alg->key == RC_JWT_KEY_SECRET ?";

export const GUARDS = [
  // Of rows.
  opened("guard_who", "RC_RULE_PASSES"),
  opened("guard_schema", "RC_RULE_PASSES"),
  opened("guard_inside", "RC_RULE_PASSES"),
  opened("rc_rule_rate", "RC_RULE_PASSES"),
  opened("run_matches", "true"),
  // Rooms whose channel namespace the client names.
  opened("eval_permits", "0"),
  opened("rc_rule_sees", "0"),
  replaced("who may keep by rows", "return type != RC_RULE_RETAIN || rc_permission_allows(", "return true || type != RC_RULE_RETAIN || rc_permission_allows("),
  opened("rc_rule_rates", "RC_RULE_PASSES"),
  replaced("{args.N} is the client's word", "case RC_EVENT_SOURCE_ARGUMENT:\n        return SAID_BY_CLIENT;", "case RC_EVENT_SOURCE_ARGUMENT:\n        return SAID_NOTHING;"),
  replaced("{room.NAME} is the client's word", "case RC_EVENT_SOURCE_ROOM_PART:\n    case RC_EVENT_SOURCE_ARGUMENT:", "case RC_EVENT_SOURCE_ROOM_PART:\n        return SAID_NOTHING;\n    case RC_EVENT_SOURCE_ARGUMENT:"),
  replaced("{room} with more is the client's word", "row->each_head.bytes), build->piece_count > 1);", "row->each_head.bytes), false);"),
  replaced("{event} is the client's word", "return pattern_said(row->on.text);", "return SAID_NOTHING;"),
  ...["AUTH", "CLIENT", "QUERY", "HEADER", "COOKIE"].map(unsaid),
  replaced("* is everybody", 'if (rc_span_equal(room, RC_SPAN("*")) || (out[0]', "if ((out[0]"),
  replaced("rooms of another namespace", "|| (out[0] == '/' && memchr(out, '#', *bytes) != NULL)) {", ") {"),
  replaced("rooms of users", "if ((template->flags & RC_EVENT_CLIENT_CHOOSES) != 0 && rc_span_starts_with(room,", "if (false && rc_span_starts_with(room,"),
  // Policies.
  replaced("policy rules", "    case RC_WHO_RULES:   /*", "    case RC_WHO_RULES:\n        return true; /*"),
  replaced("policy none", "    case RC_WHO_NONE:\n        return false;", "    case RC_WHO_NONE:\n        return true;"),
  replaced("policy user", "    case RC_WHO_USER:\n        return user.count > 0;", "    case RC_WHO_USER:\n        return true;"),
  replaced("policy owner", "return rc_span_equal(user, rc_span_of(colon + 1,", "return true || rc_span_equal(user, rc_span_of(colon + 1,"),
  replaced("policy member", "    case RC_WHO_MEMBER:\n        return member;", "    case RC_WHO_MEMBER:\n        return member || true;"),
  replaced("guarded rooms are subscribed by rows", "space->subscribe = RC_WHO_RULES;", "space->subscribe = RC_WHO_ANYONE;"),
  replaced("nobody publishes where rows let in", "who_resolve(&space->publish, rules ? RC_WHO_NONE : writer);", "who_resolve(&space->publish, writer);"),
  replaced("members see who is where rows let in", "who_resolve(&space->presence_who, rules || decided ? RC_WHO_MEMBER : space->subscribe);", "who_resolve(&space->presence_who, RC_WHO_ANYONE);"),
  // Operations.
  opened("request_permitted", "true"),
  opened("request_may_retain", "true"),
  opened("request_within_rates", "RC_LIMIT_ALLOWED"),
  ...["who_subscribes", "who_publishes", "who_sees_presence", "who_reads_history", "who_broadcasts", "who_sends_directs"].map((name) => opened(name, "RC_WHO_ANYONE")),
  opened("rc_permission_reserved", "false"),
  opened("reserved_for_socketio", "false"),
  opened("rc_permission_socket", "false"),
  opened("rc_pusher_guards", "false"),
  // What a channel has had.
  opened("request_may_read_history", "true"),
  replaced("an end point's newest messages", "!rc_permission_allows(policy->history_who, rc_client_user(clients, client), name, true)", "false"),
  // Who has to say who it is.
  replaced("nothing is asked before", "if (rc_truth_client(request->clients->truth, request->client)->must_say &&", "if (false &&"),
  replaced("nothing is heard before", "if (!arrival->must_say) {\n        rc_client_hears(", "if (true) {\n        rc_client_hears("),
  // Apps of the Pusher protocol.
  opened("claim_authorised", "true"),
  opened("signed_in", "true"),
  opened("is_own_user", "true"),
  replaced("client events are of who is in", "name.count == 0 || !rc_client_is_in(pushers->clients, client, name)", "name.count == 0"),
  opened("signature_refusal", "NULL"),
  opened("rc_pusher_body_is", "true"),
  opened("rc_pusher_user_is", "false"),
  // Who somebody is.
  opened("hmac_good", "true"),
  opened("judge_same", "true"),
  replaced("rows that identify", "if (run->row->identify_at == 0 || run->client == 0) {", "if (true) {"),
  replaced("one connection, one user", "if (user->id_bytes > 0 && !rc_span_equal(rc_span_of(user->id, user->id_bytes), identity->user)) {", "if (false) {"),
  replaced("a session's id is a secret", "const bool here = slot != 0 && rc_engine_of(engines, slot)->secret == sid->client.random;", "const bool here = slot != 0;"),
  replaced("a lost session is its user's", "if (!rc_span_equal(parts.user, user)) {", "if (false) {"),
  replaced("the console is a socket of its own", "exchange->console = clients->truth->sockets[index].listener == RC_LISTENER_CONSOLE;", "exchange->console = true;"),
  replaced("API keys", "if (!api_key_known(api, key, caller) ||", "if ((api_key_known(api, key, caller), false) ||"),
  // Processes of a linked application.
  ...[
    replaced("a connection is of one link", "return conn->id == connection && conn->link == (uint32_t)(link - links->links) ? client : 0;", "(void)link;\n    return conn->id == connection ? client : 0;"),
    replaced("a socket's id is of one connection", "if (member_at(links, known)->client != client) {\n            return -EEXIST;\n        }", ""),
    replaced("who leaves is its own connection's", "if (index == 0 || member_at(links, index)->client != client) {\n        return false;", "if (index == 0) {\n        return false;"),
    replaced("what is known of a socket its own process says", "if (index == 0 || member_at(links, index)->client != client) {\n        return; /*", "if (index == 0) {\n        return; /*"),
    opened("entry_is_others", "false"),
    replaced("an adapter leaves by itself", "if (index != BUS_NONE && &links->links[links->adapters[index].link] == link) {\n        entry_remove", "(void)link;\n    if (index != BUS_NONE) {\n        entry_remove"),
    opened("link_is_in", "true"),
    opened("rc_link_signature_right", "true"),
    replaced("a process is linked once", "strcmp(other->ready.process, link->ready.process) == 0) {", "false) {"),
    replaced("nothing is carried out before READY", "if (link->state != RC_LINK_IS_READY) {\n        stream_ready(", "if (link->state != RC_LINK_IS_READY && head->type == RC_LINK_READY) {\n        stream_ready("),
    replaced("names of channels have no control characters", "if (length == 0 || code < 0x20 ||", "if (length == 0 ||"),
    replaced("a process has its share of namespaces", "if (link->adapters >= RC_LINK_ADAPTERS_MAX) {", "if (false) {"),
    replaced("and of one namespace's adapters", "if (link_has(links, index, nsp) >= BUS_OF_NSP_MAX) {", "if (false) {"),
  ].map((guard) => ({ ...guard, test: "isolation_link" })),
  // Credentials. Where two guards keep the same out, as an algorithm's key and what that key can verify, only both together are one.
  ...[
    opened("public_good", "true"),
    replaced("a secret verifies no public key's", KEY_OF_ITS_TYPE, KEY_OF_ANY_TYPE),
    replaced("the key that a token names", "if (token->has_kid && (named ? !rc_span_equal(key->kid, token->kid) : key->kid.count > 0)) {", "if (false) {"),
    replaced("algorithms that are listed", "if (policy->algs != 0 && (policy->algs & RC_JWT_ALG_BIT(token.alg)) == 0) {", "if (false) {"),
    replaced("critical headers", "if (members[CRIT].value.type != RC_JSON_NONE || members[B64].value.type != RC_JSON_NONE) {", "if (false) {"),
    replaced("encrypted ones", "if (members[ENC].value.type != RC_JSON_NONE) {", "if (false) {"),
    replaced("members are there once", "if (rc_span_equal(names->items[i], text)) {\n            return -EEXIST;", "if (false) {\n            return -EEXIST;"),
    replaced("exp is there", "if (policy->require_exp && result->exp_s == RC_JWT_FOREVER) {", "if (false) {"),
    replaced("exp is later", "if (now_s - policy->leeway_s >= result->exp_s) {", "if (false) {"),
    replaced("nbf is not later", "if (nbf_s > now_s + policy->leeway_s) {", "if (false) {"),
    replaced("iat is not later", "if (result->iat_s > now_s + policy->leeway_s) {", "if (false) {"),
    replaced("iss is one of them", "policy->issuers != NULL && policy->issuers->count > 0 && !list_has(", "false && !list_has("),
    replaced("aud is one of them", "policy->audiences != NULL && policy->audiences->count > 0 &&\n", "false &&\n"),
    opened("rc_permission_user", "NULL"),
  ].map((guard) => ({ ...guard, test: "identity_pitfalls", named: "each pitfall" })),
  ...[
    opened("is_signed_by", "true"),
    replaced("cookies are signed", "if (row->secrets.count > 0 && (is_cookie || looks_signed)) {", "if (row->secrets.count > 0 && ((is_cookie && false) || looks_signed)) {"),
  ].map((guard) => ({ ...guard, test: "identity_session", named: "the cookie of a web application" })),
  { ...replaced("who has logged out goes", "if (rc_truth_client(clients->truth, client)->state != RC_CLIENT_OPEN) {\n            continue;", "if (true) {\n            continue;"), test: "identity_session", named: "who logs out" },
  { ...opened("is_revoked", "false"), test: "revocation", named: "a token, a user's" },
  { ...replaced("a credential ends", "if (at_ms == 0 ||\n        at_ms > now_ms) {", "if (true) {"), test: "identity", named: "a credential ends to the second, and" },
  ...[
    replaced("headers of proxies are proxies'", "if (judge->row->kind == RC_IDENTITY_PROXY && !rc_credentials_proxied(question->request)) {", "if (false) {"),
    replaced("requests of proxies are proxies'", "exchange->proxied = rc_cidr_list_contains(&clients->trusted, &peer);", "exchange->proxied = true;"),
  ].map((guard) => ({ ...guard, test: "identity", named: "nobody else's header" })),
  // Where a backend decides.
  ...[
    replaced("a backend decides", "const bool decidable = author == RC_AUTHOR_CLIENT &&", "const bool decidable = false && author == RC_AUTHOR_CLIENT &&"),
    replaced("who may not subscribe reads no history", "who_resolve(&space->history_who, rules || decided ?", "who_resolve(&space->history_who, rules ?"),
    replaced("nor sees who is there", "who_resolve(&space->presence_who, rules || decided ?", "who_resolve(&space->presence_who, rules ?"),
    opened("room_decided", "false"),
    replaced("whom it denies is refused", "    case RC_DECIDED_DENIED:\n        request_error(", "    case RC_DECIDED_DENIED:\n        carried = carry_out(request, true);\n        break;\n        request_error("),
    replaced("nor what is kept there", "if (kind == RC_QUESTION_RETAINED && rc_backend_of_call(", "if (false && rc_backend_of_call("),
  ].map((guard) => ({ ...guard, test: "hook", named: "where a backend decides who subscribes" })),
  { ...replaced("whom a backend denies is refused", 'judge_refuse(judge, "the backend says no");', ""), test: "hook_clients", named: "connect: the backend has a say" },
  // Who is there, and who stays.
  { ...opened("request_may_follow", "true"), test: "presence_events", named: "binary connections get them" },
  { ...replaced("who is there is told who is in", "if (!rc_client_is_in(clients, request->client, name)) {\n        request_error(request, RC_CODE_FORBIDDEN, RC_SPAN(\"subscribe", "if (false) {\n        request_error(request, RC_CODE_FORBIDDEN, RC_SPAN(\"subscribe"), test: "presence", named: "who may ask" },
  { ...replaced("whom its backend does not renew goes", "if (reply.verdict == RC_BACKEND_DENIED || (reply.verdict == RC_BACKEND_ACCEPTED && reply.expired)) {", "if (false) {"), test: "hook_clients", named: "connect: an end that the backend sets" },
  { ...opened("is_guarded", "false"), test: "pusher", named: "a room that rows guard" },
  { ...opened("rc_origin_allowed", "true"), test: "http", named: "pages of other origins" },
  { ...replaced("pages of other origins do not use the API", "if (verdict == RC_CORS_REFUSED && request->method != RC_HTTP_GET &&", "if (false && request->method != RC_HTTP_GET &&"), test: "http", named: "pages of allowed origins" },
];

/* Where somebody is refused, or asked about: a function that has one of these decides, or tells what was decided. */
const DECIDES = /rc_permission_(?:allows|reserved|user|socket)\(|RC_CODE_(?:FORBIDDEN|UNAUTHORIZED)|RC_CLOSE_(?:UNAUTHORIZED|NOT_ALLOWED)|RC_CORS_REFUSED|\b40[13]\b/;

/* Those of them in which no guard of the list is, and why. A new one is a guard, or is told here. */
export const NO_GUARDS = {
  "worker/api/api.c: api_ended": "counts what api_refusal says",
  "worker/api/ask.c: ask_subscription": "of backends, who may do all: it says that there is nothing to do",
  "worker/api/publish.c: publish_channel": "of backends: it names the other call",
  "worker/api/pusher.c: pusher_body_good": "rc_pusher_body_is",
  "worker/api/pusher.c: pusher_judge": "signature_refusal",
  "worker/carrier/polling_query.c: rc_polling_refuse": "tells what its callers say",
  "worker/client/arrival.c: checked_user": "rc_permission_user",
  "worker/client/arrival.c: rc_arrival_from": "rc_origin_allowed",
  "worker/client/arrival.c: arrival_judge": "tells what the row of [[identity]] says: who somebody is",
  "worker/client/auth.c: auth_refused": "tells what rc_client_auth says",
  "worker/client/auth.c: rc_client_auth": "tells what the row of [[identity]] says: who somebody is",
  "worker/client/expiry.c: rc_clients_revoked": "is_revoked",
  "worker/client/operation.c: request_refuse": "tells what its callers say",
  "worker/client/refresh.c: refresh_end": "tells what on_refreshed says",
  "worker/client/reserved.c: rc_client_room_is_socket": "rc_permission_socket",
  "worker/client/reserved.c: rc_client_channel_reserved": "rc_permission_reserved, reserved_for_socketio, rc_pusher_guards",
  "worker/engine/does.c: does_user": "of backends, who may do all: rc_permission_user",
  "worker/engine/rules.c: end_rooms": "passes over what is no room",
  "worker/gate/permission.c: rc_permission_refusal": "401 or 403, of who is refused",
  "worker/gate/rule_policy.c: rc_rule_who": "guard_who",
  "worker/gate/rule_policy.c: rc_rule_outside": "guard_inside",
  "worker/http/cors.c: rc_cors_judge": "rc_origin_allowed; what a browser may show is the browser's to keep",
  "worker/http/route.c: answer_options": "says beforehand what rc_routes_begin refuses",
  "worker/identity/identity.c: accept_user": "rc_permission_user",
  "worker/link/opening.c: rc_link_opening_rejected": "tells what the linked application says",
  "worker/proto/pusher.c: error_put": "tells what its callers say",
  "worker/proto/pusher.c: pusher_close_code": "tells what its callers say",
  "worker/pusher/subscribe.c: subscribe_user": "is_own_user",
  "worker/pusher/subscribe.c: rc_pusher_subscribe": "is_guarded, claim_authorised, rc_client_channel_reserved",
};

/* "file: function" of each that decides and has no guard of the list in it. */
export function unguarded() {
  const functions = /^[a-z][^;{}=]*?\b([a-z0-9_]+)\([^;{}]*\)\n\{\n[^]*?^\}\n/gm;
  return code().flatMap(([path, text]) => [...text.matchAll(functions)]
    .filter(([body]) => DECIDES.test(body.replace(/\/\*[^]*?\*\//g, "")) && !GUARDS.some(({ where }) => (typeof where === "string" ? body.includes(where) : where.test(body))))
    .map(([, name]) => `${path}: ${name}`));
}

function sources(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sources(path) : entry.name.endsWith(".c") ? [path] : [];
  });
}

let texts;
const code = () => (texts ??= ["common", "worker", "relay"].flatMap((folder) => sources(join(ROOT, folder))).map((path) => [path.slice(ROOT.length), readFileSync(path, "utf8")]));
/* The one file that has the guard, below the tree's root. */
export function sourceOf({ name, where }) {
  const found = code().filter(([, text]) => (typeof where === "string" ? text.includes(where) : where.test(text)));
  assert.equal(found.length, 1, `${name} is in one file: ${found.map(([path]) => path)}`);
  const [path, text] = found[0];
  assert.equal(typeof where === "string" ? text.split(where).length : 2, 2, `${name} is there once`);
  return path;
}

/* The file's text without the guard. */
export const without = ({ where, put }, text) => text.replace(where, (match) => put(match));
