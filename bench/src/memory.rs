//! How much memory a server takes that does nothing.

use std::time::Duration;

use crate::Plan;
use crate::figures::{Aim, Figure, Section};
use crate::process::{Memory, Scorewire};

const SETTLE: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;

pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<Section> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let server = Scorewire::start(plan, "memory").await?;
        tokio::time::sleep(SETTLE).await;
        rounds.push(server.running.memory()?);
        server.stop().await?;
    }
    let mut figures = figures(&rounds);
    if let Some(resident) = figures.first_mut() {
        resident.aim = Some(Aim::Below(40.0));
    }
    let method =
        format!("A fresh server with its ten sample users, {} s after it is ready, {ROUNDS} starts.", SETTLE.as_secs());
    Ok(Section { title: "Idle memory".into(), method, figures })
}

/// The three ways to count memory.
pub(crate) fn figures(rounds: &[Memory]) -> Vec<Figure> {
    vec![
        Figure::new("resident (RSS), MB", 1, rounds.iter().map(|m| m.resident)),
        Figure::new("proportional (PSS), MB", 1, rounds.iter().map(|m| m.proportional)),
        Figure::new("anonymous, MB", 1, rounds.iter().map(|m| m.anonymous)),
    ]
}
