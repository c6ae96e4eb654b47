//! The messages between conductor and agents: arguments and results of the RPC methods. Over HTTP the same objects
//! travel as bodies.
//!
//! Exchange `freezer`. Every struct is the `args` object of the method named in its comment, every
//! reply the `result`. No secret ever rides in a message: agents fetch credentials themselves.

use crate::{
    Capabilities, ClientId, Epoch, JobId, Link, Progress, ProjectId, RateLimits, Run, RunId, StepOutcome,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub const EXCHANGE: &str = "freezer";
/// Topic of the conductors; any of them may take a message.
pub const CONDUCTOR_TOPIC: &str = "freezer-conductor";
/// Topic of the agents; the server name is the agent's client id.
pub const AGENT_TOPIC: &str = "freezer-agent";
/// Topic of the REST services, for fanouts only.
pub const API_TOPIC: &str = "freezer-api";
/// Key of the context of relayed hellos: id of the application credential the agent's login came with.
pub const APPLICATION_CREDENTIAL_KEY: &str = "application_credential_id";
/// RPC version of all targets.
pub const VERSION: &str = "1.0";
/// Steps that an agent over HTTPS is given at a time, whatever it says that it works on.
pub const STEPS_MAX: u32 = 1000;
/// Steps that one of its messages names at most: those it was given, those that it has to begin anew, and as many that it does not
/// know to be over.
pub const HELD_MAX: usize = 4 * STEPS_MAX as usize;

/// `job_changed`, cast by the API after a job was written: look at it now rather than at the next poll.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobChanged {
    pub project_id: ProjectId,
    pub job_id: JobId,
}

/// `run_changed`, cast by the API after a user changed a run that goes on: tell its agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunChanged {
    pub project_id: ProjectId,
    pub run_id: RunId,
}

/// A step an agent has accepted and not yet reported as finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldStep {
    pub run_id: RunId,
    pub epoch: Epoch,
}

/// `agent_hello` (call, at start and after each reconnect) and `agent_heartbeat` (call, regularly).
/// Both renew the leases of the steps named in `held`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentHello {
    pub project_id: ProjectId,
    pub client_id: ClientId,
    pub hostname: String,
    pub agent_version: String,
    pub capabilities: Capabilities,
    pub is_central: bool,
    /// Steps that it works on at a time; older agents do not say.
    #[serde(default)]
    pub concurrent_jobs: Option<u32>,
    pub held: Vec<HeldStep>,
    /// How the agent is connected: `amqp` or `http`. Agents of before this field speak AMQP.
    #[serde(default = "amqp")]
    pub link: Link,
}

fn amqp() -> Link {
    Link::Amqp
}

/// Which agent a report comes from. Over HTTP the API writes it, from what the caller was authenticated for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reporter {
    /// The project the agent is registered in; of a central agent not the run's.
    pub project_id: ProjectId,
    pub client_id: ClientId,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HelloReply {
    /// Seconds until the next heartbeat is expected.
    pub heartbeat_secs: u64,
    /// Held steps that were given to somebody else or have ended: kill them, report nothing.
    pub drop: Vec<HeldStep>,
    /// Held steps to abort because a user asked for it.
    pub abort: Vec<HeldStep>,
}

/// `run_action`, cast to one agent: do this step. Delivered at least once; `epoch` tells repeats apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunAction {
    pub run_id: RunId,
    pub epoch: Epoch,
    pub job_id: JobId,
    pub project_id: ProjectId,
    pub client_id: ClientId,
    pub action_index: usize,
    pub attempt: i32,
    pub freezer_action: Map<String, Value>,
    /// Trust to act under, for a central agent.
    pub trust_id: Option<String>,
    pub request_id: Option<String>,
}

impl RunAction {
    /// The order that a run's row stands for, under its present epoch; `None` when nothing is left to be done.
    pub fn of(run: &Run, trust_id: Option<String>) -> Option<Self> {
        let action = run.actions.get(run.action_index)?;
        Some(Self {
            run_id: run.run_id.clone(),
            epoch: run.epoch,
            job_id: run.job_id.clone(),
            project_id: run.project_id.clone(),
            client_id: run.client_id.clone(),
            action_index: run.action_index,
            attempt: run.attempt,
            freezer_action: action.freezer_action.clone(),
            trust_id,
            request_id: run.request_id.clone(),
        })
    }
}

/// `abort_run`, cast to one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbortRun {
    pub run_id: RunId,
    pub epoch: Epoch,
}

/// `limit_run`, cast to one agent: the rate limits of a step that it holds. When it is lost, the answer to the next report says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRun {
    pub run_id: RunId,
    pub epoch: Epoch,
    #[serde(flatten)]
    pub limits: RateLimits,
}

/// `work_ready`, cast by a conductor to all REST services: there are orders in the database for this agent, which
/// fetches them over HTTP. A lost cast costs seconds: waiting requests look for themselves now and then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkReady {
    /// The project the client is registered in.
    pub project_id: ProjectId,
    pub client_id: ClientId,
}

/// What an agent asks for over HTTP: orders beyond those it knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkRequest {
    /// Steps the agent has accepted.
    pub held: Vec<HeldStep>,
    /// Those of them it ends already.
    pub ending: Vec<HeldStep>,
}

/// The answer; both lists empty when nothing came in time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkReply {
    pub run_action: Vec<RunAction>,
    pub abort_run: Vec<AbortRun>,
}

/// `step_started` (call): the child process runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepStarted {
    pub run_id: RunId,
    pub epoch: Epoch,
    pub pid: i64,
    /// Agents of before this field do not say; over HTTP it is always there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporter: Option<Reporter>,
}

/// `step_progress` (call, every few seconds).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepProgress {
    pub run_id: RunId,
    pub epoch: Epoch,
    pub progress: Progress,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporter: Option<Reporter>,
}

/// `step_finished` (call). The agent keeps it on disk and repeats it until a conductor answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepFinished {
    pub run_id: RunId,
    pub epoch: Epoch,
    pub outcome: StepOutcome,
    pub exit_code: Option<i32>,
    pub error: Option<String>,
    pub progress: Progress,
    /// The child's result document (`backup_metadata` of a backup, totals of a restore, …).
    pub result: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporter: Option<Reporter>,
}

/// Answer to the three step reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Noted; go on.
    Continue,
    /// Noted; a user asked for an abort.
    Abort,
    /// Refused: the run has a newer epoch, has ended or is unknown. Kill the step and forget it.
    Stale,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportReply {
    pub verdict: Verdict,
    /// The limits of the step as its run has them now.
    #[serde(default, skip_serializing_if = "RateLimits::is_empty")]
    pub limits: RateLimits,
}

impl From<Verdict> for ReportReply {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, limits: RateLimits::default() }
    }
}
