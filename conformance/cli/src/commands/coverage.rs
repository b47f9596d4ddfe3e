//! `meshproof coverage`

/// Prints what `spec/coverage.txt` holds.
pub(crate) fn execute() -> u8 {
    crate::out::text(&meshproof_kit::checks::coverage().render(meshproof_kit::catalog::Catalog::embedded()));
    0
}
