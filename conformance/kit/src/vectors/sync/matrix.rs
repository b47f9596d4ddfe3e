//! Names by the rule: each character that is forbidden, each device in several forms, and what single characters fold to.

use unicode_normalization::is_nfc;

use crate::oracle::sync::fold;
use crate::vectors::pairs::rows;

/// A name that is good, and its id.
pub(super) type Good = (String, String);
/// A name that is bad, its id and that of its twin.
pub(super) type Bad = (String, String, Vec<u8>);

/// The reserved names of devices.
fn devices() -> Vec<String> {
    let mut devices = ["con", "prn", "aux", "nul", "conin$", "conout$"].map(str::to_owned).to_vec();
    devices.extend("123456789¹²³".chars().flat_map(|n| [format!("com{n}"), format!("lpt{n}")]));
    devices
}

/// Each device with something more, and the characters that fold to more than one.
pub(super) fn good() -> Vec<Good> {
    let mut all = Vec::new();
    for (number, device) in devices().into_iter().enumerate() {
        let name = match number % 5 {
            0 => format!("{device}-"),
            1 => format!("x{device}.txt"),
            2 => format!(".{device}"),
            3 => format!(" {device}"),
            _ => format!("{device}\u{a0}.txt"),
        };
        all.push((format!("no-device-{number}"), name));
    }
    let special = ('\u{80}'..=char::MAX).filter(|c| c.to_uppercase().count() > 1 && is_nfc(&c.to_string()));
    all.extend(special.map(|c| (format!("special-{:04x}", u32::from(c)), c.to_string())));
    all
}

/// Forbidden characters at the begin, in the middle and at the end, devices in several forms, and characters that are not
/// composed.
pub(super) fn bad() -> Vec<Bad> {
    let mut all = Vec::new();
    let controls = ('\0'..=' ').chain('\u{7f}'..='\u{9f}').filter(|c| c.is_control());
    for (number, c) in controls.chain("\\:*?\"<>|".chars()).enumerate() {
        let (place, name) = match number % 3 {
            0 => ("begin", format!("{c}ab")),
            1 => ("middle", format!("a{c}b")),
            _ => ("end", format!("ab{c}")),
        };
        all.push((format!("character-{:02x}-{place}", u32::from(c)), "plain".to_owned(), name.into_bytes()));
    }
    let devices = devices();
    for row in rows(&[devices.len(), 4, 3]) {
        let (device, form) = (&devices[row[0]], ["", ".txt", " .txt", "..x"][row[1]]);
        let device = match row[2] {
            0 => device.clone(),
            1 => device.to_uppercase(),
            _ => device[..1].to_uppercase() + &device[1..],
        };
        let id = format!("device-{}-{}-{}", row[0], row[1], row[2]);
        all.push((id, format!("no-device-{}", row[0]), format!("{device}{form}").into_bytes()));
    }
    let apart =
        ('\u{80}'..=char::MAX).filter(|c| !is_nfc(&c.to_string()) && fold(&c.to_string()) != c.to_string());
    let apart = apart.enumerate().filter(|(number, _)| number % 13 == 0);
    all.extend(apart.map(|(_, c)| {
        (format!("not-composed-{:04x}", u32::from(c)), "unicode".to_owned(), c.to_string().into_bytes())
    }));
    all
}
