/* rules: reads [[event]] and [[identity]] tables and hands their templates to the compiler (common/config/event_build.h). See loader.hpp. */
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>

#include "acceptor/config/loader.hpp"

extern "C" {
#include "common/config/event_build.h"
#include "common/config/event_guards.h"
#include "common/config/identity.h"
}

namespace rc_toml
{
namespace
{

/* Values of rules ([[event]]): each goes to the compiler, and what it says against it is reported where the value stands. */
struct rule_reader {
    loader &load;
    rc_event_from from;
    std::unique_ptr<rc_event_build> build;
    rc_err err;
};

/* True when nothing was wrong. */
bool told(rule_reader &rules, int rc, const toml::source_position &at, const char *label)
{
    if (rc != 0) {
        report(rules.load, at, "%s: %s", label, rules.err.text);
    }
    return rc == 0;
}

void load_room(rule_reader &rules, const toml::source_position &at, const char *label, const toml::node &node,
               rc_event_operation_type type)
{
    if (const auto *text = node.as_string()) {
        told(rules, rc_event_build_room(rules.build.get(), type, text->get().data(), text->get().size(), &rules.err),
             at, label);
    } else {
        report(rules.load, at, "%s: expected a room's name in quotes", label);
    }
}

void load_rooms(rule_reader &rules, const toml::table &table, const char *label, const char *key,
                rc_event_operation_type type)
{
    const auto found = table.find(key);
    if (found == table.end()) {
        return;
    }
    const auto at = place(found->first, found->second);
    const toml::array *const items = found->second.as_array();
    if (items == nullptr && type == RC_RULE_EMIT) {
        load_room(rules, at, label, found->second, type);
    } else if (items == nullptr || (items->empty() && type == RC_RULE_EMIT)) {
        report(rules.load, at, "%s: expected %s", label,
               type == RC_RULE_EMIT ? "at least one room" : "a list of rooms, as in [\"…\", \"…\"]");
    }
    for (size_t i = 0; items != nullptr && i < items->size(); i++) {
        load_room(rules, place(found->first, (*items)[i]), label, (*items)[i], type);
    }
    if (type != RC_RULE_EMIT) {
        told(rules, rc_event_build_rooms(rules.build.get(), type, &rules.err), at, label);
    }
}

bool load_value(rule_reader &rules, const toml::source_position &around, const char *label, const toml::node &node);

/* A value that has to be a list, as arguments are. */
bool load_list(rule_reader &rules, const toml::source_position &at, const char *label, const toml::node &node)
{
    if (!node.is_array()) {
        report(rules.load, at, "%s: expected a list of values, as in [\"{args.0}\", 1]", label);
        return false;
    }
    rc_event_args_begin(rules.build.get());
    return load_value(rules, at, label, node);
}

bool load_constant(rule_reader &rules, const toml::source_position &at, const char *label, const std::string &text)
{
    return told(rules, rc_event_value_constant(rules.build.get(), text.data(), text.size(), &rules.err), at, label);
}

bool load_text(rule_reader &rules, const toml::source_position &at, const char *label, const std::string &text)
{
    return told(rules, rc_event_value_text(rules.build.get(), text.data(), text.size(), &rules.err), at, label);
}

/* As short as it can be, and a number with a decimal point again when it is read back. */
bool load_floating(rule_reader &rules, const toml::source_position &at, const char *label, double number)
{
    if (!std::isfinite(number)) {
        report(rules.load, at, "%s: JSON has no such number", label);
        return false;
    }
    char digits[64];
    const auto end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
    std::string text(digits, static_cast<size_t>(end - digits));
    if (text.find_first_of(".e") == std::string::npos) {
        text += ".0";
    }
    return load_constant(rules, at, label, text);
}

/* In the order of the file, which the library does not keep. */
std::vector<std::pair<const toml::key *, const toml::node *>> in_order(const toml::table &table)
{
    std::vector<std::pair<const toml::key *, const toml::node *>> order;
    for (auto &&[name, node] : table) {
        order.emplace_back(&name, &node);
    }
    std::stable_sort(order.begin(), order.end(), [](const auto &a, const auto &b) {
        const auto &left = a.first->source().begin;
        const auto &right = b.first->source().begin;
        return left.line != right.line ? left.line < right.line : left.column < right.column;
    });
    return order;
}

bool load_members(rule_reader &rules, const toml::source_position &at, const char *label, const toml::table &table)
{
    bool fine = told(rules, rc_event_value_open(rules.build.get(), '{', &rules.err), at, label);
    for (const auto &[name, node] : in_order(table)) {
        const std::string_view key = name->str();
        fine = fine &&
               told(rules, rc_event_value_key(rules.build.get(), key.data(), key.size(), &rules.err), at, label) &&
               load_value(rules, place(*name, *node), label, *node);
    }
    return fine && told(rules, rc_event_value_close(rules.build.get(), &rules.err), at, label);
}

bool load_value(rule_reader &rules, const toml::source_position &around, const char *label, const toml::node &node)
{
    const auto at = node.source().begin ? node.source().begin : around;
    if (const auto *items = node.as_array()) {
        bool fine = told(rules, rc_event_value_open(rules.build.get(), '[', &rules.err), at, label);
        for (size_t i = 0; fine && i < items->size(); i++) {
            fine = load_value(rules, at, label, (*items)[i]);
        }
        return fine && told(rules, rc_event_value_close(rules.build.get(), &rules.err), at, label);
    }
    if (const auto *table = node.as_table()) {
        return load_members(rules, at, label, *table);
    }
    if (const auto *string = node.as_string()) {
        return load_text(rules, at, label, string->get());
    }
    if (const auto *integer = node.as_integer()) {
        return load_constant(rules, at, label, std::to_string(integer->get()));
    }
    if (const auto *boolean = node.as_boolean()) {
        return load_constant(rules, at, label, boolean->get() ? "true" : "false");
    }
    if (const auto *number = node.as_floating_point()) {
        return load_floating(rules, at, label, number->get());
    }
    report(rules.load, at, "%s: JSON has no dates: write a text in quotes", label);
    return false;
}

using text_taker = int (*)(rc_event_build *build, const char *text, size_t bytes, rc_err *err);

/* A key whose value is one text. */
void load_one_text(rule_reader &rules, const toml::table &table, const char *label, const char *key, text_taker take)
{
    const auto found = table.find(key);
    if (found == table.end()) {
        return;
    }
    const auto at = place(found->first, found->second);
    if (const auto *text = found->second.as_string()) {
        told(rules, take(rules.build.get(), text->get().data(), text->get().size(), &rules.err), at, label);
    } else {
        report(rules.load, at, "%s: expected a text in quotes", label);
    }
}

void load_excepts(rule_reader &rules, const toml::table &table)
{
    static const char label[] = "[[event.emit]] except";
    const auto found = table.find("except");
    if (found == table.end()) {
        return;
    }
    const auto at = place(found->first, found->second);
    const toml::array *const items = found->second.as_array();
    if (items == nullptr) {
        load_room(rules, at, label, found->second, RC_RULE_EMIT);
    }
    for (size_t i = 0; items != nullptr && i < items->size(); i++) {
        load_room(rules, place(found->first, (*items)[i]), label, (*items)[i], RC_RULE_EMIT);
    }
    told(rules, rc_event_emit_except(rules.build.get(), &rules.err), at, label);
}

void load_emit(rule_reader &rules, const toml::table &table, const toml::source_position &at)
{
    const size_t before = rules.load.problems.size();
    rc_event_emit_begin(rules.build.get());
    load_table(rules.load, *rc_config_section_find("emit", 4), table, &rules.build->emit);
    load_excepts(rules, table);
    if (table.contains("to") || rules.from == RC_EVENT_FROM_SERVER) { /* who sent a server's event is no client */
        load_rooms(rules, table, "[[event.emit]] to", "to", RC_RULE_EMIT);
    } else {
        told(rules, rc_event_build_room(rules.build.get(), RC_RULE_EMIT, "{sid}", 5, &rules.err), at, "[[event.emit]]");
    }
    if (const auto found = table.find("event"); found != table.end()) {
        const auto where = place(found->first, found->second);
        if (const auto *string = found->second.as_string()) {
            told(rules, rc_event_emit_event(rules.build.get(), string->get().data(), string->get().size(), &rules.err),
                 where, "[[event.emit]] event");
        } else {
            report(rules.load, where, "[[event.emit]] event: expected a text in quotes");
        }
    }
    if (const auto found = table.find("args"); found != table.end()) {
        const auto where = place(found->first, found->second);
        if (load_list(rules, where, "[[event.emit]] args", found->second)) {
            told(rules, rc_event_emit_args(rules.build.get(), &rules.err), where, "[[event.emit]] args");
        }
    }
    load_one_text(rules, table, "[[event.emit]] when", "when", rc_event_emit_when);
    if (rules.load.problems.size() == before) {
        told(rules, rc_event_emit_end(rules.build.get(), &rules.err), at, "[[event.emit]]");
    }
}

void load_emits(rule_reader &rules, const toml::key &name, const toml::node &node)
{
    const toml::array *const tables = node.as_array();
    if (tables == nullptr) {
        report(rules.load, place(name, node), "[[event]] emit: expected a list of tables, as in [{ to = \"…\" }]");
        return;
    }
    for (const toml::node &element : *tables) {
        if (const auto *table = element.as_table()) {
            load_emit(rules, *table, place(name, element));
        } else {
            report(rules.load, place(name, element), "[[event]] emit: expected tables: { to = \"…\" }");
        }
    }
}

/* A table each member of which is compiled by itself; false: something was wrong, and told. */
bool load_each(rule_reader &rules, const toml::key &name, const toml::node &node, const char *label,
               const char *expected, void (*begin)(rc_event_build *build), text_taker end)
{
    const auto *const members = node.as_table();
    if (members == nullptr) {
        report(rules.load, place(name, node), "%s: expected %s", label, expected);
        return false;
    }
    const size_t before = rules.load.problems.size();
    for (const auto &[key, value] : in_order(*members)) {
        const auto at = place(*key, *value);
        const std::string_view text = key->str();
        const std::string inner = std::string(label) + "." + std::string(text);
        begin(rules.build.get());
        const bool list = inner == "[[event]] refuse.ack" && !value->is_array();
        if (list) {
            report(rules.load, at, "%s: expected a list of values", inner.c_str());
        } else if (load_value(rules, at, inner.c_str(), *value)) {
            told(rules, end(rules.build.get(), text.data(), text.size(), &rules.err), at, inner.c_str());
        }
    }
    return rules.load.problems.size() == before;
}

void load_match(rule_reader &rules, const toml::table &table)
{
    const auto found = table.find("match");
    if (found != table.end() &&
        load_each(rules, found->first, found->second, "[[event]] match", "a table, as in { \"args.0.type\" = \"x\" }",
                  rc_event_value_begin, rc_event_match_add)) {
        told(rules, rc_event_match_end(rules.build.get(), &rules.err), place(found->first, found->second),
             "[[event]] match");
    }
}

void load_who(rule_reader &rules, const toml::table &table)
{
    const auto found = table.find("who");
    if (found == table.end() || found->second.is_string()) {
        load_one_text(rules, table, "[[event]] who", "who", rc_event_who_word);
    } else if (load_each(rules, found->first, found->second, "[[event]] who",
                         "\"anyone\", \"user\" or attributes, as in { tier = [\"premium\"] }", rc_event_value_begin,
                         rc_event_who_add)) {
        told(rules, rc_event_who_end(rules.build.get(), &rules.err), place(found->first, found->second),
             "[[event]] who");
    }
}

void load_guards(rule_reader &rules, const toml::table &table)
{
    load_match(rules, table);
    load_one_text(rules, table, "[[event]] rate", "rate", rc_event_build_rate);
    load_one_text(rules, table, "[[event]] rate_bytes", "rate_bytes", rc_event_build_rate_bytes);
    load_one_text(rules, table, "[[event]] rate_group", "rate_group", rc_event_build_rate_group);
    load_who(rules, table);
    load_one_text(rules, table, "[[event]] inside", "inside", rc_event_build_inside);
    if (const auto found = table.find("refuse"); found != table.end()) {
        load_each(rules, found->first, found->second, "[[event]] refuse", "a table, as in { code = \"NO\" }",
                  rc_event_refuse_begin, rc_event_refuse_end);
    }
}

void load_set(rule_reader &rules, const toml::table &table)
{
    const auto found = table.find("set");
    if (found == table.end()) {
        return;
    }
    const auto at = place(found->first, found->second);
    const auto *const members = found->second.as_table();
    if (members == nullptr) {
        report(rules.load, at, "[[event]] set: expected a table, as in { name = \"{args.0}\" }");
        return;
    }
    rc_event_value_begin(rules.build.get());
    for (auto &&[name, node] : *members) {
        if (name.str().empty() || name.str().size() > RC_EVENT_STEP_MAX) {
            report(rules.load, at, "[[event]] set: the name of an attribute has 1 to %d bytes", RC_EVENT_STEP_MAX);
            return;
        }
    }
    if (load_members(rules, at, "[[event]] set", *members)) {
        told(rules, rc_event_build_set(rules.build.get(), static_cast<uint32_t>(members->size()), &rules.err), at,
             "[[event]] set");
    }
}

void load_close(rule_reader &rules, const toml::table &table)
{
    const auto found = table.find("close");
    const auto *const flag = found == table.end() ? nullptr : found->second.as_boolean();
    if (flag == nullptr) {
        load_one_text(rules, table, "[[event]] close", "close", rc_event_build_close);
    } else if (flag->get()) {
        told(rules, rc_event_build_close(rules.build.get(), "", 0, &rules.err), place(found->first, found->second),
             "[[event]] close");
    }
}

void load_rules(rule_reader &rules, const toml::table &table)
{
    load_one_text(rules, table, "[[event]] each", "each", rc_event_build_each);
    load_guards(rules, table);
    if (const auto found = table.find("schema"); found != table.end()) {
        told(rules, rc_event_build_schema(rules.build.get(), &rules.err), place(found->first, found->second),
             "[[event]] schema");
    }
    load_rooms(rules, table, "[[event]] leave", "leave", RC_RULE_LEAVE);
    load_set(rules, table);
    load_rooms(rules, table, "[[event]] join", "join", RC_RULE_JOIN);
    load_one_text(rules, table, "[[event]] retain", "retain", rc_event_build_retain);
    if (const auto found = table.find("ack"); found != table.end()) {
        if (load_list(rules, place(found->first, found->second), "[[event]] ack", found->second)) {
            told(rules, rc_event_build_ack(rules.build.get(), &rules.err), place(found->first, found->second),
                 "[[event]] ack");
        }
    }
    if (const auto found = table.find("emit"); found != table.end()) {
        load_emits(rules, found->first, found->second);
    }
    load_close(rules, table);
}

/* The template of an [[identity]]'s key; a table is walked as it is, but for `same`, whose pairs become a list. */
void load_template(rule_reader &rules, const char *label, const toml::source_position &at, const toml::node &node,
                   rc_event_template *out)
{
    rc_event_value_begin(rules.build.get());
    if (load_value(rules, at, label, node)) {
        told(rules, rc_event_build_value(rules.build.get(), out, &rules.err), at, label);
    }
}

void load_user(rule_reader &rules, const toml::table &table, const toml::source_position &at, rc_config_identity &row)
{
    static const char label[] = "[[identity]] user";
    const auto found = table.find("user");
    if (found != table.end() && !found->second.is_string()) {
        report(rules.load, place(found->first, found->second), "%s: expected a text, as in \"{claims.sub}\"", label);
    } else if (found != table.end()) {
        load_template(rules, label, place(found->first, found->second), found->second, &row.user);
    } else if (rc_config_identity_user(row.kind) != nullptr) {
        const toml::value<std::string> usual{rc_config_identity_user(row.kind)};
        load_template(rules, label, at, usual, &row.user);
        row.user.source_bytes = 0; /* the default */
    }
}

void load_attributes(rule_reader &rules, const toml::table &table, rc_config_identity &row)
{
    static const char label[] = "[[identity]] attributes";
    const auto found = table.find("attributes");
    if (found == table.end()) {
        return;
    }
    const auto at = place(found->first, found->second);
    const auto *const members = found->second.as_table();
    if (members == nullptr) {
        report(rules.load, at, "%s: expected a table, as in { name = \"{claims.name}\" }", label);
    } else if (members->contains("id")) {
        report(rules.load, at, "%s: `id` is the user's, which `user` says", label);
    } else {
        load_template(rules, label, at, found->second, &row.attributes);
    }
}

/* { "auth.userId" = "{session.userId}" } becomes ["{auth.userId}", "{session.userId}"]. */
void load_same(rule_reader &rules, const toml::table &table, rc_config_identity &row)
{
    static const char label[] = "[[identity]] same";
    const auto found = table.find("same");
    if (found == table.end()) {
        return;
    }
    const auto at = place(found->first, found->second);
    const auto *const members = found->second.as_table();
    if (members == nullptr) {
        report(rules.load, at, "%s: expected a table, as in { \"auth.userId\" = \"{session.userId}\" }", label);
        return;
    }
    std::string shown_as = "{ ";
    rc_event_value_begin(rules.build.get());
    bool fine = told(rules, rc_event_value_open(rules.build.get(), '[', &rules.err), at, label);
    for (auto &&[name, node] : *members) {
        const auto *const value = node.as_string();
        const std::string left = "{" + std::string(name.str()) + "}";
        if (value == nullptr) {
            report(rules.load, place(name, node), "%s: expected a text, as in \"{session.userId}\"", label);
            return;
        }
        shown_as += (shown_as.size() > 2 ? ", \"" : "\"") + std::string(name.str()) + "\" = \"" + value->get() + "\"";
        fine = fine && load_text(rules, place(name, node), label, left) &&
               load_text(rules, place(name, node), label, value->get());
    }
    shown_as += " }";
    if (fine && told(rules, rc_event_value_close(rules.build.get(), &rules.err), at, label)) {
        told(rules, rc_event_build_shown(rules.build.get(), shown_as.data(), shown_as.size(), &rules.err), at, label);
        told(rules, rc_event_build_value(rules.build.get(), &row.same, &rules.err), at, label);
    }
}

} /* namespace */

void load_identity(loader &load, const rc_config_section &section, const toml::table &table,
                   const toml::source_position &at)
{
    const size_t before = load.problems.size();
    const auto row = std::make_unique<rc_config_identity>();
    rc_config_item_defaults(&section, row.get());
    load_table(load, section, table, row.get());
    rule_reader rules = {load, RC_EVENT_FROM_CLIENT, std::make_unique<rc_event_build>(), {}};
    rc_event_build_begin_values(rules.build.get(), load.config, rc_config_identity_sources(row->kind));
    load_user(rules, table, at, *row);
    load_attributes(rules, table, *row);
    load_same(rules, table, *row);
    if (load.problems.size() == before) {
        load.config->identities[load.config->identity_count++] = *row;
    }
}

void load_event(loader &load, const rc_config_section &section, const toml::table &table,
                const toml::source_position &at)
{
    const size_t before = load.problems.size();
    const auto row = std::make_unique<rc_config_event>();
    rc_config_item_defaults(&section, row.get());
    load_table(load, section, table, row.get());
    (void)complete(load, section, table, at);
    rule_reader rules = {load, row->from, std::make_unique<rc_event_build>(), {}};
    rc_event_build_begin(rules.build.get(), load.config, row.get());
    load_rules(rules, table);
    if (load.problems.size() == before &&
        told(rules, rc_event_guards_check(rules.build.get(), &rules.err), at, "[[event]]") &&
        told(rules, rc_event_build_end(rules.build.get(), &rules.err), at, "[[event]]")) {
        load.config->event_lines[load.config->event_count - 1] = at.line;
    }
}

} /* namespace rc_toml */
