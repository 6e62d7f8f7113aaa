//! What one figure is of another of the same run.

use crate::report::{Figure, Report, Target, Unit};
use crate::{peers, server};

/// A peer that does the same work should be left behind by at least this.
const MULTIPLE_OF_PEERS: f64 = 2.0;
/// What HTTP, checks and history may cost of what the disk and SQLite could do.
const SHARE_OF_LIMIT: f64 = 0.5;

/// Adds the ratios that the report's figures allow.
pub(crate) fn add(report: &mut Report) {
    let best = |subject: &str, what: &str| {
        report
            .figures
            .iter()
            .filter(|figure| figure.subject.starts_with(subject) && figure.what.starts_with(what))
            .map(|figure| figure.value)
            .reduce(f64::max)
    };
    let Some(ours) = best(server::NAME, server::BATCHED) else {
        return;
    };
    let limit = best(server::LIMIT, server::LIMIT_WHAT);
    let peers = peers::NAMES.map(|peer| (peer, best(peer, peers::WHOLE)));

    let mut ratios = Vec::new();
    if let Some(limit) = limit {
        let what = "share of the machine's limit";
        ratios.push(ratio(what, ours / limit, Target::AtLeast(SHARE_OF_LIMIT)));
    }
    for (peer, theirs) in peers {
        if let Some(theirs) = theirs {
            let what = format!("multiple of {peer}");
            ratios.push(ratio(
                &what,
                ours / theirs,
                Target::AtLeast(MULTIPLE_OF_PEERS),
            ));
        }
    }
    report.figures.extend(ratios);
}

fn ratio(what: &str, value: f64, target: Target) -> Figure {
    Figure::new(server::NAME, what, value, Unit::Times, 1).with_target(target)
}
