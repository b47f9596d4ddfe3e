//! What a person sees while checks run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use meshproof_kit::check::Check;
use meshproof_kit::report::CheckResult;
use meshproof_kit::run::Progress;

/// Bars that are there at once stand below each other.
static ALL: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// A bar on a terminal; elsewhere a line now and then.
pub(crate) struct Bar {
    line: ProgressBar,
    failed: AtomicUsize,
    /// Checks under way, oldest first.
    running: Mutex<Vec<String>>,
}

impl Bar {
    /// A bar with a title of its own.
    pub(crate) fn new(title: &str) -> Self {
        let bar = ALL.add(ProgressBar::new(0));
        // The template is a constant; if it were wrong the default style would show.
        let template = "{prefix:14} [{bar:30}] {pos}/{len} {elapsed} {wide_msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(title.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { line: bar, failed: AtomicUsize::new(0), running: Mutex::default() }
    }

    /// So many steps are to come.
    pub(crate) fn plan(&self, steps: usize) {
        self.line.set_length(steps as u64);
    }

    /// A step is done; this one is next.
    pub(crate) fn step(&self, next: &str) {
        self.line.inc(1);
        self.line.set_message(next.to_owned());
    }

    /// Nothing more comes.
    pub(crate) fn finish(&self) {
        self.line.finish_and_clear();
    }

    fn show(&self, running: &[String]) {
        let failed = self.failed.load(Ordering::Relaxed);
        let failed = if failed == 0 { String::new() } else { format!("{failed} need attention  ") };
        self.line.set_message(format!("{failed}{}", running.first().map_or("", String::as_str)));
    }
}

impl Progress for Bar {
    fn planned(&self, checks: usize) {
        self.plan(checks);
    }

    fn started(&self, check: &Check) {
        if let Ok(mut running) = self.running.lock() {
            running.push(check.id.clone());
            self.show(&running);
        }
    }

    fn finished(&self, result: &CheckResult) {
        if result.outcome.needs_attention() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        if let Ok(mut running) = self.running.lock() {
            running.retain(|id| *id != result.id);
            self.show(&running);
        }
        self.line.inc(1);
    }
}
