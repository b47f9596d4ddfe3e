//! With whom folders are shared.

use meshproof_proto::codec::Id;
use meshproof_proto::ticket::Role;

use super::{Agent, parse_id};
use crate::cloud::{InvitationInfo, MemberInfo};
use crate::error::{Error, Result};

/// What came of sharing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// The user was asked, and is no member before it accepts.
    Invited,
    /// The user is a member, and has another role now.
    Changed,
}

impl Agent {
    /// Asks somebody to take part in a folder, or gives a member another role. `folder` is a name or an identifier.
    pub async fn share(&self, folder: &str, user: &str, role: Role) -> Result<Shared> {
        let (id, cloud) = (self.folder_id(folder)?, self.cloud()?);
        let members = cloud.members(id).await?;
        let shared = match members.iter().find(|member| member.name == user) {
            Some(member) => cloud.change_role(id, member, role).await.map(|()| Shared::Changed),
            None => cloud.invite(id, user, role).await.map(|()| Shared::Invited),
        }?;
        self.save_session().await?;
        Ok(shared)
    }

    /// Ends somebody's membership in a folder.
    pub async fn unshare(&self, folder: &str, user: &str) -> Result<()> {
        let (id, cloud) = (self.folder_id(folder)?, self.cloud()?);
        let members = cloud.members(id).await?;
        let member = members.iter().find(|member| member.name == user);
        let member = member.ok_or_else(|| Error::usage(format!("{user} is no member of {folder}")))?;
        cloud.remove_member(id, member).await?;
        self.save_session().await
    }

    /// Leaves a folder: this user's devices sync it no more. Its files stay where they are.
    pub async fn leave(&mut self, folder: &str) -> Result<()> {
        let user = self.config.user.clone().ok_or_else(|| Error::usage("you are not signed in"))?;
        let id = self.folder_id(folder)?;
        let url = self.config.cloud.as_deref().unwrap_or_default();
        self.unshare(folder, &user).await.map_err(|error| or_delete(error, url, id))?;
        self.forget_folder(id)
    }

    /// The members of a folder.
    pub async fn members(&self, folder: &str) -> Result<Vec<MemberInfo>> {
        let members = self.cloud()?.members(self.folder_id(folder)?).await?;
        self.save_session().await?;
        Ok(members)
    }

    /// The invitations that wait for this user's answer.
    pub async fn invitations(&self) -> Result<Vec<InvitationInfo>> {
        let invitations = self.cloud()?.invitations().await?;
        self.save_session().await?;
        Ok(invitations)
    }

    /// Accepts an invitation. Returns the folder, to be added to this device.
    pub async fn accept(&self, invitation: &str) -> Result<Id> {
        let folder = self.cloud()?.accept(parse_id("invitation", invitation)?).await?;
        self.save_session().await?;
        Ok(folder)
    }

    /// Declines an invitation.
    pub async fn decline(&self, invitation: &str) -> Result<()> {
        self.cloud()?.decline(parse_id("invitation", invitation)?).await?;
        self.save_session().await
    }
}

/// Who made a folder cannot leave it (GPH-131), and has to hear what can be done instead, and where.
fn or_delete(error: Error, cloud: &str, folder: Id) -> Error {
    match error {
        Error::Problem(problem) if problem.error == "creator-stays" => Error::usage(format!(
            "you made this folder and stay its owner; to be rid of it, delete it for all, at {cloud}/desktop/folders/{folder}/settings"
        )),
        error => error,
    }
}
