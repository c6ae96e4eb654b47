//! A proxy in front of a real service that does what it is told: answers wrongly, breaks off, stalls.
//!
//! In HTTP mode each connection carries one request, so that rules can be told by method and path. In
//! plain mode bytes are passed on until [`Proxy::cut`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, watch};

#[derive(Clone, Debug)]
pub enum Action {
    /// Reads the request with its body, then answers with this status and headers.
    Answer(u16, Vec<(&'static str, &'static str)>),
    /// Answers with this status without reading the body, and closes.
    AnswerEarly(u16),
    /// Resets the connection after so many bytes of the request's body.
    ResetRequest(usize),
    /// Passes on so many bytes of the answer's body, then closes.
    CutAnswer(usize),
    /// As `CutAnswer`, with a reset.
    ResetAnswer(usize),
    /// Passes on so many bytes of the answer's body, then nothing more.
    StallAnswer(usize),
    /// Never answers.
    Stall,
    /// Passes the request on, but throws the answer away and closes.
    LoseAnswer,
    /// Turns the byte of the answer's body at this offset.
    FlipAnswer(usize),
    /// Turns the byte of the request's body at this offset.
    FlipRequest(usize),
    /// Passes the request on with other words in its head.
    RewordRequest(&'static str, &'static str),
    /// Passes the answer on with other words in it.
    RewordAnswer(&'static str, &'static str),
    /// Answers with this document.
    Say(String),
    /// Answers with this status, headers and document.
    Refuse(u16, Vec<(&'static str, &'static str)>, &'static str),
    /// Keeps the request, with its body, until as many are here as the barrier is for; then all are passed on.
    Meet(Arc<Barrier>),
}

struct Rule {
    method: &'static str,
    path: &'static str,
    left: u32,
    action: Action,
}

#[derive(Default)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    /// Method and path of all requests, with the token they carried.
    seen: Mutex<Vec<(String, String, String)>>,
    /// Method, path and body of the requests that carried a document.
    documents: Mutex<Vec<(String, String, String)>>,
    connections: AtomicU64,
    /// Bytes passed from the client, for cutting in the middle.
    passed: AtomicU64,
}

#[derive(Clone)]
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    cut: Arc<watch::Sender<u64>>,
}

impl Proxy {
    pub async fn http(upstream: String) -> Self {
        Self::start(upstream, true).await
    }
    pub async fn plain(upstream: String) -> Self {
        Self::start(upstream, false).await
    }

    async fn start(upstream: String, http: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let (cut, cuts) = watch::channel(0);
        let at_work = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                at_work.connections.fetch_add(1, Ordering::SeqCst);
                let (shared, upstream, cuts) = (at_work.clone(), upstream.clone(), cuts.clone());
                tokio::spawn(async move {
                    // A broken connection is what this is for.
                    let _ = if http {
                        serve(client, &upstream, &shared).await
                    } else {
                        pass(client, &upstream, &shared, cuts).await
                    };
                });
            }
        });
        Self { port, shared, cut: Arc::new(cut) }
    }

    /// The next `times` requests of `method` whose path holds `path` go wrong.
    pub fn rule(&self, method: &'static str, path: &'static str, times: u32, action: Action) {
        self.shared.rules.lock().unwrap().push(Rule { method, path, left: times, action });
    }

    /// Nothing goes wrong any more.
    pub fn forget_rules(&self) {
        self.shared.rules.lock().unwrap().clear();
    }

    /// How many requests went through whose method and path match.
    pub fn requests(&self, method: &str, path: &str) -> usize {
        let seen = self.shared.seen.lock().unwrap();
        seen.iter().filter(|(m, p, _)| m == method && p.contains(path)).count()
    }

    /// The tokens of all requests, in order.
    pub fn tokens(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().iter().map(|(_, _, token)| token.clone()).collect()
    }

    /// The JSON documents that went through with this method to paths that end so, in order.
    pub fn documents(&self, method: &str, path_end: &str) -> Vec<String> {
        let all = self.shared.documents.lock().unwrap();
        let those = all.iter().filter(|(m, p, _)| m == method && p.ends_with(path_end));
        those.map(|(_, _, document)| document.clone()).collect()
    }

    /// Rules that did not come to pass.
    pub fn unused_rules(&self) -> usize {
        self.shared.rules.lock().unwrap().iter().filter(|rule| rule.left > 0).count()
    }

    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Bytes that came from clients.
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// Breaks all connections of a plain proxy.
    pub fn cut(&self) {
        self.cut.send_modify(|number| *number += 1);
    }
}

async fn pass(
    client: TcpStream,
    upstream: &str,
    shared: &Shared,
    mut cuts: watch::Receiver<u64>,
) -> std::io::Result<()> {
    cuts.mark_unchanged();
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                return std::io::Result::Ok(());
            }
            shared.passed.fetch_add(read as u64, Ordering::SeqCst);
            to_server.write_all(&buffer[..read]).await?;
        }
    };
    let down = tokio::io::copy(&mut from_server, &mut to_client);
    tokio::select! {
        _ = up => {}
        _ = down => {}
        _ = cuts.changed() => {}
    }
    Ok(())
}

struct Head {
    text: String,
    method: String,
    path: String,
    headers: HashMap<String, String>,
    /// What was read beyond the head.
    rest: Vec<u8>,
}

async fn read_head(stream: &mut TcpStream) -> std::io::Result<Option<Head>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&buffer[..read]);
    };
    let rest = bytes.split_off(end);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (first.next().unwrap_or_default().into(), first.next().unwrap_or_default().into());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string()))
        .collect();
    Ok(Some(Head { text, method, path, headers, rest }))
}

async fn serve(mut client: TcpStream, upstream: &str, shared: &Shared) -> std::io::Result<()> {
    let Some(head) = read_head(&mut client).await? else { return Ok(()) };
    let token = head.headers.get("x-auth-token").cloned().unwrap_or_default();
    shared.seen.lock().unwrap().push((head.method.clone(), head.path.clone(), token));
    let action = {
        let mut rules = shared.rules.lock().unwrap();
        let fits =
            |rule: &&mut Rule| rule.left > 0 && rule.method == head.method && head.path.contains(rule.path);
        rules.iter_mut().find(fits).map(|rule| {
            rule.left -= 1;
            rule.action.clone()
        })
    };
    let length: usize = head.headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    match action {
        Some(Action::AnswerEarly(status)) => answer(client, status, &[]).await,
        Some(Action::ResetRequest(after)) => {
            read_body(&mut client, head.rest, after.min(length)).await?;
            client.set_zero_linger()
        }
        Some(Action::Answer(status, headers)) => {
            read_body(&mut client, head.rest, length).await?;
            answer(client, status, &headers).await
        }
        Some(Action::Refuse(status, headers, document)) => {
            read_body(&mut client, head.rest, length).await?;
            say(client, status, &headers, document).await
        }
        Some(Action::Say(document)) => {
            read_body(&mut client, head.rest, length).await?;
            say(client, 200, &[("Content-Type", "application/json")], &document).await
        }
        Some(Action::Stall) => {
            read_body(&mut client, head.rest, length).await?;
            // Until the client gives up; a body without a length comes meanwhile.
            let mut bytes = vec![0; 64 << 10];
            while client.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
            Ok(())
        }
        // A body without a length comes and goes as it is made.
        None if head.headers.get("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) => {
            let mut server = TcpStream::connect(upstream).await?;
            server.write_all(head.text.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes()).await?;
            server.write_all(&head.rest).await?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await.map(|_| ())
        }
        action => {
            let mut body = read_body(&mut client, head.rest, length).await?;
            if head.headers.get("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
                let document = String::from_utf8_lossy(&body).into_owned();
                shared.documents.lock().unwrap().push((head.method.clone(), head.path.clone(), document));
            }
            if let Some(Action::FlipRequest(at)) = action {
                body[at] = !body[at];
            }
            if let Some(Action::Meet(others)) = &action {
                others.wait().await;
            }
            let mut server = TcpStream::connect(upstream).await?;
            let mut text = head.text.replacen("\r\n", "\r\nConnection: close\r\n", 1);
            if let Some(Action::RewordRequest(from, to)) = action {
                text = text.replace(from, to);
            }
            server.write_all(text.as_bytes()).await?;
            server.write_all(&body).await?;
            give_back(client, server, head.method == "HEAD", action).await
        }
    }
}

async fn read_body(client: &mut TcpStream, mut body: Vec<u8>, length: usize) -> std::io::Result<Vec<u8>> {
    let mut buffer = vec![0; 64 << 10];
    while body.len() < length {
        let read = client.read(&mut buffer).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        body.extend_from_slice(&buffer[..read]);
    }
    Ok(body)
}

async fn answer(client: TcpStream, status: u16, headers: &[(&str, &str)]) -> std::io::Result<()> {
    say(client, status, headers, "").await
}

async fn say(
    mut client: TcpStream,
    status: u16,
    headers: &[(&str, &str)],
    document: &str,
) -> std::io::Result<()> {
    let length = document.len();
    let mut text =
        format!("HTTP/1.1 {status} On Command\r\nContent-Length: {length}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(document);
    client.write_all(text.as_bytes()).await?;
    client.shutdown().await
}

async fn give_back(
    mut client: TcpStream,
    mut server: TcpStream,
    is_head: bool,
    action: Option<Action>,
) -> std::io::Result<()> {
    let mut all = Vec::new();
    if is_head {
        let Some(head) = read_head(&mut server).await? else { return Ok(()) };
        all.extend_from_slice(head.text.as_bytes());
    } else {
        server.read_to_end(&mut all).await?;
    }
    let body = all.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    match action {
        Some(Action::LoseAnswer) => {}
        Some(Action::CutAnswer(after)) => {
            client.write_all(&all[..(body + after).min(all.len())]).await?;
            client.shutdown().await?;
        }
        Some(Action::ResetAnswer(after)) => {
            client.write_all(&all[..(body + after).min(all.len())]).await?;
            // Let the bytes arrive first: a reset throws away what is still under way.
            tokio::time::sleep(Duration::from_millis(50)).await;
            client.set_zero_linger()?;
        }
        Some(Action::StallAnswer(after)) => {
            client.write_all(&all[..(body + after).min(all.len())]).await?;
            let mut byte = [0];
            let _ = client.read(&mut byte).await;
        }
        Some(Action::FlipAnswer(at)) => {
            all[body + at] = !all[body + at];
            client.write_all(&all).await?;
        }
        Some(Action::RewordAnswer(from, to)) => {
            let text = String::from_utf8_lossy(&all).replace(from, to);
            // The end of the connection is the end of the answer.
            let is_kept = |line: &&str| !line.to_ascii_lowercase().starts_with("content-length:");
            let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
            let head: Vec<&str> = head.lines().filter(is_kept).collect();
            client.write_all(format!("{}\r\n\r\n{body}", head.join("\r\n")).as_bytes()).await?;
            client.shutdown().await?;
        }
        _ => client.write_all(&all).await?,
    }
    Ok(())
}
