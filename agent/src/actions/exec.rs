//! Action exec: run a command. Its words are taken as in a shell's quoting, but no shell is involved
//! unless `exec_shell` is set; stages of a pipe (`|`) are joined as upstream does.

use super::{ActionError, Done};
use crate::options::typed::ActionOptions;
use freezer_vault::Monitor;
use serde_json::{Map, json};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// Output kept of each stream; more is cut in the middle of nothing: the end is what matters.
const OUTPUT_KEPT_BYTES: usize = 64 << 10;

pub async fn exec(options: &ActionOptions, monitor: &Monitor) -> Result<Done, ActionError> {
    let line = options.command.as_deref().unwrap_or_default();
    let stages = if options.exec_shell {
        vec![vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()]]
    } else {
        split_stages(line).map_err(|cause| ActionError::Failed(format!("command: {cause}")))?
    };
    let mut children = start(&stages)?;
    let stdout = children.last_mut().and_then(|child| child.stdout.take());
    let stderr = children.last_mut().and_then(|child| child.stderr.take());
    let work = async {
        let (out, err) = tokio::join!(tail(stdout), tail(stderr));
        let mut code = Some(0);
        for child in &mut children {
            let status = child
                .wait()
                .await
                .map_err(|error| ActionError::Failed(format!("waiting for the command: {error}")))?;
            // Like `set -o pipefail`: the last stage that failed decides.
            if !status.success() {
                code = status.code();
            }
        }
        Ok::<_, ActionError>((out, err, code))
    };
    let limit = options.exec_timeout_secs.map_or(Duration::from_secs(u64::MAX / 4), Duration::from_secs);
    let ended = tokio::select! {
        ended = work => ended,
        () = monitor.token().cancelled() => Err(ActionError::Aborted),
        () = tokio::time::sleep(limit) => Err(ActionError::Failed(format!("the command did not end within {} s and was killed", limit.as_secs()))),
    };
    // kill_on_drop ends what still runs when `ended` is an error.
    let (out, err, code) = ended?;
    report(out, err, code)
}

fn report(out: String, err: String, code: Option<i32>) -> Result<Done, ActionError> {
    if code != Some(0) {
        let how = code
            .map_or_else(|| "was killed by a signal".to_owned(), |code| format!("ended with status {code}"));
        let said: String = err.trim().chars().rev().take(500).collect::<Vec<_>>().into_iter().rev().collect();
        return Err(ActionError::Failed(format!(
            "the command {how}{}{said}",
            if said.is_empty() { "" } else { ": " }
        )));
    }
    let mut result = Map::new();
    result.insert("exec".into(), json!({"exit_code": 0, "stdout": out, "stderr": err}));
    Ok(Done { result, summary: vec!["Command      ended with status 0".into()], partial: false })
}

fn start(stages: &[Vec<String>]) -> Result<Vec<Child>, ActionError> {
    let mut children: Vec<Child> = Vec::new();
    for (number, words) in stages.iter().enumerate() {
        let Some((program, arguments)) = words.split_first() else { continue };
        let stdin = match children.last_mut().and_then(|child| child.stdout.take()) {
            Some(output) => output
                .try_into()
                .map_err(|error| ActionError::Failed(format!("joining the pipe: {error}")))?,
            None => Stdio::null(),
        };
        let is_last = number + 1 == stages.len();
        let child = Command::new(program)
            .args(arguments)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(if is_last { Stdio::piped() } else { Stdio::inherit() })
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| ActionError::Failed(format!("cannot start '{program}': {error}")))?;
        children.push(child);
    }
    Ok(children)
}

/// Reads a stream to its end and keeps its last bytes.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut kept: Vec<u8> = Vec::new();
    let mut piece = vec![0; 8192];
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        kept.extend_from_slice(piece.get(..count).unwrap_or_default());
        if kept.len() > 2 * OUTPUT_KEPT_BYTES {
            kept.drain(..kept.len() - OUTPUT_KEPT_BYTES);
        }
    }
    let from = kept.len().saturating_sub(OUTPUT_KEPT_BYTES);
    String::from_utf8_lossy(kept.get(from..).unwrap_or_default()).into_owned()
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
}
