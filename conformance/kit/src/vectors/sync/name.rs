//! Names, and what they are folded to.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::envelope::{File, Test};
use super::matrix::{self, Bad, Good};
use crate::oracle::Rejection;
use crate::oracle::crypto::hex;
use crate::oracle::sync::{self, fold};

pub(super) fn file() -> File {
    let input = |bytes: &[u8]| json!({"name": hex(bytes)});
    let mut tests = Vec::new();
    let mut known: BTreeSet<Vec<u8>> = BTreeSet::new();
    for (id, name) in good().into_iter().chain(matrix::good()) {
        if !known.insert(name.clone().into_bytes()) {
            continue;
        }
        let id = format!("sync.name.{id}");
        let comment = name.escape_debug().to_string();
        let test = Test::valid(&id, &comment, &["SYN-041"], input(name.as_bytes()));
        tests.push(test.expect(json!({"folded": fold(&name)})));
    }
    for (id, twin, name) in bad().into_iter().chain(matrix::bad()) {
        if !known.insert(name.clone()) {
            continue;
        }
        let Err(Rejection { requirement, reason }) = sync::name(&name) else { panic!("{id} is good") };
        let comment = "a name that some system cannot hold, or that leads elsewhere";
        let (id, twin) = (format!("sync.name.{id}"), format!("sync.name.{twin}"));
        tests.push(Test::invalid(&id, &twin, comment, &[requirement], reason, input(&name)));
    }
    super::file("name", &["spec/sync.md section 4.2, and the folding of section 4.4"], "SyncName", tests)
}

fn good() -> Vec<Good> {
    let texts = [
        ("plain", "a.txt"),
        ("hidden", ".hidden"),
        ("unicode", "…ü\u{1f4be}"),
        ("no-device", "console"),
        ("com0", "COM0"),
        ("sharp-s", "Straße"),
        ("final-sigma", "Ὀδυσσεύς"),
        ("dotted-i", "İstanbul"),
        ("kelvin-like", "Å"),
        // What folding does.
        ("dotless-i", "ı"),
        ("long-s", "ſ"),
        ("capital-sharp-s", "ẞ"),
        ("title-case", "ǅ"),
        ("micro", "µ"),
        ("ligature", "ﬃ"),
        ("cherokee", "Ꭰꭰ"),
        ("georgian", "აᲐ"),
        ("iota-below", "ᾳ\u{345}"),
        ("folds-to-more", "ŉ"),
        ("composed-again", "\u{390}ǰ"),
        // What Unicode 14.0 does not have.
        ("later-letters", "\u{10d50}\u{a7cb}\u{1c89}"),
        ("later-beside-letters", "É\u{10d50}É"),
        ("later-pair", "\u{16d63}\u{16d67}"),
        ("later-mark", "a\u{1e4ec}\u{323}"),
        ("later-between", "a\u{1e4ee}\u{301}"),
        // What is no rule's.
        ("three-dots-begin", "...a"),
        ("space-begin", " a"),
        ("space-inside", "a .txt"),
        ("no-break-space", "a\u{a0}"),
        ("wide-space", "a\u{3000}"),
        ("line-separator", "a\u{2028}b"),
        ("zero-width", "a\u{200b}\u{feff}"),
        ("private-use", "\u{e000}"),
        ("last-character", "\u{10ffff}"),
        ("no-character", "\u{ffff}"),
        ("composed-excluded", "\u{915}\u{93c}"),
        ("marks-in-order", "q\u{323}\u{301}"),
        ("hangul", "\u{ac00}"),
        ("device-behind", "a.con"),
        ("device-hidden", ".con"),
        ("device-space-begin", " con"),
        ("device-longer", "con_"),
        ("device-lpt", "lpt"),
        ("device-com10", "com10.txt"),
        ("device-superscript-4", "com⁴"),
        ("device-dotless-i", "conın$"),
        ("device-conin", "conin"),
    ];
    let mut all = texts.map(|(id, name)| (id.to_owned(), name.to_owned())).to_vec();
    all.extend([
        ("long".to_owned(), "x".repeat(255)),
        ("long-letters".to_owned(), format!("{}x", "é".repeat(127))),
    ]);
    all
}

fn bad() -> Vec<Bad> {
    let rows: [(&str, &str, &[u8]); 61] = [
        ("empty", "plain", b""),
        ("dot", "plain", b"."),
        ("dot-dot", "plain", b".."),
        ("slash", "plain", b"a/b"),
        ("too-long", "long", &[b'x'; 256]),
        ("backslash", "plain", b"a\\b"),
        ("colon", "plain", b"a:b"),
        ("newline", "plain", b"a\nb"),
        ("delete", "plain", b"a\x7fb"),
        ("next-line", "plain", "a\u{85}b".as_bytes()),
        ("not-utf8", "plain", b"a\xff"),
        ("decomposed", "unicode", "u\u{308}".as_bytes()),
        ("angstrom", "kelvin-like", "\u{212b}".as_bytes()),
        ("trailing-dot", "plain", b"a."),
        ("trailing-space", "space-inside", b"a "),
        ("device", "no-device", b"nul"),
        ("device-extension", "no-device", b"Lpt9.tar.gz"),
        ("slash-alone", "plain", b"/"),
        ("slash-begin", "plain", b"/a"),
        ("slash-end", "plain", b"a/"),
        ("too-long-letters", "long-letters", &[[0xc3, 0xa9]; 128].concat()),
        ("star", "plain", b"a*b"),
        ("question-mark", "plain", b"a?b"),
        ("quotation-mark", "plain", b"a\"b"),
        ("less", "plain", b"a<b"),
        ("greater", "plain", b"a>b"),
        ("bar", "plain", b"a|b"),
        ("nul-byte", "plain", b"a\0b"),
        ("control-1f", "space-inside", b"a\x1fb"),
        ("control-80", "no-break-space", "a\u{80}b".as_bytes()),
        ("control-9f", "no-break-space", "a\u{9f}b".as_bytes()),
        ("overlong-slash", "plain", b"a\xc0\xafb"),
        ("surrogate", "private-use", b"\xed\xa0\x80"),
        ("beyond-last", "last-character", b"\xf4\x90\x80\x80"),
        ("cut-character", "unicode", b"a\xe2\x82"),
        ("ohm", "kelvin-like", "\u{2126}".as_bytes()),
        ("compatibility-ideograph", "hangul", "\u{f900}".as_bytes()),
        ("decomposed-hangul", "hangul", "\u{1100}\u{1161}".as_bytes()),
        ("excluded-composed", "composed-excluded", "\u{958}".as_bytes()),
        ("marks-out-of-order", "marks-in-order", "q\u{301}\u{323}".as_bytes()),
        ("decomposed-behind-later", "later-beside-letters", "\u{10d50}u\u{308}".as_bytes()),
        ("decomposed-before-later", "later-beside-letters", "u\u{308}\u{10d50}".as_bytes()),
        ("three-dots", "three-dots-begin", b"..."),
        ("space", "space-begin", b" "),
        ("dot-space", "space-begin", b". "),
        ("device-con", "no-device", b"CON"),
        ("device-prn", "no-device", b"Prn"),
        ("device-aux", "no-device", b"aux.h"),
        ("device-com1", "com0", b"com1"),
        ("device-com9", "com0", b"COM9"),
        ("device-lpt1", "device-lpt", b"lpt1"),
        ("device-two-dots", "device-longer", b"con..txt"),
        ("device-space", "space-inside", b"CON .txt"),
        ("device-spaces", "space-inside", b"nul  .txt"),
        ("device-superscript-1", "device-superscript-4", "com¹".as_bytes()),
        ("device-superscript-2", "device-superscript-4", "Lpt².txt".as_bytes()),
        ("device-superscript-3", "device-superscript-4", "COM³".as_bytes()),
        ("device-conin-dollar", "device-conin", b"conin$"),
        ("device-conout-dollar", "device-conin", b"CONOUT$.txt"),
        ("device-conin-dollar-space", "device-conin", b"CONIN$ .txt"),
        ("trailing-dots-extension", "plain", b"a.txt.."),
    ];
    rows.map(|(id, twin, name)| (id.to_owned(), twin.to_owned(), name.to_vec())).into()
}
