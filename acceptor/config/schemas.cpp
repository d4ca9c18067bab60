/* schemas: reads [schemas]: JSON in a text, or in a file of its own. See loader.hpp. */
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>

#include "acceptor/config/loader.hpp"

extern "C" {
#include "common/config/schemas.h"
}

namespace rc_toml
{
namespace
{

void load_json(loader &load, const toml::source_position &at, std::string_view name, std::string_view json)
{
    rc_err err;
    if (rc_config_schema_add(load.config, name.data(), name.size(), json.data(), json.size(), &err) != 0) {
        report(load, at, "[schemas] %s: %s", shown(name).c_str(), err.text);
    }
}

/* { file = "/path" } */
void load_file(loader &load, const toml::source_position &at, std::string_view name, const toml::table &table)
{
    const toml::node *const node = table.get("file");
    const auto *const path = node != nullptr ? node->as_string() : nullptr;
    if (path == nullptr || table.size() != 1 || path->get().find('\0') != std::string::npos || path->get().empty() ||
        path->get().front() != '/') {
        report(load, at, "[schemas] %s: expected { file = \"/path\" } and nothing else", shown(name).c_str());
        return;
    }
    std::string json;
    const int rc = read_text(path->get().c_str(), O_NONBLOCK | O_NOCTTY, json, RC_CONFIG_SCHEMA_BYTES_MAX);
    if (rc != 0) {
        report(load, at, "[schemas] %s: cannot read %s: %s", shown(name).c_str(), shown(path->get()).c_str(),
               strerror(-rc));
        return;
    }
    load_json(load, at, name, json);
}

} /* namespace */

void load_schemas(loader &load, const toml::key &name, const toml::node &node)
{
    const toml::table *const table = node.as_table();
    if (table == nullptr) {
        report(load, name.source().begin, "expected a section [schemas]");
        return;
    }
    for (auto &&[key, value] : *table) {
        const auto at = place(key, value);
        if (const auto *text = value.as_string()) {
            load_json(load, at, key.str(), text->get());
        } else if (const auto *file = value.as_table()) {
            load_file(load, at, key.str(), *file);
        } else {
            report(load, at, "[schemas] %s: expected a JSON Schema in a text, or { file = \"/path\" }",
                   shown(key.str()).c_str());
        }
    }
}

} /* namespace rc_toml */
