# shellcheck shell=bash
# ProFTPD, for the stores ftp and ftps: on port 2121 as a careful operator has it (TLS for who asks for it, data connections
# must go on with the session of their control connection), on 2122 as an old server (no MLSD, TLS 1.2), on 2123 only for
# clients with a certificate, and no file there takes the place of another; on 2124 data connections may come up with a session of
# their own. Certificates come from a CA of its own.

FTP_DIR=$MINICLOUD_DIR/ftp   # certificates and accounts
FTP_HOME=$DATA/ftp           # what the user freezer sees as /

install_ftp() { apt_install proftpd-mod-crypto openssl; }

# make_certificate NAME SUBJECT EXTENSIONS : signed by the CA
make_certificate() {
    local file=$FTP_DIR/$1
    [ -e "$file.pem" ] && return
    openssl req -newkey rsa:2048 -nodes -keyout "$file.key" -subj "$2" -out "$file.csr" &&
        openssl x509 -req -in "$file.csr" -CA "$FTP_DIR/ca.pem" -CAkey "$FTP_DIR/ca.key" -CAcreateserial -days 3650 \
            -extfile <(printf '%s\n' 'basicConstraints=CA:FALSE' "$3") -out "$file.pem"
}

make_certificates() {
    [ -e "$FTP_DIR/ca.pem" ] ||
        openssl req -x509 -newkey rsa:2048 -nodes -keyout "$FTP_DIR/ca.key" -subj "/CN=minicloud FTP CA" -days 3650 \
            -addext keyUsage=critical,keyCertSign,cRLSign -out "$FTP_DIR/ca.pem" || return 1
    make_certificate server "/CN=localhost" "subjectAltName=DNS:localhost,IP:$HOST" &&
        make_certificate client "/CN=freezer" "extendedKeyUsage=clientAuth"
}

start_ftp() {
    mkdir -p "$FTP_DIR" "$FTP_HOME" "$RUN/ftp"
    chmod 755 "$FTP_DIR"
    chown ftp: "$FTP_HOME"
    make_certificates >> "$LOGS/setup.log" 2>&1 || die "certificates for FTP (see $LOGS/setup.log)"
    chmod 600 "$FTP_DIR"/*.key
    # The account is in this file alone: name, password, ids, home, shell.
    printf 'freezer:%s:%s:%s::%s:/bin/false\n' "$(openssl passwd -6 -stdin <<< "$PASSWORD")" \
        "$(id -u ftp)" "$(id -g ftp)" "$FTP_HOME" > "$FTP_DIR/users"
    chmod 600 "$FTP_DIR/users"
    ftp_config > "$FTP_DIR/proftpd.conf"
    start proftpd root /usr/sbin/proftpd -n -c "$FTP_DIR/proftpd.conf"
    wait_for 20 proftpd port_open 2121
}

ftp_config() {
    cat <<END
ModulePath /usr/lib/proftpd
LoadModule mod_tls.c
ServerType standalone
ServerName minicloud
DefaultAddress $HOST
Port 2121
UseIPv6 off
UseReverseDNS off
SocketBindTight on
User ftp
Group nogroup
MaxInstances 400
PidFile $RUN/ftp/pid
ScoreboardFile $RUN/ftp/scoreboard
DelayTable none
ControlsEngine off
WtmpLog off
TransferLog none
<Global>
  AuthOrder mod_auth_file.c
  AuthUserFile $FTP_DIR/users
  RequireValidShell off
  DefaultRoot ~
  Umask 077
  AllowStoreRestart on
  DelayEngine off
  TLSEngine on
  TLSLog $RUN/ftp/tls.log
  TLSRSACertificateFile $FTP_DIR/server.pem
  TLSRSACertificateKeyFile $FTP_DIR/server.key
  TLSCACertificateFile $FTP_DIR/ca.pem
</Global>
AllowOverwrite on
TLSRequired off
TLSProtocol TLSv1.2 TLSv1.3
TLSVerifyClient off
<VirtualHost $HOST>
  Port 2122
  AllowOverwrite on
  TLSRequired off
  TLSProtocol TLSv1.2
  TLSVerifyClient off
  FactsAdvertise off
  <Limit MLSD MLST>
    DenyAll
  </Limit>
</VirtualHost>
<VirtualHost $HOST>
  Port 2123
  TLSRequired on
  TLSProtocol TLSv1.3
  TLSVerifyClient on
  AllowOverwrite off
</VirtualHost>
<VirtualHost $HOST>
  Port 2124
  AllowOverwrite on
  TLSRequired off
  TLSProtocol TLSv1.2 TLSv1.3
  TLSVerifyClient off
  TLSOptions NoSessionReuseRequired
</VirtualHost>
END
}
