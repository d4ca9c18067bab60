# shellcheck shell=bash
# Sourced by the scripts that hold very many connections on one machine: enter_namespace runs the script again in a network
# namespace of its own with the sysctls that this needs, set inside. Needs root, and about 9.5 KiB of memory per connection.

PER_WORKER=${PER_WORKER:-19000} # below RLIMIT_NOFILE, which bounds the direct descriptors of a worker's ring

die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 2; }

RAISED=()
raise() { # FILE VALUE: for the time of the run, if it is there and lower
    local before
    before=$(cat "$1" 2>/dev/null) || return 0
    if ((before < $2)) && echo "$2" 2>/dev/null >"$1"; then RAISED+=("$1" "$before"); fi
}
restore() {
    set -- "${RAISED[@]}"
    while [[ $# -gt 0 ]]; do
        echo "$2" >"$1" || true
        shift 2
    done
}

enter_namespace() { # CONNECTIONS ARGUMENTS...: returns inside of the namespace
    local connections=$1 available needed
    shift
    if [[ ${RINGCAST_NAMESPACE:-} == 1 ]]; then
        ip link set lo up
        sysctl -qw net.ipv4.ip_local_port_range='1024 65535' net.core.somaxconn=65535 net.ipv4.tcp_max_syn_backlog=65535
        return
    fi
    [[ $(id -u) == 0 ]] || die "needs root, for the network namespace and its sysctls"
    [[ -x build/ringcast && -x build/ringcast-bench ]] || die "build/ringcast and build/ringcast-bench are missing; run make"
    available=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
    needed=$((connections * 95 / 10 + 1000000))
    [[ $available -gt $needed ]] || die "needs $((needed / 1048576)) GiB of free memory, there are $((available / 1048576)); give fewer connections"
    trap restore EXIT
    # The namespace's own table of connections, sized before it is made: by default 8 connections share a slot at a million.
    raise /proc/sys/net/ipv4/tcp_child_ehash_entries 2097152
    # Both ends send over the loopback's queue of one CPU: what does not fit is dropped, and comes again seconds later.
    raise /proc/sys/net/core/netdev_max_backlog 100000
    RINGCAST_NAMESPACE=1 unshare --net "$0" "$@"
    exit
}

workers_for() { # CONNECTIONS: workers that hold them
    local workers=$((($1 + PER_WORKER - 1) / PER_WORKER))
    # Least-loaded steering lags in a burst: a few spare workers take what arrives meanwhile.
    if ((workers > 1)); then workers=$((workers + workers / 16 + 1)); fi
    echo "$workers"
}

PORT=8999
start_many() { # NAME CONNECTIONS COMMAND...: a broker, started by COMMAND...; SERVER is its process, PORT its port, SECTIONS more configuration
    local name=$1 connections=$2
    shift 2
    PORT=$((PORT + 1)) # the last one's is free only when its workers' rings are gone
    mkdir -p "$WORK"
    cat >"$WORK/ringcast.toml" <<TOML
[server]
listen = ["127.0.0.1:$PORT"]
workers = $(workers_for "$connections")
instance_id = "$name"
[limits]
handshake_timeout = "60s"
ping_interval = "${PING_INTERVAL:-25s}"
[log]
level = "warn"
${SECTIONS:-}
TOML
    "$@" build/ringcast run -c "$WORK/ringcast.toml" >"$WORK/ringcast.log" 2>&1 &
    SERVER=$!
    trap 'kill -9 $SERVER 2>/dev/null || true' EXIT
    for _ in $(seq 300); do
        (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && return
        kill -0 "$SERVER" 2>/dev/null || { cat "$WORK/ringcast.log" >&2; die "ringcast did not start"; }
        sleep 0.1
    done
    die "ringcast does not listen"
}
