//! Databases of a MariaDB server that are written to while they are saved: money moves between two accounts, so that what comes back
//! shows whether it is of one point in time.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

pub const SETUP: &str = "CREATE DATABASE bank; USE bank; CREATE TABLE account (id INT PRIMARY KEY, amount BIGINT) ENGINE=InnoDB;
    CREATE TABLE moved (id BIGINT AUTO_INCREMENT PRIMARY KEY, text BLOB) ENGINE=InnoDB;
    INSERT INTO account VALUES (1, 1000000), (2, 0); CREATE DATABASE other; CREATE TABLE other.t (a INT); INSERT INTO other.t VALUES (7);
    CREATE TABLE other.seen (a INT) ENGINE=InnoDB; CREATE PROCEDURE bank.twice(x INT) SELECT 2 * x;";
const MOVE: &str = "BEGIN; UPDATE account SET amount = amount - 1 WHERE id = 1; UPDATE account SET amount = amount + 1 WHERE id = 2; \
    INSERT INTO moved (text) VALUES (x'00ff27225c0a'); INSERT INTO other.seen VALUES (1); COMMIT;\n";

fn client(port: u16) -> Command {
    let mut command = Command::new("mariadb");
    let place = ["--no-defaults", "-uroot", "-h127.0.0.1", &format!("-P{port}")];
    command.args(place).args(["--batch", "--skip-column-names"]);
    command
}

/// What the server answers to root.
#[track_caller]
pub fn ask(port: u16, statements: &str) -> String {
    let output = client(port).args(["-e", statements]).output().expect("the program mariadb");
    assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Moves money until it is told to stop; every transaction leaves the sum as it was, and one row behind in each of the databases.
pub fn write_on(port: u16, stop: &AtomicBool) {
    let mut child = client(port).arg("bank").stdin(Stdio::piped()).spawn().expect("the program mariadb");
    let mut stdin = child.stdin.take().expect("its input");
    while !stop.load(Ordering::Relaxed) {
        stdin.write_all(MOVE.as_bytes()).expect("a statement is taken");
    }
    drop(stdin);
    assert!(child.wait().expect("its end").success());
}

pub fn moved(port: u16) -> u64 {
    ask(port, "SELECT COUNT(*) FROM bank.moved").parse().expect("a number")
}

/// How often the other database has heard of it, which is as often as it was moved at any one point in time.
pub fn seen(port: u16) -> u64 {
    ask(port, "SELECT COUNT(*) FROM other.seen").parse().expect("a number")
}

/// What was moved, when it is one point in time.
#[track_caller]
pub fn checked(port: u16) -> u64 {
    let count = moved(port);
    assert_eq!(ask(port, "SELECT SUM(amount) FROM bank.account"), "1000000");
    assert_eq!(ask(port, "SELECT amount FROM bank.account WHERE id = 2"), count.to_string());
    assert_eq!(ask(port, "SELECT DISTINCT HEX(text) FROM bank.moved"), "00FF27225C0A");
    count
}
