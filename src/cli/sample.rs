//! `serve --sample`: ten users to begin with, scored the way every score is.

use std::time::Duration;

use anyhow::Context;
use scorewire_core::domain::{BoardId, Operator, RequestId, Subject, UpdateId, UserId, UserName};
use scorewire_core::ports::{Acceptance, NewUpdate, NewUser, UpdateIdentity};
use scorewire_core::registration;

use crate::server::Server;

const PLAYERS: [(&str, i64); 10] = [
    ("Alice", 1_500),
    ("Bruno", 1_420),
    ("Chidi", 1_365),
    ("Daria", 1_290),
    ("Emeka", 1_180),
    ("Fatima", 1_040),
    ("Goran", 965),
    ("Hana", 830),
    ("Ines", 710),
    ("Jonas", 655),
];

/// How long the sample may take to be applied.
const DEADLINE: Duration = Duration::from_secs(10);

/// Fills an empty ledger. A ledger with users is left alone.
pub(super) async fn fill(server: &Server) -> anyhow::Result<()> {
    let wiring = &server.wiring;
    if !wiring.roster.users(None, 1).await?.is_empty() {
        return Ok(());
    }
    let mut published = wiring.topics.announcements();
    let mut pending = Vec::new();
    for (id, (name, score)) in (1..).zip(PLAYERS) {
        let id = UserId::parse(id)?;
        registration::create_user(wiring, &NewUser { id: Some(id), name: UserName::parse(name)? }).await?;
        let submitter = Subject::new("sample");
        let update = NewUpdate {
            identity: UpdateIdentity::Keyed(UpdateId::keyed(&submitter, &format!("sample-{id}"))?),
            board: BoardId::main(),
            user: id,
            operator: Operator::Increment(score),
            accepted_at: wiring.clock.now(),
            submitter,
            request: RequestId::new("sample"),
            reply_to: None,
        };
        match server.acceptor.accept(update).await? {
            Acceptance::Accepted(id) | Acceptance::Replayed(id) | Acceptance::KeyReused(id) => pending.push(id),
        }
    }
    let applied = async {
        for id in pending {
            while wiring.ledger.find_update(&id).await?.is_none() {
                // A lagging listener has been woken, which is all that is asked of it here.
                let _ = published.recv().await;
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(DEADLINE, applied).await.context("the sample was queued, but not applied in time")?
}
