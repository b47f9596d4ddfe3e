//! What every client has to manage before anything else can be found out about it.

use super::{DIRECT, LOGIN, RELAYED, STORED, check, demand_good_session, demand_synced, enrolled};
use crate::catalog::Part;
use crate::check::{Check, Context, Verdict, demand};
use crate::double::http::Manner;
use crate::double::{AUDIENCE, Double, Place};
use crate::target::client::{Client, accepted};

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(Part::Identity, LOGIN, &[], "a client signs in and claims its device", login),
        check(Part::Sync, DIRECT, &[], "a client syncs a folder both ways with a device", direct),
        check(Part::Relay, RELAYED, &[], "the same through a relay", relayed).twin(DIRECT),
        check(Part::Storage, STORED, &[], "the same, and gives the cloud entries and bytes", stored)
            .twin(DIRECT),
        check(
            Part::Graph,
            "client.sync.bytewise",
            &[],
            "answers of the cloud come byte by byte",
            |context| async move {
                let (double, client) = enrolled(&context).await?;
                double.edit(|_, reply| reply.manner = Manner::Bytewise);
                accepted("sync", &client.sync().await?)?;
                demand_good_session(&double.seen().await)?;
                demand_synced(&double, &client, &[])
            },
        )
        .twin(DIRECT),
    ]
}

async fn login(context: Context) -> Verdict {
    let (double, client) = (Double::start(&context).await?, Client::start(&context)?);
    accepted("login", &client.login(&double).await?)?;
    accepted("claim", &client.claim().await?)?;
    let seen = double.seen().await;
    demand!(seen.like("POST /mesh/devices/", "/proof") == 1, "the client does not prove its key once");
    let right = seen.proofs.iter().all(|proof| proof.is_for(AUDIENCE));
    demand!(right, "the client proves its key for another purpose or cloud");
    Ok(())
}

async fn direct(context: Context) -> Verdict {
    let (double, client) = enrolled(&context).await?;
    both_ways(&context, &double, &client).await.map(drop)
}

async fn relayed(context: Context) -> Verdict {
    let (double, client) = enrolled(&context).await?;
    double.plan(|plan| plan.places = vec![Place::Nobody]);
    both_ways(&context, &double, &client).await?;
    demand!(double.seen().await.relayed > 0, "the device was not reached through the relay");
    Ok(())
}

async fn stored(context: Context) -> Verdict {
    let (double, client) = enrolled(&context).await?;
    double.store_bytes();
    let own = both_ways(&context, &double, &client).await?;
    let seen = double.seen().await;
    let hash = blake3::hash(&own).to_hex().to_string();
    demand!(seen.media.get(&hash) == Some(&own), "the cloud did not get the bytes that it wants");
    Ok(())
}

/// A file goes each way. Gives back that of the client.
async fn both_ways(
    context: &Context,
    double: &Double,
    client: &Client,
) -> Result<Vec<u8>, crate::check::Stop> {
    let own = context.random::<300>().to_vec();
    client.write("own", &own)?;
    accepted("sync", &client.sync().await?)?;
    let seen = double.seen().await;
    demand_good_session(&seen)?;
    demand_synced(double, client, &[("own", &own)])?;
    let given = seen.contents.get(blake3::hash(&own).as_bytes());
    demand!(given == Some(&own), "the device did not get the file of the client");
    Ok(own)
}
