//! Plants bugs and sees that each target finds its own; `prove table` also writes the table in `fuzz/README.md`, `prove seeds`
//! what corpora begin with; `prove TARGET RUNS [SEED]` hunts for bugs that nobody planted, or
//! for the one in `MESHPROOF_PLANT`.

use std::fmt::Write as _;
use std::process::ExitCode;

use meshproof_fuzz::engine::{Found, corpus_of, hunt, read_corpus};
use meshproof_fuzz::{TARGETS, Target, plant, plant_from_environment, seeds, warm_up};

/// Where a hunt begins, so that a table can be made again.
const SEED: u64 = 20_260_921;
/// What a target has to do without a bug in it, before it may say that it found one.
const SOUND: usize = 300;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => prove(false),
        ["table"] => prove(true),
        ["seeds"] => write_seeds(),
        [name, runs, seed @ ..] => {
            let runs = runs.parse().map_err(|_| "RUNS is a number".to_owned());
            let seed =
                seed.first().map_or(Ok(SEED), |seed| seed.parse().map_err(|_| "SEED is a number".to_owned()));
            runs.and_then(|runs| search(name, runs, seed?))
        }
        [_] => Err("usage: prove [table | seeds | TARGET RUNS [SEED]]".to_owned()),
    };
    match done {
        Ok(code) => code,
        Err(what) => {
            eprintln!("prove: {what}");
            ExitCode::from(2)
        }
    }
}

/// The corpus without its names.
fn corpus(target: &Target) -> Result<Vec<Vec<u8>>, String> {
    let files = read_corpus(target.name).map_err(|error| format!("corpus/{}: {error}", target.name))?;
    Ok(files.into_iter().map(|(_, bytes)| bytes).collect())
}

fn write_seeds() -> Result<ExitCode, String> {
    for target in &TARGETS {
        let folder = corpus_of(target.name);
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        for (name, bytes) in seeds(target.name) {
            std::fs::write(folder.join(name), bytes).map_err(|error| error.to_string())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn search(name: &str, runs: usize, seed: u64) -> Result<ExitCode, String> {
    let target = TARGETS.iter().find(|one| one.name == name).ok_or(format!("there is no target {name}"))?;
    plant_from_environment();
    match hunt(target, &corpus(target)?, seed, runs) {
        None => println!("{name}: {runs} runs, nothing found"),
        Some(Found { input, runs, .. }) => {
            let file = std::env::temp_dir().join(format!("meshproof-{name}-{seed}-{runs}"));
            std::fs::write(&file, &input).map_err(|error| error.to_string())?;
            println!("{name}: run {runs}: {} bytes in {}", input.len(), file.display());
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn prove(writes: bool) -> Result<ExitCode, String> {
    warm_up();
    // Thousands of runs end in a panic that is looked for.
    std::panic::set_hook(Box::new(|_| {}));
    let mut table =
        "| target | promise | bug | runs | seconds | budget |\n|---|---|---|---|---|---|\n".to_owned();
    let mut missed = Vec::new();
    for target in &TARGETS {
        let corpus = corpus(target)?;
        plant(None);
        if let Some(found) = hunt(target, &corpus, SEED, SOUND) {
            return Err(format!("{} finds something without a bug, in run {}", target.name, found.runs));
        }
        for (number, (bug, budget)) in target.bugs.iter().enumerate() {
            if !plant(Some(bug)) {
                return Err(format!("there is no bug {bug}"));
            }
            let found = hunt(target, &corpus, SEED, *budget);
            plant(None);
            if let Some(Found { input, .. }) = &found
                && std::panic::catch_unwind(|| (target.run)(input)).is_err()
            {
                return Err(format!("{}: what {bug} was found by is found without it", target.name));
            }
            let promise = if number == 0 { target.promise } else { "" };
            let (runs, seconds) = match &found {
                Some(found) => (found.runs.to_string(), format!("{:.2}", found.after.as_secs_f64())),
                None => ("not found".to_owned(), String::new()),
            };
            let row = format!("| {} | {promise} | {bug} | {runs} | {seconds} | {budget} |", target.name);
            println!("{row}");
            writeln!(table, "{row}").map_err(|error| error.to_string())?;
            if found.is_none() {
                missed.push(*bug);
            }
        }
    }
    if writes {
        write_table(&table)?;
    }
    if missed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("not found: {}", missed.join(" "));
    Ok(ExitCode::FAILURE)
}

/// Replaces the table of README.md, which is all from its first row on.
fn write_table(table: &str) -> Result<(), String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let (before, _) = text.split_once("| target |").ok_or("README.md has no table")?;
    std::fs::write(file, format!("{before}{table}")).map_err(|error| format!("{file}: {error}"))
}
