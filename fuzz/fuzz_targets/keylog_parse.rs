//! Any bytes as a key log, as text or in what they say they are: the records that are found
//! are written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use libwebsockets::keylog::{self, Connections, Input, ParseError, Record};

fuzz_target!(|data: &[u8]| {
    let mut found = Connections::new();
    let mut records: Vec<Record> = Vec::new();
    let mut before = 0;
    for record in keylog::parse(data) {
        match record {
            Ok(record) => {
                records.push(record.clone());
                found.add(record);
            }
            Err(ParseError::Line { number, .. }) => {
                assert!(number > before, "a line twice");
                before = number;
            }
            Err(error) => panic!("memory can't fail: {error}"),
        }
    }
    let counted: u64 = found.labels().values().sum();
    assert_eq!(counted + found.duplicates(), records.len() as u64);
    for record in &records {
        let connection = found.get(record.client_random()).expect("it was added");
        assert!(connection.records().contains(record));
        let _ = (connection.conflicts(), connection.is_decryptable());
    }
    if let Ok(input) = Input::new(data) {
        let is_text = !data.starts_with(&[0x1f, 0x8b]) && !data.starts_with(b"\n\r\r\n");
        let count = keylog::parse(input).filter(Result::is_ok).count();
        assert!(!is_text || count == records.len(), "text is read as it is");
    }
    let mut written = Vec::new();
    found.write_to(&mut written).expect("memory can't fail");
    let again: Vec<Record> = keylog::parse(&written[..])
        .collect::<Result<_, _>>()
        .expect("what was written is whole");
    assert_eq!(again.len() as u64, counted);
});
