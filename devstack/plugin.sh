# DevStack calls this in each of its phases: plugin.sh MODE [PHASE].

# Save trace setting
_XTRACE_FREEZER_PLUGIN=$(set +o | grep xtrace)
set +o xtrace

source $FREEZER_DIR/devstack/lib/freezer

if is_freezer_enabled; then
    if [[ "$1" == "stack" && "$2" == "install" ]]; then
        echo_summary "Installing Freezer"
        install_freezer
        install_freezer_faces
    elif [[ "$1" == "stack" && "$2" == "post-config" ]]; then
        echo_summary "Configuring Freezer"
        configure_freezer
        configure_freezer_faces
        create_freezer_accounts
    elif [[ "$1" == "stack" && "$2" == "extra" ]]; then
        echo_summary "Starting Freezer"
        configure_freezer_agents
        init_freezer
        start_freezer
    elif [[ "$1" == "stack" && "$2" == "test-config" ]]; then
        echo_summary "Configuring tempest for Freezer"
        configure_freezer_tempest
    fi

    if [[ "$1" == "unstack" ]]; then
        stop_freezer
    fi

    if [[ "$1" == "clean" ]]; then
        cleanup_freezer
    fi
fi

# Restore xtrace
$_XTRACE_FREEZER_PLUGIN
