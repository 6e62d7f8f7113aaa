//! The event feed: pages of the log, and a place to wait for more.

use collective_core::event::Event;
use collective_core::limits::MAX_PAGE;
use collective_core::ports::{Subscription, Topic};
use collective_core::role::{Permission, Principal};
use collective_core::{Code, Rejection};

use crate::Hub;
use crate::access::require;

/// Events with numbers above `after`, oldest first, at most `limit` of them.
pub async fn page(
    hub: &Hub,
    who: &Principal,
    after: u64,
    limit: usize,
) -> Result<Vec<Event>, Rejection> {
    require(hub, who, Permission::Read).await?;
    if limit == 0 || limit > MAX_PAGE {
        return Err(Rejection::new(
            Code::InvalidField,
            format!("must be 1 to {MAX_PAGE}, not {limit}"),
        )
        .at("limit"));
    }
    Ok(hub.read().await?.events(&who.team, after, limit).await?)
}

/// The number of the newest event.
pub async fn last(hub: &Hub, who: &Principal) -> Result<u64, Rejection> {
    require(hub, who, Permission::Read).await?;
    Ok(hub.read().await?.last_seq(&who.team).await?)
}

/// Wake-ups for whoever follows the team's log: subscribe, read pages until
/// one is empty, wait with a bound, read again.
pub async fn follow(hub: &Hub, who: &Principal) -> Result<Box<dyn Subscription>, Rejection> {
    require(hub, who, Permission::Read).await?;
    hub.bus()
        .subscribe(&[Topic::Feed(who.team.clone())])
        .await
        .map_err(|error| {
            Rejection::new(Code::Unavailable, error.to_string()).hint("try again in a moment")
        })
}
