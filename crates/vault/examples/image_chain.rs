//! One backup of a raw image in a local file into a local store, for bench/image: what the engine costs when nothing else does.
//!
//!     image_chain IMAGE STORE SECONDS
//!
//! SECONDS since 1970 are the backup's time: each must be later than the one before. Prints the level, and the bytes read and stored.

use freezer_storage::{LocalStore, Store};
use freezer_vault::Monitor;
use freezer_vault::image::{ImageInput, ImageRequest, OpenedImage, backup};
use freezer_vault::levels::LevelPolicy;
use serde_json::Value;
use std::error::Error;
use std::sync::Arc;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(image), Some(store), Some(seconds)) = (words.next(), words.next(), words.next()) else {
        return Err("image_chain IMAGE STORE SECONDS".into());
    };
    let store: Arc<dyn Store> = Arc::new(LocalStore::new(store));
    let mut request = ImageRequest::new("host", "image", seconds.parse()?);
    request.levels = LevelPolicy { incremental: true, ..LevelPolicy::default() };
    let file = std::fs::File::open(&image)?;
    let size_bytes = Some(file.metadata()?.len());
    let open = Box::new(move |_| {
        let input = ImageInput::Whole { reader: Box::new(file), size_bytes };
        let opened = OpenedImage { input, source: Value::Null, description: Value::Null };
        Box::pin(async move { Ok(opened) }) as _
    });
    let report = backup(store, request, open, Arc::new(Monitor::new())).await?;
    println!("{} {} {}", report.level, report.bytes_read, report.bytes_stored);
    Ok(())
}
