//! What changed between the look and the write is seen by the write.

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, Requirement};
use meshproof_proto::ticket::Role;
use meshproof_proto::time::UnixTime;

use super::changes::Who;
use super::devices::{Device, DeviceState, Endpoint};
use super::entries::{Entry, Kind};
use super::folders::{Folder, Storage};
use super::members::Member;
use super::{Store, StoreError};
use crate::graph::access::Need;
use crate::state::new_id;

#[track_caller]
fn refused<T>(result: Result<T, StoreError>, by: Requirement) {
    match result {
        Err(StoreError::Rule(rule)) if rule.is(by) => {}
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("not refused"),
    }
}

fn who(user: Id) -> Who {
    Who { user, device: None, at: UnixTime(1) }
}

fn member(user: Id, role: Role) -> Member {
    Member { user, name: String::new(), role, etag: "a".into() }
}

#[tokio::test]
async fn rights_that_have_gone_in_sqlite() {
    let data = tempfile::tempdir().unwrap();
    rights_that_have_gone(Store::open(&data.path().join("meshd.sqlite")).unwrap()).await;
}

pub(super) async fn rights_that_have_gone(store: Store) {
    let (ann, bob, carl, folder, device) = (new_id(), new_id(), new_id(), new_id(), new_id());
    for (user, name) in [(ann, "ann"), (bob, "bob"), (carl, "carl")] {
        store.add_user(user, name.into(), String::new()).await.unwrap();
    }
    let row =
        Folder { id: folder, name: "x".into(), storage: Storage::Cloud, creator: ann, etag: "a".into() };
    store.add_folder(row, "a".into(), who(ann)).await.unwrap();
    let by_ann = Need::CONTROL_MEMBERS.by(who(ann));
    assert!(store.add_member(folder, member(bob, Role::Owner), by_ann).await.unwrap());
    let row = Device {
        id: device,
        user: bob,
        name: "x".into(),
        spki: String::new(),
        fingerprint: "f".into(),
        state: DeviceState::Pending,
        etag: "a".into(),
    };
    store.add_device(row.clone()).await.unwrap();
    let map = || store.add_mapping(folder, device, "a".into(), Need::READ.by(who(bob)));
    refused(map().await, req::GPH_032);
    store.claim_device(row, "b".into(), who(bob)).await.unwrap();
    assert!(map().await.unwrap());

    // A role that became smaller.
    let tags = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    store.change_role(folder, bob, Role::Reader, tags("a", "b"), by_ann).await.unwrap();
    let by_bob = Need::CONTROL_MEMBERS.by(who(bob));
    refused(store.add_member(folder, member(carl, Role::Owner), by_bob).await, req::GPH_015);
    refused(store.change_role(folder, bob, Role::Owner, tags("b", "c"), by_bob).await, req::GPH_015);
    let put = || {
        let entry = Entry {
            id: Id::default(),
            path: "a".into(),
            kind: Kind::Directory,
            size: 0,
            hash: None,
            version: [].into(),
            attributes: super::entries::Attributes::default(),
            deleted: false,
            etag: "a".into(),
        };
        store.put_entry(folder, entry, None, Need::WRITE_ENTRY.by(who(bob)))
    };
    refused(put().await, req::GPH_014);

    // A member who was removed.
    store.remove_member(folder, bob, "b".into(), by_ann).await.unwrap();
    refused(put().await, req::GPH_019);
    refused(map().await, req::GPH_019);

    // A device that was revoked.
    store.add_member(folder, member(bob, Role::Reader), by_ann).await.unwrap();
    store.revoke_device(device, ("b".into(), "c".into()), who(bob)).await.unwrap();
    refused(map().await, req::GPH_016);
    let endpoint = Endpoint { addresses: Vec::new(), expires: UnixTime(0) };
    refused(store.put_endpoint(device, endpoint, who(bob)).await, req::GPH_041);
}
