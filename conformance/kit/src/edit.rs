//! A conversation with less in it: messages of a check that are left out or cut, for who looks for the fewest that still show
//! a failure.
//!
//! A check numbers what it sends, requests and pieces of handshakes and records alike, and a [`Script`] says what becomes of
//! them. A request that is left out is answered all the same, by a script of replies that another implementation gave: the
//! check goes on as if it had been sent. Whether what is left still means anything, only an implementation without the
//! failure can say: it has to pass.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One change of one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The number of the message in its check, from 0.
    pub message: usize,
    /// What it is: a change of one that is called otherwise fits nothing.
    pub name: String,
    /// What becomes of it.
    pub change: Change,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is not sent.
    LeftOut,
    /// It has no header field of this name.
    WithoutHeader(String),
    /// Its JSON body has not what is at this pointer.
    Without(String),
    /// Its bytes have a hole from the first to before the second.
    Cut(usize, usize),
}

/// A message of a check, as it was made, before any change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// What it is, the same in each run: `PUT /mesh/folders/*`, `M1`.
    pub name: String,
    /// The names of its header fields, if it is a request.
    pub headers: Vec<String>,
    /// The body of a request, or the bytes.
    pub bytes: Vec<u8>,
    /// The reply to a request, if one came.
    pub reply: Option<Heard>,
}

/// A reply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Changes for one run of one check, and what the check sends in it.
#[derive(Debug, Default)]
pub struct Script {
    check: String,
    edits: Vec<Edit>,
    /// What another implementation was sent and answered.
    replies: Vec<Message>,
    sent: Mutex<Sent>,
}

#[derive(Debug, Default)]
struct Sent {
    messages: Vec<Message>,
    misfit: Option<String>,
}

impl Script {
    /// A run without changes, to see what is sent.
    pub fn plain(check: &str) -> Self {
        Self { check: check.to_owned(), ..Self::default() }
    }

    /// A run with these changes. `replies` are the messages of a run without.
    pub fn new(check: &str, edits: Vec<Edit>, replies: Vec<Message>) -> Self {
        Self { check: check.to_owned(), edits, replies, sent: Mutex::default() }
    }

    /// Whether it is for this check.
    pub(crate) fn is_for(&self, check: &str) -> bool {
        self.check == check
    }

    /// What was sent so far, with what changed nothing of it yet.
    pub fn messages(&self) -> Vec<Message> {
        self.sent().messages.clone()
    }

    /// Why a change did not fit: the run says nothing then.
    pub fn misfit(&self) -> Option<String> {
        let sent = self.sent();
        let unused = self.edits.iter().find(|edit| edit.message >= sent.messages.len());
        let unused = unused.map(|edit| format!("there is no message {}, {}", edit.message, edit.name));
        sent.misfit.clone().or(unused)
    }

    /// Takes a message as its check made it. Its number, and what goes out in its place.
    pub(crate) fn take(&self, message: Message) -> Taken {
        let mut sent = self.sent();
        let number = sent.messages.len();
        let name = message.name.clone();
        sent.messages.push(message.clone());
        let mut taken =
            Taken { number, bytes: message.bytes, without: Vec::new(), instead: None, sent: true };
        for edit in self.edits.iter().filter(|edit| edit.message == number) {
            let fits = edit.name == name && taken.change(&edit.change);
            if !fits {
                sent.misfit = Some(format!("message {number} is {name}, and not to be changed so"));
            }
        }
        if !taken.sent {
            let other = self.replies.get(number).filter(|other| other.name == name);
            taken.instead = other.and_then(|other| other.reply.clone());
        }
        taken
    }

    /// How many bytes are left of the first message of a run.
    pub fn bytes_of(&self, message: Message) -> usize {
        self.take(message).bytes.len()
    }

    /// Keeps the reply to a request.
    pub(crate) fn heard(&self, number: usize, reply: Heard) {
        if let Some(message) = self.sent().messages.get_mut(number) {
            message.reply = Some(reply);
        }
    }

    /// A request that is left out, and nobody ever answered it.
    pub(crate) fn unanswered(&self, number: usize) {
        self.sent().misfit = Some(format!("nothing answers message {number}"));
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What goes out.
pub(crate) struct Taken {
    pub(crate) number: usize,
    pub(crate) bytes: Vec<u8>,
    /// Header fields that it has not.
    pub(crate) without: Vec<String>,
    /// The reply to a request that is not sent.
    pub(crate) instead: Option<Heard>,
    pub(crate) sent: bool,
}

impl Taken {
    /// Whether the change fits.
    fn change(&mut self, change: &Change) -> bool {
        match change {
            Change::LeftOut => self.sent = false,
            Change::WithoutHeader(name) => self.without.push(name.clone()),
            Change::Without(pointer) => {
                let Ok(mut body) = serde_json::from_slice::<Value>(&self.bytes) else { return false };
                if !remove(&mut body, pointer) {
                    return false;
                }
                self.bytes = body.to_string().into_bytes();
            }
            Change::Cut(from, to) => {
                if from >= to || *to > self.bytes.len() {
                    return false;
                }
                self.bytes.drain(from..to);
            }
        }
        true
    }
}

/// Takes out the member or element at a pointer.
fn remove(body: &mut Value, pointer: &str) -> bool {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return false };
    let last = last.replace("~1", "/").replace("~0", "~");
    match body.pointer_mut(parent) {
        Some(Value::Object(members)) => members.remove(&last).is_some(),
        Some(Value::Array(items)) => {
            let at = last.parse().ok().filter(|at| *at < items.len());
            at.map(|at: usize| items.remove(at)).is_some()
        }
        _ => false,
    }
}

/// A text in which what differs from run to run does not stand: identifiers, names that were drawn.
pub fn steady(text: &str) -> String {
    let mut steady = String::new();
    let mut run = String::new();
    for c in text.chars().map(Some).chain([None]) {
        if let Some(digit) = c.filter(|c| c.is_ascii_digit() || ('a'..='f').contains(c)) {
            run.push(digit);
            continue;
        }
        if run.len() >= 8 {
            steady.push('*');
        } else {
            steady += &run;
        }
        run.clear();
        steady.extend(c);
    }
    steady
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, bytes: &[u8]) -> Message {
        Message { name: name.to_owned(), bytes: bytes.to_vec(), ..Message::default() }
    }

    fn edit(message: usize, name: &str, change: Change) -> Edit {
        Edit { message, name: name.to_owned(), change }
    }

    #[test]
    fn messages_are_changed_by_number_and_name() {
        let reply = Heard { status: 201, ..Heard::default() };
        let heard = Message { reply: Some(reply.clone()), ..message("PUT /b", b"") };
        let edits = vec![
            edit(0, "POST /a", Change::Without("/x/1".to_owned())),
            edit(0, "POST /a", Change::Without("/y".to_owned())),
            edit(0, "POST /a", Change::WithoutHeader("accept".to_owned())),
            edit(1, "PUT /b", Change::LeftOut),
            edit(2, "M1", Change::Cut(1, 3)),
            edit(2, "M1", Change::Cut(0, 1)),
        ];
        let script = Script::new("a", edits, vec![message("POST /a", b""), heard]);
        let first = script.take(message("POST /a", br#"{"x":[1,2,3],"y":4,"z":5}"#));
        assert_eq!(
            (&first.bytes[..], &first.without[..]),
            (&br#"{"x":[1,3],"z":5}"#[..], &["accept".to_owned()][..])
        );
        assert!(first.sent && first.number == 0);
        assert_eq!(script.misfit().as_deref(), Some("there is no message 1, PUT /b"));
        let second = script.take(message("PUT /b", b"body"));
        assert_eq!((second.sent, second.instead), (false, Some(reply)));
        assert_eq!(script.take(message("M1", b"abcdef")).bytes, b"def");
        assert_eq!(script.misfit(), None);
        assert_eq!(script.messages()[2], message("M1", b"abcdef"), "as it was made");
    }

    #[test]
    fn a_change_that_does_not_fit_is_told() {
        for (name, change) in [
            ("M2", Change::LeftOut),
            ("M1", Change::Cut(2, 2)),
            ("M1", Change::Cut(3, 7)),
            ("M1", Change::Without("/x".to_owned())),
        ] {
            let script = Script::new("a", vec![edit(0, name, change)], Vec::new());
            script.take(message("M1", b"abcdef"));
            assert!(script.misfit().is_some());
        }
    }

    #[test]
    fn what_is_drawn_does_not_stand_in_a_name() {
        assert_eq!(
            steady("PUT /mesh/folders/0123456789abcdef/x-00112233: 412, face"),
            "PUT /mesh/folders/*/x-*: 412, face"
        );
        assert_eq!(steady("deadbee f"), "deadbee f");
    }
}
