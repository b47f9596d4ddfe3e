//! A user with more folders than the first tickets hold (`spec/graph.md` section 4.2, `spec/identity.md` section 3).

use crate::common::{DEVICE_X, Session, World};
use serde_json::json;

const OWN: u32 = 60;
const INVITATIONS: u32 = 200;

fn folder(n: u32) -> String {
    format!("{n:032x}")
}

/// Folders as the store keeps them: those of somebody else come first in every order but that of roles.
fn add_folders(data: &std::path::Path, own: &str, other: &str) {
    let mut sql = rusqlite::Connection::open(data.join("meshd.sqlite")).unwrap();
    let transaction = sql.transaction().unwrap();
    for n in 0..INVITATIONS + OWN {
        let (creator, role) = if n < INVITATIONS { (other, "reader") } else { (own, "owner") };
        let insert =
            "INSERT INTO folders (id, name, storage, creator, etag) VALUES (?1, 'x', 'cloud', ?2, 'a')";
        transaction.execute(insert, (folder(n), creator)).unwrap();
        let insert = "INSERT INTO members (folder_id, user_id, role, etag) VALUES (?1, ?2, ?3, 'a')";
        transaction.execute(insert, (folder(n), own, role)).unwrap();
    }
    transaction.commit().unwrap();
}

#[tokio::test]
async fn nobody_is_locked_out() {
    let data = tempfile::tempdir().unwrap();
    let world = World::on(data.path(), |_| ()).await;
    let mut ann = world.user("ann").await;
    let bob = world.user("bob").await;
    add_folders(data.path(), &ann.id, &bob.id);
    ann.sign_in().await;
    assert_eq!(ann.tickets.len(), 16);
    for n in INVITATIONS..INVITATIONS + OWN {
        ann.get(&format!("/mesh/objects/{}", folder(n))).await.is(200);
    }

    // The first tickets are full; the folder gives its own.
    let last = format!("/mesh/objects/{}", folder(INVITATIONS - 1));
    ann.get(&last).await.refused(403, "GPH-002");
    one_ticket(&mut ann, &last).await;
    let device = ann.claimed(DEVICE_X).await;
    let mut device = ann.device(&device, DEVICE_X).await;
    one_ticket(&mut device, &last).await;

    // To strangers no folder is there.
    let refused = bob.post(&format!("{last}/ticket"), json!({})).await;
    refused.refused(403, "GPH-002");
    let nowhere = bob.post(&format!("/mesh/objects/{}/ticket", "f".repeat(32)), json!({})).await;
    assert_eq!((nowhere.status, nowhere.bytes), (refused.status, refused.bytes));
}

/// Gets a ticket for the folder by the authentication ticket alone, and uses it.
async fn one_ticket(session: &mut Session<'_>, folder: &str) {
    let all = std::mem::take(&mut session.tickets);
    session.tickets = vec![all[1].clone()];
    session.post(&format!("{folder}/ticket"), json!({})).await.refused(403, "GPH-002");
    session.tickets = vec![all[0].clone()];
    let given = session.post(&format!("{folder}/ticket"), json!({})).await;
    given.is(200);
    session.tickets = vec![all[0].clone(), given.text("ticket")];
    session.get(folder).await.is(200);
    session
        .post(&format!("{folder}/invitations"), json!({"name": "bob", "role": "owner"}))
        .await
        .refused(403, "GPH-015");
    session.tickets = all;
}
