//! A small memcached client: `get` and `set` of the text protocol over pooled connections.
//!
//! A server that fails is left alone for `dead_retry`; its keys go to the next one, by the hashing of
//! python-memcached, so that Python services and this one find each other's entries. Nothing here ever makes a
//! request fail: a cache that cannot be reached is an empty cache.

use crate::clock::SharedClock;
use chrono::{DateTime, TimeDelta, Utc};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Larger values than memcached's own default limit are not believed.
const LARGEST_VALUE_BYTES: usize = 8 << 20;
const LONGEST_LINE_BYTES: u64 = 1024;
/// How many times a key is hashed on when its server is dead; python-memcached's number.
const SERVER_TRIES: u32 = 10;
/// Memcached takes a larger expiry for a date.
const LONGEST_RELATIVE_EXPIRY_SECS: u32 = 30 * 24 * 3600;

/// How connections are kept, as `[keystone_authtoken] memcache_pool_…` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemcachePool {
    pub dead_retry: Duration,
    pub max_connections: u32,
    pub socket_timeout: Duration,
    pub unused_timeout: Duration,
    pub connection_wait: Duration,
}

impl Default for MemcachePool {
    fn default() -> Self {
        Self {
            dead_retry: Duration::from_secs(300),
            max_connections: 10,
            socket_timeout: Duration::from_secs(3),
            unused_timeout: Duration::from_secs(60),
            connection_wait: Duration::from_secs(10),
        }
    }
}

pub(crate) struct Memcached {
    servers: Vec<Server>,
    pool: MemcachePool,
    clock: SharedClock,
}

struct Server {
    address: String,
    idle: Mutex<Vec<(BufStream<TcpStream>, Instant)>>,
    permits: Semaphore,
    dead_until: Mutex<Option<DateTime<Utc>>>,
}

enum Command<'a> {
    Get { key: &'a str },
    Set { key: &'a str, value: &'a [u8], expiry_secs: u32 },
}

impl Memcached {
    /// `servers` as `host:port`, `host` or `inet6:[address]:port`.
    pub fn new(servers: &[String], pool: MemcachePool, clock: SharedClock) -> Self {
        let permits = usize::try_from(pool.max_connections.max(1)).unwrap_or(1);
        let make = |text: &String| Server {
            address: address(text),
            idle: Mutex::new(Vec::new()),
            permits: Semaphore::new(permits),
            dead_until: Mutex::new(None),
        };
        Self { servers: servers.iter().map(make).collect(), pool, clock }
    }

    /// The value, or nothing: not there, or nobody to ask.
    pub async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.run(key, &Command::Get { key }).await.flatten()
    }

    /// True if the value was stored.
    pub async fn set(&self, key: &str, value: &[u8], life: Duration) -> bool {
        let wanted = u32::try_from(life.as_secs()).unwrap_or(u32::MAX);
        let expiry_secs = wanted.min(LONGEST_RELATIVE_EXPIRY_SECS);
        self.run(key, &Command::Set { key, value, expiry_secs }).await.is_some()
    }

    /// Runs the command on the first living server for the key.
    async fn run(&self, key: &str, command: &Command<'_>) -> Option<Option<Vec<u8>>> {
        if key.len() > 250 || key.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return None;
        }
        let mut hash = key_hash(key.as_bytes());
        for again in 0..SERVER_TRIES {
            let place = usize::try_from(hash).unwrap_or(0).checked_rem(self.servers.len())?;
            let server = self.servers.get(place)?;
            if !server.is_dead(self.clock.now()) {
                match server.run(command, &self.pool).await {
                    Ok(answer) => return Some(answer),
                    Err(error) => self.bury(server, &error),
                }
            }
            hash = key_hash(format!("{hash}{again}").as_bytes());
        }
        None
    }

    fn bury(&self, server: &Server, error: &io::Error) {
        let pause = TimeDelta::from_std(self.pool.dead_retry).unwrap_or(TimeDelta::zero());
        tracing::warn!(
            server = server.address, %error, pause_secs = pause.num_seconds(),
            "memcached fails and is left alone for a while; tokens are validated without it"
        );
        *server.dead_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.now() + pause);
        server.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Server {
    fn is_dead(&self, now: DateTime<Utc>) -> bool {
        self.dead_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|end| now < end)
    }

    /// A kept connection may have been closed by the server meanwhile: then once more with a new one.
    async fn run(&self, command: &Command<'_>, pool: &MemcachePool) -> io::Result<Option<Vec<u8>>> {
        let permit: io::Result<SemaphorePermit<'_>> =
            limited(pool.connection_wait, async { self.permits.acquire().await.map_err(io::Error::other) })
                .await;
        let _permit = permit?;
        if let Some(kept) = self.take_idle(pool)
            && let Ok(answer) = self.run_on(kept, command, pool).await
        {
            return Ok(answer);
        }
        let fresh = limited(pool.socket_timeout, TcpStream::connect(&self.address)).await?;
        fresh.set_nodelay(true)?;
        self.run_on(BufStream::new(fresh), command, pool).await
    }

    fn take_idle(&self, pool: &MemcachePool) -> Option<BufStream<TcpStream>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < pool.unused_timeout);
        idle.pop().map(|(stream, _)| stream)
    }

    async fn run_on(
        &self,
        mut stream: BufStream<TcpStream>,
        command: &Command<'_>,
        pool: &MemcachePool,
    ) -> io::Result<Option<Vec<u8>>> {
        let answer = limited(pool.socket_timeout, exchange(&mut stream, command)).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((stream, Instant::now()));
        Ok(answer)
    }
}

async fn limited<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "timed out")),
    }
}

async fn exchange(stream: &mut BufStream<TcpStream>, command: &Command<'_>) -> io::Result<Option<Vec<u8>>> {
    match command {
        Command::Get { key } => {
            stream.write_all(format!("get {key}\r\n").as_bytes()).await?;
            stream.flush().await?;
            read_value(stream).await
        }
        Command::Set { key, value, expiry_secs } => {
            stream.write_all(format!("set {key} 0 {expiry_secs} {}\r\n", value.len()).as_bytes()).await?;
            stream.write_all(value).await?;
            stream.write_all(b"\r\n").await?;
            stream.flush().await?;
            match read_line(stream).await?.as_str() {
                "STORED" => Ok(None),
                other => Err(unexpected(other)),
            }
        }
    }
}

/// `VALUE <key> <flags> <bytes>`, the bytes, `END`; or `END` alone.
async fn read_value(stream: &mut BufStream<TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let line = read_line(stream).await?;
    if line == "END" {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let length = match (words.next(), words.nth(2).map(str::parse::<usize>)) {
        (Some("VALUE"), Some(Ok(length))) if length <= LARGEST_VALUE_BYTES => length,
        _ => return Err(unexpected(&line)),
    };
    let mut value = vec![0; length];
    stream.read_exact(&mut value).await?;
    let mut end = [0; 7];
    stream.read_exact(&mut end).await?;
    match &end == b"\r\nEND\r\n" {
        true => Ok(Some(value)),
        false => Err(unexpected("a value without END")),
    }
}

async fn read_line(stream: &mut BufStream<TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    stream.take(LONGEST_LINE_BYTES).read_until(b'\n', &mut line).await?;
    let text = String::from_utf8_lossy(&line);
    match text.strip_suffix("\r\n") {
        Some(text) => Ok(text.to_owned()),
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended within a line")),
    }
}

fn unexpected(answer: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unexpected answer \"{}\"", answer.escape_debug()))
}

fn address(text: &str) -> String {
    let bare = text.trim();
    let bare = bare.strip_prefix("inet6:").or_else(|| bare.strip_prefix("inet:")).unwrap_or(bare);
    let has_port = match bare.rfind(']') {
        Some(end) => bare.get(end + 1..).is_some_and(|rest| rest.starts_with(':')),
        None => bare.matches(':').count() == 1,
    };
    match (has_port, bare.contains(':') && !bare.contains(']')) {
        (true, _) => bare.to_owned(),
        (false, true) => format!("[{bare}]:11211"),
        (false, false) => format!("{bare}:11211"),
    }
}

/// python-memcached's `cmemcache_hash`: the middle of the CRC-32, never 0.
fn key_hash(key: &[u8]) -> u32 {
    ((crc32(key) >> 16) & 0x7fff).max(1)
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0_u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("cache1", "cache1:11211"),
            (" cache1:11212 ", "cache1:11212"),
            ("inet6:[::1]:11211", "[::1]:11211"),
            ("[::1]", "[::1]:11211"),
            ("::1", "[::1]:11211"),
        ] {
            assert_eq!(address(text), expected);
        }
    }

    #[test]
    fn hashes_are_those_of_python_memcached() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(key_hash(b"123456789"), 0xcbf4 & 0x7fff);
        assert_eq!(key_hash(b""), 1);
    }
}
