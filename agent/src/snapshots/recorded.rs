//! A host that is none: it answers as a real one was heard to, and tells what it was asked.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::host::{Call, Host};
use crate::actions::commands::Ending;
use async_trait::async_trait;
use std::sync::Mutex;

/// What is done beside the answer.
type Effect = Box<dyn Fn() + Send + Sync>;

pub struct Answer {
    /// The beginning of the command line.
    pub to: &'static str,
    pub code: i32,
    pub stdout: String,
    pub stderr: &'static str,
    /// Lines that the table of mounts has from then on; those that begin with a minus sign go.
    pub mounts: String,
    pub effect: Option<Effect>,
}

impl Answer {
    pub fn ok(to: &'static str, stdout: impl Into<String>) -> Self {
        Self { to, code: 0, stdout: stdout.into(), stderr: "", mounts: String::new(), effect: None }
    }

    pub fn failed(to: &'static str, stderr: &'static str) -> Self {
        Self { code: 5, stderr, ..Self::ok(to, "") }
    }

    pub fn mounting(mut self, line: String) -> Self {
        self.mounts = line;
        self
    }

    pub fn doing(mut self, effect: impl Fn() + Send + Sync + 'static) -> Self {
        self.effect = Some(Box::new(effect));
        self
    }
}

pub struct Recorded {
    table: Mutex<String>,
    answers: Mutex<std::collections::VecDeque<Answer>>,
    pub asked: Mutex<Vec<String>>,
}

impl Recorded {
    pub fn new(table: &str) -> Self {
        Self { table: Mutex::new(table.to_owned()), answers: Mutex::default(), asked: Mutex::default() }
    }

    pub fn then(self, answer: Answer) -> Self {
        self.answers.lock().unwrap().push_back(answer);
        self
    }

    pub fn add(&self, answer: Answer) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// What was asked since the last time; everything that was to be asked must have been.
    pub fn heard(&self) -> Vec<String> {
        assert_eq!(self.answers.lock().unwrap().len(), 0, "not asked: {:?}", self.asked.lock().unwrap());
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

#[async_trait]
impl Host for Recorded {
    async fn run(&self, call: Call) -> Result<Ending, String> {
        let line: Vec<String> = call.stages.iter().map(|words| words.join(" ")).collect();
        let line = line.join(" | ");
        self.asked.lock().unwrap().push(line.clone());
        let answer = self.answers.lock().unwrap().pop_front();
        let answer = answer.unwrap_or_else(|| panic!("nobody expected {line}"));
        assert!(line.starts_with(answer.to), "{line} instead of {}", answer.to);
        if let Some(effect) = &answer.effect {
            effect();
        }
        let mut table = self.table.lock().unwrap();
        match answer.mounts.strip_prefix('-') {
            Some(gone) => *table = table.replace(&format!("{gone}\n"), ""),
            None if !answer.mounts.is_empty() => *table += &format!("{}\n", answer.mounts),
            None => {}
        }
        Ok(Ending {
            code: Some(answer.code),
            stdout: answer.stdout,
            stderr: answer.stderr.to_owned(),
            is_late: false,
            is_aborted: false,
        })
    }

    fn mount_table(&self) -> Result<Vec<u8>, String> {
        Ok(self.table.lock().unwrap().clone().into_bytes())
    }
}
