//! Commands that an action runs: the end of their output is kept, their time is limited, and what they have started ends with
//! them when they are given up.

use super::ActionError;
use rustix::process::{Pid, Signal, kill_process_group};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Output kept of each stream: the end is what matters.
const OUTPUT_KEPT_BYTES: usize = 64 << 10;
/// What a command has left in the background may hold its output open for ever.
const REST_OF_OUTPUT: Duration = Duration::from_secs(2);

/// How commands ended.
#[derive(Debug)]
pub struct Ending {
    /// Of the last stage that failed; `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// They were ended at their time limit.
    pub is_late: bool,
    /// They were ended by an abort.
    pub is_aborted: bool,
}

impl Ending {
    pub fn is_success(&self) -> bool {
        self.code == Some(0) && !self.is_late && !self.is_aborted
    }

    /// Why it is no success; `what` names the command.
    pub fn trouble(&self, what: &str, limit: Option<Duration>) -> String {
        let how = match (self.is_late, self.code) {
            (true, _) => {
                format!("did not end within {} s and was killed", limit.unwrap_or_default().as_secs())
            }
            (false, Some(code)) => format!("ended with status {code}"),
            (false, None) => "was killed by a signal".to_owned(),
        };
        let said = self.stderr.trim();
        let from = said.char_indices().rev().nth(499).map_or(0, |(place, _)| place);
        let said = said.get(from..).unwrap_or_default();
        format!("{what} {how}{}{said}", if said.is_empty() { "" } else { ": " })
    }
}

/// The stages of a pipe, each with its words; through a shell it is one.
pub fn stages(line: &str, shell: bool) -> Result<Vec<Vec<String>>, String> {
    if shell {
        return Ok(vec![vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()]]);
    }
    split_stages(line)
}

/// Whether the commands are a process group of their own. In the daemon's child they may as well be in its group, which the
/// daemon ends whatever happens to the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Own,
    Callers,
}

/// Runs them to their end, to the limit, or until `token` is cancelled.
pub async fn run(
    stages: &[Vec<String>],
    variables: &[(&str, String)],
    limit: Option<Duration>,
    group: Group,
    token: &CancellationToken,
) -> Result<Ending, ActionError> {
    run_with(Stdio::null(), stages, variables, limit, (group, token)).await
}

/// The same with something to read, or to hold open as long as they run.
pub(crate) async fn run_with(
    input: Stdio,
    stages: &[Vec<String>],
    variables: &[(&str, String)],
    limit: Option<Duration>,
    (group, token): (Group, &CancellationToken),
) -> Result<Ending, ActionError> {
    let ending = run_or_end(input, stages, variables, limit, (group, token)).await?;
    if ending.is_aborted { Err(ActionError::Aborted) } else { Ok(ending) }
}

/// The same, where also what they said before an abort is wanted.
pub(super) async fn run_or_end(
    input: Stdio,
    stages: &[Vec<String>],
    variables: &[(&str, String)],
    limit: Option<Duration>,
    (group, token): (Group, &CancellationToken),
) -> Result<Ending, ActionError> {
    let mut running = Running::start(input, stages, variables, group)?;
    let forever = Duration::from_secs(u64::MAX / 4);
    let (ended, is_late, is_aborted) = tokio::select! {
        ended = running.wait() => (ended, false, false),
        () = token.cancelled() => (Ok(None), false, true),
        () = tokio::time::sleep(limit.unwrap_or(forever)) => (Ok(None), true, false),
    };
    if is_late || is_aborted || ended.is_err() {
        running.kill().await;
    }
    let code = ended?;
    let until = Instant::now() + REST_OF_OUTPUT;
    let (stdout, stderr) = (running.stdout.end(until).await, running.stderr.end(until).await);
    Ok(Ending { code, stdout, stderr, is_late, is_aborted })
}

struct Running {
    children: Vec<Child>,
    group: Option<Pid>,
    stdout: Tail,
    stderr: Tail,
}

impl Running {
    fn start(
        input: Stdio,
        stages: &[Vec<String>],
        variables: &[(&str, String)],
        group: Group,
    ) -> Result<Self, ActionError> {
        let mut running =
            Self { children: Vec::new(), group: None, stdout: Tail::default(), stderr: Tail::default() };
        let mut input = Some(input);
        for (number, words) in stages.iter().enumerate() {
            let Some((program, arguments)) = words.split_first() else { continue };
            let stdin = match running.children.last_mut().and_then(|child| child.stdout.take()) {
                Some(output) => output
                    .try_into()
                    .map_err(|error| ActionError::Failed(format!("joining the pipe: {error}")))?,
                None => input.take().unwrap_or_else(Stdio::null),
            };
            let mut command = Command::new(program);
            command
                .args(arguments)
                .envs(variables.iter().map(|(name, value)| (name, value)))
                .stdin(stdin)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true);
            if group == Group::Own {
                command.process_group(running.group.map_or(0, |group| group.as_raw_nonzero().get()));
            }
            let mut child = command
                .spawn()
                .map_err(|error| ActionError::Failed(format!("cannot start '{program}': {error}")))?;
            if group == Group::Own && running.group.is_none() {
                running.group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
            }
            running.stderr.listen(child.stderr.take());
            if number + 1 == stages.len() {
                running.stdout.listen(child.stdout.take());
            }
            running.children.push(child);
        }
        Ok(running)
    }

    /// The status of the last stage that failed, as of `set -o pipefail`; 0 when none did.
    async fn wait(&mut self) -> Result<Option<i32>, ActionError> {
        let mut code = Some(0);
        for child in &mut self.children {
            let status = child.wait().await;
            let status =
                status.map_err(|error| ActionError::Failed(format!("waiting for the command: {error}")))?;
            if !status.success() {
                code = status.code();
            }
        }
        Ok(code)
    }

    async fn kill(&mut self) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        for child in &mut self.children {
            let _ = child.kill().await;
        }
    }
}

/// A future that is dropped leaves nothing behind.
impl Drop for Running {
    fn drop(&mut self) {
        let is_running = self.children.iter().any(|child| child.id().is_some());
        if let Some(group) = self.group.filter(|_| is_running) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The last bytes of some streams.
#[derive(Default)]
struct Tail {
    kept: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Tail {
    fn listen(&mut self, stream: Option<impl AsyncRead + Unpin + Send + 'static>) {
        let Some(stream) = stream else { return };
        self.readers.push(tokio::spawn(keep(stream, self.kept.clone())));
    }

    async fn end(&mut self, until: Instant) -> String {
        for mut reader in self.readers.drain(..) {
            if tokio::time::timeout_at(until, &mut reader).await.is_err() {
                reader.abort();
            }
        }
        let kept = self.kept.lock().map(|kept| kept.clone()).unwrap_or_default();
        let from = kept.len().saturating_sub(OUTPUT_KEPT_BYTES);
        String::from_utf8_lossy(kept.get(from..).unwrap_or_default()).into_owned()
    }
}

async fn keep(mut stream: impl AsyncRead + Unpin, kept: Arc<Mutex<Vec<u8>>>) {
    let mut piece = vec![0; 8192];
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        let Ok(mut kept) = kept.lock() else { return };
        kept.extend_from_slice(piece.get(..count).unwrap_or_default());
        if kept.len() > 2 * OUTPUT_KEPT_BYTES {
            let surplus = kept.len() - OUTPUT_KEPT_BYTES;
            kept.drain(..surplus);
        }
    }
}

/// Splits a command line into the stages of a pipe and their words: quotes and backslashes as in a
/// POSIX shell, nothing else (no variables, no wildcards, no redirections).
fn split_stages(line: &str) -> Result<Vec<Vec<String>>, String> {
    let mut stages = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => quoted(&mut letters, word.get_or_insert_default(), '\'')?,
            '"' => quoted(&mut letters, word.get_or_insert_default(), '"')?,
            '\\' => word.get_or_insert_default().push(letters.next().ok_or("ends with a backslash")?),
            '|' => {
                end_word(&mut stages, &mut word);
                stages.push(Vec::new());
            }
            blank if blank.is_whitespace() => end_word(&mut stages, &mut word),
            other => word.get_or_insert_default().push(other),
        }
    }
    end_word(&mut stages, &mut word);
    if stages.iter().any(Vec::is_empty) {
        return Err("is empty, or has an empty stage beside a |".to_owned());
    }
    Ok(stages)
}

fn quoted(letters: &mut std::str::Chars<'_>, word: &mut String, quote: char) -> Result<(), String> {
    loop {
        match letters.next().ok_or_else(|| format!("a {quote} is not closed"))? {
            letter if letter == quote => return Ok(()),
            '\\' if quote == '"' => word.push(letters.next().ok_or("ends with a backslash")?),
            letter => word.push(letter),
        }
    }
}

fn end_word(stages: &mut [Vec<String>], word: &mut Option<String>) {
    if let (Some(stage), Some(word)) = (stages.last_mut(), word.take()) {
        stage.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_like_a_shell_without_being_one() {
        let stages = split_stages(r#"echo 'a b' "c \"d" e\ f $HOME | sort -r"#).unwrap();
        assert_eq!(stages, [vec!["echo", "a b", "c \"d", "e f", "$HOME"], vec!["sort", "-r"]]);
        assert_eq!(split_stages("x ''").unwrap(), [["x", ""]]);
        for bad in ["", "a |", "| a", "'open", "x\\"] {
            assert!(split_stages(bad).is_err(), "{bad}");
        }
    }

    async fn ran(
        line: &str,
        limit: Option<Duration>,
        token: &CancellationToken,
    ) -> Result<Ending, ActionError> {
        run(&stages(line, true).unwrap(), &[("WORD", "said".to_owned())], limit, Group::Own, token).await
    }

    #[tokio::test]
    async fn output_is_kept_whatever_the_end() {
        let token = CancellationToken::new();
        let ended = ran("echo $WORD; echo trouble >&2; exit 3", None, &token).await.unwrap();
        assert_eq!(
            (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
            (Some(3), "said\n", "trouble\n")
        );
        assert_eq!(ended.trouble("it", None), "it ended with status 3: trouble");
        let ended = ran("seq 1 100000", None, &token).await.unwrap();
        assert!(ended.is_success() && ended.stdout.ends_with("99999\n100000\n"));
        assert_eq!(ended.stdout.len(), OUTPUT_KEPT_BYTES);
        let two = stages("sh -c 'echo one >&2; echo x' | cat", false).unwrap();
        let ended = run(&two, &[], None, Group::Own, &token).await.unwrap();
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("x\n", "one\n"), "of every stage");
    }

    /// Whoever holds the lock of a file has not ended.
    #[tokio::test]
    async fn what_a_late_command_started_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let held = folder.path().join("held");
        let line = format!(
            "echo begun; flock {0} sleep 1000 & while flock -n {0} true; do :; done; wait",
            held.display()
        );
        let token = CancellationToken::new();
        let ended = ran(&line, Some(Duration::from_secs(5)), &token).await.unwrap();
        assert!(ended.is_late && ended.stdout == "begun\n", "{ended:?}");
        assert!(ended.trouble("it", Some(Duration::from_secs(5))).contains("within 5 s"));
        let free = ran(&format!("flock {} true", held.display()), None, &token).await.unwrap();
        assert!(free.is_success());
        token.cancel();
        assert!(matches!(ran("sleep 1000", None, &token).await, Err(ActionError::Aborted)));
    }
}
