//! graph.md section 4.4: which folders a pair ticket names.

use serde_json::json;

use super::devices::{post_pair, verified_pair};
use super::{Folder, check, success};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::crypto::hex;
use crate::target::cloud::{Reply, call};
use crate::target::world::{Device, World};

const PORTIONS: &str = "gph.pair.folders";

/// How many folders a pair ticket has room for.
const PORTION: usize = 18;

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(
            PORTIONS,
            &["GPH-220", "GPH-221"],
            "two devices share more folders than a pair ticket names, and ask for each portion",
            portions,
        ),
        check(
            "gph.pair.folder-not-shared",
            &["GPH-220", "GPH-221"],
            "a pair ticket is asked for that names a folder which is on one of the devices",
            not_shared,
        )
        .twin(PORTIONS),
        check(
            "gph.pair.too-many-folders",
            &["GPH-006"],
            "a pair ticket is asked for that names 19 folders",
            |context| async move {
                let world = World::get(&context).await?;
                let folders: Vec<String> = (0..=PORTION).map(|_| hex(&context.random::<16>())).collect();
                let reply = ask_pair(&context, &world.laptop, &world.phone.id, &folders[..PORTION]).await?;
                reply.expect(200)?;
                let reply = ask_pair(&context, &world.laptop, &world.phone.id, &folders).await?;
                reply.expect_problem(422, "body-unacceptable")
            },
        )
        .twin(PORTIONS),
    ]
}

/// The same for these folders.
async fn ask_pair(context: &Context, x: &Device, y: &str, folders: &[String]) -> Result<Reply, Stop> {
    let request = call(context, "POST", &format!("/mesh/devices/{y}/pair")).tickets(&x.grant.tickets);
    request.json(&json!({ "folders": folders })).send().await
}

/// The folders that the pair ticket of a reply names, and those that it says are left.
fn named_and_left(world: &World, reply: &Reply) -> Result<(Vec<String>, Vec<String>), Stop> {
    let grounds = verified_pair(world, &world.laptop, &world.phone, reply)?;
    let named: Vec<String> = grounds.folders.into_iter().map(|(folder, ..)| folder).collect();
    let body = reply.json()?;
    let left = body["left"].as_array().ok_or_else(|| Stop::Fail("`left` is no list".to_owned()))?;
    let left: Vec<String> = left.iter().map(|id| id.as_str().unwrap_or_default().to_owned()).collect();
    let both = left.iter().find(|id| named.contains(id));
    demand!(both.is_none(), "the ticket names a folder that is in `left`: {both:?}");
    Ok((named, left))
}

/// A folder of Alice's on these devices of hers.
async fn folder_on(context: &Context, world: &World, devices: &[&Device]) -> Result<String, Stop> {
    let folder = Folder::new(context, world, "p2p").await?;
    for device in devices {
        let path = format!("{}/mappings/{}", folder.path, device.id);
        let reply = call(context, "PUT", &path).tickets(&folder.tickets).json(&json!({})).send().await?;
        success(reply, "PUT of a mapping")?;
    }
    Ok(folder.path.rsplit('/').next().unwrap_or_default().to_owned())
}

/// Other checks may give the two devices more folders meanwhile: nothing is said about those.
async fn portions(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let mut mine = Vec::new();
    for _ in 0..PORTION + 2 {
        mine.push(folder_on(&context, &world, &[&world.laptop, &world.phone]).await?);
    }
    let reply = post_pair(&context, &world.laptop, &world.phone.id).await?.expect(200)?;
    let (first, left) = named_and_left(&world, &reply)?;
    demand!(!first.is_empty(), "the ticket names no folder");
    let lost = mine.iter().find(|id| !first.contains(id) && !left.contains(id));
    demand!(lost.is_none(), "a folder mapped on both is neither named nor left: {lost:?}");
    for portion in mine.chunks(PORTION) {
        let reply = ask_pair(&context, &world.laptop, &world.phone.id, portion).await?.expect(200)?;
        let (mut named, left) = named_and_left(&world, &reply)?;
        let mut wanted = portion.to_vec();
        wanted.sort();
        named.sort();
        demand!(named == wanted, "the ticket names {named:?} where {wanted:?} were asked for");
        let lost = mine.iter().find(|id| !named.contains(id) && !left.contains(id));
        demand!(lost.is_none(), "a folder mapped on both is neither named nor left: {lost:?}");
    }
    Ok(())
}

/// A folder on the laptop alone, beside one that is on both.
async fn not_shared(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let shared = folder_on(&context, &world, &[&world.laptop, &world.phone]).await?;
    let other = folder_on(&context, &world, &[&world.laptop]).await?;
    let reply = ask_pair(&context, &world.laptop, &world.phone.id, std::slice::from_ref(&other))
        .await?
        .expect(200)?;
    let (named, left) = named_and_left(&world, &reply)?;
    demand!(named.is_empty(), "the ticket names {named:?}");
    demand!(left.contains(&shared), "a folder mapped on both is not in `left`");
    demand!(!left.contains(&other), "a folder mapped on one device is in `left`");
    Ok(())
}
