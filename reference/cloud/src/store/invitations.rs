//! Invitations to folders, from the first day to the last.

use meshproof_proto::codec::Id;
use meshproof_proto::error::Error as RuleError;
use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::ticket::Role;
use meshproof_proto::time::UnixTime;
use serde_json::json;

use super::changes::{Log, Verb, Who};
use super::members::{Actor, Member, insert_member};
use super::{Row, Span, Sql, Store, StoreError, values};
use crate::graph::paths;

/// How many invitations to a folder may wait at once (GPH-091).
const MAX_WAITING: u64 = 64;

/// An invitation that waits for an answer.
#[derive(Clone, Debug)]
pub(crate) struct Invitation {
    pub(crate) id: Id,
    pub(crate) folder: Id,
    pub(crate) folder_name: String,
    /// The name of the owner who invites.
    pub(crate) by: String,
    /// The name that was invited.
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) expires: UnixTime,
    pub(crate) etag: String,
    /// Who has the name, if anybody had it then.
    user: Option<Id>,
    /// Whether the inviter is an owner yet (GPH-090).
    stands: bool,
    /// Whether the invited user has blocked the inviter (GPH-092).
    blocked: bool,
}

/// An invitation to be made.
pub(crate) struct NewInvitation {
    pub(crate) id: Id,
    pub(crate) folder: Id,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) expires: UnixTime,
    pub(crate) etag: String,
}

const COLUMNS: &str =
    "SELECT v.id, v.folder_id, f.name, u.name, v.name, v.role, v.expires, v.etag, v.user_id,
    coalesce(m.role, ''), coalesce(c.blocked, 0) FROM invitations v
    JOIN folders f ON f.id = v.folder_id
    JOIN users u ON u.id = v.inviter
    LEFT JOIN members m ON m.folder_id = v.folder_id AND m.user_id = v.inviter
    LEFT JOIN contacts c ON c.user_id = v.user_id AND c.name = u.name";

impl Store {
    /// Adds an invitation (GPH-023, GPH-088, GPH-091). Whether anybody has the name makes no difference to who asks
    /// (GPH-087).
    pub(crate) async fn invite(&self, new: NewInvitation, by: Actor) -> Result<Invitation, StoreError> {
        self.change(by.who, move |sql, log| {
            by.check(sql, new.folder)?;
            sql.execute("DELETE FROM invitations WHERE expires <= $1", values![by.who.at])?;
            let user = sql
                .first("SELECT id FROM users WHERE name = $1", values![&new.name], |row| row.id(0))?
                .map_or(Ok(None), |user| found(sql, new.folder, user))?;
            if user.is_none() && deviates(req::GPH_087) {
                return Err(RuleError::from(req::GPH_004).into()); // the mutant tells
            }
            let count = "SELECT count(*) FROM invitations WHERE folder_id = $1";
            let waiting = sql.first(count, values![new.folder], |row| row.number(0))?.unwrap_or(0);
            demand(waiting < MAX_WAITING, req::GPH_091)?;
            let insert =
                "INSERT INTO invitations (id, folder_id, inviter, name, user_id, role, expires, etag)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (folder_id, name) DO NOTHING";
            let NewInvitation { id, folder, name, role, expires, etag } = &new;
            let values = values![*id, *folder, by.who.user, name, user, role.name(), *expires, etag];
            demand(sql.execute(insert, values)? == 1, req::GPH_088)?;
            let select = format!("{COLUMNS} WHERE v.folder_id = $1 AND v.name = $2");
            let made = sql.first(&select, values![*folder, name], invitation)?;
            let made = made.ok_or(RuleError::from(req::GPH_019))?;
            made.tell(log, Verb::InvitationReceived)?;
            Ok(made)
        })
        .await
    }

    /// The invitations to a folder that wait.
    pub(crate) async fn invitations_to(
        &self,
        folder: Id,
        now: UnixTime,
        span: Span,
    ) -> Result<Vec<Invitation>, StoreError> {
        let select =
            format!("{COLUMNS} WHERE v.folder_id = $1 AND v.expires > $2 AND v.id > $3 ORDER BY v.id");
        let most = usize::try_from(span.most).unwrap_or(usize::MAX);
        let all =
            self.read(move |sql| sql.all(&select, values![folder, now, &span.after], invitation)).await?;
        Ok(all.into_iter().filter(|invitation| invitation.stands).take(most).collect())
    }

    /// One of them.
    pub(crate) async fn invitation_to(
        &self,
        folder: Id,
        id: Id,
        now: UnixTime,
    ) -> Result<Option<Invitation>, StoreError> {
        let all = self.invitations_to(folder, now, Span::all()).await?;
        Ok(all.into_iter().find(|invitation| invitation.id == id))
    }

    /// Takes an invitation back. `false` if there is none.
    pub(crate) async fn withdraw(&self, folder: Id, id: Id, by: Actor) -> Result<bool, StoreError> {
        self.change(by.who, move |sql, log| {
            by.check(sql, folder)?;
            let found = find(sql, id, by.who.at)?.filter(|found| found.folder == folder);
            let Some(invitation) = found else { return Ok(false) };
            invitation.tell(log, Verb::InvitationGone)?;
            Ok(sql.execute("DELETE FROM invitations WHERE id = $1", values![id])? == 1)
        })
        .await
    }

    /// The invitations that wait for the user's answer.
    pub(crate) async fn invitations_for(
        &self,
        user: Id,
        now: UnixTime,
        span: Span,
    ) -> Result<Vec<Invitation>, StoreError> {
        let select = format!("{COLUMNS} WHERE v.user_id = $1 AND v.expires > $2 AND v.id > $3 ORDER BY v.id");
        let most = usize::try_from(span.most).unwrap_or(usize::MAX);
        let all = self.read(move |sql| sql.all(&select, values![user, now, &span.after], invitation)).await?;
        Ok(all.into_iter().filter(|invitation| invitation.check(user).is_ok()).take(most).collect())
    }

    /// One of them, if it is for the user (GPH-089).
    pub(crate) async fn invitation_for(
        &self,
        user: Id,
        id: Id,
        now: UnixTime,
    ) -> Result<Option<Invitation>, StoreError> {
        self.read(move |sql| find(sql, id, now)?.map(|found| found.check(user).map(|()| found)).transpose())
            .await
    }

    /// Makes the user the member that the invitation speaks of (GPH-086). `None` if there is no such invitation.
    pub(crate) async fn accept(
        &self,
        who: Who,
        id: Id,
        etag: String,
    ) -> Result<Option<(Id, Member)>, StoreError> {
        self.change(who, move |sql, log| {
            let user = who.user;
            let Some(invitation) = find(sql, id, who.at)? else { return Ok(None) };
            invitation.check(user)?;
            sql.execute("DELETE FROM invitations WHERE id = $1", values![id])?;
            let member = Member { user, name: invitation.name, role: invitation.role, etag: etag.clone() };
            demand(insert_member(sql, log, invitation.folder, &member)?, req::GPH_023)?;
            Ok(Some((invitation.folder, member)))
        })
        .await
    }

    /// Removes an invitation that the user does not want. `false` if there is none.
    pub(crate) async fn decline(&self, who: Who, id: Id) -> Result<bool, StoreError> {
        self.change(who, move |sql, log| {
            let Some(invitation) = find(sql, id, who.at)? else { return Ok(false) };
            invitation.check(who.user)?;
            invitation.tell(log, Verb::InvitationGone)?;
            Ok(sql.execute("DELETE FROM invitations WHERE id = $1", values![id])? == 1)
        })
        .await
    }
}

impl Invitation {
    /// Whether this user may answer it. Each refusal looks as if there were none.
    fn check(&self, user: Id) -> Result<(), StoreError> {
        demand(self.user == Some(user), req::GPH_089)?;
        demand(self.stands, req::GPH_090)?;
        Ok(demand(!self.blocked, req::GPH_092)?)
    }

    /// Records in the mesh of who is invited what became of the invitation; of what is kept from it nothing (GPH-092).
    fn tell(&self, log: &Log<'_>, verb: Verb) -> Result<(), StoreError> {
        let Some(user) = self.user.filter(|user| self.check(*user).is_ok()) else { return Ok(()) };
        let detail = json!({ "name": self.folder_name, "by": self.by, "role": self.role.name() });
        log.record(user, verb, &paths::invitation(self.id), &detail).map(drop)
    }
}

/// The user, who must not be a member yet (GPH-023).
fn found(sql: &Sql<'_>, folder: Id, user: Id) -> Result<Option<Id>, StoreError> {
    let select = "SELECT 1 FROM members WHERE folder_id = $1 AND user_id = $2";
    demand(!sql.exists(select, values![folder, user])?, req::GPH_023)?;
    Ok(Some(user))
}

fn find(sql: &Sql<'_>, id: Id, now: UnixTime) -> Result<Option<Invitation>, StoreError> {
    sql.first(&format!("{COLUMNS} WHERE v.id = $1 AND v.expires > $2"), values![id, now], invitation)
}

fn invitation(row: &Row<'_>) -> Result<Invitation, StoreError> {
    Ok(Invitation {
        id: row.id(0)?,
        folder: row.id(1)?,
        folder_name: row.text(2)?,
        by: row.text(3)?,
        name: row.text(4)?,
        role: row.parsed(5, Role::parse)?,
        expires: row.time(6)?,
        etag: row.text(7)?,
        user: row.maybe_text(8)?.as_deref().and_then(Id::parse),
        stands: row.text(9)? == Role::Owner.name(),
        blocked: row.number(10)? != 0,
    })
}
