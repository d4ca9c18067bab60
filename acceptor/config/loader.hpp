/*
 * loader: what the files of acceptor/config share while a configuration file is read: where the values go, and what is wrong with them.
 */
#ifndef RC_ACCEPTOR_CONFIG_LOADER_H
#define RC_ACCEPTOR_CONFIG_LOADER_H

#include "acceptor/config/toml_library.hpp"

#include <string>
#include <string_view>
#include <vector>

extern "C" {
#include "common/config/pusher_secret.h"
#include "common/base/err.h"
#include "common/config/key_set.h"
}

namespace rc_toml
{

struct problem {
    toml::source_position at;
    rc_err text;
};

struct loader {
    rc_config *config;
    std::vector<problem> problems;
    bool lenient = false;      /* names that this build does not know are passed over */
    bool default_seen = false; /* a [[namespace]] named "default" */
};

/* toml.cpp */
__attribute__((format(printf, 3, 4))) void report(loader &load, const toml::source_position &at, const char *format,
                                                  ...);
/* A name from the file as a message shows it: the file is UTF-8, but a quoted key may be long or hold control
 * characters. */
std::string shown(std::string_view name);
/* Appends a file, opened with these flags, too; once more than `bytes_max` are there it stops. 0 or a negative errno. */
int read_text(const char *path, int flags, std::string &text, size_t bytes_max);
/* The place of a value; of its key where the library has none for the value (tables made by dotted keys). */
toml::source_position place(const toml::key &key, const toml::node &node);
/* All keys but those of rules. */
void load_table(loader &load, const rc_config_section &section, const toml::table &table, void *item);
/* Has it the keys without a useful default? */
bool complete(loader &load, const rc_config_section &section, const toml::table &table,
              const toml::source_position &at);

/* rules.cpp: one [[event]], one [[identity]] */
void load_event(loader &load, const rc_config_section &section, const toml::table &table,
                const toml::source_position &at);
void load_identity(loader &load, const rc_config_section &section, const toml::table &table,
                   const toml::source_position &at);

/* schemas.cpp: [schemas] */
void load_schemas(loader &load, const toml::key &name, const toml::node &node);

} /* namespace rc_toml */

#endif
