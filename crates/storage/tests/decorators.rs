//! Retry, limits, counts and faults, on a clock that nobody waits for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use bytes::Bytes;
use freezer_storage::suite::{assert_same, name, noise, read, write_large};
use freezer_storage::*;
use futures_util::future::join_all;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

fn local() -> (tempfile::TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalStore::new(folder.path().join("root")));
    (folder, store)
}

fn fault(method: Method, nth: u64, kind: FaultKind) -> Fault {
    Fault { method, nth, kind }
}

fn retrying(inner: Arc<dyn Store>, faults: Vec<Fault>) -> (Retrying, Retry, Counts, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    let counts = Counts::default();
    let faulty: Arc<dyn Store> = Arc::new(Faulty::with_clock(inner, faults, clock.clone()));
    let retry = Retry::new(RetryPolicy::default(), clock.clone());
    (Retrying::new(Arc::new(Counted::new(faulty, counts.clone())), retry.clone()), retry, counts, clock)
}

#[tokio::test]
async fn transient_errors_are_tried_again() {
    use FaultKind::{LostAnswer, Unavailable};
    let (_folder, inner) = local();
    let faults = vec![
        fault(Method::Put, 1, Unavailable),
        fault(Method::Put, 2, LostAnswer),
        fault(Method::Head, 1, Unavailable),
        fault(Method::List, 1, LostAnswer),
        fault(Method::Delete, 1, LostAnswer),
        fault(Method::Get, 1, Unavailable),
        fault(Method::Prepare, 1, Unavailable),
        fault(Method::CreateLarge, 1, Unavailable),
        fault(Method::PutAll, 1, FaultKind::CutBody(1)),
        fault(Method::DeleteAll, 1, LostAnswer),
    ];
    let (store, retry, counts, clock) = retrying(inner, faults);
    store.prepare().await.unwrap();
    // Then one by one.
    let several = [(name("s/1"), noise(1, 10)), (name("s/2"), noise(2, 20))];
    store.put_all(&several).await.unwrap();
    assert_eq!(read(&store, &name("s/2"), None).await.unwrap(), several[1].1);
    assert_eq!(store.delete_tree(&name("s")).await.unwrap(), 2);
    store.put(&name("x"), Bytes::from_static(b"1")).await.unwrap();
    assert_eq!(store.head(&name("x")).await.unwrap().unwrap().size_bytes, 1);
    assert_eq!(store.list(None).await.unwrap().len(), 1);
    assert_eq!(read(&store, &name("x"), None).await.unwrap(), b"1");
    store.delete(&name("x")).await.unwrap();
    store.delete_all(&[name("x"), name("y")]).await.unwrap();
    store.create_large(&name("l")).await.unwrap().abandon().await;
    assert_eq!(retry.repeated(), 10);
    assert_eq!(clock.slept().len(), 10);
    assert_eq!(counts.calls(Method::Put), 5);
    assert_eq!(counts.calls(Method::PutAll), 1);
    assert_eq!(counts.calls(Method::DeleteAll), 1);
    assert_eq!(counts.calls(Method::Delete), 4);
}

#[tokio::test]
async fn pauses_grow_and_end() {
    let (_folder, inner) = local();
    let faults = (1..=20).map(|nth| fault(Method::Head, nth, FaultKind::Unavailable)).collect();
    let (store, _, counts, clock) = retrying(inner, faults);
    assert!(store.head(&name("x")).await.unwrap_err().is_transient());
    assert_eq!(counts.calls(Method::Head), 10);
    let mut full = Duration::from_millis(500);
    for pause in clock.slept() {
        assert!(pause >= full / 2 && pause <= full, "{pause:?} of {full:?}");
        full = (full * 2).min(Duration::from_secs(60));
    }
}

#[tokio::test]
async fn what_a_server_asks_of_one_is_heeded_by_all() {
    let clock = Arc::new(ManualClock::default());
    let retry = Retry::new(RetryPolicy { tries: 1, ..RetryPolicy::default() }, clock.clone());
    let busy = |secs: u64| StoreError::Unavailable {
        store: "s".to_owned(),
        name: "n".to_owned(),
        cause: "busy".to_owned(),
        retry_after: Some(Duration::from_secs(secs)),
    };
    // The one whom it was said to has no tries left; the second of them waits for the rest of the minute.
    for secs in [60, 20] {
        let error = retry.run(|| std::future::ready(Err::<(), _>(busy(secs)))).await.unwrap_err();
        assert!(error.is_transient());
        if secs == 60 {
            clock.advance(Duration::from_secs(10));
        }
    }
    let others = (0..3).map(|_| retry.run(|| std::future::ready(Ok(()))));
    join_all(others).await.into_iter().for_each(Result::unwrap);
    // On this clock whoever sleeps takes the others along.
    let slept: Vec<u64> = clock.slept().iter().map(Duration::as_secs).collect();
    assert_eq!(slept, [50, 20]);
}

#[tokio::test]
async fn final_errors_are_not_tried_again() {
    let (_folder, inner) = local();
    for kind in [FaultKind::Refused, FaultKind::Full] {
        let (store, retry, ..) = retrying(inner.clone(), vec![fault(Method::Put, 1, kind)]);
        assert!(store.put(&name("x"), Bytes::new()).await.is_err());
        assert_eq!(retry.repeated(), 0);
    }
}

#[tokio::test]
async fn reads_are_resumed_at_their_byte() {
    let (_folder, inner) = local();
    let body = noise(1, 3_000_000);
    inner.put(&name("x"), body.clone()).await.unwrap();
    let faults = vec![
        fault(Method::Get, 1, FaultKind::CutBody(1_000_001)),
        fault(Method::Get, 2, FaultKind::Unavailable),
        fault(Method::Get, 3, FaultKind::CutBody(0)),
        fault(Method::Get, 4, FaultKind::CutBody(777_777)),
    ];
    let (store, retry, counts, _) = retrying(inner.clone(), faults.clone());
    assert_same(&read(&store, &name("x"), None).await.unwrap(), &body, "whole");
    assert_eq!(retry.repeated(), 4);
    // Not a byte was read twice.
    assert_eq!(counts.received_bytes(), 3_000_000);

    let (store, ..) = retrying(inner.clone(), faults);
    let part = read(&store, &name("x"), Some(100..2_500_000)).await.unwrap();
    assert_same(&part, &body[100..2_500_000], "part");

    // Many breaks are fine as long as each brings bytes.
    let faults = (1..=25).map(|nth| fault(Method::Get, nth, FaultKind::CutBody(100_000))).collect();
    let (store, retry, ..) = retrying(inner, faults);
    assert_same(&read(&store, &name("x"), None).await.unwrap(), &body, "many breaks");
    assert_eq!(retry.repeated(), 25);
}

#[tokio::test]
async fn other_faults_do_what_they_say() {
    let (_folder, inner) = local();
    let body = noise(2, 200_000);
    inner.put(&name("x"), body.clone()).await.unwrap();
    let clock = Arc::new(ManualClock::default());
    let faults = vec![
        fault(Method::Get, 1, FaultKind::ShortBody(150_000)),
        fault(Method::Get, 2, FaultKind::FlipByte(199_999)),
        fault(Method::Get, 3, FaultKind::Slow(Duration::from_secs(100))),
        fault(Method::WritePiece, 2, FaultKind::Full),
    ];
    let store = Faulty::with_clock(inner.clone(), faults, clock.clone());
    assert_same(&read(&store, &name("x"), None).await.unwrap(), &body[..150_000], "short");
    let flipped = read(&store, &name("x"), None).await.unwrap();
    assert_eq!(flipped[..199_999], body[..199_999]);
    assert_eq!(flipped[199_999], !body[199_999]);
    assert_same(&read(&store, &name("x"), None).await.unwrap(), &body, "slow");
    assert_eq!(clock.now(), Duration::from_secs(100));
    let error = write_large(&store, &name("l"), &body, 100_000, 100_000).await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }));
    assert_eq!(inner.list(None).await.unwrap().len(), 1);
}

/// The most bytes within any window of one second, from (time, bytes) in order.
fn worst_second(moved: &[(Duration, u64)]) -> u64 {
    let (mut window, mut sum, mut worst) = (VecDeque::new(), 0, 0);
    for &(time, bytes) in moved {
        window.push_back((time, bytes));
        sum += bytes;
        while let Some(&(oldest, gone)) = window.front() {
            if time - oldest < Duration::from_secs(1) {
                break;
            }
            sum -= gone;
            window.pop_front();
        }
        worst = worst.max(sum);
    }
    worst
}

async fn charge(limiter: &Limiter, clock: &ManualClock, bytes: u64) -> Vec<(Duration, u64)> {
    let (mut moved, mut left) = (Vec::new(), bytes);
    while left > 0 {
        let now = left.min(limiter.quantum_bytes());
        limiter.charge(now).await;
        moved.push((clock.now(), now));
        left -= now;
    }
    moved
}

#[tokio::test]
async fn no_second_holds_more_than_the_limit_and_a_quantum() {
    for rate in [1_000u64, 10_240, 1 << 20, 7_777_777, 300_000_000, 3_000_000_000] {
        let clock = Arc::new(ManualClock::default());
        // Long idle: saved-up tokens must not add up to a burst.
        clock.advance(Duration::from_secs(1000));
        let limiter = Limiter::with_clock(Some(rate), clock.clone());
        let start = clock.now();
        let moved = charge(&limiter, &clock, rate * 5).await;
        let worst = worst_second(&moved);
        assert!(worst <= rate + (64 << 10), "{rate}: {worst}");
        let took = (clock.now() - start).as_secs_f64();
        assert!((4.7..=5.1).contains(&took), "{rate}: {took} s for five seconds' worth");
    }
}

#[tokio::test]
async fn limits_stack_and_change_while_bytes_flow() {
    let clock = Arc::new(ManualClock::default());
    let run = Limiter::with_clock(Some(4 << 20), clock.clone());
    let host = Limiter::with_clock(Some(1 << 20), clock.clone());
    let limits = Limits::none().upload(run.clone()).upload(host.clone());
    let mut moved = Vec::new();
    let flow = async |moved: &mut Vec<(Duration, u64)>, bytes: u64| {
        let quantum = run.quantum_bytes().min(host.quantum_bytes());
        for _ in 0..bytes / quantum {
            limits.charge_upload(quantum as usize).await;
            moved.push((clock.now(), quantum));
        }
    };
    flow(&mut moved, 4 << 20).await;
    assert!((3.8..4.1).contains(&clock.now().as_secs_f64()), "the lower limit counts: {:?}", clock.now());
    host.set_rate(Some(2 << 20));
    assert_eq!(host.rate(), Some(2 << 20));
    let before = clock.now();
    flow(&mut moved, 4 << 20).await;
    assert!((1.9..2.1).contains(&(clock.now() - before).as_secs_f64()));
    assert!(worst_second(&moved) <= (2 << 20) + (64 << 10));
    // Lower again: the change itself is no burst.
    let at = moved.len();
    host.set_rate(Some(100 << 10));
    flow(&mut moved, 1 << 20).await;
    assert!(worst_second(&moved[at..]) <= (100 << 10) + (64 << 10));
    host.set_rate(None);
    run.set_rate(Some(0));
    let before = clock.now();
    flow(&mut moved, 100 << 20).await;
    assert_eq!(clock.now(), before, "no limit, no waiting");
}

#[tokio::test]
async fn a_raised_limit_wakes_those_who_wait() {
    // One byte per second on the real clock: without the wake-up this takes two days.
    let limiter = Limiter::new(Some(1));
    let waiting = limiter.clone();
    let task = tokio::spawn(async move { waiting.charge(200_000).await });
    tokio::task::yield_now().await;
    limiter.set_rate(None);
    tokio::time::timeout(Duration::from_secs(20), task).await.expect("woken").unwrap();
}

#[tokio::test]
async fn many_streams_share_one_limit() {
    let clock = Arc::new(ManualClock::default());
    let limiter = Limiter::with_clock(Some(1 << 20), clock.clone());
    let all = join_all((0..8).map(|_| charge(&limiter, &clock, 1 << 20))).await;
    let mut moved: Vec<_> = all.into_iter().flatten().collect();
    moved.sort();
    assert!(worst_second(&moved) <= (1 << 20) + (64 << 10));
    assert!((7.8..8.1).contains(&clock.now().as_secs_f64()), "{:?}", clock.now());
}

/// Two runs with limits of their own share the host's: no window of the host or of a run is too full.
#[tokio::test]
async fn runs_share_the_limit_of_the_host() {
    let clock = Arc::new(ManualClock::default());
    let host = Limiter::with_clock(Some(3 << 20), clock.clone());
    let runs: Vec<_> = [2 << 20, 4 << 20].map(|rate| Limiter::with_clock(Some(rate), clock.clone())).into();
    let streams = (0..8).map(|at| {
        let (run, clock) = (at % 2, clock.clone());
        (run, Limits::none().upload(runs[run].clone()).upload(host.clone()), clock)
    });
    // Streams of one run share its `Limits`.
    let mut of_run: Vec<Option<Limits>> = vec![None, None];
    let mut tasks = Vec::new();
    for (run, limits, clock) in streams {
        let limits = of_run[run].get_or_insert(limits).clone();
        let quantum = runs[run].quantum_bytes().min(host.quantum_bytes());
        tasks.push(async move {
            let mut moved = Vec::new();
            for _ in 0..64 {
                limits.charge_upload(quantum as usize).await;
                moved.push((run, clock.now(), quantum));
            }
            moved
        });
    }
    let mut moved: Vec<_> = join_all(tasks).await.into_iter().flatten().collect();
    moved.sort_by_key(|(_, time, _)| *time);
    let of = |wanted: &[usize]| -> Vec<_> {
        moved
            .iter()
            .filter(|(run, ..)| wanted.contains(run))
            .map(|(_, time, bytes)| (*time, *bytes))
            .collect()
    };
    for (wanted, rate) in [(&[0usize][..], 2 << 20), (&[1], 4 << 20), (&[0, 1], 3 << 20)] {
        assert!(worst_second(&of(wanted)) <= rate + (64 << 10), "{wanted:?}: {}", worst_second(&of(wanted)));
    }
}

#[tokio::test]
async fn a_throttled_store_moves_the_same_bytes_slower() {
    let (_folder, inner) = local();
    let clock = Arc::new(ManualClock::default());
    let up = Limiter::with_clock(Some(500_000), clock.clone());
    let down = Limiter::with_clock(Some(1_000_000), clock.clone());
    let store = Throttled::new(inner, Limits::none().upload(up).download(down));
    let body = noise(3, 3_000_000);
    write_large(&store, &name("l/data"), &body, 1_000_000, 1_000_000).await.unwrap();
    assert!((5.8..6.1).contains(&clock.now().as_secs_f64()), "{:?}", clock.now());
    let before = clock.now();
    assert_same(&read(&store, &name("l/data"), None).await.unwrap(), &body, "throttled");
    assert!((2.8..3.1).contains(&(clock.now() - before).as_secs_f64()));
    let before = clock.now();
    store.put(&name("x"), body.slice(..1_000_000)).await.unwrap();
    assert!((1.8..2.1).contains(&(clock.now() - before).as_secs_f64()));
}

#[tokio::test]
async fn calls_and_bytes_are_counted() {
    let (_folder, inner) = local();
    let counts = Counts::default();
    let store = Counted::new(inner, counts.clone());
    store.put(&name("a/x"), noise(1, 1000)).await.unwrap();
    store.put_all(&[(name("a/1"), noise(1, 30)), (name("a/2"), noise(1, 4))]).await.unwrap();
    write_large(&store, &name("a/l"), &noise(2, 5000), 2000, 1000).await.unwrap();
    read(&store, &name("a/l"), Some(10..20)).await.unwrap();
    store.list(None).await.unwrap();
    store.delete_tree(&name("a")).await.unwrap();
    assert_eq!(counts.calls(Method::Put), 1);
    assert_eq!(counts.calls(Method::WritePiece), 5);
    assert_eq!(counts.calls(Method::EndSegment), 3);
    assert_eq!(counts.calls(Method::Finish), 1);
    assert_eq!((counts.sent_bytes(), counts.received_bytes()), (6034, 10));
    assert_eq!(counts.all().values().sum::<u64>(), 1 + 1 + 1 + 5 + 3 + 1 + 1 + 1 + 1);
}
