//! Figures of several rounds: a median with its range, and whether it meets its aim.

use std::borrow::Cow;
use std::fmt::Write;

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Aim {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(aim) => value >= aim,
            Self::AtMost(aim) => value <= aim,
            Self::Below(aim) => value < aim,
        }
    }
}

/// One line of a table: a figure's value in every round.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) name: Cow<'static, str>,
    pub(crate) decimals: usize,
    pub(crate) rounds: Vec<f64>,
    pub(crate) aim: Option<Aim>,
}

/// A heading, what was done, and its figures.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) title: Cow<'static, str>,
    pub(crate) method: String,
    pub(crate) figures: Vec<Figure>,
}

impl Figure {
    /// A figure without an aim.
    pub(crate) fn new(
        name: impl Into<Cow<'static, str>>,
        decimals: usize,
        rounds: impl IntoIterator<Item = f64>,
    ) -> Self {
        Self { name: name.into(), decimals, rounds: rounds.into_iter().collect(), aim: None }
    }

    pub(crate) fn aiming(self, aim: Aim) -> Self {
        Self { aim: Some(aim), ..self }
    }

    fn row(&self) -> String {
        let show = |value: f64| number(value, self.decimals);
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = quantile(&sorted, 0.5);
        let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else { return String::new() };
        let range = if sorted.len() > 1 { format!("{}–{}", show(*least), show(*most)) } else { String::new() };
        let aim = self.aim.map_or_else(String::new, |aim| {
            let (sign, value) = match aim {
                Aim::AtLeast(value) => ("≥", value),
                Aim::AtMost(value) => ("≤", value),
                Aim::Below(value) => ("<", value),
            };
            format!("{sign} {}: {}", show(value), if aim.is_met(middle) { "met" } else { "**not met**" })
        });
        format!("| {} | {} | {range} | {aim} |", self.name, show(middle))
    }
}

impl Section {
    /// The section as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text =
            format!("## {}\n\n{}\n\n| | median | min–max | aim |\n|---|---:|---:|---|\n", self.title, self.method);
        for figure in &self.figures {
            let _ = writeln!(text, "{}", figure.row());
        }
        text
    }
}

/// A quantile (0 to 1) of sorted values, by the nearest rank; the mean of the middle two for an even median.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    if share == 0.5 && sorted.len().is_multiple_of(2) {
        return f64::midpoint(sorted[sorted.len() / 2 - 1], sorted[sorted.len() / 2]);
    }
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 samples")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the length")]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// A number with thousands apart.
fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(w, f)| (w, Some(f)));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && grouped != "-" {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    fraction.map_or(grouped.clone(), |fraction| format!("{grouped}.{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([0.5, 0.9, 0.99, 1.0].map(|share| quantile(&values, share)), [50.5, 90.0, 99.0, 100.0]);
        assert_eq!(quantile(&[3.0, 4.0, 9.0], 0.5), 4.0);
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(number(1_234_567.0, 0), "1,234,567");
        assert_eq!(number(123.456, 1), "123.5");
        assert_eq!(number(-123_456.0, 0), "-123,456");
    }

    #[test]
    fn a_row_tells_whether_the_aim_is_met() {
        let figure = Figure::new("x", 1, [1.0, 3.0, 2.0]).aiming(Aim::AtMost(2.0));
        assert_eq!(figure.row(), "| x | 2.0 | 1.0–3.0 | ≤ 2.0: met |");
    }
}
