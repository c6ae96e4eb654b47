//! What tests of disk images need: sources of each kind, and a store that they are saved to.

use super::{HOST, NAME, Room, noise};
use freezer_vault::image::{
    self, ImageBase, ImageInput, ImageOutput, ImageReport, ImageRequest, ImageRestoreRequest, OpenImage,
    OpenedImage,
};
use freezer_vault::levels::LevelPolicy;
use freezer_vault::{BackupReport, Monitor, VaultError};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex};

pub const REGION: usize = 64 * 1024;

/// What the opener was told of its base.
pub type Told = Arc<Mutex<Option<Option<ImageBase>>>>;

pub fn opener(input: ImageInput, source: Value, told: &Told) -> OpenImage {
    let told = told.clone();
    Box::new(move |base| {
        *told.lock().unwrap() = Some(base);
        let description = json!({"of": source});
        Box::pin(async move { Ok(OpenedImage { input, source, description }) })
    })
}

pub fn whole(image: &[u8]) -> ImageInput {
    let size_bytes = Some(image.len() as u64);
    ImageInput::Whole { reader: Box::new(std::io::Cursor::new(image.to_vec())), size_bytes }
}

/// As `rbd export-diff` writes it: what is in `new` and differs from `old`, in extents that follow no grid.
pub fn diff(old: &[u8], new: &[u8], grid: usize) -> Vec<u8> {
    listed(old, new, grid, |_| false)
}

/// As `rbd export-diff --whole-object` writes it: some objects are as they were.
pub fn objects(old: &[u8], new: &[u8], object_bytes: usize) -> ImageInput {
    let stream = listed(old, new, object_bytes, |number| number.is_multiple_of(3));
    ImageInput::Objects { stream: Box::new(std::io::Cursor::new(stream)) }
}

pub fn listed(old: &[u8], new: &[u8], grid: usize, is_listed: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut out = b"rbd diff v1\n".to_vec();
    if !old.is_empty() {
        out.push(b'f');
        out.extend(3u32.to_le_bytes());
        out.extend(b"old");
    }
    out.push(b's');
    out.extend((new.len() as u64).to_le_bytes());
    for (number, part) in new.chunks(grid).enumerate() {
        let start = number * grid;
        let was: Vec<u8> = (start..start + part.len()).map(|at| old.get(at).copied().unwrap_or(0)).collect();
        if was == part && !is_listed(number) {
            continue;
        }
        let zero = part.iter().all(|byte| *byte == 0);
        out.push(if zero { b'z' } else { b'w' });
        out.extend((start as u64).to_le_bytes());
        out.extend((part.len() as u64).to_le_bytes());
        if !zero {
            out.extend(part);
        }
    }
    out.push(b'e');
    out
}

pub struct Images {
    pub room: Room,
    pub told: Told,
}

impl Images {
    pub fn new() -> Self {
        Self { room: Room::new(), told: Told::default() }
    }

    pub fn request(&self, now: i64) -> ImageRequest {
        let levels = LevelPolicy { incremental: true, ..LevelPolicy::default() };
        ImageRequest { levels, ..ImageRequest::new(HOST, NAME, now) }
    }

    pub async fn save(&self, request: ImageRequest, input: ImageInput) -> Result<BackupReport, VaultError> {
        let source = json!({"snapshot": request.now_secs});
        let open = opener(input, source, &self.told);
        image::backup(self.room.store.clone(), request, open, Arc::new(Monitor::new())).await
    }

    pub async fn restore(&self, request: &ImageRestoreRequest) -> Result<(Vec<u8>, ImageReport), VaultError> {
        let plan = image::plan(&self.room.store, request).await?;
        let out = Shared::default();
        let output = ImageOutput::Raw(Box::new(out.clone()));
        let report = image::read(self.room.store.clone(), plan, output, Arc::new(Monitor::new())).await?;
        let bytes = out.0.lock().unwrap().clone();
        Ok((bytes, report))
    }

    /// All that lies on the storage.
    pub fn bytes_stored(&self) -> u64 {
        let length = |name: &String| std::fs::metadata(self.room.path("store").join(name)).unwrap().len();
        self.room.objects().iter().map(length).sum()
    }

    pub fn newest(&self) -> ImageRestoreRequest {
        ImageRestoreRequest::new(HOST, NAME)
    }

    pub fn until(&self, at: i64) -> ImageRestoreRequest {
        ImageRestoreRequest { not_after_secs: Some(at), ..self.newest() }
    }

    pub async fn expect(&self, request: &ImageRestoreRequest, image: &[u8]) {
        let (restored, _) = self.restore(request).await.unwrap();
        assert_eq!(restored.len(), image.len());
        assert!(restored == image, "the images differ");
    }
}

#[derive(Clone, Default)]
pub struct Shared(pub Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(data);
        Ok(data.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub fn sparse_image() -> Vec<u8> {
    let mut image = vec![0; 40 * REGION + 100];
    image[..3 * REGION].copy_from_slice(&noise(1, 3 * REGION));
    image[20 * REGION + 17..21 * REGION].copy_from_slice(&noise(2, REGION - 17));
    let end = image.len();
    image[end - 10..].copy_from_slice(&noise(3, 10));
    image
}
