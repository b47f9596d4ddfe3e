//! What patterns ignore. `conformance/interop` asks git the same.

use serde_json::json;

use super::super::envelope::{File, Test};
use crate::oracle::crypto::hex;
use crate::oracle::sync::ignored;

/// A name, a comment, the patterns, and paths: those of directories end in `/`.
type Case = (&'static str, &'static str, &'static str, &'static [&'static str]);

const CASES: &[Case] = &[
    ("name", "a name at any depth", "a.tmp", &["a.tmp", "d/a.tmp", "a.tmpl", "xa.tmp", "A.tmp"]),
    ("top", "a / at the begin: in the folder itself", "/top", &["top", "d/top"]),
    ("way", "a / in the middle: from the folder down", "d/top", &["d/top", "e/d/top", "top"]),
    ("directory", "a / at the end: directories alone", "build/", &["build/", "build", "src/build/x"]),
    ("star", "any number of characters of a name", "a*b", &["ab", "axyb", "a/b", "axc", "xab"]),
    ("star-way", "the same on a way", "d/*/x", &["d/e/x", "d/x", "d/e/f/x"]),
    ("stars-name", "two * within a name are as one", "a**b", &["ab", "axb", "a/b"]),
    ("stars-begin", "**/ at the begin", "**/top", &["top", "d/e/top", "d/xtop"]),
    ("stars-middle", "/**/ in the middle", "a/**/b", &["a/b", "a/x/b", "a/x/y/b", "a/xb", "ab"]),
    ("stars-twice", "/**/ twice", "a/**/**/b", &["a/b", "a/x/b", "a/x/y/b"]),
    ("stars-end", "/** at the end: what is in it, not itself", "a/**", &["a/b", "a/b/c", "a/", "a"]),
    ("stars-prefix", "** before more of a name", "a/**b", &["a/b", "a/xb", "a/x/b"]),
    ("stars-three", "three * are as two", "***/a", &["a", "x/a", "x/y/a"]),
    ("stars-alone", "** alone", "**", &["a", "x/y"]),
    ("question", "one character", "a?c", &["abc", "ac", "abbc", "a/c"]),
    ("class", "one of a class", "x[a-cz]", &["xa", "xb", "xc", "xz", "xd", "x", "xB"]),
    ("class-others", "one of the others", "x[!a-c]", &["xd", "xa", "x!", "x"]),
    ("class-caret", "the same with ^", "x[^a-c]", &["xd", "xa", "x^"]),
    ("class-others-name", "a name of one other character", "[!x]", &["a", "x", "d/a", "d/x"]),
    ("class-slash", "a class has no /, though it names it", "a[/]b", &["a/b"]),
    ("class-slash-others", "nor has one of others", "a[!x]b", &["a/b", "ayb", "axb"]),
    ("class-slash-range", "nor has a range", "a[--0]b", &["a/b", "a.b", "a-b", "a0b"]),
    ("class-slash-way", "the / of a class makes a pattern one of a way", "[a/b]", &["a", "d/a"]),
    ("class-bracket-first", "a ] at the begin of a class", "a[]b]c", &["a]c", "abc", "ac"]),
    ("class-bracket-others", "and at the begin of one of others", "a[!]b]c", &["a]c", "abc", "axc"]),
    ("class-bracket-escaped", "a ] behind \\ in a class", r"q[\]]", &["q]", "q"]),
    ("class-escaped", "a character behind \\ in a class", r"q[\a\-z]", &["qa", "q-", "qz", "qb"]),
    ("class-range-escaped", "a range that ends behind \\", r"x[[-\]]", &["x[", "x]", "xa"]),
    (
        "class-range-falls",
        "a range that falls is its first character",
        "a[z-a]c",
        &["azc", "aac", "amc", "a-c"],
    ),
    ("class-range-falls-others", "the same of others", "a[!z-a]c", &["azc", "aac", "amc", "a/c"]),
    ("class-dash-first", "a - at the begin of a class", "a[-b]c", &["a-c", "abc", "aac"]),
    ("class-dash-last", "a - at its end", "a[b-]c", &["a-c", "abc", "acc"]),
    ("class-dash-behind", "a - behind a range", "a[a-c-e]x", &["abx", "adx", "a-x", "aex"]),
    ("class-star", "* in a class stands for itself", "a[+*]", &["a+", "ab"]),
    ("class-open", "a [ that is not closed: the line counts for nothing", "a[b", &["a[b", "ab", "a"]),
    ("class-open-line", "the other lines count", "a[b\nc", &["c", "a[b"]),
    ("class-posix", "a class with a name: the line counts for nothing", "a[[:digit:]]", &["a1", "ad", "ad]"]),
    ("escaped", "a character behind \\", r"\#a", &["#a", "a"]),
    ("escaped-letter", "a letter behind \\", r"a\b", &["ab"]),
    ("escaped-nothing", "a \\ at the end: the line counts for nothing", "a\\", &["a"]),
    ("escaped-not", "a ! behind \\", r"\!a", &["!a", "a"]),
    ("braces", "braces have no meaning", "{a,b}", &["{a,b}", "a", "b"]),
    ("dot", "a dot has none", "a.c", &["a.c", "abc"]),
    ("plus", "nor have + ( ) ^ $", "a+(b)^$", &["a+(b)^$", "aab"]),
    ("comment", "a comment", "# a\n#b", &["# a", "#b", "a"]),
    ("empty", "no pattern", "\n\n!\n/\n", &["a", "!"]),
    ("double", "two / beside each other match nothing", "a//b\n//c\nd//", &["a/b", "c", "d/"]),
    ("space-end", "white space at the end", "name  \nother\t\nlast\r", &["name", "other", "last"]),
    ("space-begin", "white space at the begin counts", " a", &["a", " a"]),
    ("not", "the last that matches decides", "*.log\n!kept.log", &["kept.log", "other.log", "d/kept.log"]),
    ("not-not", "and again", "*.log\n!kept.log\nkept.*", &["kept.log"]),
    ("not-directory", "a directory is let in, a file is not", "x*\n!x*/", &["xa", "xa/"]),
    ("inside", "what is in an ignored directory", "logs/\n!logs/kept", &["logs/kept", "logs/"]),
    ("inside-all", "all but what is let in, above it", "/*\n!/d", &["d/x", "e/x", "d/"]),
    ("itself", "the file itself is never ignored", "*", &[".meshignore", "a", "d/.meshignore"]),
    ("hidden", "a dot at the begin is as others", "*a", &[".a", "d/.a"]),
    (
        "characters",
        "a character is one, of however many bytes",
        "?x\n[à-ö]y",
        &["äx", "äy", "ÿy", "ääx", "😀x"],
    ),
];

pub(super) fn file() -> File {
    let mut tests = Vec::new();
    let mut test = |id: String, comment: &str, patterns: &[u8], path: &str| {
        let (path, directory) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        let comment = format!("{comment}: {path}{}", if directory { ", a directory" } else { "" });
        let inputs = json!({"patterns": hex(patterns), "path": path, "directory": directory});
        let expect = json!({"ignored": ignored(patterns, path, directory)});
        tests.push(Test::valid(&id, &comment, &["SYN-080", "SYN-081"], inputs).expect(expect));
    };
    for (id, comment, patterns, paths) in CASES {
        for (at, path) in paths.iter().enumerate() {
            let number = if at == 0 { String::new() } else { format!("-{}", at + 1) };
            test(format!("sync.ignore.{id}{number}"), comment, patterns.as_bytes(), path);
        }
    }
    let no_utf8 = b"first\n\xffa\nlast";
    for path in ["first", "a", "last"] {
        test(format!("sync.ignore.bytes-{path}"), "a line that is no UTF-8", no_utf8, path);
    }
    let header = &["spec/sync.md section 4.8: whether a file .meshignore with these bytes ignores a path"];
    super::file("ignore", header, "SyncIgnore", tests)
}
