//! Forgetting tombstones that nobody needs any more.

use std::collections::BTreeSet;

use meshproof_proto::sync::tree::holding;

use super::Folder;
use super::index::Batch;
use crate::error::Result;

/// SYN-047: forgets the deleted entries whose deletion every device on which the folder is mapped has seen, and that hold nothing living. The caller holds
/// the folder's lock.
pub(super) fn collect(folder: &Folder) -> Result<()> {
    let (index, id) = (folder.index(), folder.id());
    let Some(devices) = folder.devices() else { return Ok(()) };
    let mut gone = index.gone(id)?;
    for device in devices.iter().filter(|device| **device != folder.device()) {
        if gone.is_empty() {
            return Ok(());
        }
        let context = index.context(id, *device)?;
        gone.retain(|entry| context.covers(&entry.version));
    }
    if gone.is_empty() {
        return Ok(());
    }
    let entries = index.entries(id)?;
    let needed = holding(&entries.iter().map(|entry| (entry.id, entry)).collect(), &BTreeSet::new());
    gone.retain(|entry| !needed.contains(&entry.id));
    let forgotten = gone.into_iter().map(|entry| entry.id).collect();
    folder.write(&Batch { forgotten, ..Batch::default() })
}
