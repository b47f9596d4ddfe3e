//! What changed between the look and the write is seen by the write.

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, Requirement};
use meshproof_proto::ticket::Role;
use meshproof_proto::time::UnixTime;

use super::changes::Who;
use super::contacts::Contact;
use super::devices::{Device, DeviceState, Endpoint};
use super::entries::{Entry, Kind};
use super::folders::{Folder, Storage};
use super::invitations::NewInvitation;
use super::{Span, Store, StoreError};
use crate::graph::access::{ControlFolder, FolderRight, Need, WriteEntries};
use crate::state::new_id;

#[track_caller]
fn refused<T>(result: Result<T, StoreError>, by: Requirement) {
    match result {
        Err(StoreError::Rule(rule)) if rule.is(by) => {}
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("not refused"),
    }
}

pub(super) fn who(user: Id) -> Who {
    Who { user, device: None, at: UnixTime(1) }
}

pub(super) fn cloud_folder(id: Id, creator: Id) -> Folder {
    let (name, etag) = ("x".into(), "a".into());
    Folder { id, name, storage: Storage::Cloud, creator, etag, generation: 0 }
}

const BOUNDS: super::entries::Bounds = super::entries::Bounds { entries: 9, metadata: 9_999 };

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
    store.add_folder(cloud_folder(folder, ann), "a".into(), 9, who(ann)).await.unwrap();
    let by_ann = Need::CONTROL_MEMBERS.by(who(ann));
    let invite = |name: &str, by| {
        let (id, name, expires) = (new_id(), name.to_owned(), UnixTime(9));
        let new = NewInvitation { id, folder, name, role: Role::Owner, expires, etag: "a".into() };
        store.invite(new, by)
    };
    let join = async |user, name: &str| {
        let invitation = invite(name, by_ann).await.unwrap();
        store.accept(who(user), invitation.id, "a".into()).await.unwrap().unwrap();
    };
    join(bob, "bob").await;
    let row = Device {
        id: device,
        user: bob,
        name: "x".into(),
        spki: String::new(),
        fingerprint: "f".into(),
        signing_key: String::new(),
        state: DeviceState::Pending,
        etag: "a".into(),
    };
    store.add_device(row.clone(), UnixTime(0)).await.unwrap();
    let map = || store.add_mapping(folder, device, "a".into(), Need::READ.by(who(bob)));
    refused(map().await, req::GPH_032);
    store.claim_device(row, "b".into(), 9, who(bob)).await.unwrap();
    assert!(map().await.unwrap());

    // A role that became smaller.
    let tags = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let by_bob = Need::CONTROL_MEMBERS.by(who(bob));
    let bobs = invite("carl", by_bob).await.unwrap();
    store.change_role(folder, bob, Role::Reader, tags("a", "b"), by_ann).await.unwrap();
    // With the owner's rights go the owner's invitations.
    let late = store.accept(who(carl), bobs.id, "a".into()).await;
    refused(late, req::GPH_090);
    refused(invite("carl", by_bob).await, req::GPH_015);
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
        store.put_entry(folder, entry, None, BOUNDS, WriteEntries::NEED.by(who(bob)))
    };
    refused(put().await, req::GPH_014);

    // A member who was removed.
    store.remove_member(folder, bob, "b".into(), by_ann).await.unwrap();
    refused(put().await, req::GPH_019);
    refused(map().await, req::GPH_019);

    // A device that was revoked.
    let row = Folder {
        id: folder,
        name: "y".into(),
        storage: Storage::Cloud,
        creator: ann,
        etag: "b".into(),
        generation: 0,
    };
    refused(store.change_folder(row, "a".into(), ControlFolder::NEED.by(who(bob))).await, req::GPH_019);
    refused(store.remove_folder(folder, "a".into(), ControlFolder::NEED.by(who(bob))).await, req::GPH_019);
    join(bob, "bob").await;
    store.revoke_device(device, ("b".into(), "c".into()), who(bob)).await.unwrap();
    refused(map().await, req::GPH_016);
    // As the device itself, with a request that began before.
    let by_device = Need::READ.by(Who { device: Some(device), ..who(bob) });
    refused(store.remove_mapping(folder, device, by_device).await, req::TKT_031);
    let endpoint = Endpoint { addresses: Vec::new(), expires: UnixTime(0) };
    refused(store.put_endpoint(device, endpoint, who(bob)).await, req::GPH_041);
}

#[tokio::test]
async fn invitations_and_contacts_have_an_end() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(&data.path().join("meshd.sqlite")).unwrap();
    let (ann, bob, folder) = (new_id(), new_id(), new_id());
    for (user, name) in [(ann, "ann"), (bob, "bob")] {
        store.add_user(user, name.into(), String::new()).await.unwrap();
    }
    store.add_folder(cloud_folder(folder, ann), "a".into(), 9, who(ann)).await.unwrap();
    let at = |user, now| Who { user, device: None, at: UnixTime(now) };
    let invite = |now| {
        let (id, name, role) = (new_id(), "bob".to_owned(), Role::Reader);
        let new = NewInvitation { id, folder, name, role, expires: UnixTime(10), etag: "a".into() };
        store.invite(new, Need::CONTROL_MEMBERS.by(at(ann, now)))
    };
    let invitation = invite(1).await.unwrap();
    refused(invite(9).await, req::GPH_088);
    assert_eq!(store.invitations_for(bob, UnixTime(9), Span::all()).await.unwrap().len(), 1);
    assert!(store.invitations_for(bob, UnixTime(10), Span::all()).await.unwrap().is_empty());
    assert!(store.invitations_to(folder, UnixTime(10), Span::all()).await.unwrap().is_empty());
    assert!(store.accept(at(bob, 10), invitation.id, "a".into()).await.unwrap().is_none());
    assert!(!store.decline(at(bob, 10), invitation.id).await.unwrap());
    invite(10).await.unwrap();

    let write = |n: u32| {
        let contact = Contact { name: format!("n{n}"), blocked: true, note: String::new(), etag: "a".into() };
        store.put_contact(ann, contact)
    };
    for n in 0..1_000 {
        assert!(write(n).await.unwrap());
    }
    refused(write(1_000).await, req::GPH_093);
    assert!(!write(999).await.unwrap());
}
