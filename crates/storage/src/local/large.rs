//! A large object: one file, written by a thread of its own behind a short queue.

use super::error::Place;
use super::put::{create, publish};
use crate::store::{LargeWriter, ObjectName, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use tokio::sync::{mpsc, oneshot};

/// Pieces that may wait for the disk. Small: the memory belongs to the run.
const QUEUE_PIECES: usize = 4;

enum Order {
    Write(Bytes),
    Finish(oneshot::Sender<Result<(), StoreError>>),
}

pub(super) struct LocalWriter {
    place: Place,
    orders: mpsc::Sender<Order>,
    /// Answers when the thread is through: its error, if it stopped for one.
    ended: Option<oneshot::Receiver<Result<(), StoreError>>>,
}

impl LocalWriter {
    pub(super) async fn create(place: Place, root: PathBuf, path: PathBuf) -> Result<Self, StoreError> {
        let (orders, inbox) = mpsc::channel(QUEUE_PIECES);
        let (ended_sender, ended) = oneshot::channel();
        let (opened_sender, opened) = oneshot::channel();
        let at = place.clone();
        let work = move || match create(&at, &root, &path) {
            Err(error) => {
                let _ = opened_sender.send(Err(error));
            }
            Ok((file, temporary)) => {
                let _ = opened_sender.send(Ok(()));
                let result = write_all(&at, &root, &path, file, &temporary, inbox);
                if !matches!(result, Ok(Ended::Published)) {
                    // Abandoned, dropped, or failed: the temporary file goes.
                    let _ = std::fs::remove_file(&temporary);
                }
                let _ = ended_sender.send(result.map(|_| ()));
            }
        };
        std::thread::Builder::new()
            .name("local-writer".into())
            .spawn(work)
            .map_err(|error| place.io("starting a thread", &error))?;
        match opened.await {
            Ok(Ok(())) => Ok(Self { place, orders, ended: Some(ended) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(place.other("the writing thread ended at once")),
        }
    }

    /// The thread stopped before it was told to: here is why.
    async fn why(&mut self) -> StoreError {
        if let Some(ended) = self.ended.take()
            && let Ok(Err(error)) = ended.await
        {
            return error;
        }
        self.place.other("the writing thread ended early; see the first error")
    }
}

enum Ended {
    Published,
    LetGo,
}

fn write_all(
    place: &Place,
    root: &Path,
    path: &Path,
    mut file: File,
    temporary: &Path,
    mut inbox: mpsc::Receiver<Order>,
) -> Result<Ended, StoreError> {
    while let Some(order) = inbox.blocking_recv() {
        match order {
            Order::Write(piece) => file.write_all(&piece).map_err(place.doing("writing"))?,
            Order::Finish(answer) => {
                let result = publish(place, root, file, temporary, path);
                if result.is_err() {
                    let _ = std::fs::remove_file(temporary);
                }
                let _ = answer.send(result);
                return Ok(Ended::Published);
            }
        }
    }
    Ok(Ended::LetGo)
}

#[async_trait]
impl LargeWriter for LocalWriter {
    async fn write(&mut self, piece: Bytes) -> Result<(), StoreError> {
        if piece.is_empty() {
            return Ok(());
        }
        match self.orders.send(Order::Write(piece)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.why().await),
        }
    }

    async fn end_segment(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Vec<ObjectName>, StoreError> {
        let (sender, answer) = oneshot::channel();
        if self.orders.send(Order::Finish(sender)).await.is_err() {
            return Err(self.why().await);
        }
        match answer.await {
            Ok(result) => result.map(|()| Vec::new()),
            Err(_) => Err(self.why().await),
        }
    }

    async fn abandon(self: Box<Self>) {
        let Self { orders, ended, .. } = *self;
        drop(orders);
        // Until the temporary file is gone.
        if let Some(ended) = ended {
            let _ = ended.await;
        }
    }
}
