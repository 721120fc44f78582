//! Jobs as tables for people.

use std::fmt::Write as _;

use scorewire_core::ports::{JobKind, JobState};

use crate::http::{JobPageView, JobView, StatsView};

/// Characters of a reason that a row shows; `show` has all of it.
const REASON: usize = 120;

/// A list, with where to go on.
pub(super) fn page(page: &JobPageView, state: JobState) -> String {
    if page.jobs.is_empty() {
        return format!("no jobs are {}", state.name());
    }
    let when = match state {
        JobState::Dead => "DIED",
        JobState::Retrying => "NEXT TRY",
        JobState::Queued | JobState::Running => "ACCEPTED",
    };
    let mut rows = vec![["ID", "TRIES", "UPDATES", when, "LAST ERROR"].map(str::to_owned)];
    rows.extend(page.jobs.iter().map(|job| {
        let at = match state {
            JobState::Dead => &job.died_at,
            JobState::Retrying => &job.due,
            JobState::Queued | JobState::Running => &job.accepted_at,
        };
        [
            job.id.clone(),
            job.attempts.to_string(),
            updates(job),
            at.clone().unwrap_or_else(|| "now".to_owned()),
            shortened(job.last_error.as_deref().unwrap_or_default()),
        ]
    }));
    let mut text = aligned(&rows);
    if let Some(next) = &page.next {
        // Writing to a String can not fail.
        let _ = writeln!(text, "\nthere are more: --after {next}");
    }
    text
}

/// One job with what it carries.
pub(super) fn job(job: &JobView) -> String {
    let optional = |name: &str, value: &Option<String>| value.clone().map(|value| [name.to_owned(), value]);
    let rows: Vec<_> = [
        Some(["id".to_owned(), job.id.clone()]),
        Some(["state".to_owned(), job.state.clone()]),
        Some(["queue".to_owned(), job.kind.clone()]),
        Some(["job".to_owned(), job.job.clone()]),
        Some(["updates".to_owned(), updates(job)]),
        Some(["tries".to_owned(), job.attempts.to_string()]),
        optional("accepted", &job.accepted_at),
        optional("next try", &job.due),
        optional("died", &job.died_at),
        optional("last error", &job.last_error),
    ]
    .into_iter()
    .flatten()
    .collect();
    let payload = job.payload.as_ref().map(|payload| format!("{payload:#}")).unwrap_or_default();
    format!("{}\n{payload}", aligned(&rows))
}

/// How full the queue is.
pub(super) fn stats(stats: &StatsView) -> String {
    let rows = [
        ["unfinished jobs".to_owned(), stats.depth.to_string()],
        ["age of the oldest".to_owned(), format!("{:.1} s", stats.oldest_seconds)],
        ["dead letters".to_owned(), stats.dead.to_string()],
    ];
    aligned(&rows)
}

fn updates(job: &JobView) -> String {
    let none = if job.kind == JobKind::Scores.name() { "unreadable" } else { "-" };
    job.updates.map_or_else(|| none.to_owned(), |count| count.to_string())
}

/// One line, not too long; control characters would write elsewhere on the screen.
fn shortened(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if text.chars().count() <= REASON { plain.collect() } else { plain.take(REASON).chain(['…']).collect() }
}

/// Columns as wide as their widest cell, except the last.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N.saturating_sub(1)).map(width).chain([0]).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_reasons_fit_on_a_line() {
        let rows = [["ID", "WHY"], ["longer", "a reason"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "ID      WHY\nlonger  a reason\n");
        assert_eq!(shortened("two\nlines\u{1b}[2J"), "two lines [2J");
        assert_eq!(shortened(&"x".repeat(500)).chars().count(), REASON + 1);
    }
}
