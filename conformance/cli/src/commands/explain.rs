//! `meshproof explain`

use anyhow::bail;
use meshproof_kit::catalog::{Catalog, Part, Requirement};
use meshproof_kit::check::Check;
use meshproof_kit::checks;

use crate::args::Explain;

/// Says what is known of a requirement, or of the requirements of a check; of a part, which requirements it has.
pub(crate) fn execute(options: &Explain) -> anyhow::Result<u8> {
    let catalog = Catalog::embedded();
    let checks = checks::all();
    let id = options.id.to_uppercase();
    if let Some(requirement) = catalog.get(&id) {
        explain(requirement, &checks);
        return Ok(0);
    }
    let named = |part: &Part| part.name() == options.id.to_lowercase() || part.prefix() == id;
    if let Some(part) = Part::ALL.into_iter().find(named) {
        list(part, catalog, &checks);
        return Ok(0);
    }
    let Some(check) = checks.iter().find(|check| check.id == options.id) else {
        bail!(
            "{:?} is neither a requirement nor a check nor a part; {}",
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

/// The requirements of a part, a line each.
fn list(part: Part, catalog: &Catalog, checks: &[Check]) {
    let of_part: Vec<&Requirement> =
        catalog.requirements().iter().filter(|requirement| requirement.part == part).collect();
    let of_checks = checks.iter().filter(|check| check.part == part).count();
    say!("{part}: spec/{part}.md, {} requirements, {of_checks} checks", of_part.len());
    for requirement in of_part {
        let count = checks.iter().filter(|check| check.reqs.contains(&requirement.id)).count();
        let count = match (&requirement.excluded, count) {
            (Some(_), 0) => "excluded".to_owned(),
            (_, 1) => "1 check".to_owned(),
            (_, count) => format!("{count} checks"),
        };
        say!("{}  {count:>10}  {}", requirement.id, requirement.sentence);
    }
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
    let id = &requirement.id;
    if meshproof_proto::requirement::by_id(id).is_some() {
        say!("  mutant: yes; `meshproof self-test --mutant {id} --filter {id}` plants it");
    } else {
        say!("  mutant: none");
    }
    for check in checks.iter().filter(|check| check.reqs.contains(&requirement.id)) {
        say!("  {:8} {}", check.role, check.id);
    }
}
