//! `meshproof explain`

use anyhow::bail;
use meshproof_kit::catalog::{Catalog, Requirement};
use meshproof_kit::check::Check;
use meshproof_kit::checks;

use crate::args::Explain;

/// Says what is known of a requirement, or of the requirements of a check.
pub(crate) fn execute(options: &Explain) -> anyhow::Result<u8> {
    let catalog = Catalog::embedded();
    let checks = checks::all();
    let id = options.id.to_uppercase();
    if let Some(requirement) = catalog.get(&id) {
        explain(requirement, &checks);
        return Ok(0);
    }
    let Some(check) = checks.iter().find(|check| check.id == options.id) else {
        bail!(
            "{:?} is neither a requirement nor a check; {}",
            options.id,
            alike(&options.id, catalog, &checks)
        );
    };
    say!("{} ({}): {}", check.id, check.role, check.title);
    if let Some(twin) = &check.twin {
        say!("valid twin: {twin}");
    }
    for requirement in check.reqs.iter().filter_map(|id| catalog.get(id)) {
        say!();
        explain(requirement, &checks);
    }
    Ok(0)
}

/// What may have been meant.
fn alike(id: &str, catalog: &Catalog, checks: &[Check]) -> String {
    let prefix = id.split('-').next().unwrap_or_default().to_uppercase() + "-";
    let of_part: Vec<&str> = catalog
        .requirements()
        .iter()
        .map(|one| one.id.as_str())
        .filter(|known| prefix.len() > 1 && known.starts_with(&prefix))
        .collect();
    if let (Some(first), Some(last)) = (of_part.iter().min(), of_part.iter().max()) {
        return format!("there are {first} to {last}");
    }
    let near: Vec<&str> =
        checks.iter().map(|check| check.id.as_str()).filter(|known| known.contains(id)).take(5).collect();
    if near.is_empty() {
        "`meshproof list` shows the checks".to_owned()
    } else {
        format!("there are {}", near.join(", "))
    }
}

fn explain(requirement: &Requirement, checks: &[Check]) {
    say!("{}  spec/{}:{}", requirement.id, requirement.document, requirement.line);
    say!("  {}", requirement.sentence);
    say!("  error: {}", requirement.error.as_deref().unwrap_or("none"));
    if let Some(why) = &requirement.why {
        say!("  why: {why}");
    }
    if let Some(excluded) = &requirement.excluded {
        say!("  excluded: {excluded}");
    }
    let mutant = meshproof_proto::requirement::by_id(&requirement.id).is_some();
    say!("  mutant: {}", if mutant { "yes, `meshproof self-test --mutant` plants it" } else { "none" });
    for check in checks.iter().filter(|check| check.reqs.contains(&requirement.id)) {
        say!("  {:8} {}", check.role, check.id);
    }
}
