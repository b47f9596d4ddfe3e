//! Visits to peers: several at a time, so that one that takes long, or means to, keeps nobody waiting; nor does a user with many devices,
//! for users take turns.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use meshproof_proto::codec::Id;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::rounds::{Outcome, PeerRound};
use crate::sync::{Folder, Progress};

/// How many visits are begun beside each other.
const AT_ONCE: usize = 8;
/// How long a visit is one of these. It goes on, and the next begins.
const TURN: Duration = Duration::from_mins(5);
/// How many there are in all.
const IN_ALL: usize = 64;

/// A visit that somebody wants.
pub(super) struct Wanted {
    pub(super) peer: Id,
    pub(super) owner: Owner,
    pub(super) folders: Vec<Arc<Folder>>,
    pub(super) progress: Arc<dyn Progress>,
    /// Who waits for its end. Who does not any more may hear of it late.
    pub(super) done: oneshot::Sender<PeerRound>,
}

/// Whose device a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// The user; the device itself if nobody said.
    pub(super) user: Id,
    /// Whether this device is that user's too.
    pub(super) is_own: bool,
}

type Visit<'a> = Pin<Box<dyn Future<Output = PeerRound> + Send + 'a>>;

struct UnderWay<'a> {
    since: Instant,
    owner: Owner,
    visit: Visit<'a>,
    done: oneshot::Sender<PeerRound>,
}

/// Makes the visits that are `wanted`, for ever. What nobody waited for to the end is told to `late`.
pub(super) async fn visit<'a>(
    mut wanted: mpsc::UnboundedReceiver<Wanted>,
    late: mpsc::UnboundedSender<PeerRound>,
    begin: impl Fn(Id, Vec<Arc<Folder>>, Arc<dyn Progress>) -> Visit<'a>,
) -> Infallible {
    let mut waiting: VecDeque<Wanted> = VecDeque::new();
    let mut under_way: BTreeMap<Id, UnderWay<'a>> = BTreeMap::new();
    loop {
        while let Some(next) = next(&waiting, &under_way).and_then(|at| waiting.remove(at)) {
            let Wanted { peer, owner, folders, progress, done } = next;
            let visit = begin(peer, folders, progress);
            under_way.insert(peer, UnderWay { since: Instant::now(), owner, visit, done });
        }
        let turn_ends =
            under_way.values().map(|visit| visit.since + TURN).filter(|end| *end > Instant::now());
        let turn_ends = turn_ends.min().filter(|_| !waiting.is_empty());
        tokio::select! {
            Some(next) = wanted.recv() => {
                if under_way.contains_key(&next.peer) || waiting.iter().any(|other| other.peer == next.peer) {
                    let _ = next.done.send(PeerRound::unnamed(next.peer, Outcome::Underway));
                } else {
                    waiting.push_back(next);
                }
            }
            result = first(&mut under_way) => {
                let done = under_way.remove(&result.device).map(|visit| visit.done);
                if let Some(Err(result)) = done.map(|done| done.send(result)) {
                    let _ = late.send(result);
                }
            }
            () = async { sleep_until(turn_ends.unwrap_or_else(Instant::now)).await }, if turn_ends.is_some() => {}
        }
    }
}

/// Which of those that wait is begun, if there is room: one of the own devices, then one of the user who has the fewest under way. Others
/// leave a quarter of all places for own devices, and one of them has no more than a quarter.
fn next(waiting: &VecDeque<Wanted>, under_way: &BTreeMap<Id, UnderWay<'_>>) -> Option<usize> {
    if !is_room(under_way) {
        return None;
    }
    let of = |owner: Owner| under_way.values().filter(|visit| visit.owner == owner).count();
    let others = under_way.values().filter(|visit| !visit.owner.is_own).count();
    let may = |owner: Owner| owner.is_own || others < IN_ALL - IN_ALL / 4 && of(owner) < IN_ALL / 4;
    let candidates = waiting.iter().enumerate().filter(|(_, wanted)| may(wanted.owner));
    candidates.min_by_key(|(at, wanted)| (!wanted.owner.is_own, of(wanted.owner), *at)).map(|(at, _)| at)
}

fn is_room(under_way: &BTreeMap<Id, UnderWay<'_>>) -> bool {
    let young = under_way.values().filter(|visit| visit.since.elapsed() < TURN).count();
    young < AT_ONCE && under_way.len() < IN_ALL
}

/// The visit that ends first.
async fn first(under_way: &mut BTreeMap<Id, UnderWay<'_>>) -> PeerRound {
    poll_fn(|cx| {
        for visit in under_way.values_mut() {
            if let Poll::Ready(result) = visit.visit.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::sync::NoProgress;

    fn id(number: u8) -> Id {
        Id([number; 16])
    }

    fn wanted(number: u8, owner: Owner) -> (Wanted, oneshot::Receiver<PeerRound>) {
        let (done, end) = oneshot::channel();
        (Wanted { peer: id(number), owner, folders: Vec::new(), progress: Arc::new(NoProgress), done }, end)
    }

    /// Each a device of another user.
    fn want(visits: &mpsc::UnboundedSender<Wanted>, number: u8) -> oneshot::Receiver<PeerRound> {
        let (wanted, end) = wanted(number, Owner { user: id(number), is_own: false });
        let _ = visits.send(wanted);
        end
    }

    fn under_way(owner: Owner, age: Duration) -> UnderWay<'static> {
        let since = Instant::now().checked_sub(age).unwrap();
        UnderWay { since, owner, visit: Box::pin(std::future::pending()), done: oneshot::channel().0 }
    }

    /// Visits to peers below 100 never end.
    fn visits(
        begun: &Arc<Mutex<Vec<Id>>>,
    ) -> (mpsc::UnboundedSender<Wanted>, mpsc::UnboundedReceiver<PeerRound>) {
        let (wanted, asked) = mpsc::unbounded_channel();
        let (late, late_ones) = mpsc::unbounded_channel();
        let begun = begun.clone();
        let begin = move |peer: Id, _, _| -> Visit<'static> {
            begun.lock().unwrap().push(peer);
            Box::pin(async move {
                if peer < id(100) {
                    std::future::pending::<()>().await;
                }
                tokio::task::yield_now().await;
                PeerRound::unnamed(peer, Outcome::Offline)
            })
        };
        tokio::spawn(async move { match visit(asked, late, begin).await {} });
        (wanted, late_ones)
    }

    #[tokio::test]
    async fn who_never_ends_keeps_nobody_waiting() {
        let begun = Arc::default();
        let (wanted, _late) = visits(&begun);
        let mut endless: Vec<_> = (1..=7).map(|number| want(&wanted, number)).collect();
        for number in 100..120 {
            assert!(matches!(want(&wanted, number).await.unwrap().outcome, Outcome::Offline));
        }
        assert!(endless.iter_mut().all(|end| end.try_recv().is_err()));
        let again = want(&wanted, 3).await.unwrap();
        assert!(matches!(again.outcome, Outcome::Underway), "one visit a peer");
        assert_eq!(begun.lock().unwrap().len(), 27);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_told_late() {
        let (wanted, mut late) = visits(&Arc::default());
        drop(want(&wanted, 200));
        assert_eq!(late.recv().await.unwrap().device, id(200));
    }

    #[tokio::test]
    async fn there_is_room_for_few_young_visits_and_more_old_ones() {
        let visits = |number: u8, age: Duration| {
            let owner = |number| Owner { user: id(number), is_own: false };
            (0..number).map(move |number| (id(number), under_way(owner(number), age)))
        };
        let young = |number| visits(number, Duration::ZERO).collect::<BTreeMap<_, _>>();
        assert!(is_room(&young(7)) && !is_room(&young(8)));
        assert!(is_room(&visits(63, TURN).collect()), "each had its turn");
        assert!(!is_room(&visits(64, TURN).collect()));
    }

    #[test]
    fn users_take_turns_whatever_devices_they_have() {
        let member = Owner { user: id(1), is_own: false };
        let other = Owner { user: id(2), is_own: false };
        let own = Owner { user: id(3), is_own: true };
        let devices =
            |numbers: std::ops::Range<u8>, owner| numbers.map(move |number| wanted(number, owner).0);
        let mut waiting: VecDeque<_> = devices(0..100, member).collect();
        let mut visits: BTreeMap<_, _> = (100..104).map(|n| (id(n), under_way(member, TURN))).collect();
        assert_eq!(next(&waiting, &visits), Some(0), "nobody else waits");
        waiting.extend(devices(120..122, other));
        assert_eq!(next(&waiting, &visits), Some(100), "a hundred devices are one user's");
        waiting.extend(devices(130..131, own));
        assert_eq!(next(&waiting, &visits), Some(102));

        // Those that never end are a quarter of all at most.
        visits.extend((104..116).map(|n| (id(n), under_way(member, TURN))));
        let waiting: VecDeque<_> = devices(0..100, member).collect();
        assert_eq!((visits.len(), next(&waiting, &visits)), (16, None));
        for user in 200..232 {
            visits.insert(id(user), under_way(Owner { user: id(user), is_own: false }, TURN));
        }
        let waiting: VecDeque<_> = devices(120..121, other).chain(devices(130..131, own)).collect();
        assert_eq!((visits.len(), next(&waiting, &visits)), (48, Some(1)), "and those of all others three");
    }
}
