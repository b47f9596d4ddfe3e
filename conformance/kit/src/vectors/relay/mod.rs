//! The relay vectors: `vectors/relay/`.

mod pairs;

use serde_json::{Value, json};

use super::envelope::{File, Group, Test};
use super::fixtures::{ALICE, BOB, NOW, bytes32};
use crate::oracle::crypto::{from_hex, hex};
use crate::oracle::relay::{Answer, PassFields, Relay, account, code_of, join, ping};

const ADDRESS: &str = "relay.mesh.example:8444";
const MALFORMED: (&str, &str) = ("RLY-001", "join-malformed");
const UNKNOWN: (&str, &str) = ("RLY-002", "join-unknown");
const EXPIRED: (&str, &str) = ("RLY-007", "join-expired");
const TAKEN: (&str, &str) = ("RLY-004", "join-taken");

/// All files of the part.
pub(super) fn files() -> Vec<File> {
    vec![pass_file(), join_file()]
}

fn key() -> [u8; 32] {
    bytes32("relay key")
}

fn circuit() -> [u8; 16] {
    bytes32("circuit")[..16].try_into().expect("16 bytes")
}

fn user(text: &str) -> Vec<u8> {
    from_hex(text).expect("an identifier")
}

fn caller() -> PassFields {
    PassFields {
        key: key().to_vec(),
        address: ADDRESS.to_owned(),
        circuit: circuit(),
        side: 0,
        expires: NOW + 60,
        account: account(&key(), &user(ALICE)),
    }
}

fn called() -> PassFields {
    PassFields { side: 1, account: account(&key(), &user(BOB)), ..caller() }
}

fn pass_file() -> File {
    let test = |id: &str, comment: &str, user_text: &str, fields: &PassFields| {
        let fields = PassFields { account: account(&fields.key, &user(user_text)), ..fields.clone() };
        let inputs = json!({
            "address": fields.address,
            "circuit": hex(&fields.circuit),
            "side": fields.side,
            "expires": fields.expires,
            "user": user_text,
        });
        Test::valid(&format!("relay.pass.{id}"), comment, &["GPH-121"], inputs)
            .expect(json!({"pass": hex(&fields.seal())}))
            .intermediates(json!({"K48": hex(&fields.k48()), "account": hex(&fields.account)}))
    };
    let tests = vec![
        test("caller", "the side that asked", ALICE, &caller()),
        test("called", "the other side", BOB, &called()),
        test(
            "other-relay",
            "the same for another relay",
            ALICE,
            &PassFields { address: "[2001:db8::1]:443".to_owned(), ..caller() },
        ),
        test("far", "a time of more than 32 bits", ALICE, &PassFields { expires: 1 << 40, ..caller() }),
    ];
    File {
        part: "relay",
        name: "pass",
        algorithm: "Meshproof relay: passes",
        header: &["spec/relay.md section 3: what the graph service gives to a device"],
        groups: vec![Group { kind: "RelayPass", fields: json!({"key": hex(&key())}), tests }],
    }
}

fn join_file() -> File {
    let mut joins = Joins(Vec::new());
    joins.good();
    joins.malformed();
    joins.passes();
    joins.bytes();
    joins.pairs();
    File {
        part: "relay",
        name: "join",
        algorithm: "Meshproof relay: the first bytes of a connection",
        header: &[
            "spec/relay.md section 4.1: connections are made one after another and stay; the answer is that to the last",
        ],
        groups: vec![Group {
            kind: "RelayJoin",
            fields: json!({"key": hex(&key()), "address": ADDRESS}),
            tests: joins.0,
        }],
    }
}

struct Joins(Vec<Test>);

fn inputs(now: u64, connections: &[Vec<u8>]) -> Value {
    let connections: Vec<String> = connections.iter().map(|bytes| hex(bytes)).collect();
    json!({"now": now, "connections": connections})
}

/// `answer` of an answer.
pub(super) fn answer_value(answer: &Answer) -> Value {
    match answer {
        Answer::Nothing => json!("nothing"),
        Answer::Pong => json!("pong"),
        Answer::Waiting => json!("waiting"),
        Answer::Joined => json!("joined"),
    }
}

/// `answer` of a refusal.
pub(super) fn refusal_value(reason: &str) -> Value {
    code_of(reason).map_or(json!("silent"), |code| json!({"refused": code}))
}

impl Joins {
    fn valid(&mut self, id: &str, reqs: &[&str], comment: &str, connections: &[Vec<u8>]) {
        let mut relay =
            Relay { key: key().to_vec(), address: ADDRESS.to_owned(), now: NOW, accepted: Vec::new() };
        let answers: Result<Vec<Answer>, _> =
            connections.iter().map(|bytes| relay.connection(bytes)).collect();
        let last = answers.expect("good connections").pop().expect("at least one");
        self.0.push(
            Test::valid(&name(id), comment, reqs, inputs(NOW, connections))
                .expect(json!({"answer": answer_value(&last)})),
        );
    }

    fn invalid(
        &mut self,
        id: &str,
        twin: &str,
        rule: (&str, &str),
        comment: &str,
        now: u64,
        connections: &[Vec<u8>],
    ) {
        let test =
            Test::invalid(&name(id), &name(twin), comment, &[rule.0], rule.1, inputs(now, connections));
        self.0.push(test.expect(json!({"answer": refusal_value(rule.1)})));
    }

    fn good(&mut self) {
        let (one, two) = (caller().join(), called().join());
        self.valid(
            "alone",
            &["RLY-001", "RLY-002", "RLY-010"],
            "the side that asked",
            std::slice::from_ref(&one),
        );
        self.valid("called-alone", &["RLY-010"], "the other side", std::slice::from_ref(&two));
        self.valid("both", &["RLY-004", "RLY-011"], "both sides", &[one.clone(), two.clone()]);
        self.valid("called-first", &["RLY-011"], "both, the other way round", &[two.clone(), one.clone()]);
        let other = PassFields { circuit: [0xc1; 16], ..called() }.join();
        self.valid("two-circuits", &["RLY-010"], "sides of two circuits", &[one.clone(), other]);
        self.valid("ping", &["RLY-001", "RLY-006"], "a PING", &[ping([1, 2, 3, 4, 5, 6, 7, 8])]);
        let behind = [&one[..], b"and more"].concat();
        self.valid("bytes-behind", &["RLY-003"], "bytes for the other device follow JOIN", &[behind]);
        for cut in [0, 1, 2, 3, 20, 75] {
            self.valid(
                &format!("cut-{cut}"),
                &[],
                &format!("{cut} bytes of JOIN so far"),
                &[one[..cut].to_vec()],
            );
        }
        self.valid("ping-cut", &[], "10 bytes of PING so far", &[ping([9; 8])[..10].to_vec()]);
    }

    fn malformed(&mut self) {
        let good = caller().join();
        let mut edited = |id: &str, comment: &str, at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            self.invalid(id, "alone", MALFORMED, comment, NOW, &[bytes]);
        };
        edited("version-0", "version 0", 1, 0);
        edited("version-2", "version 2", 1, 2);
        edited("version-257", "version 257", 0, 1);
        edited("kind-0", "a message of kind 0", 2, 0);
        edited("kind-3", "a message of kind 3", 2, 3);
        edited("kind-255", "a message of kind 255", 2, 255);
        for (id, comment, bytes) in [
            ("http", "an HTTP request", &b"GET / HTTP/1.1\r\n\r\n"[..]),
            ("tls", "the begin of a TLS ClientHello", &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
            ("handshake", "the begin of an M1", &[1, 0, 8, 0, 0, 1]),
            ("wrong-first-byte", "one byte, and it is wrong", &[0x47]),
        ] {
            self.invalid(id, "cut-1", MALFORMED, comment, NOW, &[bytes.to_vec()]);
        }
    }

    fn passes(&mut self) {
        let good = caller().seal();
        for (id, comment, at) in [
            ("circuit-flipped", "a bit of the circuit is flipped", 0),
            ("expires-flipped", "a bit of the encrypted time is flipped", 17),
            ("account-flipped", "a bit of the encrypted account is flipped", 25),
            ("tag-first", "the first bit of the tag is flipped", 41),
            ("tag-last", "a bit of the tag's last byte is flipped", 72),
        ] {
            let mut pass = good.clone();
            pass[at] ^= 0x80;
            self.invalid(id, "alone", UNKNOWN, comment, NOW, &[join(&pass)]);
        }
        for (id, comment, side) in [("side-changed", "the side is changed to 1", 1), ("side-2", "side 2", 2)]
        {
            let mut pass = good.clone();
            pass[16] = side;
            self.invalid(id, "alone", UNKNOWN, comment, NOW, &[join(&pass)]);
        }
        let mut sealed = |id: &str, comment: &str, fields: PassFields| {
            self.invalid(id, "alone", UNKNOWN, comment, NOW, &[fields.join()]);
        };
        sealed("other-key", "made under another key", PassFields { key: vec![1; 32], ..caller() });
        sealed(
            "other-address",
            "made for another relay",
            PassFields { address: "relay.mesh.example:8445".to_owned(), ..caller() },
        );
        self.invalid(
            "side-2-sealed",
            "alone",
            UNKNOWN,
            "side 2 in a box that is good",
            NOW,
            &[PassFields { side: 2, ..caller() }.join()],
        );
        self.invalid("zeros", "alone", UNKNOWN, "a pass of zeros", NOW, &[join(&[0; 73])]);
        let join = caller().join();
        self.invalid(
            "expired-at-boundary",
            "alone",
            EXPIRED,
            "the clock reads `expires`",
            NOW + 60,
            std::slice::from_ref(&join),
        );
        let never = PassFields { expires: 0, ..caller() }.join();
        self.invalid("expires-0", "alone", EXPIRED, "`expires` is 0", NOW, &[never]);
        let called = called().join();
        self.invalid("taken", "both", TAKEN, "the same pass twice", NOW, &[join.clone(), join.clone()]);
        self.invalid(
            "taken-when-joined",
            "both",
            TAKEN,
            "a third connection, with a pass of a circuit that is joined",
            NOW,
            &[join.clone(), called.clone(), join.clone()],
        );
        let longer = PassFields { expires: NOW + 61, ..caller() }.join();
        let two = "another pass of a side that waits, which ends a second later";
        self.invalid("taken-other-expires", "both", TAKEN, two, NOW, &[join.clone(), longer.clone()]);
        let three = "another pass of a side of a circuit that is joined";
        self.invalid("taken-other-expires-joined", "both", TAKEN, three, NOW, &[join, called, longer]);
    }
}

fn name(id: &str) -> String {
    format!("relay.join.{id}")
}
