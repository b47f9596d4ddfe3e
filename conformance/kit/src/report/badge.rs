//! `badge.svg`: the verdict for a README, in one line. What was not tested is said, as everywhere.

use super::{Conclusion, RunReport};
use crate::check::Outcome;

/// The left part and its width.
const LABEL: &str = "meshproof";
const LABEL_WIDTH: usize = 76;
/// About what a letter takes.
const LETTER: usize = 7;

/// The badge, a document of its own.
pub fn badge(report: &RunReport) -> String {
    let counts = report.counts();
    let text = format!(
        "{}, {} of {} checks passed",
        report.short_verdict(),
        counts.of(Outcome::Pass),
        counts.total() + report.left_out
    );
    let colour = match report.conclusion() {
        Conclusion::Conformant => "#1a7f4b",
        Conclusion::ButForExpected => "#b26a00",
        Conclusion::NonConformant => "#c62f37",
        Conclusion::Incomplete => "#5c6ac4",
        Conclusion::KitFault => "#8b1a4a",
    };
    // A version is what a set's file name holds, and all else are words of the kit: nothing to escape.
    let (right, x) = (text.len() * LETTER + 12, LABEL_WIDTH + 6);
    let width = LABEL_WIDTH + right;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"20\" role=\"img\" \
         aria-label=\"{LABEL}: {text}\">\n\
         <rect width=\"{width}\" height=\"20\" rx=\"3\" fill=\"#3a4250\"/>\n\
         <path d=\"M{LABEL_WIDTH} 0h{straight}a3 3 0 0 1 3 3v14a3 3 0 0 1 -3 3h-{straight}z\" fill=\"{colour}\"/>\n\
         <g fill=\"#fff\" font-family=\"Verdana, DejaVu Sans, sans-serif\" font-size=\"11\">\n\
         <text x=\"7\" y=\"14\">{LABEL}</text>\n\
         <text x=\"{x}\" y=\"14\" textLength=\"{length}\" lengthAdjust=\"spacingAndGlyphs\">{text}</text>\n\
         </g>\n</svg>\n",
        straight = right - 3,
        length = right - 12,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_badge_says_how_much_passed() {
        let mut report = sample::report();
        report.kill_matrix = None;
        assert!(
            badge(&report).contains(">not conformant to the set of 0.1, 44 of 50 checks passed<"),
            "{}",
            badge(&report)
        );
        report.results.retain(|result| result.outcome == Outcome::Pass);
        (report.left_out, report.set) = (3, None);
        assert!(badge(&report).contains(">conformant, 44 of 47 checks passed<"), "{}", badge(&report));
    }
}
