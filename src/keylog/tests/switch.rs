//! Who asks, and the operations of the handle. Lost without these: a log that can't
//! be switched, or that runs though nobody asked.

use super::{line, lines, record, start, Dir};
use crate::ffi::keylog::Variable;
use crate::keylog::env::from_variable;
use crate::keylog::{self, KeyLog, KeyLogError, KeyLogHandle, Problem, Source};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[test]
fn a_handle_goes_to_any_thread() {
    fn check<T: Send + Sync + Clone + std::fmt::Debug + 'static>() {}
    check::<KeyLogHandle>();
    check::<KeyLog>();
}

#[test]
fn off_is_off_until_the_application_sets_a_path_and_enables() {
    let dir = Dir::new("off");
    let handle = keylog::start(&KeyLog::off()).unwrap();
    let stats = handle.stats();
    assert_eq!(
        (stats.requested_by, stats.problem),
        (Source::Off, Some(Problem::NoPath))
    );
    let error = handle.enable().unwrap_err();
    assert!(matches!(error, KeyLogError::NoPath), "{error}");
    assert!(error
        .to_string()
        .contains("no path is set: call set_path() first"));
    assert!(!handle.is_enabled() && handle.path().is_none());

    let path = dir.path("keys.log");
    handle.set_path(&path).unwrap();
    record(&handle, &line(0, 0));
    assert!(!path.exists() && !handle.is_enabled());
    assert_eq!(handle.path().as_ref(), Some(&path));
    let stats = handle.stats();
    assert_eq!(
        (stats.requested_by, stats.problem),
        (Source::Api, Some(Problem::Disabled))
    );

    handle.enable().unwrap();
    handle.enable().unwrap();
    record(&handle, &line(0, 1));
    assert!(handle.is_enabled());
    assert_eq!(handle.stats().problem, None);

    handle.disable();
    handle.disable();
    record(&handle, &line(0, 2));
    assert_eq!(lines(&path), [line(0, 1)]);
    assert_eq!(handle.stats().written, 1);
}

#[test]
fn enabled_without_a_path_is_an_error_only_if_the_application_asked() {
    let error = keylog::start(&KeyLog::off().enabled(true)).unwrap_err();
    assert!(matches!(error, KeyLogError::NoPath));
    let handle = from_variable(&KeyLog::from_env().enabled(true), Variable::Unset);
    let stats = handle.stats();
    assert_eq!(
        (stats.requested_by, stats.problem),
        (Source::Off, Some(Problem::NoPath))
    );
}

#[test]
fn the_variable_starts_a_log() {
    let dir = Dir::new("variable");
    let path = dir.path("keys.log");
    let set = || Variable::Set(path.clone().into());
    let handle = from_variable(&KeyLog::default().enabled(false), set());
    assert!(!handle.is_enabled() && !path.exists());
    let handle = from_variable(&KeyLog::default(), set());
    record(&handle, &line(0, 0));
    let stats = handle.stats();
    assert_eq!(
        (stats.requested_by, stats.problem),
        (Source::Variable, None)
    );
    assert_eq!(lines(&path), [line(0, 0)]);
}

#[test]
fn a_variable_that_asks_in_vain_stops_nothing_and_is_visible() {
    let dir = Dir::new("vain");
    let path = dir.path("missing/keys.log");
    let handle = from_variable(&KeyLog::default(), Variable::Set(path.clone().into()));
    record(&handle, &line(0, 0));
    let stats = handle.stats();
    assert_eq!(stats.requested_by, Source::Variable);
    match stats.problem.unwrap() {
        Problem::PathRefused { reason } => assert!(reason.contains("does not exist"), "{reason}"),
        other => panic!("{other}"),
    }
    assert!(handle.enable().is_err());
    fs::create_dir(dir.path("missing")).unwrap();
    handle.enable().unwrap();
    record(&handle, &line(0, 1));
    assert_eq!(lines(&path), [line(0, 1)]);
    assert_eq!(handle.stats().problem, None);
}

#[test]
fn a_variable_under_raised_privileges_is_ignored_and_that_is_visible() {
    let handle = from_variable(&KeyLog::default(), Variable::Ignored);
    let stats = handle.stats();
    assert_eq!(stats.requested_by, Source::Variable);
    assert_eq!(stats.problem, Some(Problem::VariableIgnored));
    assert!(handle.path().is_none());
}

#[test]
fn says_why_nothing_is_logged_and_what_to_do() {
    let cases = [
        (Problem::NoPath, "set_path()"),
        (Problem::Disabled, "enable()"),
        (Problem::VariableIgnored, "KeyLog::file()"),
        (Problem::NoHook, "OpenSSL"),
        (Problem::LimitReached { limit: "time" }, "enable()"),
    ];
    for (problem, remedy) in cases {
        assert!(problem.to_string().contains(remedy), "{problem}");
    }
    if let Some(name) = keylog::env_name() {
        assert!(Problem::NoPath.to_string().contains(name));
    }
}

#[test]
fn a_refused_hook_is_visible() {
    let dir = Dir::new("hook");
    let handle = start(&dir.path("keys.log"));
    handle.log().hook_refused();
    assert_eq!(handle.stats().problem, Some(Problem::NoHook));
}

#[test]
fn a_path_that_cannot_be_used_leaves_the_old_log_going() {
    let dir = Dir::new("setpath");
    let path = dir.path("keys.log");
    let handle = start(&path);
    handle.set_path(dir.path("missing/keys.log")).unwrap_err();
    handle.set_path("").unwrap_err();
    record(&handle, &line(0, 0));
    assert_eq!(handle.path().as_ref(), Some(&path));
    assert!(handle.is_enabled());
    assert_eq!(handle.stats().problem, None);
    handle.disable();
    handle.set_path(dir.path("missing/keys.log")).unwrap_err();
    assert_eq!(handle.path().as_ref(), Some(&path));
    assert_eq!(lines(&path), [line(0, 0)]);
}

#[test]
fn a_relative_path_is_made_absolute_where_it_is_given() {
    let handle = keylog::start(&KeyLog::file("keys-relative.log").enabled(false)).unwrap();
    let expected = std::env::current_dir().unwrap().join("keys-relative.log");
    assert_eq!(handle.path(), Some(expected));
}

#[test]
fn switch_at_run_time_is_atomic() {
    let dir = Dir::new("flips");
    let path = dir.path("keys.log");
    let handle = start(&path);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|t| {
                let handle = handle.clone();
                scope.spawn(move || (0..3000).for_each(|n| record(&handle, &line(t, n))))
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                handle.disable();
                let before = handle.stats().written;
                thread::yield_now();
                assert_eq!(handle.stats().written, before, "nothing after disable()");
                handle.enable().unwrap();
                thread::yield_now();
            }
        });
        writers.into_iter().for_each(|w| w.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    let mut found = lines(&path);
    let count = found.len();
    found.sort();
    found.dedup();
    assert_eq!(found.len(), count, "no record twice");
    let stats = handle.stats();
    assert_eq!((stats.written, stats.failed), (count as u64, 0));
    assert!(0 < count && count < 12_000, "it was on, and off: {count}");
}

#[test]
fn a_log_moved_under_load_loses_nothing() {
    let dir = Dir::new("moves");
    let paths = [dir.path("one.log"), dir.path("two.log")];
    let handle = start(&paths[0]);
    thread::scope(|scope| {
        for t in 0..4 {
            let handle = handle.clone();
            scope.spawn(move || (0..2000).for_each(|n| record(&handle, &line(t, n))));
        }
        for n in 0..50 {
            handle.set_path(&paths[(n + 1) % 2]).unwrap();
        }
    });
    let found = lines(&paths[0]).len() + lines(&paths[1]).len();
    assert_eq!((found, handle.stats().written), (8000, 8000));
}

#[test]
fn a_panic_elsewhere_does_not_end_the_log() {
    let dir = Dir::new("poison");
    let path = dir.path("keys.log");
    let handle = start(&path);
    handle.log().poison();
    record(&handle, &line(0, 0));
    handle.disable();
    handle.enable().unwrap();
    record(&handle, &line(0, 1));
    assert_eq!(lines(&path), [line(0, 0), line(0, 1)]);
    assert_eq!(handle.stats().written, 2);
}
