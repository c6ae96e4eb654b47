//! Mode postgresql: a cluster that is written to comes back, whole and at the wanted moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use freezer_testkit::Said;
use freezer_testkit::adopted::as_told;
use freezer_testkit::private::PrivatePostgresql;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// The rights that the documentation names.
const RIGHTS: &str = "CREATE ROLE backup LOGIN REPLICATION PASSWORD 'secret';
    GRANT EXECUTE ON FUNCTION pg_switch_wal() TO backup;
    GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint) TO backup;";
const TABLES: &str = "CREATE TABLE account (id INT PRIMARY KEY, amount BIGINT); INSERT INTO account VALUES (1, 1000000), (2, 0);
    CREATE TABLE moved (id BIGSERIAL PRIMARY KEY);";
const MOVE: &str = "BEGIN; UPDATE account SET amount = amount - 1 WHERE id = 1; UPDATE account SET amount = amount + 1 WHERE id = 2; \
    INSERT INTO moved DEFAULT VALUES; COMMIT;\n";

struct Bench {
    work: PathBuf,
    server: PrivatePostgresql,
}

impl Bench {
    fn start(work: &Path) -> Self {
        // The server's own user has to get to its data.
        std::fs::set_permissions(work, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::create_dir(work.join("old")).unwrap();
        let mut server = PrivatePostgresql::start(&work.join("old"));
        server.wait();
        server.ask(RIGHTS);
        server.ask(TABLES);
        let programs = PrivatePostgresql::programs();
        let text = format!(
            "[default]\nhost = 127.0.0.1\nport = {}\nuser = backup\npassfile = {}\ncheckpoint = fast\nbin_dir = {}\n",
            server.port,
            server.passfile.display(),
            programs.display()
        );
        std::fs::write(work.join("pg.conf"), text).unwrap();
        Self { work: work.to_path_buf(), server }
    }

    async fn agent(&self, arguments: &[&str]) -> Said {
        // What the agent finds around it leads nowhere.
        let around = [("PGHOST", "192.0.2.1"), ("PGPASSWORD", "wrong")];
        Said::by_agent("postgresql", &self.work.join("store"), &around, arguments).await
    }

    async fn backup(&self, more: &[&str]) -> Value {
        let conf = self.work.join("pg.conf").display().to_string();
        let arguments = [&["--action", "backup", "--postgresql-conf", &conf][..], more].concat();
        self.agent(&arguments).await.document()
    }

    async fn restore(&self, name: &str, more: &[&str]) -> PathBuf {
        let target = self.work.join(name);
        let place = target.display().to_string();
        self.agent(&[&["--action", "restore", "--restore-abs-path", &place][..], more].concat())
            .await
            .document();
        target
    }

    /// Committed levels.
    fn manifests(&self) -> usize {
        let mut find = Command::new("find");
        let found = find.arg(self.work.join("store")).args(["-name", "manifest"]).output().unwrap();
        String::from_utf8_lossy(&found.stdout).lines().count()
    }

    /// A server on what was restored, when it has recovered.
    fn recovered(&self, data: &Path) -> PrivatePostgresql {
        let folder = data.with_extension("run");
        std::fs::create_dir(&folder).unwrap();
        let mut server = PrivatePostgresql::start_on(&folder, data);
        server.wait();
        server
    }

    /// Moves money until told to stop; every transaction leaves the sum as it was and one row behind.
    fn write_on(&self, stop: &AtomicBool) {
        let mut child = self.server.psql().stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        while !stop.load(Ordering::Relaxed) {
            stdin.write_all(MOVE.as_bytes()).unwrap();
        }
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }

    fn wait_for_moves(&self, count: u64) {
        let end = moved(&self.server) + count;
        while moved(&self.server) < end {
            std::thread::yield_now();
        }
    }
}

fn moved(server: &PrivatePostgresql) -> u64 {
    server.ask("SELECT COUNT(*) FROM moved").parse().unwrap()
}

/// What was moved, when it is one point in time.
fn checked(server: &PrivatePostgresql) -> u64 {
    let count = moved(server);
    assert_eq!(server.ask("SELECT SUM(amount) FROM account"), "1000000");
    assert_eq!(server.ask("SELECT amount FROM account WHERE id = 2"), count.to_string());
    count
}

fn in_place<T>(work: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work))
}

fn time(secs: i64) -> String {
    chrono::DateTime::from_timestamp(secs, 0).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_written_to_comes_back_at_any_moment() {
    let work = tempfile::tempdir().unwrap();
    let bench = Bench::start(work.path());
    let server = &bench.server;
    let stop = AtomicBool::new(false);
    let (base, log) = std::thread::scope(|scope| {
        scope.spawn(|| bench.write_on(&stop));
        bench.wait_for_moves(50);
        let base = in_place(bench.backup(&["--incremental"]));
        bench.wait_for_moves(50);
        let log = in_place(bench.backup(&["--incremental"]));
        bench.wait_for_moves(50);
        stop.store(true, Ordering::Relaxed);
        (base, log)
    });
    let levels = [&base["curr_backup_level"], &log["curr_backup_level"]];
    assert_eq!(levels, [&Value::from(0), &Value::from(1)], "{base} {log}");
    let (base_at, log_at) = (base["time_stamp"].as_i64().unwrap(), log["time_stamp"].as_i64().unwrap());

    // A moment that is known, and what comes after it.
    let then = moved(server);
    let place = server.ask("SELECT pg_current_wal_lsn()");
    let now: i64 = server.ask("SELECT ceil(extract(epoch FROM clock_timestamp()))::bigint").parse().unwrap();
    let moment = now.max(log_at + 1);
    while server.ask(&format!("SELECT clock_timestamp() > to_timestamp({moment}) + interval '1 s'")) != "t" {
        std::thread::yield_now();
    }
    server.ask(
        "INSERT INTO moved SELECT nextval('moved_id_seq') FROM generate_series(1, 7); DROP TABLE account",
    );
    let last = bench.backup(&["--incremental"]).await;
    assert_eq!(last["curr_backup_level"], 2, "{last}");
    let records = bench.agent(&["--action", "adopt"]).await.document();
    as_told(&records, &[&base, &log, &last], &[]);

    let at_time = bench.restore("time", &["--restore-from-date", &time(moment)]).await;
    let at_place = bench.restore("place", &["--recovery-target-lsn", &place]).await;
    for data in [at_time, at_place] {
        assert_eq!(checked(&bench.recovered(&data)), then);
    }
    let newest = bench.recovered(&bench.restore("newest", &[]).await);
    assert_eq!(moved(&newest), then + 7);
    assert!(newest.try_ask("SELECT * FROM account").unwrap_err().contains("does not exist"));
    drop(newest);

    // The base backup alone is one that PostgreSQL itself finds whole.
    let only_base = bench.restore("base", &["--restore-from-date", &time(base_at)]).await;
    let verified = Command::new(PrivatePostgresql::programs().join("pg_verifybackup"))
        .args(["-n", "-i", "recovery.signal", "-i", "postgresql.auto.conf"])
        .arg(&only_base)
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let early = checked(&bench.recovered(&only_base));
    assert!((50..then).contains(&early), "{early} of {then}");
    bench.agent(&["--action", "verify"]).await.document();

    // What the server does not keep any more is not passed over.
    server.ask("SELECT pg_drop_replication_slot('freezer_db')");
    let anew = bench.backup(&["--incremental"]).await;
    assert_eq!(anew["curr_backup_level"], 0, "{anew}");
    bench.agent(&["--action", "admin", "--keep-last", "1"]).await.document();
    assert_eq!(bench.manifests(), 1);
}

#[tokio::test]
async fn what_cannot_be_saved_leaves_nothing() {
    let work = tempfile::tempdir().unwrap();
    let bench = Bench::start(work.path());
    let conf = work.path().join("pg.conf");
    let right = std::fs::read_to_string(&conf).unwrap();
    let conf = conf.display().to_string();
    let said = async |text: &str, more: &[&str]| {
        std::fs::write(&conf, text).unwrap();
        bench.agent(&[&["--action", "backup", "--postgresql-conf", &conf][..], more].concat()).await
    };
    said(&right.replace("user = backup", "user = nobody"), &[])
        .await
        .fails_with(&["pg_basebackup", "nobody"]);
    said(&format!("{right}password = x\n"), &[]).await.fails_with(&["passfile"]);
    said(&right, &["--incremental", "--always-level", "2"]).await.fails_with(&["max_level"]);
    // The rights for increments are missing: told before anything is read.
    bench.server.ask("REVOKE EXECUTE ON FUNCTION pg_switch_wal() FROM backup");
    said(&right, &["--incremental"]).await.document();
    said(&right, &["--incremental"]).await.fails_with(&["pg_switch_wal"]);
    bench.server.ask("GRANT EXECUTE ON FUNCTION pg_switch_wal() TO backup");
    // The failed level has cost nothing: the log is still there.
    assert_eq!(said(&right, &["--incremental"]).await.document()["curr_backup_level"], 1);
    assert_eq!(bench.manifests(), 2);

    let target = work.path().join("occupied");
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("PG_VERSION"), "9").unwrap();
    let target = target.display().to_string();
    bench
        .agent(&["--action", "restore", "--overwrite", "--restore-abs-path", &target])
        .await
        .fails_with(&["not empty"]);
}
