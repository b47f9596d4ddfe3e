//! Making tickets.

use std::cmp::Reverse;

use meshproof_proto::codec::Id;
use meshproof_proto::crypto::Spki;
use meshproof_proto::error::Error as RuleError;
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::ticket::issue::encode;
use meshproof_proto::ticket::{
    Action, Attributes, Authn, Authz, MAX_SET, Role, Subject, Ticket, device_audience,
};

use crate::graph::paths;
use crate::metrics;
use crate::problem::Problem;
use crate::state::{App, new_id};

/// AuthnContextClassRef of a device that proved its key.
pub(crate) const BY_KEY: &str = "urn:oasis:names:tc:SAML:2.0:ac:classes:SoftwarePKI";

/// What fits into one ticket of 8,192 bytes beside everything else, in bytes of `authz` statements. See the test.
const STATEMENTS_BYTES: usize = 5_600;
const STATEMENT_BYTES: usize = 190;
const ACTION_BYTES: usize = 105;
const MAX_STATEMENTS: usize = 16;

/// The tickets that a subject starts with (IDN-008, IDN-014): who it is, its user's mesh, and each of the user's
/// folders, several in a ticket. A set takes 16 tickets, so who has very many folders gets tickets for the most important
/// ones, the user's own first: nobody else can fill them up with invitations. For the others there is
/// `graph/folder_ticket.rs`.
pub(crate) async fn first_tickets(
    app: &App,
    subject: Subject,
    user: Id,
    class: &str,
) -> Result<Vec<String>, Problem> {
    let mut folders = app.store.folders_of(user, crate::store::Span::all()).await?;
    folders.sort_by_key(|(_, role)| Reverse(*role));
    let statements: Vec<Authz> = folders.iter().map(|(folder, role)| on_folder(folder.id, *role)).collect();
    let (app, class) = (app.clone(), class.to_owned());
    let sign = move || {
        let authn = Ticket { authn: Some(authn(&app, &class)), ..blank(&app, subject) };
        let mesh =
            Authz { permit: true, resource: paths::MESH.into(), actions: vec![Action::Read, Action::Write] };
        let mut tickets = vec![sign(&app, &authn)?, sign(&app, &with_authz(&app, subject, vec![mesh]))?];
        let neglected = if subject == Subject::User(user) { req::IDN_008 } else { req::IDN_014 };
        if deviates(neglected) {
            tickets.truncate(1); // who it is, and nothing that it may do
        }
        for statements in pack(statements).into_iter().take(MAX_SET - tickets.len()) {
            tickets.push(sign(&app, &with_authz(&app, subject, statements))?);
        }
        Ok::<_, RuleError>(tickets)
    };
    Ok(tokio::task::spawn_blocking(sign).await.map_err(Problem::internal)??)
}

/// A ticket for one folder (GPH-020).
pub(crate) fn folder_ticket(app: &App, subject: Subject, folder: Id, role: Role) -> Result<String, Problem> {
    Ok(sign(app, &with_authz(app, subject, vec![on_folder(folder, role)]))?)
}

/// A pair ticket: device X, who holds `key`, may meet device Y for the reasons in `facts`.
///
/// # Errors
/// [`RuleError::ApiMisuse`] if there are more facts than fit.
pub(crate) fn pair_ticket(
    app: &App,
    x: Id,
    key: Spki,
    y: Id,
    facts: Attributes,
) -> Result<String, RuleError> {
    let ticket = Ticket {
        confirmation: Some(key),
        audience: device_audience(y),
        attributes: facts,
        ..blank(app, Subject::Device(x))
    };
    sign(app, &ticket)
}

/// The actions of a role on a folder (`spec/graph.md`, section 4.2).
pub(crate) fn actions_of(role: Role) -> &'static [Action] {
    match role {
        Role::Reader => &[Action::Read],
        Role::Contributor => &[Action::Read, Action::Write, Action::Delete],
        Role::Owner => &Action::ALL,
    }
}

fn on_folder(folder: Id, role: Role) -> Authz {
    Authz { permit: true, resource: paths::folder(folder), actions: actions_of(role).to_vec() }
}

/// Distributes statements over tickets that each stay below the size limit (TKT-004) and the grammar's 16.
fn pack(statements: Vec<Authz>) -> Vec<Vec<Authz>> {
    let mut tickets: Vec<Vec<Authz>> = Vec::new();
    let mut room = 0;
    for statement in statements {
        let size = STATEMENT_BYTES + ACTION_BYTES * statement.actions.len();
        let fits = |ticket: &&mut Vec<Authz>| ticket.len() < MAX_STATEMENTS && size <= room;
        if let Some(ticket) = tickets.last_mut().filter(fits) {
            ticket.push(statement);
        } else {
            tickets.push(vec![statement]);
            room = STATEMENTS_BYTES;
        }
        room -= size;
    }
    tickets
}

fn authn(app: &App, class: &str) -> Authn {
    Authn { instant: app.now(), class: class.into() }
}

fn with_authz(app: &App, subject: Subject, authz: Vec<Authz>) -> Ticket {
    Ticket { authz, ..blank(app, subject) }
}

/// A ticket that says nothing yet, for our own services.
fn blank(app: &App, subject: Subject) -> Ticket {
    let now = app.now();
    let lifetime = if deviates(req::TKT_002) { 86_400 } else { app.config.account.ticket_lifetime };
    Ticket {
        id: new_id(),
        issue_instant: now,
        issuer: app.issuer_name.clone(),
        subject,
        confirmation: None,
        not_before: now,
        not_on_or_after: now.plus(lifetime), // TKT-002
        audience: app.audience.clone(),
        authn: None,
        authz: Vec::new(),
        attributes: Attributes::default(),
    }
}

fn sign(app: &App, ticket: &Ticket) -> Result<String, RuleError> {
    let signed = app.keys.ring().issuer.issue(ticket)?;
    metrics::ticket_issued();
    Ok(encode(&signed))
}

#[cfg(test)]
mod tests {
    use meshproof_proto::ticket::{Claim, KeyBinding, Mapping};

    use super::*;
    use crate::Config;
    use crate::graph::pair::MAX_FOLDERS;

    #[test]
    fn the_fullest_ticket_fits() {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::new(data.path());
        config.names = vec!["n".repeat(200)]; // issuer and audience nearly as long as uris may be
        config.identity.passwords = crate::PasswordCost::FOR_TESTS;
        let app = App::open(&config).unwrap();
        let subject = Subject::Device(new_id());
        for role in [Role::Reader, Role::Contributor, Role::Owner] {
            let tickets = pack((0..100).map(|_| on_folder(new_id(), role)).collect());
            assert_eq!(tickets.iter().map(Vec::len).sum::<usize>(), 100);
            for statements in tickets {
                sign(&app, &with_authz(&app, subject, statements)).unwrap();
            }
        }
    }

    #[test]
    fn the_fullest_pair_ticket_fits() {
        use base64::Engine as _;
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::new(data.path());
        config.names = vec!["n".repeat(200)];
        config.identity.passwords = crate::PasswordCost::FOR_TESTS;
        let app = App::open(&config).unwrap();
        let pem = include_str!("../../../../vectors/keys/device-3072.pem");
        let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let pkcs8 = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        let key = meshproof_proto::crypto::DEFAULT.private_key(&pkcs8).unwrap().spki().clone();

        let (x, y) = (new_id(), new_id());
        let binding = |device| KeyBinding { device, fingerprint: [0xAB; 32] };
        let claim = |device| Claim { device, user: new_id() };
        let mapping = |device| Mapping { folder: new_id(), device, role: Role::Contributor };
        let facts = |folders| Attributes {
            keys: vec![binding(x), binding(y)],
            claims: vec![claim(x), claim(y)],
            mappings: (0..folders).flat_map(|_| [mapping(x), mapping(y)]).collect(),
        };
        pair_ticket(&app, x, key.clone(), y, facts(MAX_FOLDERS)).unwrap();
        assert!(pair_ticket(&app, x, key, y, facts(MAX_FOLDERS + 4)).is_err(), "there is room for more");
    }
}
