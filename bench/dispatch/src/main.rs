//! Dispatch in figures: how many jobs a second become due, are claimed, fired, persisted, published with confirm and
//! acknowledged by an agent, and how long that takes at a steady rate. MariaDB and RabbitMQ are real, agents are
//! RPC servers over real AMQP that acknowledge and do nothing.
//!
//! `bench/dispatch/run [--jobs N] [--agents N] [--conductors N] [--rate N] [--seconds N]`, services up (make services).
//!
//! Ends with 1 when a figure is not what it must be, or the database does not flush its log at each commit (bench/durable).
//!
//! `bench/dispatch/run --crowd 10000 [--rate N] [--seconds N]`: so many agents beat on one conductor, and what that costs.

mod agents;
mod crowd;
mod place;

use freezer_testkit::TestDatabase;
use place::{Place, percentile, spread};
use std::time::{Duration, Instant};

/// What the command line asks for.
struct Wanted {
    jobs: usize,
    agents: usize,
    conductors: usize,
    /// Jobs a second, for so many seconds; 0 while it is read: not said.
    rate: usize,
    seconds: usize,
    /// Agents of the other measurement, which is made instead when there are any.
    crowd: usize,
}

impl Wanted {
    fn read() -> Result<Self, String> {
        let mut wanted = Self { jobs: 5000, agents: 20, conductors: 1, rate: 0, seconds: 0, crowd: 0 };
        let mut words = std::env::args().skip(1);
        while let Some(name) = words.next() {
            let number = words.next().and_then(|word| word.parse().ok());
            let number = number.ok_or_else(|| format!("{name} needs a number"))?;
            match name.as_str() {
                "--jobs" => wanted.jobs = number,
                "--agents" => wanted.agents = number.max(1),
                "--conductors" => wanted.conductors = number.max(1),
                "--rate" => wanted.rate = number.max(1),
                "--crowd" => wanted.crowd = number,
                "--seconds" => wanted.seconds = number.max(1),
                other => return Err(format!("unknown option {other}")),
            }
        }
        // A crowd: each agent has a job every hundred seconds, and its heartbeat while it is looked at.
        let (rate, seconds) = if wanted.crowd > 0 { (wanted.crowd.div_ceil(100), 30) } else { (1000, 10) };
        for (asked, usual) in [(&mut wanted.rate, rate), (&mut wanted.seconds, seconds)] {
            if *asked == 0 {
                *asked = usual;
            }
        }
        Ok(wanted)
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What figures must be: jobs a second, and the 99th percentile in ms of an order's and of a user's way.
const RATE: f64 = 1000.0;
const PACED_P99_MS: i64 = 500;
const RUN_NOW_P99_MS: i64 = 1000;

/// Figures that are not what they must be.
#[derive(Default)]
struct Judge(Vec<String>);

impl Judge {
    /// What a conductor has committed is on the disk before anything is sent.
    fn must_be_durable(&mut self) {
        let setting = TestDatabase::create().ask("SELECT @@innodb_flush_log_at_trx_commit");
        self.must(setting.trim() == "1", "the database does not flush its log at each commit".to_owned());
    }

    fn must(&mut self, holds: bool, what: String) {
        if !holds {
            self.0.push(what);
        }
    }

    fn verdict(self) -> Result<(), Failure> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(format!("not as it must be: {}", self.0.join("; ")).into())
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let wanted = Wanted::read()?;
    let mut judge = Judge::default();
    judge.must_be_durable();
    if wanted.crowd > 0 {
        let (agents, rate, seconds) = (wanted.crowd, wanted.rate, wanted.seconds);
        crowd::measure(&crowd::Crowd { agents, rate, seconds }, &mut judge).await?;
        return judge.verdict();
    }
    println!("{} agents, {} conductors", wanted.agents, wanted.conductors);
    burst(&wanted, &mut judge).await?;
    paced(&wanted, &mut judge).await?;
    run_now(&wanted, &mut judge).await?;
    judge.verdict()
}

/// All jobs are due at once: how many a second, until the last confirm is noted.
async fn burst(wanted: &Wanted, judge: &mut Judge) -> Result<(), Failure> {
    let mut place = Place::open(wanted.agents).await?;
    place.put_jobs(wanted.jobs, |_| 0)?;
    let began = Instant::now();
    let conductors = place.conductors(wanted.conductors).await?;
    let received = place.collect(wanted.jobs).await?;
    place.all_are_noted().await?;
    let took = began.elapsed();
    let arrived = received.last().map_or(Duration::ZERO, |last| last.at.duration_since(began));
    let rate = wanted.jobs as f64 / took.as_secs_f64();
    println!(
        "burst: {} jobs arrived in {:.2} s, all confirms were noted in {:.2} s = {rate:.0} jobs/s (must 1,000, aim 3,000)",
        wanted.jobs,
        arrived.as_secs_f64(),
        took.as_secs_f64()
    );
    judge.must(rate >= RATE, format!("burst of {rate:.0} jobs/s, must be {RATE}"));
    place.check_once(&received)?;
    place.close(conductors).await;
    Ok(())
}

/// Jobs become due at a steady rate: how long after that an agent has its order, and the conductor has noted the broker's confirm.
/// That is known of the last order only, and counted for all.
async fn paced(wanted: &Wanted, judge: &mut Judge) -> Result<(), Failure> {
    let count = wanted.rate * wanted.seconds;
    let mut place = Place::open(wanted.agents).await?;
    // Time to write them all before the first is due.
    let lead_ms = 2000 + count as i64;
    let gap_ms = 1000.0 / wanted.rate as f64;
    let due = place.put_jobs(count, |n| lead_ms + (n as f64 * gap_ms) as i64)?;
    let conductors = place.conductors(wanted.conductors).await?;
    let received = place.collect(count).await?;
    place.all_are_noted().await?;
    let noted_ms =
        received.last().map_or(0, |last| i64::try_from(last.at.elapsed().as_millis()).unwrap_or(i64::MAX));
    let mut waits: Vec<i64> =
        received.iter().filter_map(|order| Some(order.at_ms - due.get(&order.job)?)).collect();
    println!(
        "paced: {} jobs/s for {} s: arrived {}, noted {noted_ms} ms later (p99 of both must {PACED_P99_MS}, aim 150)",
        wanted.rate,
        wanted.seconds,
        spread(&mut waits)
    );
    let p99 = percentile(&waits, 99) + noted_ms;
    judge.must(p99 <= PACED_P99_MS, format!("paced p99 of {p99} ms, must be {PACED_P99_MS}"));
    place.check_once(&received)?;
    place.close(conductors).await;
    Ok(())
}

/// A user starts a job: how long until its agent's report of the beginning is answered.
async fn run_now(wanted: &Wanted, judge: &mut Judge) -> Result<(), Failure> {
    const ROUNDS: usize = 50;
    let mut place = Place::open(wanted.agents).await?;
    let conductors = place.conductors(wanted.conductors).await?;
    let mut waits = Vec::new();
    for round in 0..ROUNDS {
        let began = Instant::now();
        place.start_one(round).await?;
        let received = place.collect(1).await?;
        for order in &received {
            place.report_started(order).await?;
        }
        waits.push(i64::try_from(began.elapsed().as_millis())?);
    }
    println!("run now to step_started answered: {} (must 1000, aim 300)", spread(&mut waits));
    let p99 = percentile(&waits, 99);
    judge.must(p99 <= RUN_NOW_P99_MS, format!("run now p99 of {p99} ms, must be {RUN_NOW_P99_MS}"));
    place.close(conductors).await;
    Ok(())
}
