//! Threads that read small files ahead of the writer, in batches, so that a tree of many small files is not
//! read at the pace of one disk access after the other.

use super::content::{OpenFile, Refusal};
use crate::tar::attributes::Attributes;
use crate::tar::facts::Facts;
use rustix::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, Scope};

/// Files up to this size are read ahead.
pub(super) const SMALL_FILE: u64 = 128 * 1024;
const THREADS: usize = 4;

/// A file read whole, or why not.
pub(super) type Answer = Result<SmallFile, Refusal>;

#[derive(Debug)]
pub(super) struct SmallFile {
    pub facts: Facts,
    /// The facts after reading.
    pub after: Facts,
    pub attributes: Attributes,
    /// At most the size in `facts`; shorter if the file shrank. `None` if it is no small file any more.
    pub data: Option<Vec<u8>>,
    /// Reading failed after so many bytes.
    pub failure: Option<rustix::io::Errno>,
}

struct Job {
    dir: Arc<OwnedFd>,
    names: Vec<Box<[u8]>>,
    follow: bool,
    answers: Sender<Vec<Answer>>,
}

/// The way to the threads; they end when it is dropped.
pub(super) struct Pool {
    jobs: Sender<Job>,
}

impl Pool {
    /// `None` when no thread can be had; the writer then reads everything itself.
    pub fn start<'scope>(scope: &'scope Scope<'scope, '_>) -> Option<Self> {
        let (jobs, receiver) = channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        let mut running = 0;
        for number in 0..THREADS {
            let receiver = Arc::clone(&receiver);
            let name = format!("tar-read-{number}");
            running +=
                usize::from(Builder::new().name(name).spawn_scoped(scope, move || serve(&receiver)).is_ok());
        }
        (running > 0).then_some(Self { jobs })
    }

    /// The answers come in the order of the names; none at all if a thread died.
    pub fn ask(&self, dir: Arc<OwnedFd>, names: Vec<Box<[u8]>>, follow: bool) -> Receiver<Vec<Answer>> {
        let (answers, receiver) = channel();
        // A failure shows as a receiver without sender.
        let _ = self.jobs.send(Job { dir, names, follow, answers });
        receiver
    }
}

fn serve(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let answers = job.names.iter().map(|name| read_small(&job.dir, name, job.follow)).collect();
        // The writer gave up: nothing to do about it here.
        let _ = job.answers.send(answers);
    }
}

/// Opens, reads and closes one file.
fn read_small(dir: &OwnedFd, name: &[u8], follow: bool) -> Answer {
    let mut file = OpenFile::open(dir, name, follow)?;
    let facts = file.facts;
    let attributes = file.attributes();
    if facts.size > SMALL_FILE {
        return Ok(SmallFile { facts, after: facts, attributes, data: None, failure: None });
    }
    let mut data = vec![0u8; usize::try_from(facts.size).unwrap_or(0)];
    let failure = match file.fill(&mut data, 0) {
        Ok(filled) => {
            data.truncate(filled);
            None
        }
        Err(error) => {
            data.clear();
            Some(error)
        }
    };
    let after = file.facts_now();
    file.drop_cache(0, facts.size);
    Ok(SmallFile { facts, after, attributes, data: Some(data), failure })
}
