//! What a run says at its end: its id, its counts, the points table and how to repeat it.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use super::client::Waits;
use super::plan::{RunId, Update};

/// How many players the table shows.
const SHOWN: usize = 10;

/// What was counted during a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Updates that the server accepted.
    pub(crate) posted: u64,
    /// Those of them that it had accepted before under the same key.
    pub(crate) replayed: u64,
}

/// A player's line in the table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'u> {
    /// Players with the same points share a rank, and the next rank is left out.
    pub(crate) rank: usize,
    pub(crate) name: &'u str,
    pub(crate) points: i64,
}

/// Sums the updates by player, highest first, equal ones in the order of their ids.
pub(crate) fn standings(updates: &[Update]) -> Vec<Line<'_>> {
    let mut sums: HashMap<i64, (&str, i64)> = HashMap::new();
    for update in updates {
        sums.entry(update.player.id).or_insert((&update.player.name, 0)).1 += i64::from(update.points);
    }
    let mut order: Vec<(i64, &str, i64)> = sums.into_iter().map(|(id, (name, points))| (id, name, points)).collect();
    order.sort_by_key(|&(id, _, points)| (std::cmp::Reverse(points), id));
    let mut lines: Vec<Line<'_>> = Vec::with_capacity(order.len());
    for (index, (_, name, points)) in order.into_iter().enumerate() {
        let rank = match lines.last() {
            Some(above) if above.points == points => above.rank,
            _ => index + 1,
        };
        lines.push(Line { rank, name, points });
    }
    lines
}

/// All that the closing report tells.
#[derive(Debug)]
pub(crate) struct Report<'r> {
    pub(crate) run_id: &'r RunId,
    pub(crate) file: &'r Path,
    pub(crate) target: &'r str,
    pub(crate) events: usize,
    pub(crate) updates: &'r [Update],
    pub(crate) tally: Tally,
    pub(crate) waits: Waits,
}

impl Report<'_> {
    /// Writes the report as plain text.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let lines = standings(self.updates);
        writeln!(out, "Run id          {}", self.run_id)?;
        writeln!(out, "Events read     {}", self.events)?;
        writeln!(out, "Updates posted  {} for {} players", self.tally.posted, lines.len())?;
        writeln!(out, "  seen before   {} (these changed nothing)", self.tally.replayed)?;
        if self.waits != Waits::default() {
            let Waits { laters, faults } = self.waits;
            writeln!(out, "  tried again   {laters} because the server was busy, {faults} after a failure")?;
        }
        writeln!(out, "\nPoints of this match, top {} as computed here", SHOWN.min(lines.len()))?;
        for line in lines.iter().take(SHOWN) {
            writeln!(out, "{:>4}  {:>6}  {}", line.rank, line.points, line.name)?;
        }
        writeln!(out, "\nTo repeat this run without changing anything:\n  {}", self.command())
    }

    fn command(&self) -> String {
        let file = quoted(&self.file.display().to_string());
        format!("scorewire replay {file} --speed 0 --target {} --run-id {}", quoted(self.target), self.run_id)
    }
}

/// `text` as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::super::statsbomb::Player;
    use super::*;
    use std::time::Duration;

    fn update(id: i64, name: &str, points: i32) -> Update {
        let player = Player { id, name: name.to_owned() };
        let (key, clock) = (String::new(), String::new());
        Update { key, player, rule: "goal", points, due: Duration::ZERO, clock }
    }

    #[test]
    fn players_with_equal_points_share_a_rank_and_the_next_is_left_out() {
        let updates = [update(3, "Cy", 2), update(2, "Bo", 5), update(1, "Al", 5), update(3, "Cy", -4)];
        let ranks: Vec<_> = standings(&updates).into_iter().map(|line| (line.rank, line.name, line.points)).collect();
        assert_eq!(ranks, [(1, "Al", 5), (1, "Bo", 5), (3, "Cy", -2)]);
    }

    #[test]
    fn the_report_tells_how_to_repeat_the_run() {
        let run_id: RunId = "cup".parse().expect("a run id");
        let report = Report {
            run_id: &run_id,
            file: Path::new("cup final.json"),
            target: "http://localhost:3000",
            events: 9,
            updates: &[update(1, "Al", 5)],
            tally: Tally { posted: 1, replayed: 1 },
            waits: Waits { laters: 2, faults: 0 },
        };
        let mut text = Vec::new();
        report.write(&mut text).expect("memory takes it all");
        let text = String::from_utf8(text).expect("plain text");
        assert!(text.contains("Updates posted  1 for 1 players\n  seen before   1"), "{text}");
        assert!(text.contains("tried again   2 because"), "{text}");
        assert!(text.contains("   1       5  Al\n"), "{text}");
        let command = "scorewire replay 'cup final.json' --speed 0 --target http://localhost:3000 --run-id cup\n";
        assert!(text.ends_with(command), "{text}");
    }

    #[test]
    fn a_quote_in_a_file_name_is_quoted() {
        assert_eq!(quoted("o'clock"), r"'o'\''clock'");
    }
}
