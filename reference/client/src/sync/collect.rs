//! Forgetting tombstones that nobody needs any more.

use super::Folder;
use super::index::Batch;
use crate::error::Result;

/// SYN-047: forgets the deleted entries whose deletion every device on which the folder is mapped has seen. The caller holds
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
    let forgotten = gone.into_iter().map(|entry| entry.id).collect();
    folder.write(&Batch { forgotten, ..Batch::default() })
}
