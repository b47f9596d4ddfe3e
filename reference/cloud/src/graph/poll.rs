//! Waiting for what there is in a queue, once or for as long as somebody listens.
//!
//! ```text
//!  look --something--> tell, answer
//!    |  ^
//! nothing \--- woken, or an address has ended ---\
//!    v                                           |
//!  listen to all feeds of the queue, look again, wait --- time is up --> answer
//! ```

use std::pin::Pin;
use std::task::{Context, Poll as Polled};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use meshproof_proto::codec::Id;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{queues, subscriptions, watermark};
use crate::bus::Listener;
use crate::metrics;
use crate::problem::Problem;
use crate::state::App;
use crate::store::changes::Who;
use crate::store::queues::Subscription;

/// How long a stream says nothing, in seconds: the ends and all between them see that it lives.
const HEARTBEAT: u64 = 15;

/// Somebody who asks for what there is in a queue.
pub(super) struct Poll {
    pub(super) app: App,
    pub(super) queue: Id,
    pub(super) by: Who,
}

/// What was told, and the number of the last notification.
pub(super) struct Told {
    items: Vec<Subscription>,
    seq: u64,
}

impl Poll {
    /// What there is after the notification `after`; waits up to `wait` seconds until there is something.
    pub(super) async fn next(&self, after: u64, wait: u64) -> Result<Told, Problem> {
        let store = &self.app.store;
        let deadline = Instant::now() + Duration::from_secs(wait);
        let mut listener: Option<Listener> = None;
        loop {
            let now = self.app.now();
            let look = store.look(self.queue, after, self.by, now).await?;
            if listener.is_none() {
                store.keep_queue(look.queue, now, wait).await?;
            }
            if look.fresh {
                let (items, seq) = store.tell(self.queue, after, self.by, now).await?;
                return Ok(Told { items, seq });
            }
            let time_is_up = Instant::now() >= deadline || store.bus().is_closed();
            if !look.told.is_empty() || time_is_up {
                return Ok(Told { items: look.told, seq: look.queue.seq });
            }
            let mut wanted = look.feeds;
            wanted.push(self.queue);
            // What changes from here on wakes; what changed before the listener was there is seen by another look.
            let listening = listener.as_ref().filter(|listener| listener.to() == wanted);
            let Some(listening) = listening else {
                listener = Some(store.bus().listen(wanted));
                continue;
            };
            let ends = look.ends.map(|ends| Instant::now() + Duration::from_secs(ends.distance(now)));
            let _waiting = metrics::waiting_poll();
            // Either way another look follows.
            let _ = timeout_at(ends.map_or(deadline, |ends| ends.min(deadline)), listening.woken()).await;
        }
    }
}

/// The body of an answer.
pub(super) fn answer(poll: &Poll, told: &Told) -> Value {
    let items: Vec<Value> = told.items.iter().map(|one| subscriptions::told(&poll.app, one)).collect();
    json!({
        "items": items,
        "watermark": watermark::write(&poll.app, poll.queue, told.seq),
        "links": queues::links(poll.queue),
    })
}

/// Server-sent events: one for each answer that has items, with its watermark as identifier (GPH-080). Ends after `wait`
/// seconds, or with the queue.
pub(super) async fn stream(poll: Poll, after: u64, wait: u64) -> Result<Response, Problem> {
    let first = poll.next(after, 0).await?; // what is refused is refused before the stream begins
    let (events, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let end = Instant::now() + Duration::from_secs(wait.min(24 * 3_600));
        let send = async {
            let mut told = first;
            loop {
                if events.send(event(&poll, &told)).await.is_err() || poll.app.store.bus().is_closed() {
                    return;
                }
                match poll.next(told.seq, HEARTBEAT).await {
                    Ok(next) => told = next,
                    Err(_) => return, // the queue has gone; the next request is told so
                }
            }
        };
        tokio::select! {
            biased; // what is there is told, however short the time
            () = send => {}
            () = events.closed() => {}
            () = sleep_until(end) => {}
        }
    });
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::new(Events(receiver))).into_response())
}

/// An event, or a comment if there is nothing to tell.
fn event(poll: &Poll, told: &Told) -> Bytes {
    if told.items.is_empty() {
        return ":\n\n".into();
    }
    let id = watermark::write(&poll.app, poll.queue, told.seq);
    format!("id: {id}\nevent: changes\ndata: {}\n\n", answer(poll, told)).into()
}

/// Events as the body of a response.
struct Events(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Polled<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}
