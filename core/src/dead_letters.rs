//! All dead letters at once, page by page: newest first, so that those which die again meanwhile are left alone.

use crate::ports::{JobCursor, JobInspector, JobKind, JobState, PortError};

/// What becomes of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Queued again.
    Retry,
    /// Forgotten for good.
    Discard,
}

/// Decides about a page of dead letters of a kind. Returns the ids of those that were dead, and where the next page begins.
///
/// # Errors
/// When the queue can not be reached; asking again goes on with what is left.
pub async fn decide_page(
    inspector: &dyn JobInspector,
    verdict: Verdict,
    kind: JobKind,
    after: Option<&JobCursor>,
    limit: usize,
) -> Result<(Vec<String>, Option<JobCursor>), PortError> {
    let page = inspector.list(kind, JobState::Dead, after, limit).await?;
    let ids: Vec<String> = page.jobs.into_iter().map(|letter| letter.id).collect();
    Ok((decide(inspector, verdict, &ids).await?, page.next))
}

/// Decides about dead letters by id. Returns the ids of those that were dead.
///
/// # Errors
/// When the queue can not be reached.
pub async fn decide(inspector: &dyn JobInspector, verdict: Verdict, ids: &[String]) -> Result<Vec<String>, PortError> {
    let decided = match verdict {
        Verdict::Retry => inspector.retry(ids).await?,
        Verdict::Discard => inspector.discard(ids).await?,
    };
    for id in &decided {
        tracing::info!(id, ?verdict, "decided about a dead letter");
    }
    Ok(decided)
}
