//! Members of folders, and invitations.

use meshproof_proto::codec::Id;
use meshproof_proto::ticket::Role;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::Cloud;
use super::http::unexpected;
use super::operations::{id, text};
use super::session::MESH;
use crate::error::Result;

/// A member of a folder.
#[derive(Clone, Debug, Serialize)]
pub struct MemberInfo {
    /// The user's identifier.
    pub user: String,
    /// The user's name.
    pub name: String,
    /// `owner`, `contributor` or `reader`.
    pub role: String,
    #[serde(skip)]
    etag: String,
}

/// An invitation that waits for this user's answer.
#[derive(Clone, Debug, Serialize)]
pub struct InvitationInfo {
    /// Its identifier.
    pub invitation: String,
    /// The folder's name.
    pub folder_name: String,
    /// The folder's identifier.
    pub folder: String,
    /// Who invites.
    pub by: String,
    /// `owner`, `contributor` or `reader`.
    pub role: String,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
}

impl Cloud {
    /// Asks somebody to become a member of the folder.
    pub async fn invite(&self, folder: Id, user: &str, role: Role) -> Result<()> {
        let path = self.folder_path(folder).await?;
        let body = json!({ "name": user, "role": role.name() });
        self.call(Method::POST, &format!("{path}/invitations"), Some(&body), &path).await.map(drop)
    }

    /// The invitations that wait for this user's answer.
    pub async fn invitations(&self) -> Result<Vec<InvitationInfo>> {
        let items = self.list(&self.below_root("invitations").await?, MESH).await?;
        let info = |item: &Value| InvitationInfo {
            invitation: text(item, "invitation"),
            folder_name: text(item, "folder_name"),
            folder: text(item, "folder"),
            by: text(item, "by"),
            role: text(item, "role"),
            expires: item["expires"].as_u64().unwrap_or_default(),
        };
        Ok(items.iter().map(info).collect())
    }

    /// Accepts an invitation; the folder.
    pub async fn accept(&self, invitation: Id) -> Result<Id> {
        let path = format!("{}/{invitation}", self.below_root("invitations").await?);
        let folder = id(&self.call(Method::GET, &path, None, MESH).await?.body, "folder")?;
        self.call(Method::POST, &path, None, MESH).await.map(|_| folder)
    }

    /// Declines an invitation.
    pub async fn decline(&self, invitation: Id) -> Result<()> {
        let path = format!("{}/{invitation}", self.below_root("invitations").await?);
        self.call(Method::DELETE, &path, None, MESH).await.map(drop)
    }

    /// The members of the folder.
    pub async fn members(&self, folder: Id) -> Result<Vec<MemberInfo>> {
        let path = self.folder_path(folder).await?;
        let items = self.list(&format!("{path}/members"), &path).await?;
        let info = |item: &Value| MemberInfo {
            user: text(item, "user"),
            name: text(item, "name"),
            role: text(item, "role"),
            etag: text(item, "etag"),
        };
        Ok(items.iter().map(info).collect())
    }

    /// Gives a member another role.
    pub async fn change_role(&self, folder: Id, member: &MemberInfo, role: Role) -> Result<()> {
        let body = json!({ "role": role.name() });
        self.on_member(Method::PATCH, folder, member, Some(&body)).await
    }

    /// Removes a member, who may be this user.
    pub async fn remove_member(&self, folder: Id, member: &MemberInfo) -> Result<()> {
        self.on_member(Method::DELETE, folder, member, None).await
    }

    async fn on_member(
        &self,
        method: Method,
        folder: Id,
        member: &MemberInfo,
        body: Option<&Value>,
    ) -> Result<()> {
        let folder = self.folder_path(folder).await?;
        let user = Id::parse(&member.user);
        let user = user.ok_or_else(|| unexpected("GET of members", "a user is no identifier"))?;
        let path = format!("{folder}/members/{user}");
        self.call_if(method, &path, body, Some(&member.etag), &folder).await.map(drop)
    }
}
