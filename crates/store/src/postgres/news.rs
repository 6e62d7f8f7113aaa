//! That events were committed, on its way to whoever relays them: by NOTIFY to
//! the other replicas, directly where the relay is this one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// What this process knows of news.
#[derive(Default)]
pub(super) struct News {
    heard: Notify,
    relayed_here: AtomicBool,
}

impl News {
    /// Returns when there may be new events. News that come while nobody waits
    /// are kept, as one.
    pub(super) async fn heard(&self) {
        self.heard.notified().await;
    }

    /// Those who wait now, and the next one who comes.
    pub(super) fn wake(&self) {
        self.heard.notify_waiters();
        self.heard.notify_one();
    }

    /// Whether the one who must hear of it is this process.
    pub(super) fn are_relayed_here(&self) -> bool {
        self.relayed_here.load(Ordering::Acquire)
    }
}

/// As long as it lives, this process relays.
pub(super) struct RelayedHere(Arc<News>);

impl RelayedHere {
    pub(super) fn from_now_on(news: &Arc<News>) -> Self {
        news.relayed_here.store(true, Ordering::Release);
        Self(Arc::clone(news))
    }
}

impl Drop for RelayedHere {
    fn drop(&mut self) {
        self.0.relayed_here.store(false, Ordering::Release);
    }
}
