//! The example `chat`: who receives which messages, and how it ends.

use crate::common::peer::{open_over, read, read_close, tcp, upgrade, Raw, Socket};
use crate::common::programs::{example, Program};
use crate::NONE;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::ChildStdout;

/// The address that the chat prints in its first line.
#[track_caller]
fn address(line: &str) -> SocketAddr {
    line.trim_end()
        .strip_prefix("listening on ws://")
        .and_then(|rest| rest.strip_suffix("/?name=NAME"))
        .and_then(|address| address.parse().ok())
        .unwrap_or_else(|| panic!("{line:?}"))
}

/// Starts a chat, and reads only the first line of its output.
#[track_caller]
fn unread() -> (Program, BufReader<ChildStdout>, SocketAddr) {
    let (chat, out) = Program::start_unread(&mut example("chat", &NONE));
    let mut out = BufReader::new(out);
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    (chat, out, address(&line))
}

/// Joins a room under a name.
#[track_caller]
fn join(addr: SocketAddr, room: &str, name: &str) -> Socket {
    let url = format!("ws://{addr}/{room}?name={name}");
    open_over(Box::new(tcp(addr)), url).0
}

#[test]
fn the_chat_passes_messages_on_to_all_members() {
    let mut chat = Program::start(&mut example("chat", &NONE));
    let addr = address(&chat.line());
    let join = |name: &str| join(addr, "", name);
    let mut anna = join("anna");
    assert_eq!(read(&mut anna), "* here already: nobody".into());
    assert_eq!(read(&mut anna), "* anna has come".into());
    let mut bert = join("bert");
    assert_eq!(read(&mut bert), "* here already: anna".into());
    bert.send("good morning".into()).unwrap();
    chat.tell("closing at ten");
    let mut heard = Vec::new();
    for member in [&mut anna, &mut bert] {
        let mut lines = Vec::new();
        while !lines.iter().any(|line| line == "* closing at ten")
            || !lines.iter().any(|line| line == "bert: good morning")
        {
            lines.push(read(member).into_text().unwrap().to_string());
        }
        heard.push(lines);
    }
    assert!(heard[0].contains(&"* bert has come".into()), "{heard:?}");
    drop(bert);
    assert_eq!(read(&mut anna), "* bert has left".into());

    chat.signal("TERM");
    assert_eq!(read_close(&mut anna).map(|(code, _)| code), Some(1001));
    let ended = chat.end();
    assert_eq!((ended.status, &*ended.stderr), (Some(0), ""));
    for line in ["bert: good morning", "* closing at ten", "* bert has left"] {
        assert!(
            ended.stdout.iter().any(|own| own == line),
            "{line}: {ended:?}"
        );
    }
}

#[test]
fn a_room_is_separate_from_others_and_keeps_its_last_20_messages() {
    let mut chat = Program::start(&mut example("chat", &NONE));
    let addr = address(&chat.line());
    let mut anna = join(addr, "tea", "anna");
    let mut bert = join(addr, "coffee", "bert");
    assert_eq!(read(&mut bert), "* here already: nobody".into());
    assert_eq!(read(&mut bert), "* bert has come".into());
    for i in 0..25 {
        anna.send(format!("{i}").into()).unwrap();
    }
    while read(&mut anna) != "anna: 24".into() {}
    let mut carl = join(addr, "tea", "carl");
    assert_eq!(read(&mut carl), "* here already: anna".into());
    for i in 5..25 {
        assert_eq!(read(&mut carl), format!("anna: {i}").into());
    }
    assert_eq!(read(&mut carl), "* carl has come".into());
    chat.tell("closing at ten");
    for member in [&mut bert, &mut carl] {
        assert_eq!(read(member), "* closing at ten".into());
    }
    carl.send("x".repeat(4097).into()).unwrap();
    assert_eq!(read_close(&mut carl).map(|(code, _)| code), Some(1009));
}

#[test]
fn the_chat_refuses_a_name_that_is_not_printable() {
    let chat = Program::start(&mut example("chat", &NONE));
    let addr = address(&chat.line());
    for name in ["%00", "%1b%5b", "%E2%80%AE", &"x".repeat(33), ""] {
        let answer = Raw::connect(addr).ask(&upgrade(&format!("/?name={name}"), ""));
        assert_eq!(answer.status, 403, "{name}: {answer:?}");
        assert!(answer.body.contains("32 bytes"), "{answer:?}");
    }
}

/// Lost: a chat that goes on without delivering messages, because its output was closed.
#[test]
fn a_chat_that_cannot_print_any_more_closes_its_connections_and_ends() {
    let (chat, out, addr) = unread();
    let mut anna = join(addr, "", "anna");
    assert_eq!(read(&mut anna), "* here already: nobody".into());
    assert_eq!(read(&mut anna), "* anna has come".into());
    drop(out);
    anna.send("is anybody there?".into()).unwrap();
    assert_eq!(read_close(&mut anna).map(|(code, _)| code), Some(1001));
    let ended = chat.end();
    assert_eq!(ended.status, Some(1));
    let why = "error: cannot write to the standard output";
    assert!(ended.stderr.starts_with(why), "{ended:?}");
}

/// Lost: the machine's memory, to one member and a terminal that has stopped.
#[test]
fn a_member_who_sends_more_than_the_chat_can_print_is_closed() {
    let (_chat, _out, addr) = unread();
    let mut anna = join(addr, "", "anna");
    let text = "x".repeat(4096);
    // As many as a pipe holds, and as may wait, and some.
    for _ in 0..16 + 1000 + 100 {
        anna.send(text.as_str().into()).unwrap();
    }
    assert_eq!(read_close(&mut anna).map(|(code, _)| code), Some(1013));
}

/// Lost: a terminal, to escape sequences; and who wrote a line, to a newline in a message.
#[test]
fn control_characters_are_escaped() {
    let chat = Program::start(&mut example("chat", &NONE));
    let addr = address(&chat.line());
    let mut anna = join(addr, "", "anna");
    assert_eq!(read(&mut anna), "* here already: nobody".into());
    assert_eq!(read(&mut anna), "* anna has come".into());
    assert_eq!(chat.line(), "* anna has come");
    for (said, shown) in [
        ("hi\nbert: I quit", r"anna: hi\nbert: I quit"),
        ("\x1b[2J\x07\u{9b}2J", r"anna: \u{1b}[2J\u{7}\u{9b}2J"),
        ("a\u{202e}b\u{2028}c", r"anna: a\u{202e}b\u{2028}c"),
        (r"äöü \n 🦀", r"anna: äöü \n 🦀"),
    ] {
        anna.send(said.into()).unwrap();
        assert_eq!(read(&mut anna), shown.into());
        assert_eq!(chat.line(), shown);
    }
}
