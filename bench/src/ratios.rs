//! What one figure is of another of the same run.

use crate::report::{Figure, Report, Target, Unit};
use crate::{peers, server};

/// A peer as it comes should be left behind by at least this.
const MULTIPLE_OF_PEERS: f64 = 2.0;
/// A peer that fetches and reports in batches as we do, but keeps its job locks
/// in memory and no history, should not be faster.
const MULTIPLE_OF_BATCHED: f64 = 1.0;
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
    let distributed = best(server::DISTRIBUTED, server::BATCHED).is_some();
    let limit = best(server::LIMIT, server::LIMIT_WHAT);
    let postgres = best(server::POSTGRES, server::LIMIT_WHAT);
    let peers: Vec<(String, f64)> = report
        .figures
        .iter()
        .filter(|figure| figure.what == peers::WHOLE && figure.subject != server::LIMIT)
        .map(|figure| (figure.subject.clone(), figure.value))
        .collect();

    let mut ratios = Vec::new();
    if let Some(limit) = limit {
        let what = "share of the machine's limit";
        ratios.push(ratio(what, ours / limit, Target::AtLeast(SHARE_OF_LIMIT)));
    }
    if let Some(limit) = postgres {
        let what = "share of PostgreSQL alone";
        ratios.push(Figure::new(
            server::NAME,
            what,
            ours / limit,
            Unit::Times,
            1,
        ));
    }
    for (peer, theirs) in peers {
        // It writes no events, confirms nothing and keeps no history: no match
        // for three servers that do, on the same cores.
        if distributed && peer.ends_with(peers::BATCHED) {
            let what = format!("multiple of {peer}");
            ratios.push(Figure::new(
                server::NAME,
                &what,
                ours / theirs,
                Unit::Times,
                1,
            ));
            continue;
        }
        let target = if peer.ends_with(peers::BATCHED) {
            MULTIPLE_OF_BATCHED
        } else {
            MULTIPLE_OF_PEERS
        };
        let what = format!("multiple of {peer}");
        ratios.push(ratio(&what, ours / theirs, Target::AtLeast(target)));
    }
    report.figures.extend(ratios);
}

fn ratio(what: &str, value: f64, target: Target) -> Figure {
    Figure::new(server::NAME, what, value, Unit::Times, 1).with_target(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;

    fn rate(subject: &str, what: &str, value: f64) -> Figure {
        Figure::new(subject, what, value, Unit::TasksPerSecond, 1)
    }

    #[test]
    fn the_best_run_is_compared_with_each_way_of_each_peer() {
        let mut report = Report::new(Machine::default());
        report.figures = vec![
            rate(
                server::NAME,
                &format!("{}, 1 agent", server::BATCHED),
                8_000.0,
            ),
            rate(
                server::NAME,
                &format!("{}, 8 agents", server::BATCHED),
                12_000.0,
            ),
            rate(
                server::NAME,
                "not waiting for the disk, batches of 64, 8 agents",
                90_000.0,
            ),
            rate(server::LIMIT, server::LIMIT_WHAT, 20_000.0),
            rate("graphile-worker, defaults", peers::WHOLE, 1_000.0),
            rate("graphile-worker, batched", peers::WHOLE, 4_000.0),
            rate("graphile-worker, batched", "add alone", 50_000.0),
        ];
        add(&mut report);
        let ratios: Vec<_> = report.figures[7..]
            .iter()
            .map(|ratio| (ratio.what.as_str(), ratio.value))
            .collect();
        assert_eq!(
            ratios,
            [
                ("share of the machine's limit", 0.6),
                ("multiple of graphile-worker, defaults", 12.0),
                ("multiple of graphile-worker, batched", 3.0)
            ]
        );
    }

    #[test]
    fn without_figures_of_the_server_there_is_no_ratio() {
        let mut report = Report::new(Machine::default());
        report.figures = vec![rate("celery", peers::WHOLE, 300.0)];
        add(&mut report);
        assert_eq!(report.figures.len(), 1);
    }
}
