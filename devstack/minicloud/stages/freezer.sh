# shellcheck shell=bash
# This service itself: API on port 9090, conductor, an agent of project demo on this host and a central one for all projects.
# The programs come from FREEZER_BIN (default: the newest build under target/); a newer build is taken up by the next `up`.

install_freezer() { apt_install libmariadb3 ceph-common; }

freezer_bin() {
    local build newest=
    for build in "$CLOUD_HOME/../../target"/{debug,release}; do
        [ -x "$build/freezer-api" ] || continue
        [ -n "$newest" ] && [ "$newest/freezer-api" -nt "$build/freezer-api" ] || newest=$build
    done
    echo "$newest"
}

# Copies of the programs, where the service's user may read them. Succeeds if one has changed.
take_freezer_programs() {
    local from=${FREEZER_BIN:-$(freezer_bin)} name changed=1
    [ -n "$from" ] || die "no build of freezer: cargo build --features mysql, or set FREEZER_BIN"
    for name in freezer-api freezer-conductor freezer-agent freezer-manage; do
        [ -x "$from/$name" ] || die "no $name in $from: cargo build --features mysql, or set FREEZER_BIN"
        cmp -s "$from/$name" "$DATA/freezer/bin/$name" && continue
        install -m 755 "$from/$name" "$DATA/freezer/bin/$name"
        changed=0
    done
    return "$changed"
}

service_auth() { # the login of this service, for agents
    printf '[service_auth]\n'
    keystone_login freezer
}

configure_freezer() {
    local project=$1 etc=$ETC/freezer
    cat > "$etc/freezer.conf" <<END
[DEFAULT]
transport_url = $(rabbit_url)
bind_host = $HOST
bind_port = 9090
[database]
connection = $(db_url freezer)
$(authtoken_section freezer)
service_type = backup
[api]
# As Freezer's own tempest plugin wants it since 3.5.0.
backup_status = always
[conductor]
poll_interval = 1
heartbeat_interval = 5
END
    cat > "$etc/agent.conf" <<END
[DEFAULT]
transport_url = $(rabbit_url)
[agent]
project_id = $project
client_id = ${project}_minicloud
concurrent_jobs = 4
state_dir = $DATA/freezer/agent
progress_interval = 0.5
[service_auth]
auth_type = password
auth_url = $AUTH_URL
username = demo
password = $PASSWORD
project_name = demo
user_domain_id = default
project_domain_id = default
region_name = $REGION
END
    cat > "$etc/central.conf" <<END
[DEFAULT]
transport_url = $(rabbit_url)
[agent]
is_central = true
project_id = $2
client_id = central_minicloud
concurrent_jobs = 4
state_dir = $DATA/freezer/central
progress_interval = 0.5
$(service_auth)
END
    # They hold passwords; the agents run as root.
    chmod 600 "$etc"/*.conf
    chown freezer: "$etc/freezer.conf"
}

freezer_user() { id -u freezer || useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin freezer; }

project_id_of() ( # PROJECT
    # shellcheck source=/dev/null
    . "$RC/admin"
    openstack project show -f value -c id "$1"
)

start_freezer() {
    local bin=$DATA/freezer/bin name
    local conf=$ETC/freezer/freezer.conf
    once freezer_user freezer_user
    private_dir freezer "$ETC/freezer" "$DATA/freezer" "$bin"
    # Asked once: the client of OpenStack takes seconds to start.
    [ -s "$DATA/freezer/projects" ] ||
        { project_id_of demo && project_id_of service; } > "$DATA/freezer/projects" || die "projects demo and service"
    if take_freezer_programs; then
        for name in freezer-api freezer-conductor freezer-agent freezer-central; do restart "$name"; done
    fi
    # shellcheck disable=SC2046  # one project a line
    configure_freezer $(< "$DATA/freezer/projects")
    ensure_db freezer
    as freezer "$bin/freezer-manage" --config-file "$conf" db sync >> "$LOGS/setup.log" 2>&1 || die "freezer-manage db sync"
    once identity_freezer identity <<END
service backup freezer http://$HOST:9090
END
    start freezer-api freezer "$bin/freezer-api" --config-file "$conf"
    start freezer-conductor freezer "$bin/freezer-conductor" --config-file "$conf"
    start freezer-agent root "$bin/freezer-agent" --config-file "$ETC/freezer/agent.conf" serve
    start freezer-central root "$bin/freezer-agent" --config-file "$ETC/freezer/central.conf" serve
    wait_http "http://$HOST:9090/healthcheck"
}
