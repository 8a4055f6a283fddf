//! Decision tables as files that a person can read, and a test compares.

use core::fmt::Write as _;

use super::golden;

/// A table of all combinations of some columns' values, and what comes out for each.
pub(crate) struct Table {
    pub(crate) heads: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) const fn new(heads: &'static [&'static str]) -> Self {
        Self { heads, rows: Vec::new() }
    }

    /// Adds all combinations of `columns`. A column in which every value comes to the same is one row with a `*`; but
    /// in the last column what is allowed is always listed: a value that is added later must show.
    pub(crate) fn add(&mut self, columns: &[Vec<String>], outcome: impl Fn(&[usize]) -> String) {
        self.rows.extend(rows(columns, &mut Vec::new(), &outcome));
    }

    fn render(&self, preamble: &str) -> String {
        let heads = [self.heads.iter().map(ToString::to_string).collect()];
        let lines = || heads.iter().chain(&self.rows);
        let widths: Vec<_> =
            (0..self.heads.len()).map(|column| lines().map(|line| line.get(column).unwrap().len()).max()).collect();
        let mut text = format!("{preamble}\n");
        for line in lines() {
            let cells: Vec<_> = line
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}", width = width.unwrap()))
                .collect();
            writeln!(text, "{}", cells.join(" | ").trim_end()).unwrap();
        }
        text
    }

    /// Compares with `tests/golden/<name>`; with `UPDATE_GOLDEN=1` in the environment, writes it.
    #[track_caller]
    pub(crate) fn assert_golden(&self, name: &str, preamble: &str) {
        golden::assert_golden(name, &self.render(preamble));
    }
}

fn rows(columns: &[Vec<String>], place: &mut Vec<usize>, outcome: &impl Fn(&[usize]) -> String) -> Vec<Vec<String>> {
    let Some((labels, rest)) = columns.split_first() else { return vec![vec![outcome(place)]] };
    let mut parts = Vec::new();
    for index in 0..labels.len() {
        place.push(index);
        parts.push(rows(rest, place, outcome));
        place.pop();
    }
    let is_listed = rest.is_empty() && parts.iter().flatten().flatten().any(|outcome| outcome.starts_with("allow"));
    let led = |label: &str, rows: Vec<Vec<String>>| {
        rows.into_iter().map(|row| [vec![label.to_owned()], row].concat()).collect::<Vec<_>>()
    };
    match parts.split_first() {
        Some((first, others @ [_, ..])) if !is_listed && others.iter().all(|other| other == first) => {
            led("*", first.clone())
        }
        _ => labels.iter().zip(parts).flat_map(|(label, rows)| led(label, rows)).collect(),
    }
}

#[test]
fn columns_collapse_without_loss() {
    let columns = [vec!["a".into(), "b".into()], vec!["x".into(), "y".into()]];
    let rows_of = |outcome: fn(&[usize]) -> String| {
        let mut table = Table::new(&["1", "2", ""]);
        table.add(&columns, outcome);
        table.rows.iter().map(|row| row.join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(rows_of(|_| "deny".into()), ["* * deny"]);
    assert_eq!(rows_of(|_| "allow".into()), ["* x allow", "* y allow"]);
    assert_eq!(rows_of(|place| place[0].to_string()), ["a * 0", "b * 1"]);
    assert_eq!(rows_of(|place| place[1].to_string()), ["* x 0", "* y 1"]);
    assert_eq!(rows_of(|place| format!("{place:?}")).len(), 4);
}
