//! A device of the same user that is not to be trusted, and a relay that reads and writes as it likes.

use std::sync::Arc;

use super::{DIRECT, RELAYED, check, demand_nothing_came, enrolled};
use crate::catalog::Part;
use crate::check::{Check, Context, Verdict, demand};
use crate::double::{Act, Double, Place, WELCOME};
use crate::oracle::crypto::hex;
use crate::oracle::sync::Entry;
use crate::oracle::ticket::uri;
use crate::target::client::{Client, rejected};
use crate::target::fixture::PeerFixture;

pub(super) fn checks() -> Vec<Check> {
    let names = |id: &str, reqs: &'static [&'static str], title: &str, name: &'static [u8]| {
        check(Part::Sync, &format!("client.peer.{id}"), reqs, title, move |context| async move {
            let (double, client) = enrolled(&context).await?;
            let mut entry = Entry::file(WELCOME, &double.welcome());
            entry.name = name.to_vec();
            double.offer_instead(entry, &[]);
            double.plan(|plan| plan.act = Act::Refused);
            client.sync().await?;
            demand_nothing_came(&client)?;
            demand_closed(&double, &client).await
        })
        .twin(DIRECT)
    };
    vec![
        check(
            Part::Handshake,
            "client.peer.confirmation",
            &["HSK-034"],
            "the device does not confirm the handshake",
            |context| async move {
                let (double, client) = enrolled(&context).await?;
                double.plan(|plan| plan.act = Act::WrongConfirmation);
                let answer = client.sync().await?;
                demand_closed(&double, &client).await?;
                rejected("sync", &answer)
            },
        )
        .twin(DIRECT),
        check(
            Part::Sync,
            "client.peer.wrong-bytes",
            &["SYN-030"],
            "the device gives other bytes than its index says",
            |context| async move {
                let (double, client) = enrolled(&context).await?;
                double.plan(|plan| plan.act = Act::WrongBytes);
                let answer = client.sync().await?;
                demand_nothing_came(&client)?;
                demand_met(&double).await?;
                rejected("sync", &answer)
            },
        )
        .twin(DIRECT),
        check(
            Part::Sync,
            "client.peer.cut",
            &["SYN-033", "SYN-031"],
            "the connection ends in the middle of a file",
            |context| async move {
                let (double, client) = enrolled(&context).await?;
                let large = context.random::<4_096>().repeat(100); // more than one block
                double.offer_instead(Entry::file(WELCOME, &large), &large);
                double.plan(|plan| plan.act = Act::Cut);
                let answer = client.sync().await?;
                demand_closed(&double, &client).await?;
                rejected("sync", &answer)
            },
        )
        .twin(DIRECT),
        names("traversal", &["SYN-010"], "a file that is to be beside the folder", b"../escaped"),
        names("absolute", &["SYN-010"], "a file that is to be somewhere else", b"/tmp/escaped"),
        names("reserved", &["SYN-014"], "a file that some systems take for a device", b"NUL.txt"),
        check(
            Part::Record,
            "client.relay.altered",
            &["REC-011"],
            "the relay changes a bit of what it forwards",
            altered,
        )
        .twin(RELAYED),
        check(
            Part::Sync,
            "client.peer.reader",
            &["SYN-023"],
            "the other device may only read, and says what is in the folder",
            reader,
        )
        .twin(DIRECT),
    ]
}

/// Whether the client called at all: else nothing was found out.
async fn demand_met(double: &Double) -> Verdict {
    demand!(double.seen().await.calls > 0, "the client does not call the device");
    Ok(())
}

/// The client ends the channel on what cannot be.
async fn demand_closed(double: &Double, client: &Client) -> Verdict {
    let seen = double.seen().await;
    super::demand_good_session(&seen)?;
    demand_nothing_came(client)
}

async fn altered(context: Context) -> Verdict {
    let (double, client) = enrolled(&context).await?;
    double.plan(|plan| (plan.places, plan.act) = (vec![Place::Nobody], Act::Altered));
    client.sync().await?;
    demand_closed(&double, &client).await
}

async fn reader(context: Context) -> Verdict {
    let (double, client) = enrolled(&context).await?;
    double.plan(|plan| {
        plan.ticket = Arc::new(|ticket| {
            let device = hex(&PeerFixture::DEVICE_X);
            for (name, values) in &mut ticket.attributes {
                for value in values.iter_mut().filter(|value| name == uri::MAPPING && value.contains(&device))
                {
                    *value = value.replace(" owner", " reader");
                }
            }
        });
    });
    client.sync().await?;
    demand_nothing_came(&client)?;
    demand_met(&double).await
}
