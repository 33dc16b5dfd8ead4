//! Unix domain sockets: what is served there, what is at the path before, and
//! what is left of it.

#![cfg(all(feature = "unix-sockets", unix))]

mod common;

use common::temp::TempDir;
use common::{client_context, probe, Echo, Running, WAIT};
use libwebsockets::{Client, Connection, Context, Error, Handler, Refusal, Vhost};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// An echo server at a path.
fn try_serve(path: &Path) -> Result<Running, Error> {
    let path = path.to_owned();
    Running::try_start(move || {
        Context::builder().vhost(Vhost::listen_unix(path).accept(|_| Ok(Echo)))
    })
}

/// Exchanges a message with an echo server.
#[track_caller]
fn echoes(path: &Path) {
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::unix(path, "/").unwrap();
    let connecting = client.handle.connect(to, probe).unwrap();
    let id = connecting.wait(WAIT).unwrap();
    assert_eq!(events.open(), id);
    client.handle.send(id, "hello").unwrap();
    assert_eq!(events.message().as_text(), Some("hello"));
}

/// A server can't be there; the error names the path, and has this reason.
#[track_caller]
fn refuses(path: &Path, reason: ErrorKind) -> String {
    let error = try_serve(path).err().expect("an error");
    let Error::Listen {
        address, source, ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(Path::new(address), path);
    assert_eq!(source.kind(), reason, "{source}");
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    text
}

#[test]
fn a_unix_domain_socket_is_served_and_connected_to() {
    let dir = TempDir::new();
    let path = dir.file("socket");
    let _server = try_serve(&path).unwrap();
    echoes(&path);
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "others may not connect");
}

#[test]
fn its_peers_have_no_address_and_its_path_is_a_request() {
    struct Tells(mpsc::Sender<bool>);
    impl Handler for Tells {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            self.0.send(conn.peer_addr().is_none()).unwrap();
        }
    }
    let dir = TempDir::new();
    let path = dir.file("socket");
    let listen = path.clone();
    let (tell, told) = mpsc::channel();
    let _server = Running::start(move || {
        let vhost = Vhost::listen_unix(listen).accept(move |request| {
            assert_eq!(request.path(), "/room");
            assert_eq!(request.query(), [("n".to_owned(), "1".to_owned())]);
            Ok(Tells(tell.clone()))
        });
        Context::builder().vhost(vhost)
    });
    let client = client_context();
    let to = Client::unix(&path, "/room?n=1").unwrap();
    let connecting = client.handle.connect(to, probe().0).unwrap();
    connecting.wait(WAIT).unwrap();
    assert!(told.recv_timeout(WAIT).unwrap());
}

#[test]
fn two_vhosts_share_a_socket() {
    let dir = TempDir::new();
    let path = dir.file("socket");
    let listen = path.clone();
    let server = Running::start(move || {
        let vhost = |name: &'static str| {
            Vhost::listen_unix(listen.clone())
                .name(name)
                .unwrap()
                .accept(move |_| Err::<Echo, _>(Refusal::forbidden().body(name)))
        };
        let own = Vhost::listen_unix(listen.clone()).accept(|_| Ok(Echo));
        Context::builder().vhost(vhost("one.test")).vhost(own)
    });
    // The Host header of a client is "localhost", the second one's name.
    echoes(&path);
    drop(server);
    assert!(dir.names().is_empty());
}

// Lost: a file of the user's, by a path that was mistyped.
#[test]
fn what_is_no_socket_is_left_alone() {
    let dir = TempDir::new();
    let file = dir.file("precious");
    std::fs::write(&file, "contents").unwrap();
    let text = refuses(&file, ErrorKind::AlreadyExists);
    assert!(text.contains("no socket"), "{text}");
    assert_eq!(std::fs::read(&file).unwrap(), b"contents");

    let folder = dir.file("folder");
    std::fs::create_dir(&folder).unwrap();
    refuses(&folder, ErrorKind::AlreadyExists);

    let link = dir.file("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    refuses(&link, ErrorKind::AlreadyExists);
    assert_eq!(dir.names(), ["folder", "link", "precious"]);
}

// Lost: a server that runs, by the start of a second one.
#[test]
fn a_server_that_runs_keeps_its_socket() {
    let dir = TempDir::new();
    let ours = dir.file("ours");
    let server = try_serve(&ours).unwrap();
    refuses(&ours, ErrorKind::AddrInUse);
    echoes(&ours);

    // Of others too, also one that takes no connections, which isn't waited for.
    let path = dir.file("stream");
    let theirs = UnixListener::bind(&path).unwrap();
    refuses(&path, ErrorKind::AddrInUse);
    theirs.set_nonblocking(true).unwrap();
    let untouched = theirs.accept().unwrap_err();
    assert_eq!(untouched.kind(), ErrorKind::WouldBlock, "it had no visit");
    let path = dir.file("datagrams");
    let _theirs = UnixDatagram::bind(&path).unwrap();
    refuses(&path, ErrorKind::AddrInUse);

    drop(server);
    assert_eq!(dir.names(), ["datagrams", "stream"]);
}

#[test]
fn the_socket_of_a_server_that_is_gone_is_replaced() {
    let dir = TempDir::new();
    let path = dir.file("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _server = try_serve(&path).unwrap();
    echoes(&path);
}

// Lost: the socket of a server that starts at the same time, and with it all its clients.
#[test]
fn a_server_waits_while_another_starts_beside_it() {
    let dir = TempDir::new();
    let path = dir.file("socket");
    drop(UnixListener::bind(&path).unwrap());
    // The other one looks at what is at the path, and takes its place.
    let turn = std::fs::File::open(dir.path()).unwrap();
    turn.lock().unwrap();
    let at = path.clone();
    let starting = std::thread::spawn(move || try_serve(&at).map(drop));
    std::thread::sleep(Duration::from_millis(300));
    std::fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    turn.unlock().unwrap();
    let error = starting.join().unwrap().unwrap_err();
    assert!(matches!(error, Error::Listen { .. }), "{error:?}");
    assert!(UnixStream::connect(&path).is_ok(), "it is there still");
}

#[test]
fn of_servers_that_start_at_once_one_has_the_path() {
    let dir = TempDir::new();
    let path = dir.file("socket");
    drop(UnixListener::bind(&path).unwrap());
    let starting = [(); 4].map(|()| {
        let path = path.clone();
        std::thread::spawn(move || try_serve(&path).ok())
    });
    let servers = starting.map(|server| server.join().unwrap());
    assert_eq!(servers.iter().flatten().count(), 1);
    echoes(&path);
}

// Lost: the start of a server, while someone else keeps a lock on the folder.
#[test]
fn a_folder_that_others_lock_is_served_in() {
    let dir = TempDir::new();
    let folder = std::fs::File::open(dir.path()).unwrap();
    folder.lock().unwrap();
    let path = dir.file("socket");
    let _server = try_serve(&path).unwrap();
    echoes(&path);
}

#[test]
fn a_path_that_cannot_be_bound_says_why() {
    let dir = TempDir::new();
    refuses(&dir.file("missing/socket"), ErrorKind::NotFound);
    let file = dir.file("file");
    std::fs::write(&file, "").unwrap();
    refuses(&file.join("socket"), ErrorKind::NotADirectory);
    assert_eq!(dir.names(), ["file"]);
}

// Nobody may make sockets there, not even root.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_may_not_be_written_is_an_error() {
    let error = try_serve(Path::new("/proc/self/socket")).err().unwrap();
    assert!(matches!(error, Error::Listen { .. }), "{error:?}");
    assert!(error.to_string().contains("/proc/self/socket"), "{error}");
}

#[test]
fn the_socket_is_removed_with_its_context() {
    let dir = TempDir::new();
    let path = dir.file("socket");
    for _ in 0..2 {
        let server = try_serve(&path).unwrap();
        assert_eq!(dir.names(), ["socket"]);
        drop(server);
        assert!(dir.names().is_empty());
    }
    // Also if a later vhost can't be built.
    let listen = path.clone();
    let missing = dir.file("missing/socket");
    let error = Running::try_start(move || {
        Context::builder()
            .vhost(Vhost::listen_unix(listen).accept(|_| Ok(Echo)))
            .vhost(Vhost::listen_unix(missing).accept(|_| Ok(Echo)))
    });
    assert!(error.is_err());
    assert!(dir.names().is_empty());
}

// Lost: the socket of the server that came after, when this one ends.
#[test]
fn a_socket_that_took_the_place_stays() {
    let dir = TempDir::new();
    let path = dir.file("socket");
    let first = try_serve(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let second = try_serve(&path).unwrap();
    drop(first);
    echoes(&path);
    drop(second);
    assert!(dir.names().is_empty());

    let first = try_serve(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "something else").unwrap();
    drop(first);
    assert_eq!(std::fs::read(&path).unwrap(), b"something else");
}

#[test]
fn paths_that_fit_no_socket_are_refused_by_both_roles() {
    for path in [
        Path::new("").to_owned(),
        PathBuf::from("/tmp").join("x".repeat(120)),
        Path::new("/tmp/a\0b").to_owned(),
        Path::new(OsStr::from_bytes(b"/tmp/\xff")).to_owned(),
        // The C library would take it for another kind of name.
        Path::new("@socket").to_owned(),
    ] {
        let ours = Client::unix(&path, "/").unwrap_err().to_string();
        let error = try_serve(&path).err().expect("an error");
        assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
        for text in [ours, error.to_string()] {
            assert!(text.contains("100 bytes"), "{text}");
            assert!(text.contains(&format!("{path:?}")), "{text}");
        }
    }
}

#[test]
fn a_request_target_that_is_none_is_refused() {
    let path = Path::new("/tmp/socket");
    for (target, why) in [
        ("", "slash"),
        ("room", "slash"),
        ("http://localhost/", "slash"),
        ("/a b", "request target"),
        ("/a\r\nx: y", "request target"),
        ("/a\0", "request target"),
        ("/a#part", "fragment"),
        (&format!("/{}", "x".repeat(9000)), "8192"),
    ] {
        let text = Client::unix(path, target).unwrap_err().to_string();
        assert!(text.contains(why), "{target:?}: {text}");
        assert!(text.len() < 300, "{}", text.len());
    }
    assert!(Client::unix(path, "/room?n=1").is_ok());
}
