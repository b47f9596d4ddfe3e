//! The unit of `meshd` is one that systemd understands, and takes away what it says.

use std::path::Path;
use std::process::Command;

use meshproof_interop::tool;

const UNIT: &str = "reference/cloud/dist/meshd.service";
/// On systemd's scale from 0 to 10, times 10; `meshd` needs the network, files of its own and nothing else.
const EXPOSED: &str = "20";

#[test]
#[ignore = "needs systemd-analyze: conformance/interop/run.sh"]
fn systemd_takes_the_unit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let unit = std::fs::read_to_string(root.join(UNIT)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("meshd.service");
    // The program has to be there for `verify`.
    std::fs::write(&file, unit.replace("/usr/local/bin/meshd", "/bin/true")).unwrap();
    let analyze = |arguments: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        tool::run(command.args(arguments).arg(&file), b"").unwrap()
    };
    let verified = analyze(&["verify", "--man=no"]);
    assert!(verified.status.success() && verified.stderr.is_empty(), "{verified:?}");
    let rated = analyze(&["security", "--offline=true", &format!("--threshold={EXPOSED}")]);
    assert!(rated.status.success(), "{rated:?}");
    tool::say("systemd verifies the unit of meshd");
}
