//! A measurement as a picture: a bar for each ratio. It reads on light and dark ground alike.

use std::fmt::Write as _;

use super::table::{rate, size};
use super::{BenchReport, Found};

const LINE: usize = 22;
const TOP: usize = 76;
const LEFT: usize = 210;
/// The width of the longest bar.
const SPAN: f64 = 450.0;
/// The ratio of the longest bar, if none is larger: pictures of several runs look alike.
const USUAL: f64 = 1.5;
const WIDTH: usize = 900;

const STYLE: &str = "
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .small { font-size: 12px; fill: #59636e }
  .bar { fill: #2f6fde }
  .one, .range { stroke: #59636e }
  .one { stroke-dasharray: 3 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .small { fill: #9198a1 }
    .bar { fill: #6ea8ff }
    .one, .range { stroke: #9198a1 }
  }";

/// The picture, a document of its own.
pub fn svg(report: &BenchReport) -> String {
    let height = TOP + report.rows.len() * LINE + 12;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"{title}\">\n<style>{STYLE}\n</style>\n\
         <text class=\"title\" x=\"12\" y=\"24\">{title}</text>\n\
         <text class=\"small\" x=\"12\" y=\"44\">{machine}</text>\n",
        title = escape(&format!("{}, beside {}", report.target, report.beside)),
        machine = escape(&report.machine.line()),
    );
    let highest = report.rows.iter().map(|row| match &row.found {
        Found::Figures(figures) => figures.highest,
        Found::Unsupported | Found::Failed(_) => 0.0,
    });
    let scale = SPAN / highest.fold(USUAL, f64::max);
    let at = |ratio| at(ratio, scale);
    let one = at(1.0);
    let bottom = height - 8;
    let _ = writeln!(out, "<text class=\"small\" x=\"{:.0}\" y=\"66\">1.0</text>", one - 8.0);
    let _ =
        writeln!(out, "<line class=\"one\" x1=\"{one:.0}\" x2=\"{one:.0}\" y1=\"{TOP}\" y2=\"{bottom}\"/>");
    for (number, row) in report.rows.iter().enumerate() {
        let top = TOP + number * LINE;
        let text = top + 14;
        let name = escape(&format!("{}, {}", row.work.work, size(row.work)));
        let _ = writeln!(out, "<text x=\"12\" y=\"{text}\">{name}</text>");
        let (end, note) = match &row.found {
            Found::Figures(figures) => {
                let end = at(figures.ratio);
                let width = end - at(0.0);
                let bar = top + 4;
                let _ = writeln!(
                    out,
                    "<rect class=\"bar\" x=\"{LEFT}\" y=\"{bar}\" width=\"{width:.1}\" height=\"12\" rx=\"2\"/>"
                );
                let (from, to) = (at(figures.lowest), at(figures.highest));
                let middle = top + 10;
                let _ = writeln!(
                    out,
                    "<line class=\"range\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>"
                );
                let rate = rate(figures.rate, row.work.unit);
                (end.max(to).max(one), format!("{:.2}, {rate}", figures.ratio))
            }
            Found::Unsupported => (at(0.0), "unsupported".to_owned()),
            Found::Failed(why) => (at(0.0), format!("failed: {why}")),
        };
        let (x, note) = (end + 8.0, escape(&note));
        let _ = writeln!(out, "<text class=\"small\" x=\"{x:.1}\" y=\"{text}\">{note}</text>");
    }
    out.push_str("</svg>\n");
    out
}

#[expect(clippy::cast_precision_loss, reason = "a small constant")]
fn at(ratio: f64, scale: f64) -> f64 {
    LEFT as f64 + ratio * scale
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
