//! `meshproof vectors`

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use meshproof_kit::vectors;

use crate::args::Vectors;

/// Counts, writes or compares the vectors, or runs those of Wycheproof.
pub(crate) fn execute(options: &Vectors) -> anyhow::Result<u8> {
    if let Some(directory) = &options.wycheproof {
        return super::wycheproof::execute(directory);
    }
    match (&options.write, &options.compare) {
        (Some(directory), _) => write(directory),
        (None, Some(directory)) => compare(directory),
        (None, None) => {
            count();
            Ok(0)
        }
    }
}

fn count() {
    let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for test in vectors::all() {
        let (valid, invalid) = kinds.entry(&test.kind).or_default();
        *(if test.expected.valid { valid } else { invalid }) += 1;
    }
    say!("{:16} {:>6} {:>8}", "type", "valid", "invalid");
    for (kind, (valid, invalid)) in kinds {
        say!("{kind:16} {valid:>6} {invalid:>8}");
    }
}

fn write(directory: &Path) -> anyhow::Result<u8> {
    for (name, bytes) in vectors::generate() {
        let path = directory.join(&name);
        let folder = path.parent().unwrap_or(directory);
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        say!("{}", path.display());
    }
    Ok(0)
}

fn compare(directory: &Path) -> anyhow::Result<u8> {
    let mut differing = 0_usize;
    for (name, bytes) in vectors::generate() {
        let path = directory.join(&name);
        let found = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if found != bytes {
            say!("differs: {}", path.display());
            differing += 1;
        }
    }
    say!("{differing} files differ");
    Ok(u8::from(differing > 0))
}
