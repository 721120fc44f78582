//! The progress bar: how far the replay is, the match clock and what scored last.

use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressStyle, style::TemplateError};

use super::plan::Update;

const TEMPLATE: &str = "{prefix} [{bar:20}] {pos}/{len} {wide_msg}";

/// A bar on standard error; where that is no terminal, nothing is shown between [`start`](Self::start) and
/// [`end`](Self::end).
#[derive(Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Says what is about to happen and shows an empty bar.
    pub(crate) fn start(announcement: &str, updates: usize) -> Result<Self, TemplateError> {
        tell(announcement);
        let style = ProgressStyle::with_template(TEMPLATE)?.progress_chars("=> ");
        let bar = ProgressBar::new(updates as u64).with_style(style).with_prefix("H1 00:00");
        bar.tick();
        Ok(Self { bar })
    }

    /// Shows the match clock at the update that is now due.
    pub(crate) fn due(&self, update: &Update) {
        self.bar.set_prefix(update.clock.clone());
    }

    /// Moves on by one update that the server accepted.
    pub(crate) fn posted(&self, update: &Update) {
        self.bar.set_message(format!("{:+} {} {}", update.points, update.rule, update.player.name));
        self.bar.inc(1);
    }

    /// Says, until something else scores, why nothing moves.
    pub(crate) fn waiting(&self, reason: &str) {
        self.bar.set_message(reason.to_owned());
    }

    /// Takes the bar away and leaves one line.
    pub(crate) fn end(&self, outcome: &str) {
        self.bar.finish_and_clear();
        tell(outcome);
    }
}

/// Standard error may be closed; that is no reason to stop a run.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
