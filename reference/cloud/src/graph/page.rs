//! Collections in pages (`spec/graph.md`, section 3.5).
//!
//! Where a page begins is told by the key of the item before it, and keys never change: so what is added or removed while
//! somebody reads shifts nothing (GPH-067).

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use meshproof_proto::requirement::{self as req, demand, deviates};
use serde::Deserialize;
use serde_json::Value;

use super::collection;
use crate::extract::{Params, page};
use crate::identity::users::well_formed;
use crate::problem::Problem;
use crate::state::App;
use crate::store::Span;

/// Which page of a collection is asked for: `?after=&limit=` (GPH-066).
pub(crate) struct Page {
    /// The key of the item before; empty at the beginning.
    after: String,
    limit: usize,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    after: Option<String>,
    limit: Option<u64>,
}

impl FromRequestParts<App> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Params(Query { after, limit }) = Params::from_request_parts(parts, app).await?;
        let limit = page(limit)?;
        // Keys are identifiers and names of users, and all of these are well-formed names.
        demand(after.as_deref().is_none_or(well_formed), req::GPH_066)?;
        Ok(Self { after: after.unwrap_or_default(), limit })
    }
}

impl Page {
    /// The rows that the page needs: one more than it has items, which tells whether there are more.
    pub(crate) fn span(&self) -> Span {
        Span { after: self.after.clone(), most: self.limit as u64 + 1 }
    }

    /// The page, of the rows of its span. `item` gives the key of a row, its tag and representation.
    pub(crate) fn of<T>(
        &self,
        path: &str,
        mut rows: Vec<T>,
        key: impl Fn(&T) -> String,
        item: impl Fn(&T) -> (String, Value),
    ) -> axum::Json<Value> {
        let more = rows.len() > self.limit;
        // The mutant begins the next page one item too late.
        let last = if deviates(req::GPH_067) { rows.last() } else { rows.get(self.limit - 1) };
        let last = last.filter(|_| more).map(key);
        if !deviates(req::GPH_068) {
            rows.truncate(self.limit);
        }
        let mut body = collection(path, rows.iter().map(item));
        if let Some(last) = last {
            body["links"]["next"] = format!("{path}?after={last}&limit={}", self.limit).into();
        }
        body
    }
}
