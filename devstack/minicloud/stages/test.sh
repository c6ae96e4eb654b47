# shellcheck shell=bash
# What the project's tests need beside the services: tools, and accounts that may make databases,
# vhosts and projects of their own.

install_test() {
    apt_install build-essential pkg-config libmariadb-dev python3-venv python3-oslo.messaging \
        tar gzip bzip2 xz-utils zstd openssl acl attr curl git shellcheck postgresql mariadb-backup
}

TEST_DB=freezer_test

start_test() {
    sql "CREATE USER IF NOT EXISTS '$TEST_DB'@'$HOST' IDENTIFIED BY '$TEST_DB'"
    # The backslashes keep the underscores from being wildcards.
    sql "$(printf 'GRANT ALL ON `%s\\_%%`.* TO "%s"@"%s"' 'freezer\_test' "$TEST_DB" "$HOST")"
    once rabbit_test_user rabbit_test_user
    cat > "$RUN/rabbitmqctl" <<END
#!/bin/bash
export MINICLOUD_DIR=$MINICLOUD_DIR
exec "$CLOUD_HOME/rabbitmqctl" "\$@"
END
    chmod 755 "$RUN/rabbitmqctl"
    cat > "$MINICLOUD_DIR/test.env" <<END
export FREEZER_TEST_MYSQL=mysql+pymysql://$TEST_DB:$TEST_DB@$HOST:3306/
export FREEZER_TEST_RABBIT=rabbit://$TEST_DB:$TEST_DB@$HOST:5672/
export FREEZER_TEST_RABBITMQCTL=$RUN/rabbitmqctl
export FREEZER_TEST_KEYSTONE=$AUTH_URL
export FREEZER_TEST_PASSWORD=$PASSWORD
export FREEZER_TEST_MEMCACHED=$HOST:11211
export FREEZER_TEST_SSH=$HOST:2222
export FREEZER_TEST_SSH_KEY=$MINICLOUD_DIR/ssh/id_ed25519
export FREEZER_TEST_SSH_KNOWN_HOSTS=$MINICLOUD_DIR/ssh/known_hosts
export FREEZER_TEST_FTP=$HOST:2121
export FREEZER_TEST_FTP_OLD=$HOST:2122
export FREEZER_TEST_FTP_CLIENT=$HOST:2123
export FREEZER_TEST_FTP_LAX=$HOST:2124
export FREEZER_TEST_FTP_DIR=$MINICLOUD_DIR/ftp
export FREEZER_TEST_FTP_HOME=$MINICLOUD_DIR/data/ftp
END
}

rabbit_test_user() {
    rabbit_ctl list_users | grep -q "^$TEST_DB\b" || rabbit_ctl add_user "$TEST_DB" "$TEST_DB"
    rabbit_ctl set_user_tags "$TEST_DB" administrator
}
