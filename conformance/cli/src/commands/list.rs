//! `meshproof list`

use anyhow::ensure;
use meshproof_kit::checks;
use meshproof_kit::run::Filter;

use crate::args::List;

/// Lists the selected checks.
pub(crate) fn execute(options: &List) -> anyhow::Result<u8> {
    super::check_words(&options.filter, &checks::all())?;
    let filter = Filter::new(options.filter.iter().cloned());
    let selected: Vec<_> = checks::all().into_iter().filter(|check| filter.matches(check)).collect();
    ensure!(!selected.is_empty(), "no check matches {:?}", options.filter);
    for check in &selected {
        if options.json {
            let line = serde_json::json!({
                "id": check.id, "part": check.part, "role": check.role, "reqs": check.reqs, "title": check.title,
            });
            say!("{line}");
        } else {
            say!("{:8} {:48} {:20} {}", check.role, check.id, check.reqs.join(" "), check.title);
        }
    }
    Ok(0)
}
