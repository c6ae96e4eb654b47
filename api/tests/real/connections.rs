//! Five hundred connections at once that mean no good, and an honest client among them: it is served, every one of them is
//! ended, and the process is as large as before.

use crate::stage::{Person, Stage};
use futures_util::future::join_all;
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 500;
const PIPELINED: usize = 40;
/// What a round may leave behind: an allocator keeps some.
const GROWTH_MAX_KIB: u64 = 16 << 10;
/// Until a connection that leads nowhere is ended, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Habit {
    /// Says nothing.
    Idle,
    /// Stops in the middle of a header.
    HalfHead,
    /// Announces a body and stops in the middle of it.
    HalfBody,
    /// Sends the head a byte at a time and never comes to an end.
    Dribble,
    /// Sends many requests without waiting for an answer, then half of one.
    Pipelined,
    /// What it sends is no HTTP.
    Noise,
    /// Asks, and goes away before the answer.
    Leaves,
}

const HABITS: [Habit; 7] = [
    Habit::Idle,
    Habit::HalfHead,
    Habit::HalfBody,
    Habit::Dribble,
    Habit::Pipelined,
    Habit::Noise,
    Habit::Leaves,
];

struct Attacker<'s> {
    address: &'s str,
    who: &'s Person,
}

impl Attacker<'_> {
    fn head(&self, method: &str) -> String {
        let Person { token, project_id, .. } = self.who;
        format!("{method} /v2/{project_id}/actions HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\n")
    }

    /// Acts by its habit and gives back all that the server said until it closed.
    async fn act(&self, habit: Habit) -> String {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let sent = match habit {
            Habit::Idle => String::new(),
            Habit::HalfHead | Habit::Dribble => self.head("GET") + "X-Slow: ",
            Habit::HalfBody => self.head("POST") + "Content-Length: 1000\r\n\r\n{\"freezer_action\"",
            Habit::Pipelined => (self.head("GET") + "\r\n").repeat(PIPELINED) + "GET /v2",
            Habit::Noise => "\u{16}\u{3}\u{1}\u{0}\u{1F4BE}\r\n\r\n".to_owned(),
            Habit::Leaves => self.head("GET") + "\r\n",
        };
        // The server may have closed before all was sent.
        let _ = socket.write_all(sent.as_bytes()).await;
        if habit == Habit::Leaves {
            return String::new();
        }
        if habit == Habit::Dribble {
            while socket.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn check(habit: Habit, answer: &str) {
    let is_good = match habit {
        Habit::Idle | Habit::HalfHead => answer.starts_with("HTTP/1.1 408 "),
        Habit::HalfBody => {
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"title\":\"Request Timeout\"")
        }
        Habit::Pipelined => answer.matches("HTTP/1.1 200 ").count() == PIPELINED,
        Habit::Noise => answer.starts_with("HTTP/1.1 400 "),
        // What was said is lost when the connection is reset under the sender.
        Habit::Dribble | Habit::Leaves => true,
    };
    assert!(is_good, "{habit:?}: {answer}");
    assert!(!answer.contains("HTTP/1.1 5"), "{habit:?}: {answer}");
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// One round of attacks, with the honest client in the middle of it.
async fn round(stage: &Stage, who: &Person) {
    let address = stage.base.strip_prefix("http://").unwrap();
    let attacker = Attacker { address, who };
    let attacks = (0..CONNECTIONS).map(|number| {
        let habit = HABITS[number % HABITS.len()];
        let act = attacker.act(habit);
        async move {
            let answer = tokio::time::timeout(PATIENCE, act).await;
            (habit, answer.unwrap_or_else(|_| panic!("{habit:?} is never ended")))
        }
    });
    let honest = async {
        for _ in 0..50 {
            stage.call(who, "GET", "/actions", Value::Null).await.expect(200);
            tokio::task::yield_now().await;
        }
    };
    let (answers, ()) = tokio::join!(join_all(attacks), honest);
    for (habit, answer) in answers {
        check(habit, &answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_connections_are_survived_with_flat_memory() {
    let stage =
        Stage::set("[api]\nkeep_alive_timeout = 5\nrequest_head_timeout = 2\nrequest_body_timeout = 2\n");
    let demo = stage.person("demo", "demo").await;
    let pid = stage.daemon.pid().unwrap();
    stage.call(&demo, "GET", "/actions", Value::Null).await.expect(200);
    // The first round fills pools and the allocator's stock.
    round(&stage, &demo).await;
    let (memory, files) = (resident_kib(pid), open_files(pid));
    for _ in 0..3 {
        round(&stage, &demo).await;
    }
    let after = resident_kib(pid);
    println!("resident: {memory} KiB after one round, {after} KiB after four");
    assert!(after <= memory + GROWTH_MAX_KIB, "{memory} KiB have become {after} KiB");
    // Connections that were left are let go of, too.
    let all_closed = async {
        while open_files(pid) > files + 8 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_closed).await.expect("connections stay open");
    stage.call(&demo, "GET", "/actions", Value::Null).await.expect(200);
}
