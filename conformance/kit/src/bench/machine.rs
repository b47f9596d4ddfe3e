//! Where a measurement was made, as far as the system tells.

use serde::Serialize;

/// A machine and what else it did.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The model of its processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// How many of them this process may use.
    pub processors: usize,
    /// `x86_64-linux`.
    pub system: String,
    /// Processes that ran or waited to, as an average of a minute, when the measurement began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_before: Option<f64>,
    /// And when it ended; it has the measurement itself in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_after: Option<f64>,
}

impl Machine {
    pub(super) fn here() -> Self {
        Self {
            processor: processor(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            load_before: load(),
            load_after: None,
        }
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        let processor = self.processor.as_deref().unwrap_or("a processor that is not named");
        let plural = if self.processors == 1 { "" } else { "s" };
        let load = match (self.load_before, self.load_after) {
            (Some(before), Some(after)) => format!("load {before:.1} before and {after:.1} after"),
            _ => "load not known".to_owned(),
        };
        format!("{processor}, {} processor{plural}, {}; {load}", self.processors, self.system)
    }
}

/// Where there is no `/proc`, nothing is known.
pub(super) fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_owned())
}
