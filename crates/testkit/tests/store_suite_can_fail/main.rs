//! The store suite can fail: each promise that is broken is noticed by some
//! case, and each case notices some broken promise.

mod broken;
mod fault;

use std::collections::BTreeSet;
use std::time::Duration;

use collective_testkit::store::Case;
use tokio::task::JoinHandle;

use broken::BrokenStore;
use fault::Fault;

/// Far more than a case takes, even one that settles.
const DEADLINE: Duration = Duration::from_secs(60);

/// Whether the case passes on a store with this fault.
async fn passes(case: Case, fault: Fault) -> bool {
    let run: JoinHandle<()> = tokio::spawn(async move {
        let store = BrokenStore::new(fault);
        case(&store).await;
    });
    tokio::time::timeout(DEADLINE, run)
        .await
        .expect("the case ends")
        .is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_broken_promise_is_noticed_and_each_case_notices_one() {
    // Each of the many failures would be told at length.
    std::panic::set_hook(Box::new(|_| {}));
    let cases = collective_testkit::store_conformance!(table);
    let mut can_fail = BTreeSet::new();
    let mut unnoticed = Vec::new();
    for (name, case) in cases {
        if !passes(case, Fault::None).await {
            drop(std::panic::take_hook());
            panic!("{name} fails on a store that works");
        }
    }
    for fault in Fault::all() {
        let mut seen = false;
        for (name, case) in cases {
            // Enough is known of both.
            if seen && can_fail.contains(name) {
                continue;
            }
            if !passes(case, fault).await {
                can_fail.insert(name);
                seen = true;
            }
        }
        if !seen {
            unnoticed.push(fault);
        }
    }
    drop(std::panic::take_hook());
    assert!(unnoticed.is_empty(), "no case notices {unnoticed:?}");
    let blind: Vec<&str> = cases
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !can_fail.contains(name))
        .collect();
    assert!(blind.is_empty(), "these can't fail: {blind:?}");
}
