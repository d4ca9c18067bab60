// Each guard that keeps tenants apart, and how it is taken away: a function that gives the answer of who is let in at once, or a text that is
// replaced. tests/stress/isolation.mjs builds without each of them; tests/e2e/isolation.test.mjs sees that the list is true.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./util.mjs";

const opened = (name, gives) => ({ name: `${name}()`, where: new RegExp(`^[a-z][^;{}=]*\\b${name}\\([^;{}]*\\)\\n\\{\\n`, "m"), put: (text) => `${text}    return ${gives};\n` });
const replaced = (name, from, to) => ({ name, where: from, put: () => to });

const SAID = "return source == RC_EVENT_SOURCE_AUTH || source == RC_EVENT_SOURCE_CLIENT || source == RC_EVENT_SOURCE_QUERY ||\n           source == RC_EVENT_SOURCE_HEADER || source == RC_EVENT_SOURCE_COOKIE;";
const unsaid = (source) => replaced(`{${source.toLowerCase()}.x} is the client's word`, SAID, SAID.replace(`source == RC_EVENT_SOURCE_${source}`, "false"));

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
  replaced("members see who is where rows let in", "who_resolve(&space->presence_who, rules ? RC_WHO_MEMBER : space->subscribe);", "who_resolve(&space->presence_who, RC_WHO_ANYONE);"),
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
  replaced("a session's id is a secret", "engine->secret == sid->client.random &&", ""),
  replaced("a lost session is its user's", "if (!rc_span_equal(parts.user, user)) {", "if (false) {"),
  replaced("the console is a socket of its own", "exchange->console = clients->truth->sockets[index].listener == RC_LISTENER_CONSOLE;", "exchange->console = true;"),
  replaced("API keys", "if (!api_key_known(api, key, caller) ||", "if ((api_key_known(api, key, caller), false) ||"),
];

function sources(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sources(path) : entry.name.endsWith(".c") ? [path] : [];
  });
}

let texts;
/* The one file that has the guard, below the tree's root. */
export function sourceOf({ name, where }) {
  texts ??= ["common", "worker", "relay"].flatMap((folder) => sources(join(ROOT, folder))).map((path) => [path.slice(ROOT.length), readFileSync(path, "utf8")]);
  const found = texts.filter(([, text]) => (typeof where === "string" ? text.includes(where) : where.test(text)));
  assert.equal(found.length, 1, `${name} is in one file: ${found.map(([path]) => path)}`);
  const [path, text] = found[0];
  assert.equal(typeof where === "string" ? text.split(where).length : 2, 2, `${name} is there once`);
  return path;
}

/* The file's text without the guard. */
export const without = ({ where, put }, text) => text.replace(where, (match) => put(match));
