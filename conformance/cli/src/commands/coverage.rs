//! `meshproof coverage`

/// Prints what `spec/coverage.txt` holds.
pub(crate) fn execute() -> anyhow::Result<u8> {
    print!("{}", meshproof_kit::checks::coverage().render(meshproof_kit::catalog::Catalog::embedded()));
    Ok(0)
}
