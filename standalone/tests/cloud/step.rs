//! The end of a step that an agent's daemon has begun.

use freezer_testkit::Daemon;
use rustix::process::{Pid, Signal, kill_process};

/// Kills the one step that is under way. The daemon dies before it could hear of that, and begins again.
pub fn dies_with_its_daemon(agent: &mut Daemon) {
    let daemon = agent.pid().unwrap();
    send(daemon, Signal::STOP);
    send(step_of(daemon), Signal::KILL);
    agent.start();
}

/// Kills the one step that is under way, and nothing else.
pub fn dies(agent: &Daemon) {
    send(step_of(agent.pid().unwrap()), Signal::KILL);
}

fn send(process: u32, signal: Signal) {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw).unwrap();
    kill_process(process, signal).unwrap();
}

/// The process that this one has started.
fn step_of(daemon: u32) -> u32 {
    let folders = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = folders.filter_map(|folder| std::fs::read_to_string(folder.path().join("stat")).ok());
    let child = |stat: String| -> Option<u32> {
        // The second field is the name in parentheses and may itself hold blanks and parentheses.
        let (id, fields) = (stat.split_once(' ')?.0, stat.rsplit_once(')')?.1);
        let parent: u32 = fields.split_whitespace().nth(1)?.parse().ok()?;
        if parent == daemon { id.parse().ok() } else { None }
    };
    let steps: Vec<u32> = stats.filter_map(child).collect();
    assert_eq!(steps.len(), 1, "{steps:?}");
    steps[0]
}
