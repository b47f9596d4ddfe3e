//! XML that strangers wrote. The parser behind `dav-server` calls itself for every element inside of another: what is
//! nested deeply enough takes the stack, and with it the whole process. So only what cannot be deep gets to it.

/// How many tags there may be, and so how deep they may be nested. No client sends more than some dozens.
const MOST_TAGS: usize = 256;

/// Whether the parser may see this. Every way to write a tag takes a `<`, but for entities, which a document type defines,
/// and encodings of two bytes, which have zeroes.
pub(super) fn is_flat(xml: &[u8]) -> bool {
    let tags = xml.split(|b| *b == b'<').skip(1).count();
    tags <= MOST_TAGS && !xml.contains(&0) && !xml.windows(9).any(|text| text == b"<!DOCTYPE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deep_or_may_become_so() {
        let properties = format!("<propfind xmlns=\"DAV:\"><prop>{}</prop></propfind>", "<a/>".repeat(250));
        assert!(is_flat(b"") && is_flat(properties.as_bytes()));
        let wide: Vec<u8> = "<a>".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert!(!is_flat(&wide));
        assert!(!is_flat("<a>".repeat(257).as_bytes()));
        assert!(!is_flat(b"<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"<a>\">]><a>&b;</a>"));
    }
}
