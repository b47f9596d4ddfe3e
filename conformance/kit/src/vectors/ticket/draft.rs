//! A ticket test in the making: good as it begins, then changed in one thing.

use serde_json::{Value, json};

use crate::oracle::crypto::{base64url, hex};
use crate::oracle::ticket::write::Edit;
use crate::oracle::ticket::{Forge, Signing, TicketFields};
use crate::vectors::envelope::Test;
use crate::vectors::fixtures::{ISSUER_A, Key, NOW, authentication, authorization, device, pair};

/// One change of bytes.
type BytesEdit = Box<dyn Fn(&mut Vec<u8>)>;

/// What a test is made of.
pub(super) struct Draft {
    pub(super) fields: TicketFields,
    pub(super) key: &'static Key,
    pub(super) forge: Forge,
    /// Changes the finished bytes.
    pub(super) bytes: Option<BytesEdit>,
    /// Changes the base64url form.
    pub(super) header: Option<Edit>,
    pub(super) now: u64,
    pub(super) presenter: Value,
    pub(super) revoked: Vec<String>,
}

impl Draft {
    pub(super) fn new(fields: TicketFields) -> Self {
        Self {
            fields,
            key: &ISSUER_A,
            forge: Forge::default(),
            bytes: None,
            header: None,
            now: NOW,
            presenter: json!("none"),
            revoked: Vec::new(),
        }
    }

    pub(super) fn user() -> Self {
        Self::new(authentication("user authentication"))
    }

    pub(super) fn device() -> Self {
        let fields = authentication("device authentication");
        Self::new(TicketFields { subject: device(crate::vectors::fixtures::DEVICE_X), ..fields })
    }

    pub(super) fn rights() -> Self {
        Self::new(authorization("authorization"))
    }

    /// A pair ticket whose presenter has proved to hold device X's key.
    pub(super) fn pair() -> Self {
        let presenter = json!({"spki": crate::vectors::fixtures::KEY_X.spki_text()});
        Self { presenter, ..Self::new(pair("pair")) }
    }

    /// Replaces one text by another before digest and signature; it has to be there.
    pub(super) fn replace(&mut self, from: &str, to: &str) {
        self.forge.before_digest = Some(replacing(from, to));
    }

    /// The same after digest and signature: what somebody without the issuer's key can do.
    pub(super) fn replace_after(&mut self, from: &str, to: &str) {
        self.forge.after = Some(replacing(from, to));
    }

    /// Changes the slots of the signature before it is made.
    pub(super) fn signing(&mut self, change: impl Fn(&mut Signing) + 'static) {
        self.forge.signing = Some(Box::new(change));
    }

    /// The text of the ticket.
    pub(super) fn text(&self) -> String {
        self.fields.forge(&self.key.private, &self.forge)
    }

    /// The base64url form.
    pub(super) fn token(&self) -> String {
        let mut bytes = self.text().into_bytes();
        if let Some(change) = &self.bytes {
            change(&mut bytes);
        }
        let token = base64url(&bytes);
        match &self.header {
            Some(change) => change(token),
            None => token,
        }
    }

    pub(super) fn inputs(&self) -> Value {
        json!({"now": self.now, "ticket": self.token(), "presenter": self.presenter, "revoked": self.revoked})
    }

    /// The values on the way of an unchanged ticket.
    pub(super) fn intermediates(&self) -> Value {
        let unsigned = self.fields.unsigned();
        let signing = Signing::over(&unsigned, &self.fields.id);
        json!({
            "text": self.text(),
            "unsigned": unsigned,
            "digest": hex(&crate::oracle::crypto::h(&[unsigned.as_bytes()])),
            "signed_info": signing.signed_info(),
        })
    }
}

/// An edit that replaces the first occurrence of a text, which has to be there.
pub(super) fn replacing(from: &str, to: &str) -> Edit {
    let (from, to) = (from.to_owned(), to.to_owned());
    Box::new(move |text: String| {
        assert!(text.contains(&from), "the ticket has no {from}");
        text.replacen(&from, &to, 1)
    })
}

/// A growing list of tests around one valid ticket.
pub(super) struct Cases {
    pub(super) tests: Vec<Test>,
    twin: &'static str,
    base: fn() -> Draft,
    /// What the names end in, but for that of the base.
    pub(super) tag: &'static str,
}

impl Cases {
    pub(super) fn new() -> Self {
        Self { tests: Vec::new(), twin: "", base: Draft::user, tag: "" }
    }

    /// Adds a valid test whose ticket the following tests start from.
    pub(super) fn base(&mut self, id: &'static str, comment: &str, reqs: &[&str], base: fn() -> Draft) {
        (self.twin, self.base) = (id, base);
        let draft = base();
        let test = Test::valid(&name(id), comment, reqs, draft.inputs());
        self.tests.push(test.intermediates(draft.intermediates()));
    }

    /// Goes back to starting from a ticket added earlier.
    pub(super) fn from(&mut self, id: &'static str, base: fn() -> Draft) {
        (self.twin, self.base) = (id, base);
    }

    pub(super) fn valid(&mut self, id: &str, req: &str, comment: &str, change: impl FnOnce(&mut Draft)) {
        let mut draft = (self.base)();
        change(&mut draft);
        self.tests.push(Test::valid(&self.tagged(id), comment, &[req], draft.inputs()));
    }

    /// A ticket that differs in one thing from the one that this list starts from.
    pub(super) fn invalid(
        &mut self,
        id: &str,
        rule: (&str, &str),
        comment: &str,
        change: impl FnOnce(&mut Draft),
    ) {
        self.beside(self.twin, id, rule, comment, change);
    }

    /// A ticket that differs in one thing from another valid one.
    pub(super) fn beside(
        &mut self,
        twin: &str,
        id: &str,
        (req, reason): (&str, &str),
        comment: &str,
        change: impl FnOnce(&mut Draft),
    ) {
        let mut draft = (self.base)();
        change(&mut draft);
        let twin = if twin == self.twin { name(twin) } else { self.tagged(twin) };
        self.tests.push(Test::invalid(&self.tagged(id), &twin, comment, &[req], reason, draft.inputs()));
    }
}

impl Cases {
    fn tagged(&self, id: &str) -> String {
        format!("{}{}", name(id), self.tag)
    }
}

fn name(id: &str) -> String {
    format!("ticket.verify.{id}")
}
