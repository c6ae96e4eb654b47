//! Options that concern resources of the cloud, whatever their kind.

use super::values::{OptionsError, Values};

/// Where a volume is restored to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VolumeTarget {
    #[default]
    New,
    /// Over the volume that was saved.
    Over,
    /// Into a new one that is attached where the old one is.
    Replace,
}

#[derive(Clone, Debug, Default)]
pub struct CloudOptions {
    /// Seconds that a change of state may take; where data are moved, more by their size.
    pub timeout_secs: u64,
    /// Beginning of the names of temporary resources.
    pub temp_prefix: String,
    /// Names of the types of Cinder's groups whose volumes are all snapshotted at one instant.
    pub group_types: Vec<String>,
    pub restore_name: Option<String>,
    pub volume_target: VolumeTarget,
    /// `pool/image`.
    pub rbd_target: Option<String>,
    pub network: Option<String>,
    pub flavor: Option<String>,
}

impl CloudOptions {
    pub fn from_values(values: &Values) -> Result<Self, OptionsError> {
        let over = values.flag("overwrite")? && !values.is_set("cinder_restore_to");
        let volume_target = match values.text("cinder_restore_to")?.as_deref() {
            _ if over => VolumeTarget::Over,
            Some("over") => VolumeTarget::Over,
            Some("replace") => VolumeTarget::Replace,
            _ => VolumeTarget::New,
        };
        let temp_prefix = values.text("temp_resource_prefix")?.unwrap_or_default();
        if temp_prefix.is_empty() || temp_prefix.len() > 60 {
            return Err(OptionsError::bad("temp_resource_prefix", "takes 1 to 60 characters"));
        }
        Ok(Self {
            timeout_secs: values.int("timeout", 0..=31_536_000)?.filter(|secs| *secs > 0).unwrap_or(120)
                as u64,
            temp_prefix,
            group_types: (values.text("consistent_group_types")?.unwrap_or_default().split(','))
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect(),
            restore_name: values.text("restore_name")?,
            volume_target,
            rbd_target: values.text("rbd_restore_to")?,
            network: values.text("nova_restore_network")?,
            flavor: values.text("nova_restore_flavor")?,
        })
    }
}
