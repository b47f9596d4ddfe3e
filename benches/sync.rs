//! Reading and merging an index.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use meshproof_benches::{X, Y};
use meshproof_proto::codec::Id;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::{Decoder, Entry, Kind, Message, PortablePath, Version, merge};

const ENTRIES: u64 = 1_000;

fn sync(c: &mut Criterion) {
    let mine = index(X);
    let theirs = index(Y);
    let mut bytes = Vec::new();
    Message::Index { folder: Id([1; 16]), last: true, entries: theirs.clone() }.write(&mut bytes);
    let mut group = c.benchmark_group("sync");
    group.throughput(Throughput::Elements(ENTRIES));
    group.bench_function("read an index", |b| {
        b.iter(|| {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            decoder.next().expect("a good message").expect("a whole message")
        });
    });
    group.bench_function("merge an index", |b| {
        b.iter(|| mine.iter().zip(&theirs).map(|(mine, theirs)| merge(mine, theirs)).collect::<Vec<_>>());
    });
    group.finish();
}

fn index(writer: Id) -> Vec<Entry> {
    (0..ENTRIES)
        .map(|n| Entry {
            path: PortablePath::parse(&format!("folder/file-{n:06}.txt")).expect("a portable path"),
            kind: Kind::File { size: n, hash: MediaHash([writer.0[0]; 32]) },
            mode: 0o644,
            mtime: 0,
            lamport: n,
            writer,
            version: Version::default().bump(writer).expect("an empty version"),
        })
        .collect()
}

criterion_group!(benches, sync);
criterion_main!(benches);
