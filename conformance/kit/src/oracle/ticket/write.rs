//! Writing tickets, spec/ticket.md sections 3 and 4.1. Every slot of the grammar is a plain string, so that a caller
//! can put anything there; [`Forge`] changes the text between the steps of issuing.

use super::{time, uri};
use crate::oracle::crypto::{RsaPrivateKey, RsaPublicKey, base64, h, modulus, sign};

/// The slots of the grammar, in the order in which they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketFields {
    /// `id`: `_` and 32 hexadecimal digits.
    pub id: String,
    /// The `IssueInstant`.
    pub issue_instant: String,
    /// The `Issuer`.
    pub issuer: String,
    /// The `NameID`.
    pub subject: String,
    /// The confirmation key of a holder-of-key ticket; none in a bearer ticket.
    pub confirmation: Option<ConfirmationKey>,
    /// The `NotBefore`.
    pub not_before: String,
    /// The `NotOnOrAfter`.
    pub not_on_or_after: String,
    /// The `Audience`.
    pub audience: String,
    /// `AuthnInstant` and `AuthnContextClassRef`.
    pub authn: Option<(String, String)>,
    /// The `authz` statements.
    pub authz: Vec<Decision>,
    /// Names and values of the `attributes` statement; empty means no such statement.
    pub attributes: Vec<(String, Vec<String>)>,
}

/// The key of a `holder` confirmation, as its two base64 slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmationKey {
    /// The `Modulus`.
    pub modulus: String,
    /// The `Exponent`.
    pub exponent: String,
}

/// One `authz` statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// `Permit` or `Deny`.
    pub decision: String,
    /// The path of a graph node.
    pub resource: String,
    /// `Read`, `Write`, `Delete`, `Control`.
    pub actions: Vec<String>,
}

/// The slots of the `signature` production.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// `CanonicalizationMethod`.
    pub canonicalization: String,
    /// `SignatureMethod`.
    pub method: String,
    /// The `URI` of the `Reference`.
    pub reference: String,
    /// The two transforms.
    pub transforms: [String; 2],
    /// `DigestMethod`.
    pub digest_method: String,
    /// `DigestValue`.
    pub digest: String,
    /// `SignatureValue`.
    pub signature: String,
}

impl Signing {
    /// All slots.
    pub fn slots(&self) -> impl Iterator<Item = &String> {
        let Self { canonicalization, method, reference, transforms, digest_method, digest, signature } = self;
        let slots = [canonicalization, method, reference, digest_method, digest, signature];
        slots.into_iter().chain(transforms)
    }
}

/// Changes the text of a ticket between the steps of issuing. What comes after a change is computed over the changed
/// text, so that the result breaks the one rule under test and no other.
#[derive(Default)]
pub struct Forge {
    /// After step 2 has written the text, before its digest.
    pub before_digest: Option<Edit>,
    /// The slots of the signature, before step 3 writes `signed-info`.
    pub signing: Option<SigningEdit>,
    /// The `signed-info` that is signed.
    pub signed_info: Option<Edit>,
    /// The bytes of the signature.
    pub signer: Option<Signer>,
    /// The `signature` production before it is inserted.
    pub signature: Option<Edit>,
    /// The finished ticket.
    pub after: Option<Edit>,
}

/// One change of a text.
pub type Edit = Box<dyn Fn(String) -> String>;

/// One change of the slots of a signature.
pub type SigningEdit = Box<dyn Fn(&mut Signing)>;

/// Another way to sign a text.
pub type Signer = Box<dyn Fn(&RsaPrivateKey, &str) -> Vec<u8>>;

impl TicketFields {
    /// All slots.
    pub fn slots(&self) -> impl Iterator<Item = &String> {
        let Self { id, issue_instant, issuer, subject, not_before, not_on_or_after, audience, .. } = self;
        let key = self.confirmation.iter().flat_map(|key| [&key.modulus, &key.exponent]);
        let authn = self.authn.iter().flat_map(|(instant, class)| [instant, class]);
        let authz =
            self.authz.iter().flat_map(|one| [&one.decision, &one.resource].into_iter().chain(&one.actions));
        let attributes = self.attributes.iter().flat_map(|(name, values)| [name].into_iter().chain(values));
        let slots = [id, issue_instant, issuer, subject, not_before, not_on_or_after, audience];
        slots.into_iter().chain(key).chain(authn).chain(authz).chain(attributes)
    }

    /// Step 2: the ticket without its `signature` production.
    pub fn unsigned(&self) -> String {
        let [head, tail] = self.around_signature();
        head + &tail
    }

    /// The text up to and including `Issuer`, and from `Subject` on.
    pub fn around_signature(&self) -> [String; 2] {
        let head = format!(
            "<saml2:Assertion xmlns:saml2=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"{}\" \
             IssueInstant=\"{}\" Version=\"2.0\"><saml2:Issuer>{}</saml2:Issuer>",
            self.id, self.issue_instant, self.issuer
        );
        let mut tail = vec![format!(
            "<saml2:Subject><saml2:NameID \
             Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\">{}</saml2:NameID>",
            self.subject
        )];
        tail.push(match &self.confirmation {
            None => "<saml2:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">\
                     </saml2:SubjectConfirmation>"
                .to_owned(),
            Some(key) => format!(
                "<saml2:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:holder-of-key\">\
                 <saml2:SubjectConfirmationData><ds:KeyInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">\
                 <ds:KeyValue><ds:RSAKeyValue><ds:Modulus>{}</ds:Modulus><ds:Exponent>{}</ds:Exponent>\
                 </ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo></saml2:SubjectConfirmationData>\
                 </saml2:SubjectConfirmation>",
                key.modulus, key.exponent
            ),
        });
        tail.push(format!(
            "</saml2:Subject><saml2:Conditions NotBefore=\"{}\" NotOnOrAfter=\"{}\">\
             <saml2:AudienceRestriction><saml2:Audience>{}</saml2:Audience></saml2:AudienceRestriction>\
             </saml2:Conditions>",
            self.not_before, self.not_on_or_after, self.audience
        ));
        if let Some((instant, class)) = &self.authn {
            tail.push(format!(
                "<saml2:AuthnStatement AuthnInstant=\"{instant}\"><saml2:AuthnContext>\
                 <saml2:AuthnContextClassRef>{class}</saml2:AuthnContextClassRef>\
                 </saml2:AuthnContext></saml2:AuthnStatement>"
            ));
        }
        for statement in &self.authz {
            tail.push(format!(
                "<saml2:AuthzDecisionStatement Decision=\"{}\" Resource=\"{}\">",
                statement.decision, statement.resource
            ));
            for action in &statement.actions {
                tail.push(format!(
                    "<saml2:Action Namespace=\"urn:oasis:names:tc:SAML:1.0:action:rwedc\">{action}\
                     </saml2:Action>"
                ));
            }
            tail.push("</saml2:AuthzDecisionStatement>".to_owned());
        }
        if !self.attributes.is_empty() {
            tail.push("<saml2:AttributeStatement>".to_owned());
            for (name, values) in &self.attributes {
                tail.push(format!("<saml2:Attribute Name=\"{name}\">"));
                for value in values {
                    tail.push(format!("<saml2:AttributeValue>{value}</saml2:AttributeValue>"));
                }
                tail.push("</saml2:Attribute>".to_owned());
            }
            tail.push("</saml2:AttributeStatement>".to_owned());
        }
        tail.push("</saml2:Assertion>".to_owned());
        [head, tail.concat()]
    }

    /// Section 4.1, steps 2 to 4.
    pub fn issue(&self, key: &RsaPrivateKey) -> String {
        self.forge(key, &Forge::default())
    }

    /// [`Self::issue`] with changes between the steps.
    pub fn forge(&self, key: &RsaPrivateKey, forge: &Forge) -> String {
        let unsigned = edit(forge.before_digest.as_ref(), self.unsigned());
        let mut signing = Signing::over(&unsigned, &self.id);
        if let Some(change) = &forge.signing {
            change(&mut signing);
        }
        let signed_info = edit(forge.signed_info.as_ref(), signing.signed_info());
        let signature = match &forge.signer {
            None => sign(key, signed_info.as_bytes()),
            Some(signer) => signer(key, &signed_info),
        };
        signing.signature = base64(&signature);
        let signature = edit(forge.signature.as_ref(), signing.production());
        edit(forge.after.as_ref(), insert_after_issuer(&unsigned, &signature))
    }
}

impl Signing {
    /// The slots for a ticket: everything but the signature itself.
    pub fn over(unsigned: &str, id: &str) -> Self {
        Self {
            canonicalization: uri::C14N.to_owned(),
            method: uri::RSA_SHA256.to_owned(),
            reference: format!("#{id}"),
            transforms: [uri::ENVELOPED.to_owned(), uri::C14N.to_owned()],
            digest_method: uri::SHA256.to_owned(),
            digest: base64(&h(&[unsigned.as_bytes()])),
            signature: String::new(),
        }
    }

    /// Step 3: the `ds:SignedInfo` element in its canonical form.
    pub fn signed_info(&self) -> String {
        self.element(" xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"")
    }

    /// The `signature` production.
    pub fn production(&self) -> String {
        format!(
            "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">{}\
             <ds:SignatureValue>{}</ds:SignatureValue></ds:Signature>",
            self.element(""),
            self.signature
        )
    }

    fn element(&self, namespace: &str) -> String {
        format!(
            "<ds:SignedInfo{namespace}><ds:CanonicalizationMethod Algorithm=\"{}\"></ds:CanonicalizationMethod>\
             <ds:SignatureMethod Algorithm=\"{}\"></ds:SignatureMethod><ds:Reference URI=\"{}\"><ds:Transforms>\
             <ds:Transform Algorithm=\"{}\"></ds:Transform><ds:Transform Algorithm=\"{}\"></ds:Transform>\
             </ds:Transforms><ds:DigestMethod Algorithm=\"{}\"></ds:DigestMethod>\
             <ds:DigestValue>{}</ds:DigestValue></ds:Reference></ds:SignedInfo>",
            self.canonicalization,
            self.method,
            self.reference,
            self.transforms[0],
            self.transforms[1],
            self.digest_method,
            self.digest
        )
    }
}

impl ConfirmationKey {
    /// The slots for a key: `AQAB` stands for 65537.
    pub fn of(key: &RsaPublicKey) -> Self {
        use rsa::traits::PublicKeyParts as _;
        let exponent = key.e_bytes();
        let zeros = exponent.iter().take_while(|byte| **byte == 0).count();
        Self { modulus: base64(&modulus(key)), exponent: base64(&exponent[zeros..]) }
    }
}

impl Decision {
    /// A statement of one decision on one resource.
    pub fn new(decision: &str, resource: &str, actions: &[&str]) -> Self {
        Self {
            decision: decision.to_owned(),
            resource: resource.to_owned(),
            actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        }
    }
}

/// Inserts the signature after the first end of `Issuer`.
pub fn insert_after_issuer(unsigned: &str, signature: &str) -> String {
    unsigned.replacen("</saml2:Issuer>", &format!("</saml2:Issuer>{signature}"), 1)
}

/// Seconds since 1970 as the grammar writes them.
pub fn time_text(seconds: u64) -> String {
    time::to_text(seconds)
}

fn edit(change: Option<&Edit>, text: String) -> String {
    match change {
        Some(change) => change(text),
        None => text,
    }
}
