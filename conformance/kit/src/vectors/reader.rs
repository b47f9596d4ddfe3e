//! The oracle as an implementation under test: answers a vector request as a perfect shim would. It shows that every
//! expectation follows from the oracle's reading of the specification, and it is the model for shims in other languages.

use serde_json::{Value, json};

use crate::oracle::Rejection;
use crate::oracle::crypto::{
    RsaPrivateKey, RsaPublicKey, from_base64, from_hex, hex, private_key_from_der, public_key_from_spki, spki,
};
use crate::oracle::handshake::{self, Ephemeral, Initiator, Names, Reply, Responder, read::read_m3};
use crate::oracle::record::{self, Direction};
use crate::oracle::relay::{PassFields, Relay, account};
use crate::oracle::storage::{self, By, EntryFields, Record, Sealed};
use crate::oracle::sync;
use crate::oracle::ticket::{
    self, ConfirmationKey, Decision, Issuer, TicketFields, Verification, decide_by_set, from_header, time,
    uri,
};
use crate::target::shim::{Answer, Outcome};
use crate::vectors::relay::{answer_value, refusal_value};
use crate::vectors::sync::paths_value;

/// Answers `{"op":"vector","type":...,"group":{...},"test":{...}}`.
pub fn answer(request: &Value) -> Answer {
    if request["op"] != "vector" {
        return Answer::unsupported();
    }
    let (group, test) = (&request["group"], &request["test"]);
    let answer = match request["type"].as_str() {
        Some("TicketVerify") => ticket_verify(group, test),
        Some("TicketIssue") => ticket_issue(group, test),
        Some("TicketSet") => ticket_set(group, test),
        Some("TicketPair") => ticket_pair(group, test),
        Some("HandshakeM1") => handshake_m1(group, test),
        Some("HandshakeM2") => handshake_m2(group, test),
        Some("HandshakeM3") => handshake_m3(test),
        Some("HandshakeRetry") => handshake_retry(group, test),
        Some("RecordOpen") => record_open(test),
        Some("RecordSeal") => record_seal(test),
        Some("RelayPass") => relay_pass(group, test),
        Some("RelayJoin") => relay_join(group, test),
        Some("SyncIgnore") => sync_ignore(test),
        Some("SyncName") => sync_name(test),
        Some("SyncIndex") => sync_index(test),
        Some("SyncMerge") => sync_merge(test),
        Some("SyncView") => {
            entries(&test["entries"]).map(|entries| Answer::accept(json!({"paths": paths_value(&entries)})))
        }
        Some("SyncDigest") => entries(&test["entries"])
            .map(|entries| Answer::accept(json!({"digest": hex(&sync::digest(&entries))}))),
        Some("SyncSigned") => sync_signed(group, test),
        Some("StorageSeal") => storage_seal(group, test),
        Some("StorageId") => storage_id(group, test),
        Some("StorageOpen") => storage_open(group, test),
        Some("StorageEntry") => storage_entry(test),
        Some("StorageKey") => storage_key(group, test),
        _ => return Answer::unsupported(),
    };
    answer.unwrap_or_else(|| Answer::error("the request lacks a field or holds a wrong one"))
}

fn sync_name(test: &Value) -> Option<Answer> {
    let bytes = bytes(&test["name"])?;
    Some(sync::name(&bytes).map_or_else(rejected, |name| Answer::accept(json!({"folded": sync::fold(name)}))))
}

fn sync_ignore(test: &Value) -> Option<Answer> {
    let (patterns, path) = (bytes(&test["patterns"])?, test["path"].as_str()?);
    let ignored = sync::ignored(&patterns, path, test["directory"].as_bool()?);
    Some(Answer::accept(json!({"ignored": ignored})))
}

fn sync_index(test: &Value) -> Option<Answer> {
    Some(sync::index(&bytes(&test["body"])?).map_or_else(rejected, |entries| {
        Answer::accept(json!({"ids": entries.iter().map(|entry| hex(&entry.id)).collect::<Vec<_>>()}))
    }))
}

fn sync_signed(group: &Value, test: &Value) -> Option<Answer> {
    let folder = bytes(&group["folder"])?.try_into().ok()?;
    let bytes = bytes(&test["bytes"])?;
    let mut fields = sync::Fields(&bytes);
    let key = |device: sync::Id| {
        let of = |pair: &&Value| pair[0] == hex(&device).as_str();
        self::bytes(&test["keys"].as_array()?.iter().find(of)?[1])?.try_into().ok()
    };
    let (signed, requirement, reason) = match test["what"].as_str()? {
        "entry" => {
            let entry = fields.entry()?;
            let is_signed =
                |proof: &sync::Proof| Some(proof.is_signed(folder, entry.id, &key(proof.stamp.writer)?));
            let all = entry.proofs().iter().map(is_signed).collect::<Option<Vec<_>>>()?;
            (!all.contains(&false), "SYN-052", "change-forged")
        }
        "head" => {
            let head = fields.head()?;
            (head.is_signed(folder, &key(head.device)?), "SYN-055", "head-forged")
        }
        _ => {
            let issuer = public_key_from_spki(&self::bytes(&group["issuer"])?)?;
            (fields.card()?.is_signed(folder, &issuer), "SYN-056", "none")
        }
    };
    Some(if signed { Answer::accept(json!({})) } else { rejected(Rejection { requirement, reason }) })
}

fn storage_seal(group: &Value, test: &Value) -> Option<Answer> {
    let folder = bytes(&group["folder"])?.try_into().ok()?;
    let keys = folder_keys(&group["keys"])?;
    let newest = (u32::try_from(keys.len()).ok()?, *keys.last()?);
    let content = bytes(&test["content"])?;
    let sealed = if test["kind"] == 2 {
        Sealed::content(folder, newest, &content)
    } else {
        let (object, nonce) = (bytes(&test["object"])?, bytes(&test["nonce"])?);
        let entry = Sealed::entry(folder, newest, object.try_into().ok()?, nonce.try_into().ok()?, &content);
        Sealed { kind: u8::try_from(test["kind"].as_u64()?).ok()?, ..entry }
    };
    Some(Answer::accept(json!({"sealed": hex(&sealed.bytes())})))
}

fn storage_id(group: &Value, test: &Value) -> Option<Answer> {
    let folder = bytes(&group["folder"])?.try_into().ok()?;
    let (keys, entry) = (folder_keys(&group["keys"])?, bytes(&test["entry"])?.try_into().ok()?);
    Some(Answer::accept(json!({"id": hex(&storage::id_in_graph(folder, keys.first()?, entry))})))
}

fn storage_open(group: &Value, test: &Value) -> Option<Answer> {
    let folder = bytes(&group["folder"])?.try_into().ok()?;
    let (keys, object) = (folder_keys(&group["keys"])?, bytes(&test["object"])?);
    let kind = u8::try_from(test["kind"].as_u64()?).ok()?;
    let opened = storage::open(folder, &keys, (kind, &object), &bytes(&test["sealed"])?);
    Some(opened.map_or_else(rejected, |content| {
        Answer::accept(json!({"length": content.len(), "hash": hex(blake3::hash(&content).as_bytes())}))
    }))
}

fn storage_entry(test: &Value) -> Option<Answer> {
    let read = EntryFields::read(&bytes(&test["content"])?);
    Some(read.map_or_else(rejected, |entry| {
        let path = String::from_utf8_lossy(&entry.path);
        Answer::accept(json!({"path": path, "kind": entry.kind, "size": entry.size}))
    }))
}

fn storage_key(group: &Value, test: &Value) -> Option<Answer> {
    let folder = bytes(&group["folder"])?.try_into().ok()?;
    let writer = bytes(&group["writer"])?.try_into().ok()?;
    let device = bytes(&group["device"])?.try_into().ok()?;
    let (key, known) = (private_key(&group["key"])?, folder_keys(&test["known"])?);
    let recovery = bytes(&test["recovery"]);
    let by = recovery.as_deref().map_or(By::Device(device, &key), By::Recovery);
    let record = Record::read(&bytes(&test["record"])?);
    let opened = record.and_then(|record| record.open(folder, &writer, &by, &known));
    Some(opened.map_or_else(rejected, |keys| {
        let keys: Vec<String> = keys.iter().map(|key| hex(key)).collect();
        Answer::accept(json!({"keys": keys}))
    }))
}

fn folder_keys(value: &Value) -> Option<Vec<[u8; 32]>> {
    value.as_array()?.iter().map(|key| bytes(key)?.try_into().ok()).collect()
}

fn sync_merge(test: &Value) -> Option<Answer> {
    let entry = |name: &str| sync::Fields(&bytes(&test[name])?).entry();
    let context = |name: &str| -> Option<Vec<(sync::Id, u64)>> {
        let counter = |pair: &Value| Some((bytes(&pair[0])?.try_into().ok()?, pair[1].as_u64()?));
        test[name].as_array()?.iter().map(counter).collect()
    };
    let contexts = (context("mine_context")?, context("theirs_context")?);
    let merged = sync::merge(&entry("mine")?, &entry("theirs")?, (&contexts.0, &contexts.1));
    Some(match merged {
        Some(entry) => Answer::accept(json!({"entry": hex(&entry.bytes())})),
        None => Answer { reason: None, ..Answer::reject("SYN-016", "none") },
    })
}

fn entries(value: &Value) -> Option<Vec<sync::Entry>> {
    value.as_array()?.iter().map(|entry| sync::Fields(&bytes(entry)?).entry()).collect()
}

fn ticket_verify(group: &Value, test: &Value) -> Option<Answer> {
    let by = verification(group, test)?;
    let verified = from_header(test["ticket"].as_str()?).and_then(|bytes| ticket::verify(&bytes, &by));
    Some(verified.map_or_else(rejected, |_| Answer::accept(Value::Null)))
}

fn ticket_issue(group: &Value, test: &Value) -> Option<Answer> {
    let key = private_key(&group["issuer_key"])?;
    let fields = issue_fields(&test["fields"])?;
    let text = fields.issue(&key);
    // An issuer emits nothing that no verifier would take (TKT-001, TKT-002).
    let by = Verification {
        now: time::from_text(&fields.not_before)?,
        audience: fields.audience.clone(),
        issuers: vec![Issuer { name: fields.issuer.clone(), keys: vec![key.to_public_key()] }],
        proved: ticket::parse(text.as_bytes()).ok().and_then(|ticket| ticket.confirmation),
        revoked: Vec::new(),
    };
    let verified = ticket::verify(text.as_bytes(), &by);
    Some(match verified {
        Ok(_) => Answer::accept(json!({"ticket": text})),
        Err(rule) => Answer { reason: None, ..rejected(rule) },
    })
}

fn ticket_set(group: &Value, test: &Value) -> Option<Answer> {
    let by = verification(group, test)?;
    let [header, resource, action] = ["header", "resource", "action"].map(|name| test[name].as_str());
    Some(match decide_by_set(header?, resource?, action?, &by) {
        Ok(principal) => Answer::accept(json!({"principal": principal})),
        Err(rule) => rejected(rule),
    })
}

fn ticket_pair(group: &Value, test: &Value) -> Option<Answer> {
    let responder = test["responder"].as_str()?;
    let responder_spki = from_base64(test["responder_spki"].as_str()?)?;
    let mut by = verification(group, test)?;
    by.audience = format!("{}{responder}", uri::DEVICE);
    let verified = from_header(test["ticket"].as_str()?).and_then(|bytes| {
        // The handshake proves possession of whatever key the ticket confirms.
        by.proved = ticket::parse(&bytes)?.confirmation;
        ticket::pair(&ticket::verify(&bytes, &by)?, responder, &responder_spki)
    });
    Some(verified.map_or_else(rejected, |pair| {
        let folder = |(folder, x, y): &(String, String, String)| {
            json!({"folder": folder, "initiator_role": x, "responder_role": y})
        };
        Answer::accept(json!({
            "initiator": pair.initiator,
            "initiator_fingerprint": hex(&pair.initiator_key),
            "user": pair.user,
            "folders": pair.folders.iter().map(folder).collect::<Vec<_>>(),
        }))
    }))
}

fn handshake_m1(group: &Value, test: &Value) -> Option<Answer> {
    let responder = Responder {
        key: private_key(&group["responder_key"])?,
        device: group["responder"].as_str()?.to_owned(),
        issuers: issuers(&group["issuers"])?,
        now: test["now"].as_u64()?,
        suites: suites(&group["suites"])?,
        rdv_token: bytes(&group["rdv_token"]),
        cookies: Vec::new(),
    };
    Some(match responder.read_m1(&bytes(&test["frame"])?) {
        Ok(handshake::Answer::M2 { pair, suite, .. }) => {
            Answer::accept(json!({"answer": "m2", "suite": suite, "initiator": pair.initiator}))
        }
        Ok(_) => return None,
        Err(failure) => {
            let output = match failure.answer {
                handshake::Answer::Refuse { code, .. } => json!({"answer": {"refuse": code}}),
                handshake::Answer::NoCommonSuite => json!({"answer": "no-common-suite"}),
                _ => json!({"answer": "silent"}),
            };
            let detail = failure.ticket.map(|rule| rule.to_string());
            Answer { output, detail, ..rejected(failure.rejection) }
        }
    })
}

fn handshake_m2(group: &Value, test: &Value) -> Option<Answer> {
    let initiator = initiator(group, test)?;
    Some(match initiator.read(&bytes(&test["frame"])?) {
        Ok(Reply::M2 { m3, traffic_i, traffic_r, .. }) => Answer::accept(
            json!({"m3": hex(&m3), "traffic_i": hex(&traffic_i), "traffic_r": hex(&traffic_r)}),
        ),
        Ok(Reply::Refused(code)) => Answer {
            outcome: Outcome::Reject,
            reason: Some("refused".to_owned()),
            // A code that nobody knows counts as 1.
            ..Answer::accept(json!({"refused": if (1..=3).contains(&code) { code } else { 1 }}))
        },
        Ok(Reply::Retry(_)) => return None,
        Err(rule) => rejected(rule),
    })
}

fn initiator(group: &Value, test: &Value) -> Option<Initiator> {
    let key = private_key(&group["initiator_key"])?;
    let entropy = bytes(&test["entropy"])?;
    let drawn = |from: usize, to: usize| entropy.get(from..to).map_or(Vec::new(), <[u8]>::to_vec);
    let names = Names {
        initiator: bytes(&group["initiator"])?,
        responder: bytes(&group["responder"])?,
        spki_i: spki(&key.to_public_key()),
        spki_r: from_base64(group["responder_spki"].as_str()?)?,
    };
    let x25519 = drawn(96, 128).try_into().unwrap_or([0; 32]);
    Some(Initiator {
        key,
        names,
        offer: suites(&group["suites"])?,
        ephemeral: Ephemeral { x25519, kem: drawn(128, 192) },
        k_r: drawn(32, 64),
        m1: bytes(&test["m1"])?,
    })
}

/// The second M1 is the first with another cookie, box1 and mac1; what is in box1 does not change.
fn handshake_retry(group: &Value, test: &Value) -> Option<Answer> {
    let initiator = initiator(group, test)?;
    let mut answer = None;
    for frame in test["frames"].as_array()? {
        if answer.is_some() {
            return Some(Answer::reject("HSK-048", "unexpected-frame"));
        }
        match initiator.read(&bytes(frame)?) {
            Ok(Reply::Retry(cookie)) => answer = Some(initiator.m1_again(&cookie)),
            Ok(_) => return None,
            Err(rule) => return Some(rejected(rule)),
        }
    }
    Some(Answer::accept(json!({"m1": hex(&answer?)})))
}

fn suites(value: &Value) -> Option<Vec<u16>> {
    value.as_array()?.iter().map(|suite| u16::try_from(suite.as_u64()?).ok()).collect()
}

fn handshake_m3(test: &Value) -> Option<Answer> {
    let state = &test["state"];
    Some(match read_m3(&bytes(&test["frame"])?, &bytes(&state["ck3"])?, &bytes(&state["th2"])?) {
        Ok((traffic_i, traffic_r)) => {
            Answer::accept(json!({"traffic_i": hex(&traffic_i), "traffic_r": hex(&traffic_r)}))
        }
        Err(rule) => rejected(rule),
    })
}

fn record_open(test: &Value) -> Option<Answer> {
    let opened = record::open(&bytes(&test["traffic"])?, &bytes(&test["stream"])?, test["fin"].as_bool()?);
    Some(opened.map_or_else(rejected, |opened| {
        let responder = test["role"] == "responder";
        if !responder && !opened.tickets.is_empty() {
            return Answer::reject("REC-013", "record-type");
        }
        let all = |list: &[Vec<u8>]| list.iter().map(|bytes| hex(bytes)).collect::<Vec<_>>();
        let mut output = json!({"contents": all(&opened.contents), "closed": opened.closed});
        if responder {
            output["tickets"] = all(&opened.tickets).into();
        }
        Answer::accept(output)
    }))
}

fn relay_pass(group: &Value, test: &Value) -> Option<Answer> {
    let key = bytes(&group["key"])?;
    let fields = PassFields {
        account: account(&key, &bytes(&test["user"])?),
        key,
        address: test["address"].as_str()?.to_owned(),
        circuit: bytes(&test["circuit"])?.try_into().ok()?,
        side: u8::try_from(test["side"].as_u64()?).ok()?,
        expires: test["expires"].as_u64()?,
    };
    Some(Answer::accept(json!({"pass": hex(&fields.seal())})))
}

fn relay_join(group: &Value, test: &Value) -> Option<Answer> {
    let mut relay = Relay {
        key: bytes(&group["key"])?,
        address: group["address"].as_str()?.to_owned(),
        now: test["now"].as_u64()?,
        accepted: Vec::new(),
    };
    let mut last = None;
    for connection in test["connections"].as_array()? {
        last = Some(relay.connection(&bytes(connection)?));
    }
    Some(match last? {
        Ok(answer) => Answer::accept(json!({"answer": answer_value(&answer)})),
        Err(rejection) => {
            let output = json!({"answer": refusal_value(rejection.reason)});
            Answer { output, ..rejected(rejection) }
        }
    })
}

fn record_seal(test: &Value) -> Option<Answer> {
    let mut direction = Direction::new(&bytes(&test["traffic"])?);
    let mut stream = Vec::new();
    for action in test["actions"].as_array()? {
        if action["key_update"] == true {
            stream.extend(direction.seal(record::KEY_UPDATE, &[], 0));
            direction.update();
        } else if action["close"] == true {
            stream.extend(direction.seal(record::CLOSE_NOTIFY, &[], 0));
        } else {
            stream.extend(direction.seal(record::DATA, &bytes(&action["data"])?, 0));
        }
    }
    Some(Answer::accept(json!({"stream": hex(&stream)})))
}

fn rejected(rule: Rejection) -> Answer {
    Answer::reject(rule.requirement, rule.reason)
}

fn verification(group: &Value, test: &Value) -> Option<Verification> {
    let proved = match &test["presenter"]["spki"] {
        Value::String(text) => Some(from_base64(text)?),
        _ => None,
    };
    let revoked = test["revoked"].as_array().map_or(&[][..], Vec::as_slice);
    Some(Verification {
        now: test["now"].as_u64()?,
        audience: group["audience"].as_str().unwrap_or_default().to_owned(),
        issuers: issuers(&group["issuers"])?,
        proved,
        revoked: revoked.iter().map(|subject| subject.as_str().map(str::to_owned)).collect::<Option<_>>()?,
    })
}

fn issuers(list: &Value) -> Option<Vec<Issuer>> {
    let key = |text: &Value| -> Option<RsaPublicKey> { public_key_from_spki(&from_base64(text.as_str()?)?) };
    let issuer = |issuer: &Value| -> Option<Issuer> {
        let keys = issuer["keys"].as_array()?.iter().map(key).collect::<Option<_>>()?;
        Some(Issuer { name: issuer["name"].as_str()?.to_owned(), keys })
    };
    list.as_array()?.iter().map(issuer).collect()
}

/// The `fields` of a `TicketIssue` test.
pub(super) fn issue_fields(fields: &Value) -> Option<TicketFields> {
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let words = |value: &Value| value.as_array()?.iter().map(word).collect::<Option<Vec<String>>>();
    let instant = |value: &Value| value.as_u64().map(time::to_text);
    let confirmation = match &fields["confirmation"] {
        Value::Null => None,
        spki => Some(ConfirmationKey::of(&public_key_from_spki(&from_base64(spki.as_str()?)?)?)),
    };
    let authn = match &fields["authn"] {
        Value::Null => None,
        authn => Some((instant(&authn["instant"])?, word(&authn["class"])?)),
    };
    let decision = |statement: &Value| -> Option<Decision> {
        Some(Decision {
            decision: word(&statement["decision"])?,
            resource: word(&statement["resource"])?,
            actions: words(&statement["actions"])?,
        })
    };
    let mut attributes = Vec::new();
    for (key, name) in [("key", uri::KEY), ("claim", uri::CLAIM), ("mapping", uri::MAPPING)] {
        let values = words(&fields["attributes"][key])?;
        if !values.is_empty() {
            attributes.push((name.to_owned(), values));
        }
    }
    Some(TicketFields {
        id: word(&fields["id"])?,
        issue_instant: instant(&fields["issue_instant"])?,
        issuer: word(&fields["issuer"])?,
        subject: word(&fields["subject"])?,
        confirmation,
        not_before: instant(&fields["not_before"])?,
        not_on_or_after: instant(&fields["not_on_or_after"])?,
        audience: word(&fields["audience"])?,
        authn,
        authz: fields["authz"].as_array()?.iter().map(decision).collect::<Option<_>>()?,
        attributes,
    })
}

fn private_key(value: &Value) -> Option<RsaPrivateKey> {
    private_key_from_der(&from_base64(value.as_str()?)?)
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    from_hex(value.as_str()?)
}
