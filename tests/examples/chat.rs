//! The example with chat rooms: who hears what, and how it ends.

use crate::common::peer::{open_over, read, read_close, tcp, upgrade, Raw, Socket};
use crate::common::programs::{example, Program};
use crate::NONE;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::ChildStdout;

/// Where the chat's first line says that it listens.
#[track_caller]
fn address(line: &str) -> SocketAddr {
    line.trim_end()
        .strip_prefix("listening on ws://")
        .and_then(|rest| rest.strip_suffix("/?name=NAME"))
        .and_then(|address| address.parse().ok())
        .unwrap_or_else(|| panic!("{line:?}"))
}

/// A chat of whose output only the first line is read.
#[track_caller]
fn unread() -> (Program, BufReader<ChildStdout>, SocketAddr) {
    let (house, out) = Program::start_unread(&mut example("chat", &NONE));
    let mut out = BufReader::new(out);
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    (house, out, address(&line))
}

/// Enters a room as somebody.
#[track_caller]
fn enter(addr: SocketAddr, room: &str, name: &str) -> Socket {
    let url = format!("ws://{addr}/{room}?name={name}");
    open_over(Box::new(tcp(addr)), url).0
}

#[test]
fn the_chat_room_passes_on_what_its_guests_say() {
    let mut room = Program::start(&mut example("chat", &NONE));
    let addr = address(&room.line());
    let enter = |name: &str| enter(addr, "", name);
    let mut anna = enter("anna");
    assert_eq!(read(&mut anna), "* here already: nobody".into());
    assert_eq!(read(&mut anna), "* anna has come".into());
    let mut bert = enter("bert");
    assert_eq!(read(&mut bert), "* here already: anna".into());
    bert.send("good morning".into()).unwrap();
    room.tell("closing at ten");
    let mut heard = Vec::new();
    for guest in [&mut anna, &mut bert] {
        let mut lines = Vec::new();
        while !lines.iter().any(|line| line == "* closing at ten")
            || !lines.iter().any(|line| line == "bert: good morning")
        {
            lines.push(read(guest).into_text().unwrap().to_string());
        }
        heard.push(lines);
    }
    assert!(heard[0].contains(&"* bert has come".into()), "{heard:?}");
    drop(bert);
    assert_eq!(read(&mut anna), "* bert has left".into());

    room.signal("TERM");
    assert_eq!(read_close(&mut anna).map(|(code, _)| code), Some(1001));
    let ended = room.end();
    assert_eq!((ended.status, &*ended.stderr), (Some(0), ""));
    for line in ["bert: good morning", "* closing at ten", "* bert has left"] {
        assert!(
            ended.stdout.iter().any(|own| own == line),
            "{line}: {ended:?}"
        );
    }
}

#[test]
fn a_chat_room_is_apart_from_others_and_remembers_its_last_20_messages() {
    let mut house = Program::start(&mut example("chat", &NONE));
    let addr = address(&house.line());
    let mut anna = enter(addr, "tea", "anna");
    let mut bert = enter(addr, "coffee", "bert");
    assert_eq!(read(&mut bert), "* here already: nobody".into());
    assert_eq!(read(&mut bert), "* bert has come".into());
    for i in 0..25 {
        anna.send(format!("{i}").into()).unwrap();
    }
    while read(&mut anna) != "anna: 24".into() {}
    let mut carl = enter(addr, "tea", "carl");
    assert_eq!(read(&mut carl), "* here already: anna".into());
    for i in 5..25 {
        assert_eq!(read(&mut carl), format!("anna: {i}").into());
    }
    assert_eq!(read(&mut carl), "* carl has come".into());
    house.tell("closing at ten");
    for guest in [&mut bert, &mut carl] {
        assert_eq!(read(guest), "* closing at ten".into());
    }
    carl.send("x".repeat(4097).into()).unwrap();
    assert_eq!(read_close(&mut carl).map(|(code, _)| code), Some(1009));
}

#[test]
fn the_chat_room_refuses_a_name_that_nobody_can_read() {
    let room = Program::start(&mut example("chat", &NONE));
    let addr = address(&room.line());
    for name in ["%00", "%1b%5b", "%E2%80%AE", &"x".repeat(33), ""] {
        let answer = Raw::connect(addr).ask(&upgrade(&format!("/?name={name}"), ""));
        assert_eq!(answer.status, 403, "{name}: {answer:?}");
        assert!(answer.body.contains("32 bytes"), "{answer:?}");
    }
}

/// Lost: a chat in which nobody hears anybody, because whoever read its output left.
#[test]
fn a_chat_that_cannot_print_any_more_sends_its_guests_away_and_ends() {
    let (house, out, addr) = unread();
    let mut anna = enter(addr, "", "anna");
    assert_eq!(read(&mut anna), "* here already: nobody".into());
    assert_eq!(read(&mut anna), "* anna has come".into());
    drop(out);
    anna.send("is anybody there?".into()).unwrap();
    assert_eq!(read_close(&mut anna).map(|(code, _)| code), Some(1001));
    let ended = house.end();
    assert_eq!(ended.status, Some(1));
    let why = "error: cannot write to the standard output";
    assert!(ended.stderr.starts_with(why), "{ended:?}");
}

/// Lost: the machine's memory, to one guest and a terminal that has stopped.
#[test]
fn a_guest_who_says_more_than_the_house_can_print_is_sent_away() {
    let (_house, _out, addr) = unread();
    let mut anna = enter(addr, "", "anna");
    let text = "x".repeat(4096);
    // As many as a pipe holds, and as may wait, and some.
    for _ in 0..16 + 1000 + 100 {
        anna.send(text.as_str().into()).unwrap();
    }
    assert_eq!(read_close(&mut anna).map(|(code, _)| code), Some(1013));
}

/// Lost: a terminal to escape sequences, and a guest's good name to somebody else's newline.
#[test]
fn what_would_steer_a_terminal_is_spelt_out() {
    let house = Program::start(&mut example("chat", &NONE));
    let addr = address(&house.line());
    let mut anna = enter(addr, "", "anna");
    assert_eq!(read(&mut anna), "* here already: nobody".into());
    assert_eq!(read(&mut anna), "* anna has come".into());
    assert_eq!(house.line(), "* anna has come");
    for (said, shown) in [
        ("hi\nbert: I quit", r"anna: hi\nbert: I quit"),
        ("\x1b[2J\x07\u{9b}2J", r"anna: \u{1b}[2J\u{7}\u{9b}2J"),
        ("a\u{202e}b\u{2028}c", r"anna: a\u{202e}b\u{2028}c"),
        (r"äöü \n 🦀", r"anna: äöü \n 🦀"),
    ] {
        anna.send(said.into()).unwrap();
        assert_eq!(read(&mut anna), shown.into());
        assert_eq!(house.line(), shown);
    }
}
