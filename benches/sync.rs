//! Reading and merging an index.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use meshproof_benches::{X, Y};
use meshproof_proto::codec::Id;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::entry::new_id;
use meshproof_proto::sync::{
    Content, Context, Decoder, Entry, Kind, Message, Name, ROOT, Stamp, Tree, merge,
};

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
        let unknown = Context::default();
        let pairs = || mine.iter().zip(&theirs);
        b.iter(|| pairs().map(|(a, b)| merge(a, b, (&unknown, &unknown))).collect::<Vec<_>>());
    });
    group.bench_function("make a view", |b| b.iter(|| Tree::of(&mine)));
    group.finish();
}

fn index(writer: Id) -> Vec<Entry> {
    let entry = |n| {
        let kind = Kind::File { size: n + 1, hash: MediaHash([writer.0[0]; 32]) };
        let stamp = Stamp { lamport: n, writer, counter: n + 1 };
        let content = Content { stamp, kind, mode: 0o644, mtime: 0, gone: false };
        let name = Name::parse(&format!("file-{n:06}.txt")).expect("a portable name");
        Entry::new(new_id(ROOT, &name, 0), (ROOT, name), content).expect("a version of one device")
    };
    let mut entries: Vec<Entry> = (0..ENTRIES).map(entry).collect();
    entries.sort_by_key(|entry| entry.id);
    entries
}

criterion_group!(benches, sync);
criterion_main!(benches);
