//! A TCP relay before the broker that can be cut, stopped and started again.

use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub struct Relay {
    pub address: String,
    broker: String,
    cut: Arc<watch::Sender<u64>>,
    accepting: Option<JoinHandle<()>>,
}

impl Relay {
    pub async fn start(broker: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut relay = Self {
            address,
            broker: broker.to_owned(),
            cut: Arc::new(watch::Sender::new(0)),
            accepting: None,
        };
        relay.accept(listener);
        relay
    }

    fn accept(&mut self, listener: TcpListener) {
        let (broker, cut) = (self.broker.clone(), Arc::clone(&self.cut));
        self.accepting = Some(tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (broker, mut cut) = (broker.clone(), cut.subscribe());
                cut.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(broker).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        }));
    }

    /// Cuts all connections and refuses new ones.
    pub fn stop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
        self.cut.send_modify(|count| *count += 1);
    }

    /// Lets connections in again at the same address.
    pub async fn restart(&mut self) {
        let listener = loop {
            match TcpListener::bind(&self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        };
        self.accept(listener);
    }
}
