//! The protocol between the agent's daemon and the child process of one step.
//!
//! The daemon writes one JSON line to the child's standard input and then keeps it open: its end is the
//! leash. When it closes (the daemon has died), the child stops its work and goes. Further lines are
//! [`freezer_model::RateLimits`], as users change them. The child answers in JSON lines on standard output; standard error is its log. Nothing of it is in argv or the environment.

use crate::logins::RunLogin;
use crate::openstack::ceph::CephAccess;
use freezer_model::{Progress, RemovedBackups};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// First line on the child's standard input.
#[derive(Serialize, Deserialize)]
pub struct StepInput {
    pub freezer_action: Map<String, Value>,
    /// Credentials as `OS_…` variables; empty when the agent has none.
    pub auth: BTreeMap<String, String>,
    pub request_id: Option<String>,
    pub trust_id: Option<String>,
    pub project_id: Option<String>,
    /// Refuse action exec.
    pub disable_exec: bool,
    /// Bytes a second for this step, whatever the action asks for.
    pub upload_limit: Option<u64>,
    pub download_limit: Option<u64>,
    /// Resources that this step may move at the same time, whatever the action asks for.
    #[serde(default)]
    pub parallel_limit: Option<usize>,
    /// The run this step is part of; temporary resources bear it.
    #[serde(default)]
    pub run_id: String,
    /// How this host reaches a Ceph cluster, if it does.
    #[serde(default)]
    pub ceph: Option<CephAccess>,
    /// The daemon's folder of what must be undone after a crash.
    #[serde(default)]
    pub state_dir: PathBuf,
    /// Log options of the daemon (`log_file`, `debug`, …): the child writes to the same place.
    #[serde(default)]
    pub log: BTreeMap<String, String>,
    /// A login that an earlier step of the run has left.
    #[serde(default)]
    pub login: Option<RunLogin>,
    /// Whether the daemon takes [`StepLine::Login`]: one of before that line would log it.
    #[serde(default)]
    pub takes_login: bool,
}

/// One line on the child's standard output.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepLine {
    Progress(Progress),
    /// For the run's next step.
    Login(Box<RunLogin>),
    /// All that is gone from the storage so far.
    Removed(RemovedBackups),
    /// Of a child that did its work (exit status 0, or 3 when partial); before an error, what was found out.
    Result(Map<String, Value>),
    /// Of a child that failed.
    Error(String),
}

/// Exit status of an action that saved something, but not all of it.
pub const EXIT_PARTIAL: i32 = 3;
/// Exit status after an abort (SIGTERM or the end of the leash).
pub const EXIT_ABORTED: i32 = 143;
