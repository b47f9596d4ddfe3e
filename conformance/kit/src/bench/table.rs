//! A measurement as one table, in Markdown that is aligned, so that it reads well on a terminal too.

use std::fmt::Write as _;

use super::{BenchReport, Found, Unit, Work};

/// The table, with what it is of above it.
pub fn table(report: &BenchReport) -> String {
    let head = ["work", "size", "rate", report.beside, "median ratio", "in its rounds"].map(str::to_owned);
    let rows = report.rows.iter().map(|row| cells(row.work, &row.found));
    let lines: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);

    let mut out = format!("{}, beside {}\n{}\n", report.target, report.beside, report.machine.line());
    if report.unoptimised {
        out.push_str(
            "This build of meshproof is not optimised: its own figures mean nothing. Use --release.\n",
        );
    }
    for (number, line) in lines.iter().enumerate() {
        out.push('\n');
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            let _ =
                if column == 0 { write!(out, "| {cell:width$} ") } else { write!(out, "| {cell:>width$} ") };
        }
        out.push('|');
        if number == 0 {
            out.push('\n');
            for (column, width) in widths.into_iter().enumerate() {
                let _ = if column == 0 {
                    write!(out, "|-{:-<width$}-", "")
                } else {
                    write!(out, "|-{:-<width$}:", "")
                };
            }
            out.push('|');
        }
    }
    out.push('\n');
    if let Some(note) = private_alone(report) {
        let _ = writeln!(out, "\n{note}");
    }
    for row in &report.rows {
        if let Found::Failed(why) = &row.found {
            let _ = writeln!(out, "\n{} {}: {why}", row.work.work, size(row.work));
        }
    }
    out
}

/// What handshakes are of the two RSA decryptions in them, where the table has them beside all operations with keys.
fn private_alone(report: &BenchReport) -> Option<String> {
    let figures = |work: &str| {
        let row = report.rows.iter().find(|row| row.work.work == work)?;
        if let Found::Figures(figures) = &row.found { Some(figures) } else { None }
    };
    let two = figures("rsa-oaep-decrypt")?.beside / 2.0;
    let ratios: Option<Vec<_>> = ["handshake-0101", "handshake-0201", "handshake-0301"]
        .map(|work| figures(work).map(|figures| format!("{:.2}", figures.rate / two)))
        .into_iter()
        .collect();
    let ratios = ratios?.join(", ");
    Some(format!(
        "Handshakes are beside all their operations with private and public keys. Beside two RSA decryptions: {ratios}."
    ))
}

fn cells(work: Work, found: &Found) -> [String; 6] {
    let [rate, beside, ratio, range] = match found {
        Found::Figures(figures) => [
            rate(figures.rate, work.unit),
            rate(figures.beside, work.unit),
            format!("{:.2}", figures.ratio),
            format!("{:.2} to {:.2}", figures.lowest, figures.highest),
        ],
        Found::Unsupported => ["unsupported", "", "", ""].map(str::to_owned),
        Found::Failed(_) => ["failed", "", "", ""].map(str::to_owned),
    };
    [work.work.to_owned(), size(work), rate, beside, ratio, range]
}

pub(super) fn size(work: Work) -> String {
    match work.unit {
        Unit::Bytes => format!("{} B", work.size),
        Unit::Operations => format!("{} bit", work.size),
    }
}

/// `1,234 MB/s`, `987/s`.
pub(super) fn rate(rate: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => format!("{:.0} MB/s", rate / 1e6),
        Unit::Operations => format!("{rate:.0}/s"),
    }
}
