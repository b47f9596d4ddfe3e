//! How the kit talks to a shim: one long-lived process, one JSON object a line on its standard input and output.
//!
//! The shim feeds the implementation and reports what it did. It observes and never judges: judging is
//! [`crate::vectors::judge`]'s work.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::text::{one_line, printable};

/// How long an answer may be, in bytes.
const LONGEST_LINE: u64 = 16 << 20;

/// What the implementation did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It took the input.
    Accept,
    /// It refused the input.
    Reject,
    /// It does not do this kind of thing.
    Unsupported,
    /// The shim itself failed.
    Error,
}

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What happened.
    pub outcome: Outcome,
    /// The error name of the specification; none from an implementation that does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The requirement that the implementation says was broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirement: Option<String>,
    /// What came out, by name.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output: Value,
    /// Anything for a person to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Answer {
    /// The input was taken, and this came out.
    pub fn accept(output: Value) -> Self {
        Self { outcome: Outcome::Accept, reason: None, requirement: None, output, detail: None }
    }

    /// The input was refused for a reason.
    pub fn reject(requirement: &str, reason: &str) -> Self {
        Self {
            outcome: Outcome::Reject,
            reason: Some(reason.to_owned()),
            requirement: Some(requirement.to_owned()),
            output: Value::Null,
            detail: None,
        }
    }

    /// The same with its words made harmless ([`crate::text`]).
    fn printable(self) -> Self {
        let harmless = |words: Option<String>| words.map(|words| printable(&words));
        Self {
            reason: harmless(self.reason),
            requirement: harmless(self.requirement),
            detail: harmless(self.detail),
            ..self
        }
    }

    /// The implementation does not do this kind of thing.
    pub fn unsupported() -> Self {
        Self {
            outcome: Outcome::Unsupported,
            reason: None,
            requirement: None,
            output: Value::Null,
            detail: None,
        }
    }

    /// The shim failed.
    pub fn error(detail: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Error,
            reason: None,
            requirement: None,
            output: Value::Null,
            detail: Some(detail.into()),
        }
    }
}

/// Something that answers requests.
pub trait Shim: Send {
    /// Answers one request. An error means that there is no answer: a crash, a timeout, a line that is not JSON.
    fn call(&mut self, request: &Value) -> anyhow::Result<Answer>;
}

/// What a shim says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// The version of the shim protocol: 1.
    pub protocol: u32,
    /// What it speaks for: `mesh 0.1.0`.
    pub implementation: String,
    /// The requests that it answers.
    pub ops: Vec<String>,
    /// The suites that its device has; all of them, if it does not say.
    #[serde(default)]
    pub suites: Option<Vec<u16>>,
}

impl Claims {
    /// Asks. `None`: the shim does not know this request, and answers vectors only.
    pub fn ask(shim: &mut dyn Shim) -> anyhow::Result<Option<Self>> {
        let answer = shim.call(&json!({"op": "hello"}))?;
        match answer.outcome {
            Outcome::Unsupported => Ok(None),
            Outcome::Accept => {
                let mut claims: Self =
                    serde_json::from_value(answer.output).context("the shim's answer to hello")?;
                claims.implementation = one_line(&claims.implementation);
                claims.ops.iter_mut().for_each(|op| *op = one_line(op));
                ensure!(claims.protocol == 1, "the shim speaks protocol {}, not 1", claims.protocol);
                Ok(Some(claims))
            }
            _ => bail!("the shim does not say what it is: {}", answer.detail.unwrap_or_default()),
        }
    }

    /// Whether it answers these requests.
    pub fn has(&self, op: &str) -> bool {
        self.ops.iter().any(|known| known == op)
    }
}

/// A shim in this process.
impl<F: FnMut(&Value) -> Answer + Send> Shim for F {
    fn call(&mut self, request: &Value) -> anyhow::Result<Answer> {
        Ok(self(request))
    }
}

/// There is no such program, or it cannot be run: the command is wrong, and nothing is said of an implementation.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {program}")]
pub struct CannotStart {
    program: String,
    source: std::io::Error,
}

/// A shim in a process of its own. It is started at the first call, and again after a crash or a timeout.
pub struct ProcessShim {
    command: Vec<String>,
    timeout: Duration,
    running: Option<Running>,
}

struct Running {
    process: Process,
    requests: Sender<String>,
    lines: Receiver<std::io::Result<String>>,
}

/// A process that ends with its owner.
struct Process(Child);

impl ProcessShim {
    /// A shim by its program and arguments; every call has this long.
    pub fn new(command: &[String], timeout: Duration) -> Self {
        Self { command: command.to_vec(), timeout, running: None }
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.process.0.id())
    }

    /// Closes its standard input and waits for its end.
    pub fn end(&mut self, patience: Duration) -> anyhow::Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        let Running { process, requests, lines } = running;
        drop(requests);
        // Its standard output ends with it.
        let ended = match lines.recv_timeout(patience) {
            Err(RecvTimeoutError::Disconnected) => Ok(()),
            Err(RecvTimeoutError::Timeout) => Err(anyhow!("it is still there after {patience:?}")),
            Ok(line) => Err(anyhow!("it says something: {}", short(&line.unwrap_or_default()))),
        };
        drop(process);
        ended
    }

    fn start(&self) -> anyhow::Result<Running> {
        let (program, arguments) = self.command.split_first().context("the shim has no command")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| CannotStart { program: program.clone(), source })?;
        let mut stdin = child.stdin.take().context("the shim has no standard input")?;
        let stdout = child.stdout.take().context("the shim has no standard output")?;
        // A thread for each direction, because pipes block and have no timeout. Both end with the process.
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            loop {
                let mut line = Vec::new();
                let read = (&mut stdout).take(LONGEST_LINE).read_until(b'\n', &mut line);
                let line = match read {
                    Ok(0) => break,
                    Ok(_) if line.len() as u64 >= LONGEST_LINE => {
                        Err(std::io::Error::other("a line without end"))
                    }
                    Ok(_) => String::from_utf8(line).map_err(std::io::Error::other),
                    Err(error) => Err(error),
                };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let (requests, receiver) = channel::<String>();
        thread::spawn(move || {
            for line in receiver {
                if stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).is_err() {
                    break;
                }
            }
        });
        Ok(Running { process: Process(child), requests, lines })
    }

    fn exchange(running: &mut Running, request: &Value, timeout: Duration) -> anyhow::Result<Answer> {
        // A line that nobody asked for would be taken for the answer to this request.
        if let Ok(Ok(line)) = running.lines.try_recv() {
            bail!("the shim said unasked: {}", short(&line));
        }
        let line = serde_json::to_string(request)? + "\n";
        running.requests.send(line).map_err(|_| anyhow!("the shim does not read"))?;
        let line = match running.lines.recv_timeout(timeout) {
            Ok(line) => line.context("cannot read from the shim")?,
            Err(RecvTimeoutError::Timeout) => bail!("the shim did not answer within {timeout:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("the shim ended without an answer"),
        };
        let answer: serde_json::Result<Answer> = serde_json::from_str(&line);
        answer.map(Answer::printable).map_err(|error| anyhow!("the shim answered {}: {error}", short(&line)))
    }
}

impl Shim for ProcessShim {
    fn call(&mut self, request: &Value) -> anyhow::Result<Answer> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.start()?,
        };
        match Self::exchange(&mut running, request, self.timeout) {
            Ok(answer) => {
                self.running = Some(running);
                Ok(answer)
            }
            Err(error) => {
                // Whatever state it is in, the next call begins with a fresh one.
                drop(running);
                Err(error)
            }
        }
    }
}

/// The begin of a line, for a person.
fn short(line: &str) -> String {
    match line.char_indices().nth(120) {
        Some((end, _)) => format!("{:?} and {} bytes more", &line[..end], line.len() - end),
        None => format!("{line:?}"),
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either may fail when the process has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Claims, Outcome, ProcessShim, Shim};
    use serde_json::json;
    use std::time::Duration;

    fn shell(script: &str) -> ProcessShim {
        let command = ["sh".to_owned(), "-c".to_owned(), script.to_owned()];
        ProcessShim::new(&command, Duration::from_millis(500))
    }

    #[test]
    fn a_process_answers_line_by_line() {
        let mut shim = shell(r#"while read line; do echo '{"outcome":"reject","reason":"mac1"}'; done"#);
        for _ in 0..3 {
            let answer = shim.call(&json!({"op": "vector"})).expect("an answer");
            assert_eq!((answer.outcome, answer.reason.as_deref()), (Outcome::Reject, Some("mac1")));
        }
    }

    #[test]
    fn what_it_says_is_for_people_to_read() {
        let answers = r#"read line; printf '%s\n' '{"outcome":"error","detail":"\u001b[2Jgone\u009b"}'"#;
        let detail = shell(answers).call(&json!({"op": "vector"})).expect("an answer").detail;
        assert_eq!(detail.as_deref(), Some("\\u{1b}[2Jgone\\u{9b}"));
        let says = r#"read line; printf '%s\n' '{"outcome":"accept","output":{"protocol":1,"implementation":"a\u001b\n","ops":["hello"]}}'"#;
        let claims = Claims::ask(&mut shell(says)).expect("an answer").expect("claims");
        assert_eq!(claims.implementation, "a\\u{1b}\\n");
    }

    #[test]
    fn a_shim_of_another_protocol_is_none() {
        let ask = |protocol: u32| {
            let said = json!({"protocol": protocol, "implementation": "x 1", "ops": []});
            Claims::ask(&mut move |_: &serde_json::Value| Answer::accept(said.clone()))
        };
        assert_eq!(ask(1).expect("claims").map(|claims| claims.implementation).as_deref(), Some("x 1"));
        assert!(ask(2).is_err());
    }

    #[test]
    fn a_shim_that_does_not_read_a_long_request_times_out() {
        let mut shim = shell("sleep 5");
        let long = json!({"stream": "0".repeat(1_000_000)});
        let error = shim.call(&long).expect_err("no answer");
        assert!(error.to_string().contains("did not answer"), "{error}");
    }

    #[test]
    fn a_line_too_many_is_an_error() {
        let mut shim =
            shell(r#"while read line; do echo '{"outcome":"accept"}'; echo '{"outcome":"accept"}'; done"#);
        shim.call(&json!({})).expect("an answer");
        std::thread::sleep(Duration::from_millis(100));
        let error = shim.call(&json!({})).expect_err("a line too many");
        assert!(error.to_string().contains("unasked"), "{error}");
    }

    #[test]
    fn a_crash_and_a_hang_are_errors_and_the_next_call_starts_again() {
        let mut crashing = shell("read line; exit 3");
        assert!(crashing.call(&json!({})).is_err());
        assert!(crashing.call(&json!({})).is_err());
        let mut hanging = shell("sleep 5");
        let error = hanging.call(&json!({})).expect_err("no answer");
        assert!(error.to_string().contains("did not answer"), "{error}");
    }
}
