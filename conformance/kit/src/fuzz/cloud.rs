//! A cloud: requests to a folder of its own, by its owner, a stranger, nobody and a forger.

use std::time::{Duration, Instant};

use super::request::{History, Place, judge, request};
use super::{Draw, Ended, What, Wrong};
use crate::check::{Context, Stop};
use crate::checks::graph::Folder;
use crate::target::cloud::call;
use crate::target::world::{User, World, etag, renew};

/// Tickets are renewed when they are so old; they live 600 s at most.
const FRESH: Duration = Duration::from_mins(4);

/// Who fuzzes.
#[derive(Default)]
pub(super) struct Sessions {
    people: Option<(World, User, User, Instant)>,
}

impl Sessions {
    /// A few requests to a folder that is made for them and removed.
    pub(super) async fn session(&mut self, context: &Context, draw: &mut Draw<'_>) -> Result<Ended, Wrong> {
        let world = self.world(context).await?;
        let folder = Folder::new(context, &world, "cloud").await?;
        let place = Place {
            path: &folder.path,
            tickets: &folder.tickets,
            before: &world.alice.grant.tickets,
            user: &world.alice.id,
            stranger: &world.bob.grant.tickets,
        };
        let (mut history, mut ended) = (History::default(), Ended::Fine);
        for _ in 0..=draw.below(6) {
            let plan = request(draw, &place, &history);
            let mut call = call(context, plan.method, &plan.path).header("content-type", "application/json");
            for (name, field) in [("authorization", &plan.authorization), ("if-match", &plan.if_match)] {
                if let Some(field) = field {
                    call = call.header(name, field);
                }
            }
            let reply = call.body(plan.body.clone()).send().await?;
            judge(&plan, reply.status, &reply.body).map_err(|text| {
                let failed = reply.status >= 500 && reply.status != 507;
                Wrong(if failed { What::Crash } else { What::Accepted }, text)
            })?;
            history.heard(&plan, reply.status, reply.header("etag"));
            if !plan.breaks.is_empty() {
                ended = Ended::Refused;
            }
        }
        let tag = etag(context, &folder.tickets, &folder.path).await?;
        let removed = call(context, "DELETE", &folder.path).tickets(&folder.tickets).header("if-match", &tag);
        removed.send().await?.expect(204)?;
        Ok(ended)
    }

    /// The people of this run, with tickets that are good for a while.
    async fn world(&mut self, context: &Context) -> Result<World, Stop> {
        let (mut world, mut alice, mut bob, mut since) = if let Some(people) = self.people.take() {
            people
        } else {
            let world = World::get(context).await?;
            (world.clone(), world.alice, world.bob, Instant::now())
        };
        if since.elapsed() > FRESH {
            alice.grant = renew(context, &alice).await?;
            bob.grant = renew(context, &bob).await?;
            since = Instant::now();
        }
        (world.alice, world.bob) = (alice.clone(), bob.clone());
        self.people = Some((world.clone(), alice, bob, since));
        Ok(world)
    }
}

/// The service document, which everybody may read.
pub(super) async fn probe(context: &Context) -> Result<(), Wrong> {
    let Some(cloud) = &context.targets().cloud else { return Ok(()) };
    cloud.probe().await.map_err(|error| Wrong(What::Crash, format!("{error:#}")))?;
    let read = async { call(context, "GET", "/").send().await?.expect(200) };
    read.await
        .map(drop)
        .map_err(|stop| Wrong(What::Hang, format!("an honest request comes to nothing: {stop:?}")))
}
