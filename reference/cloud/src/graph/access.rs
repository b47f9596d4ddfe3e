//! Who may do what (`spec/graph.md`, section 4.2): the ticket set first, then what is known beyond it.
//!
//! A handler that names a right in its signature, as [`Granted`], runs only if that right is there.

use std::future::Future;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use meshproof_proto::codec::Id;
use meshproof_proto::error::Error as RuleError;
use meshproof_proto::requirement::{self as req, Requirement, demand, demand_some, deviates};
use meshproof_proto::ticket::{Action, Role};

use super::paths;
use crate::account::issue::actions_of;
use crate::auth::Tickets;
use crate::extract::Ids;
use crate::problem::Problem;
use crate::state::App;
use crate::store::changes::Who;
use crate::store::devices::Device;
use crate::store::folders::{Folder, Storage};
use crate::store::members::Actor;

/// A request whose path has `N` identifiers, by somebody who has the right `R` to the node of the first of them.
pub(crate) struct Granted<R: Right, const N: usize = 0> {
    pub(crate) app: App,
    pub(crate) tickets: Tickets,
    pub(crate) ids: [Id; N],
    /// What was looked up to decide it.
    pub(crate) node: R::Node,
}

impl<R: Right, const N: usize> FromRequestParts<App> for Granted<R, N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let ids = if N == 0 { [Id::default(); N] } else { Ids::from_request_parts(parts, app).await?.0 };
        let tickets = Tickets::from_request_parts(parts, app).await?;
        let first = ids.first().copied().unwrap_or_default();
        let node = R::look_up(app, &tickets, first).await?;
        Ok(Self { app: app.clone(), tickets, ids, node })
    }
}

/// A right that [`Granted`] asks for.
pub(crate) trait Right {
    /// What it is a right to.
    type Node;

    /// The node that `id` names, if the request has the right to it.
    fn look_up(
        app: &App,
        tickets: &Tickets,
        id: Id,
    ) -> impl Future<Output = Result<Self::Node, Problem>> + Send;
}

/// A right to the mesh, which has no identifier.
pub(crate) struct OnMesh<const WRITE: bool>;
pub(crate) type ReadMesh = OnMesh<false>;
pub(crate) type WriteMesh = OnMesh<true>;

impl<const WRITE: bool> Right for OnMesh<WRITE> {
    type Node = ();

    async fn look_up(_: &App, tickets: &Tickets, _: Id) -> Result<(), Problem> {
        mesh(tickets, if WRITE { Action::Write } else { Action::Read })
    }
}

/// A right to a device of one's own.
pub(crate) struct OnDevice<const WRITE: bool>;
pub(crate) type ReadDevice = OnDevice<false>;
pub(crate) type WriteDevice = OnDevice<true>;

impl<const WRITE: bool> Right for OnDevice<WRITE> {
    type Node = Device;

    async fn look_up(app: &App, tickets: &Tickets, id: Id) -> Result<Device, Problem> {
        device(app, tickets, id, if WRITE { Action::Write } else { Action::Read }).await
    }
}

/// A right to a folder, or to a node below it.
pub(crate) trait FolderRight {
    const NEED: Need;
}

impl<R: FolderRight> Right for R {
    type Node = Folder;

    async fn look_up(app: &App, tickets: &Tickets, id: Id) -> Result<Folder, Problem> {
        folder(app, tickets, id, R::NEED).await
    }
}

/// To look, or to map the folder on a device.
pub(crate) struct ReadFolder;
/// To change entries.
pub(crate) struct WriteEntries;
/// To delete entries.
pub(crate) struct DeleteEntries;
/// To change members.
pub(crate) struct ControlMembers;
/// To change the folder.
pub(crate) struct ControlFolder;

impl FolderRight for ReadFolder {
    const NEED: Need = Need::READ;
}

impl FolderRight for WriteEntries {
    const NEED: Need = Need::new(Action::Write, req::GPH_014);
}

impl FolderRight for DeleteEntries {
    const NEED: Need = Need::new(Action::Delete, req::GPH_014);
}

impl FolderRight for ControlMembers {
    const NEED: Need = Need::CONTROL_MEMBERS;
}

impl FolderRight for ControlFolder {
    const NEED: Need = Need::new(Action::Control, req::GPH_002);
}

/// What an operation on a folder asks for.
#[derive(Clone, Copy)]
pub(crate) struct Need {
    action: Action,
    /// The sentence that refuses a member whose role is too small.
    refusal: Requirement,
    /// The sentence that refuses who is granted nothing.
    stranger: Requirement,
}

impl Need {
    /// To look, or to map the folder on a device.
    pub(crate) const READ: Self = Self::new(Action::Read, req::GPH_002);
    /// To change members.
    pub(crate) const CONTROL_MEMBERS: Self = Self::new(Action::Control, req::GPH_015);
    /// To make a folder an encrypted one.
    pub(crate) const ENCRYPT: Self = Self::new(Action::Control, req::GPH_205);
    /// To get media.
    pub(crate) const READ_MEDIA: Self =
        Self { stranger: req::STO_007, ..Self::new(Action::Read, req::STO_007) };
    /// To put media.
    pub(crate) const WRITE_MEDIA: Self =
        Self { stranger: req::STO_007, ..Self::new(Action::Write, req::STO_007) };

    /// To remove media.
    pub(crate) const DELETE_MEDIA: Self =
        Self { stranger: req::STO_007, ..Self::new(Action::Delete, req::STO_007) };

    /// The same need, to be asked again where `who` writes.
    pub(crate) fn by(self, who: Who) -> Actor {
        let Self { action, refusal, stranger } = self;
        Actor { who, action, refusal, stranger }
    }

    const fn new(action: Action, refusal: Requirement) -> Self {
        Self { action, refusal, stranger: req::GPH_002 }
    }
}

/// Authorises an operation under `/mesh` that is not about a folder.
fn mesh(tickets: &Tickets, action: Action) -> Result<(), Problem> {
    Ok(tickets.authorise(paths::MESH, action)?) // GPH-002, TKT-030
}

/// Authorises an operation on a folder or a node below it.
///
/// Whoever is granted nothing learns nothing: the refusal is decided before, and without, knowing whether the folder
/// exists (GPH-003).
pub(crate) async fn folder(app: &App, tickets: &Tickets, id: Id, need: Need) -> Result<Folder, Problem> {
    let resource = paths::folder(id);
    let granted = tickets.authorise(&resource, need.action);
    let found = app.store.folder_and_role(id, tickets.user).await?;
    let (folder, role) = found.map_or((None, None), |(folder, role)| (Some(folder), role));

    let role = match granted {
        Err(denied) if denied.is(req::TKT_030) => return Err(denied.into()),
        Err(_) => {
            let anything = Action::ALL.into_iter().any(|action| tickets.authorise(&resource, action).is_ok());
            if deviates(req::GPH_003) && !anything && folder.is_none() {
                return Err(req::GPH_004.into()); // the mutant tells that there is no such folder
            }
            demand(false, if anything { need.refusal } else { need.stranger })?;
            Role::Owner // only mutants come here
        }
        // GPH-019: the tickets say yes, but the user is no member any more, or the folder has gone.
        Ok(()) => demand_some(role, req::GPH_019, || Role::Owner)?,
    };
    demand(actions_of(role).contains(&need.action), need.refusal)?; // the role may have become smaller
    // Only mutants come here without a folder.
    Ok(folder.unwrap_or_else(|| nobodys_folder(id)))
}

/// Authorises an operation on a device by its user. Devices of others and devices that do not exist are alike
/// (GPH-017).
async fn device(app: &App, tickets: &Tickets, id: Id, action: Action) -> Result<Device, Problem> {
    mesh(tickets, action)?;
    let device = app.store.device(id).await?.ok_or(req::GPH_017)?;
    demand(device.user == tickets.user, req::GPH_017)?;
    Ok(device)
}

/// Authorises what only a person does: claiming devices, and changing others than the one that asks (GPH-035). `own` is
/// the device of the path, which may do it to itself; `None` if no device may.
pub(crate) fn person(tickets: &Tickets, own: Option<Id>) -> Result<(), RuleError> {
    demand(tickets.device.is_none() || tickets.device == own, req::GPH_035)
}

/// A refusal, whatever is refused, when the node below the folder does not exist (GPH-004).
pub(crate) fn existing<T>(node: Option<T>) -> Result<T, RuleError> {
    node.ok_or(req::GPH_004.into())
}

fn nobodys_folder(id: Id) -> Folder {
    let (name, etag) = (String::new(), String::new());
    Folder { id, name, storage: Storage::Cloud, creator: Id::default(), etag, generation: 0 }
}
