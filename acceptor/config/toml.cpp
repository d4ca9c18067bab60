/* toml: walks the parsed file and hands each value to the key table (common/config/key_set.h). See toml.h. */
#include "acceptor/config/toml.h"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <unistd.h>

#include "acceptor/config/loader.hpp"
#include "common/config/bridge.h"

namespace
{

constexpr size_t kProblemsMax = 1000; /* collected before they are sorted; only RC_CONFIG_ERRORS_MAX are shown */

} /* namespace */

namespace rc_toml
{

void report(loader &load, const toml::source_position &at, const char *format, ...)
{
    if (load.problems.size() >= kProblemsMax) {
        return;
    }
    problem found = {};
    found.at = at;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(found.text.text, sizeof(found.text.text), format, args);
    va_end(args);
    load.problems.push_back(found);
}

toml::source_position place(const toml::key &key, const toml::node &node)
{
    return node.source().begin ? node.source().begin : key.source().begin;
}

int read_text(const char *path, int flags, std::string &text, size_t bytes_max)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0) {
        return -errno;
    }
    int rc = 0;
    while (text.size() <= bytes_max) {
        char chunk[16384];
        const ssize_t count = read(fd, chunk, sizeof(chunk));
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            rc = count < 0 ? -errno : 0;
            break;
        }
        text.append(chunk, static_cast<size_t>(count));
    }
    (void)close(fd);
    return rc;
}

std::string shown(std::string_view name)
{
    std::string text;
    for (const char c : name.substr(0, 60)) {
        text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
    while (name.size() > 60 && !text.empty() && (static_cast<unsigned char>(text.back()) & 0xc0) == 0x80) {
        text.pop_back();
    }
    return name.size() > 60 ? text + "..." : text;
}

namespace
{

rc_config_value value_of(const toml::node &node)
{
    rc_config_value value = {};
    if (const auto *text = node.as_string()) {
        value.type = rc_config_value::RC_VALUE_TEXT;
        value.text = text->get().data();
        value.bytes = text->get().size();
    } else if (const auto *integer = node.as_integer()) {
        value.type = rc_config_value::RC_VALUE_INTEGER;
        value.integer = integer->get();
    } else if (const auto *boolean = node.as_boolean()) {
        value.type = rc_config_value::RC_VALUE_BOOL;
        value.boolean = boolean->get();
    } else if (node.is_array()) {
        value.type = rc_config_value::RC_VALUE_LIST;
    } else {
        value.type = rc_config_value::RC_VALUE_OTHER;
        value.text = node.is_table()            ? "a table"
                     : node.is_floating_point() ? "a number with a decimal point"
                                                : "a date or time";
    }
    return value;
}

/* "[limits]", "[[namespace]]", "[[event.emit]]" */
std::string heading(const rc_config_section &section)
{
    const std::string name =
        section.within != nullptr ? std::string(section.within) + "." + section.name : section.name;
    return section.repeated ? "[[" + name + "]]" : "[" + name + "]";
}

void load_key(loader &load, const rc_config_section &section, const rc_config_key &key, const toml::key &name,
              const toml::node &node, void *item)
{
    const std::string label =
        section.repeated ? heading(section) + " " + key.name : std::string(section.name) + "." + key.name;
    rc_err err;
    const rc_config_value value = value_of(node);
    if (rc_config_key_set(&key, item, &value, &err) != 0) {
        report(load, place(name, node), "%s: %s", label.c_str(), err.text);
        return;
    }
    const toml::array *const items = key.kind == RC_CONFIG_LIST ? node.as_array() : nullptr;
    for (size_t i = 0; items != nullptr && i < items->size(); i++) {
        const toml::node &element = (*items)[i];
        const rc_config_value part = value_of(element);
        if (rc_config_key_add(&key, item, &part, &err) != 0) {
            report(load, place(name, element), "%s: %s", label.c_str(), err.text);
        }
    }
}

/* The section that a table of this section may hold under this name, nullptr: none. */
const rc_config_section *section_within(const rc_config_section &section, std::string_view name)
{
    const rc_config_section *const found = rc_config_section_find(name.data(), name.size());
    return found != nullptr && found->within != nullptr && strcmp(found->within, section.name) == 0 ? found : nullptr;
}

} /* namespace */

void load_table(loader &load, const rc_config_section &section, const toml::table &table, void *item)
{
    for (auto &&[name, node] : table) {
        const std::string_view text = name.str();
        const rc_config_key *const key = rc_config_key_find(&section, text.data(), text.size());
        if (key != nullptr && key->kind != RC_CONFIG_RULE) {
            load_key(load, section, *key, name, node, item);
        }
        if (key != nullptr || section_within(section, text) != nullptr || load.lenient) {
            continue;
        }
        const char *const nearest = rc_config_name_nearest(&section, text.data(), text.size());
        report(load, name.source().begin, "unknown key \"%s\" in %s%s%s%s", shown(text).c_str(),
               heading(section).c_str(), nearest != nullptr ? ", did you mean \"" : "",
               nearest != nullptr ? nearest : "", nearest != nullptr ? "\"?" : "");
    }
}

bool complete(loader &load, const rc_config_section &section, const toml::table &table, const toml::source_position &at)
{
    bool all = true;
    for (size_t i = 0; i < rc_config_key_count; i++) {
        const rc_config_key &key = rc_config_keys[i];
        if (&rc_config_sections[key.section] == &section &&
            (key.kind == RC_CONFIG_TEXT || key.kind == RC_CONFIG_LIST) && key.min > 0 && key.initial[0] == '\0' &&
            !table.contains(key.name)) {
            report(load, at, "this [[%s]] needs a %s", section.name, key.name);
            all = false;
        }
    }
    return all;
}

namespace
{

/* Where a [[namespace]] goes: `default` has its place from the start. nullptr when the name is taken. */
rc_config_namespace *namespace_place(loader &load, const rc_config_namespace &found, const toml::source_position &at)
{
    rc_config &config = *load.config;
    if (strcmp(found.name, "default") == 0 && !load.default_seen) {
        load.default_seen = true;
        return &config.namespaces[0];
    }
    for (uint32_t i = 0; i < config.namespace_count; i++) {
        if (strcmp(config.namespaces[i].name, found.name) == 0) {
            report(load, at, "there is another [[namespace]] named \"%s\"", found.name);
            return nullptr;
        }
    }
    return &config.namespaces[config.namespace_count++];
}

void load_item(loader &load, const rc_config_section &section, const toml::table &table,
               const toml::source_position &at)
{
    const size_t before = load.problems.size();
    const uint32_t count = rc_config_item_count(load.config, &section);
    if (count >= section.items_max) {
        report(load, at, "more than %u [[%s]] tables", static_cast<unsigned>(section.items_max), section.name);
        return;
    }
    if (strcmp(section.name, "event") == 0) {
        load_event(load, section, table, at);
        return;
    }
    if (strcmp(section.name, "identity") == 0) {
        load_identity(load, section, table, at);
        return;
    }
    std::vector<uint64_t> memory((section.item_bytes + 7) / 8); /* uint64_t: aligned for every section's struct */
    rc_config_item_defaults(&section, memory.data());
    load_table(load, section, table, memory.data());
    if (!complete(load, section, table, at) || load.problems.size() > before) {
        return;
    }
    rc_err err = {};
    if (strcmp(section.name, "bridge") == 0 &&
        rc_config_bridge_check(reinterpret_cast<const rc_config_bridge *>(memory.data()), &err) != 0) {
        report(load, at, "%s", err.text);
        return;
    }
    if (strcmp(section.name, "pusher_app") == 0 &&
        rc_pusher_secret_load(reinterpret_cast<rc_config_pusher_app *>(memory.data()), &err) != 0) {
        report(load, at, "%s", err.text);
        return;
    }
    if (strcmp(section.name, "consumer") == 0 &&
        rc_config_consumer_check(reinterpret_cast<const rc_config_consumer *>(memory.data()), &err) != 0) {
        report(load, at, "%s", err.text);
        return;
    }
    void *target;
    if (strcmp(section.name, "namespace") == 0) {
        auto *const found = reinterpret_cast<rc_config_namespace *>(memory.data());
        found->name_bytes = static_cast<uint32_t>(strlen(found->name));
        target = namespace_place(load, *found, at);
    } else {
        target = rc_config_item(load.config, &section, count);
        const uint32_t grown = count + 1;
        memcpy(reinterpret_cast<char *>(load.config) + section.count_offset, &grown, sizeof(grown));
    }
    if (target != nullptr) {
        memcpy(target, memory.data(), section.item_bytes);
    }
}

void load_section(loader &load, const rc_config_section &section, const toml::key &name, const toml::node &node)
{
    if (!section.repeated) {
        if (const auto *table = node.as_table()) {
            void *const item = rc_config_item(load.config, &section, 0);
            if (section.optional) {
                rc_config_item_defaults(&section, item); /* its path, too */
            }
            load_table(load, section, *table, item);
        } else {
            report(load, name.source().begin, "expected a section [%s]", section.name);
        }
        return;
    }
    const auto *const tables = node.as_array();
    if (tables == nullptr) {
        report(load, name.source().begin, "expected tables with two brackets: [[%s]]", section.name);
        return;
    }
    for (const toml::node &element : *tables) {
        if (const auto *table = element.as_table()) {
            load_item(load, section, *table, place(name, element));
        } else {
            report(load, place(name, element), "expected tables: [[%s]]", section.name);
        }
    }
}

void load_root(loader &load, const toml::table &root)
{
    if (const auto found = root.find("schemas"); found != root.end()) {
        load_schemas(load, found->first, found->second); /* before the rows that name them */
    }
    const auto identities = root.find("identity"); /* behind the rows: rc_event_rules.rows_bytes */
    for (auto &&[name, node] : root) {
        const std::string_view text = name.str();
        const rc_config_section *const section = rc_config_section_find(text.data(), text.size());
        if (section != nullptr && section->named) {
            continue;
        }
        if (section != nullptr && section->within == nullptr) {
            if (identities == root.end() || &node != &identities->second) {
                load_section(load, *section, name, node);
            }
            continue;
        }
        if (load.lenient) {
            continue;
        }
        const char *const nearest = rc_config_name_nearest(nullptr, text.data(), text.size());
        const bool table = node.is_table() || node.is_array_of_tables();
        report(load, name.source().begin, "unknown %s \"%s\"%s%s%s", table ? "section" : "key outside of a section",
               shown(text).c_str(), nearest != nullptr ? ", did you mean \"[" : "", nearest != nullptr ? nearest : "",
               nearest != nullptr ? "]\"?" : "");
    }
    if (identities != root.end()) {
        load_section(load, *rc_config_section_find("identity", 8), identities->first, identities->second);
    }
}

void add_error(rc_config_errors *errors, const char *file, const toml::source_position &at, const char *text)
{
    rc_config_errors_add(errors, "%s:%u:%u: %s", file, static_cast<unsigned>(at.line), static_cast<unsigned>(at.column),
                         text);
}

/*
 * Finds keys of many parts: the library builds and destroys their tables by recursion without a bound, and 400,000 parts
 * overflow the stack. Texts and comments are told apart from the rest, no more: where a file is not TOML the two readings
 * may differ, but there the library stops.
 */
class key_meter
{
  public:
    explicit key_meter(std::string_view file) : text(file) {}

    /* False when a key has too many parts, at position(). */
    bool measure()
    {
        while (at < text.size()) {
            const char c = text[at];
            if (c == '"' || c == '\'') {
                pass_text(c);
            } else if (c == '#') {
                at = std::min(text.find('\n', at), text.size());
            } else if (c == '.' && ++dots >= RC_CONFIG_KEY_PARTS_MAX) {
                return false;
            } else {
                if (c != '.' && std::strchr("=[]{},\n", c) != nullptr) {
                    dots = 0; /* the end of a key or a value (a NUL byte counts, too) */
                }
                at++;
            }
        }
        return true;
    }

    toml::source_position position() const
    {
        const size_t newline = text.substr(0, at).rfind('\n');
        const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
        const size_t column = newline == std::string_view::npos ? at + 1 : at - newline;
        return {static_cast<toml::source_index>(line), static_cast<toml::source_index>(column)};
    }

  private:
    void pass_text(char quote)
    {
        const std::string closing(text.substr(at, 3) == std::string(3, quote) ? 3 : 1, quote);
        at += closing.size();
        while (at < text.size() && text.substr(at, closing.size()) != closing) {
            if (closing.size() == 1 && text[at] == '\n') {
                return; /* not closed: the library says so */
            }
            at = std::min(at + (quote == '"' && text[at] == '\\' ? 2 : 1), text.size());
        }
        at = std::min(at + closing.size(), text.size());
        /* Up to two quotes before the closing three belong to the text. */
        for (int more = 0; closing.size() == 3 && more < 2 && at < text.size() && text[at] == quote; more++) {
            at++;
        }
    }

    std::string_view text;
    size_t at = 0;
    uint32_t dots = 0; /* in the key being read */
};

/* Parses and throws away. False when the library breaks on this text. */
bool parses_cleanly(std::string_view text)
{
    try {
        (void)toml::parse(text);
    } catch (const toml::parse_error &) {
        return true;
    } catch (const broken_assertion &) {
        return false;
    }
    return true;
}

/* The line on which the library broke, which does not say: the last one of the shortest beginning that breaks it. */
unsigned breaking_line(std::string_view text)
{
    std::vector<size_t> ends; /* of each line */
    for (size_t at = 0; at < text.size(); at = ends.back()) {
        ends.push_back(std::min(text.find('\n', at), text.size() - 1) + 1);
    }
    const auto first =
        std::partition_point(ends.begin(), ends.end(), [&](size_t end) { return parses_cleanly(text.substr(0, end)); });
    return static_cast<unsigned>(first - ends.begin()) + (first == ends.end() ? 0 : 1);
}

int load_parsed(rc_config *config, const toml::table &root, const char *name, bool lenient, rc_config_errors *errors)
{
    loader load = {};
    load.config = config;
    load.lenient = lenient;
    load_root(load, root);
    std::stable_sort(load.problems.begin(), load.problems.end(), [](const problem &a, const problem &b) {
        return a.at.line != b.at.line ? a.at.line < b.at.line : a.at.column < b.at.column;
    });
    for (const problem &found : load.problems) {
        add_error(errors, name, found.at, found.text.text);
    }
    return load.problems.empty() ? 0 : -EINVAL;
}

int parse(rc_config *config, std::string_view text, const char *name, bool lenient, rc_config_errors *errors)
{
    key_meter meter(text);
    if (!meter.measure()) {
        add_error(errors, name, meter.position(), "a key with too many parts");
        return -EINVAL;
    }
    try {
        return load_parsed(config, toml::parse(text, std::string_view(name)), name, lenient, errors);
    } catch (const toml::parse_error &error) {
        const std::string reason(error.description());
        add_error(errors, name, error.source().begin, reason.c_str());
    } catch (const broken_assertion &) {
        add_error(errors, name, {breaking_line(text), 1}, "this line is not TOML");
    }
    return -EINVAL;
}

/* Runs `work` and turns what C++ throws into an error line. */
template <typename Work> int guarded(const char *name, rc_config_errors *errors, Work work) noexcept
{
    try {
        return work();
    } catch (const std::bad_alloc &) {
        rc_config_errors_add(errors, "%s: not enough memory to read the configuration", name);
        return -ENOMEM;
    } catch (...) {
        rc_config_errors_add(errors, "%s: the configuration could not be read", name);
        return -EINVAL;
    }
}

} /* namespace */
} /* namespace rc_toml */

namespace rc_toml
{
namespace
{

int load_text(rc_config *config, std::string_view text, const char *name, bool lenient, rc_config_errors *errors)
{
    if (text.size() > RC_CONFIG_FILE_MAX) {
        rc_config_errors_add(errors, "%s: more than %u bytes, which is no configuration", name, RC_CONFIG_FILE_MAX);
        return -EINVAL;
    }
    return guarded(name, errors, [&] { return parse(config, text, name, lenient, errors); });
}

} /* namespace */
} /* namespace rc_toml */

extern "C" int rc_config_load_text(struct rc_config *config, const char *text, size_t bytes, const char *name,
                                   struct rc_config_errors *errors)
{
    return rc_toml::load_text(config, std::string_view(text, bytes), name, false, errors);
}

extern "C" int rc_config_load_former(struct rc_config *config, const char *text, size_t bytes, const char *name,
                                     struct rc_config_errors *errors)
{
    return rc_toml::load_text(config, std::string_view(text, bytes), name, true, errors);
}
