//! A MariaDB, a PostgreSQL and a RabbitMQ of one test alone, to be killed in the middle of things.

use super::daemon::Daemon;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(300);

/// A TCP port of 127.0.0.1 that nobody uses at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its number").port()
}

/// Waits until something accepts connections on the port.
pub fn wait_for_port(port: u16, what: &str) {
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "{what} does not listen on port {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn give_to(user: &str, folder: &Path) {
    let status = Command::new("chown").arg("-R").arg(format!("{user}:")).arg(folder).status();
    assert!(status.is_ok_and(|status| status.success()), "chown {}", folder.display());
}

/// Where a server has its temporary tables. As it starts, it removes all that it finds there: not in a folder of several.
fn temporary(folder: &Path) -> PathBuf {
    let temporary = folder.join("mariadb-temporary");
    std::fs::create_dir_all(&temporary).expect("a folder");
    give_to("mysql", &temporary);
    temporary
}

/// `mariadbd` with an empty database `freezer` for user and password `freezer`. Durable: a kill loses
/// nothing that was committed.
pub struct PrivateMariadb {
    pub port: u16,
    pub daemon: Daemon,
}

impl PrivateMariadb {
    /// Makes its data under `folder` and starts it.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    /// With further arguments for the server.
    pub fn start_with(folder: &Path, more: &[&str]) -> Self {
        let data = folder.join("mariadb");
        std::fs::create_dir_all(&data).expect("a folder");
        give_to("mysql", &data);
        let datadir = format!("--datadir={}", data.display());
        let temporary = temporary(folder);
        let install = Command::new("mariadb-install-db")
            .env("TMPDIR", &temporary)
            .args([
                "--no-defaults",
                &datadir,
                "--user=mysql",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
            ])
            .output()
            .expect("mariadb-install-db; make services installs it");
        assert!(install.status.success(), "{}", String::from_utf8_lossy(&install.stderr));
        let init = data.join("init.sql");
        let statements = "CREATE DATABASE IF NOT EXISTS freezer CHARACTER SET utf8mb4;\n\
             CREATE USER IF NOT EXISTS 'freezer'@'127.0.0.1' IDENTIFIED BY 'freezer';\n\
             GRANT ALL ON freezer.* TO 'freezer'@'127.0.0.1';\n";
        std::fs::write(&init, statements).expect("init.sql");
        give_to("mysql", &init);
        let init = format!("--init-file={}", init.display());
        Self::start_on(folder, &data, &[&[init.as_str()], more].concat())
    }

    /// Starts on a data directory that there is; `folder` is for its log.
    pub fn start_on(folder: &Path, data: &Path, more: &[&str]) -> Self {
        let port = free_port();
        let datadir = format!("--datadir={}", data.display());
        let socket = format!("--socket={}", data.join("s").display());
        let pid = format!("--pid-file={}", data.join("pid").display());
        let tmpdir = format!("--tmpdir={}", temporary(folder).display());
        let arguments = [
            "--no-defaults",
            &datadir,
            &tmpdir,
            &socket,
            &pid,
            "--user=mysql",
            "--bind-address=127.0.0.1",
            &format!("--port={port}"),
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=32M",
            "--performance-schema=OFF",
        ];
        let daemon = Daemon::new(
            "mariadbd",
            PathBuf::from("/usr/sbin/mariadbd"),
            &[&arguments[..], more].concat(),
            folder.join("mariadbd.log"),
        );
        let mut server = Self { port, daemon };
        server.start_again();
        server
    }

    pub fn start_again(&mut self) {
        self.daemon.start();
        wait_for_port(self.port, "mariadbd");
    }

    pub fn url(&self) -> String {
        format!("mysql+pymysql://freezer:freezer@127.0.0.1:{}/freezer?charset=utf8", self.port)
    }
}

/// PostgreSQL of one test alone, whose superuser is `postgres` with the password `secret` in the file `passfile`.
pub struct PrivatePostgresql {
    pub port: u16,
    pub passfile: PathBuf,
    daemon: Daemon,
}

impl PrivatePostgresql {
    /// Folder of the server's programs, the newest that is installed.
    pub fn programs() -> PathBuf {
        let versions =
            std::fs::read_dir("/usr/lib/postgresql").expect("postgresql; make services installs it");
        let newest = versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok()).max();
        Path::new("/usr/lib/postgresql").join(newest.expect("a version").to_string()).join("bin")
    }

    /// Makes a data directory `folder/data` and starts on it. The server's own user must be able to reach it.
    pub fn start(folder: &Path) -> Self {
        let (secret, data) = (folder.join("secret"), folder.join("data"));
        std::fs::write(&secret, "secret\n").expect("a file");
        give_to("postgres", folder);
        let (secret, data) = (secret.display().to_string(), data.display().to_string());
        let made = Command::new("setpriv")
            .args(AS_POSTGRES)
            .arg(Self::programs().join("initdb"))
            .args(["-D", &data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", &secret])
            .args(["-E", "UTF8", "--locale=C", "--no-sync"])
            .output()
            .expect("initdb");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self::start_on(folder, Path::new(&data))
    }

    /// Starts on a data directory that there is; `folder` is for its log and socket.
    pub fn start_on(folder: &Path, data: &Path) -> Self {
        let (port, passfile) = (free_port(), folder.join("pgpass"));
        std::fs::write(&passfile, "*:*:*:*:secret\n").expect("a file");
        let only_owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&passfile, only_owner).expect("its mode");
        give_to("postgres", folder);
        std::os::unix::fs::chown(&passfile, Some(0), Some(0)).expect("its owner");
        let path = |path: &Path| path.display().to_string();
        let server = path(&Self::programs().join("postgres"));
        let (data, socket) = (path(data), format!("-k{}", path(folder)));
        let port_number = port.to_string();
        let settings = ["-cfsync=off", "-cshared_buffers=16MB", "-clisten_addresses=127.0.0.1"];
        let arguments =
            [&AS_POSTGRES[..], &[&server, "-D", &data, "-p", &port_number, &socket][..], &settings[..]];
        let log = folder.join("postgresql.log");
        let daemon = Daemon::new("postgresql", PathBuf::from("/usr/bin/setpriv"), &arguments.concat(), log);
        let mut server = Self { port, passfile, daemon };
        server.daemon.start();
        server
    }

    /// What `psql` answers, or why it does not.
    pub fn try_ask(&self, statements: &str) -> Result<String, String> {
        let output = self.psql().args(["-c", statements]).output().expect("psql");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    pub fn ask(&self, statements: &str) -> String {
        self.try_ask(statements).unwrap_or_else(|error| panic!("{statements}: {error}"))
    }

    pub fn psql(&self) -> Command {
        let mut command = Command::new(Self::programs().join("psql"));
        command.args([
            "-X",
            "-A",
            "-t",
            "-q",
            "-w",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
        ]);
        command.args(["-p", &self.port.to_string(), "-d", "postgres"]).env("PGPASSFILE", &self.passfile);
        command
    }

    /// Waits until it takes writes.
    pub fn wait(&mut self) {
        let end = Instant::now() + PATIENCE;
        while self.try_ask("SELECT pg_is_in_recovery()").as_deref() != Ok("f") {
            assert!(self.daemon.is_running() && Instant::now() < end, "{}", self.daemon.last_words());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for PrivatePostgresql {
    /// A postmaster that is killed leaves its shared memory behind: it is told to end at once.
    fn drop(&mut self) {
        let pid = self.daemon.pid().and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let end = Instant::now() + Duration::from_secs(10);
        while self.daemon.is_running() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.daemon.kill();
    }
}

const AS_POSTGRES: [&str; 4] = ["--reuid=postgres", "--regid=postgres", "--init-groups", "--"];

/// A RabbitMQ node with its own name, ports and data; user `guest`.
pub struct PrivateRabbit {
    pub port: u16,
    epmd: Daemon,
    pub daemon: Daemon,
}

impl PrivateRabbit {
    pub fn start(folder: &Path) -> Self {
        let data = folder.join("rabbitmq");
        std::fs::create_dir_all(&data).expect("a folder");
        for name in ["env.conf", "rabbitmq.conf"] {
            std::fs::write(data.join(name), "").expect("configuration");
        }
        std::fs::write(data.join("plugins"), "[].").expect("configuration");
        give_to("rabbitmq", &data);
        let (port, dist, epmd) = (free_port(), free_port(), free_port());
        let path = |name: &str| data.join(name).display().to_string();
        let server = "/usr/lib/rabbitmq/bin/rabbitmq-server";
        let user = [
            "--reuid=rabbitmq",
            "--regid=rabbitmq",
            "--init-groups",
            "--",
            "env",
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL=C.UTF-8",
        ];
        let settings = [
            format!("HOME={}", data.display()),
            format!("RABBITMQ_NODENAME=t{port}@localhost"),
            "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1".to_owned(),
            format!("RABBITMQ_NODE_PORT={port}"),
            format!("RABBITMQ_DIST_PORT={dist}"),
            "ERL_EPMD_ADDRESS=127.0.0.1".to_owned(),
            format!("ERL_EPMD_PORT={epmd}"),
            format!("RABBITMQ_MNESIA_BASE={}", path("mnesia")),
            format!("RABBITMQ_LOG_BASE={}", path("log")),
            format!("RABBITMQ_CONFIG_FILE={}", path("rabbitmq.conf")),
            format!("RABBITMQ_CONF_ENV_FILE={}", path("env.conf")),
            format!("RABBITMQ_ENABLED_PLUGINS_FILE={}", path("plugins")),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
        ];
        let arguments: Vec<&str> =
            user.into_iter().chain(settings.iter().map(String::as_str)).chain([server]).collect();
        let daemon = Daemon::new(
            "rabbitmq",
            PathBuf::from("/usr/bin/setpriv"),
            &arguments,
            folder.join("rabbitmq.log"),
        );
        // The node would start one that outlives it; this one goes with the test.
        let epmd_arguments = ["-address", "127.0.0.1", "-port", &epmd.to_string()];
        let mut epmd_daemon =
            Daemon::new("epmd", PathBuf::from("/usr/bin/epmd"), &epmd_arguments, folder.join("epmd.log"));
        epmd_daemon.start();
        wait_for_port(epmd, "epmd");
        let mut server = Self { port, epmd: epmd_daemon, daemon };
        server.start_again();
        server
    }

    /// Kills the whole Erlang machine, not only the script that started it.
    pub fn kill(&mut self) {
        let pattern = format!("t{}@localhost", self.port);
        let _ = Command::new("pkill").args(["-KILL", "-f", &pattern]).status();
        self.daemon.kill();
    }

    pub fn start_again(&mut self) {
        self.daemon.start();
        wait_for_port(self.port, "rabbitmq");
    }

    pub fn url(&self) -> String {
        format!("rabbit://guest:guest@127.0.0.1:{}/", self.port)
    }
}

impl Drop for PrivateRabbit {
    fn drop(&mut self) {
        self.kill();
        self.epmd.kill();
    }
}
