//! What every store on another machine must bear, whatever it speaks.

use super::proxy::Proxy;
use super::quick_retry;
use freezer_storage::suite::{assert_same, name, noise, read, write_large};
use freezer_storage::*;
use futures_util::TryStreamExt;
use std::sync::Arc;

/// One use after the other, each over a connection that was cut before.
pub async fn connections_are_made_again(store: &dyn Store, proxy: &Proxy) {
    let body = noise(1, 500_000);
    store.put(&name("x"), body.clone()).await.unwrap();
    proxy.cut();
    assert_same(&read(store, &name("x"), None).await.unwrap(), &body, "after a cut");
    proxy.cut();
    store.put(&name("y"), body.clone()).await.unwrap();
    proxy.cut();
    assert_eq!(store.list(None).await.unwrap().len(), 2);
    proxy.cut();
    assert_eq!(store.head(&name("y")).await.unwrap().unwrap().size_bytes, 500_000);
    proxy.cut();
    // The command may have passed before the cut, and only its answer been lost: what is gone then is not counted.
    assert!(store.delete_tree(&name("y")).await.unwrap() <= 1);
    assert!(store.head(&name("y")).await.unwrap().is_none());
    assert!(proxy.connections() >= 5, "{}", proxy.connections());
}

/// Reads 20 MiB, with three cuts on the way.
pub async fn reads_go_on(store: &dyn Store, proxy: &Proxy) {
    let body = noise(2, 20 << 20);
    store.put(&name("x"), body.clone()).await.unwrap();
    let mut stream = store.get(&name("x"), None).await.unwrap();
    let (mut all, mut cuts) = (Vec::new(), 0);
    while let Some(piece) = stream.try_next().await.unwrap() {
        all.extend_from_slice(&piece);
        if all.len() > (cuts + 1) * (5 << 20) && cuts < 3 {
            cuts += 1;
            proxy.cut();
        }
    }
    assert_same(&all, &body, "20 MiB with three cuts");
}

/// A store at a port where nobody listens.
pub async fn nobody_there(at: impl FnOnce(u16) -> StoreConfig) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = at(free.local_addr().unwrap().port());
    drop(free);
    let (retry, clock) = quick_retry();
    let store = open_with(config, Limits::none(), retry.clone()).unwrap();
    let error = store.prepare().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert_eq!((retry.repeated(), clock.slept().len()), (7, 7));
}

/// A store on a disk of one MiB: nothing stays of what does not fit. How a server says so, `is_told` knows.
pub async fn a_full_disk_leaves_nothing(store: &dyn Store, is_told: impl Fn(&StoreError) -> bool) {
    store.put(&name("small"), noise(1, 1000)).await.unwrap();
    let error = store.put(&name("big"), noise(2, 8 << 20)).await.unwrap_err();
    assert!(is_told(&error), "{error}");
    let large = noise(2, 20 << 20);
    let error = write_large(store, &name("l/data"), &large, 1 << 20, 1 << 20).await.unwrap_err();
    assert!(is_told(&error), "{error}");
    store.delete_tree(&name("l")).await.unwrap();
    store.put(&name("fits"), noise(3, 800_000)).await.unwrap();
    let names: Vec<_> = store.list(None).await.unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["fits", "small"]);
}

/// A megabyte there and back at 100 and 200 kB/s, by the limiters' own clock.
pub async fn limits_count_at_the_socket(config: StoreConfig) {
    let clock = Arc::new(ManualClock::default());
    let limiter = |rate| Limiter::with_clock(Some(rate), clock.clone());
    let limits = Limits::none().upload(limiter(100_000)).download(limiter(200_000));
    let store = open_with(config, limits, quick_retry().0).unwrap();
    let body = noise(1, 1_000_000);
    store.put(&name("x"), body.clone()).await.unwrap();
    let seconds = clock.now().as_secs_f64();
    assert!((9.6..10.1).contains(&seconds), "{seconds}");
    assert_same(&read(store.as_ref(), &name("x"), None).await.unwrap(), &body, "slow");
    let seconds = clock.now().as_secs_f64() - seconds;
    assert!((4.7..5.1).contains(&seconds), "{seconds}");
}
