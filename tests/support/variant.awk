# What another build of ringcast has differently, for tests of `ringcast upgrade` (Makefile, FLAVOUR=variant): two keys and two metrics more,
# in front, so that nearly everything that configuration and metrics are made of lies elsewhere. `file` says which header is read.
{ print }
file == "common/config/values.h" && /^struct rc_config_server \{/ { print "    uint64_t variant_fixed;"; found++ }
file == "common/config/values.h" && /^struct rc_config_limits \{/ { print "    uint32_t variant_only;"; found++ }
file == "common/config/config.def" && /^RC_CONFIG_SECTION\(server,/ {
    print "RC_CONFIG_KEY(server, variant_fixed, UINT, variant_fixed, \"3\", 0, 1000, RESTART, \"Of another build.\")"
    found++
}
file == "common/config/config.def" && /^RC_CONFIG_SECTION\(limits,/ {
    print "RC_CONFIG_KEY(limits, variant_only, UINT, variant_only, \"7\", 0, 1000, RELOAD, \"Of another build.\")"
    found++
}
file == "common/metrics/metrics.def" && /^#define RC_SCALED/ { inside = 1 }
file == "common/metrics/metrics.def" && inside && /^#endif/ {
    print "RC_COUNTER(VARIANT_ONLY, \"ringcast_variant_total\", \"Of another build\")"
    print "RC_HISTOGRAM(VARIANT_TIME, \"ringcast_variant_seconds\", 1000000, \"Of another build\")"
    inside = 0
    found += 2
}
END {
    if (found != 2) {
        print "#error variant.awk does not fit " file
    }
}
