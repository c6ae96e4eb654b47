//! The way to a service through something that breaks it.

use super::{LOOK, PATIENCE, http, login};
use freezer_testkit::services;
use std::time::Instant;

/// Has Keystone refuse the first token that comes after `seen` others in `tokens`, those that a service was shown.
pub async fn revoke_token_after(tokens: impl Fn() -> Vec<String>, seen: usize) {
    let end = Instant::now() + PATIENCE;
    let token = loop {
        match tokens().into_iter().skip(seen).find(|token| !token.is_empty()) {
            Some(token) => break token,
            None => assert!(Instant::now() < end, "the service was never asked"),
        }
        tokio::time::sleep(LOOK).await;
    };
    let admin = login("admin", "admin").await.token;
    let request = http().delete(format!("{}/auth/tokens", services::keystone_url()));
    let gone = request.header("X-Auth-Token", admin).header("X-Subject-Token", token).send().await.unwrap();
    assert_eq!(gone.status(), 204);
}

/// Keystone, whose catalogue leads to Glance by way of `port`. Answers its own port.
pub async fn keystone_with_glance_at(port: u16) -> u16 {
    keystone_with(&[(9292, port)]).await
}

/// Keystone, whose catalogue leads to services at other ports than their own. Answers its own port.
pub async fn keystone_with(detours: &[(u16, u16)]) -> u16 {
    let address = |port: u16| format!("127.0.0.1:{port}");
    keystone_saying(detours.iter().map(|(usual, port)| (address(*usual), address(*port))).collect()).await
}

/// Keystone with other words in its answers, such as the addresses in its catalogue. Answers its own port.
pub async fn keystone_saying(words: Vec<(String, String)>) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let words = words.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                let mut room = [0; 8192];
                let whole = |request: &[u8]| {
                    let text = String::from_utf8_lossy(request);
                    let (head, body) = text.split_once("\r\n\r\n")?;
                    let length = head.lines().find_map(|line| {
                        let (name, value) = line.split_once(':')?;
                        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
                    });
                    (body.len() >= length.unwrap_or(0)).then(|| text.into_owned())
                };
                let text = loop {
                    let count = client.read(&mut room).await.unwrap();
                    if count == 0 {
                        return;
                    }
                    request.extend_from_slice(&room[..count]);
                    if let Some(text) = whole(&request) {
                        break text;
                    }
                };
                let mut server = tokio::net::TcpStream::connect("127.0.0.1:5000").await.unwrap();
                let text = text.replacen("\r\n", "\r\nConnection: close\r\n", 1);
                server.write_all(text.as_bytes()).await.unwrap();
                let mut answer = String::new();
                server.read_to_string(&mut answer).await.unwrap();
                let (head, body) = answer.split_once("\r\n\r\n").unwrap();
                let mut body = body.replace("127.0.0.1:5000", &format!("127.0.0.1:{own}"));
                for (usual, other) in words {
                    body = body.replace(&usual, &other);
                }
                let kept =
                    head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("content-length"));
                let head = kept.collect::<Vec<_>>().join("\r\n");
                let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                client.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    own
}
