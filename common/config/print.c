/* print: one walk over the key table for each audience. */
#include "common/config/print.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/event_guards.h"
#include "common/config/event_rules.h"
#include "common/config/key.h"
#include "common/config/key_print.h"
#include "common/config/schemas.h"
#include "common/config/text.h"
#include "common/config/variable.h"
#include "version.h"

#define WRAP_COLUMNS 110

/* Values for keys that have no default, so that examples are files that work. */
static const struct {
    const char *section;
    const char *key;
    const char *value;
} examples[] = {
    {"namespace", "name", "prices"},
    {"endpoint", "path", "/live"},
    {"pusher_app", "id", "1"},
    {"pusher_app", "key", "app-key"},
    {"pusher_app", "secret", "change-this-secret"},
    {"event", "on", "say"},
    {"emit", "when", "\"company:room:{args.0}\""},
    {"event", "match", "{ \"args.2.kind\" = \"text\" }"},
    {"event", "rate", "\"100/1m\""},
    {"event", "rate_bytes", "\"1MiB/1m\""},
    {"event", "rate_group", "\"talk\""},
    {"event", "inside", "\"room:{args.0}\""},
    {"event", "set", "{ last = \"{args.1}\" }"},
    {"event", "leave", "[\"lobby\"]"},
    {"event", "join", "[\"room:{args.0}\"]"},
    {"event", "retain", "\"room:{args.0}\""},
    {"event", "ack", "[\"ok\"]"},
    {"emit", "to", "\"room:{args.0}\""},
    {"emit", "event", "\"said\""},
    {"emit", "args", "[{ by = \"{sid}\", text = \"{args.1}\" }]"},
    {"backend", "name", "app"},
    {"backend", "url", "http://127.0.0.1:3000/ringcast"},
    {"identity", "from", "auth.token,header.authorization"},
    {"identity", "user", "\"{claims.sub}\""},
    {"identity", "attributes", "{ name = \"{claims.name}\" }"},
    {"identity", "same", "{ \"auth.userId\" = \"{claims.sub}\" }"},
    {"identity", "jwks_file", "/etc/ringcast/keys.json"},
    {"bridge", "redis", "match:result"},
    {"bridge", "room", "leaderboard:global"},
    {"consumer", "stream", "orders"},
    {"consumer", "room", "orders:{json.customer}"},
};

/* A line of a section whose keys are names, switched off. */
#define SCHEMA_EXAMPLE                                       \
    "\n# JSON in a text, or { file = \"/path\" } (reload)\n" \
    "#symbol = '{\"type\":\"object\",\"required\":[\"symbol\"],\"properties\":{\"symbol\":{\"type\":\"string\",\"maxLength\":16}}}'\n"

/* The keys of a section in their order: the one after `last` (NULL: the first), NULL at the end. */
static const struct rc_config_key *key_next(const struct rc_config_section *section, const struct rc_config_key *last)
{
    const struct rc_config_key *key = last == NULL ? rc_config_keys : last + 1;
    for (; key < rc_config_keys + rc_config_key_count; key++) {
        if (&rc_config_sections[key->section] == section) {
            return key;
        }
    }
    return NULL;
}

/* The default in TOML; `example`: of a key that has one, its example. */
static void initial_print(FILE *out, const struct rc_config_key *key, bool example)
{
    const char *text = key->initial;
    for (size_t i = 0; example && i < RC_ARRAY_COUNT(examples); i++) {
        if (strcmp(examples[i].section, rc_config_sections[key->section].name) == 0 &&
            strcmp(examples[i].key, key->name) == 0) {
            text = examples[i].value;
        }
    }
    const bool bare = key->kind == RC_CONFIG_BOOL || key->kind == RC_CONFIG_UINT || key->kind == RC_CONFIG_RULE;
    if (key->kind != RC_CONFIG_LIST) {
        (void)fprintf(out, bare ? "%s" : "\"%s\"", text);
        return;
    }
    (void)fputc('[', out);
    while (*text != '\0') {
        const size_t bytes = strcspn(text, ",");
        (void)fprintf(out, "\"%.*s\"%s", (int)bytes, text, text[bytes] == ',' ? ", " : "");
        text += bytes + (text[bytes] == ',' ? 1 : 0);
    }
    (void)fputc(']', out);
}

void rc_config_print_wrapped(FILE *out, const char *margin, const char *text)
{
    size_t column = 0;
    while (*text != '\0') {
        const size_t bytes = strcspn(text, " ");
        if (column > 0 && column + 1 + bytes > WRAP_COLUMNS) {
            (void)fputc('\n', out);
            column = 0;
        }
        column += (size_t)fprintf(out, "%s%.*s", column == 0 ? margin : " ", (int)bytes, text);
        text += bytes;
        text += *text == ' ' ? 1 : 0;
    }
    (void)fputc('\n', out);
}

void rc_config_print_help(FILE *out)
{
    (void)fputs(
        "Every key of the configuration file with its default. Durations have units (ns, us, ms, s, m, h, d: \"1h30m\"), sizes may\n"
        "(KB, MB, GB of 1000, KiB, MiB, GiB of 1024). reload: SIGHUP or `ringcast reload` changes it; restart: needs a restart.\n",
        out);
    for (size_t i = 0; i < rc_config_section_count; i++) {
        const struct rc_config_section *const section = &rc_config_sections[i];
        char heading[80];
        rc_config_section_heading(heading, sizeof(heading), section);
        (void)fprintf(out, "\n%s\n", heading);
        rc_config_print_wrapped(out, "  ", section->help);
        for (const struct rc_config_key *key = key_next(section, NULL); key != NULL; key = key_next(section, key)) {
            char type[320];
            rc_config_key_type_format(type, sizeof(type), key);
            (void)fprintf(out, "\n  %s = ", key->name);
            initial_print(out, key, true);
            (void)fprintf(out, "\n      %s; %s%s\n", type, key->reloadable ? "reload" : "restart",
                          rc_config_key_must_be_given(key) ? "; must be given" : "");
            rc_config_print_wrapped(out, "      ", key->help);
        }
    }
}

void rc_config_print_troff(FILE *out, const char *text)
{
    static const struct {
        char plain;
        const char *troff;
    } escapes[] = {{'\\', "\\(rs"}, {'-', "\\-"}, {'\'', "\\(aq"}, {'`', "\\(ga"}, {'^', "\\(ha"}, {'~', "\\(ti"}};
    bool begins = true; /* of a line: there a dot is a request */
    for (; *text != '\0'; text++) {
        const char *troff = begins && *text == '.' ? "\\&." : NULL;
        for (size_t i = 0; i < RC_ARRAY_COUNT(escapes); i++) {
            troff = escapes[i].plain == *text ? escapes[i].troff : troff;
        }
        (void)(troff != NULL ? fputs(troff, out) : fputc(*text, out));
        begins = *text == '\n';
    }
}

void rc_config_print_manual(FILE *out)
{
    (void)fprintf(
        out,
        ".TH RINGCAST.TOML 5 \"\" \"ringcast %s\" \"ringcast\"\n.SH NAME\nringcast.toml \\- configuration of the "
        "WebSocket broker ringcast\n.SH DESCRIPTION\n",
        RC_VERSION);
    rc_config_print_troff(
        out,
        "A TOML file; an empty one has every default. Durations have units (ns, us, ms, s, m, h, d: \"1h30m\"), "
        "sizes may (KB, MB, GB of 1000, KiB, MiB, GiB of 1024). What is marked reload is changed by SIGHUP or "
        "`ringcast reload`; the rest needs a restart. `ringcast check` says what is wrong with a file, line by line.");
    for (size_t i = 0; i < rc_config_section_count; i++) {
        const struct rc_config_section *const section = &rc_config_sections[i];
        char heading[80];
        rc_config_section_heading(heading, sizeof(heading), section);
        (void)fprintf(out, "\n.SH \"%s\"\n", heading);
        rc_config_print_troff(out, section->help);
        for (const struct rc_config_key *key = key_next(section, NULL); key != NULL; key = key_next(section, key)) {
            char type[320];
            char initial[512] = "";
            FILE *text = fmemopen(initial, sizeof(initial), "w");
            if (text != NULL) {
                initial_print(text, key, true);
                (void)fclose(text);
                initial[sizeof(initial) - 1] = '\0';
            }
            rc_config_key_type_format(type, sizeof(type), key);
            (void)fprintf(out, "\n.TP\n\\fB%s\\fR = ", key->name);
            rc_config_print_troff(out, initial);
            (void)fputc('\n', out);
            rc_config_print_troff(out, type);
            (void)fprintf(out, "; %s%s.\n", key->reloadable ? "reload" : "restart",
                          rc_config_key_must_be_given(key) ? "; must be given" : "");
            rc_config_print_troff(out, key->help);
        }
    }
    (void)fprintf(out, "\n.SH ENVIRONMENT\nThese win over the file; an empty one counts as unset.\n");
    for (size_t i = 0; i < rc_config_variable_count; i++) {
        if (rc_config_variables[i].help != NULL) {
            (void)fprintf(out, ".TP\n\\fB%s\\fR\n", rc_config_variables[i].name);
            rc_config_print_troff(out, rc_config_variables[i].help);
            (void)fputc('\n', out);
        }
    }
    (void)fprintf(out, ".SH \"SEE ALSO\"\n.BR ringcast (1)\n");
}

void rc_config_print_document(FILE *out)
{
    (void)fputs(
        "# ringcast.toml: every key with its default. An empty file means the same. Made from common/config/config.def.\n"
        "#\n"
        "# Durations have units (ns, us, ms, s, m, h, d: \"1h30m\"), sizes may (KB, MB, GB of 1000, KiB, MiB, GiB of 1024).\n"
        "# (reload): SIGHUP or `ringcast reload` changes it. (restart): a restart is needed.\n"
        "# `ringcast check FILE` says what is wrong with a file.\n",
        out);
    for (size_t i = 0; i < rc_config_section_count; i++) {
        const struct rc_config_section *const section = &rc_config_sections[i];
        const char *const off = section->repeated || section->optional ? "#" : "";
        char heading[80];
        rc_config_section_heading(heading, sizeof(heading), section);
        (void)fputc('\n', out);
        rc_config_print_wrapped(out, "# ", section->help);
        (void)fprintf(out, "%s%s\n", off, heading);
        if (section->named) {
            (void)fputs(SCHEMA_EXAMPLE, out);
        }
        for (const struct rc_config_key *key = key_next(section, NULL); key != NULL; key = key_next(section, key)) {
            char type[320];
            rc_config_key_type_format(type, sizeof(type), key);
            (void)fputc('\n', out);
            rc_config_print_wrapped(out, "# ", key->help);
            (void)fprintf(out, "# %s (%s%s)\n%s%s = ", type, key->reloadable ? "reload" : "restart",
                          rc_config_key_must_be_given(key) ? ", must be given" : "", off, key->name);
            initial_print(out, key, true);
            (void)fputc('\n', out);
        }
    }
}

/* Text in a cell of a table. */
static void cell_print(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|' || *text == '<' || *text == '*') {
            (void)fputc('\\', out);
        }
        (void)fputc(*text, out);
    }
}

void rc_config_print_markdown(FILE *out)
{
    (void)fputs(
        "# Configuration\n\n"
        "One TOML file, `ringcast -c FILE`. Every key has a default, so an empty file runs. This page and the documented file\n"
        "[deploy/ringcast.toml](../deploy/ringcast.toml) are made from `common/config/config.def`.\n\n"
        "* **Durations** are texts with units: `\"25s\"`, `\"10ms\"`, `\"1h30m\"` (ns, us, ms, s, m, h, d, the larger first).\n"
        "* **Sizes** are bytes, or texts with units: `\"64KiB\"`, `\"1MB\"` (KB, MB, GB, TB of 1000; KiB, MiB, GiB, TiB of 1024).\n"
        "* Unknown keys, wrong types and values out of range are errors with file, line and column; `ringcast check FILE` shows\n"
        "  all of them.\n"
        "* **Reload** (SIGHUP, `ringcast reload`) reads the whole file and checks it before anything changes. Keys marked\n"
        "  *restart* keep their value until then, and the log names them.\n\n"
        "## Environment\n\n"
        "These variables win over the file; an empty one counts as unset. Others that begin with `RINGCAST_` set nothing, and\n"
        "`ringcast check` and the start-up log name them.\n\n"
        "| variable | key |\n|---|---|\n",
        out);
    for (size_t i = 0; i < rc_config_variable_count; i++) {
        if (rc_config_variables[i].help != NULL) {
            (void)fprintf(out, "| `%s` | %s |\n", rc_config_variables[i].name, rc_config_variables[i].help);
        }
    }
    for (size_t i = 0; i < rc_config_section_count; i++) {
        const struct rc_config_section *const section = &rc_config_sections[i];
        char heading[80];
        rc_config_section_heading(heading, sizeof(heading), section);
        if (section->named) {
            (void)fprintf(out, "\n## %s\n\n%s\n", heading, section->help);
            continue;
        }
        (void)fprintf(out, "\n## %s\n\n%s\n\n| key | default | value | change | meaning |\n|---|---|---|---|---|\n",
                      heading, section->help);
        for (const struct rc_config_key *key = key_next(section, NULL); key != NULL; key = key_next(section, key)) {
            char type[320];
            rc_config_key_type_format(type, sizeof(type), key);
            (void)fprintf(out, "| `%s` | ", key->name);
            if (rc_config_key_must_be_given(key)) {
                (void)fputs("must be given", out);
            } else {
                (void)fputc('`', out);
                initial_print(out, key, false);
                (void)fputc('`', out);
            }
            (void)fputs(" | ", out);
            cell_print(out, type);
            (void)fprintf(out, " | %s | ", key->reloadable ? "reload" : "restart");
            cell_print(out, key->help);
            (void)fputs(" |\n", out);
        }
    }
}

void rc_config_print_permissions(FILE *out, const struct rc_config *config)
{
    const char *const outsiders = rc_config_outsiders(config);
    (void)fprintf(out, "  \"auto\" permissions are %s: %s\n", outsiders == NULL ? "anyone" : "none",
                  outsiders == NULL ? "every listener is loopback or a Unix socket, and no proxy is trusted"
                                    : outsiders);
    (void)fprintf(out, "  broadcast: %s; direct: %s; publish:", rc_config_who_name(config->permissions.broadcast),
                  rc_config_who_name(config->permissions.direct));
    for (uint32_t i = 0; i < config->namespace_count; i++) {
        const struct rc_config_namespace *const space = &config->namespaces[i];
        (void)fprintf(out, "%s %s in %s", i == 0 ? "" : ",", rc_config_who_name(space->publish), space->name);
    }
    bool any = false;
    for (uint32_t i = 0; i < config->namespace_count; i++) {
        const struct rc_config_namespace *const space = &config->namespaces[i];
        if (space->subscribe == RC_WHO_RULES) {
            (void)fprintf(out, "%s %s%s",
                          any ? "," : "\n  subscribed to by [[event]] tables and backends alone:", space->name,
                          space->whole ? "" : ":*");
            any = true;
        }
    }
    (void)fputc('\n', out);
}

/* A template as it stood in the file. */
static void template_print(FILE *out, const struct rc_config *config, const struct rc_event_template *template)
{
    const struct rc_span source = rc_event_text(config, template->source, template->source_bytes);
    (void)fwrite(source.bytes, 1, source.count, out);
}

static void rooms_print(FILE *out, const struct rc_config *config, const struct rc_event_template *rooms,
                        uint32_t count)
{
    (void)fputc('[', out);
    for (uint32_t i = 0; i < count; i++) {
        (void)fputs(i == 0 ? "" : ", ", out);
        template_print(out, config, &rooms[i]);
    }
    (void)fputs("]\n", out);
}

static void emit_print(FILE *out, const struct rc_config *config, const struct rc_config_event *row,
                       const struct rc_event_operation *operation)
{
    (void)fputs("[[event.emit]]\nto = ", out);
    if (operation->room_count > 0) {
        rooms_print(out, config, rc_event_rooms(config, operation), operation->room_count);
    } else {
        (void)fputs((operation->flags & RC_EVENT_TO_EVERYBODY) != 0 ? "\"*\"\n" : "\"{sid}\"\n", out);
    }
    if (operation->except_count > 0) {
        (void)fputs("except = ", out);
        rooms_print(out, config, rc_event_excepts(config, operation), operation->except_count);
    }
    (void)fprintf(out, "others = %s\n", (operation->flags & RC_EVENT_OTHERS) != 0 ? "true" : "false");
    (void)fprintf(out, "volatile = %s\n", (operation->flags & RC_EVENT_VOLATILE) != 0 ? "true" : "false");
    if (operation->when != RC_EVENT_ALWAYS) {
        const struct rc_event_question *const question = &rc_event_questions(config, row)[operation->when_question];
        (void)fprintf(out, "when = \"%s:", operation->when == RC_EVENT_WHEN_ALONE ? "alone" : "company");
        if (question->everybody != 0) {
            (void)fputc('*', out);
        } else { /* in quotes */
            const struct rc_span room =
                rc_event_text(config, question->room.source + 1, question->room.source_bytes - 2);
            (void)fwrite(room.bytes, 1, room.count, out);
        }
        (void)fputs("\"\n", out);
    }
    if (operation->event.source_bytes > 0) {
        (void)fputs("event = ", out);
        template_print(out, config, &operation->event);
        (void)fputc('\n', out);
    }
    if (operation->args.source_bytes > 0) {
        (void)fputs("args = ", out);
        template_print(out, config, &operation->args);
        (void)fputc('\n', out);
    }
}

static void set_print(FILE *out, const struct rc_config *config, const struct rc_event_operation *operation)
{
    (void)fputs("set = ", out);
    template_print(out, config, &operation->args);
    (void)fputc('\n', out);
}

static void operations_print(FILE *out, const struct rc_config *config, const struct rc_config_event *row,
                             enum rc_event_operation_type first, enum rc_event_operation_type last)
{
    const struct rc_event_operation *const operations = rc_event_operations(config, row);
    for (uint32_t i = 0; i < row->operation_count; i++) {
        if (operations[i].type < first || operations[i].type > last) {
            continue;
        }
        switch ((enum rc_event_operation_type)operations[i].type) {
        case RC_RULE_LEAVE:
        case RC_RULE_JOIN:
            (void)fputs(operations[i].type == RC_RULE_JOIN ? "join = " : "leave = ", out);
            rooms_print(out, config, rc_event_rooms(config, &operations[i]), operations[i].room_count);
            break;
        case RC_RULE_RETAIN:
            (void)fputs("retain = ", out);
            template_print(out, config, rc_event_rooms(config, &operations[i]));
            (void)fputc('\n', out);
            break;
        case RC_RULE_SET:
            set_print(out, config, &operations[i]);
            break;
        case RC_RULE_ACK:
            (void)fputs("ack = ", out);
            template_print(out, config, &operations[i].args);
            (void)fputc('\n', out);
            break;
        case RC_RULE_EMIT:
            emit_print(out, config, row, &operations[i]);
            break;
        case RC_RULE_CLOSE:
            (void)fputs("close = ", out);
            template_print(out, config, &operations[i].event);
            (void)fputc('\n', out);
            break;
        }
    }
}

/* Any text as a TOML basic string, or a quoted key. */
static void source_print(FILE *out, struct rc_span text)
{
    (void)fputc('"', out);
    for (size_t i = 0; i < text.count; i++) {
        const uint8_t byte = text.bytes[i];
        if (byte < 0x20 || byte == 0x7f) {
            (void)fprintf(out, "\\u%04x", byte);
            continue;
        }
        if (byte == '"' || byte == '\\') {
            (void)fputc('\\', out);
        }
        (void)fputc(byte, out);
    }
    (void)fputc('"', out);
}

static void conditions_print(FILE *out, const struct rc_config *config, const char *key, uint32_t at, uint32_t count)
{
    const struct rc_event_condition *const conditions = rc_event_conditions(config, at);
    for (uint32_t i = 0; i < count; i++) {
        (void)fprintf(out, i == 0 ? "%s = { " : ", ", key);
        source_print(out, rc_event_text(config, conditions[i].key.at, conditions[i].key.bytes));
        (void)fputs(" = ", out);
        template_print(out, config, &conditions[i].wanted);
    }
    (void)fputs(count > 0 ? " }\n" : "", out);
}

/* A member of `refuse`, whose JSON is TOML as well. */
static void refuse_member_print(FILE *out, const struct rc_config *config, const char *key,
                                const struct rc_event_text *json, bool *any)
{
    if (json->bytes > 0) {
        const struct rc_span text = rc_event_text(config, json->at, json->bytes);
        (void)fprintf(out, "%s%s = ", *any ? ", " : "refuse = { ", key);
        (void)fwrite(text.bytes, 1, text.count, out);
        *any = true;
    }
}

static void guards_print(FILE *out, const struct rc_config *config, const struct rc_config_event *row)
{
    const struct rc_event_guards *const guards = &row->guards;
    bool any = false;
    conditions_print(out, config, "match", guards->match, guards->match_count);
    if (row->each_count > 0) {
        (void)fputs("each = ", out);
        source_print(out, rc_event_text(config, row->each.at, row->each.bytes));
        (void)fputc('\n', out);
    }
    if (guards->rate.count > 0) {
        (void)fputs("rate = ", out);
        source_print(out, rc_event_text(config, guards->rate.text.at, guards->rate.text.bytes));
        (void)fputc('\n', out);
    }
    if (guards->rate_bytes.count > 0) {
        (void)fputs("rate_bytes = ", out);
        source_print(out, rc_event_text(config, guards->rate_bytes.text.at, guards->rate_bytes.text.bytes));
        (void)fputc('\n', out);
    }
    if (guards->rate_group > 0) {
        (void)fputs("rate_group = ", out);
        source_print(out, rc_event_text(config, guards->rate_group_name.at, guards->rate_group_name.bytes));
        (void)fputc('\n', out);
    }
    (void)fputs(guards->who == RC_EVENT_WHO_USER ? "who = \"user\"\n" : "", out);
    conditions_print(out, config, "who", guards->attributes, guards->attribute_count);
    if (guards->inside_count > 0) {
        (void)fputs("inside = ", out);
        template_print(out, config, &guards->inside);
        (void)fputc('\n', out);
    }
    refuse_member_print(out, config, "code", &guards->code, &any);
    for (uint32_t i = 0; i < RC_GUARDS; i++) {
        refuse_member_print(out, config, rc_event_guard_name((enum rc_event_guard)i), &guards->texts[i], &any);
    }
    refuse_member_print(out, config, "event", &guards->event, &any);
    if (guards->ack.piece_count > 0) {
        (void)fputs(any ? ", ack = " : "refuse = { ack = ", out);
        template_print(out, config, &guards->ack);
        any = true;
    }
    (void)fputs(any ? " }\n" : "", out);
}

static void schemas_print(FILE *out, const struct rc_config *config, const char *heading)
{
    if (config->schemas_count > 0) {
        (void)fprintf(out, "\n%s\n", heading);
    }
    for (uint32_t i = 0; i < config->schemas_count; i++) {
        (void)fprintf(out, "%s = ", config->schemas[i].name);
        source_print(out,
                     rc_span_of(rc_config_schema_source(config, &config->schemas[i]), config->schemas[i].source_bytes));
        (void)fputc('\n', out);
    }
}

static void identity_print(FILE *out, const struct rc_config *config, const struct rc_config_identity *row)
{
    const struct {
        const char *key;
        const struct rc_event_template *template;
    } templates[] = {{"user", &row->user}, {"attributes", &row->attributes}, {"same", &row->same}};
    for (size_t i = 0; i < RC_ARRAY_COUNT(templates); i++) {
        if (templates[i].template->source_bytes > 0) {
            (void)fprintf(out, "%s = ", templates[i].key);
            template_print(out, config, templates[i].template);
            (void)fputc('\n', out);
        }
    }
}

void rc_config_print_toml(FILE *out, const struct rc_config *config)
{
    for (size_t i = 0; i < rc_config_section_count; i++) {
        const struct rc_config_section *const section = &rc_config_sections[i];
        char heading[80];
        rc_config_section_heading(heading, sizeof(heading), section);
        if (section->named) {
            schemas_print(out, config, heading);
            continue;
        }
        for (uint32_t item = 0; item < rc_config_item_count(config, section); item++) {
            if (strcmp(section->name, "namespace") == 0 && config->namespaces[item].made) {
                continue; /* it follows from the tables */
            }
            (void)fprintf(out, "%s%s\n", i == 0 ? "" : "\n", heading);
            for (const struct rc_config_key *key = key_next(section, NULL); key != NULL; key = key_next(section, key)) {
                if (key->kind == RC_CONFIG_RULE) {
                    continue;
                }
                (void)fprintf(out, "%s = ", key->name);
                rc_config_key_print(out, key, (const char *)config + section->offset + item * section->item_bytes);
                (void)fputc('\n', out);
            }
            if (strcmp(section->name, "event") == 0) {
                const struct rc_config_event *const row = &config->events[item];
                guards_print(out, config, row);
                operations_print(out, config, row, RC_RULE_CLOSE,
                                 RC_RULE_CLOSE); /* behind a [[event.emit]] it is its */
                operations_print(out, config, row, RC_RULE_LEAVE, RC_RULE_EMIT);
            } else if (strcmp(section->name, "identity") == 0) {
                identity_print(out, config, &config->identities[item]);
            }
        }
    }
}
