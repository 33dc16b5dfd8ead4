//! The examples as programs, over TLS: certificates, versions, key logs.

#![cfg(all(feature = "_tls", unix))]

mod common;

use common::certs::{tls_stream, Ca};
use common::peer::{upgrade, Raw};
use common::programs::{run, EchoServer, Ended};
use common::temp::TempDir;
use rustls::version::{TLS12, TLS13};
use std::path::Path;

/// A server with a certificate for localhost, and more arguments.
#[track_caller]
fn server(dir: &TempDir, ca: &Ca, args: &[&str]) -> EchoServer {
    let identity = ca.sign(&["localhost"]);
    let (cert, key) = (dir.file("cert.pem"), dir.file("key.pem"));
    std::fs::write(&cert, identity.cert).unwrap();
    std::fs::write(&key, identity.key).unwrap();
    let own = ["--tls", "--cert", text(&cert), "--key", text(&key)];
    let server = EchoServer::start(&[&own, args].concat());
    assert!(server.url.starts_with("wss://localhost:"), "{}", server.url);
    server
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a folder for tests has a plain name")
}

/// A CA's certificate in a file.
fn file(dir: &TempDir, ca: &Ca, name: &str) -> String {
    let path = dir.file(name);
    std::fs::write(&path, &ca.pem).unwrap();
    text(&path).to_owned()
}

#[track_caller]
fn succeeds(ended: &Ended) {
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(
        (&*ended.stdout, &*ended.stderr),
        (&["hello".to_owned()][..], "")
    );
}

#[track_caller]
fn fails(ended: &Ended, says: &str) {
    assert_eq!(
        (ended.status, ended.stdout.len()),
        (Some(1), 0),
        "{ended:?}"
    );
    assert!(ended.stderr.starts_with("error: "), "{ended:?}");
    assert!(ended.stderr.contains(says), "{ended:?}");
}

#[test]
fn a_self_signed_server_is_reached_by_those_who_accept_anything() {
    let server = EchoServer::start(&["--tls"]);
    assert_eq!(
        server.url,
        format!("wss://localhost:{}/", server.addr.port())
    );
    succeeds(&run("echo_client", &[&server.url, "--insecure"]));
    fails(&run("echo_client", &[&server.url]), &server.url);
}

#[test]
fn a_client_trusts_the_ca_that_it_is_given_and_no_other() {
    let (dir, ca, other) = (TempDir::new(), Ca::new(), Ca::new());
    let server = server(&dir, &ca, &[]);
    let (right, wrong) = (file(&dir, &ca, "ca.pem"), file(&dir, &other, "other.pem"));
    succeeds(&run("echo_client", &[&server.url, "--ca", &right]));
    fails(
        &run("echo_client", &[&server.url, "--ca", &wrong]),
        &server.url,
    );
    let missing = dir.file("missing.pem");
    let ended = run("echo_client", &[&server.url, "--ca", text(&missing)]);
    fails(&ended, "missing.pem");
    // The certificate is for the name, not for the address.
    let url = format!("wss://{}/", server.addr);
    fails(&run("echo_client", &[&url, "--ca", &right]), &url);
}

#[test]
fn the_newest_version_of_tls_is_the_one_that_is_given() {
    let (dir, ca) = (TempDir::new(), Ca::new());
    // Whether a client gets in that speaks this version alone.
    let enters = |server: &EchoServer, version| {
        let config = ca.rustls_client_of(&[version]);
        let mut stream = tls_stream(server.addr, "localhost", config);
        let done = std::io::Write::write_all(&mut stream, upgrade("/", "").as_bytes());
        done.is_ok() && Raw::over(stream).answer().status == 101
    };
    for (args, newest) in [
        (&["--tls-max", "1.2"][..], false),
        (&["--tls-max", "1.3"], true),
        (&[], true),
    ] {
        let server = server(&dir, &ca, args);
        assert!(enters(&server, &TLS12), "{args:?}");
        assert_eq!(enters(&server, &TLS13), newest, "{args:?}");
    }
}

#[test]
fn options_for_tls_are_never_ignored() {
    for args in [
        &["--cert", "c", "--key", "k"][..],
        &["--cert", "c"],
        &["--key", "k"],
        &["--tls-max", "1.2"],
    ] {
        fails(&run("echo_server", args), "--tls ");
        fails(&run("echo_server", args), args[0]);
    }
    fails(&run("echo_server", &["--tls", "--cert", "c"]), "--key");
    fails(&run("echo_server", &["--tls", "--key", "k"]), "--cert");
    fails(&run("echo_server", &["--tls", "--tls-max", "1.1"]), "1.1");
    fails(&run("echo_server", &["--tls", "--tls"]), "--tls");
    let missing = ["--tls", "--cert", "missing.pem", "--key", "missing.key"];
    fails(&run("echo_server", &missing), "missing.pem");
    let url = "wss://127.0.0.1:1/";
    let both = [url, "--insecure", "--ca", "ca.pem"];
    fails(&run("echo_client", &both), "--ca and --insecure");
    let forgotten = [url, "--ca", "--insecure"];
    fails(&run("echo_client", &forgotten), "--ca needs a path");
}

#[cfg(feature = "keylog")]
mod keylog {
    use super::*;
    use common::programs::{example, Program};
    use common::secrets::{labels, lines, open_tls, randoms, TLS13};
    use common::{client_context, probe};
    use libwebsockets::keylog::env_name;
    use libwebsockets::tls::ClientTls;
    use libwebsockets::Client;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::process::Command;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn the_servers_log_holds_each_connection_for_its_owner_alone() {
        let (dir, ca) = (TempDir::new(), Ca::new());
        let path = dir.file("keys.log");
        let server = server(&dir, &ca, &["--keylog", text(&path)]);
        let (_socket, random) = open_tls(server.addr, ca.rustls_client());
        assert_eq!(labels(&lines(&path), &random), TLS13);
        assert_eq!(mode(&path), 0o600);
    }

    /// Lost: that a program writes secrets, to whoever starts it.
    #[track_caller]
    fn succeeds_and_warns(mut ended: Ended) {
        let says = std::mem::take(&mut ended.stderr);
        assert!(says.contains("TLS secrets are being written to"), "{says}");
        assert_eq!(says.lines().count(), 1, "{says}");
        succeeds(&ended);
    }

    #[test]
    fn both_programs_log_the_same_secrets() {
        let (dir, ca) = (TempDir::new(), Ca::new());
        let (ours, theirs) = (dir.file("server.log"), dir.file("client.log"));
        let server = server(&dir, &ca, &["--keylog", text(&ours)]);
        let ca = file(&dir, &ca, "ca.pem");
        let args = [&server.url, "--ca", &ca, "--keylog", text(&theirs)];
        succeeds_and_warns(run("echo_client", &args));
        assert_eq!(randoms(&lines(&theirs)).len(), 1);
        assert_eq!(lines(&theirs), lines(&ours));
        assert_eq!(mode(&theirs), 0o600);
    }

    #[test]
    fn the_chat_rooms_log_is_switched_from_its_terminal() {
        let dir = TempDir::new();
        let path = dir.file("keys.log");
        let args = ["--tls", "--keylog", text(&path)];
        let mut room = Program::start(&mut example("chat", &args));
        let line = room.line();
        let addr = line
            .strip_prefix("listening on wss://")
            .and_then(|rest| rest.strip_suffix("/?name=NAME"))
            .unwrap_or_else(|| panic!("{line:?}"));
        let mut enters = |order: &str, name: &str| {
            room.tell(order);
            let said = room.line();
            let (probe, events) = probe();
            let client = client_context();
            let to = Client::new(&format!("wss://{addr}/?name={name}")).unwrap();
            let to = to.tls(ClientTls::new().danger_accept_anything());
            drop(client.handle.connect(to, probe).unwrap());
            events.open();
            assert_eq!(room.line(), format!("* {name} has come"));
            // Gone before the next one comes, for that is told as well.
            client.stop().unwrap().unwrap();
            assert_eq!(room.line(), format!("* {name} has left"));
            said
        };
        let said = enters("/keylog off", "anna");
        assert!(said.contains("switched off"), "{said}");
        assert_eq!(enters("/keylog on", "bert"), "key log: on, 0 records");
        assert_eq!(enters("/keylog", "carl"), "key log: on, 5 records");
        assert_eq!(randoms(&lines(&path)).len(), 2);
    }

    #[test]
    fn a_log_that_is_off_stays_off_whatever_the_variable_says() {
        let variable = env_name().expect("this build reads a variable");
        let dir = TempDir::new();
        let (on, off) = (dir.file("on.log"), dir.file("off.log"));
        let start = |args: &[&str], log: &Path| {
            EchoServer::of(example("echo_server", args).env(variable, log))
        };
        let heeds = start(&["--tls"], &on);
        let ignores = start(&["--tls", "--keylog-off"], &off);
        for server in [&heeds, &ignores] {
            let talk = [&*server.url, "--insecure", "--keylog-off"];
            let client = Program::start(example("echo_client", &talk).env(variable, &off));
            succeeds(&client.end());
        }
        assert_eq!(randoms(&lines(&on)).len(), 1);
        assert_eq!(dir.names(), ["on.log"]);
    }

    #[test]
    fn a_log_that_cannot_be_written_is_an_error_of_the_start() {
        let dir = TempDir::new();
        let path = dir.file("missing/keys.log");
        let keylog = ["--keylog", text(&path)];
        fails(&run("echo_server", &keylog), "missing/keys.log");
        let client = [&["wss://127.0.0.1:1/"], &keylog[..]].concat();
        fails(&run("echo_client", &client), "missing/keys.log");
        let both = ["--keylog", "keys.log", "--keylog-off"];
        fails(&run("echo_server", &both), "--keylog-off");
        let forgotten = ["--keylog", "--keylog-off"];
        fails(&run("echo_server", &forgotten), "--keylog needs a path");
    }

    #[cfg(target_os = "linux")] // elsewhere file names may have to be UTF-8
    #[test]
    fn a_path_need_not_be_utf8() {
        let (dir, ca) = (TempDir::new(), Ca::new());
        let identity = ca.sign(&["localhost"]);
        let path = |name: &[u8]| dir.path().join(OsStr::from_bytes(name));
        let (cert, key, roots) = (path(b"cert\xff"), path(b"key\xff"), path(b"ca\xff"));
        let (ours, theirs) = (path(b"server\xff"), path(b"client\xff"));
        std::fs::write(&cert, &identity.cert).unwrap();
        std::fs::write(&key, &identity.key).unwrap();
        std::fs::write(&roots, &ca.pem).unwrap();
        let mut command = example("echo_server", &["--tls", "--cert"]);
        command.args([&cert, Path::new("--key"), &key]);
        let server = EchoServer::of(command.arg("--keylog").arg(&ours));
        let mut command = example("echo_client", &[&server.url]);
        command.args([Path::new("--ca"), &roots]);
        let client = Program::start(command.arg("--keylog").arg(&theirs));
        succeeds_and_warns(client.end());
        assert_eq!(lines(&ours), lines(&theirs));
    }

    /// Runs the example of this name, without tshark, and with a folder for
    /// temporary files of its own.
    fn demo(dir: &TempDir, args: &[&str]) -> Ended {
        let mut command = example("keylog", args);
        command.env("TMPDIR", dir.path()).env_remove("TSHARK");
        let ended = Program::start(command.env("PATH", "")).end();
        assert_eq!(ended.status, Some(0), "{ended:?}");
        ended
    }

    #[test]
    fn the_demonstration_ends_well_without_tshark_and_leaves_nothing() {
        let dir = TempDir::new();
        let ended = demo(&dir, &[]);
        let said = ended.stdout.join("\n");
        assert!(said.contains("logged the same secrets"), "{said}");
        assert!(said.contains("There is no tshark here"), "{said}");
        assert!(ended.stderr.contains("WARN"), "{}", ended.stderr);
        assert_eq!(dir.names(), [""; 0]);
    }

    /// Lost: secrets that stay where anybody may look later; and a demonstration, to what an
    /// earlier process with the same id has left.
    #[test]
    fn the_demonstration_leaves_nothing_when_a_signal_ends_it() {
        let dir = TempDir::new();
        // The demonstration waits for this one.
        let tshark = dir.file("tshark");
        std::fs::write(&tshark, "#!/bin/sh\nexec sleep 5\n").unwrap();
        std::fs::set_permissions(&tshark, PermissionsExt::from_mode(0o700)).unwrap();
        let temporary = dir.file("temporary");
        std::fs::create_dir(&temporary).unwrap();
        let demo = example("keylog", &[""; 0]);
        let mut command = Command::new("sh");
        let script = "mkdir \"$TMPDIR/libwebsockets-keylog-demo-$$\"; exec \"$0\"";
        command.args(["-c", script]).arg(demo.get_program());
        for (name, _) in demo.get_envs() {
            command.env_remove(name);
        }
        command.env("TMPDIR", &temporary).env("TSHARK", &tshark);
        let program = Program::start(&mut command);
        assert!(program.line().starts_with("Three contexts"));
        let made = || std::fs::read_dir(&temporary).unwrap().count();
        assert_eq!(made(), 2);
        program.signal("INT");
        assert_eq!(program.end().status, Some(1));
        assert_eq!(made(), 1);
    }

    #[test]
    fn the_demonstration_keeps_its_files_where_that_is_asked_for() {
        let dir = TempDir::new();
        let ended = demo(&dir, &["--keep"]);
        for name in ["capture.pcapng", "server.keys", "client.keys"] {
            let mut paths = ended.stdout.iter().map(|line| Path::new(line.trim()));
            let path = paths.find(|path| path.ends_with(name) && path.is_absolute());
            let path = path.unwrap_or_else(|| panic!("{name}: {ended:?}"));
            assert!(std::fs::metadata(path).unwrap().len() > 0, "{name}");
        }
    }
}
