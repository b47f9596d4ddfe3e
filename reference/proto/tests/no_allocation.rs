//! On the steady path nothing is allocated for a record: a binary of its own, because its allocator counts.
//!
//! What is counted is what this thread asks of Rust's allocator. The C side of aws-lc has an allocator of its own.

use meshproof_proto::crypto::{Provider, RUSTCRYPTO, Secret};
use meshproof_proto::record::{Event, Opener, Sealer};

const RECORDS: usize = 1_000;

fn providers() -> Vec<&'static dyn Provider> {
    vec![
        RUSTCRYPTO,
        #[cfg(feature = "aws-lc")]
        meshproof_proto::crypto::AWS_LC,
    ]
}

/// Seals `content` and opens it, whole records and parts of them as a socket cuts them; how many bytes came out.
struct Line {
    sealer: Sealer,
    opener: Opener,
    wire: Vec<u8>,
}

impl Line {
    fn new(provider: &'static dyn Provider, record: usize) -> Self {
        let secret = || Secret::new([4; 32]);
        let sealer = Sealer::new(provider, secret()).with_record_size(record);
        Self { sealer, opener: Opener::new(provider, secret()), wire: Vec::new() }
    }

    fn pass(&mut self, content: &[u8]) -> usize {
        self.wire.clear();
        self.sealer.seal(content, &mut self.wire).expect("an open direction");
        let mut came = 0;
        for piece in self.wire.chunks(7_001) {
            self.opener.push(piece);
            while let Some(event) = self.opener.next().expect("a good record") {
                let Event::Data(content) = event else { panic!("{event:?}") };
                came += content.len();
            }
        }
        came
    }
}

fn allocations(run: impl FnOnce()) -> u64 {
    allocation_counter::measure(run).count_total
}

/// A counter that counts nothing would pass everything.
#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
    assert_eq!(allocations(|| ()), 0);
}

#[test]
fn a_thousand_records_are_sealed_and_opened_without_an_allocation() {
    for provider in providers() {
        // One record at a time, two, and many; shorter and longer ones than what comes at once.
        for (record, at_once) in [(64, 1), (64, 40), (1_024, 2), (4_096, 9), (16_384, 2)] {
            let mut line = Line::new(provider, record);
            let content = vec![0x5a; record * at_once];
            // The buffers grow to what this load needs.
            for _ in 0..3 {
                assert_eq!(line.pass(&content), content.len());
            }
            let mut came = 0;
            let count = allocations(|| {
                for _ in 0..RECORDS.div_ceil(at_once) {
                    came += line.pass(&content);
                }
            });
            assert!(came >= RECORDS * record);
            assert_eq!(count, 0, "{}: {at_once} records of {record} bytes at once", provider.name());
        }
    }
}

#[test]
fn a_run_of_records_takes_one_allocation_for_its_bytes() {
    for provider in providers() {
        for (record, content) in [(1_024, 100_000), (16_384, 300_000), (65_535, 10)] {
            let mut sealer = Sealer::new(provider, Secret::new([4; 32])).with_record_size(record);
            let content = vec![0x5a; content];
            let mut wire = Vec::new();
            let count = allocations(|| sealer.seal(&content, &mut wire).expect("an open direction"));
            assert_eq!(count, 1, "{}: {} bytes in records of {record}", provider.name(), content.len());
        }
    }
}
